"""Pixel grids: where every pixel lies, as an immutable value anchored at the pixel corner.

One rule serves every format (``s`` is the refinement factor, ``x`` a 0-based pixel-centre coordinate)::

    x' = (x + 0.5) s - 0.5        corner-based coordinates:  c' = c s

so the field of view and its corners never move. Model: odc-geo's ``GeoBox``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from gensr.errors import GridError

Factor = tuple[int, int]
"""Refinement per axis, (rows, columns)."""


def as_factor(factor: int | Factor) -> Factor:
    """Check a refinement factor and return it per axis.

    Raises:
        GridError: if it is not a positive integer, or a pair of them.

    >>> as_factor(4)
    (4, 4)
    """
    pair = factor if isinstance(factor, tuple) else (factor, factor)
    if len(pair) != 2 or any(isinstance(f, bool) or not isinstance(f, int | np.integer) or f < 1 for f in pair):
        raise GridError(f"factor {factor!r} is not a positive integer (or a pair of them); use for example factor=4")
    return int(pair[0]), int(pair[1])


def refine_centre(x: float, s: int) -> float:
    """0-based pixel-centre coordinate on the grid refined ``s`` times.

    >>> refine_centre(0.0, 4)
    1.5
    """
    return (x + 0.5) * s - 0.5


def refine_reference(p: float, s: int) -> float:
    """1-based pixel-centre coordinate (FITS CRPIX) on the grid refined ``s`` times.

    >>> refine_reference(0.5, 4)
    0.5
    """
    return (p - 0.5) * s + 0.5


def first_centre(s: int) -> float:
    """Centre of refined pixel 0 in 0-based coordinates of the coarse grid: ``(1/s - 1)/2``."""
    return (1.0 / s - 1.0) / 2.0


def refine_affine(affine: npt.ArrayLike, scale: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """Refine a centre-based voxel-to-world affine (NIfTI, DICOM); the field of view does not move.

    Args:
        affine: (n+1, n+1) homogeneous matrix from voxel index (centres) to world coordinates.
        scale: n refinement factors in the order of the voxel axes.

    Returns:
        The (n+1, n+1) matrix of the refined grid: columns divided by the scale, and the origin moved by
        ``A ((1/s - 1)/2)``.

    Raises:
        GridError: if the shapes disagree.

    >>> refine_affine(np.diag([3.0, 3.0, 3.0, 1.0]), (3, 3, 1))[:3, 3]
    array([-1., -1.,  0.])
    """
    matrix = np.asarray(affine, np.float64)
    n = len(scale)
    if matrix.shape != (n + 1, n + 1):
        raise GridError(f"affine of shape {matrix.shape} does not fit {n} factors; give an (n+1, n+1) matrix")
    refined = matrix.copy()
    refined[:, :n] = matrix[:, :n] / np.asarray(scale, np.float64)
    refined[:, n] = matrix @ np.array([*(first_centre(s) for s in scale), 1.0])
    return refined


class Affine(NamedTuple):
    """Corner-based pixel-to-frame transform: ``X = a col + b row + c``, ``Y = d col + e row + f``."""

    a: float
    b: float
    c: float
    d: float
    e: float
    f: float


class Window(NamedTuple):
    """A rectangle of whole pixels: first row and column, number of rows and columns."""

    row: int
    col: int
    rows: int
    cols: int

    def refine(self, factor: Factor) -> Window:
        """Return the same rectangle on the refined grid."""
        return Window(self.row * factor[0], self.col * factor[1], self.rows * factor[0], self.cols * factor[1])

    def shift(self, origin: tuple[int, int]) -> Window:
        """Return the same rectangle counted from a place that lies ``origin`` (rows, columns) before it."""
        return Window(self.row + origin[0], self.col + origin[1], self.rows, self.cols)


IDENTITY = Affine(1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


@dataclass(frozen=True)
class PixelGrid:
    """Shape, transform and frame of an image.

    Attributes:
        shape: (rows, columns).
        transform: corner-based affine from (column, row) to the frame.
        frame: what the coordinates mean: a CRS as WKT, ``"wcs"``, ``"um"``, ``"mm"`` or ``"pixel"``.
    """

    shape: tuple[int, int]
    transform: Affine = IDENTITY
    frame: str = "pixel"

    def __post_init__(self) -> None:
        if len(self.shape) != 2 or min(self.shape) < 1:
            raise GridError(f"grid shape {self.shape} is empty; expected (rows, columns), both at least 1")
        if not np.all(np.isfinite(self.transform)):
            raise GridError(f"grid transform {tuple(self.transform)} is not finite; repair the georeference")

    def refine(self, factor: int | Factor) -> PixelGrid:
        """Divide every pixel into ``factor`` x ``factor``; the corners of the field of view stay.

        >>> PixelGrid((2, 3), Affine(10, 0, 100, 0, -10, 50)).refine(2).transform
        Affine(a=5.0, b=0.0, c=100, d=0.0, e=-5.0, f=50)
        """
        fy, fx = as_factor(factor)
        t = self.transform
        return replace(
            self,
            shape=(self.shape[0] * fy, self.shape[1] * fx),
            transform=Affine(t.a / fx, t.b / fy, t.c, t.d / fx, t.e / fy, t.f),
        )

    def crop(self, window: Window) -> PixelGrid:
        """Grid of a window that lies inside this one.

        Raises:
            GridError: if the window leaves the grid.
        """
        row, col, rows, cols = window
        if row < 0 or col < 0 or row + rows > self.shape[0] or col + cols > self.shape[1]:
            raise GridError(f"window {tuple(window)} leaves the grid of {self.shape}; clip it first")
        x, y = self.to_frame(col, row)
        return replace(self, shape=(rows, cols), transform=self.transform._replace(c=x, f=y))

    def to_frame(self, col: float, row: float) -> tuple[float, float]:
        """Frame coordinates of a corner-based position (the first pixel spans 0 to 1)."""
        t = self.transform
        return t.a * col + t.b * row + t.c, t.d * col + t.e * row + t.f

    def to_pixel(self, x: float, y: float) -> tuple[float, float]:
        """Corner-based (column, row) of a place in the frame; the inverse of `to_frame`.

        Raises:
            GridError: if the transform maps the grid to a line.

        >>> PixelGrid((2, 3), Affine(10, 0, 100, 0, -10, 50)).to_pixel(110, 40)
        (1.0, 1.0)
        """
        t = self.transform
        area = t.a * t.e - t.b * t.d
        if area == 0:
            raise GridError(f"grid transform {tuple(t)} has no area; repair the georeference")
        dx, dy = x - t.c, y - t.f
        return (t.e * dx - t.b * dy) / area, (t.a * dy - t.d * dx) / area

    def coordinates(self) -> dict[str, Any]:
        """Pixel centres for xarray: ``x`` and ``y``, or ``xc`` and ``yc`` of two axes where the grid is turned."""
        rows, cols = self.shape
        t = self.transform
        if t.b == 0 and t.d == 0:
            return {"x": t.a * (np.arange(cols) + 0.5) + t.c, "y": t.e * (np.arange(rows) + 0.5) + t.f}
        x, y = np.meshgrid(np.arange(cols) + 0.5, np.arange(rows) + 0.5)
        return {"xc": (("y", "x"), t.a * x + t.b * y + t.c), "yc": (("y", "x"), t.d * x + t.e * y + t.f)}

    def corners(self) -> npt.NDArray[np.float64]:
        """Outer corners (4, 2) in the frame, clockwise from pixel (0, 0)."""
        rows, cols = self.shape
        return np.array([self.to_frame(c, r) for c, r in ((0, 0), (cols, 0), (cols, rows), (0, rows))])

    @property
    def pixel_size(self) -> tuple[float, float]:
        """Length of a (row step, column step) in frame units."""
        t = self.transform
        return float(np.hypot(t.b, t.e)), float(np.hypot(t.a, t.d))
