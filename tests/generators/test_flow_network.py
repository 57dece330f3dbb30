"""The network of the flow family and the denoiser that it makes: locality, independence, scaling, hostile headers."""

from dataclasses import replace

import pytest
import torch

from gensr.errors import WeightsError
from gensr.generators.flow.hint import Hint, hint
from gensr.generators.flow.model import BLIND, NOISE_IN_BASE, Model, Scales
from gensr.generators.flow.network import Network, Shape
from gensr.priors.unet import count, normalised, restored

BORDER = 32
"""Pixels that the small network, its local means and its padding can see across."""


def told(n=2, bands=1, low=24, factor=2, noise=0.0, seed=0):
    """The hint of smooth data with some detail, network units."""
    draw = torch.Generator().manual_seed(seed)
    y = 0.5 + 0.2 * torch.randn(n, bands, low, low, generator=draw)
    return hint(y, torch.full_like(y, noise), torch.ones_like(y, dtype=torch.bool), (factor, factor))


def noisy(told, sigma, seed=1):
    draw = torch.Generator().manual_seed(seed)
    return told.base + sigma * torch.randn(told.base.shape, generator=draw)


@pytest.fixture(scope="module")
def model(random_network, scales):
    return Model(random_network(), scales, half=False)


class TestShape:
    def test_survives_its_configuration(self):
        shape = Shape(3, 4, (8, 16, 32), 1, 24, True)
        assert Shape.from_config(shape.to_config()) == shape
        assert shape.multiple == 16
        assert shape.inputs == 11

    @pytest.mark.parametrize(
        "change",
        [
            {"bands": 0}, {"bands": -1}, {"bands": 10**12}, {"bands": "3"}, {"bands": True}, {"bands": 1.5},
            {"patch": float("nan")}, {"patch": float("inf")}, {"widths": []}, {"widths": "48"}, {"widths": 48},
            {"widths": [48, -72]}, {"widths": [48] * 7}, {"widths": [48, 10**9]}, {"widths": None}, {"blocks": 4096},
            {"embedding": 0}, {"embedding": None}, {"aligned": "false"}, {"aligned": True, "widths": [8, 10]},
        ],
    )  # fmt: skip
    def test_the_impossible_is_refused(self, change):
        with pytest.raises(WeightsError, match="network configuration"):
            Shape.from_config(Shape().to_config() | change)

    def test_what_is_missing_is_named(self):
        config = Shape().to_config()
        del config["blocks"]
        with pytest.raises(WeightsError, match="blocks"):
            Shape.from_config(config)


class TestNetwork:
    def test_starts_as_zero(self):
        net = Network(Shape(widths=(8, 12), blocks=1, embedding=8))
        value, spread = net.predict(torch.randn(2, 5, 16, 16), torch.randn(2, 5))
        assert value.shape == spread.shape == (2, 1, 16, 16)
        assert not value.any()
        assert not spread.any()

    def test_every_parameter_matters(self, random_network):
        for aligned in (False, True):
            net = random_network(aligned=aligned).requires_grad_(True)
            value, spread = net.predict(torch.randn(1, 5, 16, 16), torch.randn(1, 5))
            (value.square().sum() + spread.square().sum()).backward()
            assert all(p.grad is not None and bool(p.grad.any()) for p in net.parameters())

    def test_spread_is_bounded(self, random_network):
        net = random_network()
        with torch.no_grad():
            net.tail.weight.mul_(1e4)
        _, spread = net.predict(torch.randn(1, 5, 16, 16), torch.randn(1, 5))
        assert float(spread.min()) == -12
        assert float(spread.max()) == 6

    def test_normalisation_is_of_each_pixel(self):
        x = torch.randn(2, 6, 5, 5)
        brighter = x.clone()
        brighter[..., 0, 0] *= 100
        whole, other = normalised(x, 1e-4), normalised(brighter, 1e-4)
        torch.testing.assert_close(whole.square().mean(1), torch.ones(2, 5, 5), rtol=1e-2, atol=1e-2)
        assert torch.equal(whole[..., 1:, :], other[..., 1:, :])

    def test_usual_sizes(self):
        assert 1_000_000 < count(Network(Shape())) < 2_000_000

    def test_restored_is_the_same_and_shares_nothing(self, random_network):
        net = random_network()
        tensors = {k: v.clone() for k, v in net.state_dict().items()}
        again = restored(lambda: Network(net.shape), tensors)
        x, scalars = torch.randn(1, 5, 8, 8), torch.randn(1, 5)
        assert torch.equal(net(x, scalars), again(x, scalars))
        with torch.no_grad():
            again.tail.bias.add_(1)
        assert torch.equal(tensors["tail.bias"], net.tail.bias)

    def test_tensors_of_another_network_are_refused(self, random_network):
        net = random_network()
        tensors = dict(net.state_dict())
        wrong = {
            "do not belong": {k: v for k, v in tensors.items() if k != "tail.bias"},
            "not belong": tensors | {"tail.more": torch.zeros(1)},
            "is not of shape": tensors | {"tail.bias": torch.zeros(3)},
            "is not finite": tensors | {"tail.bias": torch.full_like(tensors["tail.bias"], torch.nan)},
        }
        for words, found in wrong.items():
            with pytest.raises(WeightsError, match=words):
                restored(lambda: Network(net.shape), found)

    def test_a_huge_shape_is_refused_before_it_is_allocated(self, random_network):
        shape = Shape(64, 64, (4096,) * 6, 2, 4096)
        with pytest.raises(WeightsError):
            restored(lambda: Network(shape), random_network().state_dict())


