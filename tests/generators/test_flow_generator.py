"""The flow as a generator: what it serves, exactness, independence, derivatives, and its way through a weights file."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from gensr.errors import SearchError, WeightsError
from gensr.generators.flow import FAMILY
from gensr.generators.flow.generator import LARGEST_FACTOR, config_of
from gensr.generators.flow.training import save
from gensr.operators import Area, Bicubic, GaussianPSF
from gensr.operators.scaled import unit_gain
from gensr.priors import weights
from gensr.priors.observation import Observation
from gensr.priors.stretch import Stretch
from gensr.search.guided import Guided, guided_samples
from gensr.values.random import Stream

SKY = Stretch(0.3, 6500.0)
OPERATORS = {"mean": Area(2), "sum": unit_gain(Area(2, total=True)), "x4": Area(4)}


def observed(operator, n=3, bands=1, low=8, level=1.0, deviation=0.0, exact=True, seed=0):
    draw = torch.Generator().manual_seed(seed)
    y = level * torch.rand(n, bands, low, low, generator=draw)
    return Observation(y, operator, torch.full_like(y, deviation**2), torch.ones_like(y, dtype=torch.bool), exact=exact)


def noise_for(data, seed=0):
    shape = (*data.y.shape[:2], *data.shape)
    return lambda step: Stream(seed).child("step", step).normal(shape)


def unexplained(x, data):
    return float((data.operator.forward(x) - data.y)[data.usable].abs().max())


@pytest.fixture(scope="module")
def flow(flow_of):
    return flow_of()


@pytest.fixture(scope="module")
def sky(flow_of):
    return flow_of(stretch=SKY)


class TestWhatItServes:
    def test_block_means_with_equal_factors(self, flow):
        for operator in (Area(2), Area(LARGEST_FACTOR), *OPERATORS.values()):
            assert flow.closed(operator)
            assert flow.serves(operator, (64, 64))
        for operator in (Area((2, 4)), Area(LARGEST_FACTOR + 1), Bicubic(2), GaussianPSF(2, 1.5)):
            assert not flow.closed(operator)

    def test_other_operators_go_through_the_denoiser_if_there_is_one(self, flow, sky):
        assert flow.serves(Bicubic(2), (64, 64))
        assert not sky.serves(Bicubic(2), (64, 64))
        assert sky.serves(Area(2), (64, 64))
        assert "denoise" in flow.capabilities
        assert "denoise" not in sky.capabilities
        with pytest.raises(NotImplementedError, match="no denoiser"):
            sky.denoise(torch.zeros(1, 1, 4, 4), torch.ones(1))

    def test_aligned_pictures_have_a_largest_size(self, flow_of):
        faces = flow_of(aligned=True)
        assert faces.serves(Area(2), (96, 96))
        assert not faces.serves(Area(2), (98, 98))
        assert faces.latents((96, 96)).tensors[0].shape == (1, 96, 96)
        for shape in ((98, 98), (64, 96), (0, 0)):
            with pytest.raises(SearchError, match="square ones of up to 96"):
                faces.latents(shape)

    def test_fields_have_any_size(self, flow):
        assert flow.serves(Area(2), (10_000, 3))
        assert flow.latents((5, 7)).tensors[0].shape == (1, 5, 7)
        with pytest.raises(SearchError, match="0 x 4"):
            flow.latents((4, 0))

    def test_tiles_start_on_the_coarsest_grid(self, flow):
        """The small network works on blocks of 4 pixels."""
        assert [flow.alignment(Area(f)) for f in (2, 3, 4, 6, 8)] == [2, 4, 1, 2, 1]
        assert flow.context(Area(4)) == 10
        assert flow.context(Area(3)) == 14

    @pytest.mark.parametrize("call", ["posterior", "draw"])
    def test_an_unsupported_operator_is_an_error(self, flow, call):
        data = observed(Bicubic(2))
        with pytest.raises(SearchError, match="answers block means by 2 to 16"):
            flow.posterior(data) if call == "posterior" else flow.draw(data, noise_for(data))


class TestExactness:
    @pytest.mark.parametrize("operator", OPERATORS.values(), ids=OPERATORS)
    @pytest.mark.parametrize("level", [1.0, 500.0])
    def test_noise_free_data_are_explained(self, flow, sky, operator, level):
        generator = flow if level == 1.0 else sky
        data = observed(operator, level=level)
        for x in (generator.posterior(data).mean, generator.draw(data, noise_for(data), {"network_steps": 4})):
            assert x.shape == (3, 1, *data.shape)
            assert unexplained(x, data) < 2e-6 * level

    def test_an_operator_of_another_gain_too(self, flow):
        data = observed(Area(2, total=True))
        assert unexplained(flow.posterior(data).mean, data) < 1e-5

    def test_noisy_data_are_not_forced(self, flow):
        data = observed(Area(2), deviation=0.1, exact=False)
        assert unexplained(flow.posterior(data).mean, data) > 0.01

    @pytest.mark.parametrize("name", ["flow", "sky"])
    def test_gaps_are_neither_forced_nor_seen(self, request, name):
        generator = request.getfixturevalue(name)
        data = observed(Area(2))
        usable = data.usable.clone()
        usable[:, :, 2:4, 3:6] = False
        answers = []
        for hidden in (5.0, torch.nan):
            holed = replace(data, y=torch.where(usable, data.y, hidden), usable=usable)
            answers += [
                (generator.posterior(holed).mean, generator.draw(holed, noise_for(holed), {"network_steps": 3}))
            ]
            for x in answers[-1]:
                assert unexplained(x, holed) < 2e-6
                assert bool(x.isfinite().all())
                assert float(x[..., 4:8, 6:12].max()) < 3
        for first, second in zip(*answers, strict=True):
            assert torch.equal(first, second)

    def test_nothing_usable_at_all_is_finite(self, flow):
        data = observed(Area(2))
        empty = replace(data, usable=torch.zeros_like(data.usable))
        assert bool(flow.posterior(empty).mean.isfinite().all())
        assert bool(flow.draw(empty, noise_for(empty), {"network_steps": 3}).isfinite().all())

    def test_double_precision_data_keep_their_type(self, flow):
        data = observed(Area(2))
        double = replace(data, y=data.y.double(), variance=data.variance.double())
        for x, y in (
            (flow.posterior(double).mean, flow.posterior(data).mean),
            (
                flow.draw(double, noise_for(data), {"network_steps": 3}),
                flow.draw(data, noise_for(data), {"network_steps": 3}),
            ),
        ):
            assert x.dtype == torch.float64
            torch.testing.assert_close(x.float(), y)


class TestPosterior:
    def test_variance_is_positive_and_grows_with_the_slope(self, flow, sky):
        dark, bright = (observed(Area(2), level=level, deviation=0.05, exact=False) for level in (1.0, 1000.0))
        assert float(flow.posterior(dark).variance.min()) > 0
        assert float(sky.posterior(bright).variance.median()) > 1e3 * float(sky.posterior(dark).variance.median())

    def test_the_answer_does_not_depend_on_numbers_of_other_families(self, flow):
        data = observed(Area(2))
        assert torch.equal(flow.posterior(data).mean, flow.posterior(data, {"spacing": 4}).mean)

    def test_nothing_of_the_data_is_changed(self, flow):
        data = observed(Area(2), deviation=0.1, exact=False)
        before = [t.clone() for t in (data.y, data.variance, data.usable)]
        flow.posterior(data)
        flow.draw(data, noise_for(data), {"network_steps": 2})
        assert all(torch.equal(a, b) for a, b in zip(before, (data.y, data.variance, data.usable), strict=True))


class TestDraw:
    def test_noise_makes_the_sample(self, flow):
        data = observed(Area(2), deviation=0.05, exact=False)
        first, again, other = (flow.draw(data, noise_for(data, seed), {"network_steps": 4}) for seed in (1, 1, 2))
        assert torch.equal(first, again)
        assert float((first - other).abs().mean()) > 1e-3

    @pytest.mark.parametrize("exact", [True, False])
    @pytest.mark.parametrize("call", ["posterior", "draw"])
    def test_rows_of_a_batch_are_independent(self, flow, exact, call):
        """Also where every row has a noise level of its own."""
        data = observed(Area(2), n=4, exact=exact)
        level = torch.tensor([1e-3, 1e-2, 0.1, 0.5]).view(-1, 1, 1, 1)
        data = replace(data, variance=level.square().expand_as(data.y))
        noise = noise_for(data)
        whole = flow.posterior(data).mean if call == "posterior" else flow.draw(data, noise, {"network_steps": 4})
        for i in range(4):
            own = replace(data, **{k: getattr(data, k)[i : i + 1] for k in ("y", "variance", "usable")})
            alone = flow.posterior(own).mean
            if call == "draw":
                alone = flow.draw(own, lambda step, i=i: noise(step)[i : i + 1], {"network_steps": 4})
            torch.testing.assert_close(whole[i : i + 1], alone, rtol=0, atol=1e-5)

    @pytest.mark.parametrize("steps", [1, 2, 5])
    def test_steps_are_evaluations(self, flow, steps):
        calls = []
        hook = flow.model.network.register_forward_hook(lambda *_: calls.append(1))
        data = observed(Area(2))
        flow.draw(data, noise_for(data), {"network_steps": steps})
        flow.generate(torch.randn(1, 1, 8, 8), steps)
        hook.remove()
        assert len(calls) == 2 * steps

    def test_a_broken_network_is_an_error(self, flow_of):
        broken = flow_of()
        with torch.no_grad():
            broken.model.network.head.bias.fill_(torch.nan)
        data = observed(Area(2), exact=False)
        with pytest.raises(SearchError, match="not finite"):
            broken.draw(data, noise_for(data), {"network_steps": 2})

    def test_a_network_of_zero_samples_its_gaussian(self, flow_of):
        """Without an opinion of the network, images are the base with independent Gaussian noise of the scale."""
        plain = flow_of()
        with torch.no_grad():
            plain.model.network.tail.weight.zero_()
            plain.model.network.tail.bias.zero_()
        data = observed(Area(2), n=8, low=16, exact=False)
        x = plain.draw(data, noise_for(data), {"network_steps": 40})
        mean = plain.posterior(data).mean
        assert float((x - mean).std()) == pytest.approx(0.05, rel=0.1)


class TestDenoise:
    def test_derivative_is_that_of_finite_differences(self, flow):
        x = torch.rand(1, 1, 12, 12, requires_grad=True)
        sigma, weight, along = torch.tensor([0.2]), torch.randn(1, 1, 12, 12), torch.randn(1, 1, 12, 12)
        (grad,) = torch.autograd.grad((flow.denoise(x, sigma) * weight).sum(), x)
        h = 1e-2
        with torch.no_grad():
            ahead, behind = (flow.denoise(x + s * h * along, sigma) for s in (1, -1))
        expected = ((ahead - behind).double() * weight).sum() / (2 * h)
        assert float((grad * along).sum()) == pytest.approx(float(expected), rel=2e-2)

    def test_single_precision_wherever_a_derivative_may_be_asked_for(self, flow_of):
        flow = flow_of()
        flow.model = replace(flow.model, half=True)
        x, sigma = torch.rand(1, 1, 12, 12), torch.tensor([0.2])
        with torch.no_grad():
            half = flow.denoise(x, sigma)
        single = flow.denoise(x, sigma)
        assert torch.equal(single, flow_of().denoise(x, sigma))
        assert not torch.equal(half, single)

    def test_little_noise_changes_little_and_rows_have_their_own(self, flow):
        x = torch.rand(3, 1, 12, 12)
        sigma = torch.tensor([1e-4, 0.1, 3.0])
        moved = (flow.denoise(x, sigma) - x).abs().mean((1, 2, 3))
        assert moved[0] < 1e-3 < moved[1] < moved[2]

    def test_type_follows_the_image(self, flow):
        x = torch.rand(1, 1, 8, 8, dtype=torch.float64)
        assert flow.denoise(x, torch.ones(1, dtype=torch.float64)).dtype == torch.float64

    def test_guided_samples_explain_data_of_another_operator(self, flow):
        data = observed(Bicubic(2), deviation=0.02, exact=False)
        x = guided_samples(flow, data, noise_for(data), Guided(steps=4))
        assert float((data.operator.forward(x) - data.y).square().mean()) < 0.1**2


class TestSynthesize:
    def test_differentiable_and_consistent_with_no_gradient(self, flow_of):
        flow = flow_of()
        flow.model = replace(flow.model, half=True)
        z = torch.randn(2, 1, 8, 8, requires_grad=True)
        image = flow.synthesize({"noise": z}, (8, 8))
        (grad,) = torch.autograd.grad(image[0].sum(), z)
        assert bool(grad[0].any())
        assert not grad[1].any()
        with torch.no_grad():
            assert torch.equal(flow.synthesize({"noise": z}, (8, 8)), image)

    def test_derivative_is_that_of_finite_differences(self, flow):
        z, along = torch.randn(1, 1, 8, 8, requires_grad=True), torch.randn(1, 1, 8, 8)
        (grad,) = torch.autograd.grad(flow.synthesize({"noise": z}, (8, 8)).sum(), z)
        h = 1e-2
        with torch.no_grad():
            ahead, behind = (flow.synthesize({"noise": z + s * h * along}, (8, 8)) for s in (1, -1))
        expected = (ahead - behind).double().sum() / (2 * h)
        assert float((grad * along).sum()) == pytest.approx(float(expected), rel=2e-2)

    def test_images_are_in_generator_units(self, sky):
        """The middle of the network's range is far from the middle of a flux."""
        z = torch.randn(4, 1, 8, 8)
        image = sky.synthesize({"noise": z}, (8, 8))
        torch.testing.assert_close(SKY.forward(image), SKY.forward(sky.generate(z, 6)), rtol=1e-4, atol=1e-4)
        assert float(image.abs().max()) > 3


