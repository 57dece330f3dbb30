"""The second pass: slices of a volume refined through the planes, after every slice was refined within.

Seen edge-on, a stack of slices is a set of planes (slice, column), one for every row, and (slice, row), one for every
column, whose pixels are long in one direction. Each is reconstructed with the operator that averages over the slice,
and with the prior of the first pass or its fallback if that does not know this operator; both views are averaged. The
mean over the new slices of an old one stays what the first pass found, so the data are explained as well as before.

The work is cut into slabs of neighbouring lines. Each has a line in the journal, so a killed pass goes on where it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from gensr.operators import Area
from gensr.pipeline.flat import flat_bands
from gensr.pipeline.prior import closed_prior
from gensr.pipeline.reconstruct import TileResult, in_memory
from gensr.pipeline.store import MEAN, STD, Layout, Raster, Shape, Store, result_names, sample_name
from gensr.pipeline.task import QUANTISATION, Task
from gensr.pipeline.tiles import Tile, batches, scene_tiles, strip
from gensr.priors.card import conformal_factor
from gensr.runners.base import Runner
from gensr.scenes.product import ThroughPlane
from gensr.scenes.scene import Scene
from gensr.search.posterior import method_of
from gensr.values.grid import PixelGrid, Window
from gensr.values.image import Image
from gensr.values.noise import GaussianNoise
from gensr.values.precision import SINGLE, Real
from gensr.values.random import Stream

LINES = 16
"""Neighbouring lines of a slab, held in memory together."""
BLOCK = 1 << 20
"""Pixels that are encoded together."""
STREAM = "across"
"""Name of the pass in the tree of random streams; another name would be other numbers."""
SLAB, CODES = "slab ", "codes "
"""What the names of finished parts begin with."""


def first(name: str) -> str:
    """Name of the raster of a result of the first pass: physical values, NaN where invalid."""
    return f"first_{name}"


def view(name: str, axis: int, std: bool = False) -> str:
    """Name of the raster of a result as one view sees it: axis 0 for a line per row, 1 for one per column."""
    return f"view{axis}_{name}" + ("_std" if std else "")


def views(samples: int) -> list[tuple[str, int]]:
    """Results and the axes along which each is computed: the mean along both, a sample along one."""
    return [(MEAN, 0), (MEAN, 1), *((sample_name(k), 0) for k in range(samples))]


def layout(through: ThroughPlane, samples: int, full: Shape, held: np.dtype[Any] = SINGLE) -> Layout:
    """Rasters that the second pass needs beside those of the results.

    Args:
        through: the volumes.
        samples: posterior samples.
        full: (plane, band, row, col) of the first pass.
        held: dtype of physical values.
    """
    work = (full[0] * through.factor, *full[1:])
    rasters = {first(name): (full, held) for name in result_names(samples)}
    rasters |= {view(name, axis): (work, held) for name, axis in views(samples)}
    return rasters | {view(MEAN, axis, std=True): (work, held) for axis in (0, 1)}


@dataclass(frozen=True)
class Slab:
    """Neighbouring lines of one volume.

    Attributes:
        name: of the result.
        axis: 0 for lines along rows, 1 along columns.
        volume: which volume.
        start: the first line.
        values: (band, slice, row, col) of the first pass, NaN where invalid; ``row`` or ``col`` counts the lines.
    """

    name: str
    axis: int
    volume: int
    start: int
    values: Real

    @property
    def part(self) -> str:
        """Its name in the journal."""
        return slab_part(self.name, self.axis, self.volume, self.start)

    @property
    def lines(self) -> int:
        """Number of lines."""
        return int(self.values.shape[2 + self.axis])


def slab_part(name: str, axis: int, volume: int, start: int) -> str:
    """Name of a slab in the journal."""
    return f"{SLAB}{name} {axis} {volume} {start}"


@dataclass(frozen=True)
class SlabWork:
    """Reconstructs a slab; pure, so that it may run anywhere.

    Attributes:
        name: of the input, for messages.
        task: of this result, see `second_task`.
        lines: lines of a volume along the slab's axis; noise is attached to the number of a line in all volumes.
        bands: names of the bands.
        sample: whether a sample is computed instead of the mean.
    """

    name: str
    task: Task
    lines: int
    bands: tuple[str, ...]
    sample: bool

    def __call__(self, slab: Slab) -> tuple[Real, Real]:
        """Values and deviation (band, refined slice, row, col) of the slab's lines."""
        shape = list(slab.values.shape)
        grid = PixelGrid((shape[1], shape[3 - slab.axis]))
        factor = self.task.factor[0]
        shape[1] *= factor
        mean, std = np.empty(shape, slab.values.dtype), np.empty(shape, slab.values.dtype)
        begin = slab.volume * self.lines + slab.start
        one = scene_tiles(1, grid.shape, self.task, None)
        tiles = [tile for line in range(slab.lines) for tile in strip(one, begin + line)]

        def read(plane: int, window: Window) -> Image:
            line = np.take(slab.values, plane - begin, 2 + slab.axis)
            values = line[:, window.row : window.row + window.rows, window.col : window.col + window.cols]
            known = np.isfinite(values)
            filled = np.where(known, values, values.dtype.type(0))
            return Image(filled, grid.crop(window), known, known.copy(), self.bands)

        def flat(plane: int, image: Image) -> npt.NDArray[np.bool_]:
            line = np.take(slab.values, plane - begin, 2 + slab.axis)
            known = np.isfinite(line)
            return flat_bands(Image(np.where(known, line, 0), grid, known, known, self.bands))

        for group in batches(tiles, LINES):
            for tile, result in zip(group, in_memory(self.name, read, self.task, group, flat), strict=True):
                where = _place(tile, tile.plane - begin, slab.axis, factor)
                values = result.samples[0] if self.sample else result.mean
                mean[where] = np.where(result.valid, values, np.nan)
                std[where] = result.std
        return mean, std


