"""The space that PULSE searches, as a generator: every layer's style by itself, whitened number by number.

The style of layer l is the last activation of ``u_l * std + mean`` with mean and deviation of each number of the
mapping's pre-activation; no covariance, no part that layers share. The first five noise maps are searched, the others
stay as they are drawn, and the eighteenth (the last of a 1024 px generator) is zero (arXiv:2003.03808; the defaults of
its program).
"""

from __future__ import annotations

from torch import Tensor

from gensr.operators.base import Operator
from gensr.priors.generator import Generator, Stage
from gensr.priors.mapped import Mapped
from gensr.values.latent import Latents, LatentSpec, LatentTensor

TRAINABLE = 5
"""Noise maps that are searched."""
BAD = 17
"""Number of the noise map, from 0, that is zero."""


class PublishedSpace(Generator):
    """See the module text.

    Args:
        mapped: the generator that is searched.
    """

    def __init__(self, mapped: Mapped) -> None:
        self.mapped, self.card, self.fallback = mapped, mapped.card, mapped.fallback

    def to(self, device: str) -> PublishedSpace:
        """See `Generator.to`."""
        moved = self.mapped.to(device)
        assert isinstance(moved, Mapped)
        return PublishedSpace(moved)

    def latents(self, shape: tuple[int, int]) -> LatentSpec:
        """See `Generator.latents`: ``styles``, and ``noise0``, ``noise1``, ... in the order of use."""
        self.mapped.latents(shape)
        sides = enumerate(self.mapped.maps)
        maps = (LatentTensor(f"noise{k}", (side, side), searched=k < TRAINABLE) for k, side in sides)
        style = len(self.mapped.whitening.mean)
        return LatentSpec((LatentTensor("styles", (self.mapped.layers, style), layered=True), *maps))

    def styles(self, latents: Latents) -> Tensor:
        """Styles w (n, layers, style), after the activation: what GEOCROSS compares."""
        white = self.mapped.whitening.to(latents["styles"].dtype)
        return self.mapped.style_of(latents["styles"] * white.deviation + white.mean)

    def synthesize(self, latents: Latents, shape: tuple[int, int], stage: Stage | None = None) -> Tensor:
        """See `Generator.synthesize`."""
        noise = [latents[f"noise{k}"] * (k != BAD) for k in range(len(self.mapped.maps))]
        return self.mapped.render(self.styles(latents), noise, shape, stage)

    def context(self, operator: Operator) -> int:
        """See `Generator.context`."""
        return self.mapped.context(operator)


def published(generator: Generator) -> Generator:
    """The space that PULSE searches of a generator; its own if it has no mapping network."""
    return PublishedSpace(generator) if isinstance(generator, Mapped) else generator
