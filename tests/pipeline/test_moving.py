"""Motion is found in files that say nothing of their noise, or say that it grows with the signal."""

import numpy as np
import pytest
from astropy.io import fits
from PIL import Image
from scipy.signal import fftconvolve

from gensr import Request, settle
from gensr.operators.blurs import line
from gensr.search.motion import order


def blurred(x, kernel):
    return fftconvolve(np.pad(x, 30, mode="symmetric"), kernel, mode="same")[30:-30, 30:-30]


def leaves(side, draw):
    out = np.full((side, side), 0.5)
    y, x = np.mgrid[:side, :side]
    for _ in range(700):
        inside = (
            np.hypot(y - draw.uniform(-9, side + 9), x - draw.uniform(-9, side + 9)) < 2 / draw.uniform(0.03, 1) ** 0.6
        )
        out[inside] = draw.uniform(0, 1)
    return out


def background(path):
    with settle(Request(path, 1, operator="moving", samples=0, check="off")) as plan:
        return plan.moved.found.background


def test_a_trail_of_stars_is_found_under_shot_noise(tmp_path):
    draw = np.random.default_rng(0)
    y, x = np.mgrid[:160, :160]
    sharp = np.full((160, 160), 60.0)
    for row, col, bright in zip(*draw.uniform(0, 160, (2, 100)), 300 * draw.pareto(1.1, 100) + 300, strict=True):
        sharp += min(bright, 1e5) * np.exp(-((y - row) ** 2 + (x - col) ** 2) / 1.6) / 5
    seen = draw.poisson(blurred(sharp, line(12.0, 35.0)).clip(0)) + draw.normal(0, 4, sharp.shape)
    header = fits.Header({"GAIN": 1.0, "RDNOISE": 4.0, "BUNIT": "electron"})
    fits.PrimaryHDU(seen.astype(np.float32), header).writeto(tmp_path / "a.fits")
    found = background(tmp_path / "a.fits")
    assert found.kind == "line"
    assert found.path.length == pytest.approx(12, rel=0.1)
    assert found.path.angle % 180 == pytest.approx(35, abs=4)


def test_noise_that_the_finest_scales_hide_is_taken_from_the_modes(tmp_path):
    draw = np.random.default_rng(1)
    seen = [blurred(leaves(160, draw), line(9.0, 120.0)) + draw.normal(0, 0.02, (160, 160)) for _ in range(3)]
    Image.fromarray((255 * np.stack(seen, -1)).round().clip(0, 255).astype(np.uint8)).save(tmp_path / "a.png")
    found = background(tmp_path / "a.png")
    assert found.kind == "line"
    assert found.path.length == pytest.approx(9, rel=0.1)


def test_a_motion_that_is_not_sure_to_gain_leaves_the_data_as_they_are_and_says_so(tmp_path, monkeypatch):
    draw = np.random.default_rng(1)
    seen = blurred(leaves(160, draw), line(9.0, 120.0)) + draw.normal(0, 0.01, (160, 160))
    Image.fromarray((255 * seen).round().clip(0, 255).astype(np.uint8)).save(tmp_path / "a.png")
    request = Request(tmp_path / "a.png", 1, operator="moving", samples=0, check="off")
    monkeypatch.setattr(order, "expected_gain", lambda *given: -0.1)
    with settle(request) as plan:
        assert plan.moved.operator.describe()["name"] == "area"
        assert plan.moved.doubt.startswith("no certain motion was found, so the data stay as they are")
        assert (
            "everything may have moved, but undoing that may lose more than it gains, so it is left" in plan.moved.doubt
        )
        assert plan.moved.describe()["left, for undoing it may lose"] == ["everything"]
    monkeypatch.setattr(order, "expected_gain", lambda *given: 0.1)
    with settle(request) as plan:
        assert plan.moved.doubt == "motion found: uniform"
        assert plan.moved.operator.describe()["name"] == "motion"
