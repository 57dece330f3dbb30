"""Interpolation against Pillow, and its laws."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gensr.benchmarks.interpolation import METHODS, interpolation_matrix, upscale
from gensr.benchmarks.protocol import block_mean

PILLOW = {
    "nearest": Image.Resampling.NEAREST,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("factor", [2, 3, 4, 8])
def test_equals_pillow(method: str, factor: int) -> None:
    image = np.random.default_rng(0).uniform(0, 255, (7, 11)).astype(np.float32)
    theirs = Image.fromarray(image).resize((11 * factor, 7 * factor), PILLOW[method])
    np.testing.assert_allclose(upscale(image, factor, method), np.asarray(theirs), atol=2e-4)


@settings(deadline=None, max_examples=40)
@given(
    size=st.integers(1, 20),
    factor=st.integers(1, 8),
    method=st.sampled_from(sorted(METHODS)),
    edge=st.sampled_from(["renormalise", "repeat"]),
)
def test_rows_sum_to_one_and_mirror(size: int, factor: int, method: str, edge: str) -> None:
    matrix = interpolation_matrix(size, factor, method, "repeat" if edge == "repeat" else "renormalise")
    np.testing.assert_allclose(matrix.sum(1), 1, rtol=1e-12)
    np.testing.assert_allclose(matrix, matrix[::-1, ::-1], atol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_ramp_does_not_move(method: str) -> None:
    """A ramp keeps its place: the centres are the true half-pixel ones."""
    ramp = np.arange(20.0)[None, None]
    fine = upscale(ramp, 4, method)[0, 0, 16:-16]
    assert np.abs(fine - ((np.arange(80) + 0.5) / 4 - 0.5)[16:-16]).max() < (0.5 if method == "nearest" else 0.04)
    np.testing.assert_allclose(block_mean(upscale(ramp, 4, method), 4)[0, 0, 4:-4], ramp[0, 0, 4:-4], atol=1e-3)


def test_factor_one_is_the_identity() -> None:
    image = np.random.default_rng(1).normal(size=(2, 5, 6))
    for method in METHODS:
        np.testing.assert_allclose(upscale(image, 1, method), image, atol=1e-14)


def test_unknown_method_names_the_known() -> None:
    with pytest.raises(ValueError, match="unknown interpolation 'cubic'; there are nearest, bicubic, lanczos"):
        interpolation_matrix(4, 2, "cubic")
