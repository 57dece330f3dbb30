"""Randomised samples, their refusals, resampling."""

from __future__ import annotations

import pytest
import torch

from gensr.benchmarks.exact import SIDE, cases, simulate
from gensr.errors import SearchError
from gensr.priors.generator import Generator
from gensr.priors.observation import Observation
from gensr.search.closed_form import ClosedForm
from gensr.search.gauss_newton import GaussNewton
from gensr.search.problem import Problem
from gensr.search.randomise import choose, randomised


def test_discrepancy_is_sampled_too() -> None:
    """Prior covariance grows by the discrepancy: moments against the textbook."""
    case = cases(1)[0]
    _, y = simulate(case, 1, seed=4)
    n, s = 2000, 0.1
    spec = case.generator.latents((SIDE, SIDE))
    many = y.expand(n, -1, -1, -1)
    zeros = {t.name: y.new_zeros(n, *t.shape) for t in spec.tensors}
    problem = Problem(case.generator, case.observe(many), zeros, discrepancy=s)
    numbers = torch.Generator().manual_seed(0)
    e, z, d = (
        torch.randn(shape, generator=numbers, dtype=torch.float64)
        for shape in (many.shape, (n, spec.dimension), (n, 1, SIDE, SIDE))
    )
    found = randomised(ClosedForm(), problem, e, z, d)
    prior = case.generator.prior(SIDE)
    covariance = prior.covariance[0] + s**2 * torch.eye(SIDE * SIDE, dtype=torch.float64)
    cross = case.matrix @ covariance
    gain = torch.linalg.solve(cross @ case.matrix.T + case.sigma**2 * torch.eye(16, dtype=torch.float64), cross).T
    mean = prior.mean[0] + gain @ (y.flatten() - case.matrix @ prior.mean[0])
    std = (covariance - gain @ cross).diagonal().sqrt()
    flat = found.images.flatten(1)
    assert float(((flat.mean(0) - mean) / std).square().mean().sqrt()) < 0.04
    assert float((flat.std(0) / std - 1).square().mean().sqrt()) < 0.04
    with pytest.raises(SearchError, match="discrepancy"):
        randomised(ClosedForm(), problem, e, z)


def test_unknown_noise_cannot_be_randomised(curved: Generator, observed: Observation) -> None:
    problem = Problem(curved, observed, {"unused": observed.y.new_zeros(4)}, unknown_variance=True)
    with pytest.raises(SearchError, match="noise level"):
        randomised(GaussNewton(), problem, observed.y, torch.zeros(4, 12))


def test_closed_form_refuses_a_curved_generator(curved: Generator, observed: Observation) -> None:
    problem = Problem(curved, observed, {"unused": observed.y.new_zeros(4)})
    with pytest.raises(SearchError, match="gauss-newton"):
        randomised(ClosedForm(), problem, observed.y, torch.zeros(4, 12))


def test_choice_follows_the_shares() -> None:
    shares = torch.tensor([0.1, 0.0, 0.6, 0.3]).log()
    for uniform in (0.0, 0.37, 0.999):
        counts = torch.bincount(choose(shares + 1000, 100, uniform), minlength=4).tolist()
        assert all(abs(c - w) <= 1 for c, w in zip(counts, (10, 0, 60, 30), strict=True)), counts
        assert counts[1] == 0
