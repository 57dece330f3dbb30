"""Every command that README and docs show is one that works: its words are understood, and what is quick is run."""

import importlib
import json
import re
import shlex
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent / "generators"))
import emit_diffusers
import emit_monai
import reference_edm
import test_biggan
import test_program

from gensr.cli.calibrate_keys import KEYS
from gensr.cli.main import main
from gensr.cli.models_keys import checked
from gensr.priors.families import family
from tests.foreign_files import edm

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SHOWN = re.compile(
    r"^(?: {4}|\$ )?(?:\.venv/bin/)?(gensr (?:upsample|deblur|info|check|train|calibrate|models)\b[^\n`]*)$", re.M
)
ELSEWHERE = ("--config-dir", "search=steep", "--config fine", "generator=own")
"""What needs files of its own: tests/cli and tests/test_extending.py run these."""
FOREIGN = ("models inspect", "models convert", "models add", "models pull", "models remove")
"""What needs networks of other programs: see `test_the_page_of_generators_runs`."""


def commands() -> list[str]:
    """All of them, without comments."""
    found = {match.split(" #")[0].strip() for page in PAGES for match in SHOWN.findall(page.read_text("utf-8"))}
    return sorted(line for line in found if not any(word in line for word in (*ELSEWHERE, *FOREIGN)))


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder where the images of the docs lie, small."""
    monkeypatch.chdir(tmp_path)
    values = (100 + 50 * np.random.default_rng(0).random((48, 48))).astype(np.uint16)
    for name in ("image.tif", "scene.tif", "a.tif"):
        tifffile.imwrite(name, values, photometric="minisblack")
    return tmp_path


def test_there_are_commands():
    assert len(commands()) > 20


@pytest.mark.parametrize("line", commands())
def test_a_command_that_is_shown_is_understood(line, here, capsys):
    command, *words = shlex.split(line)[1:]
    keys = [word.partition("=")[0] for word in words if "=" in word]
    if command == "train":
        if "--help" in words:
            assert main([command, *words]) == 0
            return
        name = dict(word.split("=", 1) for word in words)["generator"]
        assert set(keys) <= {"generator", *family(name).train_options}
    elif command == "calibrate":
        assert set(keys) <= set(KEYS)
    elif command == "deblur":
        np.save(here / "star.npy", np.ones((3, 3)))
        assert main([command, *words, "--cfg", "job"]) == 0, capsys.readouterr().err
    elif command == "upsample":
        plain = [word for word in words if word != "-m"]
        if "-m" in words:  # a sweep has several values to a key
            plain = [re.sub(r"^(factor|seed)=(\d+),.*", r"\1=\2", word) for word in plain]
        assert main([command, *plain, "--cfg", "job"]) == 0, capsys.readouterr().err
    else:
        more = ["domain=microscopy"] if command != "models" else []
        assert main([command, *words, *more]) == 0, capsys.readouterr().err


def networks(here: Path) -> None:
    """Small networks of other programs under the names of the page."""
    emit_diffusers.pixel(here / "ddpm-faces")
    emit_diffusers.vae(here / "sd")
    (here / "sd" / "vae").rename(here / "vae")
    emit_monai.gan(here / "hand-xrays")
    emit_monai.latent(here / "brain-ldm")
    small = {**reference_edm.SONG, "img_resolution": 16, "num_blocks": 1}
    edm(here / "edm-ffhq-64x64-uncond-vp.pkl", reference_edm.random_tensors(small), small)
    (here / "biggan-deep").mkdir()
    (here / "biggan-deep" / "config.json").write_text(json.dumps(test_biggan.CONFIG))
    torch.save(test_biggan.tensors(), here / "biggan-deep" / "pytorch_model.bin")
    torch.manual_seed(1)
    (here / "my-decoder").mkdir()
    up = {"up1": torch.nn.ConvTranspose2d(8, 6, 4), "up2": torch.nn.ConvTranspose2d(6, 3, 4)}
    layers = torch.nn.ModuleDict({"fc": torch.nn.Linear(64, 128), "bn1": torch.nn.BatchNorm2d(6), **up})
    torch.save(layers.state_dict(), here / "my-decoder" / "net.pt")
    (said,) = re.findall(r"^```json\n(.*?)^```$", (ROOT / "docs" / "generators.md").read_text("utf-8"), re.M | re.S)
    (here / "my-decoder" / "decoder.json").write_text(said)
    (here / "own_nets.py").write_text(test_program.NETWORK)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that TorchScript is going away
        torch.jit.script(importlib.import_module("own_nets").made().eval()).save(str(here / "net.ts"))


def page_of_generators() -> list[str]:
    text = (ROOT / "docs" / "generators.md").read_text("utf-8").partition("## Step by step")[2]
    return [line.split(" #")[0].strip() for line in SHOWN.findall(text)]


@pytest.mark.slow
def test_the_page_of_generators_runs(tmp_path, monkeypatch, capsys):
    """Every step of it, in order, with small networks; what is fetched is only looked at."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GENSR_HOME", str(tmp_path / "home"))
    monkeypatch.syspath_prepend(str(tmp_path))
    networks(tmp_path)
    values = np.random.default_rng(1).integers(110, 140, (4, 4, 3)).astype(np.uint8)
    for name in ("face.png", "picture.png"):
        Image.fromarray(values).save(name)
    lines = page_of_generators()
    assert len(lines) > 15
    later = []
    for line in lines:
        command, *words = shlex.split(line)[1:]
        if words[0] in ("add", "remove"):
            later.append(words)
        elif command == "calibrate":
            continue  # of a network of the reader's own, on pictures of the reader's own
        elif words[0] == "pull":
            assert checked("pull", dict(word.split("=", 1) for word in words[2:])).keys() <= {"sha256"}
        else:
            quick = ["output=out", "search=fast", "search.steps=3", "search.draws=2", "noise=60", "existing=overwrite"]
            more = quick if command == "upsample" else []
            assert main([command, *words, *more]) == 0, f"{line}: {capsys.readouterr().err}"
    for words in later:  # what the page fetches is made by its other steps here
        assert main(["models", *words]) == 0, capsys.readouterr().err
    del sys.modules["own_nets"]
