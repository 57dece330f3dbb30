"""Between generator units, in which instruments are linear, and the units that the network sees."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class Stretch:
    """``u = asinh(x / softening) / asinh(top / softening)``; the identity without a softening.

    Fluxes span more than four decades; a network that learns them linearly learns stars and nothing else.

    Attributes:
        softening: generator units; linear below it, logarithmic above. None for the identity.
        top: generator units that become 1.
    """

    softening: float | None = None
    top: float = 1.0

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
        return u if self.softening is None else self.softening * (u.clamp(-3, 3) * self.rate).sinh()

    def slope(self, u: Tensor) -> Tensor | float:
        """Derivative of `inverse`: generator units per network unit."""
        return 1.0 if self.softening is None else self.softening * self.rate * (u.clamp(-3, 3) * self.rate).cosh()

    def to_config(self) -> dict[str, Any]:
        """As JSON-able dictionary."""
        return {"softening": self.softening, "top": self.top}

    @staticmethod
    def from_config(config: Mapping[str, Any]) -> Stretch:
        """Inverse of `to_config`."""
        softening = config.get("softening")
        return Stretch(None if softening is None else float(softening), float(config.get("top", 1.0)))
