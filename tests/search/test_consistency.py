"""Exact data are explained exactly, also beside holes, and nothing moves where they are explained already."""

import numpy as np
import pytest
import torch

from gensr.operators import Area, Bicubic, GaussianPSF, MeasuredPSF
from gensr.priors.observation import Observation
from gensr.search.consistency import BROAD_REACH, REACH, SMOOTH_REACH, broad, project, project_smoothly, update

OPERATORS = [Area(4), Area((2, 3)), Bicubic(2), GaussianPSF(4, 0.4)]


def case(operator, size=12):
    generator = torch.Generator().manual_seed(0)
    fy, fx = operator.factor
    truth = torch.rand(2, 1, size * fy, size * fx, generator=generator, dtype=torch.float64)
    guess = torch.rand(truth.shape, generator=generator, dtype=torch.float64)
    return operator.forward(truth), guess


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda o: o.describe()["name"])
def test_data_are_explained(operator):
    y, guess = case(operator)
    x = project(guess, y, torch.ones_like(y, dtype=torch.bool), operator)
    assert float((operator.forward(x) - y).abs().max()) < 1e-5


def test_unusable_data_are_not_explained_and_do_no_harm():
    operator = Area(4)
    y, guess = case(operator)
    usable = torch.ones_like(y, dtype=torch.bool)
    usable[..., 5, 5] = False
    broken = torch.where(usable, y, 1e9)
    x = project(guess, broken, usable, operator)
    residual = operator.forward(x) - y
    assert float(residual[usable].abs().max()) < 1e-6
    assert float(x.abs().max()) < 100


def test_a_consistent_image_is_left_alone():
    operator = Area(4)
    y, _ = case(operator)
    usable = torch.ones_like(y, dtype=torch.bool)
    x = project(torch.rand(2, 1, 48, 48, dtype=torch.float64), y, usable, operator)
    torch.testing.assert_close(project(x, y, usable, operator), x, rtol=0, atol=1e-12)


def test_a_correction_reaches_no_further_than_it_says():
    operator = Area(4)
    size = 2 * REACH + 9
    x = torch.zeros(1, 1, 4 * size, 4 * size, dtype=torch.float64)
    y = operator.forward(x)
    middle = size // 2
    y[..., middle, middle] = 1.0
    moved = project(x, y, torch.ones_like(y, dtype=torch.bool), operator) - x
    far = torch.ones_like(y, dtype=torch.bool)
    far[..., middle - REACH : middle + REACH + 1, middle - REACH : middle + REACH + 1] = False
    fine = far.repeat_interleave(4, -1).repeat_interleave(4, -2)
    assert float(moved[fine].abs().max()) < 1e-12
    assert float(moved[~fine].abs().max()) > 0.1


def test_data_without_variance_stay_finite():
    y = torch.tensor([[[[0.0, 4.0], [1.0, 0.0]]]])
    data = Observation(y, Area(2), y.clone(), torch.ones_like(y, dtype=torch.bool))
    for start in (torch.zeros(1, 1, 4, 4), torch.ones(1, 1, 4, 4)):
        assert torch.isfinite(update(start, torch.ones(1, 1, 4, 4), data)).all()


def observation(y, variance, operator, usable=None):
    y = torch.as_tensor(y, dtype=torch.float64)
    variance = torch.as_tensor(variance, dtype=torch.float64).expand_as(y)
    usable = torch.ones_like(y, dtype=torch.bool) if usable is None else usable
    return Observation(y, operator, variance, usable)


def test_exactly_the_excess_of_the_residual_over_the_noise_goes_back():
    """Residual 3 with noise 1: 1 - 1/9 of it counts. A V A^T = 0.5 / 4, so every pixel gets 0.125 / 1.125."""
    data = observation(torch.full((1, 1, 4, 5), 3.0), 1.0, Area(2))
    x = update(torch.zeros(1, 1, 8, 10, dtype=torch.float64), torch.full((1, 1, 8, 10), 0.5, dtype=torch.float64), data)
    torch.testing.assert_close(x, torch.full_like(x, 3 * (8 / 9) * 0.125 / 1.125), rtol=1e-12, atol=0)
    back = update(x, torch.full_like(x, 0.5), observation(Area(2).forward(x) + 0.99, 1.0, Area(2)))
    torch.testing.assert_close(back, x, rtol=0, atol=0)  # less than the noise is left alone


