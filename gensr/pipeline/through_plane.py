"""The second pass: slices of a volume refined across, after every slice was refined within.

Seen edge-on, a stack of slices is a set of planes (slice, column), one for every row, and (slice, row), one for every
column, whose pixels are long in one direction. Each is reconstructed with the operator that averages over the slice,
and with the prior of the first pass or its companion if that does not know this operator; both views are averaged. The
mean over the new slices of an old one stays what the first pass found, so the data are explained as well as before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from gensr.errors import GensrError
from gensr.operators import Area
from gensr.pipeline import reconstruct
from gensr.pipeline.plan import QUANTISATION, Job, closed_generator, conformal_factor
from gensr.pipeline.store import Raster, Store
from gensr.pipeline.tiles import batches
from gensr.scenes.domain import Across, Codes, Scene
from gensr.values.grid import PixelGrid, Window
from gensr.values.image import Image
from gensr.values.noise import GaussianNoise
from gensr.values.random import Stream

FloatArray = npt.NDArray[np.float32]
Shape = tuple[int, int, int, int]
SLAB = 16
"""Neighbouring lines held in memory together."""
BLOCK = 1 << 20
"""Pixels that are encoded together."""


def layout(across: Across, names: list[str], full: Shape) -> dict[str, tuple[Shape, np.dtype[Any]]]:
    """Rasters that the second pass needs: the first pass as physical values, NaN where invalid, and two to work in.

    Args:
        across: the volumes.
        names: of the results: "mean", "std", "sample0", ...
        full: (plane, band, row, col) of the first pass.
    """
    single = np.dtype(np.float32)
    work = (full[0] * across.factor, *full[1:])
    rasters = {f"first_{name}": (full, single) for name in names}
    return rasters | {"second": (work, single), "second_std": (work, single)}


class Lines(Scene):
    """The rows or columns of a finished first pass as planes: plane ``v * lines + i``, rows are slices.

    Args:
        scene: the input.
        across: its volumes.
        raster: (plane, band, row, col) physical values, NaN where invalid.
        axis: 0 for one plane per row, 1 for one per column.
    """

    def __init__(self, scene: Scene, across: Across, raster: Raster, axis: int) -> None:
        self.path, self.bands, self.dtype, self.unit = scene.path, scene.bands, raster.dtype, scene.unit
        self.quantum, self.axis, self.slices, self._raster = scene.quantum, axis, across.slices, raster
        self.lines, extent = raster.shape[2 + axis], raster.shape[3 - axis]
        self.volumes = raster.shape[0] // across.slices
        self.planes = self.volumes * self.lines
        self.grid = PixelGrid((across.slices, extent))
        self._slab: tuple[int, int, FloatArray] | None = None

    def place(self, first: int, count: int) -> Window:
        """Window of the slices that holds ``count`` lines from ``first`` on."""
        rows, cols = self._raster.shape[2:]
        return Window(first, 0, count, cols) if self.axis == 0 else Window(0, first, rows, count)

    def read(self, plane: int, window: Window) -> Image:
        """See `Scene.read`."""
        volume, line = divmod(plane, self.lines)
        first = line // SLAB * SLAB
        if self._slab is None or self._slab[:2] != (volume, first):
            place = self.place(first, min(SLAB, self.lines - first))
            stack = [self._raster.read(volume * self.slices + z, place) for z in range(self.slices)]
            self._slab = volume, first, np.stack(stack, 1)  # (band, slice, row, col)
        row, col, rows, cols = window
        values = np.take(self._slab[2], line - first, 2 + self.axis)[:, row : row + rows, col : col + cols]
        known = np.isfinite(values)
        filled = np.where(known, values, np.float32(0))
        return Image(filled, self.grid.crop(window), known, known.copy(), self.bands, self.unit)

    def encode(self, plane: int, values: FloatArray, valid: npt.NDArray[np.bool_]) -> tuple[Codes, int]:
        """See `Scene.encode`; values stay as they are."""
        return np.where(valid, values, np.float32(np.nan)), 0

    def facts(self) -> dict[str, Any]:
        """See `Scene.facts`."""
        return {"planes": self.planes}


def refine(scene: Scene, job: Job, store: Store, advance: Callable[[int], None]) -> int:
    """Fill "mean", "std" and the samples of a store from its first pass.

    Args:
        scene: the input.
        job: of the first pass; ``job.across`` is set.
        store: with a finished first pass.
        advance: told how many output pixels of a band were finished.

    Returns:
        How many values of the mean were clipped or moved off the nodata code.
    """
    for axis in (0, 1):
        _views(scene, job, store, "mean", axis, advance)
    clipped = _encode(scene, job, store, "mean")
    _spread(scene, job, store)
    for k in range(job.request.samples):
        _views(scene, job, store, f"sample{k}", 0, advance)
        _encode(scene, job, store, f"sample{k}")
    return clipped


def passes(job: Job) -> int:
    """How often the output is computed: twice for the mean, once for every sample."""
    return 2 + job.request.samples if job.across else 0


def _job(job: Job, across: Across, name: str) -> Job:
    """The job of the second pass: its own operator, exact data, and random numbers that no other pass uses."""
    operator = Area((across.factor, 1))
    generator = closed_generator(job.generator, operator, job.device)
    sample = name.startswith("sample")
    seed = Stream(job.request.seed).child("across", name).number()
    return replace(
        job,
        factor=operator.factor,
        operator=operator,
        unit=operator,
        generator=generator,
        noise=GaussianNoise(QUANTISATION * job.quantum),
        exact=True,
        conformal=conformal_factor(generator.card.conformal, across.factor, 0.0),
        across=None,
        request=replace(job.request, seed=seed, samples=int(sample)),
    )


def _views(scene: Scene, job: Job, store: Store, name: str, axis: int, advance: Callable[[int], None]) -> None:
    """Reconstruct all lines along one axis into "second" (and "second_std" for the mean); the second axis averages."""
    across = _across(job)
    own = _job(job, across, name)
    lines = Lines(scene, across, store.rasters[f"first_{name}"], axis)
    tiles = reconstruct.tiles(lines, own, None)
    per_line = len(tiles) // lines.planes
    height, extent = across.slices * across.factor, lines.grid.shape[1]
    for volume in range(lines.volumes):
        for first in range(0, lines.lines, SLAB):
            count = min(SLAB, lines.lines - first)
            shape = [len(scene.bands), height, 0, 0]
            shape[2 + axis], shape[3 - axis] = count, extent
            mean, std = np.empty(shape, np.float32), np.empty(shape, np.float32)
            start = volume * lines.lines + first
            for group in batches(tiles[start * per_line : (start + count) * per_line], SLAB):
                for tile, result in zip(group, reconstruct.in_place(lines, own, group), strict=True):
                    top = tile.core.row * across.factor
                    where: list[Any] = [slice(None), slice(top, top + tile.core.rows * across.factor), 0, 0]
                    where[2 + axis] = tile.plane - start
                    where[3 - axis] = slice(tile.core.col, tile.core.col + tile.core.cols)
                    values = result.samples[0] if own.request.samples else result.mean
                    mean[tuple(where)] = np.where(result.valid, values, np.float32(np.nan))
                    std[tuple(where)] = result.std
            place = lines.place(first, count)
            for z in range(height):
                _blend(store, volume * height + z, place, mean[:, z], std[:, z], axis == 1)
            advance(height * count * extent)


def _blend(store: Store, plane: int, place: Window, mean: FloatArray, std: FloatArray, second: bool) -> None:
    """Write a slice of a slab, or average it with what the other view left; the views' difference counts as spread."""
    if second:
        other, spread = store.rasters["second"].read(plane, place), store.rasters["second_std"].read(plane, place)
        std = np.sqrt((std**2 + spread**2) / 2 + (mean - other) ** 2 / 4)
        mean = (mean + other) / 2
    store.rasters["second"].write(plane, place, mean)
    store.rasters["second_std"].write(plane, place, std)


