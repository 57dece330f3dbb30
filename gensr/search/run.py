"""Latent search of whole batches, as a preset asks for it."""

from __future__ import annotations

import time
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from gensr.errors import SearchError
from gensr.operators import Area
from gensr.priors.generator import Generator, Stage
from gensr.priors.observation import Observation
from gensr.search.apart import apart
from gensr.search.coarse import CoarseProblem
from gensr.search.loop import Solver, Start, solve
from gensr.search.metric import Metric, metric_of, starts
from gensr.search.presets import Preset
from gensr.search.problem import Problem, repeat
from gensr.search.randomise import choose, randomised
from gensr.search.solution import Solution, merged
from gensr.search.solvers import solver
from gensr.search.staged import Modes, Staged, climb, polish, proposed, settled
from gensr.values.latent import Latents
from gensr.values.random import Stream

SAVING = 0.75
"""Cost of a coarse output, relative to the full one, that is worth the corrections."""
RICH = 1024
"""Pictures of a metric's bank that are preferred to a bank that comes with the weights."""
PROPOSED = 4
"""Starts that are looked at on a coarse stage for each one that is kept."""


@dataclass(frozen=True)
class Found:
    """What a search made of every image.

    Attributes:
        best: (n, band, rows, cols) the best candidate.
        others: tensors like ``best``: posterior samples, or, of solvers without them, candidates in order of worth.
        solution: all candidates; ``k`` of image ``i`` is row ``i * count + k``.
    """

    best: Tensor
    others: list[Tensor]
    solution: Solution


def candidates(generator: Generator, data: Observation, preset: Preset, streams: list[Stream], count: int) -> Found:
    """Search every image.

    Args:
        generator: searched through its latents.
        data: n images.
        preset: names the solver, its numbers and where it starts.
        streams: one random stream per image.
        count: of ``others``; one more is searched where they are samples about an optimum.
    """
    method = solver(preset.solver, preset.solver_options)
    rows = count if method.independent else count + 1
    found = search(generator, data, preset, streams, max(rows, 1))
    n, rows = len(data.y), max(rows, 1)
    images = found.images.view(n, rows, *found.images.shape[1:])
    if not method.independent:
        return Found(images[:, 0], [images[:, k] for k in range(1, rows)], found)
    worth = found.loss if method.bare else found.objective
    order = worth.view(n, rows).nan_to_num(nan=float("inf")).argsort(stable=True, dim=1)
    first = torch.arange(n, device=order.device)
    ranked = [images[first, order[:, k]] for k in range(rows)]
    return Found(ranked[0], ranked, found)


def search(generator: Generator, data: Observation, preset: Preset, streams: list[Stream], count: int) -> Solution:
    """Search ``count`` candidates of every image; candidate ``k`` of image ``i`` is row ``i * count + k``.

    Solvers whose candidates are independent begin at different starts. The others return the optimum as candidate 0 and
    randomised samples after it. Discrete latents come from the generator's encoder if it has one.
    """
    method = solver(preset.solver, preset.solver_options)
    generator = method.space(generator)
    spec = generator.latents(data.shape)
    keys = [stream.child("candidate", k) for stream in streams for k in range(count)]
    drawn = {name: t.to(data.y) for name, t in spec.sample(keys).items()}
    encoded = _encoded(generator, data, count)
    problem = Problem(generator, repeat(data, count), encoded or drawn, discrepancy=generator.card.discrepancy)
    if isinstance(method, Staged):
        return _climbed(method, problem, preset.start, streams, keys, drawn, count)
    begin = _begin(generator, data, start_of(generator, method, preset.start), drawn, count)
    begin = None if begin is None else problem.complete(begin)
    seed = streams[0].seed
    if method.independent:
        return solve(method, problem, begin, seed=seed)
    sampled = (torch.arange(len(keys)) % count > 0).to(data.y)
    numbers = [torch.stack([k.child(name).normal(shape) for k in keys]).to(data.y) for name, shape in _shapes(data)]
    first, second = (sampled.view(-1, 1, 1, 1) * x for x in numbers)
    anchor = _anchor(problem, spec.flatten(drawn), keys)
    return randomised(method, problem, first, sampled[:, None] * anchor, second, begin, seed=seed)


