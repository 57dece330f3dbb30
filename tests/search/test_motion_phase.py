"""Which way a curve points, which the power spectrum does not say, and which motions are judged at all."""

from types import SimpleNamespace

import numpy as np
import pytest

from gensr.operators.blurs import line
from gensr.search.motion.fit import Fit, mirrored
from gensr.search.motion.order import BACKWARDS, CERTAIN, Region, _likely, identify
from gensr.search.motion.paths import Path, correlation
from gensr.search.motion.phase import backwards, dearness
from gensr.search.motion.spectrum import spectrum, taper

from .test_motion import SIGMA, blurred, picture


@pytest.mark.parametrize("path", [Path(7.0, 135.0, 2.05), Path(12.0, 20.0, 1.3), Path(17.0, 260.0, 2.5)])
def test_the_true_kernel_points_the_right_way(path):
    kernel = path.kernel()
    y = blurred(picture(int(path.length)), kernel)
    found = backwards(y, np.ones(y.shape), kernel, SIGMA)
    assert found < -0.01
    assert backwards(y, np.ones(y.shape), kernel[::-1, ::-1], SIGMA) == pytest.approx(-found, abs=1e-6)
    turned = blurred(picture(int(path.length))[::-1, ::-1], kernel[::-1, ::-1], 2)
    assert backwards(turned, np.ones(y.shape), kernel[::-1, ::-1], SIGMA) < -0.01


def test_a_line_points_no_way():
    kernel = line(11, 30)
    y = blurred(picture(2), kernel)
    assert abs(backwards(y, np.ones(y.shape), kernel, SIGMA)) < 1e-3


def test_data_outside_a_region_are_not_data():
    kernel = Path(12.0, 20.0, 2.0).kernel()
    y = blurred(picture(5), kernel)
    inside = np.zeros(y.shape)
    inside[40:150, 30:140] = 1
    other = np.where(inside > 0, y, np.random.default_rng(0).uniform(size=y.shape))
    assert dearness(other, inside, kernel, SIGMA) == pytest.approx(dearness(y, inside, kernel, SIGMA), abs=1e-6)
    assert backwards(other, inside, kernel, SIGMA) < 0
    changed = np.where(inside > 0, np.random.default_rng(0).uniform(size=y.shape), y)
    assert dearness(changed, inside, kernel, SIGMA) > dearness(y, inside, kernel, SIGMA) + 0.1


def test_more_noise_makes_gradients_dearer_beside_what_is_left():
    y = blurred(picture(5), np.ones((1, 1)))
    one = np.ones((1, 1))
    faint, faintest, usual, loud = (dearness(y, np.ones(y.shape), one, s) for s in (0.005, 0.001, SIGMA, 3 * SIGMA))
    assert faint == faintest  # a price that rounding to 8 bits allows
    assert loud < usual - 0.02 < faint - 0.04  # what is left costs less, and fewer gradients are kept


def region(y):
    weight = np.ones(y.shape)
    found = spectrum(y, taper(np.ones(y.shape, bool)), SIGMA)
    return Region((found,), y, weight, SIGMA, [])


def test_a_mirror_image_loses_what_its_phases_cost_and_nothing_else():
    true = Fit("arc", Path(12.0, 70.0, 2.2).kernel(), 0.0)
    other = mirrored(true)
    np.testing.assert_array_equal(other.kernel, true.kernel[::-1, ::-1])
    one = region(blurred(picture(1), true.kernel))
    assert one.won(true) == pytest.approx(one.won(other), abs=1e-9)
    dearer = backwards(one.image, one.weight, other.kernel, SIGMA)
    lost = BACKWARDS * (dearer + min(dearer, CERTAIN))
    # `telling` is below 1 at this noise
    assert 0.5 * lost < one.score(true) - one.score(other) <= lost + 1e-9
    assert one.score(true) > one.score(other) + 0.01


def test_a_small_curve_is_found_the_right_way_round():
    true = Path(7.0, 315.0, 2.05)
    found = identify(blurred(picture(9), true.kernel()), [], SIGMA).background
    assert correlation(found.kernel, true.kernel()) > 0.9
    assert correlation(found.kernel, true.mirrored().kernel()) < correlation(found.kernel, true.kernel()) - 0.1


def fit(kind, won):
    return Fit(kind, np.ones((1, 1)), won)


def test_what_is_simple_is_judged_beside_all_that_is_freer():
    straight, arc = fit("line", 0.02), fit("arc", 0.03)
    paths = [fit("path", 0.05 + i / 100) for i in range(9)]
    free = fit("free", 0.1)
    judge = SimpleNamespace(won=lambda f: f.surprise)
    kept = _likely([judge], [straight, arc, *paths, free])
    assert straight in kept
    assert arc in kept
    assert free not in kept  # a path has more evidence
    assert [f for f in kept if f.kind == "path"] == paths[-6:]
    best = fit("free", 0.2)
    assert best in _likely([judge], [straight, *paths, best])
    blind = SimpleNamespace(won=lambda f: -f.surprise)  # another region likes other motions
    assert paths[0] in _likely([judge, blind], [*paths])
