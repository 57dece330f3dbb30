"""Is noise that nobody stated found? ``python -m gensr.benchmarks.noise data=DIR output=DIR``.

Pictures of the test splits, averaged over 2 x 2 pixels so that what noise they have
is halved, with white noise of a known deviation, a masked corner and a few lost pixels, rounded to codes of 8 bits
(astronomy: floats, in units of the sky noise). Satellite patches are too small to be averaged and stay as they are.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gensr.pipeline.finest import Floor, blocks_of, floor
from gensr.values.grid import PixelGrid
from gensr.values.image import Image

from .datasets import load, luminance
from .scores import Row
from .script import words, write

SUBJECTS = {"microscopy": "test", "satellite": "test", "faces": "test", "medical_brain": "test", "astronomy": "test"}
"""Domains and their splits."""
NOISES = (0.0, 0.3, 1.0, 3.0, 10.0)
"""Added deviations, codes."""
SIDE, LEAST = 128, 64
"""Most and least side of a scene, pixels."""
NEAR = 0.2
SKY = 0.0153
"""Sky noise of 2 x 2 pixels of the simulated fields, electron/s."""
LOST = 0.002
"""Share of pixels without a value."""
COLUMNS = ("domain", "noise", "scenes", "near", "uncertain", "wrong", "median", "largest")
PREFACE = (
    "Held-out scenes of 64 to 128 pixels with known noise (codes of 8 bits; astronomy: sky noise of the instrument), a "
    "masked corner and lost pixels. near: found within 20 %, rounding included; uncertain: said to be; wrong: neither. "
    "Of noise 0 near means at most 0.6. Pictures keep a little noise of their own, which counts against 0.3 and 1; the "
    "noise of satellite patches (JPEG) was not averaged away."
)


def scenes(root: Path, domain: str, limit: int) -> Iterator[NDArray[np.float64]]:
    """Clean pictures (rows, cols) in codes."""
    for case in load(root, domain, SUBJECTS[domain], 4 * limit):
        grey = (luminance(case.image) if case.image.shape[0] == 3 else case.image.astype(np.float64))[0]
        plane = grey / SKY if domain == "astronomy" else grey * (255 / case.peak)
        if domain != "satellite":
            rows, cols = (n // 2 for n in plane.shape)
            blocks = plane[: 2 * rows, : 2 * cols].reshape(rows, 2, cols, 2)
            plane = blocks.sum((1, 3)) if domain == "astronomy" else blocks.mean((1, 3))
        if min(plane.shape) >= LEAST:
            top, left = ((n - min(n, SIDE)) // 2 for n in plane.shape)
            yield plane[top : top + SIDE, left : left + SIDE]


def observed(clean: NDArray[np.float64], noise: float, rounded: bool, seed: int) -> Image:
    """A scene with noise, a masked corner and lost pixels."""
    rng = np.random.default_rng(seed)
    values = clean + noise * rng.standard_normal(clean.shape)
    values = np.rint(values) if rounded else values
    usable = rng.random(clean.shape) >= LOST
    usable[: clean.shape[0] // 4, : clean.shape[1] // 4] = False
    return Image(values[None].astype(np.float32), PixelGrid(clean.shape), usable[None], usable[None].copy(), ("codes",))


def row(domain: str, noise: float, found: Sequence[Floor], rounded: bool) -> Row:
    """One line of the table."""
    truth = math.hypot(noise, 12**-0.5 if rounded else 0.0)
    levels = np.array([max(one.sigma, 12**-0.5 if rounded else 0.0) for one in found])
    near = levels <= 0.6 if noise == 0 else np.abs(levels / truth - 1) <= NEAR
    sure = np.array([one.measured for one in found], bool)
    return {
        "domain": domain,
        "noise": noise,
        "scenes": len(found),
        "near": int(near.sum()),
        "uncertain": int((~near & ~sure).sum()),
        "wrong": int((~near & sure).sum()),
        "median": float(np.median(levels)),
        "largest": float(levels.max()),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Write ``noise.csv`` and ``noise.md``.

    Raises:
        UsageError: an unknown argument.
    """
    given = words(argv, {"data": "../shared/data", "output": "benchmarks/results", "cases": "20"})
    limit, rows = int(given["cases"]), []
    for domain in SUBJECTS:
        clean = list(scenes(Path(given["data"]), domain, limit))[:limit]
        rounded = domain != "astronomy"
        for noise in NOISES:
            images = [observed(plane, noise, rounded, i) for i, plane in enumerate(clean)]
            found = [floor(blocks_of([image], 1)[0]) for image in images]
            rows.append(row(domain, noise, found, rounded))
    total, near, doubt, wrong = (sum(int(one[key]) for one in rows) for key in ("scenes", "near", "uncertain", "wrong"))
    said = f"Of {total} scenes {near} near, {doubt} called uncertain, {wrong} wrong."
    write(Path(given["output"]), "noise", ["# Noise that nobody stated", "", PREFACE, "", said], COLUMNS, rows)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
