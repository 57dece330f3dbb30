"""From data to a posterior: mean, variance and samples, by whatever the generator can do and the preset asks for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import Tensor

from gensr.operators.base import Operator
from gensr.priors.generator import Generator
from gensr.priors.observation import Observation
from gensr.search import consistency
from gensr.search.guided import guided_samples
from gensr.search.presets import MomentSource, Preset
from gensr.search.run import candidates
from gensr.search.solution import Solution
from gensr.search.solvers import solver_class
from gensr.values.random import Stream

SampleSource = Literal["own", "guided", "search"]
Noise = Callable[[int, int], Tensor]
"""From the number of a draw and of a purpose to standard normal numbers (n, band, rows, cols) of the image."""


@dataclass(frozen=True)
class Method:
    """How an answer comes about.

    Attributes:
        moments: where mean and deviation come from.
        samples: where samples come from: "own" is the generator's sampler, "guided" goes through its denoiser,
            "search" solves randomised problems in its latent space.
    """

    moments: MomentSource
    samples: SampleSource

    @property
    def words(self) -> tuple[str, str]:
        """Both sources, for a report."""
        moments = {"closed": "of the generator itself", "draws": "draws", "search": "latent search"}
        samples = {"own": "of the generator itself", "guided": "guided draws", "search": "latent search"}
        return moments[self.moments], samples[self.samples]


def method_of(generator: Generator, operator: Operator, preset: Preset) -> Method:
    """What the preset asks for, as far as the generator can; a latent search is always possible.

    An operator with latents of its own is found together with the image, so only a search will do.

    Args:
        generator: the prior.
        operator: of unit gain.
        preset: how hard to work, and where moments should come from.
    """
    closed, able = generator.closed(operator), generator.capabilities
    samples: SampleSource = "own" if "draw" in able and closed else "guided" if "denoise" in able else "search"
    if preset.moments == "search" or operator.latents() is not None:
        return Method("search", "search")
    if preset.moments == "closed" and closed:
        return Method("closed", samples)
    return Method("search" if samples == "search" else "draws", samples)


@dataclass(frozen=True)
class Answer:
    """A posterior in generator units.

    Attributes:
        mean: (n, band, rows, cols).
        variance: same shape; NaN where the method has none (PULSE as published).
        samples: tensors like ``mean``.
        search: what a latent search found; None where none was needed.
    """

    mean: Tensor
    variance: Tensor
    samples: list[Tensor] = field(default_factory=list)
    search: Solution | None = None


def answer(
    generator: Generator,
    data: Observation,
    preset: Preset,
    method: Method,
    samples: int,
    noise: Noise,
    streams: Sequence[Stream],
) -> Answer:
    """Mean, variance and samples; noise-free data are explained exactly.

    Args:
        generator: the prior.
        data: what was observed, on the generator's device.
        preset: how hard to work.
        method: see `method_of`.
        samples: how many samples to return.
        noise: of draws.
        streams: one per image, of latent searches.
    """
    drawn = [_draw(generator, data, preset, method, noise, k) for k in range(_draws(preset, method, samples))]
    search: Solution | None = None
    if method.moments == "closed":
        moments = generator.posterior(data, preset.generator_options)
        mean, variance = moments.mean, moments.variance
        if samples and method.samples == "search":
            found = candidates(generator, data, preset, list(streams), samples)
            drawn, search = found.others, found.solution
    elif method.moments == "search":
        found = candidates(generator, data, preset, list(streams), max(samples, _spread(preset)))
        mean, drawn, search = found.best, found.others, found.solution
        if solver_class(preset.solver).bare:
            return Answer(mean, torch.full_like(mean, torch.nan), drawn[:samples], search)
        variance = torch.stack(drawn).var(0, unbiased=True)
    else:
        stack = torch.stack(drawn)
        mean, variance = stack.mean(0), stack.var(0, unbiased=True)
    drawn = drawn[:samples]
    if data.exact:
        mean = consistency.project(mean, data.y, data.usable, data.operator)
        drawn = [consistency.project(d, data.y, data.usable, data.operator) for d in drawn]
    else:
        data = replace(data, usable=data.operator.certain(data.usable))
        mean = consistency.update(mean, variance, data)
        if method.moments != "search" and (generator.approximate or data.operator.reach):
            mean = consistency.broad(mean, data)
        drawn = [consistency.update(d, variance, data) for d in drawn] if method.samples != "search" else drawn
    return Answer(mean, variance, drawn, search)


def _spread(preset: Preset) -> int:
    """Candidates behind the deviation of a search."""
    found = solver_class(preset.solver)
    return 1 if found.bare else 2 if found.independent else max(preset.draws, 2)


def _draws(preset: Preset, method: Method, samples: int) -> int:
    if method.samples == "search" or method.moments == "search":
        return 0
    return samples if method.moments == "closed" else max(preset.draws, samples, 2)


def _draw(generator: Generator, data: Observation, preset: Preset, method: Method, noise: Noise, index: int) -> Tensor:
    """Posterior sample ``index`` of every image."""

    def own(purpose: int) -> Tensor:
        return noise(index, purpose)

    if method.samples == "own":
        return generator.draw(data, own, preset.generator_options)
    return guided_samples(generator, data, own, preset.guided)


def summary(found: Solution | None, rows: slice | None = None) -> dict[str, Any] | None:
    """A search in numbers for the report: verdicts with their counts, chi2, steps and seconds.

    Args:
        found: what was searched; None gives None.
        rows: the candidates of one image; all if not given.
    """
    if found is None:
        return None
    part = rows or slice(None)
    verdicts: dict[str, int] = {}
    for reason in found.reason[part]:
        verdicts[reason.sentence] = verdicts.get(reason.sentence, 0) + 1
    chi2, steps = found.chi2[part], found.steps[part]
    return {
        "solver": found.solver,
        "candidates": len(found.reason[part]),
        "verdicts": verdicts,
        "best chi2 per datum": float(chi2.min()),
        "worst chi2 per datum": float(chi2.max()),
        "most steps": int(steps.max()),
        "seconds": found.seconds,
        **{f"least {name}": float(values[part].min()) for name, values in found.figures.items()},
        **{f"greatest {name}": float(values[part].max()) for name, values in found.figures.items()},
    }
