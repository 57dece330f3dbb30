"""From a batch of tiles to posterior mean, standard deviation and samples in physical units."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gensr.errors import GensrError, SearchError
from gensr.pipeline.plan import Job
from gensr.pipeline.tiles import Tile, plan
from gensr.priors.generator import Observation
from gensr.scenes.domain import Scene
from gensr.search import consistency
from gensr.search.guided import guided_samples
from gensr.values.grid import Factor, Window
from gensr.values.image import Image
from gensr.values.random import Stream

FloatArray = npt.NDArray[np.float32]
Kind = TypeVar("Kind", np.float32, np.bool_)
GUIDED_SPREAD = 32
"""High-resolution pixels of context that guided samples get beyond that of the closed form."""


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
    """

    mean: FloatArray
    std: FloatArray
    samples: list[FloatArray]
    valid: npt.NDArray[np.bool_]
    whitened: FloatArray
    residual: dict[str, float]


def tiles(scene: Scene, job: Job, side: int | None) -> list[Tile]:
    """Cut a scene so that every tile can be reconstructed alone.

    Raises:
        SearchError: an operator or generator that needs the whole image meets a tile size.
    """
    rows, cols = scene.grid.shape
    if job.generator.card.aligned or not job.unit.local:
        if side is not None and side < max(rows, cols):
            raise SearchError(
                f"tile={side}: {job.generator.card.name} with this operator needs the whole image at once"
            )
        return plan(scene.planes, (rows, cols), max(rows, cols), 0)
    context = job.generator.context(job.unit) + 2 * job.unit.reach
    if job.exact:
        context += consistency.REACH
    align = np.lcm.reduce([job.generator.alignment(job.unit), *strides(job)])
    if job.request.samples or job.preset.moments != "closed":
        context += GUIDED_SPREAD // min(job.factor)
    return plan(scene.planes, (rows, cols), side or default_side(job), context, int(align))


