"""The search loop, written once: solvers only say how to begin, how to step and when a candidate is done.

Rows never influence each other: a candidate that is done is frozen, so its result does not depend on its neighbours,
on the batch or on how often the loop looks whether all are done. On an accelerator it looks rarely, as a look waits.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import ClassVar, Generic, Literal, TypeVar

import torch
from torch import Tensor

from gensr.priors.generator import Generator
from gensr.search.problem import Problem
from gensr.search.solution import Solution, StopReason

LOOK_EVERY = 16
"""Steps between two looks on an accelerator."""


@dataclass(frozen=True)
class State:
    """Where the candidates are; solvers extend it. Every tensor has one row per candidate.

    Attributes:
        flat: (n, d) latents.
        loss: (n,) what the solver minimises, at ``flat``.
        chi2: (n,) at ``flat``.
    """

    flat: Tensor
    loss: Tensor
    chi2: Tensor


S = TypeVar("S", bound=State)
Start = Literal["prior", "centre", "encoded", "bank"]
"""Where a candidate begins: at a draw from the prior, at the centre of its problem, at what the generator's encoder
makes of the data, or at the best of the generator's own starts (`gensr.priors.generator.Generator.starts`)."""
Callback = Callable[[int, Tensor, Tensor], None]
"""Called with the step, and the loss and chi2 of every candidate."""


class Solver(ABC, Generic[S]):
    """One way to move candidates. Immutable: all that changes is in the state.

    Attributes:
        name: for reports.
        steps: most steps.
    """

    name: str
    steps: int
    start: ClassVar[Start] = "centre"
    """Where candidates begin if nobody says otherwise, see `Start`."""
    independent: ClassVar[bool] = False
    """Whether candidates are searches of their own from random starts (a sphere has no centre); the others are one
    optimum and randomised problems about it, which are posterior samples."""
    gradient_free: ClassVar[bool] = False
    """Whether it works without derivatives of the generator."""
    bare: ClassVar[bool] = False
    """Whether the picture is ``G(z)`` and nothing is added to it: no data consistency, and no deviation."""
    finished: ClassVar[StopReason] = StopReason.CONVERGED
    """Verdict of a candidate that `terminate` ends."""

    def space(self, generator: Generator) -> Generator:
        """The generator whose latents are searched: the one given, or a view of it with latents of another kind."""
        return generator

    @abstractmethod
    def init(self, problem: Problem, flat: Tensor) -> S:
        """State at the start (n, d)."""

    @abstractmethod
    def step(self, problem: Problem, state: S, step: int) -> S:
        """State after one step, counted from 0; must not change ``state``."""

    def terminate(self, problem: Problem, state: S) -> Tensor:
        """Which candidates are done, bool (n,)."""
        return torch.zeros_like(state.loss, dtype=torch.bool)

    def verdict(self, problem: Problem, low: Tensor, reason: tuple[StopReason, ...]) -> tuple[StopReason, ...]:
        """Last word on why candidates stopped, from the predictions of what is returned."""
        return reason

    def figures(self, problem: Problem, low: Tensor) -> dict[str, Tensor]:
        """More about what is returned than chi2, (n,) each by name, for reports."""
        return {}


@dataclass
class Track:
    """Best iterate and fate of every candidate, and the state that the loop ended with."""

    best: Tensor
    loss: Tensor
    done: Tensor
    broken: Tensor
    moved: Tensor
    state: State | None = None


def solve(
    solver: Solver[S],
    problem: Problem,
    start: Tensor | None = None,
    *,
    discrepancy_stop: bool = False,
    callback: Callback | None = None,
    seed: int | None = None,
) -> Solution:
    """Search from a start; the best candidates found come back whatever happens, with a verdict each.

    Args:
        solver: how to move.
        problem: what to minimise.
        start: (n, d); the centre of the prior if not given.
        discrepancy_stop: also stop a candidate once it explains the data to their noise (chi2 <= 1): for solvers that
            do not weigh the prior. Needs a known noise level.
        callback: told about every step; waits for an accelerator.
        seed: of the start, for the report.
    """
    began = time.perf_counter()
    initial = problem.start(start).detach()
    track, reason = walk(solver, problem, initial, discrepancy_stop and not problem.unknown_variance, callback)
    return finish(solver, problem, track, reason, time.perf_counter() - began, seed)


