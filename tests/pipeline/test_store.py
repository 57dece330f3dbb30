"""Rasters and the journal: what is finished survives a kill, what is half written is done again."""

import json
import os
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gensr.errors import OutputError
from gensr.pipeline.folder import open_private
from gensr.pipeline.store import Raster, Store
from gensr.values.grid import Window

LAYOUT = {"mean": ((2, 3, 8, 9), np.dtype(np.int16)), "std": ((2, 3, 8, 9), np.dtype(np.float32))}
JOB = {"seed": 0, "factor": 4}


@settings(max_examples=40)
@given(st.integers(0, 6), st.integers(0, 7), st.data())
def test_windows_read_back_what_windows_wrote(tmp_path_factory, row, col, data):
    rows, cols = data.draw(st.integers(1, 7 - row)), data.draw(st.integers(1, 8 - col))
    folder = open_private(tmp_path_factory.mktemp("raster"))
    raster = Raster(folder, "a", (2, 3, 7, 8), np.dtype(np.float32))
    truth = np.zeros((2, 3, 7, 8), np.float32)
    values = np.random.default_rng(row).normal(size=(3, rows, cols)).astype(np.float32)
    truth[1, :, row : row + rows, col : col + cols] = values
    raster.write(1, Window(row, col, rows, cols), values)
    for plane in range(2):
        np.testing.assert_array_equal(raster.read(plane, Window(0, 0, 7, 8)), truth[plane])
        np.testing.assert_array_equal(raster.read(plane, Window(2, 3, 4, 5)), truth[plane, :, 2:6, 3:8])
    os.close(folder)


def test_closing_twice_is_harmless(tmp_path):
    made = store(tmp_path / "work")
    made.close()
    made.close()
    with pytest.raises(OSError, match=r"[Bb]ad file descriptor"):
        made.rasters["std"].read(0, Window(0, 0, 1, 1))


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
    assert [json.loads(line.partition("\t")[0]) for line in lines[1:]] == [
        {"part": "tile 0", "valid": 1, "wrote": []},
        {"part": "tile 1", "valid": 3, "wrote": []},
    ]


@pytest.mark.parametrize("cut", [1, 4, 40])
def test_a_journal_cut_off_inside_its_first_line_counts_for_nothing(tmp_path, cut):
    with store(tmp_path):
        pass
    journal = tmp_path / "journal.jsonl"
    journal.write_bytes(journal.read_bytes()[:-cut])
    with store(tmp_path, resume=True) as again:
        assert (again.done, again.damaged) == ({}, 0)


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


PARTS = [(plane, Window(row, 0, 4, 9)) for plane in range(2) for row in (0, 4)]


def filled(folder):
    """A store in which every part is finished, and what it holds."""
    draw = np.random.default_rng(1)
    truth = {"mean": draw.integers(-9999, 9999, (2, 3, 8, 9)), "std": draw.random((2, 3, 8, 9), np.float32)}
    with store(folder) as made:
        for number, (plane, window) in enumerate(PARTS):
            put(made, truth, plane, window)
            made.finish(f"tile {number}", {"valid": number})
    return truth


def put(made, truth, plane, window):
    for name, values in truth.items():
        made.rasters[name].write(plane, window, values[plane, :, window.row : window.row + 4])


def healed(folder, truth):
    """How many parts a run that goes on computes again; afterwards everything must be as it was."""
    with store(folder, resume=True) as again:
        open_parts = [number for number in range(len(PARTS)) if f"tile {number}" not in again.done]
        for number in open_parts:
            put(again, truth, *PARTS[number])
            again.finish(f"tile {number}", {"valid": number})
        for name, values in truth.items():
            for plane in range(2):
                np.testing.assert_array_equal(again.rasters[name].read(plane, Window(0, 0, 8, 9)), values[plane])
        assert [again.done[f"tile {number}"]["valid"] for number in range(4)] == [0, 1, 2, 3]
    return len(open_parts)


def test_a_whole_store_is_believed(tmp_path):
    truth = filled(tmp_path)
    assert healed(tmp_path, truth) == 0


