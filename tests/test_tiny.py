"""Images smaller than a window of the prior go through the whole flow."""

import numpy as np
import pytest

import gensr


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (4, 3), (7, 8), (40, 2)])
def test_any_size_is_reconstructed(shape):
    image = np.random.default_rng(0).normal(100, 10, shape).astype(np.float32)
    result = gensr.upsample(image, factor=2, search="fast", samples=0)
    assert result.mean.shape == (2 * shape[0], 2 * shape[1])
    assert np.isfinite(result.mean).all()
    assert np.isfinite(result.std).all()
    assert result.mean.mean() == pytest.approx(image.mean(), rel=0.2)


def test_a_tiny_image_says_nothing_about_its_noise():
    """Too few pixels: a default that says so, and data that are explained exactly."""
    image = np.random.default_rng(0).normal(100, 10, (4, 3)).astype(np.float32)
    result = gensr.upsample(image, factor=2, search="fast", samples=0)
    assert result.report["noise"]["source"].startswith("a default: too few usable pixels")
    np.testing.assert_allclose(result.mean.reshape(4, 2, 3, 2).mean((1, 3)), image, rtol=1e-5)
