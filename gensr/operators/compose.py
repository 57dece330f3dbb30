"""Operators one after the other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from gensr.errors import SearchError
from gensr.operators.base import EVERYWHERE, Operator
from gensr.operators.mask import Mask


class Compose(Operator):
    """Apply operators from the first, nearest to the scene, to the last, nearest to the data.

    Factors and gains multiply; reaches add up, each in pixels of the final grid.

    Args:
        operators: at least one.

    Raises:
        SearchError: if there is none.

    >>> from gensr.operators import Area, Bicubic
    >>> Compose([Area(2), Bicubic(2)]).factor
    (4, 4)
    """

    def __init__(self, operators: Sequence[Operator]) -> None:
        if not operators:
            raise SearchError("nothing to compose; give at least one operator")
        self.operators = tuple(operators)
        self.factor = (
            math.prod(o.factor[0] for o in self.operators),
            math.prod(o.factor[1] for o in self.operators),
        )
        self.local = all(o.local for o in self.operators)
        self.reach = self._added_reach() if self.local else EVERYWHERE

    def _added_reach(self) -> int:
        spread = [0, 0]  # in pixels of the grid reached so far
        for operator in self.operators:
            spread = [-(-n // f) + operator.reach for n, f in zip(spread, operator.factor, strict=True)]
        return max(spread)

    @property
    def gain(self) -> float:
        """See `Operator.gain`."""
        return math.prod(o.gain for o in self.operators)

    def forward(self, x: Tensor) -> Tensor:
        """See `Operator.forward`."""
        self.check_input(x)
        for operator in self.operators:
            x = operator.forward(x)
        return x

    def adjoint(self, y: Tensor) -> Tensor:
        """See `Operator.adjoint`."""
        for operator in reversed(self.operators):
            y = operator.adjoint(y)
        return y

    def solve_normal(self, y: Tensor, regularisation: float | Tensor = 0.0, tolerance: float = 1e-12) -> Tensor:
        """See `Operator.solve_normal`; a single operator keeps its closed form, a final mask drops what it hides."""
        last = self.operators[-1]
        if len(self.operators) == 1:
            return last.solve_normal(y, regularisation, tolerance)
        if isinstance(last, Mask) and not isinstance(regularisation, Tensor) and regularisation == 0:
            y = last.forward(y)  # hidden pixels have no equation: 0 = y there would never converge
        return super().solve_normal(y, regularisation, tolerance)

    def pseudo_inverse(self, y: Tensor, regularisation: float | Tensor = 0.0, tolerance: float = 1e-12) -> Tensor:
        """See `Operator.pseudo_inverse`; a single operator keeps its closed form."""
        if len(self.operators) == 1:
            return self.operators[0].pseudo_inverse(y, regularisation, tolerance)
        return super().pseudo_inverse(y, regularisation, tolerance)

    def describe(self) -> dict[str, Any]:
        """See `Operator.describe`."""
        return {
            "name": "compose",
            "factor": list(self.factor),
            "operators": [o.describe() for o in self.operators],
        }
