"""The journal survives kills and knows when its entries no longer hold."""

import json
from pathlib import Path

from gensr.benchmarks.journal import Journal

GIVEN = {"cases": 2, "weights": "abc"}


def test_entries_come_back(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    Journal(path).add("a x2", GIVEN, {"rows": [{"psnr": 30.0}]})
    again = Journal(path)
    assert again.has("a x2", GIVEN)
    assert again.entries["a x2"]["rows"] == [{"psnr": 30.0}]
    assert not again.has("a x4", GIVEN)


def test_other_conditions_do_not_count_and_the_last_entry_wins(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    journal = Journal(path)
    journal.add("a", GIVEN, {"rows": [1]})
    assert not journal.has("a", {**GIVEN, "weights": "new"})
    journal.add("a", {**GIVEN, "weights": "new"}, {"rows": [2]})
    again = Journal(path)
    assert again.has("a", {**GIVEN, "weights": "new"})
    assert again.entries["a"]["rows"] == [2]


def test_a_line_cut_by_a_kill_is_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    journal = Journal(path)
    journal.add("a", GIVEN, {"rows": [1]})
    journal.add("b", GIVEN, {"rows": [2]})
    path.write_bytes(path.read_bytes()[:-4])
    again = Journal(path)
    assert again.has("a", GIVEN)
    assert not again.has("b", GIVEN)
    again.add("c", GIVEN, {"rows": [3]})
    assert [json.loads(line)["key"] for line in path.read_text().splitlines()] == ["a", "c"]


def test_fresh_forgets(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    Journal(path).add("a", GIVEN, {})
    assert Journal(path, fresh=True).entries == {}
    assert not path.exists()