class TestLocality:
    def test_a_crop_of_the_answer_is_the_answer_to_a_crop(self, model):
        found = told(low=64)
        x, sigma = noisy(found, 0.05), torch.full((2,), 0.05)
        whole = model(x, sigma, found)
        cut = model(x[..., 16:112, 12:108], sigma, found.crop(16, 12, 96, 96))
        inner = slice(BORDER, -BORDER)
        torch.testing.assert_close(
            whole.mean[..., 16:112, 12:108][..., inner, inner], cut.mean[..., inner, inner], rtol=0, atol=1e-6
        )
        torch.testing.assert_close(
            whole.variance[..., 16:112, 12:108][..., inner, inner], cut.variance[..., inner, inner], rtol=1e-4, atol=0
        )

    def test_no_statistics_over_space(self, model):
        found = told(low=64)
        sigma = torch.full((2,), 0.05)
        x = noisy(found, 0.05)
        base = found.base.clone()
        base[..., :8, :8] += 50
        other = model(x, sigma, replace(found, base=base)).mean
        moved = (other - model(x, sigma, found).mean).abs()
        assert float(moved[..., :8, :8].max()) > 1
        assert float(moved[..., 8 + BORDER :, 8 + BORDER :].max()) == 0

    @pytest.mark.parametrize("shape", [(1, 1), (3, 5), (17, 31), (33, 4)])
    def test_odd_sides(self, model, shape):
        none = Hint.none(2, 1, shape)
        answer = model(torch.rand(2, 1, *shape), torch.full((2,), 0.2), none)
        assert answer.mean.shape == answer.variance.shape == (2, 1, *shape)
        assert bool(answer.mean.isfinite().all())
        assert float(answer.variance.min()) > 0

    def test_padding_does_not_reach_far(self, model):
        found = told(low=64)
        x, sigma = noisy(found, 0.05), torch.full((2,), 0.05)
        whole = model(x, sigma, found).mean
        odd = model(x[..., :127, :125], sigma, found.crop(0, 0, 127, 125)).mean
        torch.testing.assert_close(odd[..., :-BORDER, :-BORDER], whole[..., : 127 - BORDER, : 125 - BORDER])

    @pytest.mark.parametrize("aligned", [False, True])
    def test_rows_of_a_batch_are_independent(self, random_network, scales, aligned):
        model = Model(random_network(2, aligned), scales, half=False)
        found = told(4, 2, noise=0.01)
        x, sigma = noisy(found, 0.1), torch.tensor([0.01, 0.1, 1.0, 10.0])
        whole = model(x, sigma, found).mean
        for i in range(4):
            own = Hint(*(getattr(found, k)[i : i + 1] for k in ("base", "known", "noise", "given", "factor")))
            alone = model(x[i : i + 1], sigma[i : i + 1], own).mean
            torch.testing.assert_close(whole[i : i + 1], alone, rtol=0, atol=1e-5)

    def test_aligned_content_knows_where_it_is(self, random_network, scales):
        flat, sigma = Hint.none(1, 1, (96, 96)), torch.ones(1)
        x = torch.full((1, 1, 96, 96), 0.5)
        inner = slice(BORDER, -BORDER, 4)  # one phase of the coarsest level
        spread = []
        for aligned in (False, True):
            mean = Model(random_network(1, aligned), scales, half=False)(x, sigma, flat).mean
            spread.append(float(mean[..., inner, inner].std()))
        assert spread[0] < 1e-6
        assert spread[1] > 1e-3

    def test_half_precision_is_near(self, model):
        found = told()
        x, sigma = noisy(found, 0.05), torch.full((2,), 0.05)
        single, half = model(x, sigma, found).mean, replace(model, half=True)(x, sigma, found).mean
        assert not torch.equal(single, half)
        assert float((single - half).abs().max()) < 0.05 * float((single - found.base).abs().max())


