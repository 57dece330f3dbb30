"""Descent with momentum in the metric of the generator: the workhorse of the staged search.

The step is ``rate M m / |g|_M`` with ``M = (H / noise + I)^-1`` (`gensr.search.metric`), the running mean ``m`` of the
gradient, and the running root mean square of its length under ``M``: of unit size in units of what the data still
leave open, whatever the scale of the problem. Every candidate has its own numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from gensr.errors import out_of_memory
from gensr.search.loop import Solver, State
from gensr.search.metric import Metric, plain
from gensr.search.problem import Problem
from gensr.search.solution import StopReason

PIXELS = 1 << 21
"""Pixels of pictures that are differentiated together: two of 1024 x 1024."""


@dataclass(frozen=True)
class DescentState(State):
    """With the gradient, its running mean, the running square of its length (n, 1), and the inverse of the metric."""

    grad: Tensor
    first: Tensor
    second: Tensor
    thin: Tensor
    core: Tensor


@dataclass(frozen=True)
class Descent(Solver[DescentState]):
    """See the module text.

    Attributes:
        steps: most steps.
        rate: size of a step at first; it stays for half of the steps and then falls to 0 along a cosine.
        momentum: decay of the mean of the gradient.
        memory: decay of its mean square.
        enough: a candidate is done at this chi2; 0 for never.
        metric: of the searched latents; None for all directions alike.
    """

    steps: int = 60
    rate: float = 1.2
    momentum: float = 0.8
    memory: float = 0.9
    enough: float = 0.0
    metric: Metric | None = field(default=None, repr=False, compare=False)
    name: str = "descent"
    finished: ClassVar[StopReason] = StopReason.DISCREPANCY

    def init(self, problem: Problem, flat: Tensor) -> DescentState:
        """See `Solver.init`."""
        loss, chi2, grad = self._evaluate(problem, flat)
        metric = self._metric(flat)
        precision = problem.scale.square().flatten(1).sum(1) / metric.count
        if problem.unknown_variance:
            precision = precision / chi2.clamp(min=torch.finfo(chi2.dtype).tiny)
        thin, core = metric.inverse(precision)
        zero = torch.zeros_like(flat)
        return DescentState(flat, loss, chi2, grad, zero, zero[:, :1], thin, core)

    def step(self, problem: Problem, state: DescentState, step: int) -> DescentState:
        """See `Solver.step`."""
        metric = self._metric(state.flat)
        length = (state.grad * metric.solve(state.thin, state.core, state.grad)).mean(1, keepdim=True)
        first = self.momentum * state.first + (1 - self.momentum) * state.grad
        second = self.memory * state.second + (1 - self.memory) * length.clamp(min=0)
        mean = first / (1 - self.momentum ** (step + 1))
        size = (second / (1 - self.memory ** (step + 1))).sqrt() + torch.finfo(second.dtype).tiny
        move = metric.solve(state.thin, state.core, mean) / size
        flat = state.flat - self.rate * falling(step, self.steps) * move
        loss, chi2, grad = self._evaluate(problem, flat)
        return DescentState(flat, loss, chi2, grad, first, second, state.thin, state.core)

    def terminate(self, problem: Problem, state: DescentState) -> Tensor:
        """See `Solver.terminate`."""
        return state.chi2 <= self.enough

    def _metric(self, flat: Tensor) -> Metric:
        if self.metric is None:
            return plain(flat.shape[1], flat)
        return self.metric.to(flat).extended(flat.shape[1])

    def _evaluate(self, problem: Problem, flat: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Loss, chi2 and half the gradient of the loss, in parts that fit the memory."""
        together = max(1, PIXELS // (problem.data.shape[0] * problem.data.shape[1]))
        if together >= len(flat):
            return self._whole(problem, flat)
        try:
            parts = [
                self._whole(problem.rows(torch.arange(i, min(i + together, len(flat)), device=flat.device)), part)
                for i, part in zip(range(0, len(flat), together), flat.split(together), strict=True)
            ]
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            parts = [
                self._whole(problem.rows(torch.tensor([i], device=flat.device)), flat[i : i + 1])
                for i in range(len(flat))
            ]
        loss, chi2, grad = (torch.cat(found) for found in zip(*parts, strict=True))
        return loss, chi2, grad

    def _whole(self, problem: Problem, flat: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        with torch.enable_grad():
            z = flat.detach().requires_grad_()
            low = problem.predict(z)
            loss = problem.objective(z, low)
            (grad,) = torch.autograd.grad(loss.sum(), z)
        with torch.no_grad():
            return loss.detach(), problem.chi2(low.detach()), grad / 2


def falling(step: int, steps: int) -> float:
    """Factor on the rate: 1 for the first half, then along a cosine to 0."""
    share = 2 * step / max(1, steps) - 1
    return 1.0 if share <= 0 else 0.5 * (1 + math.cos(math.pi * share))
