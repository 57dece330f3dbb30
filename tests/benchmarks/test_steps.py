"""The table of evaluations per sample."""

import csv

import pytest
import torch

from gensr.benchmarks import steps
from gensr.benchmarks.sets import SETS
from gensr.errors import UsageError
from gensr.priors.weights import available, load

CHEST = next(item for item in SETS if item.name == "chest-xray")


@pytest.mark.skipif("flow-chest-xray" not in available(), reason="the flow of chest X-rays is not installed")
def test_one_evaluation_is_the_mean_and_more_spread(monkeypatch):
    monkeypatch.setattr(steps, "STEPS", (1, 4))
    x = torch.nn.functional.interpolate(torch.rand(2, 1, 4, 4), size=(32, 32), mode="bicubic")
    one, four = steps.rows_of(CHEST, load("flow-chest-xray")[0], x)
    assert (one["steps"], four["steps"]) == (1, 4)
    assert one["spread"] < 0.5 * four["spread"]
    assert one["psnr_sample"] > four["psnr_sample"]


def test_tables_are_written_and_unknown_words_refused(tmp_path, monkeypatch):
    row = {column: 1.5 for column in steps.COLUMNS} | {"domain": "chest-xray", "steps": 4}
    monkeypatch.setattr(steps, "pictures", lambda *_: torch.zeros(1, 1, 32, 32))
    monkeypatch.setattr(steps, "rows_of", lambda *_: [row])
    monkeypatch.setattr(steps, "SUBJECTS", ("chest-xray",))
    monkeypatch.setattr(steps.weights, "available", lambda: {"flow-chest-xray": None})
    monkeypatch.setattr(steps.weights, "load", lambda _: (None, None))
    steps.main([f"output={tmp_path}"])
    with (tmp_path / "steps.csv").open() as stream:
        assert [r["steps"] for r in csv.DictReader(stream)] == ["4"]
    assert "| chest-xray | 4 |" in (tmp_path / "steps.md").read_text()
    with pytest.raises(UsageError, match="unknown argument"):
        steps.main(["speed=1"])
