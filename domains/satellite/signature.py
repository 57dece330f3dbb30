"""What a file is, from its first bytes: the name of the one GDAL driver that may open it.

A ``.tif`` that holds VRT XML reads any file on the disk when GDAL chooses the driver, so GDAL never chooses.
"""

from __future__ import annotations

from pathlib import Path

from gensr.errors import FormatError
from gensr.scenes.directories import MAGIC
from gensr.scenes.door import admit, neighbours

from .kinds import kind_of
from .safe import METADATA, is_safe
from .sidecars import WORLD, says_where
from .tiff import GDAL_METADATA, GDAL_NODATA, read_tiff

HEAD = 65536
JP2 = b"\x00\x00\x00\x0cjP  \r\n\x87\n"
JPEG2000_STREAM = b"\xff\x4f\xff\x51"
_DRIVERS = {
    **dict.fromkeys(MAGIC, "GTiff"),
    JP2: "JP2OpenJPEG",
    JPEG2000_STREAM: "JP2OpenJPEG",
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
}
_REFUSED = {
    b"CDF\x05": "netCDF",
    b"\x0e\x03\x13\x01": "HDF4",
    b"NITF": "NITF",
    b"SIMPLE  =": "FITS",
    b"EHFA_HEADER_TAG": "Erdas Imagine",
    b"PK\x03\x04": "a zip archive",
    b"\x1f\x8b": "a gzip archive",
    b"GIF8": "GIF",
    b"BM": "BMP",
}
_GEOJP2 = (bytes.fromhex("b14bf8bd083d4b43a5ae8cd7d5a6ce03"), b"gml.root-instance", b"gml.data")


def check_path(path: Path) -> None:
    """Refuse everything but a regular local file.

    Raises:
        FormatError: a URL, a GDAL virtual path, a folder, or no such file.
    """
    admit(path)
    if path.is_dir():
        raise FormatError(f"{path}: is a folder without {' or '.join(METADATA)}; give one image file")


def driver_of(path: Path) -> str:
    """Name of the GDAL driver for the content of a file.

    Raises:
        FormatError: an empty, unknown or refused kind of file.
    """
    check_path(path)
    head = _head(path)
    if not head:
        raise FormatError(f"{path}: the file is empty; expected GeoTIFF, JPEG 2000, JPEG or PNG")
    for magic, driver in _DRIVERS.items():
        if head.startswith(magic):
            return driver
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if start.startswith(b"<VRTDataset"):
        raise FormatError(
            f"{path}: holds VRT XML, which can read any file on the disk; run gdal_translate to GeoTIFF first"
        )
    for magic, kind in _REFUSED.items():
        if head.startswith(magic):
            raise FormatError(
                f"{path}: is {kind}; convert the image you mean to GeoTIFF (gdal_translate) and give that"
            )
    raise FormatError(f"{path}: starts with {head[:4]!r}; expected GeoTIFF, JPEG 2000, JPEG or PNG")


def confidence(path: Path) -> int:
    """How sure it is that the file is a georeferenced image: 0 to 3; never raises for a damaged file."""
    try:
        if path.is_dir() or path.name.lower().endswith(".zip"):
            return 3 if is_safe(path) else 2 if kind_of(path) else 0
        if kind_of(path):
            return 2
        if path.name.lower().endswith((".msk", ".ovr")):
            return 0  # a sidecar of another file
        return _confidence(path, driver_of(path))
    except (FormatError, OSError, ValueError):
        return 0


def _confidence(path: Path, driver: str) -> int:
    sidecar = 3 if placed(path) else 0
    if driver == "GTiff":
        tiff = read_tiff(path)
        if tiff.georeference():
            return 3
        return max(2 if {GDAL_METADATA, GDAL_NODATA} & set(tiff.tags) else 1, sidecar)
    if driver == "JP2OpenJPEG":
        return 3 if any(mark in _head(path) for mark in _GEOJP2) else max(1, sidecar)
    return sidecar


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(HEAD)
    except OSError as error:
        raise FormatError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error


def placed(path: Path) -> bool:
    """Whether a neighbour says where an image lies: a world file, RPC, or an ``.aux.xml`` with a place.

    What is damaged speaks too: whoever opens the image will say what is wrong with it.
    """
    ends = (*WORLD.get(path.suffix.lower(), (".wld",)), ".RPB", "_RPC.TXT")
    found = neighbours(path, [f"{path.name}.aux.xml", *(f"{path.stem}{end}" for end in ends)])
    notes = found.pop(f"{path.name}.aux.xml", None)
    if found or notes is None:
        return bool(found)
    try:
        return says_where(notes)
    except FormatError:
        return True
