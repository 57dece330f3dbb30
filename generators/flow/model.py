"""From network to denoiser: ``E[x0 | x0 + sigma n, data]`` and its variance, with everything scaled to unit variance.

The rectified flow ``x_t = t x0 + (1 - t) e`` (arXiv:2209.03003, 2210.02747) is, divided by ``t``, an image with noise
``sigma = (1 - t) / t``; its velocity follows from the denoised image, ``v = (D(x_t / t; sigma) - x_t) / (1 - t)``. The
network therefore predicts the denoised image, with the scaling of Karras et al. (arXiv:2206.00364, table 1) about the
interpolation of the data instead of about zero.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from .hint import CENTRE, Hint, local_mean, octaves
from .network import Network

BLIND = 20.0
"""Noise level, in units of the spread, at which a noisy image says nothing: the network gives ``E[x0 | data]``."""
NOISE_IN_BASE = 0.7
"""Share of the data's noise variance that the interpolation carries."""


@dataclass(frozen=True)
class Scales:
    """Standard deviation of ``x0 - base``, network units, by factor; key 1 is without data."""

    by_factor: Mapping[int, float]

    @staticmethod
    def from_config(config: Mapping[str, Any]) -> Scales:
        """Inverse of `to_config`.

        Raises:
            ValueError, TypeError, AttributeError: no such scales.
        """
        found = {int(k): float(v) for k, v in config.items()}
        if min(found, default=0) != 1 or len(found) < 3 or not all(0 < v < math.inf for v in found.values()):
            raise ValueError(f"scales {dict(config)}: expected positive numbers for 1 and two or more factors")
        return Scales(found)

    def to_config(self) -> dict[str, float]:
        """As JSON-able dictionary."""
        return {str(k): v for k, v in self.by_factor.items()}

    def __call__(self, factor: Tensor, given: Tensor) -> Tensor:
        """Per image (n,), linear in the logarithm of the factor between measured ones."""
        known = sorted(k for k in self.by_factor if k > 1)
        place = torch.tensor([math.log2(k) for k in known], device=factor.device)
        value = torch.tensor([math.log(self.by_factor[k]) for k in known], device=factor.device)
        at = octaves(factor).clamp(float(place[0]), float(place[-1]))
        right = torch.searchsorted(place, at).clamp(1, len(known) - 1)
        share = (at - place[right - 1]) / (place[right] - place[right - 1])
        with_data = (value[right - 1] + share * (value[right] - value[right - 1])).exp()
        return torch.where(given > 0, with_data, self.by_factor[1])


@dataclass(frozen=True)
class Prediction:
    """Answer of the denoiser, all (n, band, rows, cols).

    Attributes:
        mean: denoised image, network units.
        variance: of its pixels.
        spread: logarithm of the variance of the network's own output, which has unit variance at every noise level.
    """

    mean: Tensor
    variance: Tensor
    spread: Tensor


@dataclass(frozen=True)
class Model:
    """A network with its scales. ``half``: run convolutions in bfloat16."""

    network: Network
    scales: Scales
    half: bool = True

    def base_scale(self, hint: Hint) -> Tensor:
        """Spread of the image about the base, (n, 1, rows, cols)."""
        own = self.scales(hint.factor, hint.given).view(-1, 1, 1, 1)
        return (own.square() + NOISE_IN_BASE * hint.noise.square()).sqrt()

    def blind(self, hint: Hint) -> Tensor:
        """Noise level (n,) at which the noisy image says nothing."""
        return BLIND * self.base_scale(hint).amax((1, 2, 3))

    def coefficients(self, hint: Hint, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Weights of the noisy image kept, of the network's output, and of its input (Karras et al., table 1)."""
        s2, g2 = self.base_scale(hint).square(), sigma.view(-1, 1, 1, 1).square()
        return s2 / (s2 + g2), (s2 * g2 / (s2 + g2)).sqrt(), (s2 + g2).rsqrt()

    def __call__(self, x: Tensor, sigma: Tensor, hint: Hint) -> Prediction:
        """Denoise ``x`` (n, band, rows, cols) with noise ``sigma`` (n,), network units; any size."""
        scale = self.base_scale(hint)
        keep, out, inward = self.coefficients(hint, sigma)
        z = x - hint.base
        detail = ((hint.base - local_mean(hint.base)) / scale).asinh()
        planes = torch.cat(
            [z * inward, 2 * (hint.base - CENTRE), detail, hint.known, (1000 * hint.noise).log1p() / 5], 1
        )
        shape = x.shape[-2:]
        side = math.sqrt(shape[0] * shape[1])
        level = (sigma / scale.mean((1, 2, 3))).log() / 2
        factors = hint.factor.log2() / 3
        size = torch.full_like(level, math.log2(side / 128) if self.network.shape.aligned else 0.0)
        scalars = torch.stack([level, hint.given, factors[:, 0], factors[:, 1], size], 1)
        multiple = self.network.shape.multiple
        extra = (-shape[0] % multiple, -shape[1] % multiple)
        if extra != (0, 0):
            planes = pad(planes, (0, extra[1], 0, extra[0]), mode="replicate")
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.half):
            value, spread = self.network.predict(planes, scalars)
        value, spread = value[..., : shape[0], : shape[1]], spread[..., : shape[0], : shape[1]]
        return Prediction(hint.base + keep * z + out * value, out.square() * spread.exp(), spread)
