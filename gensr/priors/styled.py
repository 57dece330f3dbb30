"""A converted network with a mapping as a prior for aligned pictures: searched through whitened styles and noise maps.

The style of layer l comes from ``v_l = mean + F u_l`` with ``u_l = sqrt(1 - t^2) s + t o_l``: what all layers share
(``style``) and how they deviate (``layers``), standard normal a priori. ``t = 0`` is the space W, ``t = 1`` W+.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from gensr.errors import SearchError, WeightsError
from gensr.operators.base import Operator
from gensr.priors.card import GeneratorCard
from gensr.priors.generator import Capability, Stage
from gensr.priors.mapped import Mapped
from gensr.priors.schema import check_shapes
from gensr.priors.whitening import Whitening, measure
from gensr.values.latent import Latents, LatentSpec, LatentTensor

SEARCHED = 64
"""Side up to which noise maps are searched; finer ones are grain that data do not determine."""
LABELS = 50_029
"""Seed of the classes that statistics are taken over."""
SPREAD = 0.3
"""Usual share of a layer's style that may differ from the others'."""


class StyledNetwork(nn.Module):
    """What a converted network must be: a mapping and a synthesis from one style per layer.

    Attributes:
        side: of the output, pixels.
        bands: of the output.
        latent: numbers of z.
        style: numbers of w.
        layers: styles that a picture takes.
        classes: number of classes that it is told, 0 for none.
        maps: side of every noise map, in the order of their use.
    """

    side: int
    bands: int
    latent: int
    style: int
    layers: int
    classes: int
    maps: tuple[int, ...]

    @abstractmethod
    def mapping(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        """Pre-activation v (n, style) of ``z`` (n, latent) and of one-hot classes (n, classes)."""

    @abstractmethod
    def style_of(self, v: Tensor) -> Tensor:
        """The last activation of the mapping: w (..., style)."""

    @abstractmethod
    def forward(self, w: Tensor, noise: Sequence[Tensor], stage: int | None = None) -> Tensor:
        """Images (n, bands, side, side) in the network's own range.

        Args:
            w: (n, layers, style).
            noise: maps (n, s, s), see `maps`.
            stage: number of the coarse output that is returned instead, see `stages`.
        """

    def stages(self) -> tuple[Stage, ...]:
        """Coarse outputs, cheapest first."""
        return ()


class Styled(Mapped):
    """See the module text.

    Args:
        network: without gradients for its parameters.
        whitening: of the mapping's pre-activation.
        card: its card.
        black: value that the network makes of black; 0 in generator units.
        white: value that it makes of white; 1 in generator units.
        spread: t of the module text, 0..1.
        device: where tensors live.
    """

    def __init__(
        self,
        network: StyledNetwork,
        whitening: Whitening,
        card: GeneratorCard,
        black: float = -1.0,
        white: float = 1.0,
        spread: float = SPREAD,
        device: str = "cpu",
    ) -> None:
        self.network, self.statistics, self.card = network, whitening, card
        self.black, self.white, self.spread, self.device = black, white, spread, device
        capable: set[Capability] = {"stages"} if network.stages() else set()
        self.capabilities = frozenset(capable)

    def to(self, device: str) -> Styled:
        """See `Generator.to`."""
        if device == self.device:
            return self
        network = deepcopy(self.network).to(device)
        scale = (self.black, self.white, self.spread)
        return Styled(network, self.statistics.to(device), self.card, *scale, device)

    def latents(self, shape: tuple[int, int]) -> LatentSpec:
        """See `Generator.latents`: ``style``, ``layers``, and ``noise4``, ``noise8``, ... by side."""
        side = self.network.side
        if tuple(shape) != (side, side):
            raise SearchError(
                f"{self.card.name} makes aligned square pictures of {side} x {side} pixels, not "
                f"{shape[1]} x {shape[0]}; crop to what it was trained on and choose the factor that leads to {side}"
            )
        sides = sorted(set(self.network.maps))
        maps = (LatentTensor(f"noise{s}", (self._count(s), s, s), searched=s <= SEARCHED) for s in sides)
        style = self.network.style
        layers = LatentTensor("layers", (self.network.layers, style), layered=True)
        return LatentSpec((LatentTensor("style", (style,)), layers, *maps))

    def _count(self, side: int) -> int:
        return sum(s == side for s in self.network.maps)

    def synthesize(self, latents: Latents, shape: tuple[int, int], stage: Stage | None = None) -> Tensor:
        """See `Generator.synthesize`."""
        u = (1 - self.spread**2) ** 0.5 * latents["style"][:, None] + self.spread * latents["layers"]
        kept = self.statistics if self.statistics.mean.dtype == u.dtype else self.statistics.to(u.dtype)
        used: dict[int, int] = {}
        noise = []
        for side in self.network.maps:
            noise.append(latents[f"noise{side}"][:, used.get(side, 0)])
            used[side] = used.get(side, 0) + 1
        return self.render(self.style_of(kept.colour(u)), noise, shape, stage)

    @property
    def whitening(self) -> Whitening:
        """See `Mapped.whitening`."""
        return self.statistics

    @property
    def layers(self) -> int:
        """See `Mapped.layers`."""
        return self.network.layers

    @property
    def maps(self) -> tuple[int, ...]:
        """See `Mapped.maps`."""
        return self.network.maps

    def style_of(self, v: Tensor) -> Tensor:
        """See `Mapped.style_of`."""
        return self.network.style_of(v)

    def render(self, w: Tensor, noise: Sequence[Tensor], shape: tuple[int, int], stage: Stage | None = None) -> Tensor:
        """See `Mapped.render`."""
        self.latents(shape)
        number = None if stage is None else self._number(stage)
        dtype = next(self.network.buffers()).dtype
        image: Tensor = self.network(w.to(dtype), [m.to(dtype) for m in noise], number)
        return (image - self.black) / (self.white - self.black)

    def stages(self, shape: tuple[int, int]) -> tuple[Stage, ...]:
        """See `Generator.stages`: the skip pictures of the early levels."""
        self.latents(shape)
        return self.network.stages()

    def _number(self, stage: Stage) -> int:
        sides = [s.shape for s in self.network.stages()]
        if stage.shape not in sides:
            words = ", ".join(str(s[0]) for s in sides) or "no side at all"
            raise SearchError(
                f"{self.card.name} has early pictures of {words}, not of {stage.shape[1]} x {stage.shape[0]} pixels"
            )
        return sides.index(stage.shape)

    def context(self, operator: Operator) -> int:
        """See `Generator.context`; aligned pictures are never tiled."""
        return 0


def one_hot(classes: int, count: int, draw: torch.Generator, label: int | None = None) -> Tensor | None:
    """Classes (count, classes) to take statistics over: one, or all with equal chance; None where there are none.

    Args:
        classes: number of them.
        count: rows.
        draw: random numbers.
        label: the only class, if there is one.
    """
    if not classes:
        return None
    index = torch.randint(classes, (count,), generator=draw) if label is None else torch.full((count,), label)
    return torch.nn.functional.one_hot(index, classes).float()


def statistics(network: StyledNetwork, label: int | None = None) -> dict[str, Tensor]:
    """Mean and covariance of the mapping's pre-activation, as tensors for a weights file; minutes for a large one.

    Args:
        network: told all classes with equal chance, if it is told any.
        label: the only class, if there is one.
    """
    draw = torch.Generator().manual_seed(LABELS)

    def mapping(z: Tensor) -> Tensor:
        return network.mapping(z, one_hot(network.classes, len(z), draw, label))

    found = measure(mapping, network.latent)
    return {"whitening.mean": found.mean, "whitening.factor": found.factor}


def rebuilt(
    network: StyledNetwork, tensors: Mapping[str, Tensor], config: Mapping[str, Any], card: GeneratorCard
) -> Styled:
    """A generator of a network, the statistics in its weights file and its configuration.

    Raises:
        WeightsError: card, statistics and network do not fit together.
    """
    style = network.style
    check_shapes(tensors, {"whitening.mean": (style,), "whitening.factor": (style, style)}, card.name)
    if card.bands != network.bands or not card.aligned or config["black"] == config["white"]:
        raise WeightsError(f"{card.name}: configuration and card do not fit; convert the file again")
    whitening = Whitening(tensors["whitening.mean"].float(), tensors["whitening.factor"].float())
    network.eval().requires_grad_(False)
    return Styled(network, whitening, card, config["black"], config["white"], config["spread"])
