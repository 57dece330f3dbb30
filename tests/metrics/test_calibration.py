import math

import numpy as np
import pytest

from gensr.metrics import LEVELS, conformal_scale, coverage_gaussian, coverage_samples, spread_correlation

RNG = np.random.default_rng(8)
MEAN = RNG.normal(0, 3, (64, 64, 16))
STD = RNG.uniform(0.5, 2, MEAN.shape)
TRUTH = MEAN + STD * RNG.standard_normal(MEAN.shape)
TOLERANCE = 4 * 0.5 / math.sqrt(MEAN.size)


def test_a_calibrated_gaussian_covers_what_it_says():
    for level, fraction in coverage_gaussian(TRUTH, MEAN, STD).items():
        assert fraction == pytest.approx(level, abs=TOLERANCE)


def test_half_the_spread_covers_what_the_normal_distribution_says():
    fractions = coverage_gaussian(TRUTH, MEAN, STD / 2, (0.9, 0.95))
    assert fractions[0.9] == pytest.approx(0.5891, abs=TOLERANCE)  # 2 Phi(1.6449 / 2) - 1
    assert fractions[0.95] == pytest.approx(0.6729, abs=TOLERANCE)


def test_coverage_counts_only_masked_pixels():
    mask = np.zeros(3, bool)
    mask[:2] = True
    truth = np.array([0.0, 5.0, np.nan])
    assert coverage_gaussian(truth, np.zeros(3), np.ones(3), (0.5,), mask) == {0.5: 0.5}
    assert math.isnan(coverage_gaussian(truth, np.zeros(3), np.ones(3), (0.5,), mask & False)[0.5])


@pytest.mark.parametrize("count", [3, 8, 39, 100])
def test_samples_cover_without_bias_however_few(count):
    samples = MEAN + STD * RNG.standard_normal((count, *MEAN.shape))
    fractions = coverage_samples(TRUTH, samples)
    assert set(fractions) == set(LEVELS)
    for level, fraction in fractions.items():
        if level <= (count - 1) / (count + 1):
            # interpolated ends lie between two exact ranks; the bias of that is below 0.01
            assert fraction == pytest.approx(level, abs=TOLERANCE + 0.01)
        else:
            assert math.isnan(fraction)
    assert math.isnan(coverage_samples(TRUTH, samples, (0.99,))[0.99])


def test_one_sample_says_nothing_and_wrong_shapes_are_refused():
    assert all(math.isnan(v) for v in coverage_samples(TRUTH, MEAN[None]).values())
    with pytest.raises(ValueError, match="do not fit"):
        coverage_samples(TRUTH, MEAN[None, :-1])


@pytest.mark.parametrize("level", [0.0, 1.0, -0.1, 90])
def test_impossible_levels_are_refused(level):
    for call in (
        lambda: coverage_gaussian(TRUTH, MEAN, STD, (level,)),
        lambda: coverage_samples(TRUTH, MEAN[None], (level,)),
        lambda: conformal_scale(TRUTH, STD, level),
    ):
        with pytest.raises(ValueError, match="between 0 and 1"):
            call()


@pytest.mark.parametrize("level", [0.5, 0.9, 0.95])
def test_conformal_scale_repairs_the_coverage(level):
    half = len(MEAN) // 2
    scale = conformal_scale((TRUTH - MEAN)[:half], STD[:half] / 3, level)
    assert scale == pytest.approx(3, rel=0.02)
    repaired = coverage_gaussian(TRUTH[half:], MEAN[half:], scale * STD[half:] / 3, (level,))
    assert repaired[level] == pytest.approx(level, abs=2 * TOLERANCE)


def test_conformal_scale_by_hand():
    errors = np.array([1.0, -2.0, 3.0, -4.0, 5.0, 6.0, 7.0, 8.0, 9.0])
    assert conformal_scale(errors, np.ones(9), 0.9) == pytest.approx(9 / 1.6448536)  # rank ceil(10 * 0.9) = 9
    assert conformal_scale(errors, np.ones(9), 0.5) == pytest.approx(5 / 0.6744898)
    with pytest.raises(ValueError, match="give at least 9"):
        conformal_scale(errors[:8], np.ones(8), 0.9)


def test_conformal_scale_where_the_spread_is_zero():
    std = np.array([0.0, 0.0, 1.0, 1.0])
    assert conformal_scale(np.array([0.0, 0.0, 1.0, 2.0]), std, 0.5) == pytest.approx(1 / 0.6744898)
    assert conformal_scale(np.ones(4), std, 0.6) == math.inf


def test_spread_correlation():
    assert spread_correlation(-STD, STD) == pytest.approx(1)
    mean_abs, variance, square = math.sqrt(2 / math.pi), 1.5**2 / 12, 1.5**2 / 12 + 1.25**2  # of a uniform spread
    expected = mean_abs * math.sqrt(variance / (square - (mean_abs * 1.25) ** 2))
    assert spread_correlation(TRUTH - MEAN, STD) == pytest.approx(expected, abs=0.02)
    assert spread_correlation(STD**5, STD, ranked=True) == pytest.approx(1)
    assert abs(spread_correlation(RNG.standard_normal(STD.shape), STD)) < 0.02
    assert math.isnan(spread_correlation(STD, np.ones_like(STD)))
