"""Residuals at every scale, ranks and spread: right for answers that are right by construction, wrong for others."""

import csv

import numpy as np
import pytest

from gensr.benchmarks import scales
from gensr.benchmarks.answers import Answer, How
from gensr.benchmarks.datasets import Case
from gensr.benchmarks.protocol import block_mean, block_sum
from gensr.benchmarks.sets import SETS
from gensr.errors import UsageError

FACES = next(item for item in SETS if item.name == "faces")
FLUX = next(item for item in SETS if item.flux)
NOISE, DOUBT = 0.1, 0.3


def told(item, spread=1.0, shift=0.0, count=6):
    """Truths and samples that are independent draws about one mean, and data that both explain."""
    rng = np.random.default_rng(3)
    gather = block_sum if item.flux else block_mean
    found = []
    for _ in range(count):
        middle = rng.normal(5, 1, (1, 64, 64))
        truth, *drawn = (middle + DOUBT * rng.normal(size=middle.shape) for _ in range(scales.SAMPLES + 1))
        drawn = [middle + shift + spread * (x - middle) for x in drawn]
        low = gather(truth, 2)
        low = low + NOISE * rng.normal(size=low.shape)
        answer = Answer(middle + shift, np.full_like(middle, DOUBT), np.ones((1, 1, 1)), drawn, {}, [], 0.0, 1.0)
        found.append(scales.Told(truth, low, np.full_like(low, NOISE), answer))
    return found


def test_right_answers_have_flat_ranks_and_right_spread():
    row = scales.row(FACES, told(FACES), How("engression-faces"), 2)
    assert row["spread"] == pytest.approx(1.0, abs=0.05)
    assert row["draws_less_head"] == pytest.approx(0.0, abs=0.1)
    assert row["cover90"] == pytest.approx(0.9, abs=0.01)
    assert max(row["rank_pixel"], row["rank_1"]) < 0.15
    # Noise, and twice the doubt of a block of four pixels; the mean's error and the truth's.
    assert row["sample_1"] == pytest.approx(1 + 2 * DOUBT**2 / 4 / NOISE**2, rel=0.05)
    assert row["mean_1"] == pytest.approx(1 + DOUBT**2 / 4 / NOISE**2, rel=0.05)
    assert row["sample_8"] == pytest.approx(row["sample_1"], rel=0.2)
    assert "sample_16" in row
    assert "sky" not in row


def test_narrow_and_shifted_ones_are_seen():
    narrow = scales.row(FACES, told(FACES, spread=0.5), How("engression-faces"), 2)
    assert narrow["spread"] == pytest.approx(0.25, abs=0.03)
    assert narrow["rank_pixel"] > 0.5
    shifted = scales.row(FACES, told(FACES, shift=0.3), How("engression-faces"), 2)
    assert shifted["mean_16"] > 20 * shifted["mean_1"]
    assert shifted["rank_4"] > 0.9
    low = scales.row(FLUX, told(FLUX, shift=0.05), How("engression-astronomy"), 2)
    assert low["sky"] + low["bright"] < -2


def test_few_blocks_leave_a_scale_out():
    (one,) = told(FACES, count=1)
    assert scales.chi_squares(one, one.truth, 16, False).size == 4
    assert scales.chi_squares(one, one.truth, 32, False).size == 0
    assert scales.chi_squares(one, one.truth, 1, False).mean() == pytest.approx(1, abs=0.1)


def test_ranks_count_ties_as_not_below():
    samples = [np.zeros((1, 2)), np.ones((1, 2))]
    np.testing.assert_allclose(scales.ranks(np.array([[0.5, 2.0]]), samples), [0, 1.5, 1.5])
    assert scales.departure(np.array([1.2, 0.9, 1.0])) == pytest.approx(0.2)


def test_tables_are_written_and_unknown_words_refused(tmp_path, monkeypatch):
    case = Case("a", np.zeros((3, 70, 200), np.float32), 255.0, "", 1.0, np.zeros((0, 4), np.float32))
    assert scales.cut(case).image.shape == (3, 64, 128)
    monkeypatch.setattr(type(FACES), "cases", lambda *_: [case])
    monkeypatch.setattr(scales, "told", lambda item, *_: iter(told(item, count=2)))
    assert scales.main([f"output={tmp_path}", "sets=faces"]) == 0
    with (tmp_path / "scales.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["factor"] for row in rows] == ["2", "4", "8"]
    assert "| faces | 2 |" in (tmp_path / "scales.md").read_text()
    with pytest.raises(UsageError, match="unknown argument"):
        scales.main(["speed=1"])