class TestPreconditioning:
    def test_a_network_of_zero_is_the_wiener_filter(self, scales):
        model = Model(Network(Shape(widths=(8, 12), blocks=1, embedding=8)), scales, half=False)
        found = told(noise=0.02)
        x, sigma = noisy(found, 0.1), torch.tensor([0.1, 0.03])
        answer = model(x, sigma, found)
        prior = 0.05**2 + NOISE_IN_BASE * 0.02**2
        g2 = sigma.view(-1, 1, 1, 1) ** 2
        torch.testing.assert_close(answer.mean, found.base + prior / (prior + g2) * (x - found.base))
        torch.testing.assert_close(answer.variance, (prior * g2 / (prior + g2)).expand_as(x))

    def test_blind_noise_leaves_the_image_no_influence(self, model):
        found = told(noise=0.02)
        sigma = model.blind(found)
        torch.testing.assert_close(sigma, BLIND * model.base_scale(found).amax((1, 2, 3)))
        keep, _, inward = model.coefficients(found, sigma)
        spread = float(model.base_scale(found).max())
        # What an image may differ from its base, seen through what is kept and through the input of the network.
        assert float(keep.max()) < 1 / 400
        assert float((inward * spread).max()) < 1 / 19
        near = model(found.base, sigma, found).mean
        moved = model(found.base + spread, sigma, found).mean
        assert float((near - moved).abs().max()) < 0.1 * spread

    def test_input_and_target_have_unit_variance(self, model, scales):
        found = told(noise=0.03)
        draw = torch.Generator().manual_seed(5)
        sigma = torch.tensor([0.02, 0.5])
        truth = found.base + model.base_scale(found) * torch.randn(found.base.shape, generator=draw)
        x = truth + sigma.view(-1, 1, 1, 1) * torch.randn(found.base.shape, generator=draw)
        keep, out, inward = model.coefficients(found, sigma)
        z = x - found.base
        assert (inward * z).std((1, 2, 3)).sub(1).abs().max() < 0.05
        assert ((truth - found.base - keep * z) / out).std((1, 2, 3)).sub(1).abs().max() < 0.05


class TestScales:
    def test_measured_factors_are_kept_and_others_lie_between(self, scales):
        factor = torch.tensor([[2.0, 2], [4, 4], [8, 8], [2.8284271, 2.8284271], [2, 4]])
        found = scales(factor, torch.ones(5))
        between = (0.05 * 0.1) ** 0.5
        torch.testing.assert_close(found, torch.tensor([0.05, 0.1, 0.15, between, between]))

    def test_beyond_the_measured_the_nearest_counts(self, scales):
        torch.testing.assert_close(
            scales(torch.tensor([[1.0, 1], [64, 64]]), torch.ones(2)), torch.tensor([0.05, 0.15])
        )

    def test_without_data_the_factor_does_not_matter(self, scales):
        torch.testing.assert_close(scales(torch.tensor([[1.0, 1], [4, 4]]), torch.zeros(2)), torch.tensor([0.3, 0.3]))

    def test_survive_their_configuration(self, scales):
        assert Scales.from_config(scales.to_config()) == scales

    @pytest.mark.parametrize(
        "config",
        [
            {}, {"1": 0.3}, {"1": 0.3, "2": 0.1}, {"2": 0.1, "4": 0.1, "8": 0.1}, {"0": 1, "1": 1, "2": 1, "4": 1},
            {"-1": 1, "1": 1, "2": 1}, {"1": float("nan"), "2": 1, "4": 1}, {"1": 1, "2": -1, "4": 1},
            {"1": 1, "2": 0, "4": 1}, {"1": 1, "2": float("inf"), "4": 1}, {"1": "x", "2": 1, "4": 1},
            {"one": 1, "2": 1, "4": 1},
        ],
    )  # fmt: skip
    def test_the_impossible_is_refused(self, config):
        with pytest.raises(ValueError):  # noqa: PT011
            Scales.from_config(config)


class TestFine:
    def test_it_begins_as_nothing_and_is_kept_in_the_configuration(self):
        torch.manual_seed(3)
        plain = Network(Shape(1, 4, (8, 12), 1, 8))
        with_fine = Network(Shape(1, 4, (8, 12), 1, 8, fine=4))
        with_fine.load_state_dict(plain.state_dict(), strict=False)
        x, scalars = torch.randn(2, 5, 16, 24), torch.randn(2, 5)
        assert torch.equal(plain(x, scalars)[0], with_fine(x, scalars)[0])
        assert Shape.from_config(with_fine.shape.to_config()) == with_fine.shape
        assert Shape.from_config({k: v for k, v in plain.shape.to_config().items() if k != "fine"}) == plain.shape

    def test_it_sees_single_pixels_of_the_input(self):
        torch.manual_seed(4)
        network = Network(Shape(1, 4, (8, 12), 1, 8, fine=4))
        torch.nn.init.normal_(network.fine.outward.weight)
        x, scalars = torch.randn(1, 5, 16, 16), torch.randn(1, 5)
        moved = x.clone()
        moved[0, 0, 5, 6] += 1
        change = (network(x, scalars) - network(moved, scalars))[0, 0].abs()
        assert change.argmax() in [r * 16 + c for r in range(2, 9) for c in range(3, 10)]

    @pytest.mark.parametrize("fine", [-1, 257, 1.5, "4", True])
    def test_impossible_widths_are_refused(self, fine):
        with pytest.raises(WeightsError, match="impossible"):
            Shape.from_config({**Shape().to_config(), "fine": fine})
