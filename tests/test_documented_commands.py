"""Every command that README and docs show is one that works: its words are understood, and what is quick is run."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import tifffile

from gensr.cli.calibrate_keys import KEYS
from gensr.cli.main import main
from gensr.priors.families import family

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SHOWN = re.compile(
    r"^(?: {4}|\$ )?(?:\.venv/bin/)?(gensr (?:upsample|deblur|info|check|train|calibrate|models)\b[^\n`]*)$", re.M
)
ELSEWHERE = ("--config-dir", "search=steep", "--config fine", "models inspect", "models convert", "generator=own")
"""What needs files of its own: tests/cli and tests/test_extending.py run these."""


def commands() -> list[str]:
    """All of them, without comments."""
    found = {match.split(" #")[0].strip() for page in PAGES for match in SHOWN.findall(page.read_text("utf-8"))}
    return sorted(line for line in found if not any(word in line for word in ELSEWHERE))


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
