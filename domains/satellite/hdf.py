"""HDF5 under netCDF-4, looked at before any pixel is read: nothing may lie in another file, or claim absurd sizes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from gensr.errors import FormatError, PluginError
from gensr.values.limits import expands, limit, within


def load() -> Any:  # noqa: ANN401
    """The format library.

    Raises:
        PluginError: if it is not installed.
    """
    try:
        import h5netcdf  # noqa: F401  # what xarray reads it with
        import h5py
    except ModuleNotFoundError as error:
        raise PluginError(f"netCDF-4 files need the package {error.name}; pip install 'gensr[netcdf]'") from error
    return h5py


def check(path: Path) -> None:
    """Walk the groups of a file, by links and headers alone.

    Raises:
        FormatError: damaged, links or pixels in other files, or claims beyond the limits.
    """
    h5py = load()
    try:
        with h5py.File(path, "r") as file:
            _group(path, file, h5py, [0], 0)
    except FormatError:
        raise
    except Exception as error:  # the library meets damage with any exception there is
        raise FormatError(f"{path}: is no readable HDF5 or netCDF-4 ({_line(error)}); get an intact copy") from error


def _group(path: Path, group: Any, h5py: Any, seen: list[int], depth: int) -> None:  # noqa: ANN401
    within("depth", depth, path)
    for name in group:
        seen[0] += 1
        within("elements", seen[0], path)
        link = group.get(name, getlink=True)
        if isinstance(link, h5py.ExternalLink):
            raise FormatError(f"{path}: {name[:80]!r} is a link to another file; refused, put the data into one")
        if isinstance(link, h5py.SoftLink):
            continue
        found = group.get(name)
        if isinstance(found, h5py.Group):
            _group(path, found, h5py, seen, depth + 1)
        elif isinstance(found, h5py.Dataset):
            _dataset(path, name, found)


def _dataset(path: Path, name: str, found: Any) -> None:  # noqa: ANN401
    if found.external or found.is_virtual:
        raise FormatError(f"{path}: the numbers of {name[:80]!r} lie in another file; refused, copy them into one")
    size = math.prod(found.shape or (0,)) * found.dtype.itemsize
    within("scene", size, f"{path}: {name}")
    if found.chunks:
        within("block", math.prod(found.chunks) * found.dtype.itemsize, f"{path}: {name}")
    if size > limit("believed"):
        expands(name, found.id.get_storage_size(), size, path)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
