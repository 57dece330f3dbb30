"""Noise models: variance of an observed value, likelihood, whitening, sampling.

Every model acts on physical values of the low-resolution image.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor


class Noise(ABC):
    """Independent noise per low-resolution pixel."""

    @abstractmethod
    def variance(self, expected: Tensor) -> Tensor:
        """Variance of the observation where the noise-free value is ``expected`` (any shape), in units squared."""

    @abstractmethod
    def describe(self) -> dict[str, float | str]:
        """Name and parameters for the report."""

    def sample(self, expected: Tensor, unit_normal: Tensor) -> Tensor:
        """One noisy observation of ``expected``, from standard normal numbers of the same shape."""
        return expected + self.variance(expected).sqrt() * unit_normal

    def negative_log_likelihood(self, observed: Tensor, expected: Tensor) -> Tensor:
        """Element-wise ``(r^2/v + log v)/2`` up to a constant; ``v`` must be positive."""
        v = self.variance(expected)
        return 0.5 * ((observed - expected) ** 2 / v + v.log())

    def whiten(self, residual: Tensor, expected: Tensor) -> Tensor:
        """Residual in units of its standard deviation."""
        return residual / self.variance(expected).sqrt()


@dataclass(frozen=True)
class GaussianNoise(Noise):
    """White noise of one standard deviation ``sigma`` (units of the image); 0 means noise-free."""

    sigma: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.sigma) and self.sigma >= 0):
            raise ValueError(f"noise sigma {self.sigma} is not a number >= 0")

    def variance(self, expected: Tensor) -> Tensor:
        """See `Noise.variance`."""
        return torch.full_like(expected, self.sigma**2)

    def describe(self) -> dict[str, float | str]:
        """See `Noise.describe`."""
        return {"model": "gaussian", "sigma": self.sigma}


@dataclass(frozen=True)
class PoissonGaussianNoise(Noise):
    """Photon and read noise: ``variance = max(x, 0) * gain + sigma^2``.

    Attributes:
        gain: image units per photo-electron (variance of the Poisson part divided by its mean).
        sigma: standard deviation at zero signal, including sky and read noise (units of the image).
    """

    gain: float
    sigma: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.gain) and math.isfinite(self.sigma) and self.gain >= 0 and self.sigma >= 0):
            raise ValueError(f"noise gain {self.gain} and sigma {self.sigma} must be numbers >= 0")

    def variance(self, expected: Tensor) -> Tensor:
        """See `Noise.variance`."""
        return expected.clamp(min=0) * self.gain + self.sigma**2

    def describe(self) -> dict[str, float | str]:
        """See `Noise.describe`."""
        return {"model": "poisson-gaussian", "gain": self.gain, "sigma": self.sigma}


@dataclass(frozen=True)
class UnknownVariance(Noise):
    """White noise whose variance is integrated out under the Jeffreys prior: ``m/2 log |r|^2``.

    ``variance`` is a plug-in value, the mean square residual that the search last saw (``guess`` before that).
    """

    guess: float = 1.0

    def variance(self, expected: Tensor) -> Tensor:
        """See `Noise.variance`."""
        return torch.full_like(expected, self.guess**2)

    def describe(self) -> dict[str, float | str]:
        """See `Noise.describe`."""
        return {"model": "unknown variance"}

    @staticmethod
    def marginal(residual: Tensor) -> Tensor:
        """Jeffreys-marginal negative log likelihood per sample: residual (n, ...) to (n,)."""
        flat = residual.flatten(1)  # (n, m)
        return 0.5 * flat.shape[1] * flat.square().sum(1).log()
