"""Noise of a band from the finest scales of its data.

Where an image is flat, its finest diagonal wavelet (Haar) holds the noise and what little detail is there. Two
neighbouring scales tell the two apart: white noise has the same energy in both (their transform is orthonormal), while
detail of images, aliasing by pixels included, has 2.5 to 9 times more in the coarser one (median 5; measured on the
noise-free validation images of all domains at one and two pixels a datum). Solved for the noise with the least and a
usual ratio these are two estimators; where they disagree, the answer is a range.

Flat places are chosen by other coefficients than those that are measured, so that choosing does not bias. (Donoho and
Johnstone, 1994, doi:10.1093/biomet/81.3.425, take the finest diagonal of the whole image: texture counts as noise.)
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from gensr.values.image import Image
from gensr.values.precision import Real, held

FloatArray = npt.NDArray[np.float64]
SIDE = 8
"""Of the blocks that are flat or not, pixels; the coarser scale has four coefficients in each."""
FLATTEST, FEWEST = 0.08, 8
"""Share, and least number, of the blocks that are measured."""
OVERLAP = 4
"""Blocks of all shifts for each independent one: eight shifts, of which half look at other pairs of pixels."""
LEAST, USUAL, MOST = 2.5, 4.0, 7.0
"""Energy of detail in the coarser scale over that in the finest: the least that occurs, about the median, and much."""
DOUBT = 0.7
"""Standard errors of the ratio that the range covers."""
AGREE = 0.6
"""Least ratio of the lower to the upper end, deviations, at which the noise counts as measured."""
CLIPPED = 0.02
"""Share of pixels at the extremes of a band above which the extremes are where it was cut off."""
BINS = 6
"""Of brightness, for noise that grows with the signal."""
GROWS = 1.5
"""Least ratio of the variances of the brightest and the darkest place at which noise is said to grow."""


@dataclass(frozen=True)
class Floor:
    """Noise of a band, units of the image.

    Attributes:
        sigma: standard deviation; where it is not measured, the lower end of what it may be.
        low, high: the two estimators.
        blocks: independent blocks that it rests on; 0 where nothing could be looked at.
    """

    sigma: float
    low: float
    high: float
    blocks: float

    @property
    def measured(self) -> bool:
        """Whether the two estimators agree."""
        return self.blocks > 0 and self.low >= AGREE * self.high


@dataclass(frozen=True)
class Growth:
    """Noise that grows with the signal: ``variance = sigma^2 + gain max(x - black, 0)``, units of the image."""

    gain: float
    sigma: float
    black: float


NOTHING = Floor(0.0, 0.0, math.inf, 0.0)


@dataclass(frozen=True)
class Blocks:
    """Blocks of a band; all (count,), units squared but for ``mean``.

    Attributes:
        fine: energy of the finest diagonal coefficients.
        coarse: energy of those of the next scale.
        uneven: energy of what else the coarser scales hold, by which flat blocks are found.
        mean: of the values.
    """

    fine: FloatArray
    coarse: FloatArray
    uneven: FloatArray
    mean: FloatArray

    def chosen(self, index: npt.NDArray[np.intp] | npt.NDArray[np.bool_]) -> Blocks:
        """Some of them."""
        return Blocks(self.fine[index], self.coarse[index], self.uneven[index], self.mean[index])

    @property
    def flattest(self) -> Blocks:
        """Those that are measured."""
        count = max(FEWEST, round(FLATTEST * len(self.fine)))
        return self.chosen(np.argsort(self.uneven, kind="stable")[:count])


def blocks_of(images: Iterable[Image], bands: int) -> list[Blocks]:
    """The usable blocks of every band: no gaps, nothing cut off at the ends of the range, not constant.

    What is not `held` counts as a gap: its differences and squares are infinite.
    """
    pieces: list[list[FloatArray]] = [[] for _ in range(bands)]
    kept = list(images)
    for band, found in enumerate(pieces):
        ends = _ends([image.values[band][image.usable[band]] for image in kept])
        for image in kept:
            values = image.values[band].astype(np.float64)
            whole = image.usable[band] & (values > ends[0]) & (values < ends[1])
            found += [_transformed(values, whole, *shift) for shift in product((0, SIDE // 2), (0, SIDE // 2), (0, 1))]
    return [Blocks(*np.concatenate([np.zeros((4, 0)), *found], 1)) for found in pieces]


def floor(blocks: Blocks) -> Floor:
    """Noise of the flattest of blocks."""
    flat = blocks.flattest
    if not len(flat.fine):
        return NOTHING
    fine, coarse, count = float(flat.fine.mean()), float(flat.coarse.mean()), len(flat.fine) / OVERLAP
    if fine <= 0:
        return Floor(0.0, 0.0, 0.0, count)
    ratio = coarse / fine
    doubt = math.exp(DOUBT * math.sqrt(2 / (count * SIDE**2 / 4) + 2 / (count * SIDE**2 / 16)))
    low = math.sqrt(fine * _share(LEAST, ratio * doubt))
    high = math.sqrt(fine * _share(MOST, ratio / doubt))
    measured = low >= AGREE * high
    return Floor(math.sqrt(fine * _share(USUAL, ratio)) if measured else low, low, high, count)


def growth(blocks: Blocks) -> Growth | None:
    """How noise grows with the signal (photon transfer), None where it does not or cannot be told.

    A line through the noise of the flattest blocks of equal brightness (Janesick 2007, Photon Transfer, chapter 5).
    """
    if len(blocks.mean) < BINS * FEWEST:
        return None
    edges = np.quantile(blocks.mean, [0.001, 0.999])
    bins = np.clip(((blocks.mean - edges[0]) / (edges[1] - edges[0] or 1.0) * BINS).astype(int), 0, BINS - 1)
    found = []
    for k in range(BINS):
        here = blocks.chosen(bins == k)
        if len(here.mean) >= 2 * FEWEST and (noise := floor(here)).measured and noise.sigma > 0:
            found.append((float(here.flattest.mean.mean()), noise.sigma**2, noise.blocks))
    if len(found) < BINS // 2:
        return None
    mean, variance, weight = np.array(found).T
    weight = np.sqrt(weight) / variance
    slope, offset = np.polyfit(mean - mean[0], variance, 1, w=weight)
    bottom, top = offset, offset + slope * (mean[-1] - mean[0])
    if not (bottom > 0 and top > GROWS * bottom):
        return None
    return Growth(float(slope), math.sqrt(float(bottom)), float(mean[0]))


def _share(detail: float, ratio: float) -> float:
    """Of the finest energy that is noise, where detail has ``detail`` times more in the coarser scale."""
    return min(max((detail - ratio) / (detail - 1), 0.0), 1.0)


def _ends(values: Sequence[Real]) -> tuple[float, float]:
    """Values at and beyond which a band was cut off; infinite where it was not."""
    every = np.concatenate([v.ravel() for v in values]) if values else np.zeros(0)
    if not every.size:
        return -math.inf, math.inf
    low, high = every.min(), every.max()
    cut = [float(np.mean(every == end)) > CLIPPED for end in (low, high)]
    return (float(low) if cut[0] else -math.inf), (float(high) if cut[1] else math.inf)


def _transformed(values: FloatArray, whole: npt.NDArray[np.bool_], down: int, across: int, odd: int) -> FloatArray:
    """(4, count) of the whole blocks of a band from (down + odd, across + odd) on; see `Blocks`."""
    rows, cols = ((n - start - odd) // SIDE for n, start in zip(values.shape, (down, across), strict=True))
    if rows < 1 or cols < 1:
        return np.zeros((4, 0))
    cut = np.s_[down + odd : down + odd + rows * SIDE, across + odd : across + odd + cols * SIDE]
    kept = _blocked(whole[cut] & held(values[cut]), SIDE).all(-1)
    blocks = _blocked(values[cut], SIDE)[kept]
    mean = blocks.mean(-1)
    centred = (blocks - mean[:, None]).reshape(-1, SIDE, SIDE)
    low, _, _, finest = _haar(centred)
    wide, *slopes, coarse = _haar(low)
    _, *widest = _haar(wide)

    def energy(x: FloatArray) -> FloatArray:
        return np.asarray(np.square(x).mean((1, 2)))

    uneven = sum(energy(x) for x in (*slopes, *widest))
    found = np.stack([energy(finest), energy(coarse), uneven, mean])
    varied = (centred != centred[:, :1, :1]).any((1, 2))
    return np.asarray(found[:, varied])


def _blocked(x: npt.NDArray[np.generic], side: int) -> npt.NDArray[np.generic]:
    rows, cols = (n // side for n in x.shape)
    return x.reshape(rows, side, cols, side).swapaxes(1, 2).reshape(rows * cols, side * side)


def _haar(x: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Low pass and three details of (count, rows, cols), orthonormal."""
    a, b, c, d = x[:, ::2, ::2], x[:, ::2, 1::2], x[:, 1::2, ::2], x[:, 1::2, 1::2]
    return (a + b + c + d) / 2, (a - b + c - d) / 2, (a + b - c - d) / 2, (a - b - c + d) / 2
