"""The linear estimate against the dense solution, in double precision, for every instrument."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from gensr.generators.engression.instruments import track
from gensr.generators.engression.linear import QUIET, Estimate, correction, estimate, phases_without_data
from gensr.generators.engression.prior import Prior, cosines, filtered, fit, frequencies, from_cosines, modes
from gensr.generators.engression.response import framed, phases, probed, response
from gensr.operators import Area, Bicubic, GaussianPSF, KSpaceCrop, Lanczos, MeasuredPSF
from gensr.operators.scaled import unit_gain
from gensr.priors.observation import Observation

PRIOR = Prior(0.4, 2e-3, 0.05, 2.2)
DISC = (np.hypot(*np.mgrid[-2:3, -2:3]) < 2.3) * 1.0
SKEW = np.array([[0.0, 0.1, 0.0], [0.3, 1.0, 0.5], [0.0, 0.0, 0.7]])
MAKERS = {
    "mean": Area,
    "sum": lambda s: unit_gain(Area(s, total=True)),
    "gaussian": lambda s: GaussianPSF(s, 0.6),
    "wide": lambda s: GaussianPSF(s, 2.5),
    "disc": lambda s: MeasuredPSF(s, DISC),
    "bicubic": Bicubic,
    "lanczos": Lanczos,
    "kspace": KSpaceCrop,
    "hamming": lambda s: KSpaceCrop(s, "hamming"),
}
FACTORS = (1, 2, 3, (2, 4), 8)


def pair(factor):
    return factor if isinstance(factor, tuple) else (factor, factor)


def small(factor):
    """Data of at most 24 x 24 pixels of image."""
    fy, fx = pair(factor)
    return (max(2, 20 // fy), max(2, 24 // fx))


def matrix(function, shape):
    unit = torch.eye(shape[0] * shape[1], dtype=torch.float64).reshape(-1, *shape)
    return function(unit).flatten(1).T


def dense(data, prior, band=0):
    """Mean and covariance of the first image, from matrices."""
    operator, (rows, cols) = data.operator, data.shape
    periodic = not operator.local
    f = torch.empty(0, dtype=torch.float64)
    power = prior.power(frequencies(rows, periodic, f), frequencies(cols, periodic, f))
    c = matrix(lambda x: filtered(x, power, periodic), (rows, cols))
    a = matrix(operator.forward, (rows, cols))
    kept = data.usable[0, band].flatten()
    a, y = a[kept], data.y[0, band].flatten()[kept]
    noise = data.variance[0, band].flatten()[kept]
    gain = c @ a.T @ torch.linalg.inv(a @ c @ a.T + torch.diag(noise))
    mean = prior.mean + gain @ (y - prior.mean)
    return mean.reshape(rows, cols), c - gain @ a @ c


def observed(operator, shape, deviation=0.02, seed=0, dtype=torch.float64):
    draw = torch.Generator().manual_seed(seed)
    y = torch.rand(2, 1, *shape, generator=draw, dtype=torch.float64).to(dtype)
    return Observation(y, operator, torch.full_like(y, deviation**2), torch.ones_like(y, dtype=torch.bool))


def sample(data):
    """Images of the prior for these data."""
    periodic = not data.operator.local
    power = PRIOR.power(*(frequencies(n, periodic, data.y) for n in data.shape))
    white = torch.randn(len(data.y), 1, *data.shape, dtype=torch.float64)
    return PRIOR.mean + filtered(white, power.sqrt(), periodic)


def holed(operator, shape, gap):
    """Data of the prior's images with a gap, and noise that varies ninefold in variance."""
    data = observed(operator, shape)
    usable = data.usable.clone()
    if gap == "hole":
        usable[..., :2, 3:6] = False
    else:
        usable = torch.rand(usable.shape) > 0.2
    variance = data.variance * (1 + 9 * torch.rand(data.y.shape, dtype=torch.float64))
    y = operator.forward(sample(data)) + variance.sqrt() * torch.randn_like(data.y)
    return replace(data, y=y, usable=usable, variance=variance)


