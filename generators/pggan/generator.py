"""A progressive GAN as a prior for aligned pictures: its standard normal z is what is searched."""

from __future__ import annotations

from copy import deepcopy

from torch import Tensor

from gensr.errors import SearchError
from gensr.operators.base import Operator
from gensr.priors.card import GeneratorCard
from gensr.priors.generator import Generator, Stage
from gensr.values.latent import Latents, LatentSpec, LatentTensor

from .network import Network


class Pggan(Generator):
    """See the module text.

    Args:
        network: in evaluation mode.
        card: its card.
        black: value that the network makes of black; 0 in generator units.
        white: value that it makes of white; 1 in generator units.
        device: where tensors live.
    """

    def __init__(
        self, network: Network, card: GeneratorCard, black: float = -1.0, white: float = 1.0, device: str = "cpu"
    ) -> None:
        self.network, self.card, self.black, self.white, self.device = network, card, black, white, device

    def to(self, device: str) -> Pggan:
        """See `Generator.to`."""
        if device == self.device:
            return self
        return Pggan(deepcopy(self.network).to(device), self.card, self.black, self.white, device)

    def latents(self, shape: tuple[int, int]) -> LatentSpec:
        """See `Generator.latents`: ``z``, whose length the network takes away."""
        side = self.network.found.side
        if tuple(shape) != (side, side):
            raise SearchError(
                f"{self.card.name} makes aligned square pictures of {side} x {side} pixels, not "
                f"{shape[1]} x {shape[0]}; crop to what it was trained on and choose the factor that leads to {side}"
            )
        return LatentSpec((LatentTensor("z", (self.network.found.latent,)),))

    def synthesize(self, latents: Latents, shape: tuple[int, int], stage: Stage | None = None) -> Tensor:
        """See `Generator.synthesize`."""
        self.latents(shape)
        dtype = next(self.network.buffers()).dtype
        image: Tensor = self.network(latents["z"].to(dtype))
        return (image - self.black) / (self.white - self.black)

    def context(self, operator: Operator) -> int:
        """See `Generator.context`; aligned pictures are never tiled."""
        return 0
