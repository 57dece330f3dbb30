"""Counting found faces, and faces of the corpus laid into turned pictures."""

import math

import numpy as np
import pytest

from gensr.benchmarks import landmarks
from gensr.benchmarks.datasets import Case
from gensr.domains.faces.align import Face

MARKS = np.array([[42.0, 52.0], [86.0, 52.0], [64.0, 80.0], [44.0, 99.0], [84.0, 99.0]])


def test_landmarks_turn_with_the_face():
    pytest.importorskip("cv2")
    image = np.full((3, 128, 128), 40.0, np.float32)
    for x, y in MARKS:
        image[:, int(y) - 3 : int(y) + 3, int(x) - 3 : int(x) + 3] = 250
    case = Case("a", image, 255.0, "s", 1.0, np.zeros((0, 3)))
    draw, sides = np.random.default_rng(0), set()
    for _ in range(6):
        picture, there = landmarks.laid(case, MARKS, draw)
        scale = len(picture) / 256
        sides.add(len(picture))
        assert math.dist(*there[:2]) == pytest.approx(44 * scale)
        y, x = np.nonzero(picture[..., 0] > 180)
        for mark in there:
            near = np.hypot(x + 0.5 - mark[0], y + 0.5 - mark[1]) < 6 * scale
            middle = np.array([x[near].mean(), y[near].mean()]) + 0.5
            assert np.abs(middle - mark).max() < 0.6
    assert len(sides) > 1


def test_faces_are_counted_once(monkeypatch):
    truth, small, missed = MARKS, MARKS / 3 + 300, MARKS + 600
    seen = [MARKS + np.array([4.4, 0]), MARKS / 3 + 300, MARKS + 1500]
    faces = [Face((0, 0, 1, 1), tuple(map(tuple, marks)), 1.0) for marks in seen]
    monkeypatch.setattr(landmarks, "find_faces", lambda picture: faces)
    tally = landmarks.Tally([])
    tally.add(np.zeros((1, 1, 3), np.uint8), [truth, small, missed], 24.0)
    row = tally.row("all")
    assert [row[k] for k in ("faces", "found", "false", "marked")] == [3, 2, 1, 1]
    assert row["median"] == pytest.approx(0.1)
