"""Latent solvers by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gensr.errors import UsageError
from gensr.search.closed_form import ClosedForm
from gensr.search.first_order import Adam, SphericalAdam
from gensr.search.gauss_newton import GaussNewton
from gensr.search.loop import Solver
from gensr.search.pulse import Pulse

SOLVERS: Mapping[str, Callable[[int], Solver[Any]]] = {
    "adam": lambda steps: Adam(steps),
    "spherical-adam": lambda steps: SphericalAdam(steps),
    "gauss-newton": lambda steps: GaussNewton(steps),
    "closed-form": lambda steps: ClosedForm(),
    "pulse": lambda steps: Pulse(steps),
}
"""From a number of steps to a solver with otherwise default numbers."""


def solver(name: str, steps: int) -> Solver[Any]:
    """A solver by name.

    Raises:
        UsageError: unknown name; the message lists the known ones.
    """
    if name not in SOLVERS:
        raise UsageError(f"solver {name!r} is unknown; expected {', '.join(SOLVERS)}")
    return SOLVERS[name](steps)
