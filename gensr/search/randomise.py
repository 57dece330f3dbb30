"""Posterior samples by randomise-then-optimise, and the choice between discrete modes.

Candidate ``k`` solves the same problem with perturbed data ``y + e_k`` and a perturbed centre ``xi_k`` of the prior.
For a linear generator its optimum is an exact posterior sample (Bardsley et al. 2014, doi:10.1137/140964023); elsewhere
it is an approximation whose figures say how well it explains the data.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from gensr.errors import SearchError
from gensr.search.gauss_newton import Linearised
from gensr.search.loop import Solver, solve
from gensr.search.problem import Problem
from gensr.search.solution import Solution


def randomised(
    solver: Solver[Any],
    problem: Problem,
    data_noise: Tensor,
    latent_noise: Tensor,
    image_noise: Tensor | None = None,
    start: Tensor | None = None,
    *,
    seed: int | None = None,
) -> Solution:
    """One posterior sample per row of the problem.

    Args:
        solver: finds optima of the posterior (not one on the sphere).
        problem: rows are candidates; its anchor is the centre that ``latent_noise`` is added to.
        data_noise: standard normal numbers, shape of y.
        latent_noise: standard normal numbers, (n, d).
        image_noise: standard normal numbers (n, band, rows, cols); needed if the problem has a discrepancy.
        start: (n, d) where candidates begin; the centre of each one's own problem if not given.
        seed: for the report.

    Returns:
        The samples, with objective and chi2 under the data as they are.

    Raises:
        SearchError: the noise level is unknown, or ``image_noise`` is missing.
    """
    if problem.unknown_variance:
        raise SearchError("randomised samples need a noise level; give one, or estimate it first")
    if problem.discrepancy > 0 and image_noise is None:
        raise SearchError("a generator with a discrepancy needs random numbers for it")
    data = problem.data
    y = problem.observed + torch.where(data.usable, data.variance, 0.0).sqrt() * data_noise.to(data.y)
    extra = torch.zeros(())
    if image_noise is not None and problem.discrepancy > 0:
        extra = problem.discrepancy * image_noise.to(data.y)
        y = y - data.operator.forward(extra)
    anchor = latent_noise.to(data.y) if problem.anchor is None else problem.anchor + latent_noise.to(data.y)
    found = solve(solver, problem.with_data(y, anchor), start, seed=seed)
    flat = problem.spec.flatten(found.latents)
    with torch.no_grad():
        plain = problem.images(flat)
        low = problem.low(flat, plain)
        images = found.images + extra
        return replace(
            found,
            images=images,
            low=problem.low(flat, images),
            objective=problem.objective(flat, low),
            chi2=problem.chi2(low),
            correction=(images - plain).flatten(1).square().mean(1).sqrt(),
        )


def log_evidence(problem: Problem, flat: Tensor) -> Tensor:
    """Laplace approximation of ``log p(y | fixed latents)`` at an optimum, (n,), up to a constant of the data.

    ``-(objective + log det(I + J J^T)) / 2``: exact for a linear generator. The share of a mode among the posterior is
    proportional to its prior weight times the exponential of this.
    """
    near = Linearised(problem, flat)
    jacobian = near.dense().double()
    gram = jacobian @ jacobian.mT
    gram.diagonal(dim1=1, dim2=2).add_(1.0)
    with torch.no_grad():
        determinant: Tensor = torch.linalg.slogdet(gram)[1]
        return -0.5 * (problem.objective(flat).double() + determinant)


def choose(log_weight: Tensor, count: int, uniform: float) -> Tensor:
    """Systematic resampling: ``count`` indices, each as often as its share, give or take one.

    Args:
        log_weight: (k,), any constant added.
        count: how many.
        uniform: a random number in [0, 1).

    Returns:
        (count,) ascending indices.
    """
    share = torch.softmax(log_weight.double(), 0).cumsum(0)
    points = (torch.arange(count, dtype=torch.float64, device=share.device) + uniform) / count
    return torch.searchsorted(share, points).clamp(max=len(share) - 1)
