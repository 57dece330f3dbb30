"""A colour generator as a prior over grey pictures: the luminance of what it makes.

A grey datum is one equation on three bands, not three equal bands: colours stay free, as they are unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from gensr.operators.base import Operator
from gensr.priors.generator import Stage
from gensr.priors.mapped import Mapped
from gensr.priors.observation import Observation
from gensr.priors.whitening import Whitening
from gensr.values.latent import Latents, LatentSpec

LUMA = (0.299, 0.587, 0.114)
"""Of red, green and blue (ITU-R BT.601), as programs make grey of colour."""


class Grey(Mapped):
    """See the module text.

    Args:
        colour: a generator of red, green and blue.
    """

    def __init__(self, colour: Mapped) -> None:
        if colour.card.bands != len(LUMA):
            raise ValueError(f"{colour.card.name} has {colour.card.bands} bands, not red, green and blue")
        self.colour, self.fallback = colour, ""
        self.card = replace(colour.card, bands=1)
        self.capabilities = colour.capabilities & {"stages", "starts", "encode"}

    def to(self, device: str) -> Grey:
        """See `Generator.to`."""
        moved = self.colour.to(device)
        assert isinstance(moved, Mapped)
        return Grey(moved)

    def precise(self) -> Grey:
        """See `Generator.precise`."""
        exact = self.colour.precise()
        assert isinstance(exact, Mapped)
        return Grey(exact)

    @property
    def precision(self) -> str:
        """See `Generator.precision`."""
        return self.colour.precision

    def latents(self, shape: tuple[int, int]) -> LatentSpec:
        """See `Generator.latents`."""
        return self.colour.latents(shape)

    def synthesize(self, latents: Latents, shape: tuple[int, int], stage: Stage | None = None) -> Tensor:
        """See `Generator.synthesize`."""
        return luminance(self.colour.synthesize(latents, shape, stage))

    def stages(self, shape: tuple[int, int]) -> tuple[Stage, ...]:
        """See `Generator.stages`."""
        return self.colour.stages(shape)

    def starts(self, data: Observation, count: int) -> Latents:
        """See `Generator.starts`: of pictures without colour."""
        return self.colour.starts(_coloured(data), count)

    def encode(self, data: Observation) -> Latents:
        """See `Generator.encode`."""
        return self.colour.encode(_coloured(data))

    def context(self, operator: Operator) -> int:
        """See `Generator.context`."""
        return self.colour.context(operator)

    @property
    def whitening(self) -> Whitening:
        """See `Mapped.whitening`."""
        return self.colour.whitening

    @property
    def layers(self) -> int:
        """See `Mapped.layers`."""
        return self.colour.layers

    @property
    def maps(self) -> tuple[int, ...]:
        """See `Mapped.maps`."""
        return self.colour.maps

    def style_of(self, v: Tensor) -> Tensor:
        """See `Mapped.style_of`."""
        return self.colour.style_of(v)

    def render(self, w: Tensor, noise: Sequence[Tensor], shape: tuple[int, int], stage: Stage | None = None) -> Tensor:
        """See `Mapped.render`."""
        return luminance(self.colour.render(w, noise, shape, stage))


def luminance(image: Tensor) -> Tensor:
    """Luminance (n, 1, rows, cols) of red, green and blue (n, 3, rows, cols)."""
    return torch.einsum("nbyx,b->nyx", image, image.new_tensor(LUMA))[:, None]


def _coloured(data: Observation) -> Observation:
    bands = (t.expand(-1, len(LUMA), -1, -1) for t in (data.y, data.variance, data.usable))
    y, variance, usable = bands
    return replace(data, y=y, variance=variance, usable=usable)
