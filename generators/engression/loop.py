"""The training loop: energy score of two draws, mean and variance, from random instruments to averaged weights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from gensr.making.training import Training
from gensr.priors.observation import Observation
from gensr.priors.stretch import Stretch
from gensr.priors.unet import fast_half, place
from gensr.values.grid import Factor

from .fluxes import LEAST, errors, in_sums
from .instruments import Recipe, instrument, observe
from .linear import QUIET, Estimate
from .model import IDENTITY, Model, gaussian_loss, told
from .network import Network
from .prior import Prior
from .score import energy, energy_of_sums, error_of_sums

SUMS, MEAN, MEAN_SUMS, VARIANCE = 0.05, 0.3, 0.005, 0.05
"""Weights of the score of sums, of the mean's error and of that of its sums, and of the likelihood of the variance: the
score leads, because squares of rare large errors would drown it."""
STEEPEST = 30.0
"""Largest squared error of an image's mean that counts, units of the linear variance."""
FAINTEST, SMOOTHEST = 16.0, 2.5
"""Most that faint places count more than others in the mean's error, and smooth images in the score."""
WIDEST = 0.01
"""Largest variance of stretched values that widens a mean in training."""
CORNERS = 8
"""Pixels that the pyramid's corner moves by."""
MOMENTS = 0.5
"""Share of the data for which mean and variance are evaluated too."""


class Source(Protocol):
    """Where batches come from."""

    def __len__(self) -> int: ...

    def batch(self, count: int, draw: torch.Generator) -> Tensor:
        """Clean images (count, band, side, side), generator units."""

    def cut(self, x: Tensor, factor: Factor) -> Tensor:
        """Images with sides that are multiples of ``factor``."""


@dataclass(kw_only=True)
class Run(Training):
    """A training run.

    Attributes:
        prior: of the linear estimates.
        sources: one or more; every batch takes a share of each.
        recipe: how data are made.
        stretch: from generator units to those of the network.
    """

    PARTS = ("loss", "score", "sums", "mean", "variance")

    network: Network
    prior: Prior
    sources: Sequence[Source]
    recipe: Recipe
    stretch: Stretch = IDENTITY

    @property
    def model(self) -> Model:
        """The network as it is trained."""
        return Model(self.network, self.prior, fast_half(self.device), self.stretch)

    def averaged(self) -> Model:
        """A network of averaged weights, on the CPU."""
        network = Network(self.network.shape)
        network.load_state_dict({k: v.cpu() for k, v in self.average.items()})
        return Model(place(network, "cpu").eval().requires_grad_(False), self.prior, fast_half("cpu"), self.stretch)

    def losses(self, draw: torch.Generator) -> dict[str, Tensor]:
        """See `gensr.making.training.Training.losses`."""
        made = pairs(self.sources, self.prior, self.recipe, self.budget.batch, draw, self.stretch)
        batch = made.to(self.device)
        row, col = torch.randint(0, CORNERS, (2,), generator=draw).tolist()
        count = max(1, round(MOMENTS * self.budget.batch))
        return losses_of(self.model, batch, count, (row, col))


@dataclass(frozen=True)
class Batch:
    """What a step sees.

    Attributes:
        x: (n, band, rows, cols) truths.
        data: of the truths; without any usable where the network is told nothing.
        told: linear estimate of the data.
        white: noise of two draws for every truth, (2 n, ...): first draws of all, then second ones.
    """

    x: Tensor
    data: Observation
    told: Estimate
    white: Tensor

    def to(self, device: str) -> Batch:
        """On another device."""
        data = replace(self.data, **{k: getattr(self.data, k).to(device) for k in ("y", "variance", "usable")})
        return Batch(self.x.to(device), data, self.told.each(lambda t: t.to(device)), self.white.to(device))


