"""What a run will take: memory, and time on this machine, from what the generator says of itself."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import torch

from gensr.pipeline.task import Task
from gensr.pipeline.tiles import Tile, values
from gensr.values.sizes import size_text

SHARE = 0.25
"""Part of the free memory that a batch may fill."""
MOST = {"cuda": 32}
"""Largest batch by kind of device. On a processor a tile fills it, and rounding would differ from batch to batch."""
GROUP = 1 << 29
"""Bytes that a tile may take before its bands are computed in groups."""
UNKNOWN_MEMORY = 2000.0
"""Bytes per output pixel and band that are assumed of a generator that does not say."""
CHANNELS, SIDE, REPEATS = 64, 96, 3
"""Of the convolution that the speed of a machine is taken from."""
OVERHEAD = 0.35
"""Seconds that opening, writing and the preview take beside the reconstruction."""
RESULT_BYTES = 4
"""Bytes of a stored value."""


@dataclass(frozen=True)
class Expected:
    """What a run will take.

    Attributes:
        memory: bytes of a batch of tiles while it is computed, the process itself aside.
        disk: bytes of the rasters that results wait in.
        seconds: on this machine; None where the generator does not say what it costs.
    """

    memory: int
    disk: int
    seconds: float | None

    def describe(self) -> dict[str, Any]:
        """For people."""
        return {
            "memory": f"about {size_text(self.memory)} for a batch of tiles",
            "disk": f"{size_text(self.disk)} while it runs",
            "time": "not known for this generator" if self.seconds is None else f"about {_duration(self.seconds)}",
        }


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def choose_batch(task: Task, tile: Tile, bands: int, asked: int | None) -> int:
    """Tiles to compute together: what was asked for, else what fits into a share of the free memory.

    Args:
        task: what is computed.
        tile: the largest.
        bands: of the scene.
        asked: by the user, None to choose.
    """
    if task.operator.placed:
        return 1  # every tile has an operator of its own
    if asked is not None:
        return asked
    kind = torch.device(task.device).type
    fitting = int(SHARE * free_memory(task.device) / max(1, tile_memory(task, tile, bands)))
    return max(1, min(MOST.get(kind, 1), fitting))


def band_group(task: Task, tile: Tile, bands: int) -> int:
    """Bands of a tile to compute together: all that `GROUP` holds, on every machine, so that results are the same.

    Args:
        task: what is computed.
        tile: the largest.
        bands: of the scene.
    """
    if task.select(0, 1) is None:
        return bands
    return max(1, min(bands, GROUP // max(1, tile_memory(task, tile, 1))))


def free_memory(device: str) -> int:
    """Bytes that are free on a device."""
    if torch.device(device).type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        with open("/proc/meminfo", encoding="ascii") as stream:
            lines = dict(line.split(":", 1) for line in stream)
        return int(lines["MemAvailable"].split()[0]) << 10
    except (OSError, KeyError, ValueError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def tile_memory(task: Task, tile: Tile, bands: int) -> int:
    """Bytes that one tile takes while it is computed."""
    area = tile.read.rows * tile.read.cols * task.factor[0] * task.factor[1] * bands
    cost = task.generator.cost(task.unit, task.preset.generator_options)
    return int(area * (UNKNOWN_MEMORY if cost is None else cost.memory))


def expected(task: Task, tiles: tuple[Tile, ...], bands: int, batch: int, passes: int, slices: int) -> Expected:
    """Memory, disk and time of a run.

    Args:
        task: of the first pass.
        tiles: of the scene.
        bands: of the scene.
        batch: tiles computed together.
        passes: computations of the output that follow through planes, 0 for none.
        slices: refinement through planes.
    """
    largest = max(tiles, key=lambda t: t.read.rows * t.read.cols)
    first, end = largest.span(bands)
    memory = min(batch, len(tiles)) * tile_memory(task, largest, end - first)
    fine = task.factor[0] * task.factor[1]
    core = values(list(tiles), bands) * fine
    disk = core * RESULT_BYTES * (2 + task.samples) * (1 + (3 * slices if passes else 0))
    cost = task.generator.cost(task.unit, task.preset.generator_options)
    if cost is None or task.method.moments != "closed" or (task.samples and task.method.samples != "own"):
        return Expected(memory, disk, None)
    work = answers(task, tiles, bands, passes, slices) * cost.operations
    return Expected(memory, disk, OVERHEAD + work / speed(task.device))


def answers(task: Task, tiles: tuple[Tile, ...], bands: int, passes: int, slices: int) -> float:
    """Work of a run, in values that get a mean and a deviation; what is not known of draws counts as none.

    Args:
        task: of the first pass.
        tiles: of the scene.
        bands: of the scene.
        passes: see `expected`.
        slices: see there.
    """
    fine = task.factor[0] * task.factor[1]
    read = values([replace(t, core=t.read) for t in tiles], bands) * fine
    core = values(list(tiles), bands) * fine
    cost = task.generator.cost(task.unit, task.preset.generator_options)
    known = cost is not None and task.method.moments == "closed" and task.method.samples == "own"
    draw = cost.draw / cost.operations if cost is not None and known else 0.0
    return read * (1 + task.samples * draw) + passes * slices * core


@lru_cache(maxsize=4)
def speed(device: str) -> float:
    """Multiplications and additions a second of a convolution like those of a network, measured once."""
    x = torch.zeros(1, CHANNELS, SIDE, SIDE, device=device)
    kernel = torch.zeros(CHANNELS, CHANNELS, 3, 3, device=device)
    best = float("inf")
    with torch.inference_mode():
        for _ in range(REPEATS + 1):
            started = time.perf_counter()
            float(torch.nn.functional.conv2d(x, kernel, padding=1)[0, 0, 0, 0])
            best = min(best, time.perf_counter() - started)
    return 2.0 * CHANNELS * CHANNELS * 9 * SIDE * SIDE / best
