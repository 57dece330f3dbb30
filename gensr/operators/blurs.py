"""Blurs that two or three numbers describe: a lens out of focus, a straight motion; and kernels of any path.

Lengths are low-resolution pixels. Angles are degrees, counter-clockwise from the right as the image is displayed (rows
down), which is how MATLAB's ``fspecial('motion')`` counts them; a motion and its reverse blur alike.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from gensr.errors import UsageError
from gensr.operators.psf import LARGEST_SIDE, MeasuredPSF
from gensr.values.grid import Factor, as_factor

FloatArray = npt.NDArray[np.float64]
FINE = 8
"""Samples of a pixel's side on which a disc is drawn."""
STEPS = 16
"""Samples of a path for each pixel of its length."""


def disc(radius: float, factor: int | Factor = 1) -> FloatArray:
    """Share of every fine pixel (odd, odd) in a disc: the blur of a lens that is out of focus, sum 1.

    Args:
        radius: low-resolution pixels, above 0.
        factor: refinement, an integer or (rows, cols).
    """
    lines = []
    for s in as_factor(factor):
        half = max(1, math.ceil(radius * s))
        lines.append((np.arange((2 * half + 1) * FINE) + 0.5) / FINE - half - 0.5)
        lines[-1] = lines[-1] / s
    inside = np.hypot(lines[0][:, None], lines[1]) <= radius
    shares = inside.reshape(len(lines[0]) // FINE, FINE, -1, FINE).mean((1, 3))
    if not shares.any():
        shares[len(shares) // 2, shares.shape[1] // 2] = 1.0
    return np.asarray(shares / shares.sum(), np.float64)


def line(length: float, angle: float, factor: int | Factor = 1) -> FloatArray:
    """Kernel (odd, odd) of a straight motion of even speed on the fine grid, sum 1; 0 pixels long it is one pixel.

    Args:
        length: low-resolution pixels.
        angle: degrees.
        factor: refinement, an integer or (rows, cols).
    """
    fy, fx = as_factor(factor)
    count = max(1, math.ceil(STEPS * length * max(fy, fx)))
    along = ((np.arange(count) + 0.5) / count - 0.5) * length
    turned = math.radians(angle)
    return trace(-along * math.sin(turned) * fy, along * math.cos(turned) * fx)


def trace(rows: npt.ArrayLike, cols: npt.ArrayLike) -> FloatArray:
    """Kernel (odd, odd) of a path: every point is shared out among the four pixels around it, sum 1.

    Args:
        rows: of the points, fine pixels from the middle, downwards.
        cols: same, to the right.
    """
    y, x = np.asarray(rows, np.float64).ravel(), np.asarray(cols, np.float64).ravel()
    halves = [max(1, math.ceil(float(np.abs(v).max(initial=0.0)))) for v in (y, x)]
    shape = (2 * halves[0] + 1, 2 * halves[1] + 1)
    out = np.zeros(shape[0] * shape[1])
    top, left = np.floor(y), np.floor(x)
    for down in (0, 1):
        for across in (0, 1):
            share = np.abs(1 - down - (y - top)) * np.abs(1 - across - (x - left))
            row, col = (top + down + halves[0]).astype(int), (left + across + halves[1]).astype(int)
            # A point on the last pixel has a neighbour outside with a share of nothing.
            place = row.clip(0, shape[0] - 1) * shape[1] + col.clip(0, shape[1] - 1)
            out += np.bincount(place, share, len(out))
    return np.asarray((out / out.sum()).reshape(shape), np.float64)


class Defocus(MeasuredPSF):
    """A lens out of focus, then pixel integration: a disc.

    Args:
        factor: refinement, an integer or (rows, cols).
        radius: of the disc, low-resolution pixels, above 0 and at most 100.
        total: sum over the block instead of the mean (flux per pixel).

    Raises:
        UsageError: for a radius outside that range, or too large on the fine grid.
    """

    def __init__(self, factor: int | Factor, radius: float, total: bool = False) -> None:
        if not (math.isfinite(radius) and 0 < radius <= 100):
            raise UsageError(f"defocus radius={radius} is not above 0 and at most 100 low-resolution pixels")
        _fits(2 * radius, factor)
        self.radius = float(radius)
        super().__init__(factor, disc(self.radius, factor), total)

    def describe(self) -> dict[str, Any]:
        """See `Operator.describe`."""
        return {"name": "defocus", "factor": list(self.factor), "radius": self.radius, "total": self.total}


class Motion(MeasuredPSF):
    """A straight motion of even speed during the exposure, then pixel integration: a line.

    Args:
        factor: refinement, an integer or (rows, cols).
        length: low-resolution pixels, above 0 and at most 200.
        angle: degrees, see the module text.
        total: sum over the block instead of the mean (flux per pixel).

    Raises:
        UsageError: for numbers outside those ranges, or too long on the fine grid.
    """

    def __init__(self, factor: int | Factor, length: float, angle: float, total: bool = False) -> None:
        if not (math.isfinite(length) and 0 < length <= 200):
            raise UsageError(f"motion length={length} is not above 0 and at most 200 low-resolution pixels")
        if not (math.isfinite(angle) and abs(angle) <= 360):
            raise UsageError(f"motion angle={angle} is not between -360 and 360 degrees")
        _fits(length, factor)
        self.length, self.angle = float(length), float(angle) % 180.0
        super().__init__(factor, line(self.length, self.angle, factor), total)

    def describe(self) -> dict[str, Any]:
        """See `Operator.describe`."""
        return {
            "name": "motion",
            "factor": list(self.factor),
            "length": self.length,
            "angle": self.angle,
            "total": self.total,
        }


def _fits(extent: float, factor: int | Factor) -> None:
    longest = extent * max(as_factor(factor)) + 3
    if longest > LARGEST_SIDE:
        raise UsageError(f"a blur of {longest:.0f} refined pixels is larger than {LARGEST_SIDE}; give a smaller factor")
