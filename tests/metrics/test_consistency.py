import math

import pytest
import torch

from gensr.metrics import chi_square, consistency_rms
from gensr.operators import Area, Bicubic


def test_a_consistent_image_has_no_residual_and_an_offset_has_itself():
    operator = Bicubic(2)
    y = torch.rand(3, 8, 8)
    x = operator.pseudo_inverse(y.double())
    assert consistency_rms(operator, x, y) < 1e-12
    assert consistency_rms(operator, x + 0.25, y) == pytest.approx(0.25, rel=1e-9)


def test_units_of_noise_and_pixels_that_do_not_count():
    y = torch.tensor([[[1.0, 2.0], [float("nan"), 100.0]]])
    usable = torch.tensor([[True, True], [False, False]])
    variance = torch.tensor([[4.0, 16.0], [1.0, 1.0]])
    x = torch.zeros(1, 4, 4)
    assert consistency_rms(Area(2), x, y, usable) == pytest.approx(math.sqrt(2.5))
    assert consistency_rms(Area(2), x, y, usable, variance) == pytest.approx(0.5)
    assert chi_square(Area(2), x, y, variance, usable) == pytest.approx(0.25)
    assert math.isnan(consistency_rms(Area(2), x, y, torch.zeros(2, 2, dtype=torch.bool)))


def test_chi_square_of_the_truth_is_one():
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(1, 128, 128, generator=generator)
    clean = Area(2).forward(x)
    variance = 0.01 + clean * 0.02
    y = clean + variance.sqrt() * torch.randn(clean.shape, generator=generator)
    assert chi_square(Area(2), x, y, variance) == pytest.approx(1, abs=4 * math.sqrt(2 / clean.numel()))


def test_float32_input_is_summed_in_float64():
    y = torch.full((1, 64, 64), 1e4)
    x = torch.full((1, 128, 128), 1e4) + 0.0078125
    assert consistency_rms(Area(2), x, y) == pytest.approx(0.0078125, rel=1e-6)