def _climbed(
    method: Staged,
    problem: Problem,
    asked: Start | None,
    streams: list[Stream],
    keys: list[Stream],
    drawn: Latents,
    count: int,
) -> Solution:
    """The staged search: row 0 of every image is its best mode, the others are samples about its modes."""
    began = time.perf_counter()
    generator, n = problem.generator, len(streams)
    first = problem.rows(torch.arange(0, n * count, count))
    stage = coarse_stage(generator, first.data)
    metric = metric_of(generator, first.data.shape, stage)
    per = method.candidates * max(1, method.proposals)
    pool = replace(first, data=repeat(first.data, per), fixed=_repeated(first.fixed, per))
    coarse = CoarseProblem(**{f.name: getattr(pool, f.name) for f in fields(Problem)}, stage=stage)
    begin = coarse.complete(_pool(first, start_of(generator, method, asked), asked, metric, streams, per))
    rows = proposed(coarse, begin, per, method.candidates)
    modes = climb(method, coarse.rows(rows), begin[rows], method.candidates, metric)
    best = settled(method, modes, began, streams[0].seed)
    if count == 1:
        return best
    picked = _picked(modes, [stream.child("modes") for stream in streams], count - 1)
    others = torch.tensor([k for k in range(n * count) if k % count])
    numbers = [
        torch.stack([keys[k].child(name).normal(shape) for k in others.tolist()]).to(problem.data.y)
        for name, shape in _shapes(problem.data)
    ]
    anchor = _anchor(problem, problem.generator.latents(problem.data.shape).flatten(drawn), keys)[others]
    around = modes.problem.rows(picked)
    # Beside exact data few steps of a gradient do not hear the prior: samples would stay at their mode.
    last = polish(method, around)
    drawing: Solver[Any] = last if last.dense and last.steps else method.descent(metric, method.draw)
    samples = randomised(drawing, around, numbers[0], anchor, numbers[1], modes.flat[picked])
    return merged(best, samples, count, time.perf_counter() - began)


def _repeated(latents: Latents, copies: int) -> Latents:
    return {name: t.repeat_interleave(copies, 0) for name, t in latents.items()}


def _pool(
    first: Problem, start: Start, asked: Start | None, metric: Metric | None, streams: list[Stream], per: int
) -> Tensor:
    """Searched latents (n * per, d) to choose candidates from: starts, what an encoder says, the centre, or draws.

    A generator without starts of its own has those of its metric, unless the user asked for others.
    """
    generator, data = first.generator, first.data
    spec = generator.latents(data.shape)
    rich = asked is None and metric is not None and len(metric.pictures) >= RICH
    if start == "bank" and not rich:
        return spec.flatten(_starts(generator, data, per))
    if asked is None and metric is not None and len(metric.pictures):
        flat = spec.flatten({name: t.to(data.y) for name, t in starts(generator, metric, data, per).items()})
    else:
        keys = [stream.child("proposal", k) for stream in streams for k in range(per)]
        flat = spec.flatten({name: t.to(data.y) for name, t in spec.sample(keys).items()})
    if start == "centre" and per > 1:
        flat[per - 1 :: per] = 0
    elif start == "centre" and (asked is not None or metric is None):
        flat = torch.zeros_like(flat)
    encoded = _encoded(generator, data, 1) if start == "encoded" else None
    if encoded is not None:
        flat[::per] = spec.flatten(encoded)
    return flat


def _picked(modes: Modes, streams: list[Stream], count: int) -> Tensor:
    """Rows of the modes that samples begin at, (n * count,), each as often as its share of the posterior."""
    objective = modes.problem.objective(modes.flat, modes.problem.predict(modes.flat)).view(-1, modes.count)
    found = []
    for image, (values, stream) in enumerate(zip(objective, streams, strict=True)):
        uniform = float(torch.special.ndtr(stream.normal((1,)))[0])
        found.append(image * modes.count + choose(-0.5 * values, count, min(uniform, 1 - 1e-9)))
    return torch.cat(found)


