"""The mark that survives the copying of a single file, and a report that JSON can hold."""

import json
from pathlib import Path

import numpy as np
import pytest

from gensr.scenes.provenance import MARK, as_json, fingerprint, sentence

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


def test_fingerprints_change_with_the_input(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"12345")
    first = fingerprint(path)
    assert first["name"] == "a.bin"
    assert first["bytes"] == 5
    path.write_bytes(b"123456")
    assert fingerprint(path) != first
    folder = fingerprint(tmp_path)
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "b").write_bytes(b"1")
    assert fingerprint(tmp_path)["files"] == folder["files"] + 1
    assert fingerprint(tmp_path / "missing") == {"name": "missing"}
