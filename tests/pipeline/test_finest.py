"""Noise on the finest scales: white noise is found, detail is not, and what cannot be told is a range."""

import numpy as np
import pytest

from gensr.pipeline.finest import blocks_of, floor, growth
from gensr.values.grid import PixelGrid
from gensr.values.image import Image


def image(*bands, usable=None):
    values = np.stack(bands).astype(np.float32)
    usable = np.ones(values.shape, bool) if usable is None else np.broadcast_to(usable, values.shape).copy()
    return Image(values, PixelGrid(values.shape[1:]), usable, usable, tuple(f"b{i}" for i in range(len(bands))))


def measured(*bands, usable=None):
    return [floor(blocks) for blocks in blocks_of([image(*bands, usable=usable)], len(bands))]


def power_law(side, slope, seed=0, deviation=20.0):
    """Block means over 2 x 2 of an image with a power-law spectrum: aliased, as those of instruments are."""
    rng = np.random.default_rng(seed)
    f = np.hypot(*np.meshgrid(np.fft.fftfreq(4 * side), np.fft.fftfreq(4 * side)))
    f[0, 0] = np.inf
    fine = np.fft.ifft2(np.fft.fft2(rng.standard_normal((4 * side,) * 2)) * f ** (-slope / 2)).real
    coarse = fine.reshape(2 * side, 2, 2 * side, 2).mean((1, 3))[:side, :side]
    return 100 + deviation * (coarse - coarse.mean()) / coarse.std()


def waves(side=128):
    y, x = np.mgrid[:side, :side] / side
    return 100 + 40 * np.sin(5 * x) * np.cos(4 * y)


@pytest.mark.parametrize("sigma", [0.3, 1.0, 3.0, 10.0])
def test_white_noise_on_a_smooth_image_is_measured(sigma):
    rng = np.random.default_rng(1)
    (found,) = measured(waves() + sigma * rng.standard_normal((128, 128)))
    assert found.measured
    assert found.sigma == pytest.approx(sigma, rel=0.1)
    assert found.low <= found.sigma <= found.high


@pytest.mark.parametrize("slope", [2.5, 3.0, 3.5])
def test_detail_without_noise_is_not_called_noise(slope):
    (found,) = measured(power_law(128, slope))
    assert found.sigma < 0.1


@pytest.mark.parametrize("sigma", [3.0, 10.0])
def test_noise_is_told_from_detail(sigma):
    rng = np.random.default_rng(2)
    (found,) = measured(power_law(128, 3.0) + sigma * rng.standard_normal((128, 128)))
    assert found.low <= 1.1 * sigma
    assert found.high >= 0.9 * sigma
    if found.measured:
        assert found.sigma == pytest.approx(sigma, rel=0.2)


def test_a_patch_of_detail_is_too_small_to_tell_and_says_so():
    rng = np.random.default_rng(3)
    (found,) = measured(np.rint(power_law(16, 2.5, deviation=30.0) + 2 * rng.standard_normal((16, 16))))
    assert not found.measured
    assert found.sigma == found.low < found.high


def test_gaps_padding_and_what_was_cut_off_are_left_out():
    """A third has no data, a third is constant padding, a third of the rest is clipped at zero."""
    rng = np.random.default_rng(4)
    noisy = waves() + 3 * rng.standard_normal((128, 128))
    noisy[:, :40] = -2000
    noisy[:40] = 7.0
    noisy[60:70, 60:] = 1e6
    usable = np.ones((128, 128), bool)
    usable[60:70, 60:] = False
    (found,) = measured(noisy, usable=usable)
    assert found.sigma == pytest.approx(3, rel=0.1)
    dark = np.clip(waves() - 100 + 3 * rng.standard_normal((128, 128)), 0, None)
    assert measured(dark)[0].sigma == pytest.approx(3, rel=0.15)


def test_nothing_to_look_at_says_nothing():
    for values in (np.full((64, 64), 5.0), np.zeros((7, 64))):
        (found,) = measured(values)
        assert (found.sigma, found.blocks, found.measured) == (0.0, 0.0, False)
    (found,) = measured(waves(), usable=np.zeros((128, 128), bool))
    assert found.blocks == 0


def test_units_and_offsets_change_nothing_else():
    rng = np.random.default_rng(5)
    noisy = power_law(64, 3.0) + 4 * rng.standard_normal((64, 64))
    (one,), (other,) = measured(noisy), measured(1024.0 * noisy + 4096.0)
    assert other.sigma == pytest.approx(1024 * one.sigma, rel=1e-4)
    assert other.high == pytest.approx(1024 * one.high, rel=1e-4)


def test_every_band_for_itself():
    rng = np.random.default_rng(6)
    found = measured(*(waves() + s * rng.standard_normal((128, 128)) for s in (5.0, 1.0)))
    assert [one.sigma for one in found] == pytest.approx([5, 1], rel=0.1)


def test_noise_that_does_not_grow_is_not_said_to():
    rng = np.random.default_rng(7)
    (blocks,) = blocks_of([image(power_law(256, 3.0, deviation=60) + 4 * rng.standard_normal((256, 256)))], 1)
    assert growth(blocks) is None