class TestModes:
    @pytest.mark.parametrize("n", [1, 2, 3, 8, 15])
    def test_cosines_are_those_of_the_definition(self, n):
        x = torch.randn(3, n, 4, dtype=torch.float64)
        k, i = torch.arange(n).double()[:, None], torch.arange(n).double()
        basis = torch.cos(torch.pi * k * (i + 0.5) / n)
        torch.testing.assert_close(cosines(x, 1), torch.einsum("ki,bij->bkj", basis, x))
        torch.testing.assert_close(from_cosines(cosines(x, 1), 1), x)

    def test_the_fit_finds_the_prior_that_made_the_images(self):
        true = Prior(0.3, 5e-4, 0.03, 2.4)
        f = torch.empty(0)
        power = true.power(frequencies(64, True, f), frequencies(64, True, f))
        x = 0.3 + filtered(torch.randn(400, 1, 64, 64), power.sqrt(), True)
        found = fit(x, 0.3)
        assert found.slope == pytest.approx(2.4, abs=0.15)
        assert found.corner == pytest.approx(0.03, rel=0.35)
        assert phases_without_data(found) == pytest.approx(phases_without_data(true), rel=0.15)

    @pytest.mark.parametrize("wrong", [{"level": 0.0}, {"corner": 0.9}, {"slope": -1.0}, {"mean": float("nan")}])
    def test_impossible_priors_are_refused(self, wrong):
        with pytest.raises(ValueError, match="no prior"):
            replace(PRIOR, **wrong)
        with pytest.raises(ValueError, match="no prior"):
            Prior.from_config(PRIOR.to_config() | wrong)
        assert Prior.from_config(PRIOR.to_config()) == PRIOR


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("name", MAKERS)
class TestStationary:
    def test_mean_is_the_dense_one(self, name, factor):
        data = observed(MAKERS[name](factor), small(factor))
        mean, _ = dense(data, PRIOR)
        torch.testing.assert_close(estimate(data, PRIOR).mean[0, 0], mean, rtol=0, atol=1e-6)

    def test_deviation_is_the_dense_one_on_a_torus(self, name, factor):
        """All data of a torus, built of the operator's own response; borders play no part."""
        operator, (rows, cols) = MAKERS[name](factor), small(factor)
        (fy, fx), like = operator.factor, torch.empty(0, dtype=torch.float64)
        size = (rows * fy, cols * fx)
        h = framed(probed(operator, like, (rows, cols)), size, (fy, fx), operator.local)
        a = torch.stack([h.roll((fy * r, fx * c), (0, 1)).flatten() for r in range(rows) for c in range(cols)])
        power = PRIOR.power(*(frequencies(n, True, like) for n in size))
        c = matrix(lambda x: filtered(x, power, True), size)
        found = phases(operator, PRIOR, like, (rows, cols)).variance(torch.tensor([4e-4, 1e-2]).double())
        for level, noise in enumerate((4e-4, 1e-2)):
            inverse = torch.linalg.inv(a @ c @ a.T + noise * torch.eye(rows * cols, dtype=torch.float64))
            variance = torch.diag(c - c @ a.T @ inverse @ a @ c).reshape(size)
            expected = found[level].repeat(rows, cols).sqrt()
            torch.testing.assert_close(expected, variance.sqrt(), rtol=0, atol=1e-6)


class TestDeviation:
    @pytest.mark.parametrize("name", ["mean", "gaussian", "kspace"])
    def test_in_the_middle_of_an_image_it_is_that_of_the_image(self, name):
        """A prior that forgets within a few pixels: then the torus and the middle of the image agree."""
        prior = Prior(0.4, 1e-3, 0.2, 3.0)
        data = observed(MAKERS[name](2), (12, 12))
        _, covariance = dense(data, prior)
        true = covariance.diagonal().sqrt().reshape(data.shape)[10:14, 10:14]
        torch.testing.assert_close(estimate(data, prior).deviation[0, 0, 10:14, 10:14], true, rtol=2e-3, atol=0)

    def test_more_noise_more_doubt_and_never_more_than_without_data(self):
        found = [estimate(observed(Area(4), (6, 6), d), PRIOR).deviation.mean() for d in (1e-3, 1e-2, 0.1, 1.0, 100.0)]
        assert found == sorted(found)
        assert float(found[-1]) == pytest.approx(phases_without_data(PRIOR), rel=0.01)

    def test_factor_one_without_blur_leaves_the_noise(self):
        found = estimate(observed(Area(1), (8, 8), 0.002), PRIOR).deviation
        assert float(found.max()) == pytest.approx(0.002, rel=0.02)

    def test_a_noise_map_is_read_datum_by_datum(self):
        data = observed(Area(2), (16, 16), 0.01)
        level = torch.where(torch.arange(16) < 8, 0.01, 0.2).double()
        mixed = estimate(replace(data, variance=(level**2).expand_as(data.y)), PRIOR).deviation[0, 0]
        for half, deviation in ((mixed[:, :16], 0.01), (mixed[:, 16:], 0.2)):
            alone = estimate(replace(data, variance=torch.full_like(data.y, deviation**2)), PRIOR).deviation[0, 0]
            torch.testing.assert_close(half, alone[:, :16], rtol=0.01, atol=0)

    def test_doubt_grows_into_a_gap(self):
        data = observed(Area(2), (16, 16))
        usable = data.usable.clone()
        usable[..., 4:12, 4:12] = False
        found = estimate(replace(data, usable=usable), PRIOR).deviation[0, 0]
        assert float(found[6, 6]) < float(found[9, 9]) < float(found[16, 16]) < phases_without_data(PRIOR) * 1.01
        assert float(found[9, 9]) > 1.7 * float(found[2, 2])


