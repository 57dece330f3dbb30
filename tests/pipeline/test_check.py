"""Figures and verdict of windows, by hand; and what the exactly known generator, right and wrong, is told of itself."""

import math
from dataclasses import replace
from statistics import NormalDist

import numpy as np
import pytest
import torch

from gensr.operators.lanczos import lanczos
from gensr.pipeline.check import Z, figures
from gensr.pipeline.coarsened import Compared
from gensr.pipeline.trial import tried
from gensr.pipeline.verdict import Checked, Figures, blank
from gensr.priors.observation import Moments
from gensr.scenes.arrays import ArrayScene
from gensr.values.grid import Window
from gensr.values.noise import GaussianNoise


def window(lanczos=2.0, mean=1.0, std=1.0, noise=0.0, data=None, shape=(1, 64, 64), truth=10.0, draws=None, use=None):
    """A window with errors as given; numbers or arrays."""

    def full(x):
        return np.broadcast_to(np.asarray(x, float), shape).copy()

    return Compared(
        0, Window(0, 0, *shape[1:]), full(truth), full(truth), full(noise), full(noise if data is None else data),
        full(truth) + lanczos, full(truth) + mean, full(std), None if draws is None else full(draws),
        np.ones(shape, bool) if use is None else use,
    )  # fmt: skip


def test_figures_by_hand():
    """Errors 2 and 1: 6.02 dB. With a deviation of 0.5 every datum is 2 > 1.645 out: the factor is 1.216."""
    found = figures([window(std=0.5, noise=0.0, draws=0.6)], ["a"], [1.0])
    band = found.bands[0]
    assert band.gain == pytest.approx(20 * math.log10(2))
    assert band.doubt == pytest.approx(0, abs=1e-6)
    assert (band.coverage, band.bias, band.pixels) == (0.0, 1.0, 64 * 64)
    assert math.isnan(band.shift)
    assert band.stated == pytest.approx(0.25)
    assert band.spread == pytest.approx(0.6)
    assert found.factors == (pytest.approx(2 / Z),)
    assert band.calibrated == 1.0
    assert found.over_all == band


def test_noise_of_the_data_is_taken_off_both_errors_and_added_to_intervals():
    """Squares 4 and 1 of noise variance 0.5: 3.5 against 0.5; |1| <= 1.645 sqrt(0.6 + 0.1), but not with 0.1 + 0.1."""
    assert figures([window(noise=0.5)], ["a"], [1.0]).over_all.gain == pytest.approx(10 * math.log10(7))
    for variance, covered in ((0.1, 0.0), (0.6, 1.0)):
        found = figures([window(std=variance**0.5, noise=0.1, data=0.04)], ["a"], [1.0]).over_all
        assert found.coverage == covered
        assert found.shift == pytest.approx(1 / 0.2)
    hidden = figures([window(noise=1.5)], ["a"], [1.0]).over_all
    assert math.isnan(hidden.gain)
    assert math.isnan(hidden.stated)


def test_the_factor_of_the_card_acts_on_coverage_and_not_on_the_new_factor():
    """One wide deviation covers what the raw one does not; calibrate=self says how far to scale the raw one."""
    narrow, wide = (figures([window(std=0.5)], ["a"], [card]) for card in (1.0, 2.0))
    assert (narrow.over_all.coverage, wide.over_all.coverage) == (0.0, 1.0)
    assert narrow.factors[0] == pytest.approx(2 / Z)
    assert wide.factors == (2.0,)  # four cells do not prove intervals too wide
    many = [window(std=0.5) for _ in range(3)]
    assert figures(many, ["a"], [2.0]).factors[0] == pytest.approx(2 / Z)


def test_no_factor_where_noise_hides_errors_or_nothing_is_stated_or_there_is_little():
    assert figures([window(std=0.5, noise=1.1)], ["a"], [1.0]).unfitted == ("a",)
    assert figures([window(std=0.5, noise=0.9)], ["a"], [1.0]).unfitted == ()
    assert figures([window(std=0.0)], ["a"], [1.0]).unfitted == ("a",)
    assert figures([window(shape=(1, 19, 21))], ["a"], [1.0]).unfitted == ("a",)
    assert figures([window(shape=(1, 20, 20))], ["a"], [1.0]).unfitted == ()
    both = figures([window(std=np.array([0.5, 0.0])[:, None, None], shape=(2, 64, 64))], ["a", "b"], [1.0, 3.0])
    assert both.unfitted == ("b",)
    assert both.scales([1.0, 3.0]) == (pytest.approx(2 / Z, rel=1e-3), 3.0)


