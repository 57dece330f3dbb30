"""Files that may lie beside an image and belong to it: masks, georeference, RPC. GDAL is told which there are.

Left alone GDAL looks through the folder in any case of letters and opens what it finds with any driver, so that a mask
that holds VRT reads any file on the disk. Here every neighbour is looked at first; texts are written anew from what was
understood of them, and GDAL opens the image in a folder that holds nothing else.
"""

from __future__ import annotations

import math
import os
import re
import shutil
import xml.etree.ElementTree as Xml
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from gensr.errors import FormatError
from gensr.scenes.crs import check_crs
from gensr.scenes.directories import MAGIC, check_directories
from gensr.scenes.door import neighbours
from gensr.scenes.markup import parsed
from gensr.values.limits import limit, within

from .tags import ALLOWED

WORLD = {
    ".tif": (".tfw", ".tifw", ".wld"),
    ".tiff": (".tfw", ".tiffw", ".wld"),
    ".jp2": (".j2w", ".jp2w", ".wld"),
    ".jpg": (".jgw", ".jpgw", ".wld"),
    ".jpeg": (".jgw", ".jpegw", ".wld"),
    ".png": (".pgw", ".pngw", ".wld"),
}
"""Endings of world files by the ending of the image."""
_TEXTS = (".RPB", "_RPC.TXT", ".IMD")
_PRINTABLE = re.compile(rb"[\t\r\n -~\x80-\xff]*")
_ELEMENTS = {
    "PAMDataset": {"SRS", "GeoTransform", "GCPList", "Metadata", "PAMRasterBand"},
    "PAMRasterBand": {"Description", "NoDataValue", "UnitType", "Offset", "Scale", "ColorInterp", "Metadata"},
    "GCPList": {"GCP"},
    "Metadata": {"MDI"},
}
"""What is read of an ``.aux.xml``, and where; everything else in it is histograms, overviews or the way elsewhere."""


def beside(path: Path) -> dict[str, Path | bytes]:
    """The neighbours that GDAL may see of an image: by the ending behind its stem, a file or a text that was checked.

    Raises:
        FormatError: a neighbour is not what its name says.
    """
    name, stem = path.name, path.stem
    world = WORLD.get(path.suffix.lower(), (".wld",))
    names = [f"{name}.msk", f"{name}.aux.xml", *(f"{stem}{end}" for end in (*world, *_TEXTS))]
    kept: dict[str, Path | bytes] = {}
    for found, file in neighbours(path, names).items():
        end = found.removeprefix(stem)
        if found.endswith(".msk"):
            kept[end] = _mask(file)
        elif found.endswith(".aux.xml"):
            kept[end] = auxiliary(_text(file), file)
        elif end in world:
            kept[end] = _world(_text(file), file)
        elif _PRINTABLE.fullmatch(text := _text(file)):
            kept[end] = text
        else:
            raise FormatError(f"{file}: is no plain text; remove it, or write the RPC into the image")
    return kept


@contextmanager
def staged(path: Path, neighbours: Mapping[str, Path | bytes]) -> Iterator[Path]:
    """A folder for the time of opening that holds the image and its neighbours, and nothing else.

    Args:
        path: the image.
        neighbours: see `beside`.

    Yields:
        The image in that folder.
    """
    with TemporaryDirectory(prefix="gensr-") as name:
        folder, stem = Path(name), "image"
        image = folder / f"{stem}{path.suffix}"
        _link(path, image)
        for end, content in neighbours.items():
            if isinstance(content, Path):
                _link(content, folder / f"{stem}{end}")
            else:
                (folder / f"{stem}{end}").write_bytes(content)
        yield image


def _link(source: Path, target: Path) -> None:
    """The file under another name; a copy where the system has no links for ordinary users."""
    try:
        os.symlink(source.absolute(), target)
    except (OSError, NotImplementedError):
        shutil.copyfile(source, target)


def _text(file: Path) -> bytes:
    with file.open("rb") as stream:
        text = stream.read(limit("sidecar") + 1)
    within("sidecar", len(text), file)
    return text


def _mask(file: Path) -> Path:
    with file.open("rb") as stream:
        if stream.read(4) not in MAGIC:
            raise FormatError(f"{file}: is not a TIFF; remove it or write the mask with gdal_translate")
    check_directories(file)
    return file


def _world(text: bytes, file: Path) -> bytes:
    """The six numbers of a world file."""
    try:
        numbers = [float(word) for word in text.split()[:6]]
    except ValueError:
        numbers = []
    if len(numbers) < 6 or not all(map(math.isfinite, numbers)):
        raise FormatError(f"{file}: is no world file (six numbers, one a line); remove or repair it")
    return "".join(f"{number!r}\n" for number in numbers).encode()


def auxiliary(text: bytes, file: Path) -> bytes:
    """What of an ``.aux.xml`` says where the image lies and what its values mean, written anew.

    Raises:
        FormatError: it is no such file.
    """
    root = parsed(text, file)
    if root.tag != "PAMDataset":
        raise FormatError(f"{file}: holds {root.tag[:40]} where PAMDataset is expected; remove it")
    kept = _kept(root)
    for element in kept.iter():
        if element.tag == "SRS":
            check_crs(element.text or "", file)
        elif element.tag == "GCPList":
            check_crs(element.get("Projection", ""), file)
    return bytes(Xml.tostring(kept, encoding="utf-8"))


def says_where(file: Path) -> bool:
    """Whether an ``.aux.xml`` holds a coordinate system, an affine or control points: many hold statistics alone.

    Raises:
        FormatError: it is no such file.
    """
    root = parsed(_text(file), file)
    return any(child.tag in ("SRS", "GeoTransform", "GCPList") for child in root)


def _kept(element: Xml.Element) -> Xml.Element:
    kept = Xml.Element(element.tag, element.attrib)
    kept.text = element.text
    for child in element:
        if child.tag in _ELEMENTS.get(element.tag, ()) and child.get("domain", "") in ALLOWED:
            kept.append(_kept(child))
    return kept
