"""The one door to rasterio: imported late, with a bounded cache, fixed settings and errors that name the file."""

from __future__ import annotations

import mmap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gensr.errors import FormatError, GensrError, OutputError, PluginError
from gensr.scenes.decoding import decoded

from . import unpack
from .packed import Packed
from .sidecars import beside, staged

CACHE_BYTES = 64 * 2**20
DRIVERS = ("GTiff", "COG", "JP2OpenJPEG", "JPEG", "PNG")
"""The drivers of GDAL that gensr uses; VRT and all others never open anything."""
ROOM = 48 * 2**20
"""Bytes that GDAL may take beside what its cache holds: a few blocks, compressed and not (21 MB were seen)."""
THREADS = 1  # an error in a thread of its own GDAL prints and forgets: a full disk or memory must end the run


def load() -> Any:  # noqa: ANN401
    """The rasterio module with the submodules used here.

    Raises:
        PluginError: rasterio is not installed.
    """
    try:
        import rasterio
        import rasterio.control
        import rasterio.enums
        import rasterio.errors
        import rasterio.rpc
        import rasterio.shutil
        import rasterio.windows
    except ModuleNotFoundError as error:
        raise PluginError("the satellite domain needs rasterio; pip install rasterio") from error
    return rasterio


def settings() -> dict[str, Any]:
    """GDAL settings that do not depend on the caller's environment."""
    return {
        "GDAL_CACHEMAX": CACHE_BYTES,  # bytes; the default is a share of the RAM outside our accounting
        "GDAL_NUM_THREADS": str(THREADS),
        "GDAL_TIFF_INTERNAL_MASK": "YES",
        "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",  # no file beside the one that is named; see `opened`
        "USE_RRD": "NO",  # overviews inside the file, never one that metadata name
        "GDAL_VRT_ENABLE_PYTHON": "NO",
        "CPL_VSIL_CURL_ALLOWED_EXTENSIONS": ".nothing",  # no address is opened, whoever names it
        "GTIFF_POINT_GEO_IGNORE": "NO",
        "GTIFF_REPORT_COMPD_CS": "YES",
        "GDAL_ERROR_ON_LIBJPEG_WARNING": "YES",  # otherwise a truncated JPEG is filled with grey
    }


def opened(path: Path, driver: str, packed: bool = False) -> Any:  # noqa: ANN401
    """A dataset, opened by one driver, with the neighbours that were checked and no other file.

    Args:
        path: a regular file.
        driver: GDAL's name, one of `DRIVERS`.
        packed: its pixels are compressed: they are decoded in the child process, and the header is opened there first.

    Raises:
        FormatError: it cannot be decoded, or a neighbour is not what its name says.
    """
    if driver not in DRIVERS:
        raise FormatError(f"{path}: GDAL's driver {driver} is not used; expected one of {', '.join(DRIVERS)}")
    neighbours = beside(path)
    with reading(path) as rasterio, without_georeference():
        if packed:
            decoded(unpack.look, [str(path.absolute()), driver, settings()], 0)
        if not neighbours:
            dataset = rasterio.open(path.absolute(), driver=driver)
        else:
            with staged(path, neighbours) as image, rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="FALSE"):
                dataset = rasterio.open(image, driver=driver)
                # Neighbours are read when they are first asked for; afterwards their folder is gone.
                dataset.tags(), dataset.gcps, dataset.rpcs, dataset.mask_flag_enums
        return Packed(dataset, path, settings(), any(end.endswith(".msk") for end in neighbours)) if packed else dataset


def room(image: int = 0) -> None:
    """See that GDAL finds the memory that it takes: where its own allocation fails, it ends the whole process.

    Args:
        image: bytes of what it shall hold; no more of it than its cache is counted.

    Raises:
        MemoryError: there is not as much.
    """
    size = ROOM + min(image, CACHE_BYTES)
    try:
        mmap.mmap(-1, size).close()  # address space only: nothing is touched
    except OSError as error:
        raise MemoryError(f"GDAL needs {size >> 20} MB of memory") from error


@contextmanager
def reading(path: Path) -> Iterator[Any]:
    """Settings for reading; a failure becomes a FormatError that names ``path``."""
    rasterio = load()
    try:
        room()
        with rasterio.Env(**settings()):
            yield rasterio
    except (GensrError, MemoryError):
        raise
    except Exception as error:  # a damaged header surfaces as RasterioError, CPLE_*, ValueError, UnicodeError, ...
        raise FormatError(f"{path}: cannot be decoded ({brief(error)}); the file is damaged or truncated") from error


@contextmanager
def writing(path: Path) -> Iterator[Any]:
    """Settings for writing; a failure becomes an OutputError that names ``path``."""
    rasterio = load()
    room()
    try:
        with rasterio.Env(**settings()):
            yield rasterio
    except (rasterio.errors.RasterioError, OSError) as error:
        raise OutputError(f"{path}: cannot be written ({brief(error)}); check free space and permissions") from error


@contextmanager
def without_georeference() -> Iterator[None]:
    """Silence rasterio's warning about a missing transform: it is a fact here, reported as a note."""
    rasterio = load()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        yield


def brief(error: BaseException) -> str:
    """One line of a library's message, from the first cause that says something."""
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    text = " ".join(str(cause).split()) or type(cause).__name__
    return text if len(text) <= 160 else text[:157] + "..."