class TestNotStationary:
    @pytest.mark.parametrize("name", ["mean", "gaussian", "bicubic", "kspace"])
    @pytest.mark.parametrize("factor", [1, 2, (2, 4)])
    @pytest.mark.parametrize("gap", ["hole", "specks"])
    def test_gradients_reach_the_dense_mean(self, name, factor, gap):
        data = holed(MAKERS[name](factor), small(factor), gap)
        mean, covariance = dense(data, PRIOR)
        torch.testing.assert_close(estimate(data, PRIOR, 1500).mean[0, 0], mean, rtol=0, atol=1e-6)
        few = (estimate(data, PRIOR).mean[0, 0] - mean) / covariance.diagonal().reshape(mean.shape).sqrt()
        assert float(few.square().mean().sqrt()) < 0.1

    @pytest.mark.parametrize("gap", ["hole", "specks"])
    def test_gaps_of_a_skew_response_are_filled_by_a_stand_in(self, gap):
        data = holed(MeasuredPSF(2, SKEW), (10, 12), gap)
        mean, covariance = dense(data, PRIOR)
        miss = (estimate(data, PRIOR).mean[0, 0] - mean) / covariance.diagonal().reshape(mean.shape).sqrt()
        assert float(miss.square().mean().sqrt()) < 0.3

    @pytest.mark.parametrize("factor", [1, 2, (3, 2)])
    def test_a_skew_response_needs_few(self, factor):
        data = observed(MeasuredPSF(factor, SKEW), small(factor))
        data = replace(data, y=data.operator.forward(sample(data)) + 0.02 * torch.randn_like(data.y))
        mean, covariance = dense(data, PRIOR)
        assert not response(data.operator, PRIOR, data.y.shape[-2:], data.y).symmetric
        few = (estimate(data, PRIOR).mean[0, 0] - mean).square().mean().sqrt()
        assert float(few) < 0.05 * float(covariance.diagonal().mean().sqrt())
        torch.testing.assert_close(estimate(data, PRIOR, 100).mean[0, 0], mean, rtol=0, atol=1e-6)

    def test_what_is_hidden_is_not_seen(self):
        data = observed(Area(2), (8, 8), dtype=torch.float32)
        usable = data.usable.clone()
        usable[..., 2:4, 3:6] = False
        answers = [
            estimate(
                replace(
                    data,
                    y=torch.where(usable, data.y, hidden),
                    variance=torch.where(usable, data.variance, hidden),
                    usable=usable,
                ),
                PRIOR,
            )
            for hidden in (7.0, torch.nan)
        ]
        assert torch.equal(answers[0].mean, answers[1].mean)
        assert torch.equal(answers[0].deviation, answers[1].deviation)
        assert bool(answers[0].mean.isfinite().all())

    def test_nothing_usable_is_the_prior(self):
        data = observed(Area(2), (8, 8))
        found = estimate(replace(data, usable=torch.zeros_like(data.usable)), PRIOR)
        free = Estimate.none(PRIOR, 2, 1, (16, 16), "cpu")
        torch.testing.assert_close(found.mean, free.mean.double())
        torch.testing.assert_close(found.deviation, free.deviation.double(), rtol=0.05, atol=0)
        assert not found.known.any()
        assert not found.noise.any()

    def test_images_of_a_batch_are_independent(self):
        data = observed(GaussianPSF(2, 0.8), (8, 8), dtype=torch.float32)
        usable = data.usable.clone()
        usable[0, :, 2:5, 2:5] = False
        data = replace(data, usable=usable, variance=data.variance * torch.tensor([1.0, 100.0]).view(2, 1, 1, 1))
        whole = estimate(data, PRIOR)
        for i in range(2):
            own = replace(data, **{k: getattr(data, k)[i : i + 1] for k in ("y", "variance", "usable")})
            torch.testing.assert_close(whole.mean[i : i + 1], estimate(own, PRIOR, 16).mean, rtol=0, atol=2e-4)


