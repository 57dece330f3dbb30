"""Whole photos in, whole photos out: interpolation that explains the data, faces laid over it, what is said."""

import json

import numpy as np
import pytest
from PIL import Image

import gensr
from gensr.domains.faces import centre
from gensr.domains.faces.chosen import parse_choice
from gensr.errors import DomainError, UsageError
from gensr.operators.resample import upsample as interpolate

SHAPE, BOX = (60, 84), (30.0, 18.0, 20.0, 26.0)


@pytest.fixture(autouse=True)
def nothing_is_looked_for(monkeypatch):
    monkeypatch.setattr(centre, "installed", lambda: False)


def scenery(shape=SHAPE, bands=3):
    """Smooth, with an edge that clips; 8 bits."""
    y, x = np.mgrid[: shape[0], : shape[1]] / 12.0
    planes = [np.sin(x + k) + np.cos(y * (1 + 0.3 * k)) for k in range(bands)]
    codes = np.clip(np.rint(np.stack(planes, -1) * 70 + 120), 0, 255).astype(np.uint8)
    codes[: shape[0] // 5] = 255
    return codes if bands > 1 else codes[..., 0]


@pytest.fixture
def photo(tmp_path):
    def make(codes=None, name="photo.png"):
        path = tmp_path / name
        Image.fromarray(scenery() if codes is None else codes).save(path)
        return path

    return make


def means(picture, factor):
    picture = picture[..., None] if picture.ndim == 2 else picture
    rows, cols, bands = picture.shape
    return picture.astype(float).reshape(rows // factor, factor, cols // factor, factor, bands).mean((1, 3))


def read(path):
    with Image.open(path) as image:
        return np.asarray(image)


def test_a_photo_without_a_face_is_interpolated_and_says_so(photo, tmp_path):
    result = gensr.upsample(photo(), factor=3, samples=2, search="fast", output=tmp_path / "out")
    names = sorted(f.name for f in result.files)
    assert names[0] == "photo_x3_interpolated.png"
    assert not any("sample" in n or "std" in n for n in names)
    made = read(tmp_path / "out" / names[0])
    assert np.abs(means(made, 3) - scenery()).max() <= 0.5
    plain = interpolate(np.moveaxis(scenery(), -1, 0).astype(np.float64), 3)
    assert np.abs(made[60:] - np.moveaxis(plain, 0, -1)[60:]).mean() < 1.5
    assert result.report["samples"] == 0
    assert any("nothing is generated" in text for text in result.report["warnings"])
    with Image.open(tmp_path / "out" / names[0]) as image:
        assert "nothing is generated" in image.text["Comment"]
        assert "digitalsourcetype/algorithmicallyEnhanced" in image.text["XML:com.adobe.xmp"]


def test_a_face_is_answered_and_the_rest_is_what_it_was(photo, tmp_path):
    path = photo()
    plain = gensr.upsample(path, factor=4, search="fast")
    face = "30,18,20,26"
    result = gensr.upsample(path, factor=4, samples=2, search="fast", output=tmp_path / "out", options={"face": face})
    again = gensr.upsample(path, factor=4, samples=2, search="fast", options={"face": face})
    (part,) = result.report["parts"]
    assert part["restored"]
    assert part["data"] == "16 x 16"
    known = np.isfinite(result.std).all(0)
    middle = (4 * (18 + 13), 4 * (30 + 10))
    assert known[middle]
    assert not known[:40].any()
    changed = (result.mean != plain.mean).any(0)
    assert changed[known].any()
    assert not changed[~known].any()
    assert (result.samples[0] != result.samples[1]).any()
    for picture in (result.mean, *result.samples):
        assert np.abs(means(np.moveaxis(picture, 0, -1), 4) - scenery()).max() <= 0.5
    assert (again.mean == result.mean).all()
    assert result.report["consistency"]["largest"] <= 0.5
    with Image.open(result.files[0]) as image:
        assert "compositeWithTrainedAlgorithmicMedia" in image.text["XML:com.adobe.xmp"]
    report = json.loads((tmp_path / "out" / "photo_x4_generated_report.json").read_text())
    assert report["parts"][0]["explained"]["samples"][0]["consistent"]
    sheet = tmp_path / "out" / "photo_x4_generated_answers.png"
    assert sheet in result.files
    assert sheet.name in report["files"]
    with Image.open(sheet) as image:
        assert "Not for identification" in image.text["Comment"]


def test_several_answers_lie_on_a_sheet_and_one_answer_does_not(photo, tmp_path):
    path, sizes = photo(scenery((16, 16))), {}
    for samples in (1, 2, 6):
        out = tmp_path / str(samples)
        result = gensr.upsample(path, factor=8, samples=samples, search="fast", output=out)
        sheets = [file for file in result.files if file.name.endswith("_answers.png")]
        sizes[samples] = read(sheets[0]).shape if sheets else None
    assert sizes[1] is None
    assert sizes[2][1] == sizes[6][1] == 4 * (384 + 8) + 8
    assert sizes[6][0] - sizes[2][0] == 384 + 18 + 8  # 10 pictures need a line more than 6 of them


def test_faces_have_noise_of_their_own_and_lie_over_each_other(photo):
    two = "30,18,20,26;38,18,20,26"
    result = gensr.upsample(photo(), factor=2, samples=1, search="fast", options={"face": two})
    assert [part["number"] for part in result.report["parts"]] == [1, 2]
    picture = np.moveaxis(result.samples[0], 0, -1)
    assert np.abs(means(picture, 2) - scenery()).max() <= 0.5


def test_a_tiny_face_goes_as_far_as_the_prior_and_is_carried_on(photo):
    small = scenery((16, 16))
    result = gensr.upsample(photo(small), factor=16, samples=2, search="fast")
    assert result.mean.shape == (3, 256, 256)
    assert np.abs(means(np.moveaxis(result.mean, 0, -1), 16) - small).max() <= 0.5
    assert result.report["whole"]
    assert any("on the way to 256 nothing is added" in text for text in result.report["warnings"])
    assert np.isfinite(result.std).all()
    direct = gensr.upsample(photo(small), factor=8, search="fast")
    assert "parts" not in direct.report


def test_grey_is_answered_in_grey(photo):
    grey = scenery((16, 16), 1)
    result = gensr.upsample(photo(grey), factor=8, samples=1, search="fast")
    assert result.mean.shape == (128, 128)
    assert np.abs(means(result.mean, 8)[..., 0] - grey).max() <= 0.5
    assert result.report["parts"]


def test_words_that_would_not_act_are_refused(photo):
    path = photo()
    for words in ({"operator": "gaussian:sigma=1"}, {"tile": 32}, {"check": "on"}, {"calibrate": "self"}):
        with pytest.raises(UsageError, match=next(iter(words))):
            gensr.upsample(path, search="fast", **words)
    with pytest.raises(DomainError, match="one factor for both axes"):
        gensr.upsample(path, factor="2x4", search="fast", options={"face": "30,18,20,26"})
    with pytest.raises(UsageError, match=r"face=3: found none"):
        gensr.upsample(path, search="fast", options={"face": 3})


def test_words_of_faces():
    assert parse_choice(2).which == (2,)
    assert parse_choice([1, 2, 30, 40]).boxes == ((1, 2, 30, 40),)
    assert parse_choice("1,2,30,40;5,6,7,8").boxes[1] == (5, 6, 7, 8)
    assert parse_choice("largest").numbers([1, 2, 3], "p") == {1}
    assert parse_choice("all").numbers([1, 2], "p") == {1, 2}
    assert parse_choice("all").numbers([], "p") == frozenset()
    for word in ("none", "0", True, "1,2,0,4", "1,2,3,4,5;"):
        with pytest.raises(UsageError, match="face="):
            parse_choice(word)
