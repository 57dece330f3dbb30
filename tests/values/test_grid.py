"""Pixel grids: the field of view never moves."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gensr.errors import GridError
from gensr.values.grid import (
    Affine,
    PixelGrid,
    Window,
    as_factor,
    first_centre,
    refine_affine,
    refine_centre,
    refine_reference,
)

SIZES = st.floats(0.1, 1e4) | st.floats(-1e4, -0.1)
PLACES = st.floats(-1e7, 1e7)
TURNS = st.floats(-50, 50)
GRIDS = st.builds(
    PixelGrid,
    st.tuples(st.integers(1, 50), st.integers(1, 50)),
    st.builds(Affine, SIZES, TURNS, PLACES, TURNS, SIZES, PLACES),
)
FACTORS = st.tuples(st.integers(1, 9), st.integers(1, 9))


@given(GRIDS, FACTORS)
def test_corners_stay(grid, factor):
    fine = grid.refine(factor)
    scale = np.abs(grid.corners()).max() + 1
    np.testing.assert_allclose(fine.corners(), grid.corners(), rtol=0, atol=1e-12 * scale)
    assert fine.shape == (grid.shape[0] * factor[0], grid.shape[1] * factor[1])
    np.testing.assert_allclose(np.multiply(fine.pixel_size, factor), grid.pixel_size)


@given(GRIDS, FACTORS, st.data())
def test_crop_and_refine_commute(grid, factor, data):
    row = data.draw(st.integers(0, grid.shape[0] - 1))
    col = data.draw(st.integers(0, grid.shape[1] - 1))
    rows = data.draw(st.integers(1, grid.shape[0] - row))
    cols = data.draw(st.integers(1, grid.shape[1] - col))
    window = Window(row, col, rows, cols)
    one, other = grid.crop(window).refine(factor), grid.refine(factor).crop(window.refine(factor))
    assert one.shape == other.shape
    scale = np.abs(grid.corners()).max() + 1
    np.testing.assert_allclose(one.corners(), other.corners(), rtol=0, atol=1e-12 * scale)


@given(st.floats(-1e3, 1e3), st.integers(1, 16))
def test_centre_formulas_are_the_corner_rule(x, s):
    """A centre x is the corner-based position x + 0.5; refinement multiplies corner-based positions."""
    assert refine_centre(x, s) + 0.5 == pytest.approx((x + 0.5) * s)
    assert refine_reference(x + 1, s) - 1 == pytest.approx(refine_centre(x, s))
    assert refine_centre(first_centre(s), s) == pytest.approx(0, abs=1e-12)


@given(st.integers(1, 5), st.integers(1, 5), st.integers(1, 5))
def test_affine_keeps_the_corner_of_the_first_voxel(i, j, k):
    affine = np.array([[2.0, 0.1, 0, -7], [0, -3.0, 0.2, 11], [0.3, 0, 1.5, 0.5], [0, 0, 0, 1]])
    refined = refine_affine(affine, (i, j, k))
    corner = [-0.5, -0.5, -0.5, 1]
    np.testing.assert_allclose(refined @ corner, affine @ corner)
    far, fine = np.array([9.5, 4.5, 2.5, 1]), np.array([10 * i - 0.5, 5 * j - 0.5, 3 * k - 0.5, 1])
    np.testing.assert_allclose(refined @ fine, affine @ far)


@pytest.mark.parametrize("factor", [0, -1, 1.5, True, (2,), (2, 0), (1, 2, 3), "4", None])
def test_impossible_factors_are_refused(factor):
    with pytest.raises(GridError, match="not a positive integer"):
        as_factor(factor)


def test_numpy_integers_are_factors():
    assert as_factor((np.int64(2), np.uint8(3))) == (2, 3)
    assert all(type(f) is int for f in as_factor(np.int16(2)))


@pytest.mark.parametrize("window", [(-1, 0, 2, 2), (0, -1, 2, 2), (3, 0, 2, 2), (0, 4, 1, 2)])
def test_windows_outside_are_refused(window):
    with pytest.raises(GridError, match="leaves the grid"):
        PixelGrid((4, 5)).crop(Window(*window))


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (3,), (1, 2, 3)])
def test_empty_grids_are_refused(shape):
    with pytest.raises(GridError, match="empty"):
        PixelGrid(shape)


def test_a_transform_that_is_not_finite_is_refused():
    with pytest.raises(GridError, match="not finite"):
        PixelGrid((2, 2), Affine(1, 0, float("nan"), 0, 1, 0))


def test_affine_of_wrong_shape_is_refused():
    with pytest.raises(GridError, match="does not fit 2"):
        refine_affine(np.eye(4), (2, 2))


def test_grids_are_values():
    assert PixelGrid((2, 3)) == PixelGrid((2, 3))
    assert PixelGrid((2, 3)).refine(2) != PixelGrid((4, 6))
