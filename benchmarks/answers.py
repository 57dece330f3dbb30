"""What gensr says to an observation: the pipeline on one array, as one tile."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from gensr.pipeline.decisions import Decisions
from gensr.pipeline.plan import Plan
from gensr.pipeline.reconstruct import TileWork
from gensr.pipeline.request import Request
from gensr.pipeline.settle import settle_scene
from gensr.pipeline.task import Task
from gensr.pipeline.tiles import Tile, alignment_of, around, context_of, tileable
from gensr.values.grid import Window

from .sets import BenchmarkScene, BenchmarkSet, family_of

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
        conformal: (band, 1, 1) factor on ``std`` that a file would have.
        samples: posterior samples, each like ``mean``.
        residual: of the mean, see `gensr.pipeline.reconstruct.TileResult`.
        misfits: per sample its summed squared residual and chi square, keys "square", "chi2" and "count".
        seconds: from the array to the answer, with the scale and noise that the scene itself decides.
        unit: physical size of one generator unit.
    """

    mean: Array
    std: Array
    conformal: Array
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
    settled, seconds = settled_for(item, low, factor, noise, peak, how, samples, name)
    started = time.perf_counter()
    (result,) = TileWork(settled.scene, settled.task)((tile_of(settled, window),))
    seconds += time.perf_counter() - started
    drawn = [sample.astype(np.float64) for sample in result.samples]
    seen = low if window is None else low[:, window.row :, window.col :][:, : window.rows, : window.cols]
    scale = np.asarray(settled.task.conformal).reshape(-1, 1, 1)
    return Answer(
        result.mean.astype(np.float64),
        result.std.astype(np.float64) / scale,
        scale.astype(np.float64),
        drawn,
        result.residual,
        [_misfit(settled.task, seen, sample) for sample in drawn],
        seconds,
        float(settled.task.normaliser.describe()["gain"][0]),
    )


def settled_for(
    item: BenchmarkSet, low: Array, factor: int, noise: float, peak: float, how: How, samples: int, name: str
) -> tuple[Plan, float]:
    """The plan of an observation, and the seconds that took."""
    started = time.perf_counter()
    scene = BenchmarkScene(low, name, item, peak, how.generator, factor)
    request = Request(
        source=name,
        factor=factor,
        generator=how.generator,
        noise=item.noise_word(factor, noise, peak),
        search=how.search,
        samples=samples,
        seed=how.seed,
        device=how.device,
        labels="image",  # truths are images, however few values a small window of one has
    )
    plan = settle_scene(scene, item.plugin, name, request)
    assert isinstance(plan, Plan)
    return plan, time.perf_counter() - started


def tile_of(settled: Decisions, window: Window | None) -> Tile:
    """One tile that answers a window, or the whole scene."""
    shape, task = settled.scene.grid.shape, settled.task
    whole = Window(0, 0, *shape)
    if window is None or not tileable(task):
        return Tile(0, 0, window or whole, whole, (True, True))
    return around(0, 0, window, shape, context_of(task), alignment_of(task))


def _misfit(task: Task, seen: Array, sample: Array) -> Mapping[str, float]:
    """What is left of the data after a sample, both on the same part of the scene (area operators are local)."""
    observed = torch.from_numpy(np.ascontiguousarray(seen))
    rest = observed - task.operator.forward(torch.from_numpy(sample))
    return {
        "square": float(rest.square().sum()),
        "chi2": float((rest / task.deviation(observed)).square().sum()),
        "count": float(rest.numel()),
    }
