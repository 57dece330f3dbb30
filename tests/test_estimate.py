"""The evidence finds the noise that was added, and does not take texture for noise."""

import numpy as np
import pytest

from gensr.operators import Area
from gensr.pipeline.estimate import LEVELS, calibrate, scaled
from gensr.priors import weights
from gensr.scenes.arrays import ArrayScene
from gensr.values.normalise import AffineNormaliser

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
    return calibrate(scene, GENERATOR, Area(2), normaliser, settings.pop("sigma", None), **settings), normaliser


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


def test_scaling_keeps_the_middle_of_the_range():
    normaliser = AffineNormaliser((10.0, 2.0), (5.0, -1.0))
    wider = scaled(normaliser, 4.0)
    assert wider.gain == (40.0, 8.0)
    for a, b in zip(
        (normaliser.offset[i] + 0.5 * normaliser.gain[i] for i in range(2)),
        (wider.offset[i] + 0.5 * wider.gain[i] for i in range(2)),
        strict=True,
    ):
        assert a == b
    assert scaled(normaliser, 1.0) is normaliser
