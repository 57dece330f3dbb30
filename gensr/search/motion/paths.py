"""Motions by two or three numbers, and the bank of them that a search begins with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy
import torch
from torch import Tensor

from gensr.operators.blurs import STEPS, FloatArray, trace
from gensr.search.motion.spectrum import transfer

SHORTEST, LONGEST = 3.5, 44.0
"""Lengths that are looked for, pixels; shorter ones are told from a soft picture by nothing."""
APART = 0.08
"""Steps of the logarithm of the length in the bank of lines."""
TURNS = (0.8, 1.4, 2.0, 2.6)
MOST = 2.8
"""Of arcs in the bank, radians from end to end, and the most: nearer to a circle they look like nothing at all."""


@dataclass(frozen=True)
class Path:
    """A motion of even speed along an arc.

    Attributes:
        length: pixels.
        angle: degrees counter-clockwise from the right, of the middle of the path.
        turn: radians, counter-clockwise, from its begin to its end; 0 for a line.
    """

    length: float
    angle: float
    turn: float = 0.0

    def kernel(self) -> FloatArray:
        """Its kernel (odd, odd) with the centroid in the middle, sum 1."""
        count = max(8, math.ceil(STEPS * self.length))
        along = (np.arange(count) + 0.5) / count - 0.5
        heading = math.radians(self.angle) + self.turn * along
        x, y = (np.cumsum(f(heading)) * self.length / count for f in (np.cos, np.sin))
        return trace(-(y - y.mean()), x - x.mean())

    def mirrored(self) -> Path:
        """The same turned by half a turn: alike for the spectrum, not for the image."""
        return Path(self.length, self.angle + 180.0, self.turn)


@lru_cache(maxsize=1)
def lines() -> tuple[tuple[Path, ...], Tensor]:
    """Lines of all lengths and angles, neighbours about a pixel apart at their ends, and their transfer."""
    found = []
    for length in np.exp(np.arange(math.log(SHORTEST), math.log(LONGEST), APART)).tolist():
        count = max(12, math.ceil(math.pi * length / 2.2))
        found += [Path(length, 180.0 * i / count) for i in range(count)]
    return tuple(found), transfers(found)


@lru_cache(maxsize=1)
def arcs() -> tuple[tuple[Path, ...], Tensor]:
    """Arcs of all lengths and turns, and of half the angles: mirror images have the same transfer.

    A turn to the right is one to the left on the way back.
    """
    found = []
    for length in np.exp(np.arange(math.log(5.0), math.log(LONGEST), 1.6 * APART)).tolist():
        count = max(12, math.ceil(math.pi * length / 4.0))
        found += [Path(length, 180.0 * i / count, turn) for turn in TURNS for i in range(count)]
    return tuple(found), transfers(found)


def transfers(paths: Sequence[Path]) -> Tensor:
    """Power transfer (n, modes)."""
    with torch.inference_mode(False):
        return torch.stack([transfer(path.kernel()).float() for path in paths])


def correlation(a: FloatArray, b: FloatArray) -> float:
    """Largest normalised correlation of two kernels over shifts, 0 to 1."""
    found = scipy.signal.fftconvolve(a, b[::-1, ::-1])
    return float(found.max() / math.sqrt(float((a**2).sum() * (b**2).sum())))


def likeness(a: FloatArray, b: FloatArray) -> tuple[float, float]:
    """Correlation of a kernel with another, and with the mirror image of that, which has the same evidence."""
    return correlation(a, b), correlation(a, b[::-1, ::-1])
