"""Bicubic, Lanczos and Gaussian downsampling against Pillow, closed forms and the published Sentinel-2 widths."""

import math

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from gensr.errors import UsageError
from gensr.operators import Area, Bicubic, GaussianPSF, Lanczos, Operator, separable
from gensr.operators.boundary import fold, pad, reflect

PHOTO = data.camera()[:240, :336].astype(np.float32) / 255


@pytest.mark.parametrize("factor", [2, 3, 4, 8, (4, 2)])
@pytest.mark.parametrize(("operator", "filter_"), [(Bicubic, "BICUBIC"), (Lanczos, "LANCZOS"), (Area, "BOX")])
def test_equals_pillow_in_the_interior(operator, filter_, factor):
    ours: Operator = operator(factor)
    fy, fx = ours.factor
    size = (PHOTO.shape[1] // fx, PHOTO.shape[0] // fy)
    pillow = np.asarray(Image.fromarray(PHOTO).resize(size, Image.Resampling[filter_]))
    result = ours.forward(torch.from_numpy(PHOTO).double()).numpy()
    r = ours.reach
    inner = (slice(r, size[1] - r), slice(r, size[0] - r))
    assert np.abs(result - pillow)[inner].max() < 1e-5
    assert np.abs(result - pillow).max() < 0.2


@pytest.mark.parametrize("operator", [Bicubic(3), Lanczos((4, 2), total=True), GaussianPSF((1, 2), 0.6), Bicubic(1)])
@pytest.mark.parametrize("shape", [(5, 7), (1, 1), (1, 9)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_large_images_are_convolved_with_the_same_result(operator, shape, dtype, monkeypatch):
    fy, fx = operator.factor
    x, y = torch.rand(2, 3, shape[0] * fy, shape[1] * fx).to(dtype), torch.rand(2, 3, *shape).to(dtype)
    expected = operator.forward(x), operator.adjoint(y)
    monkeypatch.setattr(separable, "LARGEST_MATRIX", 0)
    for result, reference in zip((operator.forward(x), operator.adjoint(y)), expected, strict=True):
        assert result.dtype == dtype
        assert torch.allclose(result, reference, rtol=0, atol=8 * torch.finfo(dtype).eps * float(reference.abs().max()))


def test_a_large_image_takes_no_matrix():
    low = Bicubic(2).forward(torch.ones(2, 2 * 20_000))  # a dense matrix would be 3.2 GB
    assert torch.allclose(low, torch.ones(1, 20_000))


@pytest.mark.parametrize(("operator", "reach"), [(Area, 0), (Bicubic, 2), (Lanczos, 3)])
def test_factor_one_is_the_identity_and_reach_is_that_of_the_kernel(operator, reach):
    x = torch.rand(5, 7, dtype=torch.float64)
    assert torch.equal(operator(1).forward(x), x)
    assert operator(1).reach == 0
    assert operator(4).reach == reach


@pytest.mark.parametrize(
    ("mtf", "sigma"),
    # Sentinel-2 B1..B12, as tabulated for SupReME, S2Sharp and MuSA; optics with the pixel apart
    [(0.32, 0.373), (0.26, 0.426), (0.28, 0.408), (0.24, 0.445), (0.38, 0.323), (0.34, 0.357), (0.22, 0.464)],
)
def test_width_from_the_mtf_at_nyquist(mtf, sigma):
    assert GaussianPSF.from_mtf(4, mtf).sigma == pytest.approx(sigma, abs=6e-4)


@pytest.mark.parametrize(("factor", "expected"), [(8, 0.2617), (4, 0.2668)])
def test_discrete_mtf_at_nyquist(factor, expected):
    size = 32
    operator = GaussianPSF.from_mtf(factor, 0.26)
    fine = (np.arange(size * factor) + 0.5) / factor - 0.5  # in low-resolution pixels
    wave = torch.from_numpy(np.cos(np.pi * fine))[None, :].expand(size * factor, -1)
    seen = operator.forward(wave)[size // 2] * torch.from_numpy(np.cos(np.pi * np.arange(size)))
    modulation = float(seen[4:-4].mean())
    assert modulation == pytest.approx(expected, abs=1e-4)
    assert modulation == pytest.approx(0.26, rel=0.03)


def test_no_width_is_area_integration():
    x = torch.rand(2, 12, 9, dtype=torch.float64)
    assert torch.allclose(GaussianPSF(3, 0.0).forward(x), Area(3).forward(x), rtol=0, atol=1e-15)
    assert GaussianPSF.from_mtf(3, 2 / math.pi).sigma == 0


@pytest.mark.parametrize("sigma", [-0.1, math.nan, math.inf, 9.0])
def test_impossible_widths_are_refused(sigma):
    with pytest.raises(UsageError, match="between 0 and 8"):
        GaussianPSF(2, sigma)


@pytest.mark.parametrize("mtf", [0.0, -1.0, 0.7, math.nan])
def test_impossible_transfers_are_refused(mtf):
    with pytest.raises(UsageError, match="pixel alone"):
        GaussianPSF.from_mtf(2, mtf)


def test_a_wide_gaussian_has_an_accurate_pseudo_inverse():
    """Singular values down to 1e-9: dividing by their squares would lose all digits."""
    operator = GaussianPSF(2, 1.4)
    y = operator.forward(torch.rand(24, 20, dtype=torch.float64))
    x = operator.pseudo_inverse(y)
    assert torch.allclose(operator.forward(x), y, rtol=0, atol=1e-10)
    assert float(x.abs().max()) < 100


def test_border_rows_sum_to_one_even_where_the_kernel_is_longer_than_the_image():
    assert torch.allclose(
        Lanczos(8).forward(torch.ones(8, 16, dtype=torch.float64)), torch.ones(1, 2, dtype=torch.float64)
    )


@pytest.mark.parametrize("size", [1, 2, 5])
def test_reflection_repeats_edge_pixels_and_its_period_is_twice_the_size(size):
    index = reflect(np.arange(-3 * size, 3 * size), size)
    mirrored = np.pad(np.arange(size), 2 * size, mode="symmetric")
    assert np.array_equal(index[size:], mirrored)
    assert np.array_equal(index[: 4 * size], index[2 * size :])


def test_fold_is_the_adjoint_of_pad():
    x = torch.rand(3, 4, 5, dtype=torch.float64)
    y = torch.rand(3, 4 + 14, 5 + 6, dtype=torch.float64)
    assert float((pad(x, (7, 3)) * y).sum()) == pytest.approx(float((x * fold(y, (7, 3))).sum()), rel=1e-13)
