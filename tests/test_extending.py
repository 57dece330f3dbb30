"""The package of docs/extending.md, written to disk as it stands there, installed, and used with every preset."""

from __future__ import annotations

import importlib
import json
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gensr import registry
from gensr.cli.main import main
from gensr.metrics.plugged import available, distance
from gensr.priors import weights
from gensr.priors.foreign.plugin import Words, convert
from gensr.priors.foreign.reading import read_foreign
from gensr.search.presets import PRESETS

PAGE = Path(__file__).parents[1] / "docs" / "extending.md"
BLOCK = re.compile(r"^```(?:python|toml|yaml)\n# (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Folder of the installed package, with an input ``a.npy`` beside it."""
    folder = tmp_path_factory.mktemp("extending")
    for name, text in BLOCK.findall(PAGE.read_text()):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for inner in ("my_field", "my_field/conf", "my_field/weights"):
        (folder / inner / "__init__.py").touch()
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    info = folder / "my_field-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    groups = [
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in points.items())
        for group, points in project["entry-points"].items()
    ]
    (info / "entry_points.txt").write_text("\n".join(groups))
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    registry.refresh()
    importlib.import_module("my_field.weights").make()
    rows, cols = np.indices((16, 24))
    noise = np.random.default_rng(1).normal(0, 50, rows.shape)
    counts = 20000 + 8000 * np.cos(0.3 * rows) + 6000 * np.cos(0.2 * cols) + noise
    counts[3, 4] = 0
    np.save(folder / "a.npy", counts.astype(np.uint16))
    yield folder
    sys.path.remove(str(folder))
    for name in [m for m in sys.modules if m.partition(".")[0] == "my_field"]:
        del sys.modules[name]
    registry.refresh()


def run(package: Path, tmp_path: Path, *words: str) -> dict[str, Any]:
    out = tmp_path / "out"
    assert main(["upsample", str(package / "a.npy"), f"output={out}", "samples=1", "noise=50", *words]) == 0
    (report,) = out.glob("*.json")
    return json.loads(report.read_text())


def test_every_group_of_entry_points_has_an_example() -> None:
    pages = dict(BLOCK.findall(PAGE.read_text()))
    groups = tomllib.loads(pages["pyproject.toml"])["project"]["entry-points"]
    assert set(groups) == {f"gensr.{group}" for group in registry.GROUPS}


@pytest.mark.parametrize("preset", [*PRESETS, "steep"])
def test_a_plain_decoder_runs_with_every_preset(package: Path, tmp_path: Path, preset: str) -> None:
    report = run(package, tmp_path, f"search={preset}")
    mean = np.load(tmp_path / "out" / "a_x4_generated.npy")
    low = np.load(package / "a.npy")
    assert mean.shape == (64, 96)
    assert mean.dtype == np.uint16
    assert (mean[12:16, 16:20] == 0).all()  # nothing was measured there, nothing is invented
    means = mean.reshape(16, 4, 24, 4).mean((1, 3))
    rms = np.sqrt(np.mean((means - low)[low > 0] ** 2))
    # Two deviations of the noise in a range of 28,000; PULSE promises 27 dB on the scale of the prior and adds nothing.
    assert rms < (4000 if preset == "pulse" else 100)
    assert abs(report["consistency"]["rms"] - rms) < 1
    assert report["generator"]["name"] == "waves-plain"


def test_the_operator_acts(package: Path, tmp_path: Path) -> None:
    report = run(package, tmp_path, "operator=beam")
    assert report["operator"]["name"] == "beam"
    assert report["consistency"]["chi2 per datum"] < 4
    plain = run(package, tmp_path / "plain")
    assert report["consistency"]["chi2 per datum"] != plain["consistency"]["chi2 per datum"]


def test_the_distance_is_found_by_name(package: Path) -> None:
    found = distance("edges")
    flat, step = np.zeros((1, 4, 4)), np.repeat([[[0.0, 0.0, 9.0, 9.0]]], 4, 1)
    assert (found.name, found(flat, flat, 9.0)) == ("edges (first differences)", 0.0)
    assert found(flat, step, 9.0) == pytest.approx(1 / 3)
    assert {"edges", "lpips-alex"} <= set(available())


def test_options_of_the_solver_reach_it(package: Path, tmp_path: Path) -> None:
    one = run(package, tmp_path / "1", "search=steep", "search.steps=1")
    many = run(package, tmp_path / "2", "search=steep", "search.steps=150")
    assert (one["latent search"]["most steps"], many["latent search"]["most steps"]) == (1, 150)
    assert one["latent search"]["solver"] == "descent"
    assert one["latent search"]["best chi2 per datum"] > 10 * many["latent search"]["best chi2 per datum"]


def test_a_foreign_checkpoint_becomes_weights(package: Path, tmp_path: Path) -> None:
    frequency = torch.arange(8.0)
    strength = 0.2 / (1 + frequency[:, None] + frequency) ** 1.5
    torch.save({"step": 7, "state_dict": {"module.strength": strength}}, tmp_path / "waves.bin")
    checkpoint = read_foreign(tmp_path / "waves.bin")
    convert(checkpoint, Words("waves-own", domain="plain", licence="CC0"), tmp_path / "waves-own.safetensors")
    report = run(package, tmp_path, f"generator={tmp_path / 'waves-own.safetensors'}", "search=fast")
    assert report["generator"]["name"] == "waves-own"
    assert torch.equal(weights.read(tmp_path / "waves-own.safetensors").tensors["strength"], strength)


def test_the_command_runs(package: Path, capsys: pytest.CaptureFixture[str]) -> None:
    counts = np.load(package / "a.npy")
    assert main(["weigh", str(package / "a.npy")]) == 0
    assert capsys.readouterr().out == f"{counts.sum():.0f} counts\n"
