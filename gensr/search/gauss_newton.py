"""Levenberg-Marquardt on the posterior, with a damping per candidate: the polish that first-order steps cannot give.

Each step minimises ``|r + J s|^2 + |z + s - a|^2 + mu |s|^2`` for whitened residuals ``r`` and their Jacobian ``J``.
Few data: ``J`` is written out and the step solved in the space of the data. Many: conjugate gradients on products.
(Levenberg 1944, Marquardt 1963; Nocedal and Wright, Numerical Optimization, section 10.3.)
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from gensr.operators.linear import conjugate
from gensr.search.apart import inner, wide
from gensr.search.loop import Solver, State, freeze
from gensr.search.problem import Problem

DENSE = 1000
"""Data per image up to which the Jacobian is written out."""
CHUNK = 1 << 24
"""Numbers that one batch of derivatives may hold."""


@dataclass(frozen=True)
class NewtonState(State):
    """With the damping, and the decrease of the objective that the last step promised, both (n,)."""

    damping: Tensor
    promised: Tensor


class Linearised:
    """A problem near one point: whitened residuals and products with their Jacobian.

    With an unknown noise level the residuals are in units of their own rms, as the Jeffreys form weighs them.

    Attributes:
        residual: (n, m).
        gradient: (n, d), half the gradient of the objective.
    """

    def __init__(self, problem: Problem, flat: Tensor) -> None:
        self.problem, self.flat = problem, flat.detach()
        with torch.enable_grad():
            self._leaf = self.flat.clone().requires_grad_()
            self._output = problem.whitened(problem.predict(self._leaf))
        raw = self._output.detach()
        self.unit = raw.new_ones(len(raw), 1)
        if problem.unknown_variance:
            rms = (inner(raw, raw) / problem.count).sqrt()
            self.unit = 1 / rms.clamp(min=torch.finfo(raw.dtype).eps)[:, None]
        self.residual = raw * self.unit
        self.distance = self.flat if problem.anchor is None else self.flat - problem.anchor
        self.gradient = self.backward(self.residual) + self.distance

    def backward(self, w: Tensor) -> Tensor:
        """``J^T w``: (n, m) to (n, d)."""
        (grad,) = torch.autograd.grad(self._output, self._leaf, w * self.unit, retain_graph=True)
        return grad

    def forward(self, v: Tensor) -> Tensor:
        """``J v``: (n, d) to (n, m), as the derivative of ``<J^T w, v>`` in ``w``, without another pass forward."""
        (along,) = torch.autograd.grad(self._transposed, self._weights, v, retain_graph=True)
        return self.unit * along

    @cached_property
    def _weights(self) -> Tensor:
        return torch.zeros_like(self.residual, requires_grad=True)

    @cached_property
    def _transposed(self) -> Tensor:
        with torch.enable_grad():
            (grad,) = torch.autograd.grad(self._output, self._leaf, self._weights, create_graph=True)
        return grad

    def dense(self) -> Tensor:
        """The Jacobian, (n, m, d)."""
        n, m = self.residual.shape
        unit = torch.eye(m, dtype=self.residual.dtype, device=self.residual.device)[:, None]
        rows: list[Tensor] = []
        for part in torch.split(unit, max(1, CHUNK // (8 * self.flat.numel())), 0):
            seeds = (part * self.unit).expand(-1, n, -1)
            (grad,) = torch.autograd.grad(self._output, self._leaf, seeds, retain_graph=True, is_grads_batched=True)
            rows.append(grad)
        return torch.cat(rows).transpose(0, 1)

    def newton(self, damping: Tensor, iterations: int | None, tolerance: float = 1e-3) -> Tensor:
        """The damped step (n, d): exact with the Jacobian, or by so many conjugate gradient iterations.

        Args:
            damping: (n,) relative to the curvature of the misfit along its gradient.
            iterations: of conjugate gradients; None writes the Jacobian out.
            tolerance: at which those stop.
        """
        back = self.backward(self.residual)
        slope = inner(back, back)
        curvature = slope / inner(self.residual, self.residual).clamp(min=torch.finfo(slope.dtype).tiny)
        shift = (1 + damping * (1 + curvature))[:, None]
        if iterations is not None:
            return conjugate(
                lambda v: shift * v + self.backward(self.forward(v)), -self.gradient, 1 / shift, iterations, tolerance
            )
        jacobian = wide(self.dense())
        gradient, shift = wide(self.gradient), wide(shift)
        outer = jacobian @ jacobian.mT
        outer.diagonal(dim1=1, dim2=2).add_(shift)
        along = torch.linalg.solve_ex(outer, jacobian @ gradient[..., None])[0]
        step = -(gradient - (jacobian.mT @ along)[..., 0]) / shift
        narrow: Tensor = step.to(self.flat)
        return narrow


@dataclass(frozen=True)
class GaussNewton(Solver[NewtonState]):
    """See the module text.

    Attributes:
        steps: most steps; a rejected step counts.
        damping: at the start; falls by 8 with every success and grows by 8 with every failure.
        tolerance: a candidate is done when a step promises to lower its objective by less than this.
        iterations: of conjugate gradients per step where the Jacobian is not written out.
        dense: whether the Jacobian is written out; None decides by the number of data.
    """

    steps: int = 20
    damping: float = 1e-3
    tolerance: float = 1e-6
    iterations: int = 20
    dense: bool | None = None
    name: str = "gauss-newton"

    def init(self, problem: Problem, flat: Tensor) -> NewtonState:
        """See `Solver.init`."""
        loss, chi2 = _values(problem, flat)
        return NewtonState(flat, loss, chi2, torch.full_like(loss, self.damping), torch.full_like(loss, torch.inf))

    def step(self, problem: Problem, state: NewtonState, step: int) -> NewtonState:
        """See `Solver.step`."""
        near = Linearised(problem, state.flat)
        dense = near.residual.shape[1] <= DENSE if self.dense is None else self.dense
        move = near.newton(state.damping, None if dense else self.iterations)
        promised = -inner(near.gradient, move)
        loss, chi2 = _values(problem, state.flat + move)
        better = loss < state.loss
        damping = torch.where(better, state.damping / 8, (state.damping * 8).clamp(min=self.damping))
        new = NewtonState(state.flat + move, loss, chi2, damping, promised)
        kept = freeze(new, state, ~better)
        return NewtonState(kept.flat, kept.loss, kept.chi2, damping, promised)

    def terminate(self, problem: Problem, state: NewtonState) -> Tensor:
        """See `Solver.terminate`."""
        return state.promised <= self.tolerance


@torch.no_grad()
def _values(problem: Problem, flat: Tensor) -> tuple[Tensor, Tensor]:
    low = problem.predict(flat)
    return problem.objective(flat, low), problem.chi2(low)
