"""Residuals of draws are noise, whatever the network made of them."""

import pytest
import torch

from gensr.generators.engression.residual import TOLERATED, WIDE, about, settled
from gensr.operators import Area
from gensr.priors.observation import Observation

NOISE = 0.02
SEED = torch.Generator().manual_seed(3)


def seen(factor=2, side=96, noise=NOISE):
    rows, cols = (side * f for f in Area(factor).factor)
    truth = torch.rand(1, 1, rows, cols, generator=SEED)
    y = Area(factor).forward(truth) + noise * torch.randn(1, 1, side, side, generator=SEED)
    level = torch.as_tensor(noise).expand_as(y).square() if isinstance(noise, float) else noise.square()
    return Observation(y, Area(factor), level.clone(), torch.ones_like(y, dtype=torch.bool))


def off(data, share, smooth=1):
    """A draw whose residual has ``share`` times the deviation of the noise."""
    rest = torch.randn(data.y.shape, generator=SEED) * data.variance.sqrt() * share
    fy, fx = data.operator.factor
    blocks = (data.y - rest).repeat_interleave(fy, -2).repeat_interleave(fx, -1)
    inner = torch.randn(blocks.shape, generator=SEED)
    return blocks + inner - data.operator.forward(inner).repeat_interleave(fy, -2).repeat_interleave(fx, -1)


def chi2(data, x):
    rest = (data.y - data.operator.forward(x)).square() / data.variance
    return float(rest[data.usable].mean())


def after(data, x):
    return settled(x, torch.ones_like(x), data, torch.randn(data.y.shape, generator=SEED))


@pytest.mark.parametrize(
    ("share", "expected"), [(0.1, 1 - TOLERATED), (0.6, 1 - TOLERATED), (1.0, 1.0), (2.0, 1.0), (6.0, 1.0)]
)
@pytest.mark.parametrize("factor", [1, 2, (1, 4)])
def test_residuals_become_noise(share, expected, factor):
    data = seen(factor)
    x = off(data, share)
    assert chi2(data, x) == pytest.approx(share**2, rel=0.05)
    assert chi2(data, after(data, x)) == pytest.approx(expected, abs=0.06)


def test_right_draws_and_what_the_instrument_does_not_see_stay():
    data = seen()
    x = off(data, 1.0)
    assert float((after(data, x) - x).square().mean().sqrt()) < 0.05 * NOISE  # corners see few data
    x = off(data, 3.0)
    made = after(data, x)
    inner = [z - data.operator.forward(z).repeat_interleave(2, -2).repeat_interleave(2, -1) for z in (x, made)]
    torch.testing.assert_close(inner[1], inner[0], rtol=0, atol=1e-5)


def test_what_is_too_much_is_taken_back_and_not_replaced():
    """Of a residual three times too large a ninth stays: it was the error of the draw."""
    data = seen()
    x = off(data, 3.0)
    before, then = (data.y - data.operator.forward(z) for z in (x, after(data, x)))
    assert float((then * before).mean() / before.square().mean()) == pytest.approx(1 / (9 - TOLERATED), rel=0.1)


def test_noise_is_that_of_the_place():
    ramp = torch.linspace(0.005, 0.1, 96).expand(1, 1, 96, 96)
    data = seen(noise=ramp)
    made = after(data, off(data, 0.3))
    rest = (data.y - data.operator.forward(made)).square() / data.variance
    for part in (rest[..., :32], rest[..., 64:]):
        assert float(part.mean()) == pytest.approx(1 - TOLERATED, abs=0.08)


def test_gaps_say_nothing_and_stay():
    data = seen()
    data.usable[..., :48, :] = False
    x = off(data, 0.3)
    made = after(data, x)
    assert torch.equal(made[..., :96, :], x[..., :96, :])
    assert chi2(data, made) == pytest.approx(1 - TOLERATED, abs=0.08)


def test_means_of_what_is_usable():
    x = torch.tensor([[[[1.0, 2.0, 0.0], [3.0, 0.0, 4.0], [5.0, 6.0, 7.0]]]])
    found = about(x, x > 0, WIDE)
    torch.testing.assert_close(found, torch.full_like(x, 4.0))