class TestWeights:
    def test_a_mean_in_flux_is_that_of_what_is_normal_in_the_stretch(self):
        """Against a million draws, faint and bright."""
        stretch, draw = Stretch(0.02, 200.0), torch.Generator().manual_seed(0)
        for u, deviation in ((0.0, 0.05), (0.05, 0.03), (0.6, 0.02)):
            drawn = stretch.inverse(u + deviation * torch.randn(10**6, generator=draw, dtype=torch.float64))
            mean, variance = stretch.moments(*(torch.tensor([v], dtype=torch.float64) for v in (u, deviation**2)))
            assert float(mean) == pytest.approx(float(drawn.mean()), rel=0.01, abs=2e-5)
            assert float(variance) == pytest.approx(float(drawn.var()), rel=0.02)
        same = torch.rand(2, 3)
        assert all(a is b for a, b in zip(Stretch().moments(same, same), (same, same), strict=True))

    @pytest.mark.parametrize("stretch", [Stretch(), SKY])
    def test_the_way_through_a_file(self, flow_of, tmp_path, stretch):
        flow = flow_of(2, stretch=stretch)
        flow.settings = replace(flow.settings, fallback="gaussian-microscopy", scaling={"unit": 2.5}, flux=True)
        path = tmp_path / "flow-toy.safetensors"
        save(path, flow, flow.card)
        again, stored = weights.load(str(path))
        assert stored.card == flow.card
        assert again.settings == flow.settings
        assert (again.fallback, again.scaling, again.flux) == ("gaussian-microscopy", {"unit": 2.5}, True)
        assert again.model.scales == flow.model.scales
        assert all(t.dtype == torch.float16 for t in load_file(path).values())
        data = observed(Area(2), bands=2)
        again.model = replace(again.model, half=False)
        torch.testing.assert_close(again.posterior(data).mean, flow.posterior(data).mean, rtol=0, atol=2e-3)

    def test_to_the_same_device_is_the_same(self, flow):
        assert flow.to("cpu") is flow

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("shape", None), ("shape", []), ("shape", {}), ("scales", None), ("scales", {"1": 1.0}), ("scales", [1.0]),
            ("scales", {"1": 1, "2": float("nan"), "4": 1}), ("scales", {"1": 1, "2": "wide", "4": 1}),
            ("scales", {"1": 1, "2": -1, "4": 1}), ("stretch", None), ("stretch", {"softening": -1}),
            ("stretch", {"softening": "soft"}), ("stretch", {"softening": 1, "top": float("nan")}),
            ("stretch", {"softening": [1]}), ("side", None), ("side", "large"), ("side", float("nan")), ("side", -64),
            ("side", float("inf")), ("side", 10**30), ("scaling", {"unit": "x"}), ("scaling", {"unit": float("nan")}),
            ("scaling", 7), ("flux", "no"), ("companion", 7),
        ],
    )  # fmt: skip
    def test_hostile_configurations_are_refused(self, flow, key, value):
        config = config_of(flow.model, flow.settings) | {key: value}
        with pytest.raises(WeightsError, match=rf"(?i)toy: .*{key}\b.*(expected|missing|give).*fetch the file again"):
            FAMILY.build(flow.model.network.state_dict(), config, flow.card)

    @pytest.mark.parametrize("key", ["shape", "scales", "stretch", "side"])
    def test_what_is_missing_is_refused(self, flow, key):
        config = config_of(flow.model, flow.settings)
        del config[key]
        with pytest.raises(WeightsError, match=key):
            FAMILY.build(flow.model.network.state_dict(), config, flow.card)

    def test_card_and_tensors_must_fit(self, flow, flow_of):
        config, tensors = config_of(flow.model, flow.settings), flow.model.network.state_dict()
        for card in (replace(flow.card, bands=3), replace(flow.card, aligned=True)):
            with pytest.raises(WeightsError, match="card disagree"):
                FAMILY.build(tensors, config, card)
        other = flow_of(2).model.network.state_dict()
        for wrong in ({}, other, {**tensors, "more": torch.zeros(1)}):
            with pytest.raises(WeightsError, match="fetch the file again"):
                FAMILY.build(wrong, config, flow.card)
