"""The staged search: one ladder for every generator; a preset cuts it earlier or later.

1. *Propose*: the generator's own starts (its bank), or draws and the centre of the prior, ranked on a coarse output.
2. *Coarse*: quasi-Newton steps in the generator's metric (`gensr.search.secant`), of all candidates together, on the
   cheapest output that is twice as fine as the data; half of them go at every rung, but never the last of a mode.
3. *Refine*: the same about the full output (`gensr.search.coarse`), as often as it still differs, then on itself.
4. *Polish*: Gauss-Newton steps, in the space of the data where there are few; elsewhere more quasi-Newton steps, which
   end where the data are explained to their noise.
5. *Extend*: where the objective has ceased to fall before that, the prior gives way by half and half again, no further
   than the data ask for, and this is reported.
6. *Samples*: randomised problems (`gensr.search.randomise`) about the modes, as often as their evidence says.

A stage that has nothing left to do (the data are explained to their noise) costs one evaluation.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from gensr.priors.card import REACH
from gensr.search.apart import inner
from gensr.search.coarse import CoarseProblem
from gensr.search.gauss_newton import GaussNewton
from gensr.search.loop import LOOK_EVERY, Solver, Start, State, Track, finish, freeze, selected, walk
from gensr.search.metric import Metric
from gensr.search.problem import Problem
from gensr.search.secant import Secant, SecantState
from gensr.search.solution import Solution, StopReason

EXACT = 0.02
"""Mean squared difference of coarse and full predictions, in units of the noise, that is none."""
FEW = 1 << 16
"""Numbers of a Jacobian that is cheap enough to be written out at every step."""
APART = 0.5
"""Candidates whose predictions are closer than this share of the mean distance are one mode."""


@dataclass(frozen=True)
class Staged(Solver[SecantState]):
    """Numbers of the ladder; see the module text.

    As a solver by itself it is its first steps on the full output.

    Attributes:
        steps: of the coarse stage, over all rungs.
        proposals: starts that are looked at for each candidate.
        candidates: that begin the coarse stage.
        modes: that are refined.
        rounds: of refinement about the full output.
        fine: steps of each round, and of those on the full output itself where rounds do not suffice.
        newton: Gauss-Newton steps where data and latents are few, so that the Jacobian is written out.
        polish: the same elsewhere, by conjugate gradients.
        secant: quasi-Newton steps after that.
        extend: as many more in which the prior may give way; candidates that are done take none of them.
        relax: its least weight there.
        enough: chi2 at which candidates are done then.
        draw: steps of a posterior sample.
    """

    steps: int = 30
    proposals: int = 2
    candidates: int = 4
    modes: int = 2
    rounds: int = 2
    fine: int = 10
    newton: int = 10
    polish: int = 0
    secant: int = 30
    extend: int = 90
    relax: float = 0.1
    enough: float = 1.0
    draw: int = 30
    name: str = "staged"
    start: ClassVar[Start] = "bank"

    def init(self, problem: Problem, flat: Tensor) -> SecantState:
        """See `Solver.init`."""
        return self.descent(None, self.steps).init(problem, flat)

    def step(self, problem: Problem, state: SecantState, step: int) -> SecantState:
        """See `Solver.step`."""
        return self.descent(None, self.steps).step(problem, state, step)

    def descent(self, metric: Metric | None, steps: int, enough: float = 0.0) -> Secant:
        """Its descent of so many steps."""
        return Secant(steps, enough, metric=metric)


@dataclass(frozen=True)
class Modes:
    """Where the ladder ended.

    Attributes:
        flat: (n * modes, d), the best of each image first.
        problem: about these latents, rows alike.
        beyond: (n * modes,) whether the prior was relaxed.
        steps: (n * modes,) that moved each.
        count: modes of an image.
    """

    flat: Tensor
    problem: CoarseProblem
    beyond: Tensor
    steps: Tensor
    count: int


def passes(problem: Problem) -> Tensor:
    """The largest chi2 (n,) that data explained to their noise leave: two deviations above 1."""
    return 1 + 2 * (2 / problem.count).sqrt()


def climb(method: Staged, problem: CoarseProblem, starts: Tensor, count: int, metric: Metric | None) -> Modes:
    """From starts to modes.

    Args:
        method: numbers.
        problem: rows are candidates, ``count`` for each image.
        starts: (n * count, d).
        count: candidates of an image.
        metric: of the generator, None for all directions alike.
    """
    flat, taken, known = starts, 0, None
    for keep, steps in rungs(count, method.modes, method.steps):
        track, _ = walk(method.descent(metric, steps), problem, flat)
        chosen = _kept(problem, track.best, count, keep)
        assert track.state is not None
        flat, known = track.best[chosen], selected(track.state, chosen)
        taken, count, problem = taken + steps, min(count, keep), problem.rows(chosen)
    moved = torch.full((len(flat),), taken, device=flat.device)
    for _ in range(method.rounds):
        problem, off = _renewed(problem, flat)
        if not bool((off > EXACT).any()):
            break
        flat, more = _walk(method.descent(metric, method.fine, 1.0), problem, flat)
        moved = moved + more
    problem, off = _renewed(problem, flat)
    if method.fine and bool((off > EXACT).any()):
        whole = replace(problem, stage=None, shift=None)
        flat, more = _walk(method.descent(metric, method.fine, 1.0), whole, flat)
        problem, moved = problem.renewed(flat), moved + more
    if (last := polish(method, problem)).steps:
        flat, more = _walk(last, problem, flat)
        problem, moved = problem.renewed(flat), moved + more
    flat, problem, beyond, more = _extended(method, problem, flat, metric, known)
    order = _kept(problem, flat, count, count)
    return Modes(flat[order], problem.rows(order), beyond[order], (moved + more)[order], count)


def rungs(count: int, modes: int, steps: int) -> list[tuple[int, int]]:
    """Candidates kept after each rung, and its steps: halves from ``count`` to ``modes``; the last is the longest."""
    kept = [count]
    while kept[-1] > modes:
        kept.append(max(modes, kept[-1] // 2))
    halvings = kept[1:]
    if not halvings:
        return [(min(count, modes), steps)]
    short = max(1, steps // 4 // len(halvings)) if steps else 0
    return [*((keep, short) for keep in halvings), (halvings[-1], max(0, steps - short * len(halvings)))]


def _walk(solver: Solver[Any], problem: CoarseProblem, flat: Tensor) -> tuple[Tensor, Tensor]:
    """The best latents that a solver sees, and how many steps moved each."""
    track, _ = walk(solver, problem, flat)
    return track.best, track.moved


def polish(method: Staged, problem: Problem) -> GaussNewton:
    """Gauss-Newton steps behind a descent; dense ones where data and latents are few."""
    few = problem.data.y[0].numel() * problem.spec.dimension <= FEW
    return GaussNewton(method.newton if few else method.polish, iterations=10, dense=few)


@torch.no_grad()
def _renewed(problem: CoarseProblem, flat: Tensor) -> tuple[CoarseProblem, Tensor]:
    """The problem about other latents, and what that changed of its predictions, in units of the noise (n,)."""
    new = problem.renewed(flat)
    if new.shift is None:
        return new, flat.new_zeros(len(flat))
    before = torch.zeros_like(new.shift) if problem.shift is None else problem.shift
    change = ((new.shift - before) * new.scale).flatten(1)
    return new, inner(change, change) / new.count


@torch.no_grad()
def _kept(problem: CoarseProblem, flat: Tensor, count: int, keep: int) -> Tensor:
    """Rows of the best candidates of every image, best first; the best of every mode goes before its likes."""
    if count == keep == 1:
        return torch.arange(len(flat), device=flat.device)
    low = problem.predict(flat)
    worth = problem.objective(flat, low).nan_to_num(nan=torch.inf).view(-1, count)
    seen = problem.whitened(low).nan_to_num().view(len(worth), count, -1)
    chosen = []
    for image, values in enumerate(worth):
        order = values.argsort(stable=True).tolist()
        apart = torch.cdist(seen[image], seen[image])
        near = APART * float(apart.mean())
        first: list[int] = []
        for k in order:
            if all(float(apart[k, j]) > near for j in first):
                first.append(k)
        ranked = [*first, *(k for k in order if k not in first)][:keep]
        chosen += [image * count + k for k in sorted(ranked, key=order.index)]
    return torch.tensor(chosen, device=flat.device)


def _extended(
    method: Staged, problem: CoarseProblem, flat: Tensor, metric: Metric | None, known: State | None
) -> tuple[Tensor, CoarseProblem, Tensor, Tensor]:
    """Quasi-Newton steps, of which the last few may relax the prior; with whether they did, and how many they were.

    ``known`` is where the descent ended: it need not be evaluated again if nothing changed since.
    """
    beyond = torch.zeros(len(flat), dtype=torch.bool, device=flat.device)
    moved = torch.zeros(len(flat), dtype=torch.long, device=flat.device)
    steps = method.secant + (0 if problem.unknown_variance else method.extend)
    if not steps:
        return flat, problem, beyond, moved
    edge = problem.generator.card.metrics.get(REACH, 0.0)
    solver = Secant(steps, method.enough, method.relax if method.extend else 1.0, method.secant, edge, metric)
    same = torch.zeros_like(beyond)
    if problem.stage is None and isinstance(known, SecantState):
        same = (known.flat == flat).all(1)  # each row by itself: none hangs on what became of another
    state = known if bool(same.all()) and isinstance(known, SecantState) else solver.init(problem, flat)
    if isinstance(known, SecantState) and bool(same.any()):
        state = freeze(state, known, same)
    look = 1 if flat.device.type == "cpu" else LOOK_EVERY
    for step in range(steps):
        active = ~solver.terminate(problem, state)
        if step % look == 0 and not bool(active.any()):
            break
        state = freeze(solver.step(problem, state, step), state, ~active)
        moved = moved + active
    flat, beyond = state.flat, state.weight < 1
    return flat, problem.renewed(flat), beyond, moved


@torch.no_grad()
def settled(method: Staged, modes: Modes, began: float, seed: int | None) -> Solution:
    """The best mode of every image, judged on the full output."""
    rows = torch.arange(0, len(modes.flat), modes.count, device=modes.flat.device)
    problem, flat = modes.problem.rows(rows), modes.flat[rows]
    images = problem.images(flat)
    low = problem.low(flat, images)
    explained = problem.chi2(low) <= passes(problem)
    beyond = modes.beyond[rows]
    verdicts = []
    for fits, far in zip(explained.tolist(), beyond.tolist(), strict=True):
        verdicts.append(StopReason.STEPS if not fits else StopReason.BEYOND if far else StopReason.DISCREPANCY)
    done = torch.zeros_like(explained)
    track = Track(flat, problem.objective(flat, low), done, done, modes.steps[rows])
    found = finish(method, problem, track, tuple(verdicts), time.perf_counter() - began, seed, images)
    return replace(found, figures={**found.figures, **norms(problem, flat)})


def norms(problem: Problem, flat: Tensor) -> dict[str, Tensor]:
    """Length of every part of the latents over its expectation, (n,) each: far above 1 is out of range."""
    figures, first = {}, 0
    for t in problem.spec.searched:
        part = flat[:, first : first + t.size]
        figures[f"length of {t.name}, in units of what is expected"] = part.norm(dim=1) / t.size**0.5
        first += t.size
    return figures


@torch.no_grad()
def proposed(problem: CoarseProblem, flat: Tensor, per: int, keep: int) -> Tensor:
    """Rows of the best ``keep`` of ``per`` starts of every image, by their coarse outputs, no two alike."""
    if per <= keep:
        return torch.arange(len(flat), device=flat.device)
    return _kept(problem, flat, per, keep)
