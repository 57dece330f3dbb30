import math

import numpy as np
import pytest
from scipy import ndimage
from skimage import data

from gensr.metrics import frc_crossing, radial_power, ring_correlation, sliced_wasserstein, spectrum_distance

RNG = np.random.default_rng(4)
PHOTO = data.camera().astype(np.float64)
TILES = np.stack([PHOTO[r : r + 64, c : c + 64] for r in range(128, 384, 64) for c in range(128, 384, 64)])[:, None]


def test_white_noise_has_a_flat_spectrum():
    frequency, power = radial_power(RNG.standard_normal((200, 32, 48)))
    assert frequency[0] == pytest.approx(1 / 32)
    assert frequency[-1] == 0.5
    expected = 32 * 48 * (3 / 8) ** 2  # energy of the squared Hann window per axis
    assert power[1:] == pytest.approx(np.full(len(power) - 1, expected), rel=0.08)


def test_a_wave_has_its_power_on_its_ring():
    wave = np.cos(2 * np.pi * 0.25 * np.arange(64))[None, :].repeat(64, 0)
    frequency, power = radial_power(wave)
    assert frequency[power.argmax()] == 0.25


def test_spectrum_distance_in_decibels():
    assert spectrum_distance(PHOTO, PHOTO) == 0
    assert spectrum_distance(PHOTO, PHOTO / 2) == pytest.approx(20 * math.log10(2))
    blurred = ndimage.gaussian_filter(PHOTO, 1.0)
    assert spectrum_distance(PHOTO, blurred, lowest=0.25) > spectrum_distance(PHOTO, blurred) > 3
    assert math.isfinite(spectrum_distance(PHOTO, np.zeros_like(PHOTO)))


def test_spectrum_distance_refuses_other_sizes_and_missing_rings():
    with pytest.raises(ValueError, match="differ in size"):
        spectrum_distance(PHOTO, PHOTO[:-1])
    with pytest.raises(ValueError, match="the highest is"):
        spectrum_distance(PHOTO, PHOTO, lowest=0.6)
    with pytest.raises(ValueError, match="too small"):
        radial_power(np.zeros((3, 3)))


def test_ring_correlation_of_equal_opposite_and_independent_images():
    same = ring_correlation(PHOTO, 3 * PHOTO - 7)[1]
    assert same == pytest.approx(np.ones_like(same))
    assert ring_correlation(PHOTO, -PHOTO)[1] == pytest.approx(-np.ones_like(same))
    unrelated = ring_correlation(RNG.standard_normal((256, 256)), RNG.standard_normal((256, 256)))[1]
    assert np.abs(unrelated[20:]).max() < 0.5
    assert abs(unrelated[20:].mean()) < 0.06
    assert not ring_correlation(PHOTO, np.zeros_like(PHOTO))[1].any()


def test_ring_correlation_of_known_noise():
    """Equal white signal and noise power: correlation 1/sqrt(2)."""
    signal = RNG.standard_normal((20, 64, 64))
    correlation = ring_correlation(signal, signal + RNG.standard_normal(signal.shape))[1]
    assert correlation[5:] == pytest.approx(np.full(len(correlation) - 5, math.sqrt(0.5)), abs=0.06)


def test_crossing_finds_the_cut_off_of_a_low_pass():
    spectrum = np.fft.fft2(RNG.standard_normal((256, 256)))
    radius = np.hypot(*np.meshgrid(np.fft.fftfreq(256), np.fft.fftfreq(256), indexing="ij"))
    truth = np.fft.ifft2(spectrum).real
    low = np.fft.ifft2(spectrum * (radius < 0.2)).real + 0.3 * RNG.standard_normal((256, 256))
    assert frc_crossing(*ring_correlation(truth, low)) == pytest.approx(0.2, abs=0.01)


def test_crossing_interpolates_and_has_ends():
    frequency = np.array([0.1, 0.2, 0.3])
    assert frc_crossing(frequency, np.array([1.0, 0.5, 0.1]), 0.3) == pytest.approx(0.25)
    assert frc_crossing(frequency, np.array([1.0, 0.9, 0.8])) == 0.3
    assert frc_crossing(frequency, np.array([0.0, 0.9, 0.8])) == 0.1


def test_sliced_wasserstein_is_zero_for_equal_and_ordered_by_blur():
    levels = sliced_wasserstein(TILES, TILES)
    assert levels == (0.0, 0.0, 0.0, 0.0)
    mild, strong = (sliced_wasserstein(TILES, ndimage.gaussian_filter(TILES, (0, 0, s, s)))[0] for s in (0.6, 2.0))
    assert 0 < mild < strong


def test_sliced_wasserstein_of_shuffled_images_is_small_and_seeded():
    """A set in another order has the same patches at other places: only sampling noise is left."""
    other = TILES[::-1]
    blurred = ndimage.gaussian_filter(TILES, (0, 0, 1, 1))
    assert max(sliced_wasserstein(TILES, other)) < 0.3 * sliced_wasserstein(TILES, blurred)[0]
    assert sliced_wasserstein(TILES, blurred, seed=3) == sliced_wasserstein(TILES, blurred, seed=3)
    assert sliced_wasserstein(TILES, blurred, seed=3) != sliced_wasserstein(TILES, blurred, seed=4)


def test_sliced_wasserstein_of_a_known_shift():
    """Gaussian noise of twice the width: every projection is stretched by 2, mean |x| = sqrt(2/pi)."""
    noise = RNG.standard_normal((40, 1, 12, 12))
    (distance,) = sliced_wasserstein(noise, 2 * noise)
    assert distance == pytest.approx(1000 * math.sqrt(2 / math.pi), rel=0.03)


def test_sliced_wasserstein_takes_sets_of_different_length_and_refuses_other_shapes():
    assert len(sliced_wasserstein(TILES, TILES[:5])) == 4
    for bad in (TILES[:, 0], TILES[..., :-1], TILES.repeat(2, 1)):
        with pytest.raises(ValueError, match="expected"):
            sliced_wasserstein(TILES, bad)
    with pytest.raises(ValueError, match="expected"):
        sliced_wasserstein(TILES[..., :7, :7], TILES[..., :7, :7])
