"""The table of noise that is found."""

import csv

import numpy as np
import pytest

from gensr.benchmarks import noise
from gensr.errors import UsageError
from gensr.pipeline.finest import Floor


def test_rows_count_what_is_near_uncertain_and_wrong():
    sure, doubt = (Floor(2.0, 1.9, 2.1, 5.0), Floor(2.0, 0.5, 3.0, 5.0))
    found = noise.row("faces", 2.0, [sure, sure, doubt], rounded=True)
    assert (found["near"], found["uncertain"], found["wrong"]) == (3, 0, 0)
    found = noise.row("faces", 5.0, [sure, sure, doubt], rounded=True)
    assert (found["near"], found["uncertain"], found["wrong"]) == (0, 1, 2)
    assert noise.row("faces", 0.0, [Floor(0.0, 0.0, 0.0, 5.0), sure], rounded=True)["near"] == 1


def test_a_scene_has_its_noise_and_its_gaps():
    image = noise.observed(np.full((80, 80), 100.0), 3.0, True, 1)
    assert not image.usable[0, :20, :20].any()
    assert 0 < (~image.usable[0, 20:]).sum() < 40
    assert image.values[image.usable].std() == pytest.approx(3.0, rel=0.05)
    assert (image.values == np.rint(image.values)).all()


def test_tables_are_written_and_unknown_words_refused(tmp_path, monkeypatch):
    y, x = np.mgrid[:96, :96] / 96
    monkeypatch.setattr(noise, "scenes", lambda *_: iter([100 + 20 * np.sin(4 * x) * y] * 3))
    monkeypatch.setattr(noise, "SUBJECTS", {"faces": "test"})
    assert noise.main([f"output={tmp_path}", "cases=2"]) == 0
    with (tmp_path / "noise.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["scenes"] for row in rows] == ["2"] * 5
    assert [int(row["near"]) for row in rows][2:] == [2, 2, 2]
    assert "Of 10 scenes" in (tmp_path / "noise.md").read_text()
    with pytest.raises(UsageError, match="unknown argument"):
        noise.main(["speed=1"])
