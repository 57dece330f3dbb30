"""Patch LMMSE against theory, on data drawn from a known Gaussian."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from gensr.benchmarks.flux_lmmse import fit_flux_lmmse
from gensr.benchmarks.lmmse import Blend, PatchStatistics, cached_statistics, fit_statistics, patch_lmmse
from gensr.benchmarks.protocol import block_mean, block_sum

RHO = 0.9


def axis_covariance(size: int) -> NDArray[np.float64]:
    return RHO ** np.abs(np.subtract.outer(np.arange(size), np.arange(size)))


def exact(patch: int, mean: float = 0.0) -> PatchStatistics:
    """The moments of a stationary field of unit variance, correlation 0.9^(|dx| + |dy|)."""
    axis = axis_covariance(patch)
    return PatchStatistics(np.full(patch**2, mean), np.kron(axis, axis), 1, patch, 0)


def draw(rng: np.random.Generator, size: int, count: int) -> NDArray[np.float64]:
    root = np.linalg.cholesky(axis_covariance(size))
    return root @ rng.standard_normal((count, 1, size, size)) @ root.T


def collapsed_error(filters: NDArray[np.float64], factor: int, sigma: float) -> float:
    """Exact mean squared error of a filter whose neighbourhood lies inside a field of the known covariance."""
    side = round(filters.shape[1] ** 0.5)
    field = axis_covariance(side * factor)
    average = np.kron(np.eye(side), np.full((1, factor), 1 / factor))
    middle = slice(side // 2 * factor, side // 2 * factor + factor)
    axis_cross = field[middle] @ average.T
    axis_low = average @ field @ average.T
    cross = np.kron(axis_cross, axis_cross)
    low = np.kron(axis_low, axis_low) + sigma**2 * np.eye(side**2)
    errors = 1 - 2 * np.einsum("ij,ij->i", filters, cross) + np.einsum("ij,jk,ik->i", filters, low, filters)
    return float(errors.mean())


@pytest.mark.parametrize("blend", ["uniform", "centre"])
@pytest.mark.parametrize("sigma", [0.0, 0.2])
@pytest.mark.parametrize("factor", [2, 4])
def test_mean_squared_error_is_that_of_theory(factor: int, sigma: float, blend: Blend) -> None:
    rng = np.random.default_rng(3)
    estimator = patch_lmmse(fit_statistics(draw(rng, 48, 400), 8, 40_000), factor, sigma, blend=blend)
    theory = collapsed_error(patch_lmmse(exact(8), factor, sigma, blend=blend).filters, factor, sigma)
    errors = []
    for truth in draw(rng, 48, 100):
        low = block_mean(truth, factor)
        answer = estimator.upscale(low + rng.normal(0, sigma, low.shape))
        errors.append(((answer - truth)[:, 12:-12, 12:-12] ** 2).mean())
    assert np.mean(errors) == pytest.approx(theory, rel=0.03)
    assert theory < patch_lmmse(exact(8), factor, sigma).expected_error, "blending windows helps"


@pytest.mark.parametrize("sigma", [0.0, 0.3])
def test_one_window_has_the_expected_error(sigma: float) -> None:
    rng = np.random.default_rng(4)
    truth = draw(rng, 8, 20_000)
    low = block_mean(truth, 2)
    low += rng.normal(0, sigma, low.shape)
    estimator = patch_lmmse(exact(8), 2, sigma)
    answer = low.reshape(-1, 16) @ estimator.window.T
    assert ((answer - truth.reshape(-1, 64)) ** 2).mean() == pytest.approx(estimator.expected_error, rel=0.02)


def test_one_window_explains_its_data_exactly_without_noise() -> None:
    rng = np.random.default_rng(5)
    low = block_mean(draw(rng, 8, 1)[0], 2)
    answer = (patch_lmmse(exact(8), 2, ridge=0.0).window @ low.ravel()).reshape(8, 8)
    np.testing.assert_allclose(block_mean(answer, 2), low[0], atol=1e-10)


def test_windows_that_see_a_pixel_in_their_middle_know_it_best() -> None:
    uniform, centre = (patch_lmmse(exact(16), 2, 0.1, blend=blend) for blend in ("uniform", "centre"))
    assert uniform.filters.shape == (4, 15 * 15)
    assert centre.filters.shape == (4, 9 * 9)
    assert collapsed_error(centre.filters, 2, 0.1) < collapsed_error(uniform.filters, 2, 0.1)


def test_collapsed_filter_is_the_uniform_blend_of_all_windows() -> None:
    rng = np.random.default_rng(6)
    images = draw(rng, 24, 30).reshape(10, 3, 24, 24) @ np.diag(np.linspace(1, 2, 24))
    statistics = fit_statistics(images, 8, 2000)
    estimator = patch_lmmse(statistics, 2, 0.1)
    low = block_mean(images[0], 2)[:, :7, :5]
    p, s = 4, 2
    padded = np.pad(low, ((0, 0), (p - 1, p - 1), (p - 1, p - 1)), mode="symmetric")
    total = np.zeros((3, padded.shape[1] * s, padded.shape[2] * s))
    weight = np.zeros(total.shape[1:])
    mean_low = block_mean(statistics.mean.reshape(3, 8, 8), 2)
    for y in range(padded.shape[1] - p + 1):
        for x in range(padded.shape[2] - p + 1):
            deviation = (padded[:, y : y + p, x : x + p] - mean_low).ravel()
            place = np.s_[y * s : (y + p) * s, x * s : (x + p) * s]
            total[:, *place] += (statistics.mean + estimator.window @ deviation).reshape(3, 8, 8) / p**2
            weight[place] += 1 / p**2
    inside = np.s_[(p - 1) * s : -(p - 1) * s]
    np.testing.assert_allclose(weight[inside, inside], 1)  # partition of unity up to the border
    np.testing.assert_allclose(estimator.upscale(low), total[:, inside, inside], atol=1e-10)


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_constant_stays_constant(factor: int) -> None:
    low = np.full((1, 5, 6), 3.0)
    at_mean = patch_lmmse(exact(16, mean=3.0), factor, 0.1).upscale(low)
    np.testing.assert_allclose(at_mean, 3.0, rtol=1e-12)
    anywhere = patch_lmmse(exact(16), factor, 0.1, free_level=True).upscale(low)
    np.testing.assert_allclose(anywhere, 3.0, rtol=1e-4)


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (3, 2), (13, 5)])
def test_every_pixel_of_odd_sizes_is_estimated(shape: tuple[int, int]) -> None:
    low = np.random.default_rng(8).normal(size=(1, *shape))
    answer = patch_lmmse(exact(16), 4, 0.1).upscale(low)
    assert answer.shape == (1, 4 * shape[0], 4 * shape[1])
    assert np.isfinite(answer).all()


def test_sums_are_estimated_like_means() -> None:
    low = np.random.default_rng(9).normal(size=(1, 6, 6))
    means = patch_lmmse(exact(8), 2, 0.1).upscale(low)
    sums = patch_lmmse(exact(8), 2, 0.4, reduce="sum").upscale(4 * low)
    np.testing.assert_allclose(sums, means, rtol=1e-10)


def test_moments_of_streamed_patches(tmp_path: Path) -> None:
    images = 1000 + draw(np.random.default_rng(10), 32, 400)
    fitted = cached_statistics(tmp_path, "field", lambda: images, 4, 100_000)
    np.testing.assert_allclose(fitted.covariance, exact(4).covariance, atol=0.1)
    flipped = fit_statistics(images, 4, 100_000, flips=True)
    np.testing.assert_allclose(flipped.covariance, flipped.covariance[::-1, ::-1], atol=0.03)

    def missing() -> list[NDArray[np.float64]]:
        raise AssertionError("the fit is kept")

    kept = cached_statistics(tmp_path, "field", missing, 4, 100_000)
    np.testing.assert_array_equal(kept.covariance, fitted.covariance)
    assert (kept.bands, kept.patch, kept.count) == (1, 4, 100_000)


def test_what_cannot_be_fitted_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one picture"):
        fit_statistics([])
    with pytest.raises(ValueError, match="smaller than the 16 pixel patch"):
        fit_statistics([np.zeros((1, 12, 40))])
    with pytest.raises(ValueError, match="no whole blocks of 3"):
        patch_lmmse(exact(8), 3)
    with pytest.raises(ValueError, match="fitted on 1 bands, got 3"):
        patch_lmmse(exact(8), 2).upscale(np.zeros((3, 4, 4)))


@pytest.mark.parametrize("space", ["flux", "stretched"])
def test_flux_estimator_learns_a_linear_scene(space: str) -> None:
    """Block-constant scenes are a linear function of their observation, at every brightness."""
    rng = np.random.default_rng(11)
    levels = 10 ** rng.uniform(-3, 2, (40, 1, 1)) * rng.uniform(0.5, 1, (40, 16, 16))
    flux = np.repeat(np.repeat(levels, 2, 1), 2, 2)
    estimator = fit_flux_lmmse(flux, 2, noisy=False, space="flux" if space == "flux" else "stretched")
    answer = estimator.upscale(block_sum(flux[:1], 2))
    np.testing.assert_allclose(answer, flux[:1], rtol=2e-3)
