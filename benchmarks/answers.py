"""What gensr says to an observation: the flow of `gensr.pipeline.run` on one array, as one tile."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from gensr.pipeline import reconstruct
from gensr.pipeline.plan import Job, Request, prepare
from gensr.pipeline.tiles import Tile
from gensr.search import consistency
from gensr.values.grid import Window

from .sets import BenchmarkDomain, BenchmarkScene, BenchmarkSet, family_of

Array = NDArray[np.float64]


@dataclass(frozen=True)
class How:
    """How gensr is asked.

    Attributes:
        generator: name of the prior.
        search: preset.
        seed: of its random numbers.
        device: where it computes.
    """

    generator: str
    search: str = "balanced"
    seed: int = 0
    device: str = "auto"

    @property
    def method(self) -> str:
        """Its name in the tables, such as "flow balanced"."""
        return f"{family_of(self.generator)} {self.search}"


@dataclass(frozen=True)
class Answer:
    """What gensr says to one observation.

    Attributes:
        mean: (band, y, x) of the picture, or of the window that was asked for.
        std: same shape, before conformal scaling.
        samples: posterior samples, each like ``mean``.
        residual: of the mean, see `gensr.pipeline.reconstruct.TileResult`.
        misfits: per sample its summed squared residual and chi square, keys "square", "chi2" and "count".
        seconds: from the array to the answer, with the scale and noise that the scene's evidence decides.
        unit: physical size of one generator unit.
    """

    mean: Array
    std: Array
    samples: list[Array]
    residual: Mapping[str, float]
    misfits: list[Mapping[str, float]]
    seconds: float
    unit: float


def ask(
    item: BenchmarkSet,
    low: Array,
    factor: int,
    noise: float,
    peak: float,
    how: How,
    samples: int = 0,
    window: Window | None = None,
    name: str = "picture",
) -> Answer:
    """Run the flow on one observation.

    Args:
        item: its set.
        low: the observation (band, y, x).
        factor: refinement.
        noise: share of the peak; for astronomy any number above 0 means the camera's noise.
        peak: range of the picture.
        how: how gensr is asked.
        samples: posterior samples to draw.
        window: part of the observation's grid that is answered, with the context that a tile has; None for all.
        name: of the picture, for messages.
    """
    scene, job, seconds = settle(item, low, factor, noise, peak, how, samples, name)
    started = time.perf_counter()
    (result,) = reconstruct.reconstruct(scene, job, [tile_of(scene, job, window)])
    seconds += time.perf_counter() - started
    drawn = [sample.astype(np.float64) for sample in result.samples]
    seen = low if window is None else low[:, window.row :, window.col :][:, : window.rows, : window.cols]
    unit = job.normaliser.describe()["gain"][0]
    return Answer(
        result.mean.astype(np.float64),
        result.std.astype(np.float64) / job.conformal,
        drawn,
        result.residual,
        [_misfit(job, seen, sample) for sample in drawn],
        seconds,
        float(unit),
    )


def settle(
    item: BenchmarkSet, low: Array, factor: int, noise: float, peak: float, how: How, samples: int, name: str
) -> tuple[BenchmarkScene, Job, float]:
    """The scene and the job of an observation, and the seconds that took."""
    started = time.perf_counter()
    scene = BenchmarkScene(low, name)
    word = item.noise_word(factor, noise, peak)
    request = Request(factor, how.generator, None, word, how.search, samples, how.seed, how.device)
    job = prepare(scene, BenchmarkDomain(item, peak, how.generator, factor), request)
    return scene, job, time.perf_counter() - started


def tile_of(scene: BenchmarkScene, job: Job, window: Window | None) -> Tile:
    """One tile that answers a window, or the whole scene."""
    rows, cols = scene.grid.shape
    whole = Window(0, 0, rows, cols)
    if window is None or job.generator.card.aligned:
        return Tile(0, 0, window or whole, whole, (True, True))
    context = job.generator.context(job.unit) + 2 * job.unit.reach + reconstruct.GUIDED_SPREAD // min(job.factor)
    context += consistency.REACH if job.exact else 0
    align = int(np.lcm.reduce([job.generator.alignment(job.unit), *reconstruct.strides(job)]))
    top, left = (max(0, start - context) // align * align for start in (window.row, window.col))
    bottom, right = min(rows, window.row + window.rows + context), min(cols, window.col + window.cols + context)
    read = Window(top, left, bottom - top, right - left)
    return Tile(0, 0, window, read, (bottom == rows, right == cols))


def _misfit(job: Job, seen: Array, sample: Array) -> Mapping[str, float]:
    """What is left of the data after a sample, both on the same part of the scene (area operators are local)."""
    observed = torch.from_numpy(np.ascontiguousarray(seen))
    rest = observed - job.operator.forward(torch.from_numpy(sample))
    return {
        "square": float(rest.square().sum()),
        "chi2": float((rest / job.residual_unit(observed)).square().sum()),
        "count": float(rest.numel()),
    }
