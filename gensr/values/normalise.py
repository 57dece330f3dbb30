"""Maps between physical values and the range a generator was trained in, with exact inverse."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


class Normaliser(ABC):
    """Physical values (n, band, y, x) to generator values and back. May be non-linear."""

    @abstractmethod
    def forward(self, physical: Tensor) -> Tensor:
        """Physical to generator values."""

    @abstractmethod
    def inverse(self, generator: Tensor) -> Tensor:
        """Generator to physical values."""

    @abstractmethod
    def derivative(self, generator: Tensor) -> Tensor:
        """D physical / d generator, element-wise."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Parameters for the report."""

    def select(self, first: int, end: int) -> Normaliser | None:
        """The map of bands ``first`` to ``end - 1``; None, the default, where bands cannot be mapped by themselves."""
        return None


@dataclass(frozen=True)
class AffineNormaliser(Normaliser):
    """``physical = gain * value + offset`` per band.

    Attributes:
        gain: one positive number per band, physical units per unit of the generator.
        offset: one number per band, physical units.
    """

    gain: tuple[float, ...]
    offset: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.gain) != len(self.offset) or not all(g > 0 for g in self.gain):
            raise ValueError(f"gain {self.gain} must be positive and as long as offset {self.offset}")

    def _column(self, numbers: tuple[float, ...], like: Tensor) -> Tensor:
        return torch.tensor(numbers, dtype=like.dtype, device=like.device).view(-1, 1, 1)  # (band, 1, 1)

    def forward(self, physical: Tensor) -> Tensor:
        """See `Normaliser.forward`."""
        return (physical - self._column(self.offset, physical)) / self._column(self.gain, physical)

    def inverse(self, generator: Tensor) -> Tensor:
        """See `Normaliser.inverse`."""
        return generator * self._column(self.gain, generator) + self._column(self.offset, generator)

    def derivative(self, generator: Tensor) -> Tensor:
        """See `Normaliser.derivative`."""
        return self._column(self.gain, generator).expand_as(generator)

    def select(self, first: int, end: int) -> AffineNormaliser:
        """See `Normaliser.select`."""
        return AffineNormaliser(self.gain[first:end], self.offset[first:end])

    def scaled(self, factor: float | tuple[float, ...]) -> AffineNormaliser:
        """The map with its gain multiplied (per band), keeping the middle of the range (0.5) where it is."""
        factors = factor if isinstance(factor, tuple) else (factor,) * len(self.gain)
        offset = tuple(
            o if k == 1.0 else o + 0.5 * g * (1 - k) for o, g, k in zip(self.offset, self.gain, factors, strict=True)
        )
        return AffineNormaliser(tuple(g * k for g, k in zip(self.gain, factors, strict=True)), offset)

    def describe(self) -> dict[str, Any]:
        """See `Normaliser.describe`."""
        return {"kind": "affine", "gain": list(self.gain), "offset": list(self.offset)}