def _encode(scene: Scene, job: Job, store: Store, name: str) -> int:
    """Codes of what "second" holds."""
    across, raster = _across(job), store.rasters["second"]
    total = 0
    for plane in range(raster.shape[0]):
        for window in _blocks(raster.shape):
            values = raster.read(plane, window)
            valid = np.isfinite(values)
            codes, clipped = scene.encode(across.coarse(plane), np.where(valid, values, np.float32(0)), valid)
            store.rasters[name].write(plane, window, codes)
            total += clipped
    return total


def _spread(scene: Scene, job: Job, store: Store) -> None:
    """Standard deviation: that of the first pass, its variance interpolated across slices, and that of the second."""
    across, raster = _across(job), store.rasters["second_std"]
    first = store.rasters["first_std"]
    for plane in range(raster.shape[0]):
        volume, fine = divmod(plane, across.slices * across.factor)
        centre = (fine + 0.5) / across.factor - 0.5
        below = int(np.floor(centre))
        share = np.float32(centre - below)
        ends = [volume * across.slices + min(max(z, 0), across.slices - 1) for z in (below, below + 1)]
        for window in _blocks(raster.shape):
            low, high = (first.read(end, window) ** 2 for end in ends)
            # Where one neighbour is invalid the other one counts alone.
            low, high = np.where(np.isfinite(low), low, high), np.where(np.isfinite(high), high, low)
            variance = (1 - share) * low + share * high + raster.read(plane, window) ** 2
            store.rasters["std"].write(plane, window, np.sqrt(variance))


def _blocks(shape: Shape) -> list[Window]:
    rows, cols = shape[2:]
    height = max(1, BLOCK // (cols * shape[1]))
    return [Window(row, 0, min(height, rows - row), cols) for row in range(0, rows, height)]


def _across(job: Job) -> Across:
    if job.across is None:
        raise GensrError("this job has no refinement across slices")
    return job.across
