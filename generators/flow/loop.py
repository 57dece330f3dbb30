"""The training loop: flow matching with a learned variance, from batches of clean images to averaged weights."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from gensr.making.training import Training
from gensr.priors.stretch import Stretch
from gensr.priors.unet import fast_half

from .degrade import Recipe, observe
from .hint import CENTRE, Hint
from .model import BLIND, Model, Scales
from .network import Network

VARIANCE_WEIGHT = 0.05
"""Weight of the likelihood of the variance; it must not take capacity from the mean."""
FACTORS = (2, 4, 8, 16)


class Source(Protocol):
    """Where batches come from."""

    @property
    def scaling(self) -> dict[str, float]:
        """How values became generator units: "unit", or the percentiles "low" and "high"."""

    def __len__(self) -> int: ...

    def restart(self, step: int) -> None:
        """Draw other images than at the beginning: where a training run goes on."""

    def batch(self, count: int) -> Tensor:
        """Clean images (count, band, side, side), generator units."""


@dataclass(frozen=True)
class Corpus:
    """One domain's training images with how they are degraded and seen.

    Attributes:
        source: batches of clean images, a little larger than what the network sees.
        recipe: how data are made.
        stretch: of fluxes.
        scales: deviation of image from interpolation, see `measure`.
        side: what the network sees.
    """

    source: Source
    recipe: Recipe
    stretch: Stretch
    scales: Scales
    side: int


def measure(source: Source, recipe: Recipe, stretch: Stretch, draw: torch.Generator, count: int = 384) -> Scales:
    """Deviation of images from the interpolation of their noise-free data, network units, by factor."""
    clean = replace(recipe, noisy=0.0, gaps=0.0, smooth=0.0)
    x = source.batch(count)
    found = {1: float((stretch.forward(x) - CENTRE).square().mean().sqrt())}
    for factor in FACTORS:
        side = x.shape[-1] // factor * factor
        if side // factor < 3:
            continue
        cut = x[..., :side, :side] * (factor if recipe.flux else 1)
        base = observe(cut, factor, clean, stretch, draw).base
        found[factor] = max(1e-4, float((stretch.forward(cut) - base).square().mean().sqrt()))
    return Scales(found)


@dataclass(kw_only=True)
class Run(Training):
    """A training run.

    Attributes:
        corpora: one or more domains; every batch comes from one.
    """

    PARTS = ("loss", "blind", "variance")

    network: Network
    corpora: list[Corpus]

    def losses(self, draw: torch.Generator) -> dict[str, Tensor]:
        """See `gensr.making.training.Training.losses`."""
        corpus = self.corpora[int(torch.randint(len(self.corpora), (), generator=draw))]
        count, recipe = self.budget.batch, corpus.recipe
        x, hint = pairs(corpus, count, draw)
        u = corpus.stretch.forward(x).to(self.device)
        hint = hint.to(self.device)
        model = Model(self.network, corpus.scales, half=fast_half(self.device))
        scale = model.base_scale(hint).amax((1, 2, 3))
        spread = torch.where(hint.given > 0, 1.2, 1.5)
        level = (torch.randn(count, generator=draw).to(self.device) * spread - 0.6).clamp(-4, math.log(BLIND))
        blind = (torch.rand(count, generator=draw) < recipe.blind).to(self.device)
        sigma = scale * torch.where(blind, math.log(BLIND), level).exp()
        noise = torch.randn(u.shape, generator=draw).to(self.device)
        found = model(u + sigma.view(-1, 1, 1, 1) * noise, sigma, hint)
        _, out, _ = model.coefficients(hint, sigma)
        # The error in units of the network's output, which has unit variance at every noise level.
        error = ((found.mean - u) / out).square()
        each = error.mean((1, 2, 3))
        variance = 0.5 * (found.spread + error.detach() * (-found.spread).exp()).mean()
        loss = each.clamp(max=50).mean()
        seen = blind & (hint.given > 0)
        return {
            "total": loss + VARIANCE_WEIGHT * variance,
            "loss": loss,
            "blind": each[seen].mean() if bool(seen.any()) else loss,
            "variance": variance,
        }


def pairs(corpus: Corpus, count: int, draw: torch.Generator) -> tuple[Tensor, Hint]:
    """Clean images (count, band, side, side) and hints of data of them, some without."""
    recipe, side = corpus.recipe, corpus.side
    x = corpus.source.batch(count)
    weights = torch.tensor([w for _, w in recipe.factors])
    factor = recipe.factors[int(torch.multinomial(weights, 1, generator=draw))][0]
    whole = x.shape[-1] // factor * factor
    x = x[..., :whole, :whole] * (factor if recipe.flux else 1)
    hint = observe(x, factor, recipe, corpus.stretch, draw)
    row, col = (
        (int(torch.randint(0, whole - side + 1, (), generator=draw)) for _ in range(2)) if whole > side else (0, 0)
    )
    x, hint = x[..., row : row + side, col : col + side], hint.crop(row, col, side, side)
    return x, hint.keep(torch.rand(count, generator=draw) >= recipe.free)
