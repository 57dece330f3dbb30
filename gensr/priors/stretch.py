"""Between generator units, in which instruments are linear, and the units that the network sees."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from gensr.priors.schema import Number, Optional, Record

FARTHEST = 3.0
"""Network units beyond which nothing is told apart."""
FLATTEST, STEEPEST = 1e-3, 25.0
"""Bounds of `Stretch.rate`; up to here the inverse is finite in single precision."""


NOISE_UNIT = 16.0
"""Deviations of the noise of a datum that are one generator unit where values are fluxes."""
SOFTENING, TOP = 0.3, 6500.0
"""Default stretch of fluxes, generator units."""
SCHEMA = Record({}, {"softening": Optional(Number(1e-30)), "top": Number(1e-30)})
"""What `Stretch.from_config` reads."""
WIDEST = 1.0
"""Largest variance of the asinh that widens a mean: beyond it a normal distribution speaks of its tail, not of data."""


@dataclass(frozen=True)
class Stretch:
    """``u = asinh(x / softening) / asinh(top / softening)``; the identity without a softening.

    Fluxes span more than four decades; a network that learns them linearly learns stars and nothing else.

    Attributes:
        softening: generator units; linear below it, logarithmic above. None for the identity.
        top: generator units that become 1.

    Raises:
        ValueError: not positive, or a ratio of the two that single precision cannot hold.
    """

    softening: float | None = None
    top: float = 1.0

    def __post_init__(self) -> None:
        known = self.softening is None or self.softening > 0
        if not (known and self.top > 0 and FLATTEST <= self.rate <= STEEPEST):
            raise ValueError(f"softening {self.softening} and top {self.top} make no stretch")

    @property
    def linear(self) -> bool:
        """Whether this is the identity."""
        return self.softening is None

    @property
    def rate(self) -> float:
        """Denominator of the stretch."""
        return math.asinh(self.top / self.softening) if self.softening else 1.0

    def forward(self, x: Tensor) -> Tensor:
        """Generator units to network units."""
        return x if self.softening is None else (x / self.softening).asinh() / self.rate

    def inverse(self, u: Tensor) -> Tensor:
        """Network units to generator units."""
        return u if self.softening is None else self.softening * (u.clamp(-FARTHEST, FARTHEST) * self.rate).sinh()

    def slope(self, u: Tensor) -> Tensor | float:
        """Derivative of `inverse`: generator units per network unit."""
        if self.softening is None:
            return 1.0
        return self.softening * self.rate * (u.clamp(-FARTHEST, FARTHEST) * self.rate).cosh()

    def moments(self, u: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance in generator units of what is normal in network units.

        ``E sinh(a) = sinh(m) e^(v/2)`` and ``Var sinh(a) = (e^v - 1) (e^v cosh(2 m) + 1) / 2`` for ``a`` of mean ``m``
        and variance ``v``; the inverse of the mean alone is a median, and sums of medians are no sums.

        Args:
            u: mean in network units.
            variance: in network units, shape of ``u``.
        """
        if self.softening is None:
            return u, variance
        m, v = u.clamp(-FARTHEST, FARTHEST) * self.rate, (variance * self.rate**2).clamp(max=WIDEST)
        mean = self.softening * m.sinh() * (v / 2).exp()
        spread = self.softening**2 * v.expm1() * (v.exp() * (2 * m).cosh() + 1) / 2
        return mean, spread

    def to_config(self) -> dict[str, Any]:
        """As JSON-able dictionary."""
        return {"softening": self.softening, "top": self.top}

    @staticmethod
    def from_config(config: Mapping[str, Any]) -> Stretch:
        """Inverse of `to_config`.

        Raises:
            ValueError, TypeError: no such stretch.
        """
        softening = config.get("softening")
        return Stretch(None if softening is None else float(softening), float(config.get("top", 1.0)))
