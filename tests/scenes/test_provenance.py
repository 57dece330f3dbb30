"""The mark that survives the copying of a single file, and a report that JSON can hold."""

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest

from gensr.scenes.provenance import MARK, as_json, content_digest, sentence

REPORT = {
    "gensr": "gensr 0.1.0",
    "generator": {"name": "gaussian-microscopy", "sha256": "ab" * 32},
    "operator": {"name": "area"},
    "factor": 4,
    "seed": 0,
    "consistency": {"rms": 0.25},
}


def test_the_sentence_names_everything_that_made_the_file():
    text = sentence(REPORT)
    assert text.startswith(MARK)
    for part in (
        "gensr 0.1.0",
        "gaussian-microscopy sha256 abababababababab;",
        "operator area",
        "factor 4",
        "seed 0",
        "0.25",
    ):
        assert part in text


@pytest.mark.parametrize("report", [{}, {"generator": {"name": "Größe\n"}}, {"seed": "\x00"}])
def test_the_sentence_is_ascii_and_marked_whatever_the_report_holds(report):
    text = sentence(report)
    assert text.isascii()
    assert MARK in text


def test_json_holds_numbers_of_every_kind():
    report = {
        "float": np.float32(0.5),
        "int": np.int64(3),
        "nan": float("nan"),
        "inf": np.float64("inf"),
        "flag": np.bool_(True),
        "list": (1, [2.5, None]),
        3: "key",
        "path": Path("/home/somebody/secret/scan.tif"),
        "umlaut": "µm",
    }
    text = as_json(report)
    assert text.isascii()
    assert json.loads(text) == {
        "float": 0.5, "int": 3, "nan": None, "inf": None, "flag": True, "list": [1, [2.5, None]], "3": "key",
        "path": "scan.tif", "umlaut": "µm",
    }  # fmt: skip


@pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes", 1j])
def test_what_json_cannot_hold_is_an_error(value):
    with pytest.raises(TypeError, match="does not belong in a report"):
        as_json({"a": value})


def test_digests_are_of_content_and_of_nothing_else(tmp_path):
    path, copy = tmp_path / "a.bin", tmp_path / "later" / "a.bin"
    copy.parent.mkdir()
    path.write_bytes(b"12345")
    first = content_digest(path)
    copy.write_bytes(b"12345")
    os.utime(copy, (0, 0))
    assert content_digest(copy) == first
    path.write_bytes(b"12346")
    assert content_digest(path) != first
    assert content_digest(tmp_path / "missing") == hashlib.sha256().hexdigest()


def test_what_lies_beside_an_input_and_belongs_to_it_counts(tmp_path):
    path = tmp_path / "a.tif"
    path.write_bytes(b"1")
    seen = {content_digest(path)}
    for name, size in (("a.tif.msk", 2 << 20), ("a.tfw", 10), ("a.tif.aux.xml", 0)):
        (tmp_path / name).write_bytes(bytes(size))
        seen.add(content_digest(path))
    assert len(seen) == 4
    for name, size in (("ab.tif", 1), ("a_x4_generated.tif", 1), ("a.raw", (1 << 20) + 1)):
        (tmp_path / name).write_bytes(bytes(size))
        assert content_digest(path) in seen


def test_digests_of_folders_see_names_and_where_a_file_ends(tmp_path):
    for name, members in {"a": {"x": "12", "y": "3"}, "b": {"x": "1", "y": "23"}, "c": {"x": "12", "z": "3"}}.items():
        for member, text in members.items():
            (tmp_path / name / "deep").mkdir(parents=True, exist_ok=True)
            (tmp_path / name / "deep" / member).write_text(text)
    assert len({content_digest(tmp_path / name) for name in "abc"}) == 3