def pairs(
    sources: Sequence[Source],
    prior: Prior,
    recipe: Recipe,
    count: int,
    draw: torch.Generator,
    stretch: Stretch = IDENTITY,
) -> Batch:
    """Clean images and data of them by one random instrument, with linear estimate and noise; any source anywhere."""
    shares = [count // len(sources) + (i < count % len(sources)) for i in range(len(sources))]
    order = torch.randperm(len(sources), generator=draw).tolist()
    x = torch.cat([sources[j].batch(shares[i], draw) for i, j in enumerate(order) if shares[i]])
    operator = instrument(recipe, draw)
    x = sources[0].cut(x[torch.randperm(len(x), generator=draw)], operator.factor)
    if recipe.flux:  # as priors of fluxes are scaled, see `Engression.normaliser`
        x = x * math.sqrt(math.prod(operator.factor))
    data = observe(x, operator, recipe, draw)
    kept = torch.rand(count, generator=draw) >= recipe.free
    white = torch.randn(2 * count, *x.shape[1:], generator=draw)
    with torch.no_grad():
        known = told(data, prior, stretch)
    seen = replace(data, usable=data.usable & kept.view(-1, 1, 1, 1), variance=data.variance.clamp(min=QUIET**2))
    return Batch(x, seen, known.keep(kept, prior), white)


def losses_of(model: Model, batch: Batch, count: int, corner: tuple[int, int] = (0, 0)) -> dict[str, Tensor]:
    """All parts of the loss.

    Args:
        model: what is trained.
        batch: images, data and noise.
        count: of images for which mean and variance are evaluated.
        corner: where the pyramid starts, so that its blocks leave no grid.
    """
    told, data, stretch = batch.told, batch.data, model.stretch
    truth = (stretch.forward(batch.x) - told.mean) / told.deviation
    both = told.each(lambda t: torch.cat([t, t]))
    drawn = model.draw(both, batch.white).reshape(2, *truth.shape) - truth
    part, rest = told.each(lambda t: t[:count]), told.each(lambda t: t[count:])
    mean, spread = model.moments(part)
    with torch.no_grad():
        others = model.moments(rest)[1] if count < len(truth) else spread[:0]
        # What the data alone say of an image's doubt: a weight that leaves the score proper.
        doubt = torch.cat([spread, others]).exp().mean((1, 2, 3)).sqrt()
        share = doubt.rsqrt().clamp(max=SMOOTHEST)
    first, second = drawn[..., corner[0] :, corner[1] :]
    score = (share * energy(first, second)).mean()
    if stretch.linear:
        physical, scale = drawn * told.deviation, told.deviation
    else:
        data, scale = in_sums(data), torch.full_like(truth, LEAST)
        physical = errors(told.mean + (truth + drawn) * told.deviation, batch.x, stretch)
    seen = data.usable.any(-1).any(-1).any(-1).to(score)
    of_sums = (energy_of_sums(physical[0], physical[1], data, scale) * seen).sum() / seen.sum().clamp(min=1)
    error = mean - truth[:count]
    few = replace(data, **{k: getattr(data, k)[:count] for k in ("y", "variance", "usable")})
    if stretch.linear:
        off = error * part.deviation
    else:
        u, width = part.mean + mean * part.deviation, (part.deviation.square() * spread.exp()).clamp(max=WIDEST)
        off = errors(stretch.forward(stretch.moments(u, width)[0]), batch.x[:count], stretch)
    mean_sums = error_of_sums(off, few, scale[:count]).clamp(max=STEEPEST).mean()
    # Half way to a likelihood, after Seitzer et al. (arXiv:2203.09168): faint places count, bright ones do not rule.
    weight = (-0.5 * spread.detach()).exp().clamp(max=FAINTEST)
    each = (weight * error.square()).mean((1, 2, 3)).clamp(max=STEEPEST).mean()
    variance = gaussian_loss(error.detach(), spread).mean()
    loss = score + SUMS * of_sums + MEAN * each + MEAN_SUMS * mean_sums + VARIANCE * variance
    return {"loss": loss, "score": score, "sums": of_sums, "mean": each, "variance": variance}
