"""Engression as a generator: what it serves, exactness, independence, tiles, and its way through a weights file."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from gensr.errors import SearchError, WeightsError
from gensr.generators.engression import FAMILY
from gensr.generators.engression.generator import config_of
from gensr.generators.engression.training import save
from gensr.operators import EVERYWHERE, Area, Bicubic, GaussianPSF, KSpaceCrop, Lanczos, MeasuredPSF
from gensr.operators.scaled import unit_gain
from gensr.priors import weights
from gensr.priors.observation import Observation
from gensr.values.random import Stream

SKEW = np.array([[0.0, 0.1, 0.0], [0.3, 1.0, 0.5], [0.0, 0.0, 0.7]])
SERVED = {
    "mean": Area(2),
    "sum": unit_gain(Area(2, total=True)),
    "x4": Area(4),
    "unequal": Area((2, 4)),
    "gaussian": GaussianPSF(2, 0.5),
    "bicubic": Bicubic(2),
    "lanczos": Lanczos((3, 2)),
    "skew": MeasuredPSF(2, SKEW),
    "kspace": KSpaceCrop(2),
}


class Whole(Area):
    """An instrument that is known to be no sum of neighbours."""

    local = False
    reach = EVERYWHERE


def observed(operator, n=3, bands=1, low=8, deviation=0.0, exact=True, seed=0):
    draw = torch.Generator().manual_seed(seed)
    y = torch.rand(n, bands, low, low, generator=draw)
    return Observation(y, operator, torch.full_like(y, deviation**2), torch.ones_like(y, dtype=torch.bool), exact=exact)


def noise_for(data, seed=0):
    shape = (*data.y.shape[:2], *data.shape)
    return lambda step: Stream(seed).child("step", step).normal(shape)


def unexplained(x, data):
    return float((data.operator.forward(x) - data.y)[data.usable].abs().max())


@pytest.fixture(scope="module")
def made(engression_of):
    return engression_of()


class TestWhatItServes:
    def test_every_invariant_instrument_up_to_sixteen(self, made):
        for operator in (*SERVED.values(), Area(1), Area(16), Area((1, 16))):
            assert made.closed(operator)
            assert made.serves(operator, (64, 30_000))

    def test_no_other(self, made):
        for operator in (Area(17), Area((2, 32)), Whole(2), unit_gain(Whole(2, total=True))):
            assert not made.closed(operator)
            assert not made.serves(operator, (64, 64))
            data = replace(observed(Area(2)), operator=operator)
            with pytest.raises(SearchError, match="the same everywhere, with factors up to 16"):
                made.posterior(data)
            with pytest.raises(SearchError, match="the same everywhere"):
                made.draw(data, noise_for(observed(Area(2))))

    def test_latents_are_white_noise_of_the_size_of_the_image(self, made):
        assert made.latents((5, 7)).tensors[0].shape == (1, 5, 7)
        with pytest.raises(SearchError, match="0 x 4"):
            made.latents((4, 0))

    def test_tiles_start_on_the_coarsest_grid_and_reach_as_far_as_optics(self, made):
        """The small network works on blocks of 4 pixels."""
        assert [made.alignment(Area(f)) for f in (1, 2, 3, 4, 6, (2, 4))] == [4, 2, 4, 1, 2, 2]
        assert made.context(Area(4)) == 12
        assert made.context(GaussianPSF(4, 1.0)) == 12 + GaussianPSF(4, 1.0).reach

    def test_mean_and_sample_cost_as_much_and_less_per_band_than_all_bands(self, made, engression_of):
        cost, of_three = made.cost(Area(2)), engression_of(3).cost(GaussianPSF(2, 0.5))
        assert cost.operations == cost.draw == made.model.network.shape.work
        assert cost.operations / 3 < of_three.operations < cost.operations
        assert 100 < cost.memory < 2000

    def test_it_has_no_numbers_of_its_own_and_its_fallback_is_that_of_the_file(self, made):
        assert made.options == FAMILY.options == {}
        assert made.fallback == ""


class TestExactness:
    @pytest.mark.parametrize("operator", SERVED.values(), ids=SERVED)
    def test_noise_free_data_are_explained(self, made, operator):
        data = observed(operator, low=12)
        for x in (made.posterior(data).mean, made.draw(data, noise_for(data))):
            assert x.shape == (3, 1, *data.shape)
            assert unexplained(x, data) < 2e-5

    def test_noisy_data_are_not_forced(self, made):
        data = observed(Area(2), deviation=0.1, exact=False)
        assert unexplained(made.posterior(data).mean, data) > 0.01

    @pytest.mark.parametrize("operator", [Area(2), Area((1, 2)), GaussianPSF(2, 0.5)])
    def test_gaps_are_neither_forced_nor_seen(self, made, operator):
        data = observed(operator)
        usable = data.usable.clone()
        usable[:, :, 2:4, 3:6] = False
        answers = []
        for hidden in (5.0, torch.nan):
            holed = replace(data, y=torch.where(usable, data.y, hidden), usable=usable)
            answers += [(made.posterior(holed).mean, made.draw(holed, noise_for(holed)))]
            for x in answers[-1]:
                assert unexplained(x, holed) < 1e-3
                assert bool(x.isfinite().all())
                assert float(x.abs().max()) < 5
        for first, second in zip(*answers, strict=True):
            assert torch.equal(first, second)

    def test_nothing_usable_at_all_is_a_draw_without_data(self, made):
        data = observed(Area(2), exact=False)
        empty = replace(data, usable=torch.zeros_like(data.usable))
        x = made.draw(empty, noise_for(empty))
        assert bool(x.isfinite().all())
        assert float(x.std()) > 0.02

    def test_double_precision_data_keep_their_type(self, made):
        data = observed(Area(2))
        double = replace(data, y=data.y.double(), variance=data.variance.double())
        for x, y in (
            (made.posterior(double).mean, made.posterior(data).mean),
            (made.draw(double, noise_for(data)), made.draw(data, noise_for(data))),
        ):
            assert x.dtype == torch.float64
            torch.testing.assert_close(x.float(), y)


class TestDraw:
    def test_noise_makes_the_sample(self, made):
        data = observed(Area(2), deviation=0.05, exact=False)
        first, again, other = (made.draw(data, noise_for(data, seed)) for seed in (1, 1, 2))
        assert torch.equal(first, again)
        assert float((first - other).abs().mean()) > 1e-3

    @pytest.mark.parametrize("exact", [True, False])
    @pytest.mark.parametrize("operator", [Area(2), GaussianPSF(2, 0.5)])
    def test_the_mean_does_not_know_the_noise_and_all_cost_one_evaluation(self, made, operator, exact):
        calls = []
        hook = made.model.network.register_forward_hook(lambda *_: calls.append(1))
        data = observed(operator, deviation=0.05, exact=exact)
        found = made.posterior(data)
        assert len(calls) == 1
        made.draw(data, noise_for(data))
        hook.remove()
        assert len(calls) == 2
        assert float(found.variance.min()) > 0
        assert torch.equal(made.posterior(data, {"spacing": 4, "network_steps": 2}).mean, found.mean)

    @pytest.mark.parametrize("exact", [True, False])
    @pytest.mark.parametrize("operator", [Area(2), GaussianPSF((2, 1), 0.7)])
    @pytest.mark.parametrize("call", ["posterior", "draw"])
    def test_rows_of_a_batch_are_independent(self, made, operator, exact, call):
        """Also where every row has a noise level of its own."""
        data = observed(operator, n=4, exact=exact)
        level = torch.tensor([1e-3, 1e-2, 0.1, 0.5]).view(-1, 1, 1, 1)
        data = replace(data, variance=level.square().expand_as(data.y))
        noise = noise_for(data)
        whole = made.posterior(data).mean if call == "posterior" else made.draw(data, noise)
        for i in range(4):
            own = replace(data, **{k: getattr(data, k)[i : i + 1] for k in ("y", "variance", "usable")})
            alone = made.posterior(own).mean
            if call == "draw":
                alone = made.draw(own, lambda step, i=i: noise(step)[i : i + 1])
            torch.testing.assert_close(whole[i : i + 1], alone, rtol=0, atol=2e-5)

    @pytest.mark.parametrize("operator", [Area(4), GaussianPSF(2, 0.6), Area((2, 4)), Area(1)])
    @pytest.mark.parametrize("call", ["posterior", "draw"])
    def test_a_tile_with_context_says_what_the_whole_says(self, made, operator, call):
        fy, fx = operator.factor
        rows, cols, margin = 192 // fy, 256 // fx, made.context(operator)
        y = torch.nn.functional.interpolate(torch.rand(1, 1, 12, 16), (rows, cols), mode="bicubic")
        data = Observation(y, operator, torch.full_like(y, 1e-4), torch.ones_like(y, dtype=torch.bool))
        z = noise_for(data)(0)
        start = -(-(margin) // made.alignment(operator)) * made.alignment(operator)
        cut = (slice(None), slice(None), slice(0, rows), slice(start, cols))
        fine = (*cut[:2], slice(0, rows * fy), slice(start * fx, cols * fx))
        tile = replace(data, **{k: getattr(data, k)[cut] for k in ("y", "variance", "usable")})
        if call == "posterior":
            whole, part = made.posterior(data).mean, made.posterior(tile).mean
        else:
            whole, part = made.draw(data, lambda _: z), made.draw(tile, lambda _: z[fine])
        inner = margin * fx
        torch.testing.assert_close(part[..., inner:], whole[fine][..., inner:], rtol=0, atol=3e-3)

    def test_a_broken_network_is_an_error(self, engression_of):
        broken = engression_of()
        with torch.no_grad():
            broken.model.network.head.bias.fill_(torch.nan)
        data = observed(Area(2), exact=False)
        with pytest.raises(SearchError, match="not finite"):
            broken.draw(data, noise_for(data))


class TestSynthesize:
    def test_differentiable_independent_and_in_single_precision(self, engression_of):
        made = engression_of()
        made.model = replace(made.model, half=True)
        z = torch.randn(2, 1, 8, 8, requires_grad=True)
        image = made.synthesize({"noise": z}, (8, 8))
        (grad,) = torch.autograd.grad(image[0].sum(), z)
        assert bool(grad[0].any())
        assert not grad[1].any()
        with torch.no_grad():
            assert torch.equal(made.synthesize({"noise": z}, (8, 8)), image)


class TestWeights:
    def test_the_way_through_a_file(self, engression_of, tmp_path):
        made = engression_of(2)
        made.settings = replace(made.settings, fallback="gaussian-microscopy", scaling={"low": 1.0, "high": 99.0})
        path = tmp_path / "engression-toy.safetensors"
        save(path, made, made.card)
        again, stored = weights.load(str(path))
        assert stored.card == made.card
        assert again.settings == made.settings
        assert (again.fallback, again.scaling) == ("gaussian-microscopy", {"low": 1.0, "high": 99.0})
        assert again.model.prior == made.model.prior
        assert all(t.dtype == torch.float16 for t in load_file(path).values())
        data = observed(Area(2), bands=2)
        again.model = replace(again.model, half=False)
        torch.testing.assert_close(again.posterior(data).mean, made.posterior(data).mean, rtol=0, atol=2e-3)

    def test_to_the_same_device_is_the_same(self, made):
        assert made.to("cpu") is made

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("shape", None), ("shape", []), ("shape", {}), ("prior", None), ("prior", {"mean": 0.5}),
            ("prior", {"mean": 0.5, "level": -1, "corner": 0.1, "slope": 2}),
            ("prior", {"mean": float("nan"), "level": 1, "corner": 0.1, "slope": 2}), ("side", None), ("side", "large"),
            ("side", 10**30), ("scaling", {"low": "x"}), ("scaling", {"low": float("inf")}), ("scaling", 7),
            ("companion", 7),
        ],
    )  # fmt: skip
    def test_hostile_configurations_are_refused(self, made, key, value):
        config = config_of(made.model, made.settings) | {key: value}
        with pytest.raises(WeightsError, match=rf"(?i)toy: .*{key}\b.*(expected|missing|give).*fetch the file again"):
            FAMILY.build(made.model.network.state_dict(), config, made.card)

    @pytest.mark.parametrize(("key", "value"), [("widths", [0]), ("patch", 2.0), ("blocks", 900), ("fine", -1)])
    def test_impossible_shapes_are_refused(self, made, key, value):
        config = config_of(made.model, made.settings)
        with pytest.raises(WeightsError, match=rf"config\.shape\.{key}.*expected.*fetch the file again"):
            FAMILY.build(made.model.network.state_dict(), config | {"shape": config["shape"] | {key: value}}, made.card)

    def test_card_and_tensors_must_fit(self, made, engression_of):
        config, tensors = config_of(made.model, made.settings), made.model.network.state_dict()
        for card in (replace(made.card, bands=3), replace(made.card, aligned=True)):
            with pytest.raises(WeightsError, match="card disagree"):
                FAMILY.build(tensors, config, card)
        other = engression_of(2).model.network.state_dict()
        for wrong in ({}, other, {**tensors, "more": torch.zeros(1)}):
            with pytest.raises(WeightsError, match="fetch the file again"):
                FAMILY.build(wrong, config, made.card)
