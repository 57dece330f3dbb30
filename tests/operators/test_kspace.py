"""The k-space crop: phase of the grid, windows, Nyquist sample, and the published gap on brain slices."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage import data

from gensr.errors import UsageError
from gensr.operators import Area, KSpaceCrop, Operator


def plain_crop(x: torch.Tensor, s: int) -> torch.Tensor:
    """The common mistake: crop of the centred spectrum without a phase, low-resolution pixel 0 on pixel 0."""
    rows, cols = x.shape[-2] // s, x.shape[-1] // s
    spectrum = torch.fft.fftshift(torch.fft.fft2(x), dim=(-2, -1))
    top, left = x.shape[-2] // 2 - rows // 2, x.shape[-1] // 2 - cols // 2
    kept = spectrum[..., top : top + rows, left : left + cols]
    return torch.fft.ifft2(torch.fft.ifftshift(kept, dim=(-2, -1))).real / s**2


def zero_filled(y: torch.Tensor, s: int) -> torch.Tensor:
    """Upsampling of pixels that sit in the middle of their blocks."""
    return KSpaceCrop(s).adjoint(y) * s**2


def psnr(estimate: torch.Tensor, truth: torch.Tensor) -> float:
    """Mean over slices, peak 1."""
    return float((-10 * ((estimate - truth) ** 2).mean((-2, -1)).log10()).mean())


@pytest.mark.parametrize("n", [1, 2, 5, 8])
@pytest.mark.parametrize("s", [1, 2, 3])
def test_equals_the_fourier_sum_at_block_centres(n, s):
    size = n * s
    x = np.random.default_rng(n).standard_normal(size)
    spectrum = np.fft.fft(x)
    centres = s * np.arange(n) + (s - 1) / 2
    expected = np.zeros(n, complex)
    for k in range(-(n // 2), n // 2 + 1):
        weight = 0.5 if 2 * abs(k) == n else 1.0  # both halves of the Nyquist frequency
        expected += weight * spectrum[k % size] * np.exp(2j * np.pi * k * centres / size) / size
    assert np.abs(expected.imag).max() < 1e-12
    result = KSpaceCrop((s, 1)).forward(torch.from_numpy(x)[:, None])[:, 0]
    assert np.allclose(result.numpy(), expected.real, rtol=0, atol=1e-12)


@pytest.mark.parametrize("s", [2, 3, 4])
def test_is_the_plain_crop_moved_by_half_a_block_minus_half_a_pixel(s):
    """A band-limited image may be sampled anywhere: the plain crop at s i, ours at s i + (s - 1)/2."""
    n = 16
    wave = lambda offset: np.cos(2 * np.pi * 3 * (s * np.arange(n) + offset) / (s * n) + 0.4)  # noqa: E731
    fine = np.cos(2 * np.pi * 3 * np.arange(s * n) / (s * n) + 0.4)
    x = torch.from_numpy(np.outer(np.ones(s * n), fine))
    assert np.allclose(KSpaceCrop(s).forward(x)[0].numpy(), wave((s - 1) / 2), atol=1e-12)
    assert np.allclose(plain_crop(x, s)[0].numpy(), wave(0.0), atol=1e-12)


def test_windows_weigh_frequencies():
    n, s = 32, 2
    position = np.arange(n * s)
    for window, f, expected in (("hamming", 0.5, 0.54), ("fermi", 0.875, 0.62245933), ("none", 0.875, 1.0)):
        k = round(f * n / 2)
        wave = torch.from_numpy(np.outer(np.ones(n * s), np.cos(2 * np.pi * k * position / (n * s))))
        ratio = KSpaceCrop(s, window).forward(wave).norm() / KSpaceCrop(s).forward(wave).norm()
        assert float(ratio) == pytest.approx(expected, rel=1e-6)


def test_ringing_and_negative_values_are_kept():
    edge = torch.zeros(64, 64, dtype=torch.float64)
    edge[:, 21:44] = 1.0
    low = KSpaceCrop(2).forward(edge)
    assert float(low.min()) < -0.04
    assert float(KSpaceCrop(2, "hamming").forward(edge).min()) > -0.005


def test_odd_sizes_are_zero_filling_and_the_pseudo_inverse_is_consistent():
    y = torch.rand(2, 15, 9, dtype=torch.float64)
    operator = KSpaceCrop(4)
    assert torch.allclose(operator.pseudo_inverse(y), zero_filled(y, 4), rtol=0, atol=1e-12)
    even = torch.rand(16, 8, dtype=torch.float64)
    assert torch.allclose(operator.forward(operator.pseudo_inverse(even)), even, rtol=0, atol=1e-12)


def test_unknown_windows_are_refused_by_name():
    with pytest.raises(UsageError, match="unknown k-space window 'hann'; there are none, hamming, fermi"):
        KSpaceCrop(2, "hann")


def test_it_says_that_it_is_not_local():
    operators: list[Operator] = [KSpaceCrop(2), Area(2)]
    assert [operator.local for operator in operators] == [False, True]


def test_mixing_grid_conventions_costs_decibels_on_a_photograph():
    window = np.hanning(256)  # k-space is periodic: fade the borders out
    x = torch.from_numpy(data.camera()[100:356, 100:356] / 255.0 * np.outer(window, window))
    for s in (2, 4):
        right = psnr(zero_filled(KSpaceCrop(s).forward(x), s), x)
        wrong = psnr(zero_filled(plain_crop(x, s), s), x)
        assert right - wrong > 3.5


def _slices() -> torch.Tensor:
    """Thirty axial slices of three T1 volumes: the middle 30 % of each, 99.9th percentile 1, padded to 256 x 256."""
    nibabel = pytest.importorskip("nibabel")
    root = next((p / "shared" for p in Path(__file__).resolve().parents if (p / "shared" / "data").is_dir()), None)
    shared = Path(os.environ.get("GENSR_SHARED", root or "."))
    stack = []
    for patient in ("07", "19", "26"):
        path = shared / "data" / "medical" / "brain_mr" / f"mni_patient{patient}_T1.nii.gz"
        if not path.is_file():
            pytest.skip("the brain MR pack is not there; set GENSR_SHARED to the folder that holds data/medical")
        volume = nibabel.as_closest_canonical(nibabel.load(path)).get_fdata(dtype=np.float32)
        volume = volume / np.percentile(volume, 99.9)
        for z in np.linspace(0.35 * volume.shape[2], 0.65 * volume.shape[2], 10).astype(int):
            top, left = ((256 - n) // 2 for n in volume.shape[:2])
            frame = np.zeros((256, 256))
            frame[top : top + volume.shape[0], left : left + volume.shape[1]] = volume[:, :, z]
            stack.append(frame)
    return torch.from_numpy(np.stack(stack))


@pytest.mark.parametrize(("s", "matching", "mixed"), [(2, 33.18, 28.43), (4, 27.40, 22.40)])
def test_brain_slices_reproduce_the_gap(s, matching, mixed, capsys):
    x = _slices()
    right = psnr(zero_filled(KSpaceCrop(s).forward(x), s), x)
    wrong = psnr(zero_filled(plain_crop(x, s), s), x)
    with capsys.disabled():
        print(f"\nk-space x{s}, 30 T1 slices: matching grid {right:.2f} dB, mixed conventions {wrong:.2f} dB")
    assert right == pytest.approx(matching, abs=0.3)
    assert wrong == pytest.approx(mixed, abs=0.3)
    assert right - wrong > 4


@pytest.mark.parametrize("window", ["none", "hamming", "fermi"])
@pytest.mark.parametrize("s", [1, 2, 3, 4, 5])
def test_adjoint_is_exact_for_every_size(s, window):
    """Even and odd sizes on either grid treat the Nyquist sample differently."""
    operator = KSpaceCrop((s, 1), window)
    for n in range(1, 18):
        for m in (1, 2, 3):
            x, y = torch.rand(n * s, m, dtype=torch.float64), torch.rand(n, m, dtype=torch.float64)
            left, right = float((operator.forward(x) * y).sum()), float((x * operator.adjoint(y)).sum())
            assert left == pytest.approx(right, rel=1e-12), (n, m)
            assert torch.allclose(operator.forward(operator.pseudo_inverse(y)), y, rtol=0, atol=1e-12), (n, m)
