"""A search without derivatives: evolution of a population whose spread adapts, for generators that are black boxes.

Separable CMA-ES (Ros and Hansen, PPSN 2008, doi:10.1007/978-3-540-87700-4_30): every candidate has a mean, a step size
and a variance per latent; a population is drawn, ranked by the objective, and the better half moves all three.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from gensr.search.loop import Solver, Start, State
from gensr.search.problem import Problem, repeat

DRAWS = 50_047
"""Seed of the population's draws, which all candidates share: so they do not depend on the batch."""


@dataclass(frozen=True)
class EvolutionState(State):
    """With mean, variance (n, d) and step size (n, 1) of the population, and the paths that adapt them."""

    mean: Tensor
    variance: Tensor
    size: Tensor
    step_path: Tensor
    shape_path: Tensor


@dataclass(frozen=True)
class Evolution(Solver[EvolutionState]):
    """See the module text.

    Attributes:
        steps: most generations.
        population: images per generation and candidate; 0 takes ``4 + 3 log d``.
        size: first step size, in deviations of the prior.
        tolerance: a candidate is done when its population spreads less than this.
    """

    steps: int = 300
    population: int = 0
    size: float = 0.5
    tolerance: float = 1e-4
    name: str = "evolution"
    start: ClassVar[Start] = "centre"
    gradient_free: ClassVar[bool] = True

    @torch.no_grad()
    def init(self, problem: Problem, flat: Tensor) -> EvolutionState:
        """See `Solver.init`."""
        low = problem.predict(flat)
        zero = torch.zeros_like(flat)
        size = torch.full_like(flat[:, :1], self.size)
        loss, chi2 = problem.objective(flat, low), problem.chi2(low)
        return EvolutionState(flat, loss, chi2, flat, torch.ones_like(flat), size, zero, zero)

    @torch.no_grad()
    def step(self, problem: Problem, state: EvolutionState, step: int) -> EvolutionState:
        """See `Solver.step`."""
        n, d = state.mean.shape
        count = max(4, self.population or 4 + int(3 * math.log(max(d, 2))))
        draw = torch.Generator().manual_seed(DRAWS + step)
        z = torch.randn(count, d, generator=draw).to(state.mean)
        moved = state.size[:, :, None] * state.variance.sqrt()[:, None] * z  # (n, count, d)
        found = state.mean[:, None] + moved
        wide = _wide(problem, count)
        low = wide.predict(found.flatten(0, 1))
        loss = wide.objective(found.flatten(0, 1), low).view(n, count)
        chi2 = wide.chi2(low).view(n, count)
        order = loss.nan_to_num(nan=float("inf")).argsort(dim=1, stable=True)
        weight = self._weights(count).to(z)
        chosen = order[:, : len(weight)]
        ahead = (weight[None, :, None] * z[chosen]).sum(1)  # (n, d), in units of the population
        square = (weight[None, :, None] * z[chosen].square()).sum(1)
        first = order[:, 0]
        rows = torch.arange(n, device=first.device)
        adapted = self._adapted(state, ahead, square, weight, step)
        return replace(adapted, flat=found[rows, first], loss=loss[rows, first], chi2=chi2[rows, first])

    @staticmethod
    def _weights(count: int) -> Tensor:
        kept = count // 2
        raw = math.log(kept + 0.5) - torch.arange(1, kept + 1, dtype=torch.float64).log()
        return raw / raw.sum()

    @staticmethod
    def _adapted(state: EvolutionState, ahead: Tensor, square: Tensor, weight: Tensor, step: int) -> EvolutionState:
        """Mean, step size and variances after a generation, with the usual constants of the method."""
        d, mass = ahead.shape[1], float(1 / weight.square().sum())
        rate_step = (mass + 2) / (d + mass + 5)
        damping = 1 + 2 * max(0.0, math.sqrt((mass - 1) / (d + 1)) - 1) + rate_step
        rate_path = (4 + mass / d) / (d + 4 + 2 * mass / d)
        faster = (d + 2) / 3  # a diagonal is learned in fewer generations than a matrix
        rate_one = min(1.0, faster * 2 / ((d + 1.3) ** 2 + mass))
        rate_many = min(1 - rate_one, faster * 2 * (mass - 2 + 1 / mass) / ((d + 2) ** 2 + mass))
        expected = math.sqrt(d) * (1 - 1 / (4 * d) + 1 / (21 * d * d))
        deviation = state.variance.sqrt()
        mean = state.mean + state.size * deviation * ahead
        kept = math.sqrt(rate_step * (2 - rate_step) * mass)
        step_path = (1 - rate_step) * state.step_path + kept * ahead
        length = step_path.norm(dim=1, keepdim=True)
        calm = length / math.sqrt(1 - (1 - rate_step) ** (2 * (step + 1))) < (1.4 + 2 / (d + 1)) * expected
        kept = math.sqrt(rate_path * (2 - rate_path) * mass)
        shape_path = (1 - rate_path) * state.shape_path + calm * kept * deviation * ahead
        variance = (
            (1 - rate_one - rate_many) * state.variance
            + rate_one * shape_path.square()
            + rate_many * state.variance * square
        )
        size = state.size * ((rate_step / damping) * (length / expected - 1)).clamp(max=1.0).exp()
        return replace(state, mean=mean, variance=variance, size=size, step_path=step_path, shape_path=shape_path)

    def terminate(self, problem: Problem, state: EvolutionState) -> Tensor:
        """See `Solver.terminate`."""
        return (state.size[:, 0] * state.variance.sqrt().amax(1)) < self.tolerance


def _wide(problem: Problem, count: int) -> Problem:
    """Every candidate as many times in a row as there are in a population."""
    fixed = {name: t.repeat_interleave(count, 0) for name, t in problem.fixed.items()}
    anchor = None if problem.anchor is None else problem.anchor.repeat_interleave(count, 0)
    return replace(problem, data=repeat(problem.data, count), fixed=fixed, anchor=anchor)
