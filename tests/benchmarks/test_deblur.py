"""Rows of the benchmark of motion: a journal that was cut goes on, and summaries say what rows say."""

from pathlib import Path

import pytest

from gensr.benchmarks.deblur import found_kernels, recorded, summary


def test_a_line_that_was_cut_is_made_again(tmp_path: Path) -> None:
    journal = tmp_path / "deblur.jsonl"
    assert recorded(journal) == []
    journal.write_text('{"case": 4, "order": "none"}\n{"case": 5, "or', encoding="utf-8")
    assert recorded(journal) == [{"case": 4, "order": "none"}]


def test_a_summary_counts_orders_and_the_worst_gain() -> None:
    right = {"order": "human", "kind": "line", "found": "human", "whole gensr": 30.0, "whole blurred": 25.0}
    wrong = {"order": "human", "kind": "line", "found": "none", "whole gensr": 24.8, "whole blurred": 25.0}
    near = {"person angle error": 9.0, "person length error": 0.1}
    rows = [{**right, **near, "person correlation": 0.9}, {**wrong, "person correlation": 0.5}]
    lines, human, everything = summary(rows)
    assert (lines["kind"], human["kind"], everything["order"]) == ("line", "all", "all")
    assert lines["order right"] == "1/2"
    assert lines["least gain"] == pytest.approx(-0.2)
    assert (lines["worse"], lines["alike"], lines["lines"]) == (1, "1/2", "1/2")
    far = {**near, "person length error": 0.2, "background correlation": 0.71, "background angle error": 2.0}
    assert found_kernels([{**right, **far, "person correlation": 0.9}])["lines"] == "0/2"
    assert found_kernels([{**right, **far, "kind": "shake", "person correlation": 0.9}]) == {"alike": "2/2"}
    assert lines["person correlation"] == pytest.approx(0.7)