def test_bands_count_alike_whatever_their_scale():
    """Band 1 gains 20 dB, band 2 on a scale of 1000 loses 6.02: the mean of both is said."""
    errors = np.array([10.0, 1000.0])[:, None, None], np.array([1.0, 2000.0])[:, None, None]
    found = figures([window(*errors, std=np.array([1.0, 9e3])[:, None, None], shape=(2, 64, 64))], "ab", [1.0, 1.0])
    assert [band.gain for band in found.bands] == [pytest.approx(20), pytest.approx(-6.0206, abs=1e-4)]
    assert found.over_all.gain == pytest.approx((20 - 6.0206) / 2, abs=1e-4)
    assert found.over_all.coverage == 1.0
    assert found.over_all.pixels == 2 * 64 * 64
    assert list(found.describe()["bands"]) == ["a", "b"]


def test_only_what_may_be_compared_counts():
    use = np.zeros((1, 64, 64), bool)
    use[0, :32] = True
    errors = np.where(use, 1.0, 1e9)
    found = figures([window(mean=errors, use=use)], ["a"], [1.0]).over_all
    assert found.gain == pytest.approx(20 * math.log10(2))
    assert found.pixels == 2048
    nothing = figures([window(use=np.zeros((1, 64, 64), bool))], ["a"], [1.0])
    assert nothing.over_all == Figures()
    assert nothing.verdict == "nothing on this image could be compared"
    assert figures([], ["a"], [1.0]) == blank(["a"])


def test_the_standard_error_is_that_of_cells():
    """Gains of n cells with errors 1 and 2 in turn scatter; a gain that is equal in all cells has no error."""
    rows = np.repeat([1.0, 2.0], 32)[None, :, None]
    scattered = figures([window(mean=rows), window(mean=rows)], ["a"], [1.0]).over_all
    # Mean squares of the prior are 1, 1, 4, 4 twice; left out, one of eight: (20 - 1) / 7 or (20 - 4) / 7.
    left = [10 * math.log10(4 / ((20 - square) / 7)) for square in (1, 4)] * 4
    assert scattered.doubt == pytest.approx(math.sqrt(7 * np.var(left)))
    assert math.isnan(figures([window(shape=(1, 32, 64))], ["a"], [1.0]).over_all.doubt)


def lanczos_error(block, noise, pixel):
    """Of white pixels of variance ``pixel`` from 2 x 2 means of variance ``block + noise``, by the kernel's weights."""
    weights = lanczos(np.array([0.25, 0.75, 1.25, 1.75, 2.25, 2.75]))
    weights = weights / weights.sum()
    return pixel + (weights**2).sum() ** 2 * (block + noise) - 2 * weights[0] ** 2 * block


class Overconfident:
    """Mixed into the exactly known generator: its variance is four times too small."""

    def posterior(self, data, options=None):
        right = super().posterior(data)
        return Moments(right.mean, right.variance / 4)


class Inventive:
    """Mixed in: a chequered pattern of 1.5 deviations that is not there, and that block means cannot show."""

    def posterior(self, data, options=None):
        right = super().posterior(data)
        rows, cols = (torch.arange(n) for n in right.mean.shape[-2:])
        return Moments(right.mean + 0.15 * (1 - 2 * ((rows[:, None] + cols) % 2)), right.variance)


@pytest.fixture
def check(plan):
    """What white images (values 50 with deviation 10, noise ``noise``) say of a generator."""

    def make(generator=None, noise=5.0, side=256, **words):
        rng = np.random.default_rng(5)
        values = 50 + 10 * rng.standard_normal((side, side)) + noise * rng.standard_normal((side, side))
        made = plan(values, generator, noise=noise, check="off", **words)
        return figures(tried(made.scene, made.task, draws=4), made.scene.bands, made.task.conformal)

    return make


@pytest.mark.parametrize("noise", [5.0, 0.5])
def test_a_right_prior_gains_what_it_must_and_covers_90(check, noise):
    """Blocks have variance 25; with noise v the mean has the squared error 100 - 25^2 / (25 + v)."""
    found = check(noise=noise)
    square = 100 - 625 / (25 + noise**2)
    expected = 10 * math.log10(lanczos_error(25, noise**2, 100) / square)
    assert expected > 0.15
    assert found.over_all.gain == pytest.approx(expected, abs=0.1)
    assert found.over_all.coverage == pytest.approx(0.9, abs=0.01)
    assert found.over_all.stated == pytest.approx(1, abs=0.05)
    assert found.over_all.spread == pytest.approx(1, abs=0.1)
    assert found.over_all.shift == pytest.approx(0, abs=0.1)
    assert found.factors[0] == pytest.approx(1, abs=0.05)
    assert found.verdict.startswith("on this image the prior gains 0.") or expected >= 0.95
    assert found.verdict.endswith("and its intervals hold (90 % cover 90 %)")
    assert found.warnings == []


