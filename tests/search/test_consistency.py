"""Exact data are explained exactly, also beside holes, and nothing moves where they are explained already."""

import pytest
import torch

from gensr.operators import Area, Bicubic, GaussianPSF
from gensr.priors.observation import Observation
from gensr.search.consistency import REACH, project, update

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
