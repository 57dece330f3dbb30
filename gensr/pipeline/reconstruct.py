"""From the images of a batch of tiles to posterior mean, standard deviation and samples in physical units."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gensr.errors import GensrError, SearchError, out_of_memory
from gensr.pipeline.flat import Flat, contrasted, flat_bands, flat_plane
from gensr.pipeline.task import QUANTISATION, Task
from gensr.pipeline.tiles import Tile
from gensr.priors.device import rounding
from gensr.priors.observation import Observation
from gensr.scenes.statistics import without
from gensr.search.posterior import Answer, answer, summary
from gensr.values.grid import PixelGrid, Window
from gensr.values.image import Image
from gensr.values.precision import Real
from gensr.values.random import Stream

Kind = TypeVar("Kind", np.floating[Any], np.bool_)
_READING = threading.Lock()
FAINTEST = 1e12
"""Largest noise variance, generator units: data with more noise than a million times the contrast say nothing."""


class Source(Protocol):
    """Where the images of tiles are read from: a scene, or planes that were made from one."""

    path: Path
    grid: PixelGrid

    def read(self, plane: int, window: Window) -> Image:
        """See `gensr.scenes.scene.Scene.read`."""

    def read_bands(self, plane: int, window: Window, first: int, end: int) -> Image:
        """See `gensr.scenes.scene.Scene.read_bands`."""


@dataclass(frozen=True)
class TileResult:
    """What one tile writes, on its core.

    Attributes:
        mean: (band, rows, cols) physical values.
        std: same shape, physical units.
        samples: one array like ``mean`` per sample.
        valid: bool, same shape.
        whitened: residual of the data in units of their noise, (band, rows, cols) of the core on the input's grid,
            NaN where not usable.
        residual: sums over usable data of the core: count, squares, chi squares, the largest magnitude, and the sums
            of data and of explained data.
        search: what a latent search found, see `gensr.search.posterior.summary`; None where none was needed.
    """

    mean: Real
    std: Real
    samples: list[Real]
    valid: npt.NDArray[np.bool_]
    whitened: Real
    residual: dict[str, float]
    search: dict[str, Any] | None = None


@dataclass(frozen=True)
class TileWork:
    """Reconstructs tiles of a scene; pickled it is the scene's reference and the task.

    Readers of files are made for one thread, and a worker of a cluster may have several: one reads at a time.
    """

    scene: Source
    task: Task
    known: dict[Any, npt.NDArray[np.bool_]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __call__(self, tiles: tuple[Tile, ...]) -> list[TileResult]:
        """Results in the order of the tiles, which share a shape."""
        span = tiles[0].bands
        task = self.task if span is None else self.task.select(*span)
        if task is None:
            raise SearchError(f"{self.scene.path.name}: its bands belong together and cannot be computed in groups")
        repeated = task.repeated

        def read(plane: int, window: Window) -> Image:
            with _READING:
                whole = self.scene.read(plane, window) if span is None else self.scene.read_bands(plane, window, *span)
            return without(whole, plane, repeated)

        def flat(plane: int, image: Image) -> npt.NDArray[np.bool_]:
            """Where a tile has no contrast, the rest of its plane is looked at, once."""
            found = flat_bands(image)
            if found.any() and image.grid.shape != (shape := self.scene.grid.shape):
                if (plane, span) not in self.known:
                    self.known[plane, span] = flat_plane(read, plane, shape)
                found = found & self.known[plane, span]
            return found

        found = in_memory(self.scene.path.name, read, task, tiles, flat)
        for tile, result in zip(tiles, found, strict=True):
            bands = [band for plane, band in repeated if plane == tile.plane]
            result.std[bands] = np.nan  # what is repeated has no deviation
        return found


def in_memory(
    name: str, read: Callable[[int, Window], Image], task: Task, tiles: Sequence[Tile], flat: Flat = contrasted
) -> list[TileResult]:
    """Reconstruct tiles of one shape; out of memory halves the batch, and a tile that fails alone is named.

    Args:
        name: of the input, for messages.
        read: from plane and window to an image.
        task: what is computed.
        tiles: together.
        flat: see `gensr.pipeline.flat`.

    Raises:
        GensrError: one tile alone needs more memory than there is.
    """
    try:
        return reconstruct([read(tile.plane, tile.read) for tile in tiles], task, tiles, flat)
    except (MemoryError, RuntimeError, OSError) as error:
        if not out_of_memory(error):
            raise
        if len(tiles) == 1:
            core = tiles[0].core
            raise GensrError(
                f"{name}: out of memory in the tile at row {core.row}, column {core.col}; "
                f"give a smaller tile= than {max(core.rows, core.cols)}"
            ) from error
    half = len(tiles) // 2
    return in_memory(name, read, task, tiles[:half], flat) + in_memory(name, read, task, tiles[half:], flat)


def reconstruct(
    images: Sequence[Image], task: Task, tiles: Sequence[Tile], flat: Flat = contrasted
) -> list[TileResult]:
    """Reconstruct tiles of equal shape together.

    Args:
        images: of the tiles' ``read`` windows.
        task: what is computed.
        tiles: where the images lie.
        flat: see `gensr.pipeline.flat`.
    """
    task = task.within(tiles[0].read)  # tiles of an operator that differs from place to place come one by one
    level = [flat(tile.plane, image) for tile, image in zip(tiles, images, strict=True)]
    # Where there is a value, though a saturated one, there is a deviation: that of the prior, far from all data.
    busy = [i for i, image in enumerate(images) if image.valid.any() and not level[i].all()]
    results: dict[int, TileResult] = {i: _empty(images[i], tiles[i], task) for i in range(len(tiles)) if i not in busy}
    if busy:
        bands = len(images[0].bands)
        data = observe([images[i] for i in busy], task, tiles[0])
        with rounding(task.prior.precision):
            found = _answer(data, task, [tiles[i] for i in busy], bands)
        for row, i in enumerate(busy):
            results[i] = _finish(images[i], tiles[i], task, found, row, len(busy))
    flattened = {i: _levelled(results[i], images[i], tiles[i], task, level[i]) for i in results if level[i].any()}
    return [flattened.get(i, results[i]) for i in range(len(tiles))]


def observe(images: Sequence[Image], task: Task, tile: Tile) -> Observation:
    """Images as data in generator units; of a generator of one band, every band is an image of its own."""
    y = torch.from_numpy(np.stack([image.values.astype(np.float64) for image in images]))
    usable = torch.from_numpy(np.stack([image.usable for image in images]))
    # Squares of physical values have room in float64 only; what leaves here is of order one.
    middle = task.normaliser.inverse(torch.zeros_like(y))
    y = torch.where(usable, y, middle)
    u = task.normaliser.forward(y)
    variance = task.variance(y, _stated(images, usable)) / task.normaliser.derivative(u).square()
    u, variance = u.float(), variance.clamp(max=FAINTEST).float()
    if task.generator.card.bands == 1:
        u, variance, usable = (t.flatten(0, 1)[:, None] for t in (u, variance, usable))
    u, variance, usable = (t.to(task.device) for t in (u, variance, usable))
    return Observation(u, task.unit, variance, usable, tile.at_end, task.exact)


def _stated(images: Sequence[Image], usable: Tensor) -> Tensor | None:
    """Variance that the files state; of unusable data, of which they may say anything, the mean of the others."""
    maps = [image.variance for image in images if image.variance is not None]
    if len(maps) != len(images):
        return None
    said = torch.where(usable, torch.from_numpy(np.stack(maps)).double(), 0.0)
    mean = said.sum((-2, -1), keepdim=True) / usable.sum((-2, -1), keepdim=True).clamp(min=1)
    return torch.where(usable, said, mean)


def _answer(data: Observation, task: Task, tiles: Sequence[Tile], bands: int) -> Answer:
    """Mean, variance and samples, each (tile, band, rows, cols), generator units."""
    streams = [
        Stream(task.seed).child("search", tile.index, "band", band)
        for tile in tiles
        for band in range(data.y.shape[0] // len(tiles))
    ]
    found = answer(
        task.generator, data, task.preset, task.method, task.samples, _noise(data, task, tiles, bands), streams
    )
    shape = (len(tiles), bands, *data.shape)

    def unfold(t: Tensor) -> Tensor:
        return t.reshape(shape).cpu()

    return Answer(unfold(found.mean), unfold(found.variance), [unfold(d) for d in found.samples], found.search)


def _noise(data: Observation, task: Task, tiles: Sequence[Tile], bands: int) -> Callable[[int, int], Tensor]:
    """Noise of draws, attached to absolute pixels.

    A generator of one band gives all bands of an image the same noise: what it invents then lies at the same place in
    all of them, as edges of real images do, instead of in colours at random.
    """
    count = 1 if task.generator.card.bands == 1 else bands

    def noise(index: int, purpose: int) -> Tensor:
        stream = Stream(task.seed).child("sample", index)
        fields = []
        for tile in tiles:
            area = tile.read.refine(task.factor)
            own = stream.child("plane", tile.plane, "step", purpose)
            fields.append(own.field(area.row, area.col, area.rows, area.cols, count).expand(bands, -1, -1))
        return torch.stack(fields).reshape(*data.y.shape[:2], *data.shape).to(data.y)

    return noise


def _finish(image: Image, tile: Tile, task: Task, found: Answer, row: int, rows: int) -> TileResult:
    """The result of tile ``row`` of ``rows`` that were answered together."""
    inner = tile.inner
    area = inner.refine(task.factor)
    gain = task.operator.gain

    def physical(u: Tensor) -> Tensor:
        return task.normaliser.inverse(u[None].double())[0] / gain

    full = physical(found.mean[row])
    whitened, residual = _residual(image, inner, task, full)
    cut = np.s_[:, area.row : area.row + area.rows, area.col : area.col + area.cols]
    slope = task.normaliser.derivative(found.mean[row][None].double())[0] / gain
    scale = torch.tensor(task.conformal, dtype=torch.float64).view(-1, 1, 1)
    std = found.variance[row].double().clamp(min=0).sqrt() * slope * scale
    valid = _refined(image.valid, task)[cut]
    kept = valid & ~_refined(image.usable, task)[cut]
    known = _refined(image.values, task)[cut] / gain

    def ready(x: Tensor) -> Real:
        return np.where(kept, known, x[cut].numpy()).astype(held)

    held = image.values.dtype
    share = len(found.search.reason) // rows if found.search is not None else 0
    return TileResult(
        ready(full),
        np.where(valid, std[cut].numpy(), np.nan).astype(held),
        [ready(physical(d[row])) for d in found.samples],
        valid,
        whitened,
        residual,
        summary(found.search, slice(row * share, (row + 1) * share)),
    )


def _refined(x: npt.NDArray[Kind], task: Task) -> npt.NDArray[Kind]:
    return np.repeat(np.repeat(x, task.factor[0], 1), task.factor[1], 2)


def _residual(image: Image, inner: Window, task: Task, full: Tensor) -> tuple[Real, dict[str, float]]:
    cut = np.s_[:, inner.row : inner.row + inner.rows, inner.col : inner.col + inner.cols]
    explained = task.operator.forward(full)[cut]
    observed = torch.from_numpy(image.values[cut].astype(np.float64))
    use = task.operator.certain(torch.from_numpy(image.usable.copy()))[cut]
    stated = None if image.variance is None else torch.from_numpy(image.variance[cut].astype(np.float64))
    residual = observed - explained
    whitened = torch.where(use, residual / task.deviation(observed, stated), torch.nan)
    r = residual[use]
    return whitened.numpy().astype(np.float32), {
        "count": float(r.numel()),
        "square": float(r.square().sum()),
        "chi2": float(whitened[use].square().sum()),
        "largest": float(r.abs().max()) if r.numel() else 0.0,
        "observed": float(observed[use].sum()),
        "explained": float(explained[use].sum()),
    }


def _levelled(found: TileResult, image: Image, tile: Tile, task: Task, level: npt.NDArray[np.bool_]) -> TileResult:
    """A result whose bands without contrast are what the data are: nothing is made of a constant."""
    area = tile.inner.refine(task.factor)
    cut = np.s_[:, area.row : area.row + area.rows, area.col : area.col + area.cols]
    known = (_refined(image.values, task)[cut] / task.operator.gain).astype(found.mean.dtype)
    chosen = level[:, None, None] & found.valid

    def kept(values: Real, instead: Real) -> Real:
        return np.asarray(np.where(chosen, instead, values), values.dtype)

    rounding = np.full_like(found.std, QUANTISATION * task.quantum / task.operator.gain)
    samples = [kept(sample, known) for sample in found.samples]
    mean, std = kept(found.mean, known), kept(found.std, rounding)
    found = replace(found, mean=mean, std=std, samples=samples)
    if level.all():
        usable = np.where(image.usable, image.values, -np.inf).max((1, 2), keepdims=True)
        whole = _refined(np.where(image.usable, image.values, usable).astype(np.float64), task) / task.operator.gain
        whitened, residual = _residual(image, tile.inner, task, torch.from_numpy(whole))
        found = replace(found, whitened=whitened, residual=residual)
    return found


def _empty(image: Image, tile: Tile, task: Task) -> TileResult:
    """A tile without a value: nothing to reconstruct, and no deviation; or one without contrast, see `_levelled`."""
    area = tile.inner.refine(task.factor)
    cut = np.s_[:, area.row : area.row + area.rows, area.col : area.col + area.cols]
    values = _refined(image.values, task)[cut] / image.values.dtype.type(task.operator.gain)
    valid = _refined(image.valid, task)[cut]
    values = np.where(valid, values, values.dtype.type(0))
    residual = {k: 0.0 for k in ("count", "square", "chi2", "largest", "observed", "explained")}
    unknown = np.full(image.values[:, : tile.core.rows, : tile.core.cols].shape, np.nan, np.float32)
    std = np.full_like(values, np.nan)
    return TileResult(values, std, [values] * task.samples, np.asarray(valid, bool), unknown, residual)