@pytest.mark.parametrize("seed", range(100))
def test_a_bit_that_flips_anywhere_is_noticed(tmp_path, seed):
    draw, truth = random.Random(seed), filled(tmp_path)
    files = sorted(p for p in tmp_path.iterdir() if p.name != "lock")
    path = draw.choices(files, [p.stat().st_size for p in files])[0]
    data = bytearray(path.read_bytes())
    place = draw.randrange(len(data))
    data[place] ^= 1 << draw.randrange(8)
    path.write_bytes(data)
    assert healed(tmp_path, truth) >= 1
    assert healed(tmp_path, truth) == 0


@pytest.mark.parametrize("how", ["missing", "short", "empty", "long", "zeros"])
def test_a_raw_file_that_is_not_what_it_was_is_filled_again(tmp_path, how):
    truth, path = filled(tmp_path), tmp_path / "mean.raw"
    size = path.stat().st_size
    if how == "missing":
        path.unlink()
    elif how == "zeros":
        path.write_bytes(bytes(size))
    else:
        os.truncate(path, {"short": size - 5, "empty": 0, "long": size + 5}[how])
    assert healed(tmp_path, truth) == {"short": 1, "long": 0}.get(how, 4)
    assert path.stat().st_size == size


@pytest.mark.parametrize("garbage", [b"\xff\xfe\n", b"{}\n", b"\n\n", b"[[[[\n" * 100, b"x" * 9999])
@pytest.mark.parametrize("where", ["before", "behind", "between"])
def test_garbage_in_the_journal_is_no_bug(tmp_path, garbage, where):
    truth, path = filled(tmp_path), tmp_path / "journal.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    lines.insert({"before": 0, "behind": len(lines), "between": 2}[where], garbage)
    path.write_bytes(b"".join(lines))
    lost = 4 if where == "before" else int(where == "between" and not garbage.endswith(b"\n"))
    assert healed(tmp_path, truth) == lost


def test_lines_that_are_whole_but_speak_of_other_things_do_not_count(tmp_path):
    truth, path = filled(tmp_path), tmp_path / "journal.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    for text in ("[1]", "7", '{"part": "tile 0"}', '{"wrote": []}', "no json", '{"part": 3, "wrote": [[1]]}'):
        lines.append(signed(text))
    for name, plane, window in (("other", 0, [0, 0, 1, 1]), ("mean", 2, [0, 0, 1, 1]), ("mean", 0, [7, 0, 2, 1])):
        lines.append(signed(json.dumps({"part": "tile 9", "wrote": [[name, plane, window, 0]]})))
    path.write_bytes(b"".join(lines))
    with store(tmp_path, resume=True) as again:
        assert (sorted(again.done), again.damaged) == ([f"tile {k}" for k in range(4)], 9)
    assert healed(tmp_path, truth) == 0


def signed(text):
    import zlib

    return b"%s\t%08x\n" % (text.encode(), zlib.crc32(text.encode()))


def test_rasters_reach_the_disk_before_the_journal_that_speaks_of_them(tmp_path, monkeypatch):
    order = []
    sync = os.fdatasync

    def watched(file):
        order.append(os.path.basename(os.readlink(f"/proc/self/fd/{file}")))
        sync(file)

    monkeypatch.setattr("gensr.pipeline.store.SYNC_SECONDS", -1.0)
    monkeypatch.setattr("gensr.pipeline.store.os.fdatasync", watched)
    filled(tmp_path)
    assert order == ["mean.raw", "std.raw", "journal.jsonl"] * 4


def test_more_rasters_than_a_process_may_open_files(tmp_path):
    import resource

    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 20, limit[1]))
    try:
        many = {f"sample{k}": ((1, 1, 2, 2), np.dtype(np.uint8)) for k in range(100)}
        with Store(tmp_path / "work", JOB, many, False) as made:
            for raster in made.rasters.values():
                raster.write(0, Window(0, 0, 2, 2), np.ones((1, 2, 2)))
            made.finish("tile 0", {})
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limit)
