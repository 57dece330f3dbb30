"""Fluxes: what the network is told of them, bright data, gaps, exactness, units, and training on them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from gensr.errors import SearchError, UsageError
from gensr.generators.engression import FAMILY
from gensr.generators.engression.fluxes import FIRST, NEAR, errors, in_sums, reconciled, share, stretched
from gensr.generators.engression.generator import Engression
from gensr.generators.engression.instruments import Recipe, instrument, observe
from gensr.generators.engression.pictures import Fields, Variation
from gensr.generators.engression.prior import Prior
from gensr.generators.engression.training import save
from gensr.operators import Area, GaussianPSF
from gensr.operators.scaled import unit_gain
from gensr.priors import weights
from gensr.priors.observation import Observation
from gensr.priors.stretch import NOISE_UNIT, SOFTENING, TOP, Stretch
from gensr.values.normalise import AffineNormaliser
from gensr.values.random import Stream

STRETCH = Stretch(SOFTENING, TOP)
SKY = Prior(0.03, 2e-8, 0.05, 5.9)
NOISE = 1 / NOISE_UNIT


@pytest.fixture
def made(engression_of):
    toy = engression_of()
    return Engression(replace(toy.model, prior=SKY, stretch=STRETCH), toy.card, replace(toy.settings, side=32))


def stars(n=4, side=32, seed=0):
    draw = torch.Generator().manual_seed(seed)
    x = torch.zeros(n, 1, side, side)
    at = torch.randint(2, side - 2, (n, 2), generator=draw)
    for i, (row, col) in enumerate(at.tolist()):
        x[i, 0, row - 1 : row + 2, col - 1 : col + 2] += 300.0 * (i + 1)
    return x


def seen(x, factor=2, noise=NOISE, seed=1):
    operator = Area(factor)
    y = operator.forward(x)
    y = y + noise * torch.randn(y.shape, generator=torch.Generator().manual_seed(seed))
    usable = torch.ones_like(y, dtype=torch.bool)
    return Observation(y, operator, torch.full_like(y, noise**2), usable, exact=noise == 0)


def white(data, seed=0):
    shape = (*data.y.shape[:2], *data.shape)
    return lambda step: Stream(seed).child("step", step).normal(shape)


class TestWhatItIsTold:
    def test_flat_fluxes_come_back(self):
        for flux in (0.0, 1.0, 500.0):
            data = seen(torch.full((1, 1, 32, 32), flux), noise=0.0)
            told = stretched(data, SKY, STRETCH)
            assert told.leeway is None
            torch.testing.assert_close(
                STRETCH.inverse(told.mean), torch.full_like(told.mean, flux), rtol=2e-3, atol=1e-3
            )

    def test_noise_is_in_network_units(self):
        for flux in (0.0, 100.0):
            data = replace(seen(torch.full((1, 1, 16, 16), flux)), y=torch.full((1, 1, 8, 8), flux))
            step = STRETCH.forward(torch.tensor(flux + 1e-2)) - STRETCH.forward(torch.tensor(flux - 1e-2))
            expected = NOISE * float(step) / 2e-2
            assert float(stretched(data, SKY, STRETCH).noise.mean()) == pytest.approx(max(expected, 5e-4), rel=0.02)


class TestBrightData:
    def off_by_its_share(self, flux):
        """Samples right to `share` of a flux, beside the noise that right ones have."""
        draw = torch.Generator().manual_seed(3)
        truth = torch.full((1, 1, 256, 256), flux)
        data = seen(truth)
        own = NOISE * torch.randn(data.y.shape, generator=draw) + FIRST * flux * torch.randn(
            data.y.shape, generator=draw
        )
        blocks = (data.y + own).repeat_interleave(2, -2).repeat_interleave(2, -1)
        rest = torch.tensor([0.5, -0.5]).repeat(128) * NOISE
        return data, blocks + rest

    @pytest.mark.parametrize(("flux", "near"), [(0.0, 0.03), (NOISE / FIRST, 0.12), (30.0, 0.03), (1000.0, 0.03)])
    def test_residuals_of_samples_become_noise(self, flux, near):
        data, x = self.off_by_its_share(flux)
        noise = torch.randn(data.y.shape, generator=torch.Generator().manual_seed(4))
        after = reconciled(x, torch.ones_like(x), data, noise)
        rest = data.y - data.operator.forward(after)
        assert float(rest.square().mean()) / NOISE**2 == pytest.approx(1.0, abs=near)
        # What the instrument does not see stays.
        blocks = data.operator.forward(x).repeat_interleave(2, -2).repeat_interleave(2, -1)
        others = data.operator.forward(after).repeat_interleave(2, -2).repeat_interleave(2, -1)
        torch.testing.assert_close(after - others, x - blocks, rtol=0, atol=1e-4 * max(flux, 1))

    def test_large_factors_are_less_right(self):
        assert share(Area(8)) == pytest.approx(2 * share(Area(4)))
        assert share(Area((2, 8))) == share(Area(4)) == FIRST

    def test_the_sky_is_left_alone_and_bright_means_follow_their_data(self):
        data, x = self.off_by_its_share(0.0)
        torch.testing.assert_close(reconciled(x, torch.ones_like(x), data), x, rtol=0, atol=0.01 * NOISE)
        assert float((reconciled(x, torch.ones_like(x), data) - x).mean().abs()) < 1e-4 * NOISE
        data, x = self.off_by_its_share(1000.0)
        before, after = (data.y - data.operator.forward(z) for z in (x, reconciled(x, torch.ones_like(x), data)))
        kept = NOISE**2 / (NOISE**2 + (FIRST * 1000) ** 2)
        assert float((after * before).mean() / before.square().mean()) == pytest.approx(kept, rel=0.05)

    def test_a_network_that_is_lost_is_led_by_the_data(self):
        """A ramp where a sky was expected: off by eight deviations of the noise, data that are not bright."""
        data = seen(torch.zeros(1, 1, 64, 64))
        x = torch.full((1, 1, 64, 64), 8 * NOISE)
        noise = torch.randn(data.y.shape, generator=torch.Generator().manual_seed(4))
        after = reconciled(x, torch.ones_like(x), data, noise)
        rest = data.y - data.operator.forward(after)
        assert float(rest.square().mean()) / NOISE**2 == pytest.approx(1.0, abs=0.15)

    def test_gaps_hide_nothing_of_a_network_that_is_lost(self):
        data = seen(torch.zeros(1, 1, 64, 64))
        draw = torch.Generator().manual_seed(5)
        data.usable[:] = torch.rand(data.usable.shape, generator=draw) < 0.35
        x = torch.full((1, 1, 64, 64), 4 * NOISE)
        noise = torch.randn(data.y.shape, generator=draw)
        rest = (data.y - data.operator.forward(reconciled(x, torch.ones_like(x), data, noise)))[data.usable]
        assert float(rest.square().mean()) / NOISE**2 == pytest.approx(1.0, abs=0.25)

    def test_gaps_change_nothing(self):
        data, x = self.off_by_its_share(1000.0)
        data.usable[..., :64, :] = False
        after = reconciled(x, torch.ones_like(x), data, torch.zeros_like(data.y))
        assert torch.equal(after[..., :128, :], x[..., :128, :])
        assert not torch.equal(after[..., 128:, :], x[..., 128:, :])


class TestGenerator:
    def test_sums_of_blocks_alone(self, made):
        for operator in (Area(2), Area((1, 4)), unit_gain(Area(4, total=True))):
            assert made.closed(operator)
        for operator in (Area(1), Area(32), GaussianPSF(2, 0.5)):
            assert not made.closed(operator)
        with pytest.raises(SearchError, match="answers sums of blocks, with factors up to 16"):
            made.posterior(replace(seen(stars()), operator=GaussianPSF(2, 0.5)))
        assert made.flux

    def test_units_are_deviations_of_the_noise(self, made):
        assert made.normaliser(AffineNormaliser((0.5,), (0.0,)), 4).gain == (8.0,)

    def test_exact_data_are_explained(self, made):
        data = seen(stars(), noise=0.0)
        for x in (made.posterior(data).mean, made.draw(data, white(data))):
            rest = (data.operator.forward(x) - data.y).abs()
            assert float((rest / data.y.abs().clamp(min=1)).max()) < 1e-5

    def test_bright_data_rule_whatever_the_network_says(self, made):
        data = seen(stars())
        bright = data.y > 200
        assert int(bright.sum()) >= 4
        for x in (made.posterior(data).mean, made.draw(data, white(data)), made.draw(data, white(data, 1))):
            rest = (data.operator.forward(x) - data.y)[bright]
            assert float(rest.abs().max()) < 5 * NOISE
        assert not torch.equal(made.draw(data, white(data)), made.draw(data, white(data, 1)))

    def test_a_draw_alone_is_the_draw_among_others(self, made):
        data = seen(stars())
        noise = white(data)
        one = replace(data, **{k: getattr(data, k)[2:3] for k in ("y", "variance", "usable")})
        alone = made.draw(one, lambda step: noise(step)[2:3])
        torch.testing.assert_close(alone, made.draw(data, noise)[2:3], rtol=1e-4, atol=1e-4)

    def test_through_a_file(self, made, tmp_path):
        save(tmp_path / "toy.safetensors", made, made.card)
        back, _ = weights.load(str(tmp_path / "toy.safetensors"))
        assert back.flux
        assert back.model.stretch == STRETCH

    def test_out_of_noise_come_fluxes(self, made):
        latents = made.latents((16, 16)).sample([Stream(k) for k in range(2)])
        x = made.synthesize(latents, (16, 16))
        assert x.shape == (2, 1, 16, 16)
        told = made.model.stretch.forward(x)
        assert float((told - made.model.prior.mean).abs().mean()) > 1e-3
        assert not torch.equal(x[0], x[1])


class TestTraining:
    @pytest.fixture
    def options(self, tmp_path):
        np.savez(tmp_path / "sky.npz", (0.1 * stars(16, 40)[:, 0]).numpy())
        return {
            "domain": "astronomy", "data": str(tmp_path / "sky.npz"), "output": str(tmp_path), "steps": "4",
            "unit": "0.1", "name": "toy", "widths": "8,12", "side": "32", "batch": "4", "device": "cpu",
        }  # fmt: skip

    def test_from_fields_to_a_generator_of_fluxes(self, options, tmp_path):
        found, stored = weights.load(str(FAMILY.train({**options, "held": options["data"]}, None)))
        assert found.flux
        assert found.scaling == {"unit": 0.1}
        assert stored.card.unit.startswith("16 noise deviations of a datum are 1")
        assert (tmp_path / "toy.training" / "validation.csv").read_text().count("astronomy") == 6

    def test_what_cannot_be(self, options, tmp_path):
        for unit, message in (("1e-9", "reach more than 60000 times that"), ("1e9", "the noise of an empty pixel")):
            with pytest.raises(UsageError, match=message):
                FAMILY.train({**options, "unit": unit, "name": "other"}, None)
        with pytest.raises(UsageError, match="unit= is missing: astronomy values are fluxes"):
            FAMILY.train({k: v for k, v in options.items() if k != "unit"}, None)
        with pytest.raises(UsageError, match="share no network with other domains"):
            FAMILY.train({**options, "domain": "astronomy,satellite", "data": f"{options['data']};a"}, None)
        plain = {k: v for k, v in options.items() if k != "widths"}
        with pytest.raises(UsageError, match=r"fluxes .unit=. and other values share no network"):
            FAMILY.train({**plain, "init": "engression-field"}, None)

    def test_instruments_sum_and_their_camera_counts_photons(self):
        draw = torch.Generator().manual_seed(0)
        recipe = Recipe(noisy=1.0, quiet=0.06, loud=0.06, uneven=0.0, flux=True)
        for _ in range(20):
            operator = instrument(recipe, draw)
            assert isinstance(operator, Area)
            assert max(operator.factor) > 1
        x = torch.zeros(64, 1, 8, 8)
        x[..., :4] = 1000.0
        data = observe(x, Area(2), recipe, draw)
        sky, bright = data.variance[..., 2:], data.variance[..., :2]
        torch.testing.assert_close(sky, torch.full_like(sky, 0.06**2))
        assert 0.8 < float((bright > 0.06**2 * 1.5).float().mean()) < 1.0

    def test_fields_vary_in_brightness_alone(self):
        images = [np.abs(np.random.default_rng(i).normal(0, 5, (1, 16, 16))).astype(np.float32) for i in range(4)]
        one = Fields(images, 0, 100, 16, Variation(0.5, 0, 0, 0, 0, 0), unit=2.0)
        batch = one.batch(32, torch.Generator().manual_seed(0))
        for picture in batch:
            ratios = [picture.sum() / (torch.from_numpy(image) / 2).sum() for image in images]
            assert any(
                torch.allclose(
                    picture.flatten().sort().values, r * torch.from_numpy(i / 2).flatten().sort().values, rtol=5e-3
                )
                for r, i in zip(ratios, images, strict=True)
            )
        assert float(batch.mean((1, 2, 3)).log().std()) == pytest.approx(0.5, abs=0.2)

    def test_sums_are_asked_to_the_share_that_a_network_can_know(self):
        data = seen(stars())
        asked = in_sums(data)
        bright = (data.y - 3 * NOISE).clamp(min=0)
        torch.testing.assert_close(asked.variance, data.variance + (FIRST * bright).square())
        x = stars()
        far = errors(STRETCH.forward(x) + 1.0, x, STRETCH)
        torch.testing.assert_close(far, STRETCH.inverse(STRETCH.forward(x) + NEAR) - x)
        near = errors(STRETCH.forward(x + 0.1), x, STRETCH)
        torch.testing.assert_close(near, torch.full_like(near, 0.1), rtol=0, atol=5e-3)
