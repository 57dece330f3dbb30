"""The exact optimum for generators whose images depend linearly on their latents: one undamped Gauss-Newton step."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gensr.errors import SearchError
from gensr.search.gauss_newton import DENSE, Linearised
from gensr.search.loop import Solver, State
from gensr.search.problem import Problem
from gensr.search.solution import StopReason

ITERATIONS = 2000


@dataclass(frozen=True)
class ClosedForm(Solver[State]):
    """Solve the linear system of a generator with the capability "linear", taken from the generator's own Jacobian."""

    steps: int = 1
    name: str = "closed-form"

    def init(self, problem: Problem, flat: Tensor) -> State:
        """See `Solver.init`.

        Raises:
            SearchError: the generator is not linear, or the noise level is unknown.
        """
        if "linear" not in problem.generator.capabilities or problem.unknown_variance:
            raise SearchError(
                f"{problem.generator.card.name} with this noise has no closed form in its latents; "
                "use the solver gauss-newton"
            )
        return self._state(problem, flat)

    def step(self, problem: Problem, state: State, step: int) -> State:
        """See `Solver.step`."""
        near = Linearised(problem, state.flat)
        dense = near.residual.shape[1] <= DENSE
        move = near.newton(torch.zeros_like(state.loss), None if dense else ITERATIONS, 1e-7)
        return self._state(problem, state.flat + move)

    def verdict(self, problem: Problem, low: Tensor, reason: tuple[StopReason, ...]) -> tuple[StopReason, ...]:
        """A finite candidate is solved."""
        return tuple(StopReason.CLOSED_FORM if r is StopReason.STEPS else r for r in reason)

    @torch.no_grad()
    def _state(self, problem: Problem, flat: Tensor) -> State:
        low = problem.predict(flat)
        return State(flat, problem.objective(flat, low), problem.chi2(low))
