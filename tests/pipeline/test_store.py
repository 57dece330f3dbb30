"""Rasters and the journal: what is finished survives a kill, what is half written is done again."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gensr.errors import OutputError
from gensr.pipeline.store import Raster, Store
from gensr.values.grid import Window

LAYOUT = {"mean": ((2, 3, 8, 9), np.dtype(np.int16)), "std": ((2, 3, 8, 9), np.dtype(np.float32))}
JOB = {"seed": 0, "factor": 4}


@settings(max_examples=40)
@given(st.integers(0, 6), st.integers(0, 7), st.data())
def test_windows_read_back_what_windows_wrote(tmp_path_factory, row, col, data):
    rows, cols = data.draw(st.integers(1, 7 - row)), data.draw(st.integers(1, 8 - col))
    raster = Raster(tmp_path_factory.mktemp("raster") / "a.raw", (2, 3, 7, 8), np.dtype(np.float32))
    truth = np.zeros((2, 3, 7, 8), np.float32)
    values = np.random.default_rng(row).normal(size=(3, rows, cols)).astype(np.float32)
    truth[1, :, row : row + rows, col : col + cols] = values
    raster.write(1, Window(row, col, rows, cols), values)
    for plane in range(2):
        np.testing.assert_array_equal(raster.read(plane, Window(0, 0, 7, 8)), truth[plane])
        np.testing.assert_array_equal(raster.read(plane, Window(2, 3, 4, 5)), truth[plane, :, 2:6, 3:8])
    raster.close()


def test_closing_twice_is_harmless(tmp_path):
    raster = Raster(tmp_path / "a.raw", (1, 1, 2, 2), np.dtype(np.uint8))
    raster.close()
    raster.close()
    with pytest.raises(OSError, match=r"[Bb]ad file descriptor"):
        raster.read(0, Window(0, 0, 1, 1))


def test_more_than_the_disk_holds_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(OutputError, match="GiB needed"):
        Raster(tmp_path / "a.raw", (1 << 20, 1, 1 << 20, 1 << 10), np.dtype(np.float64))
    assert (tmp_path / "a.raw").stat().st_size == 0


def store(folder, resume=False, job=JOB):
    return Store(folder, job, LAYOUT, resume)


def test_a_finished_tile_survives(tmp_path):
    values = np.arange(3 * 2 * 9).reshape(3, 2, 9)
    with store(tmp_path / "work") as first:
        first.rasters["mean"].write(0, Window(2, 0, 2, 9), values)
        first.finish("tile 7", {"valid": 5})
    with store(tmp_path / "work", resume=True) as again:
        assert again.done == {"tile 7": {"part": "tile 7", "valid": 5}}
        np.testing.assert_array_equal(again.rasters["mean"].read(0, Window(2, 0, 2, 9)), values)


@pytest.mark.parametrize("cut", [1, 5, 12])
def test_a_line_cut_off_by_a_kill_does_not_count(tmp_path, cut):
    with store(tmp_path) as first:
        first.finish("tile 0", {"valid": 1})
        first.finish("tile 1", {"valid": 2})
    journal = tmp_path / "journal.jsonl"
    journal.write_bytes(journal.read_bytes()[:-cut])
    with store(tmp_path, resume=True) as again:
        assert set(again.done) == {"tile 0"}
        again.finish("tile 1", {"valid": 3})
    lines = journal.read_text().splitlines()
    assert [json.loads(line) for line in lines[1:]] == [
        {"part": "tile 0", "valid": 1},
        {"part": "tile 1", "valid": 3},
    ]


def test_a_journal_cut_off_inside_its_first_line_is_not_resumed(tmp_path):
    with store(tmp_path):
        pass
    journal = tmp_path / "journal.jsonl"
    journal.write_bytes(journal.read_bytes()[:-4])
    with pytest.raises(OutputError, match="other settings"):
        store(tmp_path, resume=True)


@pytest.mark.parametrize("job", [{"seed": 1, "factor": 4}, {"seed": 0}, {}])
def test_another_job_is_not_mixed_in(tmp_path, job):
    with store(tmp_path) as first:
        first.finish("tile 0", {})
    with pytest.raises(OutputError, match="other settings or another input"):
        store(tmp_path, resume=True, job=job)


def test_without_resume_nothing_counts_as_done(tmp_path):
    with store(tmp_path) as first:
        first.finish("tile 0", {})
    with store(tmp_path) as again:
        assert again.done == {}


def test_resume_without_anything_to_resume_starts(tmp_path):
    with store(tmp_path / "a" / "b", resume=True) as first:
        assert first.done == {}
