"""Layers that move apart, all at once in the linear estimate, bent by the network where one layer was seen alone."""

import numpy as np
import pytest
import torch

from gensr.generators.engression.layered import layers_of, trust
from gensr.operators import Area, Layered, MeasuredPSF, Motion
from gensr.operators.scaled import Scaled
from gensr.priors import weights
from gensr.priors.observation import Observation

SIDE = 64


def layers():
    y, x = np.mgrid[:SIDE, :SIDE]
    share = np.clip((20 - np.hypot(y - 34, x - 30)) / 1.5, 0, 1)
    return Layered(Motion(1, 7.0, 150.0), [(share, Motion(1, 8.0, 60.0))])


def leaves(seed):
    draw = np.random.default_rng(seed)
    y, x = np.mgrid[:SIDE, :SIDE]
    out = np.full((SIDE, SIDE), 0.5)
    for _ in range(150):
        out[np.hypot(y - draw.uniform(0, SIDE), x - draw.uniform(0, SIDE)) < draw.uniform(2, 9)] = draw.uniform(0, 1)
    return torch.from_numpy(out)


@pytest.fixture(scope="module")
def field():
    return weights.load("engression-field")[0]


def normal(shape):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def observation(operator, sigma=0.01):
    behind, person = leaves(0), leaves(1)
    y = operator.over(behind, [person])
    y = (y + sigma * torch.randn(y.shape, dtype=y.dtype, generator=torch.Generator().manual_seed(0))).float()[
        None, None
    ]
    truth = operator.shares[0] * person + (1 - operator.shares[0]) * behind
    flat = torch.full_like(y, sigma**2)
    return Observation(y, operator, flat, torch.ones_like(y, dtype=torch.bool)), truth.float()


def psnr(x, truth, where):
    return -10 * float((x[0, 0] - truth)[where].square().mean().log10())


def test_each_layer_gets_sharper_than_one_blur_for_all_makes_it(field):
    operator = layers()
    data, truth = observation(operator)
    with torch.no_grad():
        found = field.posterior(data)
        one = {
            name: field.posterior(Observation(data.y, blur, data.variance, data.usable)).mean
            for name, blur in (("person", operator.blurs[0]), ("background", operator.background))
        }
    inside, outside = operator.shares[0] > 0.5, operator.seen[0] < 0.02
    assert psnr(found.mean, truth, inside) > psnr(data.y, truth, inside) + 2
    assert psnr(found.mean, truth, inside) > psnr(one["background"], truth, inside) + 2
    assert psnr(found.mean, truth, outside) > psnr(data.y, truth, outside) + 2
    assert psnr(found.mean, truth, outside) > psnr(one["person"], truth, outside) + 2
    error = (found.mean[0, 0] - truth).square().mean()
    assert 0.3 < float(found.variance.mean() / error) < 3


def test_draws_differ_and_explain_the_data(field):
    operator = layers()
    data, _ = observation(operator)

    def noise(purpose):
        return torch.randn(data.y.shape, generator=torch.Generator().manual_seed(purpose))

    with torch.no_grad():
        drawn = field.draw(data, noise)
    rest = (data.y - operator.forward(drawn))[0, 0] / 0.01
    far = (operator.seen[0] < 0.02) | (operator.seen[0] > 0.98)
    assert float(rest[far].square().mean()) < 4
    with torch.no_grad():
        again = field.draw(data, lambda purpose: noise(purpose + 7))
    assert float((again - drawn).abs().mean()) > 0.003


def test_only_layers_are_layers(field):
    operator = layers()
    assert layers_of(Scaled(operator, 2.0)) is operator
    assert layers_of(Area(1)) is None
    assert trust(Area(1), torch.zeros(2)) == 1.0
    sure = trust(operator, torch.zeros(2))
    assert float(sure[0, 0]) == float(sure[34, 30]) == 1.0
    assert float(sure.min()) < 0.05
    assert field.closed(operator)
    assert not weights.load("gaussian-microscopy")[0].closed(operator)


def test_who_stands_in_front_is_no_datum_of_who_stands_behind(field):
    y, x = np.mgrid[:SIDE, :SIDE]
    left = np.clip(16 - np.hypot(y - 32, x - 22), 0, 1)
    right = np.minimum(np.clip(16 - np.hypot(y - 32, x - 42), 0, 1), 1)
    operator = Layered(
        MeasuredPSF(1, np.ones((1, 1))), [(left * (1 - right), Motion(1, 5.0, 0.0)), (right, Motion(1, 6.0, 90.0))]
    )
    behind, one, other = leaves(0), leaves(1), leaves(2)
    data_y = operator.over(behind, [one, other])
    y = (
        data_y + 0.01 * torch.randn(data_y.shape, dtype=data_y.dtype, generator=torch.Generator().manual_seed(0))
    ).float()
    y = y[None, None]
    data = Observation(y, operator, torch.full_like(y, 1e-4), torch.ones_like(y, dtype=torch.bool))
    m1, m2 = operator.shares
    truth = (m1 * one + m2 * other + (1 - m1 - m2) * behind).float()
    with torch.no_grad():
        found = field.posterior(data).mean
    for share in (m1, m2):
        assert psnr(found, truth, share > 0.5) > psnr(y, truth, share > 0.5) + 1
