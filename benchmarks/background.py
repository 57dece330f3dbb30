"""What is no face: ``python -m gensr.benchmarks.background output=DIR``.

Four photographs of scikit-image, a square of each, averaged over blocks, answered by interpolation and by a prior for
fields of any size (``domain.background=lanczos|field``). Which squares is fixed by `SQUARES`.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import gensr
from gensr.domains.faces import centre
from gensr.metrics import psnr

from .protocol import block_mean
from .scores import Row
from .script import words, write

SQUARES = {"astronaut": (60, 300), "coffee": (100, 200), "chelsea": (60, 120), "rocket": (180, 250)}
"""Row and column where the square of a photograph begins."""
SIDE, FACTORS, PEAK = 192, (2, 4), 255.0
GROUNDS = ("lanczos", "field")
COLUMNS = ("photo", "factor", *GROUNDS, "gain", "seconds a megapixel")
TEXT = (
    "# What is no face",
    "",
    f"Made by `python -m gensr.benchmarks.background`: squares of {SIDE} pixels out of photographs of scikit-image,",
    "averaged over blocks, rounded, answered without faces. PSNR of the mean, dB; `gain` of the prior for fields over",
    "Lanczos; both explain their data. Seconds of the prior: one thread, per million pixels of three bands.",
)


def answered(codes: NDArray[np.uint8], factor: int, ground: str) -> NDArray[np.float64]:
    """The mean (3, y, x) of a photo in which no face is looked for.

    Args:
        codes: (y, x, 3).
        factor: of the answer.
        ground: of `GROUNDS`.
    """
    asked: dict[str, Any] = {"domain": "faces", "search": "fast", "samples": 0}
    with tempfile.TemporaryDirectory(prefix="gensr-") as folder, patch.object(centre, "installed", lambda: False):
        path = Path(folder) / "photo.png"
        Image.fromarray(codes).save(path)
        options = {"aligned": "false", "background": ground}
        return np.asarray(gensr.upsample(path, factor=factor, options=options, **asked).mean, np.float64)


def row_of(name: str, truth: NDArray[np.uint8], factor: int) -> Row:
    """One line of the table.

    Args:
        name: of the photo.
        truth: (y, x, 3).
        factor: of the reduction and the answer.
    """
    fine = np.moveaxis(truth, -1, 0).astype(np.float64)
    low = np.rint(np.moveaxis(block_mean(fine, factor), 0, -1)).astype(np.uint8)
    figures, seconds = dict[str, float](), 0.0
    for ground in GROUNDS:
        begun = time.process_time()
        figures[ground] = float(psnr(answered(low, factor, ground).clip(0, PEAK), fine, PEAK))
        seconds = time.process_time() - begun
    gain = figures["field"] - figures["lanczos"]
    return {"photo": name, "factor": factor, **figures, "gain": gain, COLUMNS[-1]: 1e6 * seconds / fine[0].size}


def photographs() -> Mapping[str, NDArray[np.uint8]]:
    """The squares."""
    from skimage import data

    return {
        name: np.asarray(getattr(data, name)()[row : row + SIDE, col : col + SIDE], np.uint8)
        for name, (row, col) in SQUARES.items()
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Write ``background.csv`` and ``background.md``.

    Args:
        argv: ``output=``; that of the process if None.
    """
    given = words(argv, {"output": "benchmarks/results"})
    rows = [row_of(name, truth, factor) for factor in FACTORS for name, truth in photographs().items()]
    write(Path(given["output"]), "background", TEXT, COLUMNS, rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
