"""Super-resolution across slices: when it is needed, and where the new slices lie.

Coarse slice ``k`` becomes refined slices ``k f .. k f + f - 1``; the half-pixel rule of `gensr.values.grid` holds along
the slice axis too, so the outer faces of the stack do not move.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gensr.values.grid import first_centre

LARGEST = 8
NEEDED_AT = 2.0
SPARSE = 3.0


@dataclass(frozen=True)
class Stack:
    """Slices of a scene along one axis; plane ``t * slices + z`` is slice ``z`` of volume ``t``.

    Attributes:
        slices: slices of one volume.
        volumes: repetitions of the stack (time, echoes).
        step: distance of slice centres, mm; None when unknown or uneven.
        thickness: slice thickness, mm; None when unknown.
        in_plane: (row, column) spacing, mm; None when unknown.
    """

    slices: int
    volumes: int
    step: float | None
    thickness: float | None
    in_plane: tuple[float, float] | None

    def suggestion(self) -> int:
        """Through-plane factor that `decide` suggests; 1 where the geometry is unknown."""
        if self.step is None or self.in_plane is None or self.slices < 2:
            return 1
        return decide(self.step, self.thickness, self.in_plane)


def decide(spacing: float, thickness: float | None, in_plane: float | tuple[float, float]) -> int:
    """Suggested through-plane factor: 1 (not needed) below twice the in-plane spacing, else their ratio, at most 8.

    Args:
        spacing: distance of slice centres, mm (from positions, not from the thickness).
        thickness: slice thickness, mm; None when unknown. Slices that sample less than a third of the step
            (1 mm every 10 mm) say nothing about the gaps, so the answer is 1.
        in_plane: pixel spacing, mm; the coarser one of a pair counts.

    >>> decide(4.0, 4.0, 0.7), decide(5.0, 3.0, 2.0), decide(1.0, 1.0, 0.9), decide(10.0, 1.0, 0.7)
    (6, 2, 1, 1)
    """
    pixel = max(in_plane) if isinstance(in_plane, tuple) else in_plane
    if not (math.isfinite(spacing) and math.isfinite(pixel) and spacing > 0 and pixel > 0):
        return 1
    if spacing < NEEDED_AT * pixel * (1 - 1e-6):
        return 1
    if thickness is not None and thickness > 0 and spacing > SPARSE * thickness * (1 + 1e-6):
        return 1
    return min(LARGEST, round(spacing / pixel))


def refine_positions(position: npt.ArrayLike, step: npt.ArrayLike, factor: int) -> list[npt.NDArray[np.float64]]:
    """Centres of the refined slices of one coarse slice.

    Args:
        position: (3,) a point of the coarse slice, mm (DICOM Image Position).
        step: (3,) vector from a slice to the next, mm.
        factor: through-plane factor.

    >>> [p.tolist() for p in refine_positions([0, 0, 0], [0, 0, 4], 2)]
    [[0.0, 0.0, -1.0], [0.0, 0.0, 1.0]]
    """
    origin, vector = np.asarray(position, np.float64), np.asarray(step, np.float64)
    return [origin + vector * (first_centre(factor) + j / factor) for j in range(factor)]


def refine_extent(step: float, factor: int) -> tuple[float, float]:
    """New (SliceThickness, SpacingBetweenSlices): refined slices touch each other, so both are ``step / factor``."""
    return step / factor, step / factor
