"""Solvers and samplers against posteriors that are known exactly."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from gensr.benchmarks.exact import SIDE, Case, cases, simulate
from gensr.benchmarks.truth import METHODS, ambiguous, coverage_closed, coverage_drawn, guided, randomise, score
from gensr.search.closed_form import ClosedForm
from gensr.search.first_order import Adam, SphericalAdam
from gensr.search.gauss_newton import GaussNewton, Linearised
from gensr.search.guided import Guided, guided_samples
from gensr.search.loop import Solver, solve
from gensr.search.problem import Problem

ONE, TWO = cases(1), cases(2)


def names(case: Case) -> str:
    return case.name


def problem_of(case: Case, y: torch.Tensor) -> Problem:
    spec = case.generator.latents((SIDE, SIDE))
    return Problem(case.generator, case.observe(y), {t.name: y.new_zeros(len(y), *t.shape) for t in spec.tensors})


@pytest.mark.parametrize("case", ONE, ids=names)
@pytest.mark.parametrize(
    "solver",
    [ClosedForm(), GaussNewton(), GaussNewton(dense=False, iterations=100), Adam(steps=1500, rate=0.1)],
    ids=["closed", "dense", "matrix-free", "adam"],
)
def test_every_solver_finds_the_exact_map(case: Case, solver: Solver[Any]) -> None:
    _, y = simulate(case, 2, seed=1)
    found = solve(solver, problem_of(case, y))
    prior = case.generator.prior(SIDE).mean
    for image, data in zip(found.images, y, strict=True):
        exact = case.truth(data).mean
        error = (image.flatten() - exact).norm() / (exact - prior).norm()
        assert float(error) < 1e-4
    assert all(reason.success for reason in found.reason)


def test_the_generators_own_closed_form_agrees() -> None:
    for case in ONE:
        if not case.name.startswith("area"):
            continue  # for overlapping kernels it adds what leaves its windows to the noise
        _, y = simulate(case, 3, seed=2)
        moments = case.generator.posterior(case.observe(y.float()))
        for mean, variance, data in zip(moments.mean, moments.variance, y, strict=True):
            truth = case.truth(data)
            assert float(((mean.flatten() - truth.mean) / truth.std).abs().max()) < 1e-2
            torch.testing.assert_close(variance.flatten().sqrt().double(), truth.std, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("case", ONE[:3], ids=names)
def test_spherical_adam_finds_the_optimum_on_its_sphere(case: Case) -> None:
    _, y = simulate(case, 1, seed=3)
    problem = problem_of(case, y)
    near = Linearised(problem, problem.start())
    jacobian, residual = near.dense()[0], near.residual[0]
    start = torch.randn(3, problem.spec.dimension, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    radius = start.norm(dim=1)
    found = solve(SphericalAdam(steps=1500, rate=0.3), problem_of(case, y.expand(3, -1, -1, -1)), start)
    flat = problem.spec.flatten(found.latents)
    torch.testing.assert_close(flat.norm(dim=1), radius)
    # min |J z + r|^2 on |z| = rho: (J^T J + mu) z = -J^T r, with mu from the length (secular equation)
    values, vectors = torch.linalg.eigh(jacobian.T @ jacobian)
    rotated = vectors.T @ (-jacobian.T @ residual)
    for z, rho in zip(flat, radius, strict=True):
        # The null space has room for any length: the data can then be explained as well as without a sphere.
        low, high = torch.tensor(-float(values[0]) + 1e-12), torch.tensor(1e6)
        shortest = (rotated[values > 1e-9] / values[values > 1e-9]).norm()
        if shortest < rho:
            best = torch.zeros(()).double()
        else:
            low = torch.zeros(())
            for _ in range(200):
                middle = (low + high) / 2
                low, high = (middle, high) if (rotated / (values + middle)).norm() > rho else (low, middle)
            at = vectors @ (rotated / (values + low))
            best = (jacobian @ at + residual).square().sum()
        assert float((jacobian @ z + residual).square().sum() - best) < 1e-3 * float(residual.square().sum())


@pytest.mark.parametrize("case", ONE, ids=names)
def test_512_samples_have_the_exact_moments(case: Case) -> None:
    y = ambiguous(case)
    truth = case.truth(y)
    for draw in (randomise, guided(Guided(32)), guided(Guided(32, renoise=0.0))):
        numbers = torch.Generator().manual_seed(1)
        drawn = draw(case, y.expand(512, -1, -1, -1), numbers)
        row = score(truth, drawn, case.modes(drawn))
        assert row["mean"] < 0.05, row
        assert row["std"] < 0.05, row


@pytest.mark.parametrize("case", ONE, ids=names)
def test_guided_samples_are_exact_without_monte_carlo_error(case: Case) -> None:
    """The deterministic sampler is affine in its start for a Gaussian: mean and covariance follow from 65 runs."""
    y = ambiguous(case)
    truth = case.truth(y)
    pixels = SIDE * SIDE
    start = torch.cat([torch.zeros(1, pixels), torch.eye(pixels)]).double().view(-1, 1, SIDE, SIDE)
    settings = Guided(24, renoise=0.0)
    images = guided_samples(case.generator, case.observe(y.expand(len(start), -1, -1, -1)), lambda _: start, settings)
    flat = images.flatten(1)
    spread = (flat[1:] - flat[0]).square().sum(0).sqrt()
    assert float(((flat[0] - truth.mean) / truth.std).abs().max()) < 0.02
    assert float((spread / truth.std - 1).abs().max()) < 0.05


@pytest.mark.parametrize("case", TWO, ids=names)
def test_modes_have_their_weights(case: Case) -> None:
    y = ambiguous(case)
    truth = case.truth(y)
    row = score(truth, *_drawn(case, y, "randomise-then-optimise"))
    assert row["weight"] < 5, row
    assert row["mean"] < 0.05, row
    assert row["std"] < 0.05, row


@pytest.mark.parametrize("case", TWO, ids=names)
def test_guided_samples_keep_both_modes(case: Case) -> None:
    """One Gaussian for two modes is the known limit of "tweedie": see benchmarks/results/truth.md."""
    y = ambiguous(case)
    truth = case.truth(y)
    row = score(truth, *_drawn(case, y, "guided tweedie 32 steps"))
    assert row["weight"] < 20, row


def _drawn(case: Case, y: torch.Tensor, name: str) -> tuple[torch.Tensor, torch.Tensor]:
    drawn = METHODS[name](case, y.expand(512, -1, -1, -1), torch.Generator().manual_seed(2))
    return drawn, case.modes(drawn)


def test_cheap_data_steps_are_biased_and_say_which_they_are() -> None:
    case = ONE[0]
    y = ambiguous(case)
    truth = case.truth(y)
    for name in ("guided pigdm 32 steps", "guided ddnm 32 steps"):
        row = score(truth, *_drawn(case, y, name))
        assert 0.05 < row["mean"] < 0.8, row


@pytest.mark.parametrize("case", ONE, ids=names)
def test_intervals_of_the_closed_form_cover_what_they_say(case: Case) -> None:
    cover = coverage_closed(case, truths=4000, seed=11)
    assert 0.49 <= cover[0.5] <= 0.51
    assert 0.89 <= cover[0.9] <= 0.91
    assert 0.94 <= cover[0.95] <= 0.96


@pytest.mark.parametrize("case", [ONE[1], ONE[3]], ids=names)
def test_intervals_of_samples_cover_what_they_say(case: Case) -> None:
    cover = coverage_drawn(case, randomise, truths=1000, draws=39, seed=11)
    assert 0.49 <= cover[0.5] <= 0.51
    assert 0.89 <= cover[0.9] <= 0.91
    assert 0.94 <= cover[0.95] <= 0.96
