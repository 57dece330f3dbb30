"""A decoder as a prior: standard normal numbers, through the distribution it was trained on, to an image in 0..1.

What generates in one size only (a GAN, a decoder with linear layers) is for aligned content. What is convolutional
throughout (the decoder of an autoencoder) makes fields of any size: latents for a little more than was asked, cut then.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from gensr.errors import SearchError
from gensr.operators.base import Operator
from gensr.priors.card import GeneratorCard
from gensr.priors.generator import Capability, Generator, Stage
from gensr.priors.layers import Stack
from gensr.priors.observation import Observation
from gensr.priors.quantile import as_trained, from_range, to_range, whitened
from gensr.values.latent import Latents, LatentSpec, LatentTensor


@dataclass(frozen=True)
class Parts:
    """What a decoder is made of.

    Attributes:
        network: from latents to images, in evaluation mode.
        latent: shape of its input; of fields the channels alone.
        factor: pixels of a field for each number of its latents; 0 for one size only.
        size: (rows, cols) of that size.
        distribution: of its input, see `gensr.priors.quantile`.
        range: values that it makes of black and white.
        encoder: from images to the input that makes them about; its first channels are the mean. None if there is none.
    """

    network: Stack
    latent: tuple[int, ...]
    factor: int
    size: tuple[int, int]
    distribution: Mapping[str, Any]
    range: tuple[float, float]
    encoder: Stack | None = None

    def to(self, device: str) -> Parts:
        """A copy on a device."""
        encoder = None if self.encoder is None else copy.deepcopy(self.encoder).to(device)
        return replace(self, network=copy.deepcopy(self.network).to(device), encoder=encoder)


class Decoder(Generator):
    """See the module text.

    Args:
        parts: network and distributions.
        card: its card.
        device: where tensors live.
    """

    def __init__(self, parts: Parts, card: GeneratorCard, device: str = "cpu") -> None:
        self.parts, self.card, self.device = parts, card, device
        found: set[Capability] = {"encode"} if parts.encoder is not None else set()
        self.capabilities = frozenset(found)

    def to(self, device: str) -> Decoder:
        """See `Generator.to`."""
        return self if device == self.device else Decoder(self.parts.to(device), self.card, device)

    def latents(self, shape: tuple[int, int]) -> LatentSpec:
        """See `Generator.latents`: one tensor ``z``."""
        if not self.parts.factor and tuple(shape) != self.parts.size:
            rows, cols = self.parts.size
            raise SearchError(
                f"{self.card.name} makes images of {cols} x {rows} pixels only, not {shape[1]} x {shape[0]}; crop the "
                f"content as it was aligned for it, and choose the factor that leads to {cols}"
            )
        return LatentSpec((LatentTensor("z", self._input(shape)),))

    def _input(self, shape: tuple[int, int]) -> tuple[int, ...]:
        step = self.parts.factor
        return (*self.parts.latent, *(-(-n // step) for n in shape)) if step else self.parts.latent

    def synthesize(self, latents: Latents, shape: tuple[int, int], stage: Stage | None = None) -> Tensor:
        """See `Generator.synthesize`."""
        z = latents["z"]
        image: Tensor = self.parts.network(as_trained(z.float(), self.parts.distribution))
        return from_range(image[..., : shape[0], : shape[1]], self.parts.range).to(z)

    @torch.no_grad()
    def encode(self, data: Observation) -> dict[str, Tensor]:
        """See `Generator.encode`: what the encoder makes of the data, spread over the image."""
        if self.parts.encoder is None:
            return super().encode(data)  # type: ignore[return-value] # it raises
        rows, cols = data.shape
        image = functional.interpolate(data.filled().float(), (rows, cols), mode="bilinear", align_corners=False)
        step = self.parts.factor or 1
        padded = functional.pad(image, (0, -cols % step, 0, -rows % step), mode="replicate")
        mean = self.parts.encoder(to_range(padded, self.parts.range))[:, : self.parts.latent[0]]
        return {"z": whitened(mean, self.parts.distribution).to(data.y)}

    def context(self, operator: Operator) -> int:
        """See `Generator.context`; one size only is never tiled."""
        return super().context(operator) if self.parts.factor else 0
