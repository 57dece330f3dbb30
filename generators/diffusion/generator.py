"""A diffusion network as a prior.

In pixels it is a denoiser at any noise level, which guided samples go through: ``denoise`` tells the network that level
as it was trained to hear it; of those trained in steps, it finds the step, between two where need be. In latents of an
autoencoder it is a map from white noise to images, in a few deterministic steps and a decoder, which is searched.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import cast

from torch import Tensor
from torch.nn import functional

from gensr.errors import SearchError
from gensr.operators.base import Operator
from gensr.priors.card import GeneratorCard
from gensr.priors.ddpm import UNet
from gensr.priors.diffusion import integrate, karras
from gensr.priors.generator import Capability, Generator, Stage
from gensr.priors.layers import Stack
from gensr.priors.quantile import from_range, to_range
from gensr.values.latent import Latents, LatentSpec, LatentTensor

from .edm import EdmUNet
from .rules import Rule

FIRST, LAST = 80.0, 0.02
"""Noise levels where the map from noise to images begins, at most, and ends, as in arXiv:2206.00364."""


@dataclass(frozen=True)
class Latent:
    """The autoencoder of a latent diffusion.

    Attributes:
        decoder: from latents to images.
        scale: latents are ``mean + scale x``, x what the U-Net makes.
        mean: see there.
        factor: pixels of a side for each latent.
    """

    decoder: Stack
    scale: float
    mean: float
    factor: int


@dataclass(frozen=True)
class Parts:
    """What a diffusion prior is made of.

    Attributes:
        network: in evaluation mode.
        rule: how it is told noise levels, in units of its clean images, and what it says.
        range: values of black and white.
        size: (rows, cols) of aligned pictures; None for fields of any size.
        steps: evaluations in the map from noise to images.
        latent: its autoencoder; None in pixels.
    """

    network: UNet | EdmUNet
    rule: Rule
    range: tuple[float, float]
    size: tuple[int, int] | None
    steps: int
    latent: Latent | None = None

    def to(self, device: str) -> Parts:
        """A copy on a device."""
        latent = self.latent
        if latent is not None:
            latent = replace(latent, decoder=copy.deepcopy(latent.decoder).to(device))
        network = copy.deepcopy(self.network).to(device)
        return replace(self, network=network, rule=self.rule.to(device), latent=latent)


class Diffusion(Generator):
    """See the module text.

    Args:
        parts: network, schedule and range.
        card: its card.
        device: where tensors live.
    """

    def __init__(self, parts: Parts, card: GeneratorCard, device: str = "cpu") -> None:
        self.parts, self.card, self.device = parts, card, device
        found: set[Capability] = {"denoise"} if parts.latent is None else set()
        self.capabilities = frozenset(found)

    def to(self, device: str) -> Diffusion:
        """See `Generator.to`."""
        return self if device == self.device else Diffusion(self.parts.to(device), self.card, device)

    def latents(self, shape: tuple[int, int]) -> LatentSpec:
        """See `Generator.latents`: ``noise``, of whole blocks of the U-Net."""
        size = self.parts.size
        if size is not None and tuple(shape) != size:
            raise SearchError(
                f"{self.card.name} makes images of {size[1]} x {size[0]} pixels only, not {shape[1]} x {shape[0]}; "
                f"crop the content as it was aligned for it, and choose the factor that leads to {size[1]}"
            )
        factor = 1 if self.parts.latent is None else self.parts.latent.factor
        step = self.parts.network.shape.multiple
        rows, cols = (-(-n // (factor * step)) * step for n in shape)
        return LatentSpec((LatentTensor("noise", (self.parts.network.shape.inward, rows, cols)),))

    def synthesize(self, latents: Latents, shape: tuple[int, int], stage: Stage | None = None) -> Tensor:
        """See `Generator.synthesize`: the deterministic flow in a few steps."""
        noise = latents["noise"]
        levels = karras(min(FIRST, self.parts.rule.highest()), LAST, self.parts.steps)

        def denoise(x: Tensor, sigma: float) -> Tensor:
            return self._clean(x, x.new_full((len(x),), sigma))

        made = integrate(denoise, levels[0] * noise.float(), levels, lambda _: noise, 0.0)
        if self.parts.latent is not None:
            made = self.parts.latent.decoder(self.parts.latent.mean + self.parts.latent.scale * made)
        return from_range(made[..., : shape[0], : shape[1]], self.parts.range).to(noise)

    def denoise(self, x: Tensor, sigma: Tensor, at_end: tuple[bool, bool] = (True, True)) -> Tensor:
        """See `Generator.denoise`."""
        if self.parts.latent is not None:
            raise NotImplementedError(f"{self.card.name} removes noise of latents, not of images")
        low, high = self.parts.range
        rows, cols = x.shape[-2:]
        step = self.parts.network.shape.multiple
        padded = functional.pad(x.float(), (0, -cols % step, 0, -rows % step), mode="replicate")
        made = self._clean(to_range(padded, self.parts.range), sigma.float() * abs(high - low))
        return from_range(made[..., :rows, :cols], self.parts.range).to(x)

    def _clean(self, x: Tensor, sigma: Tensor) -> Tensor:
        """The clean image behind ``x``, both in units of the network."""
        level, rule = sigma.view(-1, 1, 1, 1), self.parts.rule
        said = cast(Tensor, self.parts.network(x * rule.inward(level), rule.told(sigma).to(x)))
        return rule.clean(said[:, : self.parts.network.shape.inward], x, level)

    def context(self, operator: Operator) -> int:
        """See `Generator.context`; aligned pictures are never tiled."""
        return super().context(operator) if self.parts.size is None else 0
