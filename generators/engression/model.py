"""From network to images: everything in units of the linear deviation about the linear mean.

So scaled, all instruments look alike, what is easy is exact without training, and the network only says how a truth
differs from what a Gaussian prior expects.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

from gensr.priors.observation import Observation
from gensr.priors.stretch import Stretch

from .fluxes import stretched
from .linear import QUIET, Estimate, estimate
from .network import Network
from .prior import Prior

LEAST, MOST = -12.0, 8.0
"""Range of the logarithm of a variance, in units of the linear one."""
MOST_GAIN = 3.0
"""Largest logarithm of a gain."""
USUAL_SIDE = 128
"""Pixels of aligned pictures; the network is told how much larger its own are."""
NEIGHBOURS = 17
"""Side of the square that the detail of the linear mean is relative to, pixels."""


IDENTITY = Stretch()


def told(data: Observation, prior: Prior, stretch: Stretch) -> Estimate:
    """What a network is told of data, network units."""
    return estimate(data, prior) if stretch.linear else stretched(data, prior, stretch)


@dataclass(frozen=True)
class Model:
    """A network with the prior of its linear estimates.

    Attributes:
        network: see `Network`.
        prior: of images in network units.
        half: run convolutions in bfloat16.
        stretch: from generator units to network units; the identity but for fluxes.
    """

    network: Network
    prior: Prior
    half: bool = True
    stretch: Stretch = IDENTITY

    def told(self, data: Observation) -> Estimate:
        """What the network is told of data, network units."""
        return told(data, self.prior, self.stretch)

    def draw(self, told: Estimate, white: Tensor) -> Tensor:
        """One draw for each noise, in units of the deviation about the mean; shape of the mean.

        Args:
            told: what is known.
            white: standard normal, shape of the mean.
        """
        value, gain, _, _ = self._outputs(told, white, True)
        return self._held(value, told, gain.clamp(-MOST_GAIN, MOST_GAIN))

    def moments(self, told: Estimate) -> tuple[Tensor, Tensor]:
        """Mean and logarithm of the variance of draws, in the same units."""
        *_, mean, spread = self._outputs(told, torch.zeros_like(told.mean), False)
        return self._held(mean, told), spread.clamp(LEAST, MOST)

    def _held(self, value: Tensor, told: Estimate, gain: Tensor | None = None) -> Tensor:
        if told.leeway is None:
            return value
        departure = value.float() * told.deviation
        if departure.requires_grad:
            return told.leeway.held(departure, self.prior, gain) / told.deviation
        # What data see of a departure is divided by the variance of their noise: answers keep their digits.
        exact = told.leeway.each(lambda x: x.double() if x.is_floating_point() else x)
        return exact.held(departure.double(), self.prior, gain).to(departure) / told.deviation

    def _outputs(self, told: Estimate, white: Tensor, drawn: bool) -> tuple[Tensor, ...]:
        shape = self.network.shape
        planes = torch.cat([white, *self._planes(told)], 1)
        flag = torch.full((len(planes), 1), float(drawn), device=planes.device)
        rows, cols = planes.shape[-2:]
        parts = [flag, told.factor.to(flag).log2() / 3]
        if shape.aligned:
            parts.append(torch.full_like(flag, math.log2(math.sqrt(rows * cols) / USUAL_SIDE)))
        scalars = torch.cat(parts, 1)
        extra = (-rows % shape.multiple, -cols % shape.multiple)
        if extra != (0, 0):
            planes = pad(planes, (0, extra[1], 0, extra[0]), mode="replicate")
        with torch.autocast(planes.device.type, torch.bfloat16, enabled=self.half):
            out = self.network(planes, scalars)
        return tuple(part.contiguous() for part in out[..., :rows, :cols].chunk(4, 1))

    def _planes(self, told: Estimate) -> tuple[Tensor, ...]:
        detail = ((told.mean - local_mean(told.mean)) / told.deviation).asinh()
        level = (told.deviation / QUIET).log() / 3 - 1
        noise = told.known * (told.noise / QUIET).clamp(min=1.0).log() / 3
        return 2 * (told.mean - self.prior.mean), detail, level, told.known, noise


def local_mean(x: Tensor, side: int = NEIGHBOURS) -> Tensor:
    """Mean over a square around each pixel."""
    rows = avg_pool2d(x, (side, 1), 1, (side // 2, 0), count_include_pad=False)
    return avg_pool2d(rows, (1, side), 1, (0, side // 2), count_include_pad=False)


def gaussian_loss(error: Tensor, spread: Tensor) -> Tensor:
    """Negative log likelihood of an error under the logarithm of a variance, without its constant."""
    return 0.5 * (spread + error.square() * (-spread).exp())


def deviation(told: Estimate, spread: Tensor) -> Tensor:
    """Standard deviation in generator units."""
    return told.deviation * (0.5 * spread).exp().clamp(max=math.exp(MOST / 2))
