"""Weights are data: whatever is not exactly what was written is refused, and nothing is ever executed."""

import json
import os
import pickle
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from gensr import registry
from gensr.errors import PluginError, WeightsError
from gensr.priors import weights
from gensr.priors.card import GeneratorCard

CARD = GeneratorCard(
    "toy", "nobody", "microscopy", 1, False, "counts", (0.0, 1.0), "1 um", "CC0", "none", "train", "by hand",
    bias="all", audit="none", discrepancy=0.0, metrics={"psnr": 30.5}, conformal={"x4 noise 0": 1.5},
)  # fmt: skip
TENSORS = {
    "a": torch.arange(6, dtype=torch.float32).reshape(2, 3),
    "half": torch.ones(4, dtype=torch.bfloat16),
    "count": torch.tensor([3]),
}


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("GENSR_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "toy.safetensors"
    weights.save(path, TENSORS, {"side": 16, "list": [1, 2]}, CARD)
    return path


def test_what_was_saved_is_read(toy):
    found = weights.read(toy)
    assert found.card == CARD
    assert found.config == {"side": 16, "list": [1, 2]}
    assert set(found.tensors) == set(TENSORS)
    for name, tensor in TENSORS.items():
        assert found.tensors[name].dtype == tensor.dtype
        assert torch.equal(found.tensors[name], tensor)
    assert not list(toy.parent.glob(".*"))


def test_the_digest_covers_tensors_configuration_and_card(tmp_path):
    path = tmp_path / "a.safetensors"
    digests = {
        weights.save(path, TENSORS, {}, CARD),
        weights.save(path, {**TENSORS, "a": TENSORS["a"] + 1}, {}, CARD),
        weights.save(path, {**TENSORS, "b": torch.zeros(1)}, {}, CARD),
        weights.save(path, {**TENSORS, "a": TENSORS["a"].reshape(3, 2)}, {}, CARD),
        weights.save(path, TENSORS, {"side": 1}, CARD),
        weights.save(path, TENSORS, {}, replace(CARD, licence="secret")),
    }
    assert len(digests) == 6
    assert weights.save(path, TENSORS, {}, CARD) in digests


@settings(max_examples=150)
@given(st.data())
def test_a_flipped_bit_is_noticed(toy, tmp_path_factory, data):
    raw = bytearray(toy.read_bytes())
    position = data.draw(st.integers(0, len(raw) - 1))
    raw[position] ^= 1 << data.draw(st.integers(0, 7))
    path = tmp_path_factory.mktemp("flip") / "toy.safetensors"
    path.write_bytes(raw)
    with pytest.raises(WeightsError):
        weights.read(path)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.9, 0.999])
def test_a_cut_off_file_is_refused(toy, tmp_path, share):
    path = tmp_path / "cut.safetensors"
    raw = toy.read_bytes()
    path.write_bytes(raw[: int(len(raw) * share)])
    with pytest.raises(WeightsError, match=r"cut\.safetensors: "):
        weights.read(path)


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was executed",))


def test_pickles_are_refused_and_not_executed(tmp_path):
    files = {name: tmp_path / f"{name}.safetensors" for name in ("pickle", "torch", "zip", "npy", "text", "empty")}
    for protocol in range(2, 6):
        files["pickle"].write_bytes(pickle.dumps(Bomb(), protocol))
        with pytest.raises(WeightsError, match="never executed by gensr"):
            weights.read(files["pickle"])
    torch.save({"a": torch.zeros(2)}, files["torch"])
    with files["npy"].open("wb") as stream:
        np.save(stream, np.zeros(3))
    with zipfile.ZipFile(files["zip"], "w") as archive:
        archive.writestr("data.pkl", pickle.dumps(Bomb()))
    for name in ("torch", "zip", "npy"):
        with pytest.raises(WeightsError, match="never executed by gensr"):
            weights.read(files[name])
    files["pickle"].write_bytes(pickle.dumps(Bomb(), 0))
    files["text"].write_text("hello, this is text")
    files["empty"].touch()
    for name in ("pickle", "text", "empty"):
        with pytest.raises(WeightsError, match="not a safetensors file"):
            weights.read(files[name])


def test_safetensors_of_others_are_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file(TENSORS, path)
    with pytest.raises(WeightsError, match="no gensr header"):
        weights.read(path)
    for header in ("", "[]", "{}", '{"config": {}, "card": {}, "digest": ""}', '{"config": 1, "card": 2, "digest": 3}'):
        save_file(TENSORS, path, metadata={"gensr": header})
        with pytest.raises(WeightsError, match=r"unreadable gensr header|card: 'name' is missing|card = 2: expected"):
            weights.read(path)


def test_a_card_of_a_later_version_may_know_more(tmp_path, toy):
    found = weights.read(toy)
    card = {**json.loads(json.dumps(CARD.to_dict())), "colour": "blue"}
    digest = weights._digest(found.tensors, found.config, card)
    path = tmp_path / "later.safetensors"
    header = json.dumps({"config": found.config, "card": card, "digest": digest})
    save_file(found.tensors, path, metadata={"gensr": header})
    assert weights.read(path).card == CARD


def test_paths_that_are_no_file_are_refused(tmp_path):
    for path in (tmp_path, tmp_path / "missing.safetensors"):
        with pytest.raises(WeightsError, match="cannot be read"):
            weights.read(path)


def test_a_pipe_among_the_generators_is_left_alone(home):
    os.mkfifo(home / "pipe.safetensors")
    assert "pipe" not in weights.available()
    with pytest.raises(WeightsError, match="no such weights file"):
        weights.find(str(home / "pipe.safetensors"))


def test_own_generators_are_found_and_shipped_ones_are_not_replaced(home):
    shipped = sorted(weights.available())[0]
    weights.save(home / "mine.safetensors", TENSORS, {}, CARD)
    weights.save(home / f"{shipped}.safetensors", TENSORS, {}, CARD)
    assert weights.find("mine") == home / "mine.safetensors"
    assert weights.find(shipped).parent != home
    assert weights.find(str(home / f"{shipped}.safetensors")).parent == home


def test_unknown_names_list_what_is_installed(home):
    with pytest.raises(WeightsError, match=r"'nuclei' is not installed; installed: .*gaussian-microscopy"):
        weights.find("nuclei")
    with pytest.raises(WeightsError, match=r"a/b: no such weights file; installed generators: .*gaussian"):
        weights.find("a/b")


def test_a_family_that_is_not_installed_is_named(toy):
    with pytest.raises(PluginError, match=r"'nobody' is not installed; installed: .*gaussian"):
        weights.load(str(toy))


@pytest.mark.parametrize("name", sorted(p.stem for f in registry.weight_folders() for p in f.glob("*.safetensors")))
def test_shipped_generators_say_what_they_are(name):
    generator, found = weights.load(name)
    assert found.card.name == name
    assert generator.card == found.card
    for field in ("licence", "data", "split", "recipe", "bias", "audit", "pixel"):
        assert getattr(found.card, field), field
    assert found.path.stat().st_size < 25e6
    assert len(found.digest) == 64


def test_a_header_length_that_starts_like_a_pickle_is_still_a_header(tmp_path):
    # The first byte of a safetensors file is the low byte of its header's length, which may be 0x80.
    for pad in range(256):
        path = tmp_path / "odd.safetensors"
        weights.save(path, {"a": torch.zeros(1)}, {"pad": "x" * pad}, CARD)
        if path.read_bytes()[:1] == b"\x80":
            assert weights.read(path).config == {"pad": "x" * pad}
            return
    pytest.fail("no header length ended in 0x80")
