"""Whether the machine can hold what a run would make, asked before anything is computed."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

from gensr.errors import OutputError, SearchError
from gensr.pipeline.cost import free_memory
from gensr.pipeline.decisions import Decisions
from gensr.pipeline.store import Layout, raster_bytes, result_names
from gensr.pipeline.tiles import values
from gensr.values.sizes import size_text

SAMPLE_BYTES = 8
"""Bytes of a pixel of one sample while its tile is finished: its values with and without the context."""
FILES = 8
"""Files of a run beside its rasters and its outputs."""


def check_room(settled: Decisions, layout: Layout, folder: Path) -> None:
    """Refuse a run that cannot end.

    Args:
        settled: what the run follows.
        layout: rasters of its store.
        folder: of the store; rasters that an earlier run left there count as free.

    Raises:
        OutputError: the disk cannot hold what the run needs while it lasts, and its outputs.
    """
    outputs = settled.request.output is not None
    names = result_names(settled.task.samples)
    work = sum(raster_bytes(*spec) for spec in layout.values())
    final = sum(raster_bytes(*layout[name]) for name in names) if outputs else 0
    left = [path.stat() for path in folder.glob("*.raw") if not path.is_symlink()]
    need = work + final - sum(min(found.st_blocks * 512, found.st_size) for found in left)
    free = shutil.disk_usage(folder).free
    where = f"{settled.request.output}" if outputs else f"{folder.parent} (the folder of temporary files)"
    fewer = "give fewer samples=, " if settled.task.samples > 1 else ""
    advice = f"{fewer}free some space or {'choose another output=' if outputs else 'set TMPDIR'}"
    if need > free:
        parts = f"{size_text(work)} while it runs" + (f", {size_text(final)} of outputs" if outputs else "")
        raise OutputError(
            f"{where}: {size_text(work + final)} needed ({parts}), {size_text(free)} free on its disk; {advice}"
        )
    files = len(layout) - len(left) + (len(names) if outputs else 0) + FILES
    places = os.statvfs(folder)
    if places.f_files and files > places.f_favail:
        raise OutputError(f"{where}: {files} files needed, its disk has room for {places.f_favail}; {advice}")


def check_memory(settled: Decisions) -> None:
    """Refuse more samples than the memory can hold of one tile.

    Raises:
        SearchError: it cannot.
    """
    task = settled.task
    largest = max(values([replace(tile, core=tile.read)], len(settled.scene.bands)) for tile in settled.tiles)
    fine = largest * task.factor[0] * task.factor[1]
    need, free = SAMPLE_BYTES * fine * task.samples, free_memory("cpu")
    if need > free:
        raise SearchError(
            f"{settled.scene.path.name}: samples={task.samples} needs {size_text(need)} of memory for one tile, "
            f"{size_text(free)} are free; give fewer samples= or a smaller tile="
        )
