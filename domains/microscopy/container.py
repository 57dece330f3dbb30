"""Open a TIFF without trusting it: which kind it is, which series is meant, and whether the bytes are there."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from xml.dom import minidom

from gensr.errors import FormatError, PluginError, UsageError
from gensr.scenes.directories import MAGIC, check_directories
from gensr.values.limits import within

Kind = Literal["ome", "imagej", "plain"]

SUFFIXES = (".ome.tiff", ".ome.tif", ".ome.btf", ".ome.tf8", ".tiff", ".tif", ".btf", ".tf8")
GEO_TAGS = {33550: "ModelPixelScale", 33922: "ModelTiepoint", 34264: "ModelTransformation", 34735: "GeoKeyDirectory"}
NODATA_TAG = 42113
_OLD_JPEG = 6
EXPANSION_LIMIT = 1100  # deflate cannot exceed 1032
_KINDS: dict[str, Kind] = {"ome": "ome", "imagej": "imagej", "shaped": "plain", "uniform": "plain", "generic": "plain"}
_PHOTOMETRICS = {0: "MINISWHITE", 1: "MINISBLACK", 2: "RGB", 3: "PALETTE", 6: "YCBCR"}


@dataclass(frozen=True)
class Container:
    """An opened TIFF and the series in it that is processed.

    Attributes:
        path: the file.
        tif: ``tifffile.TiffFile``.
        kind: family of metadata.
        series: ``tifffile.TiffPageSeries``, full resolution level.
        index: number of the series in the file (and of the OME Image).
        count: number of series in the file.
        key: the page that describes all pages of the series.
        ome: the OME-XML, "" for other kinds.
    """

    path: Path
    tif: Any
    kind: Kind
    series: Any
    index: int
    count: int
    key: Any
    ome: str


def suffix_of(path: Path) -> str:
    """Ending of a name as it is written, also of two parts; "" for any other."""
    name = path.name.lower()
    found = next((s for s in SUFFIXES if name.endswith(s) and len(name) > len(s)), "")
    return path.name[len(path.name) - len(found) :] if found else ""


def is_tiff(path: Path) -> bool:
    """Whether a file starts like a TIFF or BigTIFF."""
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        return stream.read(4) in MAGIC


def import_tifffile() -> Any:  # noqa: ANN401
    """The format library.

    Raises:
        PluginError: if it is not installed.
    """
    try:
        import tifffile
    except ModuleNotFoundError as error:
        raise PluginError("microscopy files need the package tifffile; pip install tifffile") from error
    return tifffile


def compression_name(page: Any) -> str:  # noqa: ANN401
    """Name of the compression of a page, e.g. "LZW"."""
    value = page.compression
    return str(getattr(value, "name", "NONE" if int(value) == 1 else int(value)))


def open_container(path: Path, series: int | None) -> Container:
    """Open and check a file.

    Args:
        path: the file.
        series: number of the series to process; None if the file must hold exactly one.

    Raises:
        FormatError: not a TIFF, damaged, unsafe, or a kind that is refused by name.
        UsageError: the series does not exist.
    """
    if not path.is_file():
        raise FormatError(f"{path}: no such file; give a TIFF, OME-TIFF or ImageJ file")
    if not is_tiff(path):
        raise FormatError(f"{path}: does not start like a TIFF; convert it to OME-TIFF (for example with bioio)")
    pages = check_directories(path)
    tifffile = import_tifffile()
    tif = None
    try:
        tif = tifffile.TiffFile(path, _multifile=False)
        return _inspect(path, tif, series, pages)
    except (FormatError, UsageError):
        if tif is not None:
            tif.close()
        raise
    # A damaged header surfaces in the library as almost any exception.
    except Exception as error:
        if tif is not None:
            tif.close()
        reason = " ".join(str(error).split())[:120]
        raise FormatError(f"{path}: damaged TIFF ({type(error).__name__}: {reason}); get an intact copy") from error


def _inspect(path: Path, tif: Any, wanted: int | None, pages: int) -> Container:  # noqa: ANN401
    first = tif.pages.first
    found = [name for code, name in GEO_TAGS.items() if code in first.tags]
    if NODATA_TAG in first.tags:
        found.append("GDAL_NODATA")
    if found:
        raise FormatError(f"{path}: is georeferenced ({', '.join(found)}); use domain=satellite")
    ome = tif.ome_metadata or "" if tif.is_ome else ""
    images = _check_ome(path, ome, pages, int(first.size)) if ome else 0
    all_series = tif.series
    kinds = {s.kind for s in all_series}
    unknown = sorted(kinds - set(_KINDS))
    if unknown:
        raise FormatError(
            f"{path}: is a vendor TIFF ({', '.join(unknown)}); convert it to OME-TIFF (bioio, Bio-Formats)"
        )
    if (tif.is_ome and kinds != {"ome"}) or (tif.is_imagej and not tif.is_ome and kinds != {"imagej"}):
        name = "OME-XML" if tif.is_ome else "ImageJ header"
        raise FormatError(f"{path}: its {name} does not fit its pages (truncated?); get an intact copy")
    if ome and images != len(all_series):
        raise FormatError(f"{path}: its OME-XML describes images that have no pages; get an intact copy")
    index = _choose(path, all_series, wanted)
    series = all_series[index]
    container = Container(path, tif, _KINDS[series.kind], series, index, len(all_series), series.keyframe, ome)
    _check_pages(container)
    return container


def _choose(path: Path, all_series: list[Any], wanted: int | None) -> int:
    if not all_series:
        raise FormatError(f"{path}: holds no image; get an intact copy")
    if wanted is None and len(all_series) > 1:
        shapes = "; ".join(f"{i}: {s.axes} {'x'.join(map(str, s.shape))}" for i, s in enumerate(all_series[:6]))
        raise FormatError(f"{path}: holds {len(all_series)} images ({shapes}); choose one with series=0, 1, ...")
    index = wanted or 0
    if not 0 <= index < len(all_series):
        raise UsageError(f"{path}: series={index} does not exist; the file holds series 0 to {len(all_series) - 1}")
    return index


def _check_ome(path: Path, xml: str, pages: int, pixels_of_page: int) -> int:
    """Refuse entity bombs, planes in other files and absurd sizes before the library acts; returns how many images."""
    within("xml", len(xml), path)
    # Every element is opened by one bracket, and closed by another unless it is empty.
    within("elements", xml.count("<") - xml.count("</") - 10 * pages, path)
    if "<!DOCTYPE" in xml or "<!ENTITY" in xml:
        raise FormatError(f"{path}: its OME-XML declares entities; refused, remove the DOCTYPE")
    root = minidom.parseString(xml.encode("utf-8")).documentElement
    if root is None or root.getElementsByTagNameNS("*", "BinaryOnly"):
        raise FormatError(f"{path}: its OME-XML is in a companion file; convert the set to one OME-TIFF file")
    own = root.getAttribute("UUID")
    for pixels in root.getElementsByTagNameNS("*", "Pixels"):
        planes = 1
        for axis in "ZCT":
            planes *= int(pixels.getAttribute(f"Size{axis}"))
        within("planes", planes, path)
        # The library keeps a place for every page that the declared pixels would fill.
        total = planes * int(pixels.getAttribute("SizeX")) * int(pixels.getAttribute("SizeY"))
        within("planes", total // max(1, pixels_of_page), path)
        if planes < 1:
            raise FormatError(f"{path}: its OME-XML declares {planes} planes; get an intact copy")
        for data in pixels.getElementsByTagNameNS("*", "TiffData"):
            count = int(data.getAttribute("PlaneCount") or data.getAttribute("NumPlanes") or 0)
            if not 0 <= count <= planes:
                raise FormatError(f"{path}: its OME-XML places {count} of {planes} planes; get an intact copy")
    for uuid in root.getElementsByTagNameNS("*", "UUID"):
        text = "".join(node.data for node in uuid.childNodes if node.nodeType == node.TEXT_NODE)
        name = uuid.getAttribute("FileName")
        mine = text == own if own else name.lower() == path.name.lower()
        if not mine:
            raise FormatError(
                f"{path}: planes are in another file ({os.path.basename(name)[:60]}); merge the set first"
            )
    return len(root.getElementsByTagNameNS("*", "Pixels"))


def _check_pages(c: Container) -> None:
    key, size = c.key, c.path.stat().st_size
    within("planes", len(c.series), c.path)
    if key.dtype is None or 0 in c.series.shape:
        raise FormatError(f"{c.path}: holds an empty image or an unknown sample type; get an intact copy")
    if int(key.compression) == _OLD_JPEG:
        raise FormatError(
            f"{c.path}: is compressed as old-style JPEG (TIFF 6.0), which libraries do not decode any more; re-save it "
            "with another compression (tiffcp -c lzw, or the program that made it)"
        )
    if int(key.photometric) not in _PHOTOMETRICS:
        raise FormatError(f"{c.path}: colour model {key.photometric!s} is not supported; convert to grey or RGB")
    if key.shaped[1] != 1:
        raise FormatError(f"{c.path}: stores volumes in pages (ImageDepth); convert it to one page per slice")
    if c.series.dataoffset is not None:
        end = c.series.dataoffset + int(key.dtype.itemsize) * _product(c.series.shape)
        if end > size:
            raise FormatError(f"{c.path}: is truncated ({size} bytes, pixels end at {end}); get an intact copy")
        return
    for number in range(len(c.series)):
        page = c.series[number]
        if page is None:
            raise FormatError(f"{c.path}: plane {number} of {len(c.series)} is missing; crop the file to whole planes")
        _check_segments(c, page, size)


def _check_segments(c: Container, page: Any, size: int) -> None:  # noqa: ANN401
    key = c.key
    decoded = _product(key.chunks) * int(key.dtype.itemsize)
    needed = _product(key.chunked)
    if len(page.dataoffsets) < needed or len(page.databytecounts) < needed:
        raise FormatError(
            f"{c.path}: page {page.index} lists {len(page.dataoffsets)} of {needed} strips or tiles; damaged"
        )
    within("block", decoded, c.path)
    for offset, count in zip(page.dataoffsets[:needed], page.databytecounts[:needed], strict=True):
        if count <= 0 or offset <= 0 or offset + count > size:
            raise FormatError(f"{c.path}: page {page.index} points outside the file (truncated?); get an intact copy")
    if decoded > EXPANSION_LIMIT * max(page.databytecounts[:needed]) + (1 << 20):
        raise FormatError(f"{c.path}: page {page.index} expands more than {EXPANSION_LIMIT} times; refused as unsafe")


def _product(numbers: Any) -> int:  # noqa: ANN401
    result = 1
    for n in numbers:
        result *= int(n)
    return result
