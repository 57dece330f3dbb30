"""First-order solvers: Adam on the posterior, and Adam on the sphere with momentum that stays tangent to it.

Adam (Kingma and Ba, arXiv:1412.6980) keeps its moments per element, so candidates share a batch without influence.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from gensr.errors import SearchError
from gensr.search.apart import inner
from gensr.search.loop import Solver, Start, State
from gensr.search.problem import Problem


@dataclass(frozen=True)
class AdamState(State):
    """With the gradient at ``flat``, both moments, and the radius that is kept (1 where it is not used)."""

    grad: Tensor
    first: Tensor
    second: Tensor
    radius: Tensor


def value_and_grad(problem: Problem, flat: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Objective (n,), chi2 (n,) and gradient (n, d) at ``flat``."""
    with torch.enable_grad():
        z = flat.detach().requires_grad_()
        low = problem.predict(z)
        loss = problem.objective(z, low)
        (grad,) = torch.autograd.grad(loss.sum(), z)
    with torch.no_grad():
        return loss.detach(), problem.chi2(low.detach()), grad


def adam_moments(state: AdamState, betas: tuple[float, float], step: int) -> tuple[Tensor, Tensor, Tensor]:
    """Updated moments and the unit-free direction of descent."""
    first = betas[0] * state.first + (1 - betas[0]) * state.grad
    second = betas[1] * state.second + (1 - betas[1]) * state.grad.square()
    mean = first / (1 - betas[0] ** (step + 1))
    spread = second / (1 - betas[1] ** (step + 1))
    return first, second, mean / (spread.sqrt() + 1e-8)


def cosine(step: int, steps: int) -> float:
    """Factor on the rate: 1 at the first step, 0 after the last."""
    return 0.5 * (1 + math.cos(math.pi * step / max(1, steps)))


@dataclass(frozen=True)
class Adam(Solver[AdamState]):
    """Maximum a posteriori by Adam with a cosine rate.

    Attributes:
        steps: most steps.
        rate: largest change of a latent element per step.
        betas: decay of the moments.
        tolerance: a candidate is done when its objective is about this close to the optimum (``|gradient|^2 / 4``,
            as the prior alone has curvature 2).
    """

    steps: int = 300
    rate: float = 0.1
    betas: tuple[float, float] = (0.9, 0.99)
    tolerance: float = 1e-8
    name: str = "adam"
    start: ClassVar[Start] = "bank"

    def init(self, problem: Problem, flat: Tensor) -> AdamState:
        """See `Solver.init`."""
        loss, chi2, grad = value_and_grad(problem, flat)
        zero = torch.zeros_like(flat)
        return AdamState(flat, loss, chi2, grad, zero, zero, torch.ones_like(loss)[:, None])

    def step(self, problem: Problem, state: AdamState, step: int) -> AdamState:
        """See `Solver.step`."""
        first, second, direction = adam_moments(state, self.betas, step)
        flat = state.flat - self.rate * cosine(step, self.steps) * direction
        loss, chi2, grad = value_and_grad(problem, flat)
        return AdamState(flat, loss, chi2, grad, first, second, state.radius)

    def terminate(self, problem: Problem, state: AdamState) -> Tensor:
        """See `Solver.terminate`."""
        return inner(state.grad, state.grad) <= 4 * self.tolerance


@dataclass(frozen=True)
class SphericalAdam(Solver[AdamState]):
    """Adam on the sphere through the start: where a Gaussian prior has its mass, and the best cheap phase of a search.

    Gradient, momentum and step are projected onto the tangent space (PULSE moves and rescales without that).

    Attributes:
        steps: most steps.
        rate: largest change of a latent element per step.
        betas: decay of the moments.
        tolerance: see `Adam`, for the tangential gradient.
    """

    steps: int = 100
    rate: float = 0.2
    betas: tuple[float, float] = (0.9, 0.99)
    tolerance: float = 1e-8
    name: str = "spherical-adam"
    start: ClassVar[Start] = "prior"
    independent: ClassVar[bool] = True

    def init(self, problem: Problem, flat: Tensor) -> AdamState:
        """See `Solver.init`.

        Raises:
            SearchError: a start of length 0 is on no sphere.
        """
        radius = flat.norm(dim=1, keepdim=True)
        if not bool((radius > 0).all()):
            raise SearchError("a search on the sphere needs starts that are not zero; give search.start=prior")
        loss, chi2, grad = value_and_grad(problem, flat)
        zero = torch.zeros_like(flat)
        return AdamState(flat, loss, chi2, tangent(grad, flat), zero, zero, radius)

    def step(self, problem: Problem, state: AdamState, step: int) -> AdamState:
        """See `Solver.step`."""
        first, second, direction = adam_moments(state, self.betas, step)
        move = self.rate * cosine(step, self.steps) * tangent(direction, state.flat)
        flat = state.flat - move
        flat = flat * (state.radius / flat.norm(dim=1, keepdim=True))
        loss, chi2, grad = value_and_grad(problem, flat)
        return AdamState(flat, loss, chi2, tangent(grad, flat), tangent(first, flat), second, state.radius)

    def terminate(self, problem: Problem, state: AdamState) -> Tensor:
        """See `Solver.terminate`."""
        return inner(state.grad, state.grad) <= 4 * self.tolerance


def tangent(v: Tensor, at: Tensor) -> Tensor:
    """Part of ``v`` (n, d) that is tangent to the sphere at ``at``."""
    return v - at * (inner(v, at) / inner(at, at))[:, None]
