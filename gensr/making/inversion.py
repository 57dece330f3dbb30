"""What a searched generator cannot express, and how far real pictures lie from what it expects, by inverting pictures.

The most probable latents of whole pictures leave a residual: its deviation is the discrepancy S of the card. Pictures
seen through an instrument are then explained within the prior as far as that goes; what nine in ten of them leave is
what "in range" means for this generator: only data that leave more may relax its prior (`gensr.search.secant`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gensr.errors import UsageError
from gensr.operators import Area
from gensr.priors.card import REACH, GeneratorCard
from gensr.priors.generator import Generator
from gensr.priors.observation import Observation
from gensr.search.loop import solve
from gensr.search.metric import Progress, metric_of
from gensr.search.problem import Problem
from gensr.search.run import coarse_stage
from gensr.search.secant import Secant
from gensr.values.latent import Latents
from gensr.values.random import Stream

START = 0.1
"""First guess of the discrepancy, generator units."""
ROUNDS = (40, 40, 40)
"""Steps of each round; a round weighs the prior by the discrepancy that the one before it found."""
INVERTED, PIXELS = 32, 1 << 23
"""Most pictures that are inverted, and most pixels of them."""
STEPS = 60
"""Steps within the prior on reduced pictures."""
SHARE = 0.9
"""Of pictures that are called in range."""
NOISE = 0.01
"""Deviation of the noise of reduced pictures, generator units."""


@dataclass(frozen=True)
class Inverted:
    """What was found of a searched generator.

    Attributes:
        discrepancy: rms of what the most probable latents leave of whole pictures, generator units.
        reach: chi2 that `SHARE` of reduced pictures end within, searched with that discrepancy and the full prior.
    """

    discrepancy: float
    reach: float

    def fill(self, card: GeneratorCard) -> GeneratorCard:
        """The card with both."""
        return replace(card, discrepancy=round(self.discrepancy, 4), metrics={**card.metrics, REACH: self.reach})


def total() -> int:
    """Ticks of `inverted`."""
    return sum(ROUNDS) + STEPS


def inverted(
    generator: Generator,
    pictures: Sequence[Tensor],
    factor: int,
    tick: Callable[[], None] = lambda: None,
    progress: Progress | None = None,
) -> Inverted:
    """Invert pictures.

    Args:
        generator: whose latents are searched.
        pictures: (band, rows, cols) each, generator units, not trained on, of the size that it makes or of any size.
        factor: by which they are reduced for the range test.
        tick: called after every step, `total` times at most.
        progress: told of the measurement of the metric, where it is not known yet.

    Raises:
        UsageError: pictures of several sizes, or a factor that does not divide them.
    """
    sizes = {tuple(x.shape[-2:]) for x in pictures}
    rows, cols = min(sizes)
    if len(sizes) > 1 or rows % factor or cols % factor:
        raise UsageError(f"{generator.card.name}: expected pictures of one size that factor {factor} divides")
    bands = generator.card.bands
    some = chosen(torch.cat([x[:, None] if bands == 1 else x[None] for x in pictures]))
    found = discrepancy(generator, some, tick, progress)
    operator = Area(factor)
    y = operator.forward(some)
    streams = [Stream(0).child("range", i) for i in range(len(y))]
    y = y + NOISE * torch.stack([s.normal(tuple(y.shape[1:])) for s in streams]).to(y)
    data = Observation(y, operator, torch.full_like(y, NOISE**2), torch.ones_like(y, dtype=torch.bool))
    fixed, flat = begin(generator, data)
    problem = Problem(generator, data, fixed, discrepancy=found)
    metric = metric_of(generator, data.shape, coarse_stage(generator, data), progress)
    chi2 = solve(Secant(STEPS, metric=metric), problem, flat, callback=lambda *_: tick()).chi2
    return Inverted(found, round(float(chi2.quantile(SHARE)), 3))


def chosen(pictures: Tensor) -> Tensor:
    """The first pictures, as many as are inverted."""
    return pictures[: max(4, min(INVERTED, PIXELS // (pictures.shape[-1] * pictures.shape[-2])))]


def discrepancy(
    generator: Generator,
    pictures: Tensor,
    tick: Callable[[], None] = lambda: None,
    progress: Progress | None = None,
) -> float:
    """RMS of what the most probable latents leave unexplained of whole pictures, generator units.

    Latent search at full resolution, from the generator's own starts, with the discrepancy itself as noise level.
    """
    y = chosen(pictures)
    data = Observation(y, Area(1), torch.zeros_like(y), torch.ones_like(y, dtype=torch.bool))
    (fixed, flat), found = begin(generator, data), START
    spec, metric = generator.latents(data.shape), metric_of(generator, data.shape, None, progress)
    for steps in ROUNDS:
        problem = Problem(generator, data, fixed, discrepancy=found)
        solution = solve(Secant(steps, metric=metric), problem, flat, callback=lambda *_: tick())
        flat = spec.flatten(solution.latents)
        with torch.no_grad():
            found = float((problem.images(flat) - y).square().mean().sqrt())
    return found


def begin(generator: Generator, data: Observation) -> tuple[Latents, Tensor]:
    """Latents of every row, and those of them that are searched: the generator's own start, or the centre."""
    spec = generator.latents(data.shape)
    if "encode" in generator.capabilities:
        fixed = {name: t.to(data.y) for name, t in generator.encode(data).items()}
        return fixed, spec.flatten(fixed)
    streams = [Stream(0).child("start", i) for i in range(len(data.y))]
    drawn = {name: t.to(data.y) for name, t in spec.sample(streams).items()}
    flat = spec.flatten(drawn)
    return drawn, torch.zeros_like(flat)
