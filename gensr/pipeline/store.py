"""Where results wait until a scene is whole: raw rasters on disk and a journal of what is finished.

Nothing is memory-mapped, so resident memory stays that of a few tiles. A part of the work (a tile, a slab of lines)
counts as done when its line is in the journal; a line is written after the part's pixels. A killed run continues from
there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from gensr.errors import OutputError
from gensr.values.grid import Window

Shape = tuple[int, int, int, int]
"""(plane, band, row, col)."""
Layout = Mapping[str, tuple[Shape, np.dtype[Any]]]
MEAN, STD = "mean", "std"
TILE = "tile "
"""What the names of finished tiles begin with."""


def sample_name(index: int) -> str:
    """Name of the raster of posterior sample ``index``."""
    return f"sample{index}"


def result_names(samples: int) -> list[str]:
    """Names of the rasters that hold results."""
    return [MEAN, STD, *map(sample_name, range(samples))]


class Raster:
    """A (plane, band, row, col) array in one raw file, read and written by windows."""

    def __init__(self, path: Path, shape: Shape, dtype: np.dtype[Any]) -> None:
        self.shape, self.dtype = shape, dtype
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        size = int(np.prod([int(n) for n in shape], dtype=object)) * dtype.itemsize
        if os.fstat(self._file).st_size != size:
            free = os.statvfs(path).f_bavail * os.statvfs(path).f_frsize
            if size > free:
                os.close(self._file)
                need, have = size / 2**30, free / 2**30
                raise OutputError(f"{path.parent}: {need:.1f} GiB needed, {have:.1f} free; choose output=")
            os.ftruncate(self._file, size)

    def _offset(self, plane: int, band: int, row: int, col: int) -> int:
        _, bands, rows, cols = self.shape
        return (((plane * bands + band) * rows + row) * cols + col) * self.dtype.itemsize

    def write(self, plane: int, window: Window, values: npt.NDArray[Any]) -> None:
        """Write (band, rows, cols) at a window."""
        data = np.ascontiguousarray(values, self.dtype)
        for band in range(self.shape[1]):
            for i in range(window.rows):
                os.pwrite(self._file, data[band, i].data, self._offset(plane, band, window.row + i, window.col))

    def read(self, plane: int, window: Window) -> npt.NDArray[Any]:
        """Read (band, rows, cols) of a window."""
        out = np.empty((self.shape[1], window.rows, window.cols), self.dtype)
        length = window.cols * self.dtype.itemsize
        for band in range(self.shape[1]):
            if window.cols == self.shape[3]:
                raw = os.pread(self._file, length * window.rows, self._offset(plane, band, window.row, 0))
                out[band] = np.frombuffer(raw, self.dtype).reshape(window.rows, window.cols)
                continue
            for i in range(window.rows):
                raw = os.pread(self._file, length, self._offset(plane, band, window.row + i, window.col))
                out[band, i] = np.frombuffer(raw, self.dtype)
        return out

    def close(self) -> None:
        """Close the file; closing again does nothing."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


class Store:
    """All rasters of one run and its journal, in a folder of its own.

    Args:
        folder: created if missing.
        identity: everything that decides the result; a folder made by another run is refused.
        layout: name to (shape, dtype) of each raster.
        resume: continue a folder that exists; otherwise it must not.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any], layout: Layout, resume: bool) -> None:
        self.folder = folder
        head = json.dumps(identity, sort_keys=True)
        journal = folder / "journal.jsonl"
        self.done: dict[str, dict[str, Any]] = {}
        if journal.exists() and resume:
            lines = journal.read_text().splitlines(keepends=True)
            if not lines or lines[0].rstrip("\n") != head:
                raise OutputError(
                    f"{folder}: left by a run with other settings or another input; delete it or run without resume"
                )
            whole = [line for line in lines[1:] if line.endswith("\n")]
            self.done = {entry["part"]: entry for entry in map(json.loads, whole)}
            kept = lines[0] + "".join(whole)
            journal.write_text(kept)
        else:
            folder.mkdir(parents=True, exist_ok=True)
            journal.write_text(head + "\n")
        self._journal = journal.open("a")
        self.rasters = {name: Raster(folder / f"{name}.raw", *spec) for name, spec in layout.items()}

    def finish(self, part: str, statistics: Mapping[str, Any]) -> None:
        """Mark a part of the work as done, with its statistics."""
        entry = {"part": part, **statistics}
        self.done[part] = entry
        self._journal.write(json.dumps(entry) + "\n")
        self._journal.flush()

    def statistics(self, prefix: str) -> list[dict[str, Any]]:
        """Statistics of all finished parts whose names begin so."""
        return [entry for part, entry in self.done.items() if part.startswith(prefix)]

    def close(self) -> None:
        """Close all files; closing again does nothing."""
        self._journal.close()
        for raster in self.rasters.values():
            raster.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
