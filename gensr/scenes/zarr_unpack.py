"""Decoding chunks of Zarr in the child process: a file that imports nothing of gensr.

The store reads no file outside its folder, so that a link among its chunks leads nowhere, and no pipe, which waits.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt


class _Pipe:
    """One end of a pipe in the place of a socket.

    The loops of asyncio wake themselves through a pair of sockets, and this process may make none.
    """

    def __init__(self, number: int) -> None:
        self._number = number

    def fileno(self) -> int:
        return self._number

    def setblocking(self, flag: bool) -> None:
        os.set_blocking(self._number, flag)

    def recv(self, size: int) -> bytes:
        return os.read(self._number, size)

    def send(self, data: bytes) -> int:
        return os.write(self._number, data)

    def close(self) -> None:
        os.close(self._number)


def _pair() -> tuple[_Pipe, _Pipe]:
    source, sink = os.pipe()
    return _Pipe(source), _Pipe(sink)


def inside(folder: str) -> Any:  # noqa: ANN401
    """A ``zarr`` store of a folder that is only read, and never outside it.

    Args:
        folder: the root of the hierarchy.
    """
    from zarr.storage import LocalStore

    root = os.path.realpath(folder)

    class Inside(LocalStore):
        async def get(self, key: str, *more: Any, **words: Any) -> Any:  # noqa: ANN401
            real = os.path.realpath(os.path.join(root, key))
            if not real.startswith(root + os.sep):
                raise ValueError(f"{key[:80]!r} is a link out of the store")
            if os.path.exists(real) and not (os.path.isfile(real) or os.path.isdir(real)):
                raise ValueError(f"{key[:80]!r} is a device or pipe")
            return await super().get(key, *more, **words)

    return Inside(folder, read_only=True)


def block(path: str, zipped: bool, name: str, version: int, place: Sequence[Sequence[int]]) -> npt.NDArray[Any]:
    """Numbers of a part of an array.

    Args:
        path: of the hierarchy.
        zipped: whether it is a zip.
        name: of the array.
        version: of Zarr.
        place: first index and the one behind the last, of every axis.
    """
    array = _array(path, zipped, name, version, os.stat(path).st_mtime_ns)
    return np.asarray(array[tuple(slice(start, stop) for start, stop in place)])


def trial(path: str, zipped: bool, name: str, version: int) -> npt.NDArray[np.uint8]:
    """Nothing, after a whole array was read; texts too."""
    _array(path, zipped, name, version, os.stat(path).st_mtime_ns)[...]
    return np.zeros(0, np.uint8)


@lru_cache(maxsize=4)
def _array(path: str, zipped: bool, name: str, version: int, changed: int) -> Any:  # noqa: ANN401
    socket.socketpair = _pair  # type: ignore[assignment]
    import zarr

    zarr.config.set({"async.concurrency": 1, "threading.max_workers": 1})
    store = zarr.storage.ZipStore(path, mode="r") if zipped else inside(path)
    return zarr.open_array(store, path=name, mode="r", zarr_format=3 if version == 3 else 2)
