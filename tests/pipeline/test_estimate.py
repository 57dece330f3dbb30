"""The evidence finds the noise that was added, and does not take texture for noise."""

import numpy as np
import pytest

from gensr.operators import Area
from gensr.pipeline.estimate import LEVELS, calibrate
from gensr.priors import weights
from gensr.scenes.arrays import ArrayScene

GENERATOR = weights.load("gaussian-microscopy")[0]


def nuclei(side=96, noise=0.0):
    """Soft discs, of the kind that the prior was made for, seen through pixels of 2 x 2."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[: 2 * side, : 2 * side].astype(np.float64)
    image = np.zeros((2 * side, 2 * side))
    for _ in range(40):
        row, col, radius = *rng.uniform(0, 2 * side, 2), rng.uniform(6, 14)
        image = np.maximum(image, rng.uniform(0.4, 1) / (1 + np.exp(np.hypot(y - row, x - col) - radius)))
    coarse = image.reshape(side, 2, side, 2).mean((1, 3))
    return coarse + noise * rng.standard_normal(coarse.shape)


def estimate(image, **settings):
    scene = ArrayScene(image)
    normaliser = scene.normaliser()
    sigma = settings.pop("sigma", None)
    known = None if sigma is None else [sigma]
    return calibrate(scene, GENERATOR, Area(2), normaliser, known, **settings)[0], normaliser


@pytest.mark.parametrize("noise", [0.01, 0.03, 0.1])
def test_added_noise_is_found(noise):
    found, normaliser = estimate(nuclei(noise=noise))
    assert found.sigma * found.gain * normaliser.gain[0] == pytest.approx(noise, rel=0.3)


def test_clean_structure_is_not_taken_for_noise():
    found, normaliser = estimate(nuclei())
    assert found.sigma * found.gain * normaliser.gain[0] < 0.004


def test_a_known_noise_is_kept():
    found, normaliser = estimate(nuclei(noise=0.03), sigma=0.05)
    assert found.sigma * found.gain * normaliser.gain[0] == pytest.approx(0.05)


def test_the_gain_stays_where_it_must_not_be_searched():
    assert estimate(5 * nuclei(noise=0.1), search_gain=False)[0].gain == 1.0


def test_nothing_usable_gives_a_middle_level():
    found, _ = estimate(np.full((30, 30), np.nan))
    assert (found.gain, found.sigma) == (1.0, LEVELS[4])
    assert np.isnan(found.score)
    assert not found.told


def test_every_band_has_its_own_noise_in_any_order():
    """Bands of one content with 1 and 10 % of noise, and a third that says nothing."""
    bands = np.stack([nuclei(noise=0.01), nuclei(noise=0.1), np.full((96, 96), 3.0)])
    for order in ([0, 1], [1, 0]):
        scene = ArrayScene(bands[order])
        normaliser = scene.normaliser()
        found = calibrate(scene, GENERATOR, Area(2), normaliser, None)
        levels = [c.sigma * c.gain * g for c, g in zip(found, normaliser.gain, strict=True)]
        assert levels == pytest.approx(np.array([0.01, 0.1])[order], rel=0.35)


def test_what_is_known_of_a_band_stays_with_it():
    scene = ArrayScene(np.stack([nuclei(noise=0.03), 100 * nuclei(noise=0.03)]))
    normaliser = scene.normaliser()
    found = calibrate(scene, GENERATOR, Area(2), normaliser, [0.05, 4.0])
    levels = [c.sigma * c.gain * g for c, g in zip(found, normaliser.gain, strict=True)]
    assert levels == pytest.approx([0.05, 4.0])
