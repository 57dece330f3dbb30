import math

import numpy as np
import pytest
from skimage import data, filters, metrics

from gensr.metrics import affine_fit, ergas, foreground, nrmse_affine, psnr, rmse, spectral_angle, ssim, ssim_map

RNG = np.random.default_rng(2)
TRUTH = data.camera()[:96, :120].astype(np.float32)
ESTIMATE = (TRUTH + RNG.normal(0, 12, TRUTH.shape)).astype(np.float32)


def test_psnr_equals_scikit_image():
    assert psnr(TRUTH, ESTIMATE, 255) == pytest.approx(
        metrics.peak_signal_noise_ratio(TRUTH.astype(float), ESTIMATE.astype(float), data_range=255), abs=1e-9
    )


def test_psnr_of_equal_images_of_a_mask_and_of_nothing():
    mask = np.zeros(TRUTH.shape, bool)
    assert psnr(TRUTH, TRUTH, 1.0) == math.inf
    assert math.isnan(psnr(TRUTH, ESTIMATE, 1.0, mask))
    mask[:10] = True
    broken = np.where(mask, ESTIMATE, np.nan)
    assert psnr(TRUTH, broken, 255, mask) == psnr(TRUTH[:10], ESTIMATE[:10], 255)
    assert rmse(TRUTH[None], broken[None], mask) == rmse(TRUTH[:10], ESTIMATE[:10])


@pytest.mark.parametrize("peak", [0.0, -1.0, math.nan])
def test_an_impossible_peak_is_refused(peak):
    with pytest.raises(ValueError, match="not positive"):
        psnr(TRUTH, ESTIMATE, peak)


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="differ"):
        psnr(TRUTH, ESTIMATE[:-1], 1.0)


def test_ssim_equals_scikit_image():
    options = {"data_range": 255.0}
    expected = metrics.structural_similarity(
        TRUTH.astype(float),
        ESTIMATE.astype(float),
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        **options,
    )
    assert ssim(TRUTH, ESTIMATE, 255) == pytest.approx(expected, abs=1e-9)
    expected = metrics.structural_similarity(TRUTH.astype(float), ESTIMATE.astype(float), win_size=7, **options)
    assert ssim(TRUTH, ESTIMATE, 255, "uniform") == pytest.approx(expected, abs=1e-9)


def test_ssim_of_bands_is_their_mean_and_a_mask_picks_window_centres():
    both = np.stack([ESTIMATE, TRUTH])
    assert ssim(np.stack([TRUTH, TRUTH]), both, 255) == pytest.approx((1 + ssim(TRUTH, ESTIMATE, 255)) / 2, rel=1e-12)
    mask = np.zeros(TRUTH.shape, bool)
    mask[20, 30] = True
    assert ssim(TRUTH, ESTIMATE, 255, mask=mask) == ssim_map(TRUTH, ESTIMATE, 255)[15, 25]
    mask[:] = False
    mask[0, 0] = True  # no window is centred there
    assert math.isnan(ssim(TRUTH, ESTIMATE, 255, mask=mask))


def test_ssim_needs_a_whole_window():
    with pytest.raises(ValueError, match="smaller than the SSIM window of 11 x 11"):
        ssim(TRUTH[:10], ESTIMATE[:10], 255)
    assert ssim_map(TRUTH[:11], ESTIMATE[:11], 255).shape == (1, 110)


def test_affine_fit_and_its_error():
    assert affine_fit(2.5 * TRUTH + 7, TRUTH) == pytest.approx((2.5, 7), rel=1e-6)
    assert nrmse_affine(TRUTH, 0.1 * TRUTH - 3) < 1e-6
    assert affine_fit(TRUTH, np.full_like(TRUTH, 3)) == (0.0, pytest.approx(TRUTH.mean(), rel=1e-6))
    truth, noise = np.array([0.0, 0.0, 10.0, 10.0]), np.array([1.0, -1.0, 1.0, -1.0])
    assert nrmse_affine(truth, 3 * truth + 30 * noise) == pytest.approx(0.5 * math.sqrt(900 / (225 + 900)))
    assert math.isnan(nrmse_affine(np.ones(4), noise))


def test_spectral_angle_in_degrees_without_zero_vectors():
    truth = np.array([[[1.0, 1.0, 0.0]], [[0.0, 0.0, 0.0]]])
    estimate = np.array([[[5.0, 2.0, 1.0]], [[5.0, 0.0, 1.0]]])
    assert spectral_angle(truth, estimate) == pytest.approx((45 + 0) / 2)
    assert math.isnan(spectral_angle(np.zeros((2, 1, 1)), estimate[:, :, :1]))


def test_ergas_known_pair():
    truth = np.stack([np.full((4, 4), 10.0), np.full((4, 4), 100.0)])
    estimate = truth + np.array([1.0, 20.0])[:, None, None]
    assert ergas(truth, estimate, 4) == pytest.approx(100 / 4 * math.sqrt((0.1**2 + 0.2**2) / 2))
    assert ergas(truth, truth, 4) == 0
    assert ergas(truth * 0, estimate, 4) == math.inf


@pytest.mark.parametrize("image", [data.coins(), data.camera(), data.moon()], ids=["coins", "camera", "moon"])
def test_foreground_equals_otsu_of_scikit_image(image):
    values = image.astype(np.float64) / 7
    expected = values > filters.threshold_otsu(values, nbins=256)
    assert np.array_equal(foreground(values), expected)


def test_foreground_of_two_classes_and_of_a_constant():
    image = np.where(np.arange(100).reshape(10, 10) < 30, 5.0, 1.0)
    assert np.array_equal(foreground(image), image == 5)
    assert not foreground(np.full((3, 3), 2.0)).any()
    assert foreground(np.zeros((0, 3))).shape == (0, 3)
