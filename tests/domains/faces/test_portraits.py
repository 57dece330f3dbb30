"""How large a prior makes a face, and aligned faces as arrays, which are carried on as those of files are."""

import numpy as np
import pytest
from PIL import Image

import gensr
from gensr.domains.faces.parts import Made, _made
from gensr.errors import SearchError
from gensr.scenes.insets import Aligned

OWN = Aligned("own", 3, 128, "")
TWICE = Aligned("twice", 3, 128, "", double=4)
DRAW = np.random.default_rng(4)


def face(side, bands=3):
    """Codes (band, side, side) of something that is smooth."""
    y, x = (np.mgrid[:side, :side] + 0.5) / side
    planes = [110 + 60 * np.sin(7 * x + k) * np.cos(5 * y) for k in range(bands)]
    return np.rint(np.stack(planes) + DRAW.normal(size=(bands, side, side))).astype(np.uint8)


@pytest.mark.parametrize(
    ("length", "factor", "expected"),
    [
        (128, 2, Made(256, 2)),
        (240, 2, Made(256, 2)),  # a face of more pixels than are told still gains some
        (100, 2, Made(256, 4)),  # 64 pixels told, 200 wanted
        (64, 2, Made(128, 2)),  # no finer than what is wanted
        (64, 4, Made(256, 4)),
        (33, 16, Made(128, 4)),  # twice its side from 32 pixels is more than it is good for
        (16, 16, Made(128, 8)),
        (8, 4, Made(128, 16)),
        (6, 4, None),
        (257, 2, None),
    ],
)
def test_what_a_prior_that_makes_twice_its_side_is_asked_for(length, factor, expected):
    assert _made(length, factor, TWICE) == expected


@pytest.mark.parametrize(("length", "expected"), [(128, Made(128, 2)), (40, Made(128, 4)), (129, None)])
def test_what_a_prior_of_one_size_is_asked_for(length, expected):
    assert _made(length, 2, OWN) == expected


class TestArrays:
    def test_beyond_the_prior_it_is_carried_on_and_explains_the_data(self):
        codes = face(120)
        found = gensr.upsample(codes, factor=4, domain="faces", samples=1, search="fast", seed=1)
        assert (found.mean.shape, found.mean.dtype) == ((3, 480, 480), np.uint8)
        assert found.report["generator"]["name"] == "engression-faces"
        means = found.mean.astype(float).reshape(3, 120, 4, 120, 4).mean((2, 4))
        assert np.abs(means - codes).max() <= 0.5
        assert any("makes faces of 256 pixels; on the way to 480 nothing" in text for text in found.report["warnings"])

    def test_an_array_is_answered_as_its_file_is(self, tmp_path):
        codes = face(16)
        Image.fromarray(codes.transpose(1, 2, 0)).save(tmp_path / "face.png")
        words = {"factor": 16, "domain": "faces", "samples": 1, "search": "fast", "noise": 0, "seed": 3}
        array = gensr.upsample(codes, **words)
        file = gensr.upsample(tmp_path / "face.png", **words)
        assert array.mean.shape == file.mean.shape == (3, 256, 256)
        difference = np.abs(array.mean.astype(float) - file.mean)
        assert difference.mean() < 4  # one is scaled by its percentiles, the other by its format
        assert any("makes faces of 128 pixels" in text for text in array.report["warnings"])

    def test_axes_and_kinds_come_back(self):
        codes = face(40)
        words = {"factor": 16, "domain": "faces", "samples": 0, "search": "fast", "noise": 0}
        last = gensr.upsample(codes.transpose(1, 2, 0), dims="y,x,band", **words)
        assert last.mean.shape == (640, 640, 3)
        real = gensr.upsample(codes / 255.0, **words)
        assert real.mean.dtype == np.float64
        assert np.abs(real.mean * 255 - last.mean.transpose(2, 0, 1)).mean() < 0.5

    def test_grey_is_answered_in_grey(self):
        codes = face(24, 1)[0]
        found = gensr.upsample(codes, factor=4, domain="faces", samples=1, search="fast")
        assert found.mean.shape == found.samples[0].shape == (96, 96)
        means = found.mean.astype(float).reshape(24, 4, 24, 4).mean((1, 3))
        assert np.abs(means - codes).max() <= 0.5

    def test_what_the_prior_makes_by_itself_is_not_carried_on(self):
        found = gensr.upsample(face(32), factor=4, domain="faces", samples=0, search="fast", noise=0)
        assert found.report["std scale from"] == "card"
        assert not any("nothing is added" in text for text in found.report["warnings"])

    def test_gaps_are_not_carried_on(self):
        codes = face(40).astype(np.float32)
        codes[:, 3, 4] = np.nan
        with pytest.raises(SearchError):
            gensr.upsample(codes, factor=32, domain="faces", samples=0, generator="engression-faces")
