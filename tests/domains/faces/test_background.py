"""A photo whose background a prior for fields answers: everywhere an answer, everywhere explained."""

from __future__ import annotations

from contextlib import closing

import numpy as np
import pytest
from PIL import Image

import gensr
from gensr.domains.faces import centre
from gensr.errors import UsageError
from gensr.pipeline.events import TileDone, Written
from gensr.pipeline.request import Request

BOX = "30,18,20,26"


@pytest.fixture(autouse=True)
def nothing_is_looked_for(monkeypatch):
    monkeypatch.setattr(centre, "installed", lambda: False)


@pytest.fixture
def photo(tmp_path):
    y, x = np.mgrid[:60, :84] / 12.0
    planes = [np.sin(x + k) + np.cos(y * (1 + 0.3 * k)) for k in range(3)]
    codes = np.clip(np.rint(np.stack(planes, -1) * 70 + 120), 0, 255).astype(np.uint8)
    codes[:12] = 255
    Image.fromarray(codes).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def answered(path, **words):
    options = {"background": "field", **words.pop("options", {})}
    return gensr.upsample(path, factor=2, search="fast", domain="faces", options=options, **words)


def means(picture):
    bands, rows, cols = picture.shape
    return picture.astype(float).reshape(bands, rows // 2, 2, cols // 2, 2).mean((2, 4))


def read(path):
    with Image.open(path) as image:
        return np.moveaxis(np.asarray(image), -1, 0)


def test_every_pixel_is_answered_and_every_datum_explained(photo, tmp_path):
    result = answered(photo, samples=2, output=tmp_path / "out")
    assert result.files[0].name == "photo_x2_generated.png"
    for picture in (result.mean, *result.samples):
        assert np.abs(means(picture) - read(photo)).max() <= 0.5
    assert np.isfinite(result.std).all()
    assert (result.std[:, 30:] > 0).all()
    assert (result.samples[0] != result.samples[1]).any()
    plain = gensr.upsample(photo, factor=2, domain="faces", search="fast")
    assert (result.mean != plain.mean).any()
    ground = result.report["background"]
    assert (ground["generator"], len(ground["sha256"])) == ("engression-field", 64)
    assert result.report["generator"]["name"] == "engression-field"
    assert result.report["search"] == {"preset": "fast"}
    said = " ".join(result.report["warnings"])
    assert "engression-field answers the photo" in said
    assert "engression-field was made for" in said
    with Image.open(result.files[0]) as image:
        assert "digitalsourcetype/trainedAlgorithmicMedia" in image.text["XML:com.adobe.xmp"]
        assert "Contains generated detail" in image.text["Comment"]


def test_a_face_lies_over_the_field_and_leaves_the_rest_of_it(photo):
    field = answered(photo, samples=1)
    face = answered(photo, samples=1, options={"face": BOX})
    plain = gensr.upsample(photo, factor=2, domain="faces", search="fast", samples=1, options={"face": BOX})
    shows = np.isfinite(plain.std).all(0)
    assert 0.05 < shows.mean() < 0.6
    for one, two in ((face.mean, field.mean), (face.samples[0], field.samples[0])):
        assert (one[:, ~shows] == two[:, ~shows]).all()
        assert (one[:, shows] != two[:, shows]).any()
    np.testing.assert_array_equal(face.std[:, ~shows], field.std[:, ~shows])
    middle = (slice(None), 2 * 31, 2 * 40)
    np.testing.assert_allclose(face.std[middle], plain.std[middle], rtol=1e-5)  # inside the face is all there is
    assert np.isfinite(face.std).all()
    assert face.report["generator"]["name"] == "engression-faces"
    assert np.abs(means(face.samples[0]) - read(photo)).max() <= 0.5


def test_a_run_that_was_stopped_goes_on_to_the_same_bytes(photo, tmp_path):
    def request(out, **words):
        options = {"background": "field", "face": BOX}
        return Request(photo, factor=2, search="fast", samples=1, domain="faces", output=out, options=options, **words)

    whole = tmp_path / "whole"
    with gensr.settle(request(whole)) as plan:
        assert plan.describe()["background"]["generator"] == "engression-field"
        done = [event.position for event in plan.run() if isinstance(event, TileDone)]
    assert [p.done for p in done] == sorted(p.done for p in done)
    assert done[-1].done == done[-1].total == 2 * 3 * 120 * 168
    out = tmp_path / "stopped"
    with gensr.settle(request(out)) as plan, closing(plan.run()) as events:
        next(event for event in events if isinstance(event, TileDone))
    assert not list(out.glob("*.png"))
    with gensr.settle(request(out, resume=True)) as plan:
        (written,) = [event for event in plan.run() if isinstance(event, Written)]
    for name in ("photo_x2_generated.png", "photo_x2_generated_sample1.png"):
        assert (read(out / name) == read(whole / name)).all()
    assert len(written.files) > 3


def test_words_that_would_not_act_are_refused(photo, tmp_path):
    Image.fromarray(np.full((16, 16, 3), 90, np.uint8)).save(tmp_path / "face.png")
    with pytest.raises(UsageError, match=r"background=field: the picture is taken for one aligned face"):
        gensr.upsample(tmp_path / "face.png", factor=2, domain="faces", options={"background": "field"})
    with pytest.raises(UsageError, match=r"background='blur' is not one of lanczos, field"):
        gensr.upsample(photo, factor=2, domain="faces", options={"background": "blur"})