def test_a_variance_four_times_too_small_is_found_out(check, white):
    """The interval holds 87.5 / 4 + 100 / 3 of a variance of 87.5 + 100 / 3: 73 %; the factor is 2."""
    found = check(type("Bold", (Overconfident, white), {})("posterior", "draw"))
    ratio = math.sqrt((87.5 / 4 + 100 / 3) / (87.5 + 100 / 3))
    assert found.over_all.coverage == pytest.approx(2 * NormalDist().cdf(Z * ratio) - 1, abs=0.015)
    assert found.factors[0] == pytest.approx(2, abs=0.1)
    assert found.over_all.calibrated == pytest.approx(0.9, abs=0.01)
    assert found.over_all.stated == pytest.approx(0.25, abs=0.02)
    assert found.verdict.endswith("but its intervals are too narrow (90 % cover 73 %): use calibrate=self")
    assert found.warnings == [f"tried on its own data coarsened by the factor: {found.verdict}"]


def test_a_wrong_prior_loses_and_the_verdict_says_so(check, white):
    """The pattern of 15 adds 225 to the squared error of 87.5; the same with the other sign is as wrong: no bias."""
    found = check(type("Wrong", (Inventive, white), {})("posterior", "draw"))
    expected = 10 * math.log10(lanczos_error(25, 25, 100) / (87.5 + 225))
    assert expected < -4
    assert found.over_all.gain == pytest.approx(expected, abs=0.1)
    assert found.over_all.bias == pytest.approx(0, abs=0.3)
    assert found.over_all.loses
    assert found.verdict.startswith(
        f"on this image the prior loses {-found.over_all.gain:.1f} dB to Lanczos: try another generator or train one, "
    )
    assert len(found.warnings) == 1


def test_units_do_not_matter(make_task):
    """Values of 1e-30 above a base of 1e-27, whose squares only double precision holds."""
    values = 50 + 10 * np.random.default_rng(0).standard_normal((64, 64))
    found = []
    for unit, base in ((1.0, 0.0), (1e-30, 1e-27)):
        task = make_task(gain=(100 * unit,), offset=(base,), noise_model=GaussianNoise(5 * unit))
        found.append(figures(tried(ArrayScene(base + unit * values), task), ["1"], [1.0]).over_all)
    plain, tiny = found
    assert (tiny.gain, tiny.coverage) == (pytest.approx(plain.gain, rel=1e-3), pytest.approx(plain.coverage, abs=1e-3))
    assert tiny.bias == pytest.approx(plain.bias * 1e-30, rel=1e-2)


def verdict(gain, coverage=0.9, own=False, **more):
    return Checked(Figures(gain, 0.01, coverage, 0.001, pixels=9, **more), (), (), (), 1, own)


@pytest.mark.parametrize(
    ("found", "says", "warns"),
    [
        (
            verdict(1.14),
            "on this image the prior gains 1.1 dB over Lanczos and its intervals hold (90 % cover 90 %)",
            0,
        ),
        (
            verdict(0.05),
            "no better than interpolation here (+0.05 dB): try another generator or train one; its intervals hold "
            "(90 % cover 90 %)",
            0,
        ),
        (
            verdict(-0.5, 0.71),
            "on this image the prior loses 0.5 dB to Lanczos: try another generator or train one, and its intervals "
            "are too narrow (90 % cover 71 %): use calibrate=self",
            1,
        ),
        (
            verdict(1.0, 0.99),
            "on this image the prior gains 1.0 dB over Lanczos, but its intervals are too wide (90 % cover 99 %): use "
            "calibrate=self",
            1,
        ),
        (
            verdict(1.0, 0.71, own=True),
            "on this image the prior gains 1.0 dB over Lanczos, but its intervals are too narrow (90 % cover 71 %)",
            1,
        ),
        (
            verdict(math.nan),
            "on this image noise hides whether the prior or interpolation is better; its intervals hold (90 % cover "
            "90 %)",
            0,
        ),
        (verdict(2.0, math.nan), "on this image the prior gains 2.0 dB over Lanczos", 0),
    ],
)
def test_verdicts(found, says, warns):
    assert found.verdict == says
    assert len(found.warnings) == warns


def test_warnings_wait_until_there_is_no_doubt():
    doubtful = Checked(Figures(-0.3, 0.2, 0.8, 0.06, pixels=9), (), (), (), 1)
    assert doubtful.warnings == []
    assert Checked(replace(doubtful.over_all, doubt=0.1), (), (), (), 1).over_all.loses
    assert Checked(replace(doubtful.over_all, wobble=0.04), (), (), (), 1).over_all.narrow
    assert Figures(1.0, coverage=0.99, wobble=0.2, pixels=9).wide


def test_calibrated_figures_promise_what_was_measured_elsewhere():
    found = Checked(Figures(1.0, 0.1, 0.7, 0.01, 0.89, pixels=9), (Figures(coverage=0.7),), ("a",), (2.0,), 1)
    own = found.calibrated()
    assert (own.own, own.over_all.coverage) == (True, 0.89)
    assert own.bands[0].coverage == 0.7  # nothing was fitted there
    assert "hold (90 % cover 89 %)" in own.verdict
