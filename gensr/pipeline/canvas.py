"""A scene on the refined grid, window by window: interpolated so that it explains its data, insets laid over it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch

from gensr.operators.resample import upsample
from gensr.scenes.insets import Inset
from gensr.scenes.scene import Scene
from gensr.search import consistency
from gensr.values.grid import Factor, Window
from gensr.values.precision import Real

CONTEXT = 3 + consistency.SMOOTH_REACH
"""Pixels around a window that its interpolation depends on: three of Lanczos, and those of the exact correction."""


@dataclass(frozen=True)
class Patch:
    """An inset on the refined grid.

    Attributes:
        area: pixels of the input that it covers.
        shows: bool (y, x) of the area, whether anything of the inset shows in a pixel of the input.
        values: what stands in place of the interpolation, (band, y, x) of the refined area: mean, then samples.
        std: deviation, same shape; NaN where nothing shows.
    """

    area: Window
    shows: npt.NDArray[np.bool_]
    values: tuple[Real, ...]
    std: Real


@dataclass
class Canvas:
    """A plane of a scene with its insets.

    Attributes:
        scene: the input.
        factor: refinement.
        patches: insets so far; later ones lie over earlier ones.
    """

    scene: Scene
    factor: Factor
    patches: list[Patch] = field(default_factory=list)

    def values(self, window: Window, index: int = 0) -> Real:
        """Mean (0) or sample ``index`` - 1 on a window of the input, (band, y, x) of its refined pixels."""
        found = self._plain(window)
        for patch in self.patches:
            cut = _shared(window, patch.area, self.factor)
            if cut is not None:
                here, there = cut
                shown = _refined(patch.shows, self.factor)[there]
                found[:, *here] = np.where(shown, patch.values[index][:, *there], found[:, *here])
        return found

    def std(self, window: Window) -> Real:
        """Deviation on the same pixels; NaN where nothing is known of the error."""
        fine = window.refine(self.factor)
        found = np.full((len(self.scene.bands), fine.rows, fine.cols), np.nan, np.float32)
        for patch in self.patches:
            cut = _shared(window, patch.area, self.factor)
            if cut is not None:
                here, there = cut
                shown = _refined(patch.shows, self.factor)[there]
                found[:, *here] = np.where(shown, patch.std[:, *there], found[:, *here])
        return found

    def lay(self, inset: Inset, mean: Real, std: Real, samples: list[Real]) -> None:
        """Put the answer of an inset over what is there, softly, and explain the data again where it shows."""
        area, fine = inset.area, inset.area.refine(self.factor)
        mask = inset.mask(fine, self.factor)
        fy, fx = self.factor
        shows = mask.reshape(area.rows, fy, area.cols, fx).max((1, 3)) > 0
        y = torch.from_numpy(self._read(area))
        base = self.values(area)
        values = tuple(
            self._explained(base + mask * (inset.lay(one, fine, self.factor) - base), y, shows)
            for one in (mean, *samples)
        )
        spread = mask * np.maximum(inset.lay(std, fine, self.factor), 0)
        self.patches.append(Patch(area, shows, values, spread.astype(np.float32)))

    def _explained(self, x: Real, y: torch.Tensor, shows: npt.NDArray[np.bool_]) -> Real:
        """An area whose data are explained where something shows, and that is what it was elsewhere."""
        where = torch.from_numpy(shows)[None, None].expand(1, len(y), -1, -1)
        whole = torch.from_numpy(x.astype(np.float32))[None]
        return consistency.project_smoothly(whole, y[None], where, self.factor)[0].numpy()

    def _plain(self, window: Window) -> Real:
        """The interpolation alone: Lanczos, and what that leaves of the data returned."""
        rows, cols = self.scene.grid.shape
        top, left = max(0, window.row - CONTEXT), max(0, window.col - CONTEXT)
        bottom = min(rows, window.row + window.rows + CONTEXT)
        right = min(cols, window.col + window.cols + CONTEXT)
        data = self._read(Window(top, left, bottom - top, right - left))
        y = torch.from_numpy(data)[None]
        x = torch.from_numpy(upsample(data, self.factor, "lanczos"))[None]
        x = consistency.project_smoothly(x, y, torch.ones_like(y, dtype=torch.bool), self.factor)
        fine = Window(window.row - top, window.col - left, window.rows, window.cols).refine(self.factor)
        return x[0, :, fine.row : fine.row + fine.rows, fine.col : fine.col + fine.cols].numpy().copy()

    def _read(self, window: Window) -> npt.NDArray[np.float32]:
        return np.array(self.scene.read(0, window).values, np.float32)


def _refined(x: npt.NDArray[np.bool_], factor: Factor) -> npt.NDArray[np.bool_]:
    return x.repeat(factor[0], -2).repeat(factor[1], -1)


def _shared(one: Window, other: Window, factor: Factor) -> tuple[tuple[slice, slice], tuple[slice, slice]] | None:
    """Refined pixels that two windows of the input share, as slices of each; None for none."""
    top, left = max(one.row, other.row), max(one.col, other.col)
    bottom = min(one.row + one.rows, other.row + other.rows)
    right = min(one.col + one.cols, other.col + other.cols)
    if bottom <= top or right <= left:
        return None

    def cut(window: Window) -> tuple[slice, slice]:
        fy, fx = factor
        rows = slice((top - window.row) * fy, (bottom - window.row) * fy)
        return rows, slice((left - window.col) * fx, (right - window.col) * fx)

    return cut(one), cut(other)
