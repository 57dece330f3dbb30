"""Reading HDF5 in the child process: a file that imports nothing of gensr."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

Found = list[Any]
"""What is refused: a word for it, a name of the file, and numbers."""


def look(path: str, limits: Mapping[str, int]) -> tuple[npt.NDArray[np.uint8], Found | None]:
    """Walk the groups of a file, by links and headers alone; then read all that is no image, as opening it does.

    Args:
        path: of the file.
        limits: see ``gensr.values.limits``.

    Returns:
        Nothing, and the first thing that is refused.
    """
    import h5py

    with h5py.File(path, "r") as file:
        small: list[str] = []
        refused = _group(file, h5py, limits, [0], 0, small)
        for name in () if refused else small:
            file[name][()]
    return np.zeros(0, np.uint8), refused


def block(path: str, name: str, place: Sequence[Sequence[int]]) -> npt.NDArray[Any]:
    """Numbers of a part of a dataset.

    Args:
        path: of the file.
        name: of the dataset.
        place: first index and the one behind the last, of every axis.
    """
    return np.asarray(_file(path, os.stat(path).st_mtime_ns)[name][tuple(slice(*ends) for ends in place)])


@lru_cache(maxsize=1)
def _file(path: str, changed: int) -> Any:  # noqa: ANN401
    import h5py

    return h5py.File(path, "r")


def _group(group: Any, h5py: Any, limits: Mapping[str, int], seen: list[int], depth: int, small: list[str]) -> Any:  # noqa: ANN401
    if depth > limits["depth"]:
        return ["depth", group.name, depth]
    _attributes(group)
    for name in group:
        seen[0] += 1
        if seen[0] > limits["elements"]:
            return ["elements", name, seen[0]]
        link = group.get(name, getlink=True)
        if isinstance(link, h5py.ExternalLink):
            return ["link", name]
        if isinstance(link, h5py.SoftLink):
            continue
        found, refused = group.get(name), None
        if isinstance(found, h5py.Group):
            refused = _group(found, h5py, limits, seen, depth + 1, small)
        elif isinstance(found, h5py.Dataset):
            refused = _dataset(name, found, limits, small)
        if refused:
            return refused
    return None


def _dataset(name: str, found: Any, limits: Mapping[str, int], small: list[str]) -> Found | None:  # noqa: ANN401
    if found.external or found.is_virtual:
        return ["elsewhere", name]
    _attributes(found)
    size = math.prod(found.shape or (0,)) * found.dtype.itemsize
    if size > limits["scene"]:
        return ["scene", name, size]
    chunk = math.prod(found.chunks or (0,)) * found.dtype.itemsize
    if chunk > limits["block"]:
        return ["block", name, chunk]
    if size > limits["believed"]:
        stored = found.id.get_storage_size()
        if size > limits["ratio"] * stored:
            return ["ratio", name, stored, size]
    elif found.ndim < 2 or found.dtype.kind not in "uif":
        small.append(found.name)
    return None


def _attributes(found: Any) -> None:  # noqa: ANN401
    for name in found.attrs:
        with contextlib.suppress(Exception):  # one of a strange type raises again where it is needed
            found.attrs[name]
