"""The table of the cluster: made scenes, rows per runtime, the page."""

import csv

import numpy as np
import pytest
import rasterio

from gensr.benchmarks import cluster
from gensr.errors import UsageError


def test_scenes_are_what_they_say(tmp_path):
    with rasterio.open(cluster.scene(tmp_path / "a.tif", 64, 4, 0)) as source:
        assert (source.shape, source.count, source.dtypes[0]) == ((64, 64), 4, "uint16")
        assert source.read().std() > 100


def test_tables_are_written_and_unknown_words_refused(tmp_path, monkeypatch):
    def command(inputs, output, keys):
        """The mean of the input stands in for the output; one runtime is wrong."""
        output.mkdir()
        for path in inputs:
            cluster.scene(output / path.name, 16, 1, "runtime.workers=1" in keys)
        return 2.0 if "runtime=local" in keys else 1.0, 4.0

    class NoCluster:
        def __init__(self, workers):
            assert workers == 1

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

    monkeypatch.setattr(cluster, "command", command)
    monkeypatch.setattr(cluster, "ClusterRunner", NoCluster)
    tile = {"work, s": 2.0, "overhead, ms": 20.0, "share, %": 0.99}
    monkeypatch.setattr(cluster, "overhead", lambda name, *_: {"scene": name, **tile})
    assert cluster.main([f"output={tmp_path / 'out'}", "large=32", "sampled=16", "files=3"]) == 0
    with (tmp_path / "out" / "cluster.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["work"] for row in rows] == ["files"] * 3 + ["sampled"] * 3 + ["large"] * 3
    assert [row["same bytes"] for row in rows[:3]] == ["yes", "yes", "NO"]
    assert [float(row["against local"]) for row in rows[:3]] == [1, 2, 2]
    page = (tmp_path / "out" / "cluster.md").read_text()
    assert "| files | dask, 2 workers | 1 | 4 | 3 | 2 | yes |" in page
    assert "| sampled | 2 | 20 | 0.99 |" in page
    with pytest.raises(UsageError, match="unknown argument"):
        cluster.main(["speed=1"])


def test_nothing_returns_as_much_as_a_tile():
    (result,) = cluster.Nothing(None, (4, 12, 16), 2)(0)
    assert result.mean.shape == result.samples[1].shape == (4, 12, 16)
    assert result.whitened.shape == (4, 6, 8)
    assert result.valid.dtype == np.bool_
