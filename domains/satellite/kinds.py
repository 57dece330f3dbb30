"""Which files and folders are arrays with labels: netCDF and Zarr, from their first bytes."""

from __future__ import annotations

from pathlib import Path

from gensr.errors import FormatError
from gensr.scenes.stores import ZarrStore, holds_ome, looks_like

CLASSIC = (b"CDF\x01", b"CDF\x02")
HDF5 = b"\x89HDF\r\n\x1a\n"
ENDINGS = (".nc", ".nc4", ".cdf", ".h5")


def kind_of(path: Path) -> str:
    """``"classic"``, ``"hdf5"``, ``"zarr"``, or "" for what is none of them; never raises."""
    try:
        if path.is_dir() or path.name.lower().endswith((".zarr.zip", ".zarr")):
            return "zarr" if looks_like(path) and _is_cube(path) else ""
        with path.open("rb") as stream:
            head = stream.read(8)
    except OSError:
        return ""
    if head[:4] in CLASSIC:
        return "classic"
    return "hdf5" if head == HDF5 else ""


def _is_cube(path: Path) -> bool:
    """Whether a hierarchy is a group of arrays and no image of OME."""
    try:
        with ZarrStore(path) as store:
            return not store.is_array("") and not holds_ome(store.attributes())
    except FormatError:
        return False
