"""Noise models: the variance of an observed value, per band and, where the file says so, per pixel.

Every model acts on physical values of the low-resolution image.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


class Noise(ABC):
    """Independent noise per low-resolution pixel."""

    @abstractmethod
    def variance(self, expected: Tensor, stated: Tensor | None = None) -> Tensor:
        """Variance of observations where the noise-free values are ``expected``, in units squared.

        Args:
            expected: (..., band, y, x).
            stated: variance that the file states for every pixel, same shape; None where it states none.
        """

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Name and parameters for the report."""

    def select(self, first: int, end: int) -> Noise | None:
        """The noise of bands ``first`` to ``end - 1``; None, the default, where bands do not stand alone."""
        return None

    def level(self, band: int) -> float | None:
        """The standard deviation of a band if it is one number, None where it varies."""
        return None

    def typical(self, band: int) -> float | None:
        """The standard deviation of most data of a band, None where nothing says it."""
        return self.level(band)


@dataclass(frozen=True)
class GaussianNoise(Noise):
    """White noise of a standard deviation ``sigma`` (units of the image) for all bands, or of one per band."""

    sigma: float | tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.levels or not all(math.isfinite(s) and s >= 0 for s in self.levels):
            raise ValueError(f"noise sigma {self.sigma} is not a number >= 0")

    @property
    def levels(self) -> tuple[float, ...]:
        """One deviation for all bands, or one per band."""
        return self.sigma if isinstance(self.sigma, tuple) else (self.sigma,)

    def variance(self, expected: Tensor, stated: Tensor | None = None) -> Tensor:
        """See `Noise.variance`."""
        squares = [s**2 for s in self.levels]
        if len(squares) == 1:
            return torch.full_like(expected, squares[0])
        return torch.tensor(squares, dtype=expected.dtype, device=expected.device).view(-1, 1, 1).expand_as(expected)

    def select(self, first: int, end: int) -> GaussianNoise:
        """See `Noise.select`."""
        return GaussianNoise(self.sigma[first:end]) if isinstance(self.sigma, tuple) else self

    def level(self, band: int) -> float | None:
        """See `Noise.level`."""
        return self.levels[band if len(self.levels) > 1 else 0]

    def describe(self) -> dict[str, Any]:
        """See `Noise.describe`."""
        return {"model": "gaussian", "sigma": list(self.sigma) if isinstance(self.sigma, tuple) else self.sigma}


@dataclass(frozen=True)
class PoissonGaussianNoise(Noise):
    """Photon and read noise: ``variance = max(x - black, 0) * gain + sigma^2``.

    Attributes:
        gain: image units per photo-electron (variance of the Poisson part divided by its mean).
        sigma: standard deviation at the black level, including sky and read noise (units of the image).
        black: level from which photons count (units of the image).
    """

    gain: float
    sigma: float
    black: float = 0.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.gain) and math.isfinite(self.sigma) and self.gain >= 0 and self.sigma >= 0):
            raise ValueError(f"noise gain {self.gain} and sigma {self.sigma} must be numbers >= 0")
        if not math.isfinite(self.black):
            raise ValueError(f"black level {self.black} of the noise is not finite")

    def variance(self, expected: Tensor, stated: Tensor | None = None) -> Tensor:
        """See `Noise.variance`."""
        return (expected - self.black).clamp(min=0) * self.gain + self.sigma**2

    def describe(self) -> dict[str, Any]:
        """See `Noise.describe`."""
        black = {"black": self.black} if self.black else {}
        return {"model": "poisson-gaussian", "gain": self.gain, "sigma": self.sigma, **black}

    def select(self, first: int, end: int) -> PoissonGaussianNoise:
        """See `Noise.select`: one law for all bands."""
        return self


@dataclass(frozen=True)
class StatedNoise(Noise):
    """The variance that the file states for every pixel (`gensr.values.image.Image.variance`).

    Attributes:
        sigma: median of the stated deviations, what is said where one number must do.
    """

    sigma: float

    def variance(self, expected: Tensor, stated: Tensor | None = None) -> Tensor:
        """See `Noise.variance`.

        Raises:
            ValueError: the file states no variance here.
        """
        if stated is None:
            raise ValueError("the noise is said to be stated for every pixel, but the image states none")
        return stated.to(expected)

    def typical(self, band: int) -> float | None:
        """See `Noise.typical`."""
        return self.sigma

    def describe(self) -> dict[str, Any]:
        """See `Noise.describe`."""
        return {"model": "stated for every pixel", "median sigma": self.sigma}

    def select(self, first: int, end: int) -> StatedNoise:
        """See `Noise.select`: the image states it."""
        return self
