"""A style-based generator as a prior for aligned pictures, searched through its whitened styles and its noise maps.

The style of layer l is the leaky ReLU of ``v_l = mean + F u_l`` with ``u_l = sqrt(1 - t^2) s + t o_l``: what all layers
share (``style``), and how they deviate (``layers``). All are standard normal a priori, and so is every ``u_l``: a
Gaussian that is between the spaces W (t = 0) and W+ (t = 1), whose draws are coherent pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gensr.errors import SearchError
from gensr.operators.base import Operator
from gensr.priors.card import GeneratorCard
from gensr.priors.generator import Capability, Stage
from gensr.priors.mapped import Mapped
from gensr.priors.observation import Observation
from gensr.priors.whitening import Whitening
from gensr.values.latent import Latents, LatentSpec, LatentTensor

from .bank import Bank
from .network import COARSEST, Network, style_of

SEARCHED = 64
"""Side up to which noise maps are searched; finer ones are grain that data do not determine."""


@dataclass(frozen=True)
class Parts:
    """What a style-based generator is made of.

    Attributes:
        network: in evaluation mode, without gradients for its parameters.
        whitening: of the mapping's pre-activation.
        bank: starts for a search.
        spread: t of the module text, 0..1.
        fallback: generator of the same units whose evidence tells the noise; "" for none.
    """

    network: Network
    whitening: Whitening
    bank: Bank
    spread: float
    fallback: str = ""


class Style(Mapped):
    """See the module text.

    Args:
        parts: network, statistics and bank.
        card: its card.
        device: where tensors live.
    """

    capabilities: frozenset[Capability] = frozenset({"encode", "starts", "stages"})

    def __init__(self, parts: Parts, card: GeneratorCard, device: str = "cpu") -> None:
        self.parts, self.card, self.device = parts, card, device
        self.fallback = parts.fallback
        self.shape = parts.network.shape

    def to(self, device: str) -> Style:
        """See `Generator.to`."""
        if device == self.device:
            return self
        network = Network(self.shape)
        network.load_state_dict(self.parts.network.state_dict())
        network.eval().requires_grad_(False).to(device)
        whitening, bank = self.parts.whitening.to(device), self.parts.bank.to(device)
        return Style(replace(self.parts, network=network, whitening=whitening, bank=bank), self.card, device)

    def latents(self, shape: tuple[int, int]) -> LatentSpec:
        """See `Generator.latents`: ``style``, ``layers``, and ``noise4``, ``noise8``, ... by side."""
        side = self.shape.side
        if tuple(shape) != (side, side):
            raise SearchError(
                f"{self.card.name} makes aligned square pictures of {side} x {side} pixels, not "
                f"{shape[1]} x {shape[0]}; crop to the face and choose the factor that leads to {side}"
            )
        maps = (LatentTensor(f"noise{s}", (k, s, s), searched=s <= SEARCHED) for k, s in self.shape.noise())
        style = self.shape.style
        return LatentSpec(
            (LatentTensor("style", (style,)), LatentTensor("layers", (self.shape.layers, style), layered=True), *maps)
        )

    def synthesize(self, latents: Latents, shape: tuple[int, int], stage: Stage | None = None) -> Tensor:
        """See `Generator.synthesize`; at half the output's side a stage is its area mean, at smaller sides about that.

        Raises:
            SearchError: no such size, or no level has the side of the stage; the message names those that do.
        """
        maps = [latents[f"noise{side}"] for _, side in self.shape.noise()]
        return self._picture(self._styles(latents), maps, shape, stage)

    @property
    def whitening(self) -> Whitening:
        """See `Mapped.whitening`."""
        return self.parts.whitening

    @property
    def layers(self) -> int:
        """See `Mapped.layers`."""
        return self.shape.layers

    @property
    def maps(self) -> tuple[int, ...]:
        """See `Mapped.maps`."""
        return tuple(side for count, side in self.shape.noise() for _ in range(count))

    def style_of(self, v: Tensor) -> Tensor:
        """See `Mapped.style_of`."""
        return style_of(v)

    def render(self, w: Tensor, noise: Sequence[Tensor], shape: tuple[int, int], stage: Stage | None = None) -> Tensor:
        """See `Mapped.render`."""
        left = list(noise)
        grouped = [torch.stack([left.pop(0) for _ in range(count)], 1) for count, _ in self.shape.noise()]
        return self._picture(w, grouped, shape, stage)

    def _styles(self, latents: Latents) -> Tensor:
        t = self.parts.spread
        u = (1 - t**2) ** 0.5 * latents["style"][:, None] + t * latents["layers"]
        return style_of(self._whitening(u.dtype).colour(u))

    def _picture(self, w: Tensor, noise: Sequence[Tensor], shape: tuple[int, int], stage: Stage | None) -> Tensor:
        self.latents(shape)
        level = None if stage is None else self._level(stage)
        dtype = self.parts.network.synthesis.constant.dtype
        image: Tensor = self.parts.network.synthesis(w.to(dtype), [maps.to(dtype) for maps in noise], level)
        return (image + 1) / 2

    def _whitening(self, dtype: torch.dtype) -> Whitening:
        kept = self.parts.whitening
        return kept if kept.mean.dtype == dtype else kept.to(dtype)

    def stages(self, shape: tuple[int, int]) -> tuple[Stage, ...]:
        """See `Generator.stages`: the skip pictures of the early levels."""
        self.latents(shape)
        work = [s * s * w * w for s, w in zip(self._sides(), self.shape.widths, strict=True)]
        last = self.shape.side**2 * self.shape.widths[-1] * self.shape.bands
        return tuple(Stage((s, s), sum(work[: i + 1]) / (sum(work) + last)) for i, s in enumerate(self._sides()))

    def _sides(self) -> list[int]:
        return [COARSEST << level for level in range(len(self.shape.widths))]

    def _level(self, stage: Stage) -> int:
        sides = self._sides()
        if stage.shape[0] != stage.shape[1] or stage.shape[0] not in sides:
            raise SearchError(
                f"{self.card.name} has early pictures of {', '.join(map(str, sides))} pixels, not "
                f"{stage.shape[1]} x {stage.shape[0]}"
            )
        return sides.index(stage.shape[0])

    def starts(self, data: Observation, count: int) -> dict[str, Tensor]:
        """See `Generator.starts`: the styles of the bank whose pictures are closest to the data, zeros for the rest."""
        spec = self.latents(data.shape)
        start = {t.name: data.y.new_zeros(count * len(data.y), *t.shape) for t in spec.tensors}
        nearest = self.parts.bank.nearest(data.y, data.usable, count)
        # data closest to this style leave no reason to deviate: the shared part alone makes it
        start["style"] = (nearest / (1 - self.parts.spread**2) ** 0.5).to(data.y)
        return start

    def encode(self, data: Observation) -> dict[str, Tensor]:
        """See `Generator.encode`: the best start."""
        return self.starts(data, 1)

    def context(self, operator: Operator) -> int:
        """See `Generator.context`; aligned pictures are never tiled."""
        return 0
