"""A run that cannot end is refused before anything is computed."""

import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from gensr.errors import OutputError, SearchError
from gensr.pipeline import room
from gensr.pipeline.store import raster_bytes


@pytest.fixture
def disk(monkeypatch):
    """Free bytes of every disk, and places for files."""

    def make(free, places=10**6):
        monkeypatch.setattr(room.shutil, "disk_usage", lambda path: SimpleNamespace(free=free))
        monkeypatch.setattr(room.os, "statvfs", lambda path: SimpleNamespace(f_files=1, f_favail=places))

    return make


def test_more_samples_than_the_memory_holds(plan):
    with plan(np.ones((8, 8), np.float32), samples=10**9) as settled, pytest.raises(SearchError) as caught:
        list(settled.run())
    text = str(caught.value)
    assert text.startswith("array: samples=1000000000 needs 1.9 TiB of memory for one tile, ")
    assert text.endswith(" are free; give fewer samples= or a smaller tile=")


def test_more_than_the_disk_holds(plan, tmp_path, disk):
    with plan(np.ones((8, 8), np.float32), samples=3, output=tmp_path / "out") as settled:
        layout = settled._layout()
        work = sum(raster_bytes(*spec) for spec in layout.values())
        need = work + 5 * 16 * 16 * 4
        disk(need - 1)
        words = (
            r"out: .* KiB needed \(.* KiB while it runs, 5.0 KiB of outputs\), .* free on its disk; give fewer samples="
        )
        with pytest.raises(OutputError, match=words):
            list(settled.run())
        assert list((tmp_path / "out").iterdir()) == []
        disk(need)
        list(settled.run())


def test_what_an_earlier_run_has_taken_counts_as_free(plan, tmp_path, disk):
    with plan(np.ones((8, 8), np.float32), output=tmp_path, tile=4, resume=True) as settled:
        events = settled.run()
        next(events), next(events)
        events.close()
        left = sum(path.stat().st_blocks * 512 for path in tmp_path.rglob("*.raw"))
        assert left
        disk(sum(raster_bytes(*spec) for spec in settled._layout().values()) + 2 * 1024 - min(left, 1024))
        list(settled.run())


def test_in_memory_the_folder_of_temporary_files_must_hold_it(plan, disk):
    disk(100)
    with (
        plan(np.ones((8, 8), np.float32)) as settled,
        pytest.raises(OutputError, match="free some space or set TMPDIR"),
    ):
        list(settled.run())


def test_more_files_than_the_disk_has_places(plan, tmp_path, disk):
    disk(10**9, places=20)
    words = "76 files needed, its disk has room for 20; give fewer samples="
    image = np.ones((8, 8), np.float32)
    with plan(image, samples=30, output=tmp_path) as settled, pytest.raises(OutputError, match=words):
        list(settled.run())
    assert shutil.disk_usage(tmp_path).free == 10**9
