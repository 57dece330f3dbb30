"""Orders to the process that opens what users sent: what it tells, and what lies there in the end."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from PIL import Image

from gensr.app import worker
from gensr.app.orders import MOST_SAMPLES, requested
from gensr.app.worker import carry_out
from gensr.errors import UsageError


@pytest.fixture
def order(tmp_path, images):
    def make(name="photo.png", spoil=None, **asked):
        asked = {"factor": 2, "search": "fast", "samples": 0, **asked}
        return {
            "do": "answer",
            "path": str(images.get(name, name)),
            "domain": "",
            "output": str(tmp_path / "out"),
            "shown": str(tmp_path / "shown"),
            "asked": asked,
            "spoil": spoil or {},
        }

    return make


def loaded(path):
    with Image.open(path) as image:
        return np.asarray(image)


def events(order, stopped=lambda: False):
    found = []
    carry_out(order, found.append, stopped)
    json.dumps(found)  # they travel as JSON
    return found


def test_an_answer_tells_its_plan_its_way_and_its_result(order, tmp_path):
    found = events(order(samples=4))
    assert [e["event"] for e in found][:1] == ["settled"]
    assert "engression-faces" in found[0]["words"]
    assert [e["done"] / e["total"] for e in found if e["event"] == "progress"] == [0, 1]
    done = found[-1]
    assert done["event"] == "done"
    assert not done["failure"]
    answers = [f"answer {k}" for k in range(1, 5)]
    assert done["pictures"] == ["input", "Lanczos", "mean", *answers, "std", "agreement"]
    pictures = {name: loaded(tmp_path / "shown" / f"{name}.png") for name in done["pictures"]}
    assert {picture.shape for picture in pictures.values()} == {(32, 32, 3)}
    assert len({picture.tobytes() for picture in pictures.values()}) == len(pictures)
    assert len(done["answers"]) == 4
    assert all(text.startswith("explains its data") for text in done["answers"])
    names = [path.rpartition("/")[2] for path in done["files"]]
    assert names[0] == "photo_x2_generated.png"
    assert not any(name.endswith("_run.yaml") for name in names)
    text = " ".join(done["words"])
    assert "Not for identification" in text
    assert "inventions of the model" in text


def test_a_picture_is_what_is_downloaded(order, tmp_path):
    done = events(order())[-1]
    np.testing.assert_array_equal(loaded(tmp_path / "shown" / "mean.png"), loaded(done["files"][0]))


def meadow(folder: Path, rows: int = 30, cols: int = 44) -> Path:
    """A photograph without a face."""
    y, x = np.mgrid[:rows, :cols]
    field = np.stack([90 + 30 * np.sin(x / 5 + k) + 20 * np.cos(y / (4 + k)) for k in range(3)], -1)
    path = folder / "meadow.png"
    Image.fromarray(field.astype(np.uint8)).save(path)
    return path


def test_the_faces_that_are_found_are_told_with_their_boxes(tmp_path, monkeypatch):
    from gensr.domains.faces import centre, whole
    from gensr.domains.faces.align import of_box
    from gensr.domains.faces.finder import number

    boxes = ((20.0, 4.0, 12.0, 16.0), (2.0, 3.0, 14.0, 20.0))
    monkeypatch.setattr(centre, "installed", lambda: True)
    monkeypatch.setattr(whole, "find_faces", lambda photo: number([of_box(box) for box in boxes]))
    order = {"do": "find", "path": str(meadow(tmp_path)), "domain": "", "shown": str(tmp_path / "shown")}
    (found,) = events(order)
    assert found == {"event": "found", "boxes": [[1, *boxes[1]], [2, *boxes[0]]]}
    assert loaded(tmp_path / "shown" / "found.png").shape == (30, 44, 3)


def test_faces_are_looked_for_where_there_may_be_some(tmp_path, images, monkeypatch):
    from gensr.domains.faces import centre

    def said(path):
        (found,) = events({"do": "find", "path": str(path), "domain": "", "shown": str(tmp_path / "shown")})
        assert found["event"] == "failed"
        return found["text"]

    assert "faces are looked for in photos; this is read as astronomy" in said(images["sky.fits"])
    assert "one aligned face" in said(images["photo.png"])
    monkeypatch.setattr(centre, "installed", lambda: False)
    assert "gensr[photos]" in said(meadow(tmp_path))


def test_a_box_is_answered_and_nothing_else(order, tmp_path):
    path = meadow(tmp_path)
    done = events({**order(str(path), samples=2), "face": "12,4,20,24"})[-1]
    assert [text.startswith("face 1 explains its data") for text in done["answers"]] == [True, True]
    assert any("face 1 by the prior engression-faces" in text for text in done["words"])
    assert {"std", "agreement", "answer 2"} <= set(done["pictures"])
    with Image.open(done["files"][0]) as made:
        after = np.asarray(made, float)
    whole = events({**order(str(path)), "domain": "faces", "face": "largest"})[-1]
    with Image.open(whole["files"][0]) as made:
        plain = np.asarray(made, float)
    assert "_interpolated" in whole["files"][0]
    changed = np.abs(after - plain).max(-1) > 0
    assert changed[16:48, 28:60].any()
    assert not changed[:, 76:].any()


@pytest.fixture
def two_faces(tmp_path, monkeypatch):
    """A photo in which faces are seen, wherever it is looked at: two boxes of its width."""
    from gensr.domains.faces import centre, whole
    from gensr.domains.faces.align import of_box
    from gensr.domains.faces.finder import number

    def found(photo):
        wide = photo.shape[1]
        return number([of_box((x * wide, 0.1 * wide, 0.25 * wide, 0.32 * wide)) for x in (0.15, 0.6)])

    monkeypatch.setattr(centre, "installed", lambda: True)
    monkeypatch.setattr(whole, "find_faces", found)
    return meadow(tmp_path, 161, 240)


def test_a_whole_photo_is_pixelated_and_its_faces_restored(order, two_faces, tmp_path):
    """The lines beyond the last block are left out; the answer lies on the grid of the input."""
    done = events(order(str(two_faces), {"kind": "pixelate", "amount": 4}, factor=4))[-1]
    assert done["files"][0].endswith("meadow_pixelated4_x4_generated.png")
    answer = loaded(done["files"][0])
    assert answer.shape == (160, 240, 3)
    low = loaded(two_faces)[:160].reshape(40, 4, 60, 4, 3).astype(float).mean((1, 3))
    assert np.abs(answer.reshape(40, 4, 60, 4, 3).mean((1, 3)) - low).max() <= 1.0  # rounded on the way and back
    text = " ".join(done["words"])
    assert "face 1, face 2 by the prior engression-faces" in text
    assert "averaged over blocks of 4 x 4 px" in text


def test_a_prior_answers_what_is_no_face_where_it_is_asked_to(order, two_faces):
    done = events({**order(str(two_faces), {"kind": "pixelate", "amount": 4}, factor=4), "field": True})[-1]
    assert "everything else is by the prior engression-field so that" in " ".join(done["words"])
    assert done["pictures"] == ["input", "Lanczos", "mean", "std"]


def test_what_cannot_be_undone_in_a_whole_photo_is_said(order, two_faces):
    found = events(order(str(two_faces), {"kind": "blur", "amount": 1.5}))[-1]
    assert found["event"] == "failed"
    assert "undo its blur with factor 1, pixelate it instead, or do not tell" in found["text"]
    done = events(order(str(two_faces), {"kind": "blur", "amount": 1.5, "told": False}))[-1]
    assert "face 2" in " ".join(done["words"])
    done = events(order(str(two_faces), {"kind": "motion", "amount": 5.0}, factor=1))[-1]
    before, after = loaded(two_faces).astype(float), loaded(done["files"][0]).astype(float)
    assert after.shape == before.shape
    assert "engression-field" in " ".join(done["words"])


def test_a_caption_lies_below_what_is_downloaded_and_not_in_what_is_compared(order, tmp_path):
    done = events({**order(str(meadow(tmp_path))), "caption": True, "face": "12,4,20,24"})[-1]
    assert loaded(tmp_path / "shown" / "mean.png").shape == (60, 88, 3)
    whole = loaded(done["files"][0])
    assert whole.shape[0] > 70
    np.testing.assert_array_equal(whole[:60], loaded(tmp_path / "shown" / "mean.png"))


@pytest.mark.parametrize(
    ("face", "spoil", "text"),
    [
        ("1,2,x", {}, "expected all, largest"),
        (7, {}, "expected numbers or boxes"),
        ("1," * 300, {}, "400 characters"),
        ("1", {"kind": "blur", "amount": 1.5}, "leave the choice or the spoiling out"),
    ],
)
def test_faces_are_chosen_in_words_that_act(order, tmp_path, face, spoil, text):
    (found,) = events({**order(str(meadow(tmp_path)), spoil), "face": face})
    assert found["event"] == "failed"
    assert text in found["text"]


def test_the_whole_photo_is_shown_reduced(tmp_path, monkeypatch):
    from gensr.app import pictures
    from gensr.domains.faces import Faces

    monkeypatch.setattr(pictures, "SIDE", 16)
    monkeypatch.setattr(pictures, "VALUES", 400)  # several strips
    made = pictures.reduced(Faces().open(meadow(tmp_path, 31, 44), {}))
    codes = loaded(tmp_path / "meadow.png").astype(float)
    assert made.shape == (11, 15, 3)
    assert np.abs(made[:10, :14] - codes[:30, :42].reshape(10, 3, 14, 3, 3).mean((1, 3))).max() <= 0.5
    assert np.abs(made[10, 14] - codes[30:, 42:].mean((0, 1))).max() <= 0.5


@pytest.mark.parametrize("name", ["photo.png", "map.tif", "sky.fits"])
def test_looking_says_what_it_is(order, images, tmp_path, name):
    found = events({"do": "look", "path": str(images[name]), "domain": "", "shown": str(tmp_path / "shown")})
    domain = {"photo.png": "faces", "map.tif": "satellite", "sky.fits": "astronomy"}[name]
    assert [e["event"] for e in found] == ["seen"]
    assert found[0]["domain"] == domain
    assert any(
        prior.endswith(domain.replace("satellite", "satellite-rgb")) or domain in prior for prior in found[0]["priors"]
    )
    assert (tmp_path / "shown" / "input.png").exists()


def test_pixelated_maps_are_answered_on_their_own_grid(order):
    rasterio = pytest.importorskip("rasterio")
    done = events(order("map.tif", {"kind": "pixelate", "amount": 4}, factor=8))[-1]
    assert done["event"] == "done", done
    assert done["files"][0].endswith("map_pixelated4_x8_generated.tif")
    with rasterio.open(done["files"][0]) as out:
        assert (out.height, out.width, out.dtypes[0], out.nodata) == (64, 96, "uint16", 0)
        assert out.transform == rasterio.Affine(5, 0, 600000, 0, -5, 5200000)
        assert out.crs.to_epsg() == 32632
    report = json.loads(next(Path(f).read_text() for f in done["files"] if f.endswith("_report.json")))
    assert report["input"]["spoiled on purpose"] == "averaged over blocks of 4 x 4 px"


def test_pixelated_skies_keep_their_coordinates(order, images):
    done = events(order("sky.fits", {"kind": "pixelate", "amount": 2}))[-1]
    assert done["event"] == "done", done
    before, after = fits.getheader(images["sky.fits"]), fits.getheader(done["files"][0])
    for key in ("CRPIX1", "CRPIX2", "CDELT1", "CRVAL1", "NAXIS1", "NAXIS2", "BUNIT"):
        assert after[key] == pytest.approx(before[key]) if isinstance(before[key], float) else after[key] == before[key]


def test_a_blurred_map_is_sharpened_when_it_is_told(order, images):
    """The answer that knows of the blur explains its data, and is nearer to the truth than the one that does not."""
    rasterio = pytest.importorskip("rasterio")
    errors = {}
    for told in (True, False):
        spoil = {"kind": "blur", "amount": 1.5, "noise": 0.5, "told": told}
        done = events(order("map.tif", spoil))[-1]
        assert done["event"] == "done", done
        with rasterio.open(images["map.tif"]) as before, rasterio.open(done["files"][0]) as after:
            truth, fine = before.read().astype(float), after.read().astype(float)
        errors[told] = np.square(fine.reshape(3, 32, 2, 48, 2).mean((2, 4)) - truth).mean()
    assert errors[True] < 0.6 * errors[False]


@pytest.mark.parametrize(
    ("spoil", "operator", "named"),
    [
        ({"kind": "motion", "amount": 5.0, "angle": 30.0, "noise": 1.0}, "", "motion"),
        ({}, "defocus:1.5", "defocus"),
    ],
)
def test_a_blur_is_undone_on_the_grid_of_the_input(order, images, spoil, operator, named):
    done = events(order("map.tif", spoil, factor=1, operator=operator))[-1]
    assert done["event"] == "done", done
    rasterio = pytest.importorskip("rasterio")
    with rasterio.open(images["map.tif"]) as before, rasterio.open(done["files"][0]) as after:
        assert (before.transform, before.shape) == (after.transform, after.shape)
    assert f"taken for {named}" in " ".join(done["words"])
    assert {"input", "mean", "std"} <= set(done["pictures"])


def test_a_run_is_cancelled_between_two_tiles(order, tmp_path):
    seen = []

    def tell(event):
        seen.append(event)

    def stopped():
        return any(e["event"] == "progress" and e["done"] for e in seen)

    carry_out(order("map.tif", tile=16), tell, stopped)
    assert seen[-1] == {"event": "stopped"}
    assert 0 < seen[-2]["done"] < seen[-2]["total"]
    assert not list((tmp_path / "out").glob("map*"))


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"output": "/etc"}, "output: expected factor"),
        ({"generator": "/tmp/x.safetensors"}, "expected one of"),
        ({"operator": "psf:/etc/passwd"}, "not for the page"),
        ({"operator": "psf"}, "not for the page"),
        ({"operator": "blurr:2"}, "unknown operator"),
        ({"factor": 1}, "nothing to do"),
        ({"samples": MOST_SAMPLES + 1}, "or fewer on the page"),
        ({"samples": -1}, "samples=-1"),
        ({"factor": "4; rm"}, "factor=4; rm"),
        ({"search": {"steps": 10**9}}, "expected a word"),
        ({"noise": "psf:x"}, "noise=psf:x"),
        ({"tile": "all"}, "tile=all"),
        ({"seed": "x"}, "seed=x"),
    ],
)
def test_words_that_a_page_must_not_say_are_refused(order, asked, said):
    with pytest.raises(UsageError, match=said):
        requested(order(**asked))
    (failed,) = events(order(**asked))
    assert failed["event"] == "failed"
    assert "\n" not in failed["text"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"path": "/etc/passwd"}, "no domain"),
        ({"path": "/proc/self/mem"}, "belongs to the system"),
        ({"path": "/nowhere.tif"}, "no such file"),
        ({"do": "dance"}, "expected look, find or answer"),
        ({"spoil": {"kind": "blur", "amount": 1e9}}, "0.1 to 8"),
        ({"domain": "astrology"}, "astrology"),
    ],
)
def test_hostile_orders_are_one_line(order, change, said):
    (failed,) = events({**order(), **change})
    assert failed["event"] == "failed"
    assert said in failed["text"]
    assert "bug in gensr" not in failed["text"]


def test_a_damaged_file_is_one_line(order):
    (failed,) = events(order("evil.tif"))
    assert failed["event"] == "failed"
    assert "evil.tif" in failed["text"]
    assert "bug in gensr" not in failed["text"]


def test_what_is_far_from_its_data_is_shown_and_said(order, monkeypatch):
    from gensr.pipeline import report

    monkeypatch.setattr(report, "UNEXPLAINED", 1e-9)
    done = events(order("map.tif", noise="1%"))[-1]
    assert done["event"] == "done"
    assert "deviations of the noise away" in done["failure"]
    assert "mean" in done["pictures"]


def test_labels_are_repeated_and_said(order, tmp_path):
    codes = np.zeros((16, 16), np.uint8)
    codes[4:9, 3:8], codes[10:14, 8:14] = 1, 2
    rasterio = pytest.importorskip("rasterio")
    path = tmp_path / "classes.tif"
    place = {"crs": "EPSG:32632", "transform": rasterio.Affine(10, 0, 0, 0, -10, 0)}
    with rasterio.open(path, "w", driver="GTiff", width=16, height=16, count=1, dtype="uint8", **place) as out:
        out.write(codes, 1)
    found = events({**order(str(path)), "domain": "satellite"})
    assert found[-1]["event"] == "failed"
    assert "label" in found[-1]["text"]


def test_the_process_keeps_its_lines_clean():
    """What a library prints does not become a line of the protocol."""
    import subprocess
    import sys

    code = (
        "import gensr.app.worker as w\n"
        "w.carry_out = lambda order, tell, stopped: (print('noise'), tell({'event': 'done'}))\n"
        "w.main()"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], input=b'{"do": "look"}\n', capture_output=True, timeout=120, check=True
    )
    assert [json.loads(line)["event"] for line in done.stdout.splitlines()] == ["ready", "done"]
    assert b"noise" in done.stderr
    assert worker.__name__ == "gensr.app.worker"