def _place(tile: Tile, line: int, axis: int, factor: int) -> tuple[Any, ...]:
    """Index of a tile's core in (band, refined slice, row, col) of its slab."""
    top = tile.core.row * factor
    where: list[Any] = [slice(None), slice(top, top + tile.core.rows * factor), 0, 0]
    where[2 + axis] = line
    where[3 - axis] = slice(tile.core.col, tile.core.col + tile.core.cols)
    return tuple(where)


def second_task(task: Task, through: ThroughPlane, name: str) -> Task:
    """The task of a result: its own operator, exact data, and random numbers that no other pass uses."""
    operator = Area((through.factor, 1))
    prior = closed_prior(task.prior, operator)
    scale = conformal_factor(prior.generator.card.conformal, through.factor, 0.0)
    return replace(
        task,
        operator=operator,
        prior=prior,
        noise_model=GaussianNoise(QUANTISATION * task.quantum),
        exact=True,
        conformal=(scale,) * len(task.conformal),
        method=method_of(prior.generator, operator, task.preset),
        samples=0 if name == MEAN else 1,
        seed=Stream(task.seed).child(STREAM, name).number(),
    )


def passes(samples: int) -> int:
    """How often the output is computed: twice for the mean, once for every sample."""
    return len(views(samples))


def keep_first(store: Store, plane: int, area: Window, result: TileResult) -> None:
    """Put a result of the first pass where the second one reads it."""
    for name, values in ((MEAN, result.mean), *((sample_name(k), s) for k, s in enumerate(result.samples))):
        store.rasters[first(name)].write(plane, area, np.where(result.valid, values, np.nan))
    store.rasters[first(STD)].write(plane, area, result.std)


def second_pass(scene: Scene, task: Task, through: ThroughPlane, store: Store, runner: Runner) -> Iterator[int]:
    """Fill the results of a store from its first pass, as far as its journal does not have them already.

    Args:
        scene: the input.
        task: of the first pass.
        through: the volumes.
        store: with a finished first pass.
        runner: where slabs run.

    Yields:
        How many output pixels of a band were finished, those of earlier runs first.
    """
    for name, axis in views(task.samples):
        raster = store.rasters[first(name)]
        lines, extent = raster.shape[2 + axis], raster.shape[3 - axis]
        height = through.slices * through.factor
        work = SlabWork(scene.path.name, second_task(task, through, name), lines, scene.bands, name != MEAN)
        volumes = raster.shape[0] // through.slices
        whole = [(v, start) for v in range(volumes) for start in range(0, lines, LINES)]
        todo = [(v, start) for v, start in whole if slab_part(name, axis, v, start) not in store.done]
        yield sum(min(LINES, lines - s) for v, s in whole if (v, s) not in set(todo)) * height * extent
        slabs = (_slab(raster, through, name, axis, v, start) for v, start in todo)
        with closing(runner.map(work, slabs)) as found:
            for slab, (mean, std) in found:
                _store_view(store, slab, height, mean, std)
                store.finish(slab.part, {})
                yield height * slab.lines * extent
    _encode(scene, task.samples, through, store)


