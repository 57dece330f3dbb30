"""What a run will take: memory, disk and time in arithmetic of the tiles, and words that people read."""

import builtins
import io
import os
import time
from types import SimpleNamespace

import pytest
import torch

from gensr.operators import Area
from gensr.pipeline import cost
from gensr.pipeline.cost import Expected, choose_batch, expected, free_memory, speed, tile_memory
from gensr.pipeline.tiles import cut
from gensr.search.posterior import Method

PRICE = (1000.0, 50.0, 60.0)
"""Operations a pixel, operations a sample, bytes."""


def test_memory_of_a_tile_is_that_of_what_it_reads(make_task, white):
    tile = cut(1, (20, 30), 10, 2)[0]
    assert (tile.read.rows, tile.read.cols) == (12, 12)
    assert tile_memory(make_task(white(cost=PRICE), operator=Area((2, 5))), tile, 3) == 144 * 10 * 3 * 60
    assert tile_memory(make_task(), tile, 3) == 144 * 4 * 3 * 2000


@pytest.mark.parametrize(
    ("free", "device", "batch"),
    [(10**12, "cuda", 32), (4 * 5 * 34560 + 9, "cuda", 5), (1, "cuda", 1), (10**12, "cpu", 1)],
)
def test_a_batch_fills_a_quarter_of_the_free_memory(make_task, white, monkeypatch, free, device, batch):
    task = make_task(white(cost=PRICE))
    monkeypatch.setattr(type(task), "device", device)
    monkeypatch.setattr(cost, "free_memory", lambda name: free if name == device else 0)
    tile = cut(1, (20, 30), 10, 2)[0]  # 144 * 4 * 60 bytes
    assert choose_batch(task, tile, 1, None) == batch
    assert choose_batch(task, tile, 1, 7) == 7


def test_free_memory_is_what_the_system_says(monkeypatch):
    text = "MemTotal:  999 kB\nMemAvailable:    4096 kB\nSwap: 1 kB\n"
    monkeypatch.setattr(builtins, "open", lambda *a, **k: io.StringIO(text))
    assert free_memory("cpu") == 4096 * 1024
    monkeypatch.setattr(builtins, "open", lambda *a, **k: io.StringIO("MemTotal: 1 kB\n"))
    monkeypatch.setattr(os, "sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 1001}.__getitem__)
    assert free_memory("cpu") == 4096 * 1001 // 2
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (12345, 99999))
    assert free_memory("cuda") == 12345


@pytest.fixture
def machine(monkeypatch):
    monkeypatch.setattr(cost, "speed", lambda device: 1e6)


def test_memory_disk_and_time_of_a_run(make_task, white, machine):
    """50 x 30 pixels in cores of 20: two bands, x2, 8 fine pixels for each one."""
    tiles = tuple(cut(2, (50, 30), 20, 2))
    task = make_task(white(cost=PRICE), samples=3, gain=(1.0, 1.0), offset=(0.0, 0.0))
    found = expected(task, tiles, 2, 2, 0, 1)
    assert len(tiles) == 12
    assert found.memory == 2 * (24 * 22) * 8 * 60  # the largest tile reads 24 of 50 rows, 22 of 30 columns
    pixels = 2 * 50 * 30 * 8
    assert found.disk == pixels * 4 * 5
    read = 8 * 2 * sum(rows * cols for rows in (22, 24, 12) for cols in (22, 12))
    assert found.seconds == pytest.approx(0.35 + read * (1000 + 3 * 50) / 1e6)


def test_factors_of_rows_and_columns_both_count(make_task, white, machine):
    tiles = tuple(cut(1, (20, 20), 20, 2))
    found = expected(make_task(white(cost=PRICE), operator=Area((2, 5))), tiles, 1, 1, 0, 1)
    assert (found.memory, found.disk) == (4000 * 60, 4000 * 4 * 2)
    assert found.seconds == pytest.approx(0.35 + 4000 * 1000 / 1e6)


def test_a_batch_is_no_larger_than_there_are_tiles(make_task, white, machine):
    tiles = tuple(cut(1, (20, 20), 20, 2))
    assert expected(make_task(white(cost=PRICE)), tiles, 1, 9, 0, 1).memory == 400 * 4 * 60


def test_passes_through_planes_are_counted(make_task, white, machine):
    tiles = tuple(cut(4, (10, 10), 20, 2))
    task = make_task(white(cost=PRICE), samples=1)
    found = expected(task, tiles, 1, 1, 3, 5)
    pixels = 4 * 100 * 4
    assert found.disk == pixels * 4 * 3 * 16
    assert found.seconds == pytest.approx(0.35 + pixels * 1050 / 1e6 + 3 * 5 * pixels * 1000 / 1e6)


@pytest.mark.parametrize(
    ("price", "method", "samples", "known"),
    [
        (PRICE, ("closed", "own"), 1, True),
        (PRICE, ("closed", "guided"), 0, True),
        (PRICE, ("closed", "guided"), 1, False),
        (PRICE, ("draws", "own"), 0, False),
        (PRICE, ("search", "search"), 0, False),
        (None, ("closed", "own"), 0, False),
    ],
)
def test_no_time_is_said_where_it_is_not_known(make_task, white, machine, price, method, samples, known):
    task = make_task(white(cost=price), samples=samples, method=Method(*method))
    found = expected(task, tuple(cut(1, (10, 10), 20, 2)), 1, 1, 0, 1)
    assert (found.seconds is not None) == known


@pytest.mark.parametrize(
    ("bytes_", "seconds", "memory", "time_"),
    [
        (5, 0.2, "5 bytes", "about 1 s"),
        (300_000, 89.4, "293 KiB", "about 89 s"),
        (1 << 20, 90.0, "1.0 MiB", "about 2 min"),
        ((1 << 30) - 1, 5399.0, "1.0 GiB", "about 90 min"),
        (3 << 29, 5400.0, "1.5 GiB", "about 1.5 h"),
        (1 << 30, None, "1.0 GiB", "not known for this generator"),
    ],
)
def test_figures_for_people(bytes_, seconds, memory, time_):
    said = Expected(bytes_, 2 << 20, seconds).describe()
    assert said == {"memory": f"about {memory} for a batch of tiles", "disk": "2.0 MiB while it runs", "time": time_}


def test_the_speed_of_a_machine_is_that_of_a_convolution_at_its_best(monkeypatch):
    """Four tries that take 4, 2, 0.5 and 3 seconds: 2 x 64 x 64 x 9 x 96 x 96 operations in half a second."""
    clock = iter([0, 4, 10, 12, 20, 20.5, 30, 33, 40, 41])
    monkeypatch.setattr(cost, "time", SimpleNamespace(perf_counter=lambda: float(next(clock))))
    speed.cache_clear()
    try:
        assert speed("cpu") == 2 * 64 * 64 * 9 * 96 * 96 / 0.5
        assert next(clock) == 40
        assert speed("cpu") > 0  # measured once
    finally:
        speed.cache_clear()
    assert time.perf_counter() > 0
