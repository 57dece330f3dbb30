"""Generators are added, pulled and removed by one command each, and their licence is shown before they are used."""

from __future__ import annotations

import hashlib
import pickle
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "priors"))
from hostile_server import serving

from gensr import registry
from gensr.priors import weights
from gensr.priors.card import GeneratorCard

CARD = GeneratorCard(
    name="faces-mine",
    family="gaussian",
    domain="faces",
    bands=1,
    aligned=True,
    unit="1",
    value_range=(0.0, 1.0),
    pixel="any",
    licence="for research only",
    data="none",
    split="none",
    recipe="none",
    bias="none",
    audit="none",
    discrepancy=0.1,
)


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("GENSR_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def file(tmp_path):
    side = 8
    tensors = {
        "mean": torch.full((1, side, side), 0.5),
        "components": 0.1 * torch.randn(3, 1, side, side, generator=torch.Generator().manual_seed(1)),
        "power": torch.full((1, 2 * side, 2 * side), -7.0),
    }
    weights.save(tmp_path / "given.safetensors", tensors, {"form": "pca"}, CARD)
    return tmp_path / "given.safetensors"


def test_add_installs_under_the_name_of_the_card(run, home, file):
    outcome = run("models", "add", file)
    assert (outcome.code, outcome.err) == (0, "")
    installed = home / "faces-mine.safetensors"
    assert installed.read_bytes() == file.read_bytes()
    assert outcome.out.splitlines() == [
        f"{installed}: whole, sha256 {weights.read(file).digest}",
        "faces-mine: licence: for research only",
    ]
    assert "faces-mine" in run("models", "list").out
    assert run("models", "add", file).code == 0  # the same again is no conflict


def test_add_under_another_name(run, home, file):
    assert run("models", "add", file, "name=other").code == 0
    assert [p.name for p in home.iterdir()] == ["other.safetensors"]


def test_a_taken_name_is_refused_then_replaced(run, home, file):
    run("models", "add", file)
    weights.save(file, {"mean": torch.zeros(3)}, {}, CARD)
    outcome = run("models", "add", file)
    assert outcome.code == 1
    assert "is installed from another file; give another name=, or existing=overwrite" in outcome.err
    assert run("models", "add", file, "existing=overwrite").code == 0
    assert weights.read(home / "faces-mine.safetensors").digest == weights.read(file).digest


def test_names_of_ours_are_not_taken(run, home, file):
    outcome = run("models", "add", file, "name=engression-faces", "existing=overwrite")
    assert outcome.code == 1
    assert "comes with gensr" in outcome.err
    assert not (home / "engression-faces.safetensors").exists()


@pytest.mark.parametrize("name", ["../up", "a/b", "", ".hidden", "x.safetensors", "a\nb"])
def test_names_that_are_paths(run, home, file, name):
    assert run("models", "add", file, f"name={name}").code in (1, 2)
    assert not home.exists() or list(home.iterdir()) == []


def test_foreign_and_damaged_files_are_not_installed(run, home, file, tmp_path):
    (tmp_path / "net.pkl").write_bytes(pickle.dumps({"a": 1}))
    raw = bytearray(file.read_bytes())
    raw[-1] ^= 1
    file.write_bytes(raw)
    outcome = run("models", "add", tmp_path / "net.pkl", file, tmp_path / "nothing.safetensors")
    assert outcome.code == 1
    assert len(outcome.lines) == 3
    assert not home.exists() or list(home.iterdir()) == []


def test_remove(run, home, file):
    run("models", "add", file)
    outcome = run("models", "remove", "faces-mine")
    assert (outcome.code, outcome.out) == (0, f"{home / 'faces-mine.safetensors'}: removed\n")
    assert "faces-mine" not in run("models", "list").out
    again = run("models", "remove", "faces-mine", "engression-faces", "../x")
    assert again.code == 1
    assert "is not installed" in again.lines[0]
    assert "comes with gensr" in again.lines[1]
    assert (registry.weight_folders()[0] / "engression-faces.safetensors").exists()
    assert "is not installed" in again.lines[2]


def test_pull_installs_and_works_without_the_server_then(run, home, file):
    content = file.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    with serving(content) as server:
        address = f"{server.address}/truncates/hands.safetensors"
        outcome = run("models", "pull", address, f"sha256={digest}")
        assert outcome.code == 0, outcome.err
        assert "licence: for research only" in outcome.out
    assert (home / "faces-mine.safetensors").read_bytes() == content
    run("models", "remove", "faces-mine")
    assert run("models", "pull", address, f"sha256={digest}", "offline=true").code == 0
    assert (home / "faces-mine.safetensors").exists()
    assert "removed, 0.0 MB" in run("models", "remove", "downloads=true").out
    assert run("models", "pull", address, f"sha256={digest}", "offline=true").code == 1
    assert (home / "faces-mine.safetensors").exists()


def test_pull_keeps_what_another_program_made_and_says_so(run, home):
    content = pickle.dumps({"a": 1})
    with serving(content) as server:
        words = ("models", "pull", f"{server.address}/good/net.pkl", f"sha256={hashlib.sha256(content).hexdigest()}")
        outcome = run(*words)
        assert run(*words, "name=x").code == 2
    assert outcome.code == 0, outcome.err
    assert "licence: not stated there" in outcome.out
    assert "gensr models convert" in outcome.out
    assert list(home.glob("*.safetensors")) == []


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["pull"], "takes one address"),
        (["pull", "https://a.org/x.safetensors"], "give sha256="),
        (["pull", "hf://owner"], "expected hf://OWNER/NAME"),
        (["pull", "hf://owner/name/../x"], "expected hf://OWNER/NAME"),
        (["pull", "hf://owner/name", "sha256=ab"], "give @COMMIT to pin them"),
        (["pull", "hf://owner/name", "offline=true"], "not fetched yet, and offline=true"),
        (["pull", "https://a.org/x", "seconds=-1"], "seconds=-1: expected a number above 0"),
        (["pull", "https://a.org/x", "seconds=soon"], "seconds=soon: expected a number above 0"),
        (["pull", "https://a.org/x", "offline=maybe"], "offline=maybe: expected true or false"),
        (["add"], "needs a file"),
        (["add", "a", "b", "name=c"], "one name for 2 files"),
        (["add", "a", "sha256=x"], "unknown key 'sha256'"),
        (["remove"], "needs a name"),
        (["remove", "x", "existing=overwrite"], "keys of models remove: downloads"),
    ],
)
def test_wrong_usage(run, home, argv, words):
    outcome = run("models", *argv)
    assert outcome.code in (1, 2)
    assert len(outcome.lines) == 1
    assert words in outcome.err


def test_the_licence_is_shown_before_first_use_and_not_again(run, home, file, tmp_path):
    run("models", "add", file)
    values = np.random.default_rng(1).integers(0, 255, (4, 4)).astype(np.uint8)
    Image.fromarray(values).save(tmp_path / "face.png")
    words = ("info", tmp_path / "face.png", "factor=2", "domain=faces", "generator=faces-mine")
    line = "gensr: faces-mine is used for the first time; licence: for research only"
    assert run(*words).lines.count(line) == 1
    assert line not in run(*words).lines
    weights.save(home / "faces-mine.safetensors", {"mean": torch.zeros(3)}, {}, replace(CARD, licence="other"))
    assert "licence: other" in run(*words).err  # other weights, other terms
    assert "first time" not in run(*words[:-1], "generator=engression-faces").err
