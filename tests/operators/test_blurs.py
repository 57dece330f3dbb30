"""Blurs that a few numbers describe: their moments, their direction on the screen, their size on a refined grid."""

import math

import numpy as np
import pytest

from gensr.errors import UsageError
from gensr.operators import Defocus, Motion
from gensr.operators.blurs import disc, line, trace


def moments(kernel):
    """Sum, centroid and covariance (x to the right, y upwards), computed for the test."""
    rows, cols = kernel.shape
    y, x = np.mgrid[rows // 2 : -rows // 2 : -1, -(cols // 2) : cols // 2 + 1].astype(float)
    mean = [(kernel * v).sum() for v in (x, y)]
    return kernel.sum(), mean, np.array([[(kernel * a * b).sum() for a in (x, y)] for b in (x, y)])


@pytest.mark.parametrize(("length", "angle"), [(9.0, 30.0), (15.0, 100.0), (4.5, 0.0), (12.0, 90.0), (7.3, 171.0)])
def test_a_line_has_its_length_and_its_angle_counter_clockwise(length, angle):
    total, mean, covariance = moments(line(length, angle))
    assert total == pytest.approx(1)
    assert np.abs(mean).max() < 1e-9
    along = np.array([math.cos(math.radians(angle)), math.sin(math.radians(angle))])
    across = np.array([-along[1], along[0]])
    # Sharing out among four pixels adds at most a quarter of a pixel squared to either variance.
    assert 0 <= along @ covariance @ along - length**2 / 12 < 0.26
    assert 0 <= across @ covariance @ across < 0.26


def test_a_short_line_is_one_pixel():
    kernel = line(1e-6, 40.0)
    assert kernel.max() == pytest.approx(1, abs=1e-5)


def test_a_disc_has_its_area_and_is_round():
    kernel = disc(4.0)
    inside = kernel == kernel.max()
    assert abs(kernel.max() * math.pi * 16 - 1) < 0.01
    assert inside.sum() < math.pi * 16 < (kernel > 0).sum()
    np.testing.assert_allclose(kernel, kernel.T)
    np.testing.assert_allclose(kernel, kernel[::-1, ::-1])
    assert disc(0.01).max() == 1.0


def test_numbers_are_pixels_of_the_input():
    fine = Motion((2, 4), 6.0, 30.0).psf
    _, _, covariance = moments(fine)
    assert covariance[0, 0] == pytest.approx((24 * math.cos(math.pi / 6)) ** 2 / 12, abs=0.3)
    assert covariance[1, 1] == pytest.approx((12 * math.sin(math.pi / 6)) ** 2 / 12, abs=0.3)
    assert Defocus((2, 4), 3.0).psf.shape == (13, 25)


def test_a_path_that_leaves_by_one_corner_stays_whole():
    kernel = trace([0.0, 2.0, 2.0], [0.0, 0.0, -3.0])
    assert kernel.shape == (5, 7)
    assert kernel[2, 3] == kernel[4, 3] == kernel[4, 0] == pytest.approx(1 / 3)


def test_what_is_too_large_is_refused():
    with pytest.raises(UsageError, match="larger than 1001; give a smaller factor"):
        Motion(16, 100.0, 0.0)
    with pytest.raises(UsageError, match="larger than 1001; give a smaller factor"):
        Defocus(8, 90.0)
