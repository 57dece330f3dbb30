"""Bands of a plane in which every usable pixel has the same value: nothing to refine, and nothing is made up."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from gensr.values.grid import Window
from gensr.values.image import Image

Flat = Callable[[int, Image], npt.NDArray[np.bool_]]
"""From a plane, and the image of a tile of it, to whether each band (band,) has no contrast in all of the plane."""
BLOCK = 1 << 20
"""Pixels that are looked at together."""


def contrasted(plane: int, image: Image) -> npt.NDArray[np.bool_]:
    """No band is flat: what is said where nobody looked."""
    return np.zeros(len(image.bands), np.bool_)


def flat_bands(image: Image) -> npt.NDArray[np.bool_]:
    """Whether all usable values of a band are the same (band,); False where none is usable."""
    low, high = _ends(image)
    return np.asarray(low == high)


def flat_plane(read: Callable[[int, Window], Image], plane: int, shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """The same of a whole plane, read in blocks until every band shows a contrast."""
    rows, cols = shape
    low, high = np.array([np.inf]), np.array([-np.inf])
    step = max(1, BLOCK // cols)
    for row in range(0, rows, step):
        ends = _ends(read(plane, Window(row, 0, min(step, rows - row), cols)))
        low, high = np.minimum(low, ends[0]), np.maximum(high, ends[1])
        if (low < high).all():
            break
    return np.asarray(low == high)


def _ends(image: Image) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Smallest and largest usable value of every band; infinite, and the wrong way round, where none is usable."""
    low = np.where(image.usable, image.values, np.inf).min((1, 2))
    high = np.where(image.usable, image.values, -np.inf).max((1, 2))
    return low.astype(np.float64), high.astype(np.float64)
