"""Folders of weights: everything that lies in them, and nothing else."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch

from gensr.errors import WeightsError
from gensr.priors.foreign import folder
from gensr.priors.foreign.reading import read_foreign, read_inside


@pytest.fixture
def model(tmp_path: Path) -> Path:
    top = tmp_path / "model"
    (top / "unet").mkdir(parents=True)
    (top / "model_index.json").write_text('{"_class_name": "X"}')
    (top / "unet" / "config.json").write_text("{}")
    torch.save({"a": torch.ones(2)}, top / "unet" / "weights.bin")
    (top / ".git").mkdir()
    (top / ".git" / "config").write_text("x")
    (top / "pipeline.py").write_text("raise SystemExit")
    return top


def test_files_and_documents(model: Path) -> None:
    found = read_foreign(model)
    assert found.kind == "folder"
    assert set(found.files) == {"model_index.json", "unet/config.json", "unet/weights.bin", "pipeline.py"}
    assert found.documents == {"model_index.json": {"_class_name": "X"}, "unet/config.json": {}}
    assert torch.equal(read_inside(found, "unet/weights.bin").parts[0].tensors["a"].read(), torch.ones(2))
    first = found.sha256
    (model / "unet" / "config.json").write_text('{"a": 1}')
    assert read_foreign(model).sha256 != first
    with pytest.raises(WeightsError, match=r"\.\./secret is missing"):
        read_inside(found, "../secret")


def test_vocabularies_are_not_parsed(model: Path) -> None:
    (model / "vocab.json").write_text(json.dumps(["x" * 100] * 12_000))
    found = read_foreign(model)
    assert "vocab.json" in found.files
    assert "vocab.json" not in found.documents


@pytest.mark.parametrize("target", ["/etc/passwd", "../secret", "../../blobs/secret", "unet", "nothing", "/dev/zero"])
def test_links_that_lead_out_are_refused(model: Path, target: str) -> None:
    (model.parent / "secret").write_text("x")
    (model / "weights.safetensors").symlink_to(target)
    with pytest.raises(WeightsError, match=r"is a link out of the folder|cannot be read"):
        read_foreign(model)


def test_folders_behind_links_are_refused(model: Path) -> None:
    (model / "more").symlink_to(model.parent)
    with pytest.raises(WeightsError, match="is a link out of the folder"):
        read_foreign(model)


def test_links_inside_and_those_of_the_hub_s_cache(model: Path, tmp_path: Path) -> None:
    (model / "again.bin").symlink_to("unet/weights.bin")
    assert "again.bin" in read_foreign(model).files
    snapshot = tmp_path / "models--a--b" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    blobs = tmp_path / "models--a--b" / "blobs"
    blobs.mkdir()
    (blobs / ("a" * 40)).write_text('{"b": 1}')
    (snapshot / "config.json").symlink_to(f"../../blobs/{'a' * 40}")
    assert read_foreign(snapshot).documents == {"config.json": {"b": 1}}
    (blobs / "secret").write_text("{}")
    (snapshot / "more.json").symlink_to("../../blobs/secret")
    with pytest.raises(WeightsError, match="is a link out of the folder"):
        read_foreign(snapshot)


@pytest.mark.parametrize("text", ["{", "", "[" * 100_000, "\xff", '{"a": 1}}'])
def test_json_that_is_none(model: Path, text: str) -> None:
    (model / "unet" / "config.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(WeightsError, match=r"unet/config\.json is no JSON"):
        read_foreign(model)


def test_pipes_and_crowds_are_refused(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(model / "pipe.bin")
    with pytest.raises(WeightsError, match=r"'pipe\.bin' is a device or pipe"):
        read_foreign(model)
    (model / "pipe.bin").unlink()
    monkeypatch.setattr(folder, "FILES", 3)
    with pytest.raises(WeightsError, match="more than 3 files"):
        read_foreign(model)
    monkeypatch.setattr(folder, "FILES", 100)
    deep = model.joinpath(*["d"] * 20)
    deep.mkdir(parents=True)
    with pytest.raises(WeightsError, match="deep; give the folder of one model"):
        read_foreign(model)
    monkeypatch.setattr(folder, "DEEP", 30)
    monkeypatch.setattr(folder, "DOCUMENTS", 10)
    with pytest.raises(WeightsError, match="bytes of JSON"):
        read_foreign(model)