class TestParts:
    @pytest.mark.parametrize("factor", [1, 2, 3, (2, 4), 16])
    @pytest.mark.parametrize("name", ["mean", "gaussian", "disc"])
    def test_exact_data_are_nearly_explained_in_single_precision(self, name, factor):
        """Noise-free data of a smooth scene: what is left is below the deviation that is assumed."""
        operator = MAKERS[name](factor)
        fy, fx = operator.factor
        y, x = torch.meshgrid(torch.linspace(0, 3, 12 * fy), torch.linspace(0, 2, 10 * fx), indexing="ij")
        truth = (0.5 + 0.3 * (y + x).sin())[None, None]
        low = operator.forward(truth)
        data = Observation(low, operator, torch.zeros_like(low), torch.ones_like(low, dtype=torch.bool), exact=True)
        found = estimate(data, PRIOR)
        assert float((operator.forward(found.mean) - low).abs().max()) < QUIET
        assert float(found.noise.max()) == pytest.approx(QUIET)

    def test_a_residual_of_nothing_changes_nothing(self):
        data = observed(Area(2), (5, 7))
        zero = torch.zeros_like(data.y)
        assert not correction(zero, data.variance, data.usable, data.operator, PRIOR).any()

    def test_without_data_where_told(self):
        data = observed(Area(2), (8, 8), dtype=torch.float32)
        kept = estimate(data, PRIOR).keep(torch.tensor([True, False]), PRIOR)
        assert bool((kept.mean[1] == kept.mean[1, 0, 0, 0]).all())
        assert float(kept.mean[0].std()) > 0
        assert kept.known.mean((1, 2, 3)).tolist() == [1.0, 0.0]
        assert kept.factor.tolist() == [[2.0, 2.0], [2.0, 2.0]]


class TestLeeway:
    """White departures come out with the Gaussian posterior's variance in what the data see."""

    @pytest.mark.parametrize("noise", [0.0, 0.02])
    @pytest.mark.parametrize("operator", [Area(2), Area((1, 4)), GaussianPSF(2, 0.8), Lanczos(4), KSpaceCrop(2)])
    def test_modes_of_the_data_have_the_variance_of_the_posterior(self, operator, noise):
        fy, fx = operator.factor
        y = torch.full((400, 1, 48 // fy, 48 // fx), PRIOR.mean)
        data = Observation(y, operator, torch.full_like(y, noise**2), torch.ones_like(y, dtype=torch.bool), noise == 0)
        told = estimate(data, PRIOR)
        white = torch.randn(400, 1, 48, 48, generator=torch.Generator().manual_seed(0)) * told.deviation
        seen = modes(operator.forward(told.leeway.held(white, PRIOR)), not operator.local)
        own = response(operator, PRIOR, (48 // fy, 48 // fx), y)
        level = max(noise, QUIET) ** 2
        wanted = (own.data * level / (own.data + level))[:, : seen.shape[-1]]
        flat = modes(torch.randn(y.shape, generator=torch.Generator().manual_seed(1)), not operator.local)
        found = seen.abs().square().mean((0, 1)) / flat.abs().square().mean((0, 1))
        clear = own.data[:, : seen.shape[-1]] > 30 * level  # where data say little, little is changed
        ratio = (found / wanted)[clear]
        assert float(ratio.log().abs().median()) < 0.25
        assert float(ratio.log().abs().max()) < 1.2

    def test_what_data_do_not_see_is_free(self):
        y = torch.full((1, 1, 8, 8), PRIOR.mean)
        data = Observation(y, Area(2), torch.zeros_like(y), torch.ones_like(y, dtype=torch.bool), exact=True)
        unseen = torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).tile(8, 8)[None, None]
        torch.testing.assert_close(estimate(data, PRIOR).leeway.held(unseen, PRIOR), unseen)
        gaps = replace(data, usable=torch.zeros_like(data.usable))
        anything = torch.randn(1, 1, 16, 16)
        torch.testing.assert_close(estimate(gaps, PRIOR).leeway.held(anything, PRIOR), anything)

    def test_gaps_do_not_blow_up_what_is_beside_them(self):
        y = torch.full((4, 1, 48, 48), PRIOR.mean)
        usable = torch.ones_like(y, dtype=torch.bool)
        usable[..., 10:25, 12:40] = False
        told = estimate(Observation(y, GaussianPSF(1, 1.5), torch.full_like(y, 1e-6), usable), PRIOR)
        white = torch.randn(4, 1, 48, 48, generator=torch.Generator().manual_seed(0)) * told.deviation
        held = told.leeway.held(white, PRIOR) / told.deviation
        assert float(held.abs().max()) < 12
        torch.testing.assert_close(
            held[..., 17, 26], white[..., 17, 26] / told.deviation[..., 17, 26], rtol=0, atol=0.3
        )

    def test_a_response_that_is_not_symmetric_is_held_in_steps(self):
        operator = MeasuredPSF((1, 1), track(6.0, True, torch.Generator().manual_seed(3)))
        y = torch.full((8, 1, 48, 48), PRIOR.mean)
        data = Observation(y, operator, torch.zeros_like(y), torch.ones_like(y, dtype=torch.bool), exact=True)
        told = estimate(data, PRIOR)
        wide = 20 * torch.randn(8, 1, 48, 48, generator=torch.Generator().manual_seed(0)) * told.deviation
        held = replace(told.leeway, spread=400 * told.leeway.spread).held(wide, PRIOR)
        assert float(operator.forward(held).std()) < 0.5 * float(operator.forward(wide).std())
