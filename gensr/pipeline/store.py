"""Where results wait until a scene is whole: raw rasters on disk and a journal of what is finished.

Nothing is memory-mapped, so resident memory stays that of a few tiles. A part of the work (a tile, a slab of lines)
counts as done when its line is in the journal; a line is written after the part's pixels and holds a checksum of every
window that the part wrote. A run that goes on believes only parts whose line and windows are still what they were: of
a machine that lost its power, or a file that somebody touched, the rest is computed again. Now and then the rasters are
forced to the disk, and after them the journal.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from gensr.errors import OutputError
from gensr.pipeline.folder import open_file, open_private
from gensr.values.grid import Window

Shape = tuple[int, int, int, int]
"""(plane, band, row, col)."""
Layout = Mapping[str, tuple[Shape, np.dtype[Any]]]
MEAN, STD = "mean", "std"
TILE = "tile "
"""What the names of finished tiles begin with."""
JOURNAL, WROTE = "journal.jsonl", "wrote"
"""Name of the journal, and the key of its lines that holds the checksums."""
SYNC_SECONDS = 1.0
"""How often what is finished is forced to the disk; a process that is killed loses nothing in between."""


def sample_name(index: int) -> str:
    """Name of the raster of posterior sample ``index``."""
    return f"sample{index}"


def result_names(samples: int) -> list[str]:
    """Names of the rasters that hold results."""
    return [MEAN, STD, *map(sample_name, range(samples))]


def raster_bytes(shape: Shape, dtype: np.dtype[Any]) -> int:
    """Bytes of a raster."""
    return int(np.prod([int(n) for n in shape], dtype=object)) * dtype.itemsize


class Raster:
    """A (plane, band, row, col) array in one raw file, read and written by windows.

    The file is opened for every access: a run with thousands of samples has more rasters than a process may have files.

    Args:
        folder: descriptor of the folder.
        name: of the raster; the file is made, or brought to its size, if it is not there whole.
        shape: (plane, band, row, col).
        dtype: of the values.
    """

    def __init__(self, folder: int, name: str, shape: Shape, dtype: np.dtype[Any]) -> None:
        self.shape, self.dtype = shape, dtype
        self.written: list[tuple[int, Window, int, int, int]] = []
        """Plane, window, first band, their count and checksum of what was written since `Store.finish` was called."""
        self.touched = False
        """Whether something was written since `sync`."""
        self._folder, self._file = folder, f"{name}.raw"
        with self._opened(os.O_RDWR | os.O_CREAT) as file:
            size = raster_bytes(shape, dtype)
            if os.fstat(file).st_size != size:
                os.ftruncate(file, size)

    @contextlib.contextmanager
    def _opened(self, flags: int) -> Iterator[int]:
        file = open_file(self._folder, self._file, flags)
        try:
            yield file
        finally:
            os.close(file)

    def _offset(self, plane: int, band: int, row: int, col: int) -> int:
        _, bands, rows, cols = self.shape
        return (((plane * bands + band) * rows + row) * cols + col) * self.dtype.itemsize

    def write(self, plane: int, window: Window, values: npt.NDArray[Any], first: int = 0) -> None:
        """Write (band, rows, cols) at a window, the first of them into band ``first``.

        Raises:
            OSError: the disk is full or broken.
        """
        data = np.ascontiguousarray(values, self.dtype)
        with self._opened(os.O_WRONLY) as file:
            for band, part in enumerate(data, first):
                for i in range(window.rows):
                    _put(file, part[i].data.cast("B"), self._offset(plane, band, window.row + i, window.col))
        self.written.append((plane, window, first, len(data), zlib.crc32(data.data)))
        self.touched = True

    def read(self, plane: int, window: Window, first: int = 0, count: int | None = None) -> npt.NDArray[Any]:
        """Read (band, rows, cols) of a window, from band ``first`` on, all or ``count`` of them.

        Raises:
            OutputError: the file ends before the window does.
        """
        out = np.empty((self.shape[1] - first if count is None else count, window.rows, window.cols), self.dtype)
        # Whole lines lie one behind the other.
        lines, length = (window.rows, 1) if window.cols == self.shape[3] else (1, window.rows)
        with self._opened(os.O_RDONLY) as file:
            for band in range(len(out)):
                for i in range(length):
                    size = lines * window.cols * self.dtype.itemsize
                    raw = os.pread(file, size, self._offset(plane, first + band, window.row + i, window.col))
                    if len(raw) != size:
                        raise OutputError(f"{self._file}: was cut short while the run went on; run it again")
                    out[band, i : i + lines] = np.frombuffer(raw, self.dtype).reshape(lines, window.cols)
        return out

    def holds(self, plane: int, window: Window, first: int, count: int, checksum: int) -> bool:
        """Whether bands of a window lie inside and still hold what was written."""
        row, col, rows, cols = window
        inside = 0 <= plane < self.shape[0] and 0 <= row < row + rows <= self.shape[2]
        inside = inside and 0 <= col < col + cols <= self.shape[3]
        inside = inside and 0 <= first < first + count <= self.shape[1]
        return inside and zlib.crc32(self.read(plane, window, first, count).data) == checksum

    def sync(self) -> None:
        """Force to the disk what was written."""
        if self.touched:
            with self._opened(os.O_WRONLY) as file:
                os.fdatasync(file)
            self.touched = False


class Store:
    """All rasters of one run and its journal, in a folder of its own.

    Args:
        folder: created if missing.
        identity: everything that decides the result; a folder made by another run is refused.
        layout: name to (shape, dtype) of each raster.
        resume: continue a folder that exists; otherwise nothing of it counts.

    Raises:
        OutputError: the folder is of another run, or holds what no run leaves behind.
        OSError: the disk is full or broken.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any], layout: Layout, resume: bool) -> None:
        self.folder = folder
        self.done: dict[str, dict[str, Any]] = {}
        self.damaged = 0
        """Parts that an earlier run had finished and that are to be computed again."""
        self._folder, self._journal = open_private(folder), -1
        try:
            self._open(json.dumps(identity, sort_keys=True), layout, resume)
        except BaseException:
            self.close()
            raise

    def _open(self, head: str, layout: Layout, resume: bool) -> None:
        lines = self._lines() if resume else []
        if lines and lines[0] is not None and lines[0] != head:
            raise OutputError(
                f"{self.folder}: left by a run with other settings or another input; delete it or run without resume"
            )
        self.rasters = {name: Raster(self._folder, name, *spec) for name, spec in layout.items()}
        # Of a journal whose head is damaged nobody knows which run it belongs to.
        known = lines[1:] if lines and lines[0] is not None else []
        kept = [line for line in known if line is not None and self._believed(line)]
        self.damaged = max(0, len(lines) - 1) - len(kept)
        self._replace([head, *kept])
        self._journal = open_file(self._folder, JOURNAL, os.O_WRONLY | os.O_APPEND)
        self._synced = time.monotonic()

    def _lines(self) -> list[str | None]:
        """Lines of the journal, None for a damaged one; one that a kill cut off is no line."""
        try:
            file = open_file(self._folder, JOURNAL, os.O_RDONLY)
        except FileNotFoundError:
            return []
        with open(file, "rb") as stream:
            return [_checked(line[:-1]) for line in stream if line.endswith(b"\n")]

    def _believed(self, line: str) -> bool:
        """Take a part for done if the rasters still hold what it wrote."""
        try:
            entry = json.loads(line)
            part, wrote = str(entry["part"]), entry.pop(WROTE)
            for name, plane, window, first, count, checksum in wrote:
                place = Window(*map(int, window))
                if not self.rasters[name].holds(int(plane), place, int(first), int(count), checksum):
                    return False
        except (ValueError, TypeError, KeyError, AttributeError):  # whole, but no line of a run of this version
            return False
        self.done[part] = entry
        return True

    def _replace(self, lines: list[str]) -> None:
        """Put a new journal into the place of the old one, which is whole until then."""
        new = f"{JOURNAL}.new"
        file = open_file(self._folder, new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        try:
            _put(file, b"".join(map(_line, lines)), 0)
            os.fsync(file)
        finally:
            os.close(file)
        os.replace(new, JOURNAL, src_dir_fd=self._folder, dst_dir_fd=self._folder)

    def finish(self, part: str, statistics: Mapping[str, Any]) -> None:
        """Mark a part of the work as done, with its statistics.

        Raises:
            OSError: the disk is full or broken.
        """
        wrote = []
        for name, raster in self.rasters.items():
            wrote += [(name, plane, tuple(window), *rest) for plane, window, *rest in raster.written]
            raster.written.clear()
        entry = {"part": part, **statistics}
        _put(self._journal, _line(json.dumps({**entry, WROTE: wrote})))
        self.done[part] = entry
        if time.monotonic() - self._synced > SYNC_SECONDS:
            self.sync()

    def sync(self) -> None:
        """Force everything to the disk: the rasters, then the journal that speaks of them."""
        for raster in self.rasters.values():
            raster.sync()
        os.fdatasync(self._journal)
        self._synced = time.monotonic()

    def statistics(self, prefix: str) -> list[dict[str, Any]]:
        """Statistics of all finished parts whose names begin so."""
        return [entry for part, entry in self.done.items() if part.startswith(prefix)]

    def close(self) -> None:
        """Close all files; closing again does nothing."""
        for file in {self._journal, self._folder} - {-1}:
            os.close(file)
        self._journal = self._folder = -1

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _put(file: int, data: bytes | memoryview, offset: int | None = None) -> None:
    """Write all of it: a disk that fills up takes a part first."""
    left = memoryview(data)
    while left:
        count = os.write(file, left) if offset is None else os.pwrite(file, left, offset)
        left, offset = left[count:], None if offset is None else offset + count


def _line(text: str) -> bytes:
    """A line of the journal: text and checksum."""
    data = text.encode("ascii")
    return b"%s\t%08x\n" % (data, zlib.crc32(data))


def _checked(line: bytes) -> str | None:
    """The text of a line, if its checksum says that it is whole."""
    data, _, checksum = line.rpartition(b"\t")
    return data.decode("ascii") if checksum == b"%08x" % zlib.crc32(data) else None
