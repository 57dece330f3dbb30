"""An operator times a number: how a flux operator (sums) is brought to unit gain (means)."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from gensr.operators.base import Operator
from gensr.values.grid import Window


class Scaled(Operator):
    """``scale * A``.

    Args:
        operator: the operator ``A``.
        scale: a positive number.
    """

    def __init__(self, operator: Operator, scale: float) -> None:
        self.operator, self.scale = operator, scale
        self.factor, self.reach, self.local = operator.factor, operator.reach, operator.local

    @property
    def gain(self) -> float:
        """See `Operator.gain`."""
        return self.operator.gain * self.scale

    @property
    def placed(self) -> bool:
        """See `Operator.placed`."""
        return self.operator.placed

    def certain(self, usable: Tensor) -> Tensor:
        """See `Operator.certain`."""
        return self.operator.certain(usable)

    def within(self, window: Window) -> Operator:
        """See `Operator.within`."""
        return Scaled(self.operator.within(window), self.scale) if self.placed else self

    def forward(self, x: Tensor) -> Tensor:
        """See `Operator.forward`."""
        return self.operator.forward(x) * self.scale

    def adjoint(self, y: Tensor) -> Tensor:
        """See `Operator.adjoint`."""
        return self.operator.adjoint(y) * self.scale

    def solve_normal(self, y: Tensor, regularisation: float | Tensor = 0.0, tolerance: float = 1e-12) -> Tensor:
        """See `Operator.solve_normal`."""
        square = self.scale**2
        return self.operator.solve_normal(y / square, regularisation / square, tolerance)

    def describe(self) -> dict[str, Any]:
        """See `Operator.describe`."""
        return {**self.operator.describe(), "scale": self.scale}


def unit_gain(operator: Operator) -> Operator:
    """The same operator with a response of one to a constant: means instead of sums."""
    return operator if operator.gain == 1.0 else Scaled(operator, 1.0 / operator.gain)
