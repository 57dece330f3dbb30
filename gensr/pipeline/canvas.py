"""A scene on the refined grid, window by window: interpolated so that it explains its data, insets laid over it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch

from gensr.operators import Area
from gensr.operators.resample import upsample
from gensr.pipeline.background import Ground
from gensr.scenes.insets import Inset
from gensr.scenes.product import Codes
from gensr.scenes.scene import Scene
from gensr.search import consistency
from gensr.values.grid import Factor, Window
from gensr.values.precision import Real

ROUNDS, NEAR, SHARE = 12, 0.45, 1 / 4096
"""How often clipped values are given to their neighbours, the residual that needs none of it (codes), and the least
share of the pixels of a datum that can take it."""
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
        ground: what insets are laid over; None interpolates.
        patches: insets so far; later ones lie over earlier ones.
    """

    scene: Scene
    factor: Factor
    ground: Ground | None = None
    patches: list[Patch] = field(default_factory=list)

    def values(self, window: Window, index: int = 0) -> Real:
        """Mean (0) or sample ``index`` - 1 on a window of the input, (band, y, x) of its refined pixels."""
        found = self._plain(window) if self.ground is None else self.ground.values(window, index)
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
        unknown = np.full((len(self.scene.bands), fine.rows, fine.cols), np.nan, np.float32)
        found = unknown if self.ground is None else self.ground.std(window)
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
        values = []
        for index, one in enumerate((mean, *samples)):
            if not index or self.ground is not None:  # an interpolation is the same for all of them
                base = self.values(area, index)
            values.append(self._explained(base + mask * (inset.lay(one, fine, self.factor) - base), y, shows))
        spread = mask * np.maximum(inset.lay(std, fine, self.factor), 0)
        if self.ground is not None:
            spread = np.hypot(spread, (1 - mask) * self.ground.std(area))
        self.patches.append(Patch(area, shows, tuple(values), spread.astype(np.float32)))

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


def coded(scene: Scene, values: Real, data: Real, factor: Factor) -> tuple[Codes, int]:
    """Stored codes; what clipping at black and white takes from a datum goes to the other pixels of it.

    Args:
        scene: that stores them.
        values: (band, y, x), refined.
        data: that they explain, (band, y, x).
        factor: refinement.

    Returns:
        Codes, and how many values were clipped.
    """
    everywhere = np.ones(values.shape, np.bool_)
    codes, clipped = scene.encode(0, values, everywhere)
    for _ in range(ROUNDS if clipped and codes.dtype.kind in "ui" else 0):
        residual = left_of(codes, data, factor)
        if np.abs(residual).max() <= NEAR:
            break
        given = _finely(np.where(np.abs(residual) > NEAR, residual, 0), factor)
        info = np.iinfo(codes.dtype)
        free = np.where(given > 0, codes < info.max, codes > info.min)
        share = Area(factor).forward(torch.from_numpy(free.astype(np.float64))).numpy()
        given = free * given / np.maximum(_finely(share, factor), SHARE)
        codes, _ = scene.encode(0, (codes + given).astype(values.dtype), everywhere)
    return codes, clipped


def left_of(codes: Codes, data: Real, factor: Factor) -> Real:
    """What refined codes leave of the data."""
    fine = torch.from_numpy(codes.astype(np.float64))
    return np.asarray(data - Area(factor).forward(fine).numpy())


def _finely(values: Real, factor: Factor) -> Real:
    """Every value on all the pixels that its datum covers."""
    return values.repeat(factor[0], 1).repeat(factor[1], 2)


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
