"""An operator that is not known: the width of a Gaussian PSF found with the image, beside the exact posterior."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from gensr.benchmarks.exact import toy
from gensr.generators.gaussian.mixture import Mixture
from gensr.generators.gaussian.parameters import MixtureParameters
from gensr.operators import BlindGaussianPSF, GaussianPSF
from gensr.operators.blind import WIDTH
from gensr.priors.observation import Observation
from gensr.search.gauss_newton import GaussNewton
from gensr.search.loop import solve
from gensr.search.posterior import method_of
from gensr.search.presets import preset
from gensr.search.problem import OPERATOR, Problem, repeat
from gensr.search.randomise import randomised

SIDE, NOISE, TRUE = 16, 0.01, 0.8
BLIND = BlindGaussianPSF(2, 0.6, spread=0.4)


@pytest.fixture(scope="module")
def prior() -> Mixture:
    """One Gaussian of 24 directions on 16 x 16 windows: fewer unknowns than data, which then say what blurred them."""
    numbers = torch.Generator().manual_seed(3)
    d = SIDE * SIDE - 1
    directions = 0.5 * torch.randn(1, d, 24, generator=numbers, dtype=torch.float64)
    nothing = torch.full((1, d), 1e-12, dtype=torch.float64)
    mean = torch.zeros(1, d, dtype=torch.float64)
    parameters = MixtureParameters.with_level(SIDE, torch.ones(1), mean, directions, nothing, level=0.3)
    return Mixture(parameters, replace(toy().card, name="blind"))


@pytest.fixture(scope="module")
def data(prior: Mixture) -> Observation:
    """A draw from the prior through optics of another width than the expected one."""
    numbers = torch.Generator().manual_seed(8)
    spec = prior.latents((SIDE, SIDE))
    drawn = {t.name: torch.randn(1, *t.shape, generator=numbers, dtype=torch.float64) for t in spec.tensors}
    clean = GaussianPSF(2, TRUE).forward(prior.synthesize(drawn, (SIDE, SIDE)))
    y = clean + NOISE * torch.randn(clean.shape, generator=numbers, dtype=torch.float64)
    return Observation(y, BLIND, torch.full_like(y, NOISE**2), torch.ones_like(y, dtype=torch.bool))


def problem_of(prior: Mixture, data: Observation) -> Problem:
    spec = prior.latents((SIDE, SIDE))
    return Problem(prior, data, {t.name: data.y.new_zeros(len(data.y), *t.shape) for t in spec.tensors})


def exact(prior: Mixture, data: Observation) -> tuple[float, float]:
    """Mean and deviation of the latent of the width, from its marginal likelihood on a grid."""
    image = prior.prior(SIDE)
    eye = torch.eye(SIDE * SIDE, dtype=torch.float64).view(-1, SIDE, SIDE)
    grid = torch.linspace(0, 1.5, 301, dtype=torch.float64)
    score = []
    for t in grid:
        a = GaussianPSF(2, BLIND.sigma * float((BLIND.spread * t).exp())).forward(eye).flatten(1).T
        spread = a @ image.covariance[0].double() @ a.T + NOISE**2 * torch.eye(len(a), dtype=torch.float64)
        normal = torch.distributions.MultivariateNormal(a @ image.mean[0].double(), spread)
        score.append(normal.log_prob(data.y.flatten()) - t**2 / 2)
    weight = torch.softmax(torch.stack(score), 0)
    mean = float(weight @ grid)
    return mean, float((weight @ (grid - mean) ** 2).sqrt())


def test_the_width_is_found_with_the_image(prior: Mixture, data: Observation) -> None:
    mean, std = exact(prior, data)
    assert abs(BLIND.sigma * torch.tensor(BLIND.spread * mean).exp() - TRUE) < 0.02  # the data do say it
    found = solve(GaussNewton(), problem_of(prior, data))
    latent = float(found.latents[OPERATOR + WIDTH])
    assert abs(latent - mean) < 2 * std
    assert found.reason[0].success
    assert 0.2 < float(found.chi2) < 1  # 64 data, 26 unknowns: about 0.6, which a wrong width cannot reach
    wrong = solve(GaussNewton(), problem_of(prior, replace(data, operator=GaussianPSF(2, BLIND.sigma))))
    assert float(wrong.chi2) > 5


def test_its_spread_over_randomised_samples_is_the_posterior(prior: Mixture, data: Observation) -> None:
    mean, std = exact(prior, data)
    count, numbers = 48, torch.Generator().manual_seed(1)
    problem = problem_of(prior, repeat(data, count))
    shapes = (problem.data.y.shape, (count, problem.spec.dimension))
    noise = [torch.randn(s, generator=numbers, dtype=torch.float64) for s in shapes]
    latent = randomised(GaussNewton(), problem, noise[0], noise[1]).latents[OPERATOR + WIDTH]
    assert abs(float(latent.mean()) - mean) < 4 * std / count**0.5
    assert 0.7 < float(latent.std()) / std < 1.4


def test_every_row_has_its_own_operator(prior: Mixture) -> None:
    numbers = torch.Generator().manual_seed(2)
    x = torch.randn(2, 3, 12, 8, generator=numbers, dtype=torch.float64)
    latent = torch.tensor([-0.7, 1.1], dtype=torch.float64)
    for total in (False, True):
        blind = BlindGaussianPSF((2, 4), 0.6, 0.4, total)
        low = blind.at({WIDTH: latent}).forward(x)
        for k in range(2):
            known = GaussianPSF((2, 4), 0.6 * float((0.4 * latent[k]).exp()), total)
            torch.testing.assert_close(low[k], known.forward(x[k]), rtol=1e-12, atol=1e-12)
        y = torch.randn(low.shape, generator=numbers, dtype=torch.float64)
        back = blind.at({WIDTH: latent}).adjoint(y)
        torch.testing.assert_close((low * y).sum(), (x * back).sum(), rtol=1e-12, atol=1e-12)
        assert torch.equal(blind.forward(x), GaussianPSF((2, 4), 0.6, total).forward(x))


def test_its_derivative_is_that_of_the_width() -> None:
    x = torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    latent = torch.tensor([0.3], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda t: BLIND.at({WIDTH: t}).forward(x), latent, eps=1e-6)


def test_no_closed_form_is_used_for_an_operator_that_is_not_known(prior: Mixture) -> None:
    assert method_of(prior, GaussianPSF(2, 0.6), preset("balanced")).moments == "closed"
    assert method_of(prior, BLIND, preset("balanced")).moments == "search"
