"""HDF5 under netCDF-4, looked at before any pixel is read: nothing may lie in another file, or claim absurd sizes.

The library parses headers, trees and filters in C: the child process opens a file first, and it alone reads images.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gensr.errors import FormatError, PluginError
from gensr.scenes.decoding import decoded
from gensr.scenes.distant import DistantArray
from gensr.values.limits import LIMITS, expands, limit, within

from . import hdf_unpack


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
    load()
    names = ("depth", "elements", "scene", "block", "believed", "ratio")
    try:
        _, refused = decoded(hdf_unpack.look, [str(path.absolute()), {name: limit(name) for name in names}], 0)
    except Exception as error:  # the library meets damage with any exception there is
        raise FormatError(f"{path}: is no readable HDF5 or netCDF-4 ({_line(error)}); get an intact copy") from error
    if not refused:
        return
    kind, name, *numbers = refused
    if kind in LIMITS and kind != "ratio":
        within(kind, numbers[0], f"{path}: {str(name)[:80]}")
    elif kind == "ratio":
        expands(str(name)[:80], numbers[0], numbers[1], path)
    elif kind == "link":
        raise FormatError(f"{path}: {name[:80]!r} is a link to another file; refused, put the data into one")
    raise FormatError(f"{path}: the numbers of {name[:80]!r} lie in another file; refused, copy them into one")


def array(path: Path, name: str, shape: tuple[int, ...], dtype: Any) -> DistantArray:  # noqa: ANN401
    """A dataset at the root of a file, decoded in the child process."""
    return DistantArray(hdf_unpack.block, [str(path.absolute()), name], shape, dtype)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