def strides(job: Job) -> Factor:
    """Low-resolution pixels between windows of the closed form, evenly spaced on the refined grid."""
    spacing = job.preset.stride(job.factor) * max(job.factor)
    return max(1, spacing // job.factor[0]), max(1, spacing // job.factor[1])


def default_side(job: Job) -> int:
    """Tile side in low-resolution pixels: about 768 high-resolution pixels, so that context costs little."""
    return max(64, 768 // min(job.factor))


def in_place(scene: Scene, job: Job, group: list[Tile]) -> Iterator[TileResult]:
    """Reconstruct a group; out of memory halves it, and a tile that fails alone is named."""
    try:
        yield from reconstruct(scene, job, group)
        return
    except (MemoryError, RuntimeError) as error:
        if not _out_of_memory(error):
            raise
        if len(group) == 1:
            core = group[0].core
            raise GensrError(
                f"{scene.path.name}: out of memory in the tile at row {core.row}, column {core.col}; "
                f"give a smaller tile= than {max(core.rows, core.cols)}"
            ) from error
    half = len(group) // 2
    yield from in_place(scene, job, group[:half])
    yield from in_place(scene, job, group[half:])


def _out_of_memory(error: BaseException) -> bool:
    text = str(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in text or "can't allocate" in text


def reconstruct(scene: Scene, job: Job, batch: list[Tile]) -> list[TileResult]:
    """Reconstruct tiles of equal shape together."""
    images = [scene.read(tile.plane, tile.read) for tile in batch]
    busy = [i for i, image in enumerate(images) if image.usable.any()]
    results: dict[int, TileResult] = {i: _empty(images[i], batch[i], job) for i in range(len(batch)) if i not in busy}
    if busy:
        data = _observe([images[i] for i in busy], job, batch[0])
        mean, variance, drawn = _posterior(data, job, [batch[i] for i in busy], len(scene.bands))
        for row, i in enumerate(busy):
            results[i] = _finish(images[i], batch[i], job, mean[row], variance[row], [d[row] for d in drawn])
    return [results[i] for i in range(len(batch))]


def _observe(images: list[Image], job: Job, tile: Tile) -> Observation:
    y = torch.from_numpy(np.stack([image.values for image in images]))
    usable = torch.from_numpy(np.stack([image.usable for image in images]))
    y = torch.where(usable, y, torch.zeros_like(y))
    u = job.normaliser.forward(y)
    variance = job.noise.variance(y) / job.normaliser.derivative(u).square()
    if job.generator.card.bands == 1:
        u, variance, usable = (t.flatten(0, 1)[:, None] for t in (u, variance, usable))
    u, variance, usable = (t.to(job.device) for t in (u, variance, usable))
    return Observation(u, job.unit, variance, usable, tile.at_end, job.exact)


def _posterior(data: Observation, job: Job, batch: list[Tile], bands: int) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Mean, variance and samples, each (tile, band, rows, cols), generator units."""
    preset = job.preset
    drawn = [_draw(data, job, batch, bands, k) for k in range(_draws(job))]
    if closed_form(job):
        moments = job.generator.posterior(data, strides(job))
        mean, variance = moments.mean, moments.variance
    elif preset.moments == "search":
        mean, variance, drawn = _search(data, job, batch, bands)
    else:
        stack = torch.stack(drawn)
        mean, variance = stack.mean(0), stack.var(0, unbiased=True)
    wanted = drawn[: job.request.samples]
    if not job.exact:
        mean = consistency.update(mean, variance, data)
        wanted = [consistency.update(d, variance, data) for d in wanted] if own_draws(job) else wanted
    else:
        mean = consistency.project(mean, data.y, data.usable, data.operator)
        wanted = [consistency.project(d, data.y, data.usable, data.operator) for d in wanted]
    shape = (len(batch), bands, *data.shape)
    unfold: Callable[[Tensor], Tensor] = lambda t: t.reshape(shape).cpu()  # noqa: E731
    return unfold(mean), unfold(variance), [unfold(d) for d in wanted]


def closed_form(job: Job) -> bool:
    """Whether mean and standard deviation come from the closed form of the generator."""
    return job.preset.moments == "closed" and job.generator.closed(job.unit)


def own_draws(job: Job) -> bool:
    """Whether samples come from the generator's own sampler; guided draws through its denoiser otherwise."""
    return "draw" in job.generator.capabilities and job.generator.closed(job.unit)


def _draws(job: Job) -> int:
    if job.preset.moments == "search":
        return 0
    return job.request.samples if closed_form(job) else max(job.preset.draws, job.request.samples, 2)


def _draw(data: Observation, job: Job, batch: list[Tile], bands: int, index: int) -> Tensor:
    """Posterior sample ``index`` of every image, with noise attached to absolute pixels.

    A generator of one band gives all bands of an image the same noise: what it invents then lies at the same place in
    all of them, as edges of real images do, instead of in colours at random.
    """
    count = 1 if job.generator.card.bands == 1 else bands
    stream = Stream(job.request.seed).child("sample", index)
    fy, fx = job.factor

    def noise(step: int) -> Tensor:
        fields = []
        for tile in batch:
            area = tile.read.refine((fy, fx))
            own = stream.child("plane", tile.plane, "step", step)
            fields.append(own.field(area.row, area.col, area.rows, area.cols, count).expand(bands, -1, -1))
        return torch.stack(fields).reshape(*data.y.shape[:2], *data.shape).to(data.y)

    if own_draws(job):
        return job.generator.draw(data, noise, job.preset.network_steps)
    return guided_samples(job.generator, data, noise, job.preset.guided)


def _search(data: Observation, job: Job, batch: list[Tile], bands: int) -> tuple[Tensor, Tensor, list[Tensor]]:
    from gensr.search.run import candidates

    streams = [
        Stream(job.request.seed).child("search", tile.index, "band", band)
        for tile in batch
        for band in range(data.y.shape[0] // len(batch))
    ]
    images = candidates(job.generator, data, job.preset, streams, max(job.request.samples, 2))
    best = images[0]
    return best, torch.stack(images).var(0, unbiased=True), images


def _finish(image: Image, tile: Tile, job: Job, mean: Tensor, variance: Tensor, drawn: list[Tensor]) -> TileResult:
    inner = tile.inner
    area = inner.refine(job.factor)
    gain = job.operator.gain

    def physical(u: Tensor) -> Tensor:
        return job.normaliser.inverse(u[None].double())[0] / gain

    full = physical(mean)
    whitened, residual = _residual(image, inner, job, full)
    cut = np.s_[:, area.row : area.row + area.rows, area.col : area.col + area.cols]
    slope = job.normaliser.derivative(mean[None].double())[0] / gain
    std = variance.double().clamp(min=0).sqrt() * slope * job.conformal
    valid = _refined(image.valid, job)[cut]
    kept = valid & ~_refined(image.usable, job)[cut]
    known = _refined(image.values, job)[cut] / np.float32(gain)

    def ready(x: Tensor) -> FloatArray:
        return np.where(kept, known, x[cut].numpy().astype(np.float32))

    return TileResult(
        ready(full),
        np.where(valid, std[cut].numpy().astype(np.float32), np.float32(np.nan)),
        [ready(physical(d)) for d in drawn],
        valid,
        whitened,
        residual,
    )


def _refined(x: npt.NDArray[Kind], job: Job) -> npt.NDArray[Kind]:
    return np.repeat(np.repeat(x, job.factor[0], 1), job.factor[1], 2)


def _residual(image: Image, inner: Window, job: Job, full: Tensor) -> tuple[FloatArray, dict[str, float]]:
    cut = np.s_[:, inner.row : inner.row + inner.rows, inner.col : inner.col + inner.cols]
    explained = job.operator.forward(full)[cut]
    observed = torch.from_numpy(image.values[cut].astype(np.float64))
    use = torch.from_numpy(image.usable[cut].copy())
    residual = observed - explained
    unit = job.residual_unit(observed)
    whitened = torch.where(use, residual / unit, torch.nan)
    r = residual[use]
    return whitened.numpy().astype(np.float32), {
        "count": float(r.numel()),
        "square": float(r.square().sum()),
        "chi2": float(whitened[use].square().sum()),
        "largest": float(r.abs().max()) if r.numel() else 0.0,
        "observed": float(observed[use].sum()),
        "explained": float(explained[use].sum()),
    }


def _empty(image: Image, tile: Tile, job: Job) -> TileResult:
    """A tile without usable data: nothing to reconstruct, valid (saturated) pixels keep their value."""
    area = tile.inner.refine(job.factor)
    cut = np.s_[:, area.row : area.row + area.rows, area.col : area.col + area.cols]
    values = (_refined(image.values, job)[cut] / np.float32(job.operator.gain)).astype(np.float32)
    valid = _refined(image.valid, job)[cut]
    values = np.where(valid, values, np.float32(0))
    residual = {k: 0.0 for k in ("count", "square", "chi2", "largest", "observed", "explained")}
    unknown = np.full(image.values[:, : tile.core.rows, : tile.core.cols].shape, np.nan, np.float32)
    std = np.full_like(values, np.nan)
    return TileResult(values, std, [values] * job.request.samples, np.asarray(valid, bool), unknown, residual)