def test_the_variance_says_where_the_residual_goes():
    """Pixels of variance 3, 1, 0, 0: A V A^T = 4 / 16, and of the whole 0.25 / 1.25 goes back as 3 : 1 : 0 : 0."""
    variance = torch.tensor([[3.0, 1.0], [0.0, 0.0]], dtype=torch.float64).repeat(3, 3)[None, None]
    data = observation(torch.full((1, 1, 3, 3), -5.0), 1.0, Area(2))
    x = update(torch.zeros_like(variance), variance, data)
    share = (1 - 1 / 25) * -5.0 / 1.25 / 4
    torch.testing.assert_close(x[0, 0, 2:4, 4:6], share * variance[0, 0, :2, :2], rtol=1e-12, atol=0)


@pytest.mark.parametrize(("place", "neighbours"), [((4, 4), 25), ((0, 0), 9), ((1, 4), 20), ((8, 7), 12)])
def test_what_exceeds_the_noise_is_judged_in_a_neighbourhood_of_five(place, neighbours):
    """One datum of chi square 100 among zeros: the mean over its neighbours inside the image is 100 / n."""
    y = torch.zeros(1, 1, 9, 9, dtype=torch.float64)
    y[(0, 0, *place)] = 20.0
    variance = torch.ones(1, 1, 9, 9, dtype=torch.float64)
    x = update(variance * 0, variance, observation(y, 4.0, Area(1)))
    assert float(x[(0, 0, *place)]) == pytest.approx((1 - neighbours / 100) * 20.0 * 1 / (1 + 4), rel=1e-12)
    assert int((x != 0).sum()) == 1


def test_noise_of_each_datum_weighs_its_own_residual():
    y, noise = torch.full((2, 2, 5, 5), 10.0), torch.tensor([1.0, 4.0, 9.0, 16.0]).view(2, 2, 1, 1)
    x = update(torch.zeros(2, 2, 5, 5, dtype=torch.float64), torch.ones(2, 2, 5, 5, dtype=torch.float64),
               observation(y, noise, Area(1)))  # fmt: skip
    for index, v in zip([(0, 0), (0, 1), (1, 0), (1, 1)], [1.0, 4.0, 9.0, 16.0], strict=True):
        assert x[index].flatten().tolist() == pytest.approx([(1 - v / 100) * 10 / (1 + v)] * 25, rel=1e-6)


def test_unusable_data_give_nothing_back():
    y = torch.full((1, 1, 6, 6), 8.0, dtype=torch.float64)
    usable = torch.ones_like(y, dtype=torch.bool)
    usable[..., 2, 3] = False
    x = update(y * 0, y * 0 + 1, observation(torch.where(usable, y, torch.nan), 1.0, Area(1), usable))
    assert torch.isfinite(x).all()
    assert (x == 0).nonzero().tolist() == [[0, 0, 2, 3]]


def test_data_that_share_pixels_are_solved_together():
    """Against the dense ``V A^T (A V A^T + N)^-1 r``; residuals are large beside the noise, and V wide enough."""
    operator = MeasuredPSF(2, np.random.default_rng(0).random((5, 7)))
    draw = torch.Generator().manual_seed(1)
    variance = 4 + torch.rand(1, 1, 12, 16, generator=draw, dtype=torch.float64)
    truth = 0.3 * variance.sqrt() * torch.randn(1, 1, 12, 16, generator=draw, dtype=torch.float64)
    noise = 1e-6
    y = operator.forward(truth)
    x = update(torch.zeros_like(truth), variance, observation(y, noise, operator))
    a = operator.forward(torch.eye(192, dtype=torch.float64).view(192, 1, 12, 16)).flatten(1).T
    v = variance.flatten()
    dense = v * (a.T @ torch.linalg.solve(a * v @ a.T + noise * torch.eye(48, dtype=torch.float64), y.flatten()))
    assert float((x.flatten() - dense).norm() / dense.norm()) < 0.02
    assert float((operator.forward(x) - y).norm() / y.norm()) < 0.02


def test_a_prior_that_is_too_sure_gives_way_to_data_of_an_optics_it_does_not_know():
    """Variances of a hundredth of what the data need: the residual widens them."""
    operator = MeasuredPSF(2, np.ones((9, 9)))
    star = torch.zeros(1, 1, 32, 32, dtype=torch.float64)
    star[..., 15, 17] = 5000.0
    y = operator.forward(star)
    variance = torch.full((1, 1, 32, 32), 0.01, dtype=torch.float64)
    rest = y - operator.forward(update(variance * 0, variance, observation(y, 1.0, operator)))
    assert float(rest.square().mean()) < 0.3 * float(y.square().mean())


