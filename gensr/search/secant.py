"""Quasi-Newton steps in the metric of the generator: the workhorse of the staged search.

Limited-memory BFGS for every candidate by itself (Nocedal and Wright, Numerical Optimization, section 7.2), whose first
inverse is ``(H / noise + I)^-1`` (`gensr.search.metric`). A step is tried at once; one that does not lower the
objective is not taken, but its change of the gradient is learned from.

The search may end where the data are explained to their noise (Morozov's discrepancy principle): closer would be
fitting of noise at the cost of the prior. Range test: where the objective has ceased to fall and the data are still not
explained, the generator does not reach them within what its prior expects. Only then the weight of the prior halves,
and again where that ceases to help.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from torch import Tensor

from gensr.errors import out_of_memory
from gensr.search.apart import inner
from gensr.search.loop import Solver, State
from gensr.search.metric import Metric, plain
from gensr.search.problem import Problem
from gensr.search.solution import StopReason

PIXELS = 1 << 21
"""Pixels of pictures that are differentiated together: two of 1024 x 1024."""
KEPT = 12
"""Pairs of steps and changes of the gradient that are remembered."""
NUMBERS = 1 << 22
"""Numbers that these may be for one candidate; of larger latents fewer pairs are remembered."""
LOOK = 6
"""Steps between two looks at how far the objective fell."""
CAUTIOUS = 0.3
"""Curvature along a step, in that of the prior, below which it says nothing of a minimum."""
STALLED = 0.02
"""Share of the objective by which it falls between two looks where it still falls."""
FIRST = 0.8
"""Size of the first step, rms in units of what the data leave open."""
BOLD = 1.5
"""Factor on what the last pair says of the scale: it sees the most curved directions best, and too short steps last."""
SMALLEST = 1e-5
"""Share of a step below which a candidate is where it can get."""


@dataclass(frozen=True)
class SecantState(State):
    """With what the next step is made of.

    Attributes:
        grad: (n, d) half the gradient of the misfit.
        misfit: (n,).
        thin: (n, d), and ``core``, (n, k, k): the inverse of the metric.
        weight: (n,) of the prior.
        offset: (n,) what keeps ``loss`` continuous where the weight falls.
        size: (n,) share of the quasi-Newton step that is tried.
        moves: (n, k, d) last steps.
        turns: (n, k, d) changes of ``grad`` over them; both 0 where there is none.
        before: (n,) loss at the last look.
    """

    grad: Tensor
    misfit: Tensor
    thin: Tensor
    core: Tensor
    weight: Tensor
    offset: Tensor
    size: Tensor
    moves: Tensor
    turns: Tensor
    before: Tensor


@dataclass(frozen=True)
class Secant(Solver[SecantState]):
    """See the module text.

    Attributes:
        steps: most steps.
        enough: a candidate is done at this chi2; 0 for never.
        least: smallest weight of the prior; 1 never relaxes it.
        within: steps before it is relaxed.
        edge: largest chi2 at which data are in range all the same.
        metric: of the searched latents; None for all directions alike.
    """

    steps: int = 60
    enough: float = 0.0
    least: float = 1.0
    within: int = 0
    edge: float = 0.0
    metric: Metric | None = field(default=None, repr=False, compare=False)
    name: str = "secant"
    finished: ClassVar[StopReason] = StopReason.DISCREPANCY

    def init(self, problem: Problem, flat: Tensor) -> SecantState:
        """See `Solver.init`."""
        misfit, chi2, grad = self._evaluate(problem, flat)
        metric = self._metric(flat)
        scale = problem.scale.flatten(1)
        precision = inner(scale, scale) / metric.count
        if problem.unknown_variance:
            precision = precision / chi2.clamp(min=torch.finfo(chi2.dtype).tiny)
        thin, core = metric.inverse(precision)
        loss = misfit + problem.distance(flat)
        one = torch.ones_like(loss)
        none = flat.new_zeros(len(flat), max(2, min(KEPT, NUMBERS // max(1, flat.shape[1]))), flat.shape[1])
        return SecantState(flat, loss, chi2, grad, misfit, thin, core, one, 0 * one, one, none, none, loss)

    def step(self, problem: Problem, state: SecantState, step: int) -> SecantState:
        """See `Solver.step`."""
        state = self._relaxed(problem, state, step)
        weight = state.weight[:, None]
        away = state.flat if problem.anchor is None else state.flat - problem.anchor
        flat = state.flat - state.size[:, None] * self._direction(state, state.grad / weight + away)
        misfit, chi2, grad = self._evaluate(problem, flat)
        loss = misfit / state.weight + problem.distance(flat) + state.offset
        finite = torch.isfinite(loss) & torch.isfinite(grad).all(1)
        good = finite & (loss < state.loss)
        kept = good[:, None]
        move, turn = flat - state.flat, grad - state.grad
        bent = inner(move, turn / weight + move)
        useful = (finite & (bent > CAUTIOUS * inner(move, move)))[:, None]
        return replace(
            state,
            flat=torch.where(kept, flat, state.flat),
            loss=torch.where(good, loss, state.loss),
            chi2=torch.where(good, chi2, state.chi2),
            grad=torch.where(kept, grad, state.grad),
            misfit=torch.where(good, misfit, state.misfit),
            size=torch.where(good, (1.5 * state.size).clamp(max=1.0), 0.3 * state.size),
            moves=_pushed(state.moves, torch.where(useful, move, 0.0)),
            turns=_pushed(state.turns, torch.where(useful, turn, 0.0)),
        )

    def terminate(self, problem: Problem, state: SecantState) -> Tensor:
        """See `Solver.terminate`."""
        explained = (state.chi2 <= self.enough) & (not problem.unknown_variance)
        return explained | ((state.size < SMALLEST) & (state.weight <= self.least))

    def _relaxed(self, problem: Problem, state: SecantState, step: int) -> SecantState:
        """With half the weight of the prior for candidates whose objective has ceased to fall, now and then."""
        if step % LOOK or not step:
            return state
        stalled = state.before - state.loss < STALLED * (state.loss - state.offset).abs()
        stalled = stalled & (state.weight > self.least) & (state.chi2 > self.edge)
        stalled = stalled & (step >= self.within and not problem.unknown_variance)
        weight = torch.where(stalled, (state.weight / 2).clamp(min=self.least), state.weight)
        offset = state.offset + state.misfit / state.weight - state.misfit / weight
        size = torch.where(stalled, 1.0, state.size)
        return replace(state, weight=weight, offset=offset, before=state.loss, size=size)

    def _direction(self, state: SecantState, gradient: Tensor) -> Tensor:
        """``B^-1 gradient`` (n, d) with the quasi-Newton curvature B: the recursion in two loops."""
        q = gradient
        turns = state.turns / state.weight[:, None, None] + state.moves  # those of the whole objective
        bent = inner(state.moves, turns)
        tiny = torch.finfo(bent.dtype).tiny
        factor = torch.where(bent > 0, 1 / bent.clamp(min=tiny), 0.0)
        shares: list[Tensor] = []
        known = [k for k, any_bent in enumerate((bent > 0).any(0).tolist()) if any_bent]
        for k in reversed(known):
            shares.append(factor[:, k] * inner(state.moves[:, k], q))
            q = q - shares[-1][:, None] * turns[:, k]
        r = self._scaled(state, q, turns[:, -1], bent[:, -1])
        for k, share in zip(known, reversed(shares), strict=True):
            r = r + (share - factor[:, k] * inner(turns[:, k], r))[:, None] * state.moves[:, k]
        return r

    def _scaled(self, state: SecantState, q: Tensor, turn: Tensor, bent: Tensor) -> Tensor:
        """``q`` times the inverse of the metric, in units of the last pair, or so that the first step has its size."""
        metric, tiny = self._metric(q), torch.finfo(bent.dtype).tiny
        r = metric.solve(state.thin, state.core, q)
        size = FIRST / (inner(q, r) / q.shape[1]).clamp(min=tiny).sqrt()
        if bool((bent > 0).any()):
            curved = inner(turn, metric.solve(state.thin, state.core, turn))
            size = torch.where(bent > 0, (BOLD * bent / curved.clamp(min=tiny)).clamp(1e-3, 1e3), size)
        return size[:, None] * r

    def _metric(self, flat: Tensor) -> Metric:
        if self.metric is None:
            return plain(flat.shape[1], flat)
        return self.metric.to(flat).extended(flat.shape[1])

    def _evaluate(self, problem: Problem, flat: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Misfit, chi2 and half the gradient of the misfit, in parts that fit the memory."""
        together = max(1, PIXELS // (problem.data.shape[0] * problem.data.shape[1]))
        if together >= len(flat):
            return _whole(problem, flat)
        try:
            parts = [
                _whole(problem.rows(torch.arange(i, min(i + together, len(flat)), device=flat.device)), part)
                for i, part in zip(range(0, len(flat), together), flat.split(together), strict=True)
            ]
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            parts = [
                _whole(problem.rows(torch.tensor([i], device=flat.device)), flat[i : i + 1]) for i in range(len(flat))
            ]
        misfit, chi2, grad = (torch.cat(found) for found in zip(*parts, strict=True))
        return misfit, chi2, grad


def _whole(problem: Problem, flat: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    with torch.enable_grad():
        z = flat.detach().requires_grad_()
        low = problem.predict(z)
        misfit = problem.misfit(low)
        (grad,) = torch.autograd.grad(misfit.sum(), z)
    with torch.no_grad():
        return misfit.detach(), problem.chi2(low.detach()), grad / 2


def _pushed(kept: Tensor, new: Tensor) -> Tensor:
    """The pairs that are remembered, with a new one at the end."""
    return torch.cat([kept[:, 1:], new[:, None]], 1)
