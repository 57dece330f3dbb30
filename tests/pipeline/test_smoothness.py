"""How smooth images are at their pixels, by hand, and the blur that makes coarse data as smooth."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from gensr.operators import Area
from gensr.pipeline.check import figures
from gensr.pipeline.coarsened import smoothing
from gensr.pipeline.smoothness import WIDTHS, _smoothness, blurred, energy, own_energy, width_of
from gensr.pipeline.trial import tried
from gensr.scenes.arrays import ArrayScene
from gensr.values.grid import Window
from gensr.values.noise import GaussianNoise

NONE = {1: 0.0, 2: 0.0}


def seen(values):
    return [values], [np.ones(values.shape, bool)]


def smoothness(values, factor=(2, 2), noise=NONE):
    return _smoothness(*seen(values), factor, noise)


def test_smoothness_by_hand():
    """A slope differs by 1 and 2: 4. White detail differs alike over any distance: 1. Stripes repeat after two."""
    rows, cols = np.mgrid[:64, :64].astype(float)
    assert smoothness(rows + cols) == pytest.approx(4)
    assert smoothness(np.random.default_rng(0).standard_normal((512, 512))) == pytest.approx(1, abs=0.02)
    assert smoothness(rows % 2) == 0
    assert smoothness(rows + 7 * (cols % 2), (2, 1)) == pytest.approx(4)
    assert np.isnan(smoothness(np.zeros((8, 8))))


def test_noise_is_taken_off():
    rng = np.random.default_rng(0)
    rows, cols = np.mgrid[:512, :512].astype(float)
    noisy = rows + cols + rng.standard_normal((512, 512))
    assert smoothness(noisy) == pytest.approx((4 + 2) / (1 + 2), rel=0.02)
    assert smoothness(noisy, noise={1: 2.0, 2: 2.0}) == pytest.approx(4, rel=0.05)
    assert np.isnan(smoothness(rng.standard_normal((512, 512)), noise={1: 2.0, 2: 2.0}))


def test_only_usable_pairs_count():
    rows = np.mgrid[:32, :32][0].astype(float)
    holed, mask = rows.copy(), np.ones((32, 32), bool)
    holed[10, 10], mask[10, 10] = 1e9, False
    assert _smoothness([holed], [mask], (2, 1), NONE) == pytest.approx(4)


def test_energy_of_noise():
    """A mean of four has a quarter; a Gaussian of deviation s about 1 / (4 pi s^2) as kernels of many pixels do."""
    assert energy(Area(2), 0.0, (8, 8)) == pytest.approx(0.25)
    assert energy(Area(4, total=True), 0.0, (8, 8)) == pytest.approx(1 / 16)
    assert own_energy(0.0, (2, 2)) == 1.0
    assert own_energy(1.0, (4, 4)) == pytest.approx(1 / (4 * np.pi * 16), rel=0.01)
    assert own_energy(1.0, (4, 1)) == pytest.approx(1 / (2 * np.pi**0.5 * 4), rel=0.01)
    noise = np.random.default_rng(0).standard_normal((512, 512))
    coarse = blurred(noise, 0.4, (2, 2)).reshape(256, 2, 256, 2).mean((1, 3))
    assert coarse.var() == pytest.approx(energy(Area(2), 0.4, (16, 16)), rel=0.03)


def test_an_image_that_looks_alike_on_all_scales_is_left_alone():
    """White noise stays white in block means, however strong the noise of the data is in it."""
    rng = np.random.default_rng(0)
    detail = 10 * rng.standard_normal((256, 256))
    assert width_of(*seen(detail), 0.0, Area(2)) == 0.0
    assert width_of(*seen(detail + 3 * rng.standard_normal(detail.shape)), 9.0, Area(2)) == 0.0
    assert width_of(*seen(3 * rng.standard_normal(detail.shape)), 9.0, Area(2)) == 0.0
    assert width_of(*seen(np.ones((64, 64))), 0.0, Area(2)) == 0.0


@pytest.mark.parametrize("noise", [0.0, 0.05])
@pytest.mark.parametrize("deviation", [0.8, 1.5])
def test_a_smooth_image_is_blurred_to_its_own_smoothness(deviation, noise):
    """White detail under a Gaussian of s pixels needs one of s coarse pixels: what is there already, s / 2, counts."""
    rng = np.random.default_rng(0)
    fine = gaussian_filter(rng.standard_normal((384, 384)), deviation)
    found = width_of(*seen(fine + noise * rng.standard_normal(fine.shape)), noise**2, Area(2))
    expected = np.sqrt(deviation**2 - (deviation / 2) ** 2)
    assert found == pytest.approx(min(expected, WIDTHS[-1]), abs=0.15)


def test_interpolation_that_is_right_wins_the_trial(make_task, white):
    """On an image without detail at its pixels a prior of white detail loses to Lanczos."""
    fine = 50 + 300 * gaussian_filter(np.random.default_rng(0).standard_normal((128, 128)), 3.0)
    task = make_task(gain=(100.0,), noise_model=GaussianNoise(0.0), exact=True)
    scene = ArrayScene(fine)
    (width,) = smoothing([scene.read(0, Window(0, 0, 128, 128))], task)
    assert width > 0.4
    assert figures(tried(scene, task), ["1"], [1.0]).over_all.gain < -3