def test_what_a_residual_says_over_wide_areas_goes_back():
    """An offset of a tenth of the noise, which no single datum shows, is returned; a lone spike hardly moves."""
    data = observation(torch.full((1, 2, 20, 24), 7.1, dtype=torch.float64), 1.0, Area((2, 3)))
    x = broad(torch.full((1, 2, 40, 72), 7.0, dtype=torch.float64), data)
    torch.testing.assert_close(x, torch.full_like(x, 7.1), rtol=1e-12, atol=0)
    spike = torch.zeros(1, 1, 31, 31, dtype=torch.float64)
    spike[..., 15, 15] = 1.0
    moved = broad(torch.zeros(1, 1, 62, 62, dtype=torch.float64), observation(spike, 1.0, Area(2)))
    assert float(moved.sum()) / 4 == pytest.approx(1.0, rel=0.01)
    assert 0.005 < float(moved.max()) < 1 / 81 + 1e-9
    far = 2 * (15 - BROAD_REACH) - 1
    assert float(moved[..., :far, :].abs().max()) == 0


def test_sums_are_weighed_by_the_noise_and_skip_gaps():
    y = torch.zeros(1, 1, 17, 17, dtype=torch.float64)
    y[..., ::2, :] = 1.0  # rows of 1 with noise 0.1, rows of 0 with noise 10, a gap of garbage
    noise = torch.where(y > 0, 0.01, 100.0)
    usable = torch.ones_like(y, dtype=torch.bool)
    usable[..., 8, 8] = False
    y[..., 8, 8] = torch.nan
    x = broad(torch.zeros(1, 1, 17, 17, dtype=torch.float64), observation(y, noise, Area(1), usable))
    torch.testing.assert_close(x, torch.ones_like(x), rtol=1e-3, atol=0)


def test_a_projection_spreads_what_is_left_by_interpolation_before_it_is_hard():
    """Data 0, 4 on pixels of two: each of three passes adds the interpolated rest, a quarter of which is left.

    The first gives 0 1 3 4 with means 0.5 and 3.5, so the rest is -0.5 0.5; it falls to -1/8 and -1/32, which the
    pseudo-inverse takes off: 0 + (-0.5 - 0.125 - 0.03125), and 1 - 0.25 - 0.0625 - 0.03125.
    """
    y = torch.tensor([[[[0.0, 4.0]]]], dtype=torch.float64)
    x = project(torch.zeros(1, 1, 1, 4, dtype=torch.float64), y, torch.ones_like(y, dtype=torch.bool), Area((1, 2)))
    assert x.flatten().tolist() == pytest.approx([-0.65625, 0.65625, 3.34375, 4.65625], abs=1e-12)
    tall = project(torch.zeros(1, 1, 4, 1, dtype=torch.float64), y.mT, torch.ones(1, 1, 2, 1, dtype=torch.bool),
                   Area((2, 1)))  # fmt: skip
    assert tall.flatten().tolist() == pytest.approx(x.flatten().tolist(), abs=1e-12)


def steps(x, factor):
    """Energy of second differences across borders of data, as a share of that inside them."""
    energy = x.diff(n=2, dim=-1).square().mean((0, 1, 2))
    at = torch.arange(len(energy)) % factor
    across = (at == factor - 1) | (at == factor - 2)
    return float(energy[across].mean() / energy[~across].mean())


@pytest.mark.parametrize("factor", [8, 16])
def test_a_smooth_correction_leaves_no_squares(factor):
    data = torch.rand(1, 3, 12, 12, generator=torch.Generator().manual_seed(1))
    usable, size = torch.ones_like(data, dtype=torch.bool), (12 * factor, 12 * factor)
    x = torch.nn.functional.interpolate(data, size=size, mode="bilinear", align_corners=False)
    x = torch.nn.functional.avg_pool2d(x, 2 * factor + 1, 1, factor, count_include_pad=False)  # far from the data
    smooth = project_smoothly(x, data, usable, (factor, factor))
    squares = project(x, data, usable, Area(factor))
    assert float((Area(factor).forward(smooth) - data).abs().max()) < 1e-5
    assert steps(smooth, factor) < 1
    assert steps(smooth, factor) < 0.1 * steps(squares, factor)


def test_a_smooth_correction_stays_where_it_is_wanted_and_near():
    factor, shape = (2, 4), (1, 1, 2 * 64, 4 * 64)
    x = torch.rand(shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    y = Area(factor).forward(x)
    usable = torch.ones_like(y, dtype=torch.bool)
    usable[..., :20, :] = False
    far = y.clone()
    far[..., 32, 32] += 5.0
    moved = (project_smoothly(x, far, usable, factor) - x).abs() > 1e-12
    assert not moved[..., :40, :].any()
    rows, cols = (moved.any((0, 1, 3)).nonzero().flatten() // 2, moved.any((0, 1, 2)).nonzero().flatten() // 4)
    assert int(rows.min()) >= 32 - SMOOTH_REACH
    assert int(cols.max()) <= 32 + SMOOTH_REACH
    assert not (project_smoothly(x, torch.where(usable, y, 1e9), usable, factor) - x).abs().gt(1e-9).any()