def _slab(raster: Raster, through: ThroughPlane, name: str, axis: int, volume: int, start: int) -> Slab:
    place = _lines(raster.shape, axis, start, min(LINES, raster.shape[2 + axis] - start))
    stack = [raster.read(volume * through.slices + z, place) for z in range(through.slices)]
    return Slab(name, axis, volume, start, np.stack(stack, 1))


def _lines(shape: Shape, axis: int, start: int, count: int) -> Window:
    """Window of a plane that holds ``count`` lines from ``start`` on."""
    rows, cols = shape[2:]
    return Window(start, 0, count, cols) if axis == 0 else Window(0, start, rows, count)


def _store_view(store: Store, slab: Slab, height: int, mean: Real, std: Real) -> None:
    raster = store.rasters[view(slab.name, slab.axis)]
    place = _lines(raster.shape, slab.axis, slab.start, slab.lines)
    for z in range(height):
        raster.write(slab.volume * height + z, place, mean[:, z])
        if slab.name == MEAN:
            store.rasters[view(MEAN, slab.axis, std=True)].write(slab.volume * height + z, place, std[:, z])


def _encode(scene: Scene, samples: int, through: ThroughPlane, store: Store) -> None:
    """Codes of all results, plane by plane, and the standard deviation."""
    planes = store.rasters[MEAN].shape[0]
    for name in (MEAN, *map(sample_name, range(samples))):
        for plane in range(planes):
            part = f"{CODES}{name} {plane}"
            if part in store.done:
                continue
            clipped = 0
            for window in _blocks(store.rasters[name].shape):
                values = (
                    _seen(store, plane, window)[0] if name == MEAN else store.rasters[view(name, 0)].read(plane, window)
                )
                valid = np.isfinite(values)
                codes, moved = scene.encode(through.coarse(plane), np.where(valid, values, values.dtype.type(0)), valid)
                store.rasters[name].write(plane, window, codes)
                clipped += moved
                if name == MEAN:
                    store.rasters[STD].write(plane, window, _deviation(store, through, plane, window))
            store.finish(part, {"clipped": clipped if name == MEAN else 0})


def _seen(store: Store, plane: int, window: Window) -> tuple[Real, Real]:
    """Mean of both views, and its deviation, to which their difference counts as spread."""
    rows, cols = (store.rasters[view(MEAN, axis)].read(plane, window) for axis in (0, 1))
    row_std, col_std = (_wide(store.rasters[view(MEAN, axis, std=True)].read(plane, window)) for axis in (0, 1))
    std = np.sqrt((col_std**2 + row_std**2) / 2 + (_wide(cols) - rows) ** 2 / 4)
    return (cols + rows) / 2, std


def _deviation(store: Store, through: ThroughPlane, plane: int, window: Window) -> Real:
    """Standard deviation: that of the first pass, its variance interpolated through planes, and that of the second."""
    earlier = store.rasters[first(STD)]
    volume, fine = divmod(plane, through.slices * through.factor)
    centre = (fine + 0.5) / through.factor - 0.5
    below = int(np.floor(centre))
    share = centre - below
    ends = [volume * through.slices + min(max(z, 0), through.slices - 1) for z in (below, below + 1)]
    low, high = (_wide(earlier.read(end, window)) ** 2 for end in ends)
    # Where one neighbour is invalid the other one counts alone.
    low, high = np.where(np.isfinite(low), low, high), np.where(np.isfinite(high), high, low)
    variance = (1 - share) * low + share * high + _seen(store, plane, window)[1] ** 2
    return np.asarray(np.sqrt(variance), earlier.dtype)


def _wide(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """In float64, where squares of any unit have room."""
    return values.astype(np.float64)


def _blocks(shape: Shape) -> list[Window]:
    rows, cols = shape[2:]
    height = max(1, BLOCK // (cols * shape[1]))
    return [Window(row, 0, min(height, rows - row), cols) for row in range(0, rows, height)]
