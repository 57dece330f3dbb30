"""``gensr check``: the table, the picture, the sentence, and what is refused."""

from __future__ import annotations

import json
from dataclasses import fields

import numpy as np
import pytest
import tifffile
from PIL import Image

from gensr.cli.check import lines
from gensr.cli.completion import complete
from gensr.cli.config import CheckConfig
from gensr.cli.keys import KEYS
from gensr.pipeline.verdict import Checked, Figures

WORDS = ("factor=2", "noise=20", "generator=gaussian-microscopy")


@pytest.fixture
def cells(tmp_path):
    """Smooth spots on 64 x 64 pixels with noise of 20."""
    y, x = np.mgrid[:64, :64]
    spots = sum(np.exp(-((y - a) ** 2 + (x - b) ** 2) / 18) for a, b in ((12, 20), (40, 44), (50, 10), (25, 55)))
    values = 500 + 2000 * spots + 20 * np.random.default_rng(0).standard_normal((64, 64))
    path = tmp_path / "cells.tif"
    tifffile.imwrite(path, values.astype(np.uint16), imagej=True, resolution=(10, 10), metadata={"unit": "um"})
    return path


def test_a_table_a_picture_and_a_verdict(run, cells):
    outcome = run("check", cells, *WORDS)
    assert (outcome.code, outcome.err) == (0, "")
    said = outcome.out.splitlines()
    assert said[0] == f"{cells} (microscopy, gaussian-microscopy, x2, noise 20, 1 window(s))"
    assert " ".join(said[1].split()) == "band gain, dB covers self factor bias in noise spread pixels"
    assert said[2].split()[0] == "all"
    assert said[2].split()[-1] == "4096"
    assert said[3] == f"  picture: {cells.parent}/cells_x2_check.png"
    assert said[4].startswith("  verdict: on this image the prior gains ")
    with Image.open(cells.parent / "cells_x2_check.png") as picture:
        assert picture.size[0] > 300
        assert len({picture.getpixel((x, 100)) for x in range(0, picture.size[0], 3)}) > 10


def test_a_picture_is_not_replaced_unasked(run, cells, tmp_path):
    first = run("check", cells, *WORDS, f"output={tmp_path}/a", "format=json")
    again = run("check", cells, *WORDS, f"output={tmp_path}/a")
    assert again.code == 1
    assert again.lines == [
        f"gensr: {cells}: {tmp_path}/a/cells_x2_check.png: exists already; give overwrite=true to make it again, or "
        "another output=DIR"
    ]
    third = run("check", cells, *WORDS, f"output={tmp_path}/a", "format=json", "overwrite=true")
    assert third.out == first.out  # equal runs say the same


def test_json_is_the_report(run, cells, tmp_path):
    found = json.loads(run("check", cells, tmp_path / "none.tif", *WORDS, "format=json").out)["inputs"]
    assert len(found) == 1
    assert found[0]["file"] == str(cells)
    assert found[0]["picture"] == str(cells.parent / "cells_x2_check.png")
    assert found[0]["pixels"] == 64 * 64
    assert isinstance(found[0]["gain over Lanczos, dB"], float)


def test_what_is_too_small_or_means_nothing_is_refused(run, micrograph, tmp_path):
    path = micrograph(tmp_path / "a.tif", (20, 15))
    outcome = run("check", path, "factor=2")
    assert outcome.code == 1
    assert outcome.lines[0].startswith(f"gensr: {path}: 15 x 20 pixels are too small to be coarsened by 2 x 2")
    for key in ("samples=3", "tile=8", "calibrate=self", "check=on", "existing=skip", "runtime=dask"):
        refused = run("check", path, key)
        assert refused.code == 2
        assert f"unknown key '{key.partition('=')[0]}'" in refused.err
    assert run("check").code == 2


def test_keys_schema_help_and_completion_agree(run):
    assert {f.name for f in fields(CheckConfig)} == set(KEYS["check"])
    told = run("check", "--help").out
    assert all(f"  {name}=" in told for name in KEYS["check"])
    kind, offered = complete(["check", ""])
    assert kind == "files"
    assert {f"{name}=" for name in KEYS["check"]} <= set(offered)
    assert "runtime." not in offered
    assert complete(["check", "format=j"]) == ("none", ["format=json"])
    assert "check" in complete([""])[1]


def test_lines_of_bands():
    band = Figures(1.234, 0.056, 0.876, 0.01, 0.899, -12.34, -0.0456, 1.0, 0.95, 4096)
    found = Checked(band, (band, Figures(pixels=0)), ("red", "nir"), (1.2, None), 3)
    head, red, nir, every = (line.split("  ") for line in lines(found))
    assert [cell.strip() for cell in red if cell.strip()] == [
        "red", "+1.23 +- 0.06", "88 %", "90 %", "1.20", "-12", "-0.046", "0.95", "4096",
    ]  # fmt: skip
    assert [cell.strip() for cell in nir if cell.strip()] == ["nir", *["-"] * 7, "0"]
    assert [cell.strip() for cell in every if cell.strip()][4] == "-"
    assert len(head) >= 9
