"""The table of what a user waits for."""

import csv

import numpy as np
import pytest

from gensr.benchmarks import whole
from gensr.errors import UsageError
from gensr.priors.weights import available

needs = pytest.mark.skipif("engression-field" not in available(), reason="the microscopy prior is not installed")
CELLS = np.random.default_rng(0).integers(20, 200, (16, 16)).astype(np.uint8)


@needs
def test_evaluations_of_the_network_are_a_part_of_the_whole():
    plain, drawn = (
        whole.warm(whole.Subject("cells", CELLS, "microscopy", {"factor": 2, "samples": samples, "noise": 2}))
        for samples in (0, 1)
    )
    assert plain["evaluations"] == 1
    assert drawn["evaluations"] == 2
    for row in (plain, drawn):
        assert 0 < row["network"] < row["seconds"]
        assert row["ratio"] == pytest.approx(row["seconds"] / row["network"])


def test_the_command_says_what_the_array_said(monkeypatch):
    asked = []
    monkeypatch.setattr(whole.subprocess, "run", lambda words, **_: asked.append(words))
    spent = iter([1.0, 4.0, 4.5, 7.0])
    monkeypatch.setattr(whole, "_spent_by_children", lambda: next(spent))
    row = whole.cold(whole.Subject("cells", CELLS, "microscopy", {"factor": 2, "samples": 0}), 0.5)
    assert asked[0][5:9] == ["domain=microscopy", "labels=image", "factor=2", "samples=0"]
    assert (row["seconds"], row["ratio"], row["beyond"]) == (2.5, 5.0, 2.0)


def test_tables_are_written_and_unknown_words_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(whole, "subjects", lambda _: [whole.Subject("cells", CELLS, "microscopy", {})])
    monkeypatch.setattr(whole, "warm", lambda one: {"subject": one.name, "what": "array", "network": 0.5})
    monkeypatch.setattr(whole, "cold", lambda one, network: {"subject": one.name, "what": "command", "ratio": network})
    assert whole.main([f"output={tmp_path}"]) == 0
    with (tmp_path / "whole.csv").open() as stream:
        assert [row["what"] for row in csv.DictReader(stream)] == ["array", "command"]
    with pytest.raises(UsageError, match="unknown argument"):
        whole.main(["speed=1"])
