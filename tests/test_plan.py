"""What the user asks for, settled before anything is computed: words, devices, scales."""

import numpy as np
import pytest
import torch

from gensr.errors import SearchError, UsageError
from gensr.pipeline.plan import Request, choose_device, conformal_factor, parse_noise, prepare
from gensr.scenes import installed
from gensr.scenes.arrays import ArrayDomain, ArrayScene
from gensr.search.presets import PRESETS
from gensr.values.noise import GaussianNoise, PoissonGaussianNoise

SCENE = ArrayScene(np.linspace(0, 200, 10_000).reshape(100, 100))
DOMAIN = ArrayDomain(installed.domain("microscopy"))


@pytest.mark.parametrize(
    ("word", "noise"),
    [
        ("auto", None),
        ("0", GaussianNoise(0)),
        (2.5, GaussianNoise(2.5)),
        (" 12.5 ", GaussianNoise(12.5)),
        ("poisson:gain=2,sigma=3", PoissonGaussianNoise(2, 3)),
        ("Poisson:gain=0.5", PoissonGaussianNoise(0.5, 0)),
    ],
)
def test_noise_words(word, noise):
    assert parse_noise(word, SCENE) == noise


def test_a_percentage_is_of_the_range():
    noise = parse_noise("2%", SCENE)
    assert isinstance(noise, GaussianNoise)
    assert noise.sigma == pytest.approx(0.02 * 200, rel=0.01)


@pytest.mark.parametrize(
    "word", ["", "loud", "-1", "nan", "inf", "%", "-1%", "poisson:", "poisson:sigma=2", "poisson:gain=x"]
)
def test_other_words_are_refused_with_what_is_possible(word):
    with pytest.raises(UsageError, match=r"expected auto, a deviation .* poisson:gain=G,sigma=S"):
        parse_noise(word, SCENE)


@pytest.mark.parametrize("factor", [1, 0, -2, 65, 2.0, "4", True])
def test_impossible_factors_are_refused(factor):
    with pytest.raises(UsageError, match="expected a whole number from 2 to 64"):
        Request(factor=factor)


def test_negative_sample_counts_are_refused():
    with pytest.raises(UsageError, match="samples=-1"):
        Request(samples=-1)


def test_presets_by_name_or_as_they_are():
    assert Request(search="fast").preset is PRESETS["fast"]
    assert Request(search=PRESETS["best"]).preset is PRESETS["best"]
    with pytest.raises(UsageError, match=r"search=quick: expected one of fast, balanced"):
        _ = Request(search="quick").preset


def test_devices():
    assert choose_device("cpu") == "cpu"
    assert choose_device("auto") == ("cuda" if torch.cuda.is_available() else "cpu")
    for name in ("abacus", "cuda:99"):
        with pytest.raises(UsageError, match=f"device={name}: not usable here"):
            choose_device(name)


@pytest.mark.parametrize(
    ("factor", "noise", "expected"),
    [(4, 0.0, 1.1), (4, 0.0005, 1.1), (4, 0.05, 1.4), (8, 0.0, 2.0), (64, 0.0, 2.0), (2, 0.0, 1.1)],
)
def test_the_nearest_calibration_is_used(factor, noise, expected):
    table = {"x4 noise 0": 1.1, "x4 noise 0.03": 1.4, "x8 noise 0": 2.0}
    assert conformal_factor(table, factor, noise) == expected
    assert conformal_factor({}, factor, noise) == 1.0


def test_rounded_data_without_noise_are_exact_and_noisy_ones_are_not():
    image = np.random.default_rng(0).integers(0, 200, (40, 40)).astype(np.uint8)
    assert prepare(ArrayScene(image), DOMAIN, Request(noise=0)).exact
    assert prepare(ArrayScene(image), DOMAIN, Request(noise=0.3)).exact
    job = prepare(ArrayScene(image), DOMAIN, Request(noise=5.0))
    assert not job.exact
    assert job.noise == GaussianNoise(5.0)
    assert job.noise_source == "given"
    assert job.residual_unit(torch.ones(3)).tolist() == [5.0, 5.0, 5.0]


def test_words_that_meet_the_image_are_checked():
    with pytest.raises(UsageError, match="unknown operator 'blur'"):
        prepare(SCENE, DOMAIN, Request(operator="blur"))
    with pytest.raises(SearchError, match=r"pixels; gaussian-faces is for aligned|models 3 jointly"):
        prepare(SCENE, DOMAIN, Request(generator="gaussian-faces"))