def walk(
    solver: Solver[S],
    problem: Problem,
    start: Tensor,
    use_chi2: bool = False,
    callback: Callback | None = None,
) -> tuple[Track, tuple[StopReason, ...]]:
    """The search without pictures: where candidates got from a start (n, d), and why they stopped; see `solve`."""
    state = solver.init(problem, start)
    track = _begin(state)
    look = 1 if start.device.type == "cpu" else LOOK_EVERY
    for step in range(solver.steps):
        track.done |= track.broken | solver.terminate(problem, state)
        if use_chi2:
            track.done |= state.chi2 <= 1
        if step % look == 0 and bool(track.done.all()):
            break
        new = solver.step(problem, state, step)
        _follow(track, new)
        state = freeze(new, state, track.done | track.broken)
        if callback is not None:
            callback(step, state.loss, state.chi2)
    finished = solver.terminate(problem, state)
    track.state = state
    return track, _verdicts(solver, track, finished, (state.chi2 <= 1) & use_chi2)


def _begin(state: State) -> Track:
    good = _finite(state)
    loss = torch.where(good, state.loss, torch.inf)
    never = torch.zeros_like(good)
    return Track(state.flat, loss, never, ~good, torch.zeros_like(good, dtype=torch.long))


def _finite(state: State) -> Tensor:
    return torch.isfinite(state.loss) & torch.isfinite(state.chi2) & torch.isfinite(state.flat).all(1)


def _follow(track: Track, new: State) -> None:
    """Keep what is better, and mark candidates whose values are no longer finite."""
    active = ~track.done
    good = _finite(new)
    better = active & good & (new.loss < track.loss)
    track.best = torch.where(better[:, None], new.flat, track.best)
    track.loss = torch.where(better, new.loss, track.loss)
    track.broken = track.broken | (active & ~good)
    track.moved = track.moved + active


def freeze(new: S, old: S, rows: Tensor) -> S:
    """``new`` with the given rows as they were in ``old``."""

    def keep(a: Tensor, b: Tensor) -> Tensor:
        return torch.where(rows.view(-1, *[1] * (a.ndim - 1)), b, a)

    return replace(new, **{f.name: keep(getattr(new, f.name), getattr(old, f.name)) for f in fields(new)})


def selected(state: S, rows: Tensor) -> S:
    """The state of some of the candidates, by number."""
    return replace(state, **{f.name: getattr(state, f.name)[rows] for f in fields(state)})


def _verdicts(solver: Solver[S], track: Track, finished: Tensor, explained: Tensor) -> tuple[StopReason, ...]:
    verdicts = []
    seen = torch.isfinite(track.loss)
    flags = torch.stack([track.broken, seen, finished, explained], 1).tolist()
    for broken, any_good, done, fits in flags:
        if broken:
            verdicts.append(StopReason.NOT_FINITE if any_good else StopReason.NEVER_FINITE)
        elif done:
            verdicts.append(solver.finished)
        else:
            verdicts.append(StopReason.DISCREPANCY if fits else StopReason.STEPS)
    return tuple(verdicts)


@torch.no_grad()
def finish(
    solver: Solver[S],
    problem: Problem,
    track: Track,
    reason: tuple[StopReason, ...],
    seconds: float,
    seed: int | None,
    images: Tensor | None = None,
) -> Solution:
    """Images and figures of the best latents, all of one iterate; ``images`` if they are known already."""
    best = track.best
    images = problem.images(best) if images is None else images
    low = problem.low(best, images)
    correction = torch.zeros_like(images) if solver.bare else problem.correction(best, images)
    corrected = images + correction
    expected = max(1, best.shape[1]) ** 0.5
    return Solution(
        latents=problem.spec.unflatten(best, problem.fixed),
        images=corrected,
        low=problem.low(best, corrected),
        loss=track.loss,
        objective=problem.objective(best, low),
        chi2=problem.chi2(low),
        norm=best.norm(dim=1) / expected,
        correction=correction.flatten(1).square().mean(1).sqrt(),
        reason=solver.verdict(problem, low, reason),
        steps=track.moved,
        seconds=seconds,
        solver=solver.name,
        seed=seed,
        figures=solver.figures(problem, low),
    )
