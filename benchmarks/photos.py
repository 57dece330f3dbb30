"""Restored faces of whole photos beside others: ``python -m gensr.benchmarks.photos photos=DIR output=docs/gallery``.

Photos are averaged over 4 x 4 pixels and enlarged by four; what is shown is the square around the largest face that the
prior answered. Which photos is fixed by `PHOTOS`: all of them CC0, none chosen by its answer.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import gensr
from gensr.errors import UsageError
from gensr.operators.resample import upsample

from . import real_esrgan
from .gallery import write
from .pictures import Picture, sheet
from .protocol import block_mean

PHOTOS = ("meeting_four_people", "small_face", "two_people")
"""Of 18F/18f.gsa.gov, works of the US federal government under CC0-1.0."""
FACTOR, SIDE, AROUND = 4, 360, 2.0
"""Of the reduction and the answer; pixels that a picture is drawn with; side of what is shown, in faces."""
MOST = 90
"""Reduced pixels a side that are shown at most."""
DEFAULTS = {"photos": "../shared/data/faces/photos", "output": "docs/gallery", "search": "fast", "seed": "0"}


@dataclass(frozen=True)
class Restored:
    """A reduced photo and its answer.

    Attributes:
        truth: (3, y, x), codes.
        low: means of it over pixels, rounded.
        mean: of the answer.
        sample: one answer.
        report: of the run.
    """

    truth: NDArray[np.float64]
    low: NDArray[np.uint8]
    mean: NDArray[np.float64]
    sample: NDArray[np.float64]
    report: Mapping[str, Any]


def restored(path: Path, search: str, seed: int) -> Restored:
    """Reduce a photo and answer it.

    Args:
        path: of the photo.
        search: preset.
        seed: of all random numbers.

    Raises:
        UsageError: no face of it is answered.
    """
    from PIL import Image

    with Image.open(path) as image:
        codes = np.moveaxis(np.asarray(image.convert("RGB"), np.float64), -1, 0)
    rows, cols = (n // FACTOR * FACTOR for n in codes.shape[1:])
    truth = codes[:, :rows, :cols]
    low = np.rint(block_mean(truth, FACTOR)).astype(np.uint8)
    with tempfile.TemporaryDirectory(prefix="gensr-") as folder:
        small = Path(folder) / f"{path.stem}.png"
        Image.fromarray(np.ascontiguousarray(np.moveaxis(low, 0, -1))).save(small)
        found = gensr.upsample(
            small, factor=FACTOR, domain="faces", samples=1, search=search, seed=seed, options={"aligned": "false"}
        )
    if not found.report["parts"]:
        raise UsageError(f"{path}: no face was answered ({'; '.join(found.report['warnings'])})")
    mean, sample = (np.asarray(values, np.float64) for values in (found.mean, found.samples[0]))
    return Restored(truth, low, mean, sample, found.report)


def around(report: Mapping[str, Any], shape: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns of a reduced photo about its largest answered face.

    Args:
        report: of the run.
        shape: of the reduced photo.
    """
    x, y, width, height = max((part["box"] for part in report["parts"]), key=lambda box: box[2] * box[3])
    side = min(MOST, round(AROUND * max(width, height)), *shape)
    row = min(max(0, round(y + height / 2 - side / 2)), shape[0] - side)
    col = min(max(0, round(x + width / 2 - side / 2)), shape[1] - side)
    return slice(row, row + side), slice(col, col + side)


def panel(name: str, made: Restored, network: Path | None) -> Picture:
    """The reduced photo, Lanczos, Real-ESRGAN where it is installed, mean, one sample, and the photo itself.

    Args:
        name: of the photo.
        made: what is shown.
        network: see `gensr.benchmarks.real_esrgan.weights`.
    """
    rows, cols = around(made.report, made.low.shape[1:])
    fine = tuple(slice(s.start * FACTOR, s.stop * FACTOR) for s in (rows, cols))
    low = made.low[:, rows, cols].astype(np.float64)
    smooth = upsample(made.low.astype(np.float64), FACTOR)
    shown = {"reduced x4": low.repeat(FACTOR, 1).repeat(FACTOR, 2), "Lanczos": smooth[:, *fine]}
    if network is not None:
        shown["Real-ESRGAN x4plus"] = real_esrgan.upscale(network, 255.0, FACTOR, low)
    shown |= {"gensr, mean": made.mean[:, *fine], "gensr, one sample": made.sample[:, *fine]}
    shown["photo"] = made.truth[:, *fine]
    left = {label: _left(values, low) for label, values in shown.items() if label != "photo"}
    labels = [label if label not in left else f"{label}: {left[label]:.2f}" for label in shown]
    title = f"{name}, x{FACTOR}; behind each name the rms residual on the data, codes. Not for identification."
    return sheet([[_rgb(values) for values in shown.values()]], labels, title, SIDE)


def _left(values: NDArray[np.float64], low: NDArray[np.float64]) -> float:
    """Root mean square of what a picture, rounded, leaves of the data."""
    return float(np.sqrt(np.mean((block_mean(np.clip(np.rint(values), 0, 255), FACTOR) - low) ** 2)))


def _rgb(values: NDArray[np.float64]) -> Picture:
    return np.asarray(np.clip(np.rint(np.moveaxis(values, 0, -1)), 0, 255), np.uint8)


def main(argv: Sequence[str] | None = None) -> int:
    """Make all panels.

    Args:
        argv: ``photos=``, ``output=``, ``search=``, ``seed=``; those of the process if None.

    Raises:
        UsageError: another word, or a photo without an answered face.
    """
    given = dict(word.split("=", 1) for word in (argv if argv is not None else sys.argv[1:]))
    strange = sorted(set(given) - set(DEFAULTS))
    if strange:
        raise UsageError(f"{strange[0]}=: expected some of {', '.join(DEFAULTS)}")
    words = DEFAULTS | given
    for name in PHOTOS:
        made = restored(Path(words["photos"]) / f"{name}.jpg", words["search"], int(words["seed"]))
        write(Path(words["output"]) / f"photos-{name.replace('_', '-')}.jpg", panel(name, made, real_esrgan.weights()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
