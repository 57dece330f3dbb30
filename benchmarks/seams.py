"""Do tiles show? ``python -m gensr.benchmarks.seams data=DIR output=DIR``.

A scene of 512 x 512 pixels, observed from 2,048 x 2,048 of the test split, is refined x4 with the flow in tiles of two
sizes whose borders share no line. Along the borders of one tiling the gradient is compared with that elsewhere, and
with that of the other tiling on the same lines, where no border is; and both answers are compared pixel by pixel.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gensr.errors import UsageError
from gensr.pipeline.decisions import Decisions
from gensr.pipeline.reconstruct import TileWork
from gensr.pipeline.tiles import scene_tiles
from gensr.priors.weights import available

from .answers import Array, How, settled_for
from .astronomy import stretch
from .datasets import Case
from .protocol import observe
from .scores import Row
from .sets import SETS, BenchmarkSet

SUBJECTS = {"microscopy": 0.0, "astronomy": 0.01, "satellite": 0.01}
"""Noise of the scenes, as a share of the peak (astronomy: its camera's)."""
SIDE, FACTOR = 2048, 4
TILES = (192, 160)
"""Cores in pixels of the observation: about the default, and one with other borders."""
SHIFT = 52
"""Pixels by which a mosaic is turned, so that its own borders are none of those of tiles."""
COLUMNS = ("against elsewhere", "against no border", "largest difference")


def scene(cases: Sequence[Case], side: int) -> Case:
    """A field of a side: the largest picture, mirrored as often as needed, or a mosaic of small ones.

    A mirrored picture has no borders of its own; a mosaic is turned by 52 pixels.
    """
    largest = max(cases, key=lambda case: case.image.shape[1] * case.image.shape[2])
    bands, rows, cols = largest.image.shape
    if min(rows, cols) > 2 * 128:
        pads = ((0, 0), (0, max(0, side - rows)), (0, max(0, side - cols)))
        image = np.pad(largest.image, pads, mode="symmetric")[:, :side, :side]
    else:
        down, right = -(-side // rows), -(-side // cols)
        image = np.empty((bands, down * rows, right * cols), np.float32)
        for k in range(down * right):
            r, c = divmod(k, right)
            image[:, r * rows : (r + 1) * rows, c * cols : (c + 1) * cols] = cases[k % len(cases)].image
        image = np.roll(image, (SHIFT, SHIFT), (1, 2))[:, :side, :side]
    return Case(largest.name, np.ascontiguousarray(image), largest.peak, "", largest.code, largest.sources[:0])


def refined(item: BenchmarkSet, settled: Decisions, tile: int) -> dict[str, Array]:
    """Mean, deviation and one sample (band, y, x) of a scene in tiles of ``tile`` observed pixels; flux stretched."""
    seen, task = settled.scene, settled.task
    bands, (rows, cols) = len(seen.bands), seen.grid.refine(task.factor).shape
    whole = {name: np.empty((bands, rows, cols)) for name in ("mean", "std", "sample")}
    for part in scene_tiles(seen.planes, seen.grid.shape, task, tile):
        (result,) = TileWork(seen, task)((part,))
        row, col, height, width = part.core.refine(task.factor)
        for name, values in (("mean", result.mean), ("std", result.std), ("sample", result.samples[0])):
            whole[name][:, row : row + height, col : col + width] = stretch(values) if item.flux else values
    return whole


def borders(size: int, tile: int) -> NDArray[np.int64]:
    """The first pixel of every tile but the first, along one axis of the refined image."""
    return np.arange(tile * FACTOR, size, tile * FACTOR)


def steps(image: Array, lines: NDArray[np.int64] | None) -> float:
    """Mean absolute difference across some lines of both axes, across all if None."""
    total, count = 0.0, 0
    for axis in (1, 2):
        gradient = np.abs(np.diff(image, axis=axis))
        chosen = gradient if lines is None else gradient.take(lines - 1, axis)
        total, count = total + float(chosen.sum()), count + chosen.size
    return total / count


def compare(first: Array, second: Array, tile: int, other: int) -> dict[str, float]:
    """What borders show.

    Args:
        first: (band, y, x) made of tiles of ``tile`` observed pixels.
        second: the same of ``other``.
        tile: side of the first's tiles.
        other: side of the second's; only lines are used that are no border of its.

    Returns:
        ``against elsewhere``: gradient across borders over that of the whole image; ``against no border``: over that of
        the other image on the same lines; ``largest difference``: of the images, in ranges of the first.
    """
    lines = np.setdiff1d(borders(first.shape[1], tile), borders(first.shape[1], other))
    own = steps(first, lines)
    return {
        "against elsewhere": own / steps(first, None),
        "against no border": own / steps(second, lines),
        "largest difference": float(np.abs(first - second).max() / np.ptp(first)),
    }


@dataclass(frozen=True)
class Setup:
    """What is compared: a scene of ``side`` pixels, in tiles of two sizes."""

    side: int = SIDE
    tiles: tuple[int, int] = TILES


def rows_of(item: BenchmarkSet, root: Path, noise: float, setup: Setup) -> list[Row]:
    """One row for mean, deviation and sample each."""
    one = scene(item.cases(root, "test", 256), setup.side)
    low = observe([one], FACTOR, noise, flux=item.flux)[0]
    settled, _ = settled_for(item, low, FACTOR, noise, one.peak, How(item.generators[0]), 1, item.name)
    first, second = (refined(item, settled, tile) for tile in setup.tiles)
    return [
        {"domain": item.name, "noise": noise, "image": name, **compare(first[name], second[name], *setup.tiles)}
        for name in first
    ]


def document(rows: Sequence[Mapping[str, Any]], setup: Setup) -> str:
    """The table."""
    coarse = setup.side // FACTOR
    lines = [
        "# Seams",
        "",
        f"Made by `python -m gensr.benchmarks.seams`: {coarse} x {coarse} pixels of the test split, refined x4 with",
        f"the flow in tiles of {setup.tiles[0]} and of {setup.tiles[1]} observed pixels. Gradient across the borders",
        "of the first tiling: against that of the whole image, and against the second tiling on the same lines, where",
        "it has no border; 1 is no seam. Content that lies on a border by chance moves the first figure alone.",
        "`largest difference` between the two tilings is in ranges of the image. Flux is compared stretched.",
        "",
        "| domain | noise | image | " + " | ".join(COLUMNS) + " |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        cells = [row["domain"], row["noise"], row["image"], *(f"{float(row[c]):.4f}" for c in COLUMNS)]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str] | None = None, setup: Setup | None = None) -> int:
    """Write ``seams.md``.

    Args:
        argv: ``data=``, ``output=``, ``domains=``; those of the process if None.
        setup: another size of scene and tiles.

    Raises:
        UsageError: a domain that is not tiled.
    """
    given = {"data": "../shared/data", "output": "benchmarks/results", "domains": ",".join(SUBJECTS)}
    given |= dict(word.split("=", 1) for word in (argv if argv is not None else sys.argv[1:]))
    chosen, sets = setup or Setup(), {item.name: item for item in SETS}
    rows: list[Row] = []
    for name in given["domains"].split(","):
        if name not in SUBJECTS:
            raise UsageError(f"domains={name}: expected some of {', '.join(SUBJECTS)}")
        if sets[name].generators[0] not in available():
            print(f"gensr: {name}: {sets[name].generators[0]} not installed; left out", file=sys.stderr)
            continue
        rows += rows_of(sets[name], Path(given["data"]), SUBJECTS[name], chosen)
        print(f"{name}: {rows[-3:]}", file=sys.stderr, flush=True)
    output = Path(given["output"])
    output.mkdir(parents=True, exist_ok=True)
    (output / "seams.md").write_text(document(rows, chosen), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
