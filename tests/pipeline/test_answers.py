"""Sheets of several answers: verdicts that can fail, ink where answers differ, the words that go with them."""

import io
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from gensr.operators import Area
from gensr.pipeline import answers
from gensr.scenes.arrays import ArrayScene
from gensr.values.grid import Window


def task(exact, sigma=1.0, quantum=1.0):
    return SimpleNamespace(
        operator=Area((2, 2)), exact=exact, quantum=quantum, deviation=lambda data: torch.full_like(data, sigma)
    )


DATA = torch.from_numpy(np.random.default_rng(0).uniform(0, 200, (3, 16, 16)))
EXACT = np.repeat(np.repeat(DATA.numpy(), 2, 1), 2, 2)
NOISE = np.repeat(np.repeat(np.random.default_rng(1).normal(0, 1, (3, 16, 16)), 2, 1), 2, 2)


@pytest.mark.parametrize(("error", "good"), [(0.0, True), (0.4, True), (0.7, False)])
def test_exact_data_are_explained_to_half_a_code(error, good):
    said = answers.verdict(task(True), DATA, EXACT + error)
    assert said["consistent"] is good
    assert said["residual rms in codes"] == pytest.approx(error, abs=1e-3)
    assert answers.verdict(task(True, quantum=2.0), DATA, EXACT + 2 * error) == said


@pytest.mark.parametrize(("scale", "good"), [(1.0, True), (0.2, False), (2.0, False)])
def test_noisy_data_are_explained_neither_worse_nor_better_than_their_noise(scale, good):
    said = answers.verdict(task(False), DATA, EXACT + scale * NOISE)
    assert said["consistent"] is good
    assert said["chi2 per datum"] == pytest.approx(scale**2, rel=0.1)


def test_the_border_does_not_count_where_the_answer_goes_on():
    wrong = EXACT.copy()
    wrong[:, :2] += 100
    assert not answers.verdict(task(True), DATA, wrong)["consistent"]
    assert answers.verdict(task(True), DATA, wrong, 1)["consistent"]


class Made:
    """A product whose answers differ in the right half."""

    factor, samples, report = (4, 4), 3, {}

    def mean(self, plane, window):
        return self.sample(0, plane, window)

    def sample(self, index, plane, window):
        found = np.zeros((3, window.rows, window.cols))
        found[..., ::2] = 0.5
        right = found[..., window.cols // 2 :]
        right[:] = np.random.default_rng(index).normal(0, 1, right.shape)
        return found

    def std(self, plane, window):
        return np.ones((3, window.rows, window.cols), np.float32)


def test_ink_lies_where_answers_differ_and_verdicts_are_said(monkeypatch):
    scene, kept = ArrayScene(np.zeros((1, 3, 24, 24), np.float32)), {}

    def kept_instead(title, pictures, columns, mark):
        kept.update(title=title, pictures=dict(pictures), mark=mark)
        return b""

    monkeypatch.setattr(answers.preview, "compose", kept_instead)
    told = [
        {"residual rms in codes": 0.1, "consistent": True},
        {"residual rms in codes": 9.0, "chi2 per datum": 1.5, "consistent": False},
        {"residual rms in codes": 0.1, "consistent": True},
    ]
    answers.sheet(scene, "title", Made(), [answers.Shown("face 2", 0, Window(0, 0, 24, 24), told)])
    labels = [label for label in kept["pictures"] if label]
    assert labels[:3] == [
        "face 2: input",
        "face 2: mean (generated)",
        "face 2: answer 1: residual 0.1 codes, explains the data",
    ]
    assert labels[3] == "face 2: answer 2: chi2 1.50, does NOT explain the data"
    assert labels[-1] == f"face 2: agreement: {answers.WARNING}"
    assert kept["title"] == "title; not for identification"
    assert "Not for identification" in kept["mark"]
    picture = kept["pictures"][labels[-1]].astype(int)
    coloured = np.abs(picture[..., 0] - picture[..., 1]) > 20
    side = picture.shape[1]
    assert coloured[:, : side // 3].mean() < 0.02
    assert coloured[:, 2 * side // 3 :].mean() > 0.9


def test_a_large_answer_is_shown_coarser_and_a_sheet_is_a_picture():
    scene = ArrayScene(np.zeros((1, 3, 250, 100), np.float32))
    told = [{"residual rms in codes": 0.0, "consistent": True}] * 3
    data = answers.sheet(scene, "title", Made(), [answers.Shown("", 0, Window(0, 0, 250, 100), told)])
    with Image.open(io.BytesIO(data)) as image:
        assert image.text["Comment"].endswith("Not for identification.")
        assert image.height == 2 * (384 + 26) + 26
