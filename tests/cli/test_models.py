from __future__ import annotations

import json
import pickle

import pytest
import torch

from gensr.priors import weights
from gensr.priors.card import GeneratorCard

CARD = GeneratorCard(
    name="toy",
    family="gaussian",
    domain="microscopy",
    bands=1,
    aligned=False,
    unit="1",
    value_range=(0.0, 1.0),
    pixel="65 nm",
    licence="CC0-1.0",
    data="none",
    split="none",
    recipe="none",
    bias="knows nothing",
    audit="none",
    discrepancy=0.1,
)


@pytest.fixture
def installed(tmp_path, monkeypatch):
    monkeypatch.setenv("GENSR_HOME", str(tmp_path))
    weights.save(tmp_path / "toy.safetensors", {"mean": torch.arange(8.0)}, {}, CARD)
    return tmp_path / "toy.safetensors"


def flip(path):
    raw = bytearray(path.read_bytes())
    raw[-3] ^= 1
    path.write_bytes(raw)


@pytest.mark.parametrize("argv", [["models"], ["models", "list"]])
def test_list(run, installed, argv):
    outcome = run(*argv)
    assert (outcome.code, outcome.err) == (0, "")
    assert any(line.split()[:4] == ["toy", "gaussian", "microscopy", "1"] for line in outcome.out.splitlines())


def test_info_by_name_and_by_file(run, installed):
    outcome = run("models", "info", "toy")
    assert "knows nothing" in outcome.out
    assert run("models", "info", installed).out == outcome.out
    page = json.loads(run("models", "info", "toy", "format=json").out)["generators"][0]
    assert (page["name"], page["sha256"]) == ("toy", weights.read(installed).digest)


def test_verify(run, installed):
    outcome = run("models", "verify")
    assert (outcome.code, outcome.err) == (0, "")
    assert f"{installed}: whole, sha256 {weights.read(installed).digest}" in outcome.out.splitlines()


def test_verify_finds_a_flipped_bit_and_goes_on(run, installed, tmp_path):
    other = tmp_path / "other.safetensors"
    weights.save(other, {"mean": torch.zeros(3)}, {}, CARD)
    flip(installed)
    outcome = run("models", "verify", installed, other)
    assert outcome.code == 1
    assert outcome.lines == [f"gensr: {installed}: digest mismatch, the file is damaged or was changed; fetch it again"]
    assert outcome.out.startswith(f"{other}: whole")


def test_a_pickle_is_refused_unopened(run, tmp_path):
    path = tmp_path / "model.pt"
    path.write_bytes(pickle.dumps({"a": 1}))
    outcome = run("models", "verify", path)
    assert outcome.code == 1
    assert len(outcome.lines) == 1
    assert "never executed" in outcome.err


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["lst"], "unknown action 'lst'; did you mean 'list'?"),
        (["info"], "needs a name; installed: "),
        (["list", "toy"], "write gensr models info toy"),
        (["list", "formt=json"], "unknown key 'formt'; did you mean 'format'?"),
        (["list", "format=xml"], "format=xml: expected text or json"),
    ],
)
def test_wrong_usage(run, installed, argv, words):
    outcome = run("models", *argv)
    assert outcome.code == 2
    assert len(outcome.lines) == 1
    assert words in outcome.err


def test_unknown_name(run, installed):
    outcome = run("models", "info", "nobody")
    assert outcome.code == 1
    assert len(outcome.lines) == 1
    assert "nobody" in outcome.err
