"""The blur that a user names: words, kernels in files of any format, and a factor of 1 that would do nothing."""

import numpy as np
import pytest
import tifffile
from astropy.io import fits
from PIL import Image

from gensr.errors import UsageError
from gensr.operators import Area, Bicubic, Defocus, GaussianPSF, KSpaceCrop, Lanczos, MeasuredPSF, Motion, PixelResponse
from gensr.pipeline.instrument import blur_words, changes_nothing, named_operator, settle_operator
from gensr.pipeline.request import Request
from gensr.scenes.arrays import ArrayScene
from gensr.scenes.provenance import DEBLURRED, MARK, mark_of, sentence

KERNEL = np.arange(1, 36).reshape(5, 7).astype(np.uint8)


def write(path):
    if path.suffix == ".npy":
        np.save(path, KERNEL)
    elif path.suffix == ".fits":
        fits.PrimaryHDU(KERNEL).writeto(path)
    elif path.suffix == ".tif":
        tifffile.imwrite(path, KERNEL, photometric="minisblack")
    else:
        Image.fromarray(KERNEL).save(path)
    return path


@pytest.mark.parametrize("name", ["k.npy", "k.fits", "k.tif", "k.png"])
def test_a_kernel_is_an_image_of_any_format(tmp_path, name):
    words = blur_words(None, write(tmp_path / name))
    found = named_operator(words, (1, 1))
    np.testing.assert_allclose(found.psf, KERNEL / KERNEL.sum(), rtol=1e-6)
    assert named_operator(words, (2, 2), total=True).gain == 4


def test_no_kernel_is_one_line_that_names_the_file(tmp_path):
    tifffile.imwrite(tmp_path / "many.tif", np.ones((3, 8, 8), np.uint8), photometric="minisblack")
    (tmp_path / "text.txt").write_text("no image")
    fits.PrimaryHDU(np.zeros((9, 9), np.float32)).writeto(tmp_path / "empty.fits")
    for name, words in [("many.tif", "3 plane"), ("text.txt", "text.txt"), ("none.png", "no such file"),
                        ("empty.fits", "sum that is not positive")]:  # fmt: skip
        with pytest.raises(UsageError, match=words) as caught:
            named_operator(f"psf:{tmp_path / name}", (1, 1))
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)


def test_words_of_a_blur():
    assert blur_words("gaussian:1.5", None) == "gaussian:1.5"
    with pytest.raises(UsageError, match=r"blur=motion:9,3 and kernel=k.npy all say"):
        blur_words("motion:9,3", "k.npy")
    with pytest.raises(UsageError, match=r"blur=kspace: expected gaussian:SIGMA"):
        blur_words("kspace", None)


@pytest.mark.parametrize(
    ("operator", "nothing"),
    [(Area(1), True), (Bicubic(1), True), (Lanczos(1), True), (KSpaceCrop(1), True), (GaussianPSF(1, 0.0), True),
     (MeasuredPSF(1, np.ones((1, 1))), True), (GaussianPSF(1, 0.4), False), (Defocus(1, 1.5), False),
     (Motion(1, 2.0, 45.0), False), (PixelResponse(1, KERNEL), False), (MeasuredPSF(1, np.eye(3)[::2]), False)],
)  # fmt: skip
def test_what_changes_nothing(operator, nothing):
    assert changes_nothing(operator) is nothing


def test_a_factor_of_one_needs_a_blur():
    scene = ArrayScene(np.zeros((8, 8)))
    with pytest.raises(UsageError, match=r"factor=1: nothing to do.*gensr deblur"):
        Request(source="array", factor=1)
    with pytest.raises(UsageError, match=r"factor=1: nothing to do.*gensr deblur"):
        settle_operator(scene, Request(source="array", factor=1, operator="area"))
    found = settle_operator(scene, Request(source="array", factor="1x1", operator="motion:5,0"))
    assert found.describe() == Motion(1, 5.0, 0.0).describe()
    with pytest.raises(UsageError, match="labels=nearest: with a factor of 1"):
        Request(source="array", factor=1, operator="motion:5,0", labels="nearest")


def test_the_mark_says_what_was_done():
    assert mark_of({"factor": 1}) == mark_of({"factor": [1, 1]}) == DEBLURRED
    assert mark_of({"factor": "1x2"}) == mark_of({"factor": 2}) == mark_of({}) == MARK
    assert sentence({"factor": 1}).startswith(DEBLURRED)
