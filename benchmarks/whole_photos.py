"""Whole photos from end to end: ``python -m gensr.benchmarks.whole_photos photos=DIR output=DIR``.

Every photo by two, and reduced by 4 x 4 pixels by four: how many faces are restored, what is left of the data, whether
anything moved where no face lies, and how far the answer is from the interpolation at the border of the masks. Rows are
kept in ``whole_photos.jsonl``: a run that was stopped goes on; ``fresh=true`` after a change of the program.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import binary_erosion

import gensr
from gensr.domains.faces import centre

from .journal import Journal
from .protocol import block_mean
from .scores import Row
from .script import words, write

REDUCED, WIDE = 4, 2
"""By what photos are reduced, and how wide a border of the masks is looked at, pixels."""
COUNTED, MEASURED = ("rows", "cols", "factor", "found", "restored"), ("rms", "largest", "moved outside", "border")
COLUMNS = ("photo", *COUNTED, *MEASURED, "seconds")
TEXT = (
    "# Whole photos",
    "",
    "Made by `python -m gensr.benchmarks.whole_photos`: photos averaged over 4 x 4 pixels and refined x4, and",
    "photos as they are x2, `samples=0 search=fast lossless=true`, one thread. Of the faces `found` those are",
    "`restored` that are coarser than the 256 pixels of the prior. `rms`, `largest`: what the written picture",
    "leaves of its data, codes. `moved outside`: pixels that differ from the same photo without faces where no",
    f"face was laid. `border`: rms difference from that on the outermost {WIDE} pixels of the masks, codes: a seam",
    "would show there. Seconds: wall clock of a machine that was shared with other work.",
)
Codes = NDArray[np.uint8]


def made(path: Path, factor: int, folder: Path) -> tuple[Codes, NDArray[Any] | None, dict[str, Any]]:
    """The written mean, where a prior answered (y, x), None for nowhere, and the report."""
    options = {"aligned": "false", "lossless": "true"}
    asked: dict[str, Any] = {"domain": "faces", "samples": 0, "search": "fast", "options": options}
    result = gensr.upsample(path, factor=factor, output=folder, **asked)
    names = {file.name: file for file in result.files}
    std = next((file for name, file in names.items() if name.endswith("_std.tif")), None)
    known = None if std is None else np.isfinite(tifffile.imread(std, key=0))
    return codes(result.files[0]), known, dict(json.loads(json.dumps(result.report)))


def codes(path: Path) -> Codes:
    """Of a picture, (y, x, 3)."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def row_of(path: Path, factor: int, folder: Path) -> Row:
    """One line of the table."""
    begun = time.perf_counter()
    answer, known, report = made(path, factor, folder / "answer")
    seconds = time.perf_counter() - begun
    with patch.object(centre, "installed", lambda: False):
        plain, _, _ = made(path, factor, folder / "plain")
    data = codes(path)
    left = np.abs(block_mean(np.moveaxis(answer, -1, 0).astype(np.float64), factor) - np.moveaxis(data, -1, 0))
    known = np.zeros(answer.shape[:2], bool) if known is None else known
    differs = (answer != plain).any(-1)
    ring = known & ~binary_erosion(known, iterations=WIDE, border_value=1)
    apart = (answer.astype(np.float64) - plain)[ring]
    return {
        "photo": path.stem,
        "rows": data.shape[0],
        "cols": data.shape[1],
        "factor": factor,
        "found": len(report["parts"]) + len(report["left"]),
        "restored": len(report["parts"]),
        "rms": float(np.sqrt(np.square(left).mean())),
        "largest": float(left.max()),
        "moved outside": int(differs[~known].sum()),
        "border": float(np.sqrt(np.square(apart).mean())) if apart.size else 0.0,
        "seconds": seconds,
    }


def reduced(path: Path, folder: Path) -> Path:
    """A photo averaged over blocks, rounded, as PNG."""
    picture = np.moveaxis(codes(path), -1, 0).astype(np.float64)
    rows, cols = (n // REDUCED * REDUCED for n in picture.shape[1:])
    low = np.rint(block_mean(picture[:, :rows, :cols], REDUCED)).astype(np.uint8)
    small = folder / f"{path.stem}.png"
    Image.fromarray(np.ascontiguousarray(np.moveaxis(low, 0, -1))).save(small)
    return small


def main(argv: Sequence[str] | None = None) -> int:
    """Write ``whole_photos.csv`` and ``whole_photos.md``.

    Args:
        argv: ``photos=``, ``output=``, ``factors=`` (2 and 4 with a comma), ``fresh=``; those of the process if None.
    """
    usual = {
        "photos": "../shared/data/faces/photos",
        "output": "benchmarks/results",
        "factors": "4,2",
        "fresh": "false",
    }
    given = words(argv, usual)
    output = Path(given["output"])
    output.mkdir(parents=True, exist_ok=True)
    journal = Journal(output / "whole_photos.jsonl", given["fresh"] == "true")
    rows: list[Row] = []
    for factor in map(int, given["factors"].split(",")):
        for path in sorted(Path(given["photos"]).glob("*.jpg")):
            key, of = f"{path.stem} x{factor}", {"bytes": path.stat().st_size}
            if not journal.has(key, of):
                with tempfile.TemporaryDirectory(prefix="gensr-") as place:
                    source = reduced(path, Path(place)) if factor == REDUCED else path
                    journal.add(key, of, {"row": row_of(source, factor, Path(place))})
                print(journal.entries[key]["row"], file=sys.stderr, flush=True)
            rows.append(journal.entries[key]["row"])
            write(output, "whole_photos", TEXT, COLUMNS, rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
