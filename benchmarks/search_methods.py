"""The latent searches that ``gensr benchmark search`` sets side by side, each from its equations."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from gensr.priors.generator import Generator, Stage
from gensr.priors.observation import Observation
from gensr.search.first_order import Adam, value_and_grad
from gensr.search.loop import solve
from gensr.search.presets import PRESETS, Preset
from gensr.search.problem import Problem, repeat
from gensr.search.run import search
from gensr.values.latent import Latents, LatentSpec
from gensr.values.random import Stream

GROWING = (4, 5, 6, 7, 8, 10, 70, 90)
"""Steps of the ladder's runs: about those that PULSE's residual takes, and what fits into PULSE's time."""
LONG = 60
"""Steps of a run that is long enough to know whether a face is out of range."""
BASELINE = 200
"""Steps of CSGM (of each of two starts), of the MAP and of the guided sampling."""


class Shared(Generator):
    """The generator with one style for all layers and no noise: the space of CSGM behind a mapping network."""

    def __init__(self, inner: Generator) -> None:
        self.inner, self.card = inner, inner.card

    def to(self, device: str) -> Shared:
        """See `Generator.to`."""
        return Shared(self.inner.to(device))

    def latents(self, shape: tuple[int, int]) -> LatentSpec:
        """See `Generator.latents`: the first of the inner one."""
        return LatentSpec(self.inner.latents(shape).tensors[:1])

    def synthesize(self, latents: Latents, shape: tuple[int, int], stage: Stage | None = None) -> Tensor:
        """See `Generator.synthesize`."""
        one = next(iter(latents.values()))
        rest = {t.name: one.new_zeros(len(one), *t.shape) for t in self.inner.latents(shape).tensors[1:]}
        return self.inner.synthesize({**latents, **rest}, shape, stage)


Picture = Callable[[], Tensor]
"""Makes ``G(z)`` (1, band, rows, cols) of what a search found; that is not in its seconds."""
Method = Callable[[Generator, Observation, Stream], Picture]
"""From generator, data of one face and a stream to what makes the picture."""


def pulse(generator: Generator, data: Observation, stream: Stream) -> Picture:
    """As published."""
    images = search(generator, data, PRESETS["pulse"], [stream], 1).images
    return lambda: images


def csgm(generator: Generator, data: Observation, stream: Stream) -> Picture:
    """Adam in the shared latent with ``|z|^2``, the better of two starts (arXiv:1703.03208)."""
    space, seen = Shared(generator), repeat(data, 2)
    spec = space.latents(data.shape)
    start = spec.flatten(spec.sample([stream.child("csgm", k) for k in range(2)]))
    problem = Problem(space, seen, {}, discrepancy=generator.card.discrepancy)
    found = solve(Adam(BASELINE, 0.1), problem, start)
    return plain(space, found.latents, data, int(found.objective.argmin()))


def mean_start(generator: Generator, data: Observation, stream: Stream) -> Picture:
    """The posterior's optimum in all layers by Adam from the mean latent: BRGM without its VGG (arXiv:2012.04567)."""
    fixed = {t.name: torch.zeros(1, *t.shape) for t in generator.latents(data.shape).tensors}
    problem = Problem(generator, data, fixed, discrepancy=generator.card.discrepancy)
    return plain(generator, solve(Adam(BASELINE, 0.1), problem).latents, data)


def guided(generator: Generator, data: Observation, stream: Stream) -> Picture:
    """Annealed Langevin steps in the white latents with the gradient of the data: guided sampling as DPS does it.

    A step keeps the prior by ``sqrt(1 - h)`` and noise of variance ``h``; the gradient of the misfit has unit length
    times the share of noise (arXiv:2209.14687 normalises by the residual's length alike).
    """
    spec = generator.latents(data.shape)
    drawn = spec.sample([stream.child("guided")])
    flat = spec.flatten(drawn)
    problem = Problem(generator, data, drawn, discrepancy=generator.card.discrepancy)
    for step in range(BASELINE):
        h = 0.2 * (1 - step / BASELINE) ** 2
        _, _, gradient = value_and_grad(problem, flat)
        direction = gradient - 2 * flat
        move = 0.05 * flat.norm() * direction / direction.norm().clamp(min=1e-12)
        fresh = stream.child("guided", step).normal(tuple(flat.shape)).to(flat)
        flat = math.sqrt(1 - h) * flat - move * math.sqrt(h / 0.2 + 1e-3) + math.sqrt(h) * 0.3 * fresh
    return plain(generator, spec.unflatten(flat, drawn), data)


def ladder(preset: Preset) -> Method:
    """The staged search of a preset."""

    def run(generator: Generator, data: Observation, stream: Stream) -> Picture:
        return plain(generator, search(generator, data, preset, [stream], 1).latents, data)

    return run


def plain(generator: Generator, latents: Latents, data: Observation, row: int = 0) -> Picture:
    """``G(z)`` of one candidate."""

    def made() -> Tensor:
        with torch.no_grad():
            return generator.synthesize({name: t[row : row + 1] for name, t in latents.items()}, data.shape)

    return made


def growing(steps: int) -> Preset:
    """The ladder of one candidate with so many steps; of many the last third may go beyond the prior."""
    extend = steps // 3 if steps >= LONG else 0
    numbers = {"steps": steps - extend, "secant": 0, "extend": extend}
    return replace(PRESETS["fast"], solver_options={"candidates": 1, "modes": 1, "proposals": 1, **numbers})


def methods() -> dict[str, tuple[Method, bool]]:
    """Every method by name, and whether it is slow."""
    return {
        "PULSE as published": (pulse, False),
        f"CSGM: Adam in z, {BASELINE} steps, 2 starts": (csgm, True),
        f"MAP from the mean (BRGM-like), {BASELINE} steps": (mean_start, True),
        f"guided sampling (DPS-like), {BASELINE} steps": (guided, True),
        "gensr search=fast": (ladder(PRESETS["fast"]), False),
        "gensr search=balanced": (ladder(PRESETS["balanced"]), False),
        "gensr search=best": (ladder(PRESETS["best"]), False),
        **{f"ladder, {steps} steps": (ladder(growing(steps)), False) for steps in GROWING},
    }
