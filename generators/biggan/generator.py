"""BigGAN as a prior: noise of a truncated normal distribution, and a class that need not be one of those it was taught.

Class embeddings are searched as a Gaussian with their mean and covariance: ``embedding = mean + F u``. A picture of no
class, or between two, is explained by what lies between them.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from gensr.errors import SearchError
from gensr.operators.base import Operator
from gensr.priors.card import GeneratorCard
from gensr.priors.generator import Generator, Stage
from gensr.priors.quantile import as_trained, from_range
from gensr.values.latent import Latents, LatentSpec, LatentTensor

from .network import Network


@dataclass(frozen=True)
class Parts:
    """What a BigGAN prior is made of.

    Attributes:
        network: in evaluation mode.
        mean: (told,) of class embeddings.
        factor: (told, directions) from white numbers to deviations of them; no directions for one class only.
        distribution: of noise.
        range: values of black and white.
    """

    network: Network
    mean: Tensor
    factor: Tensor
    distribution: Mapping[str, Any]
    range: tuple[float, float]

    def to(self, device: str) -> Parts:
        """A copy on a device."""
        network = copy.deepcopy(self.network).to(device)
        return replace(self, network=network, mean=self.mean.to(device), factor=self.factor.to(device))


class BigGan(Generator):
    """See the module text.

    Args:
        parts: network and statistics.
        card: its card.
        device: where tensors live.
    """

    def __init__(self, parts: Parts, card: GeneratorCard, device: str = "cpu") -> None:
        self.parts, self.card, self.device = parts, card, device

    def to(self, device: str) -> BigGan:
        """See `Generator.to`."""
        return self if device == self.device else BigGan(self.parts.to(device), self.card, device)

    def latents(self, shape: tuple[int, int]) -> LatentSpec:
        """See `Generator.latents`: ``noise``, and ``class`` where there are several."""
        side = self.parts.network.shape.side
        if tuple(shape) != (side, side):
            raise SearchError(
                f"{self.card.name} makes images of {side} x {side} pixels only, not {shape[1]} x {shape[0]}; crop the "
                f"content to a square and choose the factor that leads to {side}"
            )
        noise = LatentTensor("noise", (self.parts.network.shape.latent,))
        directions = self.parts.factor.shape[1]
        return LatentSpec((noise, LatentTensor("class", (directions,))) if directions else (noise,))

    def synthesize(self, latents: Latents, shape: tuple[int, int], stage: Stage | None = None) -> Tensor:
        """See `Generator.synthesize`."""
        white = latents["noise"]
        told = self.parts.mean.expand(len(white), -1)
        if "class" in latents:
            told = told + latents["class"].float() @ self.parts.factor.T
        image = self.parts.network(as_trained(white.float(), self.parts.distribution), told)
        return from_range(image, self.parts.range).to(white)

    def context(self, operator: Operator) -> int:
        """See `Generator.context`; it is never tiled."""
        return 0
