"""What plateaus say: measures that tell maps of labels from images, of pixels alone.

A label map is made of connected areas of one code; where two areas meet, the codes jump from one plateau to the other
with nothing between, and the size of the jump means nothing. In an image neighbours are close in value: plateaus meet
over small steps, and a sharp edge has transitional values or noise on one side at least.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Block = tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]
"""Values (y, x) and where they are valid."""
MOST_VALUES = 4096
"""Distinct values that are told apart; blocks that add more are left out."""
_LEAST_SIDE = 8


@dataclass(frozen=True)
class Plateaus:
    """Measures over blocks; shares are 0 to 1, and nan where there is nothing to share.

    Attributes:
        pixels: valid pixels.
        values: distinct values, ascending; empty where a single block holds more than `MOST_VALUES`.
        integral: all values are whole numbers.
        commonest: share of pixels that have the commonest value.
        edges: pairs of neighbours with unlike values.
        clumped: share of unlike pairs, divided by that of the same values thrown at random: 1 for noise, near 0 for
            areas.
        lonely: share of pixels without an equal neighbour among those that do not have the commonest value.
        steps: share of edges with a plateau on both sides: two equal pixels in a line meet two others.
        jumps: share of edges with a plateau on both sides whose values have others between them.
        reach: mean distance in rank of unlike neighbours, divided by that of two values drawn at random from edges.
    """

    pixels: int
    values: npt.NDArray[np.float64]
    integral: bool
    commonest: float
    edges: int
    clumped: float
    lonely: float
    steps: float
    jumps: float
    reach: float


def measure(blocks: Sequence[Block]) -> Plateaus:
    """Measure blocks of one image.

    Args:
        blocks: values of any real type and their masks; blocks of repeated pixels are thinned to one of each first.
    """
    kept, values = _understood([_thinned(block) for block in blocks])
    pixels = sum(int(valid.sum()) for _, valid in kept)
    integral = bool((values == np.rint(values)).all())
    if values.size < 2:
        return Plateaus(pixels, values, integral, 1.0, 0, *(float("nan"),) * 5)
    tally = _Tally(values.size)
    for data, valid in kept:
        ranks = np.searchsorted(values, np.where(valid, data, values[0]).astype(np.float64))
        tally.see(np.where(valid, ranks, -1))
    return tally.plateaus(pixels, values, integral)


def _understood(blocks: Sequence[Block]) -> tuple[list[Block], npt.NDArray[np.float64]]:
    """As many blocks as have few enough values together, and these values."""
    kept: list[Block] = []
    values = np.zeros(0)
    for data, valid in blocks:
        own = np.unique(data[valid]).astype(np.float64)
        both = np.union1d(values, own)
        if both.size <= MOST_VALUES:
            kept.append((data, valid))
            values = both
    return kept, values


def _thinned(block: Block) -> Block:
    """One pixel of each where pixels are repeated: pixels of an enlarged image are no plateaus."""
    data, valid = block
    (rows, top), (cols, left) = _lattice(data, 0), _lattice(data, 1)
    step = int(np.gcd(rows, cols))
    if step < 2 or min(data.shape) < _LEAST_SIDE:
        return block
    cut = np.s_[top % step :: step, left % step :: step]
    return data[cut], valid[cut]


def _lattice(data: npt.NDArray[Any], axis: int) -> tuple[int, int]:
    """Step and first place of the lattice that all edges along an axis lie on; 1 where there is none."""
    lines = np.moveaxis(data, axis, 0)
    places = np.flatnonzero((lines[1:] != lines[:-1]).any(1)) + 1
    if not places.size:
        return 1, 0
    step = int(np.gcd.reduce(np.diff(places))) if places.size > 1 else 0
    return step or len(lines), int(places[0])


class _Tally:
    """Counts of pairs and runs over blocks of ranks, -1 where invalid."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.seen, self.at_edges = np.zeros(count, np.int64), np.zeros(count, np.int64)
        self.pairs = self.edges = self.distance = 0
        self.lines = self.steps = self.jumps = 0
        self.others: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]] = []

    def see(self, ranks: npt.NDArray[np.int64]) -> None:
        self.seen += np.bincount(ranks[ranks >= 0], minlength=self.count)
        paired = np.zeros(ranks.shape, np.bool_)
        for axis in (0, 1):
            line, has = np.moveaxis(ranks, axis, -1), np.moveaxis(paired, axis, -1)
            a, b = line[:, :-1], line[:, 1:]
            known = (a >= 0) & (b >= 0)
            equal, unlike = known & (a == b), known & (a != b)
            has[:, :-1] |= equal
            has[:, 1:] |= equal
            apart = np.abs(a - b)
            self.pairs, self.edges = self.pairs + int(known.sum()), self.edges + int(unlike.sum())
            self.distance += int(apart[unlike].sum())
            self.at_edges += np.bincount(np.concatenate([a[unlike], b[unlike]]), minlength=self.count)
            whole = unlike[:, 1:-1] & known[:, :-2] & known[:, 2:]
            step = whole & equal[:, :-2] & equal[:, 2:]
            self.lines, self.steps = self.lines + int(whole.sum()), self.steps + int(step.sum())
            self.jumps += int((step & (apart[:, 1:-1] > 1)).sum())
        self.others.append((ranks, paired))

    def plateaus(self, pixels: int, values: npt.NDArray[np.float64], integral: bool) -> Plateaus:
        modal = int(self.seen.argmax())
        rare = lonely = 0
        for ranks, paired in self.others:
            other = (ranks >= 0) & (ranks != modal)
            rare, lonely = rare + int(other.sum()), lonely + int((other & ~paired).sum())
        return Plateaus(
            pixels=pixels,
            values=values,
            integral=integral,
            commonest=float(self.seen[modal] / self.seen.sum()),
            edges=self.edges,
            clumped=_ratio(_ratio(self.edges, self.pairs), _unlike(self.seen)),
            lonely=_ratio(lonely, rare),
            steps=_ratio(self.steps, self.lines),
            jumps=_ratio(self.jumps, self.lines),
            reach=_ratio(_ratio(self.distance, self.edges), _random_distance(self.at_edges)),
        )


def _unlike(counts: npt.NDArray[np.int64]) -> float:
    """Probability that two values drawn at random differ."""
    return float(1 - np.square(counts / max(1, counts.sum())).sum())


def _random_distance(counts: npt.NDArray[np.int64]) -> float:
    """Mean distance in rank of two unlike values drawn at random: E|i - j| = 2 sum F (1 - F)."""
    below = np.cumsum(counts / max(1, counts.sum()))
    return _ratio(float(2 * (below * (1 - below)).sum()), _unlike(counts))


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")
