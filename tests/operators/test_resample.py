"""The interpolating upsampler against Pillow and against polynomials."""

import numpy as np
import pytest
from PIL import Image
from skimage import data

from gensr.errors import GridError, UsageError
from gensr.operators.resample import upsample

PHOTO = data.camera()[200:240, 100:157].astype(np.float32) / 255


@pytest.mark.parametrize("factor", [1, 2, 3, 4, 8, (4, 2), (1, 3)])
@pytest.mark.parametrize(("kind", "filter_"), [("nearest", "NEAREST"), ("bicubic", "BICUBIC"), ("lanczos", "LANCZOS")])
@pytest.mark.parametrize("shape", [(40, 57), (3, 5), (1, 9), (1, 1)])
def test_equals_pillow_up_to_the_border(kind, filter_, factor, shape):
    image = PHOTO[: shape[0], : shape[1]]
    fy, fx = factor if isinstance(factor, tuple) else (factor, factor)
    size = (shape[1] * fx, shape[0] * fy)
    expected = np.asarray(Image.fromarray(image).resize(size, Image.Resampling[filter_]))
    result = upsample(image[None], factor, kind)
    assert result.shape == (1, size[1], size[0])
    assert result.dtype == np.float32
    assert np.abs(result[0] - expected).max() < 1e-5


@pytest.mark.parametrize("kind", ["bicubic", "lanczos"])
def test_keeps_constants_and_the_place_of_a_ramp(kind):
    ramp = np.arange(20.0)[None, None, :].repeat(4, 1)
    refined = upsample(ramp, 4, kind)[0, 8]
    centres = (np.arange(80) + 0.5) / 4 - 0.5
    inner = slice(16, -16)
    assert np.abs(refined - centres)[inner].max() < (1e-12 if kind == "bicubic" else 0.02)
    assert np.allclose(upsample(np.full((2, 3, 3), 7.0), 3, kind), 7.0, rtol=1e-14)


def test_input_is_untouched_and_the_result_is_a_copy():
    image = PHOTO[None].copy()
    for kind in ("nearest", "bicubic"):
        upsample(image, 1, kind)[:] = 0
    assert np.array_equal(image[0], PHOTO)


def test_nan_spreads_no_further_than_the_kernel():
    image = np.zeros((1, 1, 20))
    image[0, 0, 10] = np.nan
    bad = np.flatnonzero(np.isnan(upsample(image, (1, 2), "lanczos")[0, 0]))
    assert bad.min() >= 2 * (10 - 3)
    assert bad.max() < 2 * (10 + 3) + 2


def test_unknown_kinds_and_factors_are_refused():
    with pytest.raises(UsageError, match="there are nearest, bicubic, lanczos"):
        upsample(PHOTO[None], 2, "sinc")
    with pytest.raises(GridError):
        upsample(PHOTO[None], 0)
