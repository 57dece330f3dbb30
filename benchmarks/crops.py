"""The part of a picture that is drawn and looked at: one square of common size per picture, chosen by a fixed rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gensr.values.grid import Window

from .datasets import Case
from .protocol import block_mean

SIDE = 128
"""Largest side of a crop, pixels."""
STEP = 8
"""Crops start at multiples of this many pixels, so they hold whole data at every factor."""


@dataclass(frozen=True)
class Crop:
    """A square of one picture.

    Attributes:
        index: of the picture in its list.
        window: on the fine grid, at multiples of 8 pixels.
    """

    index: int
    window: Window

    def cut(self, image: NDArray[Any]) -> NDArray[Any]:
        """That part of (..., y, x) on the fine grid."""
        return _cut(image, self.window)

    def coarse(self, factor: int) -> Window:
        """The same on the grid of the observation."""
        row, col, rows, cols = self.window
        return Window(row // factor, col // factor, rows // factor, cols // factor)

    def cut_low(self, low: NDArray[Any], factor: int) -> NDArray[Any]:
        """That part of an observation (..., y, x)."""
        return _cut(low, self.coarse(factor))

    def case(self, cases: Sequence[Case]) -> Case:
        """The case of that part alone, without a catalogue, whose positions would no longer hold."""
        whole = cases[self.index]
        return replace(whole, image=self.cut(whole.image), sources=whole.sources[:0])


def _cut(image: NDArray[Any], window: Window) -> NDArray[Any]:
    row, col, rows, cols = window
    return image[..., row : row + rows, col : col + cols]


def spread(cases: Sequence[Case], count: int) -> list[Crop]:
    """Crops of at most ``count`` evenly spread pictures, all of one side: 128 px, or that of the smallest picture.

    Args:
        cases: pictures whose sides are multiples of 8.
        count: from 1 on.
    """
    side = min(SIDE, *(min(case.image.shape[1:]) for case in cases))
    chosen = np.unique(np.linspace(0, len(cases) - 1, min(count, len(cases))).round().astype(int))
    return [Crop(int(i), busiest(cases[i].image, side)) for i in chosen]


def busiest(image: NDArray[np.floating], side: int) -> Window:
    """The square of a picture (band, y, x) in which values vary most: nuclei, not the empty slide beside them."""
    rows, cols = image.shape[1:]
    if (rows, cols) == (side, side):
        return Window(0, 0, side, side)
    grey = np.asarray(image, np.float64).mean(0, keepdims=True)
    view = (side // STEP, side // STEP)
    first, second = (
        np.lib.stride_tricks.sliding_window_view(block_mean(plane, STEP)[0], view).mean((2, 3))
        for plane in (grey, grey**2)
    )
    variance = second - first**2
    row, col = np.unravel_index(int(variance.argmax()), variance.shape)
    return Window(int(row) * STEP, int(col) * STEP, side, side)
