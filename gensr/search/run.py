"""Latent search of whole batches, as a preset asks for it."""

from __future__ import annotations

import torch
from torch import Tensor

from gensr.priors.generator import Generator, Observation
from gensr.search.loop import solve
from gensr.search.presets import Preset
from gensr.search.problem import Problem, repeat
from gensr.search.randomise import randomised
from gensr.search.solution import Solution
from gensr.search.solvers import solver
from gensr.values.random import Stream

SPHERICAL = ("pulse", "spherical-adam")
"""Solvers that search from random starts; the others solve randomised problems from their centre."""


def candidates(
    generator: Generator, data: Observation, preset: Preset, streams: list[Stream], count: int
) -> list[Tensor]:
    """Candidates of every image, the best one first.

    Args:
        generator: searched through its latents.
        data: n images.
        preset: names the solver and its steps.
        streams: one random stream per image.
        count: candidates per image.

    Returns:
        ``count`` tensors (n, band, rows, cols), ordered by the objective for each image.
    """
    found = search(generator, data, preset, streams, count)
    n = len(data.y)
    images = found.images.view(n, count, *found.images.shape[1:])
    order = found.objective.view(n, count).nan_to_num(nan=float("inf")).argsort(stable=True, dim=1)
    rows = torch.arange(n, device=order.device)
    return [images[rows, order[:, k]] for k in range(count)]


def search(generator: Generator, data: Observation, preset: Preset, streams: list[Stream], count: int) -> Solution:
    """The same as one `Solution`; candidate ``k`` of image ``i`` is row ``i * count + k``.

    Solvers on the sphere start at draws from the prior. The others return the optimum as candidate 0 and randomised
    samples after it. Discrete latents come from the generator's encoder if it has one.
    """
    spec = generator.latents(data.shape)
    keys = [stream.child("candidate", k) for stream in streams for k in range(count)]
    drawn = {name: t.to(data.y) for name, t in spec.sample(keys).items()}
    fixed = drawn
    if "encode" in generator.capabilities:
        fixed = {name: t.repeat_interleave(count, 0) for name, t in generator.encode(data).items()}
    problem = Problem(generator, repeat(data, count), fixed, discrepancy=generator.card.discrepancy)
    method, start, seed = solver(preset.solver, preset.steps), spec.flatten(drawn), streams[0].seed
    if preset.solver in SPHERICAL:
        return solve(method, problem, start, seed=seed)
    sampled = (torch.arange(len(keys)) % count > 0).to(data.y)
    numbers = [torch.stack([k.child(name).normal(shape) for k in keys]).to(data.y) for name, shape in _shapes(data)]
    first, second = (sampled.view(-1, 1, 1, 1) * x for x in numbers)
    return randomised(method, problem, first, sampled[:, None] * start, second, seed=seed)


def _shapes(data: Observation) -> tuple[tuple[str, tuple[int, ...]], ...]:
    return ("data", tuple(data.y.shape[1:])), ("image", (data.y.shape[1], *data.shape))
