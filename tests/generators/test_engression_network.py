"""The network and what it is told: any size, no statistics over space, heads that see no noise."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from gensr.errors import WeightsError
from gensr.generators.engression.linear import Estimate
from gensr.generators.engression.model import LEAST, MOST, Model, deviation, gaussian_loss, local_mean
from gensr.generators.engression.network import Network, Shape
from gensr.generators.engression.prior import Prior
from gensr.priors.unet import count, restored

TINY = Shape(1, 2, (8, 12), 1, 8, fine=4)


def awake(shape=TINY, seed=0):
    """A network in which every layer matters."""
    torch.manual_seed(seed)
    network = Network(shape)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return network.eval().requires_grad_(False)


def told(rows, cols, n=2):
    mean = torch.rand(n, 1, rows, cols)
    known = torch.ones(n, 1, rows, cols)
    return Estimate(mean, 0.1 + torch.rand_like(mean), known, 0.01 * known, torch.tensor([[2.0, 4.0]]).expand(n, 2))


def test_the_default_has_about_a_million_parameters():
    assert 1.1e6 < count(Network(Shape())) < 1.3e6
    assert Shape().multiple == 8


@pytest.mark.parametrize(
    "shape", [Shape(), TINY, Shape(3, 4, (16,), 2, 8, fine=0), Shape(1, 1, (8, 12, 16), 1, 8, fine=4)]
)
def test_the_work_is_what_is_counted_while_it_runs(shape):
    with FlopCounterMode(display=False) as counted:
        Network(shape)(torch.zeros(1, shape.inputs, 64, 64), torch.zeros(1, shape.scalars))
    assert shape.work == pytest.approx(counted.get_total_flops() / 64**2, rel=0.01)


@pytest.mark.parametrize("size", [(16, 16), (13, 22), (1, 5)])
def test_any_size(size):
    model = Model(awake(), Prior(), half=False)
    assert model.draw(told(*size), torch.randn(2, 1, *size)).shape == (2, 1, *size)
    mean, spread = model.moments(told(*size))
    assert mean.shape == spread.shape == (2, 1, *size)


def test_far_pixels_and_other_images_do_not_matter():
    network = awake()
    x, scalars = torch.randn(2, TINY.inputs, 128, 128), torch.randn(2, TINY.scalars)
    changed = x.clone()
    changed[0, :, :, 96:] += 1
    changed[1] += 1
    near, far = (network(v, scalars)[0] for v in (x, changed))
    torch.testing.assert_close(near[:, :, :48], far[:, :, :48])
    assert not torch.allclose(near[:, :, 100:], far[:, :, 100:])
    assert near.shape == (TINY.outputs, 128, 128)


def test_draws_depend_on_the_noise_and_on_everything_that_is_told():
    model, given = Model(awake(), Prior(), half=False), told(16, 16)
    white = torch.randn(2, 1, 16, 16)
    base = model.draw(given, white)
    others = [
        (given, -white),
        (Estimate(given.mean + 0.1, given.deviation, given.known, given.noise, given.factor), white),
        (Estimate(given.mean, 2 * given.deviation, given.known, given.noise, given.factor), white),
        (Estimate(given.mean, given.deviation, given.known / 2, given.noise, given.factor), white),
        (Estimate(given.mean, given.deviation, given.known, given.noise * 9, given.factor), white),
        (Estimate(given.mean, given.deviation, given.known, given.noise, given.factor * 2), white),
    ]
    for arguments in others:
        assert float((model.draw(*arguments) - base).abs().max()) > 1e-3


def test_a_variance_stays_in_range():
    network = awake()
    with torch.no_grad():
        network.tail.bias.add_(1e4)
    _, spread = Model(network, Prior(), half=False).moments(told(8, 8))
    assert float(spread.max()) <= MOST
    assert bool(deviation(told(8, 8), torch.full((2, 1, 8, 8), LEAST)).isfinite().all())


def test_the_likelihood_is_least_at_the_true_variance():
    error = 0.5 * torch.randn(20_000)
    found = [float(gaussian_loss(error, torch.full_like(error, s)).mean()) for s in (-2.4, -1.39, -0.4)]
    assert min(found) == found[1]


def test_local_means_are_means():
    torch.testing.assert_close(local_mean(torch.ones(1, 1, 40, 40)), torch.ones(1, 1, 40, 40))
    x = torch.rand(1, 1, 40, 40)
    torch.testing.assert_close(local_mean(x)[0, 0, 20, 20], x[0, 0, 12:29, 12:29].mean())


def test_tensors_that_do_not_fit_are_refused():
    tensors = awake().state_dict()
    assert torch.equal(restored(lambda: Network(TINY), tensors).head.weight, tensors["head.weight"])
    for wrong in (
        {}, {**tensors, "more": torch.zeros(1)}, {**tensors, "head.bias": torch.zeros(3)},
        {**tensors, "head.bias": torch.full((8,), torch.inf)},
    ):  # fmt: skip
        with pytest.raises(WeightsError, match="fetch the file again"):
            restored(lambda: Network(TINY), wrong)
