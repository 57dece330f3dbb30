"""The measured point spread function against a direct convolution, and what it refuses."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from gensr.errors import UsageError
from gensr.operators import Area, GaussianPSF, MeasuredPSF, PixelResponse

RNG = np.random.default_rng(11)
SKEW = RNG.random((7, 3)) ** 2


@pytest.mark.parametrize("shape", [(24, 36), (12, 12), (4, 4)])
@pytest.mark.parametrize("total", [False, True])
def test_equals_direct_convolution_with_reflection(shape, total):
    x = RNG.random(shape)
    blurred = ndimage.convolve(x, SKEW / SKEW.sum(), mode="reflect")  # scipy's "reflect" repeats the edge pixel
    expected = Area((2, 4), total).forward(torch.from_numpy(blurred))
    result = MeasuredPSF((2, 4), SKEW, total).forward(torch.from_numpy(x))
    assert torch.allclose(result, expected, rtol=0, atol=1e-12)


def test_a_point_becomes_the_kernel_and_not_its_mirror_image():
    point = torch.zeros(15, 15, dtype=torch.float64)
    point[7, 6] = 1.0
    image = MeasuredPSF(1, SKEW).forward(point).numpy()
    assert np.allclose(image[4:11, 5:8], SKEW / SKEW.sum(), atol=1e-15)


def test_a_sampled_gaussian_equals_the_separable_operator():
    taps = np.exp(-0.5 * (np.arange(-6, 7) / (0.35 * 4)) ** 2)
    x = torch.from_numpy(RNG.random((2, 32, 24)))
    result = MeasuredPSF(4, np.outer(taps, taps)).forward(x)
    assert torch.allclose(result, GaussianPSF(4, 0.35).forward(x), rtol=0, atol=1e-13)


def test_a_large_kernel_on_a_small_image():
    operator = MeasuredPSF(2, RNG.random((101, 101)))
    x, y = torch.from_numpy(RNG.random((10, 6))), torch.from_numpy(RNG.random((5, 3)))
    left, right = float((operator.forward(x) * y).sum()), float((x * operator.adjoint(y)).sum())
    assert left == pytest.approx(right, rel=1e-12)
    assert operator.reach == 25


def test_the_kernel_is_copied_and_read_only():
    source = SKEW.copy()
    operator = MeasuredPSF(2, source)
    before = operator.describe()
    source[:] = 1.0
    assert operator.describe() == before
    with pytest.raises(ValueError, match="read-only"):
        operator.psf[0, 0] = 1.0


def gaussian(side, middle, width=1.5):
    line = np.exp(-0.5 * ((np.arange(side) - middle) / width) ** 2)
    return np.outer(line, line)


@pytest.mark.parametrize(("side", "middle"), [(17, 8), (18, 9), (18, 8.5)])
def test_an_even_side_has_its_middle_where_its_light_is(side, middle):
    """At pixel n / 2, as transforms put it, or between two pixels: the same kernel."""
    point = torch.zeros(31, 31, dtype=torch.float64)
    point[15, 15] = 1.0
    image = MeasuredPSF(1, gaussian(side, middle)).forward(point).numpy()
    expected = gaussian(31, 15)
    np.testing.assert_allclose(image, expected / expected.sum(), atol=4e-4)


@pytest.mark.parametrize("factor", [1, 2, 3, (4, 1)])
def test_a_response_is_read_at_the_middle_of_every_block(factor):
    """Against the sum written out: y_i = sum_p K(p) x(middle of block i - p), borders reflected."""
    fy, fx = (factor, factor) if isinstance(factor, int) else factor
    kernel = RNG.random((5 + (fy % 2 == 0), 7 + (fx % 2 == 0))) ** 2
    x = RNG.random((3 * fy, 5 * fx))
    wide = np.pad(x, 12, mode="symmetric")
    expected = np.zeros((3, 5))
    for i in range(3):
        for j in range(5):
            row, col = 12 + fy * i + (fy - 1) / 2, 12 + fx * j + (fx - 1) / 2
            for a in range(kernel.shape[0]):
                for b in range(kernel.shape[1]):
                    p, q = a - (kernel.shape[0] - 1) / 2, b - (kernel.shape[1] - 1) / 2
                    expected[i, j] += kernel[a, b] * wide[int(row - p), int(col - q)]
    for total, gain in ((False, 1), (True, fy * fx)):
        result = PixelResponse(factor, kernel, total).forward(torch.from_numpy(x)).numpy()
        np.testing.assert_allclose(result, gain * expected / kernel.sum(), rtol=1e-10)


def test_a_box_is_the_pixel_itself():
    x = torch.from_numpy(RNG.random((12, 8)))
    assert torch.allclose(PixelResponse((3, 2), np.ones((3, 2))).forward(x), Area((3, 2)).forward(x), atol=1e-14)


def test_a_response_without_a_middle_is_refused():
    with pytest.raises(UsageError, match=r"response of 4 x 5 pixels has no middle on a block of 2 x 2"):
        PixelResponse(2, np.ones((4, 5)))
    with pytest.raises(UsageError, match="not a 2-D array"):
        PixelResponse(2, np.ones(4))


BAD = {
    "one axis": (np.ones(5), "not a 2-D array"),
    "complex": (np.ones((3, 3), complex), "real numbers"),
    "bool": (np.ones((3, 3), bool), "real numbers"),
    "nan": (np.full((3, 3), np.nan), "not finite"),
    "no sum": (np.zeros((3, 3)), "sum that is not positive"),
    "negative sum": (-np.ones((3, 3)), "sum that is not positive"),
    "huge": (np.ones((1, 1003)), "larger than"),
    "empty": (np.ones((0, 3)), "sum that is not positive"),
}


@pytest.mark.parametrize("name", BAD)
def test_arrays_that_are_no_kernel_are_refused(name, tmp_path):
    array, message = BAD[name]
    with pytest.raises(UsageError, match=message):
        MeasuredPSF(2, array)
    path = tmp_path / "kernel.npy"
    np.save(path, array)
    with pytest.raises(UsageError, match=r"kernel\.npy"):
        MeasuredPSF.load(2, path)


def test_loads_what_numpy_saved(tmp_path):
    for dtype in (np.float32, np.uint16, ">f8"):
        kernel = np.rint(SKEW * 1000).astype(dtype)
        np.save(tmp_path / "kernel.npy", kernel)
        loaded = MeasuredPSF.load(2, tmp_path / "kernel.npy")
        assert loaded.describe() == MeasuredPSF(2, kernel.astype(np.float64)).describe()


def _npy(header: str, payload: bytes = b"") -> bytes:
    text = header.encode()
    text += b" " * (117 - len(text)) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + payload


FILES = {
    "empty": b"",
    "text": b"0.1 0.2 0.1\n",
    "truncated": _npy("{'descr': '<f8', 'fortran_order': False, 'shape': (5, 5), }", b"\0" * 64),
    "bomb": _npy("{'descr': '<f8', 'fortran_order': False, 'shape': (999999999, 999999999), }", b"\0" * 64),
    "pickle": _npy("{'descr': '|O', 'fortran_order': False, 'shape': (3, 3), }", b"\x80\x04N."),
    "archive": b"PK\x05\x06" + b"\0" * 18,
}


@pytest.mark.parametrize("name", FILES)
def test_damaged_and_hostile_files_are_refused_by_name(name, tmp_path):
    path = tmp_path / "kernel.npy"
    path.write_bytes(FILES[name])
    with pytest.raises(UsageError, match=r"kernel\.npy cannot be read as a PSF"):
        MeasuredPSF.load(2, path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    for path in (tmp_path / "none.npy", tmp_path):
        with pytest.raises(UsageError, match="cannot be read as a PSF"):
            MeasuredPSF.load(2, path)
