"""Stretch of fluxes, and the training data that the flow makes of clean images."""

import math
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import avg_pool2d, interpolate

from gensr.generators.flow.degrade import LOUD, QUIET, Recipe, observe
from gensr.generators.flow.hint import hint
from gensr.priors.stretch import FARTHEST, Stretch

SKY = Stretch(0.3, 6500.0)
CLEAN = Recipe(((2, 1.0),), noisy=0.0, gaps=0.0, smooth=0.0)


def draw(seed=0):
    return torch.Generator().manual_seed(seed)


class TestStretch:
    @pytest.mark.parametrize("stretch", [Stretch(), SKY, Stretch(2.0, 1.0)])
    def test_inverse(self, stretch):
        brightest = 3.8 if stretch is SKY else 0.4
        x = torch.cat([-torch.logspace(-6, 0.4, 50), torch.zeros(1), torch.logspace(-6, brightest, 50)])
        torch.testing.assert_close(stretch.inverse(stretch.forward(x)), x, rtol=1e-5, atol=1e-6)

    def test_zero_and_top(self):
        assert SKY.forward(torch.tensor([0.0, 6500.0])).tolist() == pytest.approx([0, 1])
        assert not SKY.linear
        assert Stretch().linear

    @pytest.mark.parametrize("stretch", [SKY, Stretch(2.0, 1.0)])
    def test_slope_is_the_derivative_of_the_inverse(self, stretch):
        u = torch.linspace(-2.9, 2.9, 59, dtype=torch.float64, requires_grad=True)
        (slope,) = torch.autograd.grad(stretch.inverse(u).sum(), u)
        torch.testing.assert_close(stretch.slope(u.detach()), slope)

    def test_the_identity_has_slope_one(self):
        assert Stretch().slope(torch.rand(3)) == 1.0

    def test_far_values_are_clamped_and_finite(self):
        far = torch.tensor([FARTHEST, 10.0, 1e9])
        assert len(set(SKY.inverse(far).tolist())) == 1
        assert len(set(SKY.inverse(-far).tolist())) == 1
        steepest = Stretch(1.0, math.sinh(24.9))
        assert bool(steepest.inverse(far).isfinite().all())

    def test_survives_its_configuration(self):
        for stretch in (Stretch(), SKY):
            assert Stretch.from_config(stretch.to_config()) == stretch

    @pytest.mark.parametrize(
        "config",
        [
            {"softening": 0.0}, {"softening": -1.0}, {"softening": float("nan")}, {"softening": float("inf")},
            {"softening": 1.0, "top": 0.0}, {"softening": 1.0, "top": float("nan")}, {"top": -1.0},
            {"softening": 1e-300, "top": 1e300}, {"softening": 1e9, "top": 1.0}, {"softening": "wide"},
        ],
    )  # fmt: skip
    def test_the_impossible_is_refused(self, config):
        with pytest.raises(ValueError):  # noqa: PT011
            Stretch.from_config(config)


class TestObserve:
    @pytest.mark.parametrize("factor", [2, 3, 4])
    @pytest.mark.parametrize("stretch", [Stretch(), SKY])
    def test_clean_data_are_block_means(self, factor, stretch):
        x = torch.rand(3, 2, 24, 24)
        y = avg_pool2d(x, factor)
        expected = hint(stretch.forward(y), torch.zeros_like(y), torch.ones_like(y, dtype=torch.bool), (factor,) * 2)
        found = observe(x, factor, CLEAN, stretch, draw())
        for name in ("base", "known", "noise", "given", "factor"):
            torch.testing.assert_close(getattr(found, name), getattr(expected, name))

    def test_some_data_come_from_a_smooth_kernel(self):
        x = torch.rand(4, 1, 16, 16)
        found = observe(x, 2, replace(CLEAN, smooth=1.0), Stretch(), draw())
        y = interpolate(x, size=(8, 8), mode="bicubic", antialias=True, align_corners=False)
        torch.testing.assert_close(found.base, interpolate(y, scale_factor=2, mode="bicubic", align_corners=False))
        flux = observe(x, 2, replace(CLEAN, smooth=1.0, flux=True), Stretch(), draw())
        torch.testing.assert_close(flux.base, observe(x, 2, CLEAN, Stretch(), draw()).base)

    @pytest.mark.parametrize("flux", [False, True])
    def test_noise_has_the_deviation_that_is_claimed(self, flux):
        """Data are taken from the base of factor 1, where nothing is interpolated."""
        recipe = replace(CLEAN, noisy=1.0, flux=flux)
        x = torch.full((64, 1, 64, 64), 0.5)
        found = observe(x, 1, recipe, Stretch(), draw(2))
        told = found.noise.mean((1, 2, 3))
        seen = (found.base - 0.5).std((1, 2, 3))
        torch.testing.assert_close(seen / told, torch.ones(64), rtol=0, atol=0.05)
        assert float(told.min()) >= QUIET * 0.999
        assert float(told.max()) > 0.05

    def test_noise_is_told_in_units_of_the_network(self):
        recipe = replace(CLEAN, noisy=1.0, flux=True)
        x = torch.full((64, 1, 32, 32), 2000.0)
        found = observe(x, 1, recipe, SKY, draw(3))
        seen, told = found.base.std((1, 2, 3)), found.noise.mean((1, 2, 3))
        assert (seen / told - 1).abs().max() < 0.1

    def test_photon_noise_grows_with_the_light(self):
        recipe = replace(CLEAN, noisy=1.0, flux=True)
        x = torch.cat([torch.zeros(32, 1, 8, 4), torch.full((32, 1, 8, 4), 400.0)], -1)
        noise = observe(x, 1, recipe, Stretch(), draw(4)).noise
        dark, bright = noise[..., 0, 0], noise[..., 0, -1]
        assert float(dark.max()) <= LOUD * 1.001
        assert float((bright > 1.5 * dark).float().mean()) > 0.8

    def test_gaps_are_told_and_filled(self):
        x = torch.full((32, 1, 32, 32), 0.3)
        found = observe(x, 4, replace(CLEAN, gaps=1.0), Stretch(), draw(5))
        lost = (found.known == 0).flatten(1).float().mean(1)
        assert float(lost.min()) > 0
        assert float(lost.max()) <= 0.4
        torch.testing.assert_close(found.base, x)

    def test_the_same_generator_makes_the_same_data(self):
        x, recipe = torch.rand(4, 1, 16, 16), Recipe(((2, 1.0),))
        same = [observe(x, 2, recipe, Stretch(), draw(seed)).base for seed in (7, 7, 8)]
        assert torch.equal(same[0], same[1])
        assert not torch.equal(same[0], same[2])
