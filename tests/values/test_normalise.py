"""Normalisers: exact inverses with the derivative they claim."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gensr.values.normalise import AffineNormaliser

NUMBERS = st.floats(1e-3, 1e6)


@given(NUMBERS, st.floats(-1e6, 1e6))
def test_inverse_undoes_forward(gain, offset):
    normaliser = AffineNormaliser((gain,), (offset,))
    u = torch.linspace(-1, 2, 12, dtype=torch.float64).reshape(1, 1, 3, 4)
    rounding = 4e-16 * (abs(offset) / gain + 2)  # of the physical value, in units of u
    torch.testing.assert_close(normaliser.forward(normaliser.inverse(u)), u, rtol=0, atol=rounding)


def test_every_band_has_its_own_scale():
    normaliser = AffineNormaliser((2.0, 10.0), (1.0, -5.0))
    assert normaliser.inverse(torch.ones(1, 2, 1, 1)).flatten().tolist() == [3.0, 5.0]
    assert normaliser.describe() == {"kind": "affine", "gain": [2.0, 10.0], "offset": [1.0, -5.0]}


def test_derivative_is_that_of_the_inverse():
    normaliser = AffineNormaliser((2.0, 10.0), (1.0, -5.0))
    u = torch.rand(3, 2, 2, 2, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(normaliser.inverse(u).sum(), u)
    torch.testing.assert_close(normaliser.derivative(u), slope)


@pytest.mark.parametrize(
    ("gain", "offset"), [((0.0,), (0.0,)), ((-1.0,), (0.0,)), ((1.0, 1.0), (0.0,)), ((float("nan"),), (0.0,))]
)
def test_impossible_scales_are_refused(gain, offset):
    with pytest.raises(ValueError, match="must be positive"):
        AffineNormaliser(gain, offset)


def test_scaling_keeps_the_middle_of_the_range():
    normaliser = AffineNormaliser((10.0, 2.0), (5.0, -1.0))
    wider = normaliser.scaled(4.0)
    assert wider.gain == (40.0, 8.0)
    for a, b in zip(
        (normaliser.offset[i] + 0.5 * normaliser.gain[i] for i in range(2)),
        (wider.offset[i] + 0.5 * wider.gain[i] for i in range(2)),
        strict=True,
    ):
        assert a == b
    assert normaliser.scaled(1.0) == normaliser
    assert normaliser.scaled((1.0, 2.0)).gain == (10.0, 4.0)
    assert normaliser.scaled((1.0, 2.0)).offset == (5.0, -2.0)


def test_the_map_by_hand_in_any_precision():
    normaliser = AffineNormaliser((2.0, 10.0), (1.0, -5.0))
    for dtype in (torch.float32, torch.float64):
        physical = torch.tensor([3.0, 15.0], dtype=dtype).view(1, 2, 1, 1).expand(3, 2, 4, 5)
        u = normaliser.forward(physical)
        assert (u.shape, u.dtype) == ((3, 2, 4, 5), dtype)
        assert u[2, :, 3, 4].tolist() == [1.0, 2.0]
        slope = normaliser.derivative(u)
        assert (slope.shape, slope.dtype, slope[1, :, 0, 0].tolist()) == (u.shape, dtype, [2.0, 10.0])
    assert normaliser.scaled((0.5, 4.0)) == AffineNormaliser((1.0, 40.0), (1.5, -20.0))
    with pytest.raises(ValueError, match="as long as offset"):
        AffineNormaliser((1.0,), (0.0, 0.0))
    assert AffineNormaliser((1e-9,), (0.0,)).gain == (1e-9,)
