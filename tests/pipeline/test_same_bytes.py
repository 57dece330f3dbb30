"""Five ways in, one request, the same bytes: the command, Python on a path and on an array, the accessor, a plan."""

import json
from dataclasses import replace

import numpy as np
import pytest
import tifffile
import xarray as xr

import gensr
import gensr.accessor
from gensr.cli.main import main
from gensr.errors import GensrError
from gensr.pipeline.events import TileDone, Written
from gensr.pipeline.request import Request, Runtime
from gensr.pipeline.settle import settle

WORDS = {
    "factor": 2,
    "noise": 3.0,
    "generator": "gaussian-microscopy",
    "search": "fast",
    "samples": 1,
    "seed": 7,
    "tile": 8,
}


@pytest.fixture(scope="module")
def codes():
    """A soft disc with noise, 24 x 20."""
    y, x = np.mgrid[:24, :20].astype(np.float64)
    disc = 20 + 150 / (1 + np.exp(1.5 * (np.hypot(y - 11, x - 9) - 6)))
    return np.rint(disc + 3 * np.random.default_rng(0).standard_normal(disc.shape)).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def path(codes, tmp_path_factory):
    path = tmp_path_factory.mktemp("in") / "cells.tif"
    tifffile.imwrite(path, codes)
    return path


@pytest.fixture(scope="module")
def by_path(path, tmp_path_factory):
    return gensr.upsample(path, output=tmp_path_factory.mktemp("path"), **WORDS)


TOLD = ("seconds", "megapixels per second", "files", "digests")
"""Of a report: times, sizes of files that hold relative paths, and digests of requests by path and by words."""


def content(files):
    """Bytes of every file; a report without the time that it took."""
    found = {}
    for file in files:
        if file.suffix == ".json":
            report = json.loads(file.read_text())
            report["input"].pop("domain was guessed", None)  # the command says it on its line
            found[file.name] = {k: v for k, v in report.items() if k not in TOLD}
        elif file.name.endswith("_run.yaml"):
            found[file.name] = [line for line in file.read_text().splitlines() if not line.startswith("inputs:")]
        else:
            found[file.name] = file.read_bytes()
    return found


def test_the_command(by_path, path, tmp_path):
    assert main(["upsample", str(path), f"output={tmp_path}", *(f"{k}={v}" for k, v in WORDS.items())]) == 0
    assert content(tmp_path.iterdir()) == content(by_path.files)
    assert len(by_path.files) >= 5


def test_a_plan_driven_event_by_event(by_path, path, tmp_path):
    request = Request(source=path, output=tmp_path, **WORDS)
    with settle(request) as plan:
        events = list(plan.run())
    assert [e.index for e in events if isinstance(e, TileDone)] == list(range(len(plan.tiles)))
    assert len(plan.tiles) == 4
    assert isinstance(events[-1], Written)
    assert content(events[-1].files) == content(by_path.files)


def test_a_plan_stopped_between_two_tiles_and_taken_up_again(by_path, path, tmp_path):
    with settle(Request(source=path, output=tmp_path, **WORDS)) as plan:
        running = plan.run()
        for event in running:
            if isinstance(event, TileDone) and event.index == 1:
                running.close()
    assert [p.name for p in tmp_path.iterdir()] == [".cells_x2_generated.work"]
    with settle(Request(source=path, output=tmp_path, resume=True, **WORDS)) as plan:
        events = list(plan.run())
    assert [e.index for e in events if isinstance(e, TileDone)] == [2, 3]
    assert content(events[-1].files) == content(by_path.files)


def test_an_array(by_path, codes):
    result = gensr.upsample(codes, domain="microscopy", **WORDS)
    for name in ("mean", "std"):
        assert getattr(result, name).tobytes() == getattr(by_path, name).tobytes()
    assert result.samples[0].tobytes() == by_path.samples[0].tobytes()
    assert (result.mean.dtype, result.mean.shape) == (by_path.mean.dtype, by_path.mean.shape)


def test_the_accessor(by_path, codes):
    data = xr.DataArray(codes, dims=("y", "x")).gensr.upsample(domain="microscopy", **WORDS)
    for name, values in (("mean", by_path.mean), ("std", by_path.std), ("sample1", by_path.samples[0])):
        assert data[name].values.tobytes() == values.tobytes()


def test_no_word_is_lost_on_the_way(codes, monkeypatch):
    """Whatever is said to Python or to the accessor stands in the request."""
    asked = []

    def settle(request):
        asked.append(request)
        raise GensrError("enough")

    monkeypatch.setattr("gensr.pipeline.api.settle", settle)
    words = {
        **{"factor": 3, "domain": "faces", "generator": "g", "operator": "bicubic", "noise": "2%", "search": "best"},
        **{"samples": 5, "seed": 9, "device": "cpu", "tile": 11, "batch": 4, "options": {"a": 1}},
    }
    of_files = {"output": "folder", "overwrite": True, "resume": True}
    with pytest.raises(GensrError, match="enough"):
        gensr.upsample(codes, runtime="dask", **words, **of_files)
    with pytest.raises(GensrError, match="enough"):
        xr.DataArray(codes, dims=("y", "x")).gensr.upsample(runtime=Runtime("dask", workers=2), **words)
    python, accessor = asked
    assert python == Request(source=codes, runtime=Runtime("dask"), **words, **of_files)
    assert replace(accessor, source="") == Request(source="", runtime=Runtime("dask", workers=2), **words)
