"""Small generators that no file holds: a curved one with layers, one that breaks, and observations of them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from gensr.benchmarks.exact import SIDE, toy
from gensr.operators import Area
from gensr.priors.card import GeneratorCard
from gensr.priors.generator import Generator
from gensr.priors.observation import Observation
from gensr.values.latent import Latents, LatentSpec, LatentTensor


class Curved(Generator):
    """An 8 x 8 image from three layers of four latents each, by a fixed random map and a saturation."""

    capabilities = frozenset()

    def __init__(self, card: GeneratorCard, breaks_above: float = float("inf")) -> None:
        numbers = torch.Generator().manual_seed(4)
        self.card, self.breaks_above = card, breaks_above
        self.weight = torch.randn(12, SIDE * SIDE, generator=numbers, dtype=torch.float64) / 4

    def to(self, device: str) -> Curved:
        return self

    def latents(self, shape: tuple[int, int]) -> LatentSpec:
        return LatentSpec((LatentTensor("w", (3, 4), layered=True), LatentTensor("unused", (), searched=False)))

    def synthesize(self, latents: Latents, shape: tuple[int, int]) -> Tensor:
        w = latents["w"].flatten(1)
        image = 0.5 + 0.5 * torch.tanh(w @ self.weight.to(w))
        broken = torch.where(w.norm(dim=1, keepdim=True) > self.breaks_above, torch.nan, 1.0)
        return (image * broken).view(-1, 1, SIDE, SIDE)


@pytest.fixture
def card() -> GeneratorCard:
    return replace(toy().card, name="curved")


@pytest.fixture
def curved(card: GeneratorCard) -> Curved:
    return Curved(card)


@pytest.fixture
def breaking(card: GeneratorCard) -> Curved:
    """Not finite outside a ball around the centre of the prior."""
    return Curved(card, breaks_above=3.0)


@pytest.fixture
def observed(curved: Curved) -> Observation:
    """Four images that the curved generator can make, x2, noise 0.01."""
    numbers = torch.Generator().manual_seed(9)
    w = torch.randn(4, 3, 4, generator=numbers, dtype=torch.float64)
    clean = Area(2).forward(curved.synthesize({"w": w}, (SIDE, SIDE)))
    y = clean + 0.01 * torch.randn(clean.shape, generator=numbers, dtype=torch.float64)
    return Observation(y, Area(2), torch.full_like(y, 1e-4), torch.ones_like(y, dtype=torch.bool))