def _anchor(problem: Problem, drawn: Tensor, keys: list[Stream]) -> Tensor:
    """Standard normal numbers (n, d) of all unknowns: those of the generator, and fresh ones for the operator."""
    missing = problem.spec.dimension - drawn.shape[1]
    if not missing:
        return drawn
    return torch.cat([drawn, torch.stack([k.child("operator").normal((missing,)) for k in keys]).to(drawn)], 1)


def _encoded(generator: Generator, data: Observation, count: int) -> Latents | None:
    if "encode" not in generator.capabilities:
        return None
    with apart(data.y):
        encoded = generator.encode(data)
    return {name: t.repeat_interleave(count, 0) for name, t in encoded.items()}


def _starts(generator: Generator, data: Observation, count: int) -> Latents:
    with apart(data.y):
        return generator.starts(data, count)


def start_of(generator: Generator, method: Solver[Any], asked: Start | None) -> Start:
    """Where candidates begin: where the user says, else where the solver likes best and the generator can.

    Raises:
        SearchError: asked for what the generator does not have.
    """
    able = {"bank": "starts" in generator.capabilities, "encoded": "encode" in generator.capabilities}
    if asked is not None:
        if not able.get(asked, True):
            others = ", ".join(["prior", "centre", *(name for name, has in able.items() if has)])
            raise SearchError(f"search.start={asked}: {generator.card.name} has none; it can start from {others}")
        return asked
    return method.start if able.get(method.start, True) else "centre"


def _begin(generator: Generator, data: Observation, start: Start, drawn: Latents, count: int) -> Tensor | None:
    """Searched latents (n * count, d) of the generator to begin from; None for the centre of each problem."""
    if start == "bank":
        return _ranked(generator, data, count)
    if start == "centre":
        return None
    latents = drawn if start == "prior" else _encoded(generator, data, count)
    return None if latents is None else generator.latents(data.shape).flatten(latents)


def coarse_stage(generator: Generator, data: Observation) -> Stage | None:
    """The cheapest coarse output that is twice as fine as the data; None where there is none that saves anything."""
    rows, cols = (min(2 * side, full) for side, full in zip(data.y.shape[-2:], data.shape, strict=True))
    for stage in generator.stages(data.shape):
        whole = all(full % side == 0 for full, side in zip(data.shape, stage.shape, strict=True))
        if stage.shape[0] >= rows and stage.shape[1] >= cols and whole and stage.shape != data.shape:
            return stage if stage.cost <= SAVING else None
    return None


@torch.no_grad()
def _ranked(generator: Generator, data: Observation, count: int) -> Tensor:
    """The best of the generator's starts: several for each that is kept, ranked on its cheapest fitting stage."""
    spec = generator.latents(data.shape)
    stage = next((s for s in generator.stages(data.shape) if _fits(s.shape, data)), None)
    if stage is None:
        return spec.flatten(_starts(generator, data, count))
    proposed = count * PROPOSED
    latents = _starts(generator, data, proposed)
    seen = repeat(data, proposed)
    operator = Area((stage.shape[0] // data.y.shape[-2], stage.shape[1] // data.y.shape[-1]))
    coarse = Problem(generator, seen, latents).made(latents, stage)
    misfit = Problem(generator, replace(seen, operator=operator), latents).misfit(operator.forward(coarse))
    order = misfit.view(-1, proposed).argsort(stable=True, dim=1)[:, :count]
    rows = (order + proposed * torch.arange(len(order), device=order.device)[:, None]).flatten()
    return spec.flatten({t.name: latents[t.name][rows] for t in spec.tensors})


def _fits(shape: tuple[int, int], data: Observation) -> bool:
    """Whether coarse images of a shape are whole multiples of the data."""
    return all(have >= want and have % want == 0 for have, want in zip(shape, data.y.shape[-2:], strict=True))


def _shapes(data: Observation) -> tuple[tuple[str, tuple[int, ...]], ...]:
    return ("data", tuple(data.y.shape[1:])), ("image", (data.y.shape[1], *data.shape))
