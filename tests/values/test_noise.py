"""Noise models: the variance of every band and pixel."""

import pytest
import torch

from gensr.values.noise import GaussianNoise, PoissonGaussianNoise, StatedNoise


def test_white_noise_is_the_same_everywhere_or_one_number_per_band():
    expected = torch.zeros(2, 3, 4, 5)
    assert (GaussianNoise(2.5).variance(expected) == 6.25).all()
    each = GaussianNoise((1.0, 2.0, 3.0))
    for shape in ((2, 3, 4, 5), (3, 4, 5)):
        found = each.variance(torch.zeros(shape))
        assert found.shape == shape
        assert [float(v) for v in found.reshape(-1, 3, 20)[0, :, 0]] == [1.0, 4.0, 9.0]
    assert [each.level(band) for band in range(3)] == [1.0, 2.0, 3.0]
    assert GaussianNoise(2.5).level(7) == 2.5
    assert PoissonGaussianNoise(1, 2).level(0) is None


def test_stated_noise_is_that_of_the_file():
    stated = torch.rand(3, 4, 5)
    assert torch.equal(StatedNoise(0.5).variance(torch.zeros(3, 4, 5), stated), stated)
    with pytest.raises(ValueError, match="the image states none"):
        StatedNoise(0.5).variance(torch.zeros(3, 4, 5))
    assert StatedNoise(0.5).describe() == {"model": "stated for every pixel", "median sigma": 0.5}


def test_photon_noise_grows_with_the_signal_and_never_below_read_noise():
    model = PoissonGaussianNoise(gain=2.0, sigma=3.0)
    assert model.variance(torch.tensor([-50.0, 0.0, 10.0])).tolist() == [9.0, 9.0, 29.0]


@pytest.mark.parametrize(
    "make",
    [
        lambda: GaussianNoise(-1),
        lambda: GaussianNoise(float("nan")),
        lambda: GaussianNoise(float("inf")),
        lambda: GaussianNoise((1.0, -1.0)),
        lambda: GaussianNoise(()),
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
    assert GaussianNoise((2.0, 3.0)).describe() == {"model": "gaussian", "sigma": [2.0, 3.0]}
    assert PoissonGaussianNoise(1, 2).describe() == {"model": "poisson-gaussian", "gain": 1, "sigma": 2}


def test_the_smallest_possible_levels_are_taken_as_they_are():
    assert GaussianNoise(0).levels == (0,)
    assert GaussianNoise((0.0, 1.0)).levels == (0.0, 1.0)
    assert PoissonGaussianNoise(0, 0).variance(torch.tensor([5.0])).tolist() == [0.0]
    for impossible in ((0, float("inf")), (float("inf"), 0), (1, float("nan"))):
        with pytest.raises(ValueError, match=">= 0"):
            PoissonGaussianNoise(*impossible)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_variances_are_numbers_of_the_kind_of_the_data(dtype):
    data = torch.zeros(2, 3, 4, dtype=dtype)
    for model in (GaussianNoise(2.0), GaussianNoise((1.0, 3.0)), PoissonGaussianNoise(1, 2), StatedNoise(1.0)):
        found = model.variance(data, torch.ones(2, 3, 4, dtype=torch.float16))
        assert (found.dtype, found.shape) == (dtype, data.shape)
    assert GaussianNoise((1.0, 3.0)).variance(data)[:, 2, 3].tolist() == [1.0, 9.0]
    assert GaussianNoise((4.0,)).level(3) == 4.0
    assert StatedNoise(1.0).level(0) is None
