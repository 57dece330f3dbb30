"""Noise models: likelihood, whitening and samples agree with each other and with torch's own normal distribution."""

import math

import pytest
import torch

from gensr.values.noise import GaussianNoise, PoissonGaussianNoise

MODELS = [GaussianNoise(2.5), PoissonGaussianNoise(gain=0.7, sigma=1.5)]
EXPECTED = torch.linspace(0, 100, 7, dtype=torch.float64)


@pytest.mark.parametrize("model", MODELS)
def test_likelihood_is_the_normal_one_up_to_a_constant(model):
    observed = EXPECTED + torch.tensor([-3.0, -2, -1, 0, 1, 2, 3], dtype=torch.float64)
    normal = torch.distributions.Normal(EXPECTED, model.variance(EXPECTED).sqrt())
    constant = model.negative_log_likelihood(observed, EXPECTED) + normal.log_prob(observed)
    torch.testing.assert_close(constant, torch.full_like(constant, -0.5 * math.log(2 * math.pi)))


@pytest.mark.parametrize("model", MODELS)
def test_samples_whiten_to_unit_normals(model):
    unit = torch.randn(EXPECTED.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    observed = model.sample(EXPECTED, unit)
    torch.testing.assert_close(model.whiten(observed - EXPECTED, EXPECTED), unit)


def test_photon_noise_grows_with_the_signal_and_never_below_read_noise():
    model = PoissonGaussianNoise(gain=2.0, sigma=3.0)
    assert model.variance(torch.tensor([-50.0, 0.0, 10.0])).tolist() == [9.0, 9.0, 29.0]


@pytest.mark.parametrize(
    "make",
    [
        lambda: GaussianNoise(-1),
        lambda: GaussianNoise(float("nan")),
        lambda: GaussianNoise(float("inf")),
        lambda: PoissonGaussianNoise(-1, 0),
        lambda: PoissonGaussianNoise(1, -1),
        lambda: PoissonGaussianNoise(float("nan"), 0),
    ],
)
def test_impossible_levels_are_refused(make):
    with pytest.raises(ValueError, match=">= 0"):
        make()


def test_descriptions_name_the_model_and_its_numbers():
    assert GaussianNoise(2).describe() == {"model": "gaussian", "sigma": 2}
    assert PoissonGaussianNoise(1, 2).describe() == {"model": "poisson-gaussian", "gain": 1, "sigma": 2}
