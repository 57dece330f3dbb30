"""Sentinel-2 products in SAFE folders and zips: which files are the bands of one resolution, and what their codes mean.

Reflectance is ``(code + offset) / quantification``; offsets exist from processing baseline 04.00 on. Source: Sentinel-2
Products Specification Document, S2-PDGS-TAS-DI-PSD.
"""

from __future__ import annotations

import math
import re
import shutil
import tempfile
import weakref
import xml.etree.ElementTree as Xml
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from gensr.errors import DomainError, FormatError
from gensr.scenes.door import DAMAGE
from gensr.scenes.markup import parsed
from gensr.values.bands import choose
from gensr.values.limits import expands, within

METADATA = ("MTD_MSIL1C.xml", "MTD_MSIL2A.xml")
BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
"""In the order of ``band_id``."""
NATIVE = {
    10: ("B02", "B03", "B04", "B08"),
    20: ("B05", "B06", "B07", "B8A", "B11", "B12"),
    60: ("B01", "B09", "B10"),
}
RESOLUTIONS = tuple(NATIVE)
_FILE = re.compile(r"_(?P<band>B\d[\dA])(?:_(?P<side>10|20|60)m)?\.jp2$", re.IGNORECASE)
_TAGS = (
    "PRODUCT_URI",
    "PROCESSING_LEVEL",
    "PRODUCT_TYPE",
    "PROCESSING_BASELINE",
    "PRODUCT_START_TIME",
    "SPACECRAFT_NAME",
    "SENSING_ORBIT_NUMBER",
    "Cloud_Coverage_Assessment",
)


@dataclass(frozen=True)
class Product:
    """What the metadata of a product say.

    Attributes:
        level: "1C" or "2A".
        scale: reflectance of one step of the codes.
        offsets: reflectance of code 0 by band; empty where the metadata state none, as before baseline 04.00.
        nodata: code of pixels without a value.
        wavelengths: central wavelength in nanometres by band, where it is stated.
        tags: facts that are carried.
    """

    level: str
    scale: float
    offsets: Mapping[str, float]
    nodata: float
    wavelengths: Mapping[str, str]
    tags: Mapping[str, str]


@dataclass(frozen=True)
class Stack:
    """Bands of one resolution.

    Attributes:
        product: what the metadata say.
        resolution: metres.
        files: of every band, in order.
        note: what was taken and what there is besides.
    """

    product: Product
    resolution: int
    files: Mapping[str, Path]
    note: str


class Folder:
    """A product as a folder; one in a zip is unpacked, file by file as it is asked for, into a temporary one.

    Args:
        path: ``.SAFE`` folder, or zip of one.

    Raises:
        FormatError: neither, or a zip that is unsafe.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._entries: dict[str, zipfile.ZipInfo] = {}
        self.root = path
        if not path.is_dir():
            top = _top(path)
            self._zip = zipfile.ZipFile(path)
            self.root = Path(tempfile.mkdtemp(prefix="gensr-safe-"))
            self._finalizer = weakref.finalize(self, shutil.rmtree, self.root, ignore_errors=True)
            self._entries = {
                e.filename.removeprefix(top): e for e in self._zip.infolist() if e.filename and not e.is_dir()
            }
            self._entries = {n: e for n, e in self._entries.items() if n}

    def names(self) -> list[str]:
        """Paths of the pictures in it, with slashes."""
        if self._entries:
            return sorted(n for n in self._entries if "/IMG_DATA/" in n)
        found = self.root.glob("GRANULE/*/IMG_DATA/**/*")
        return sorted(p.relative_to(self.root).as_posix() for p in found if p.is_file())

    def file(self, name: str) -> Path | None:
        """A file of it on the disk; None if there is none.

        Raises:
            FormatError: a link out of the folder, or a file of a zip that claims too much.
        """
        target = self.root / name
        if self._entries and name in self._entries and not target.exists():
            self._unpack(self._entries[name], target)
        if not target.is_file():
            return None
        if not target.resolve().is_relative_to(self.root.resolve()):
            raise FormatError(f"{self.path}: {name} is a link out of the folder; refused")
        return target

    def close(self) -> None:
        """Remove what was unpacked."""
        if self._entries:
            self._zip.close()
            self._finalizer()

    def _unpack(self, entry: zipfile.ZipInfo, target: Path) -> None:
        within("scene", entry.file_size, f"{self.path}: {entry.filename}")
        expands(entry.filename, entry.compress_size, entry.file_size, self.path)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with self._zip.open(entry) as source, target.open("wb") as sink:
                shutil.copyfileobj(source, sink, 1 << 20)  # zipfile stops at the size that the entry claims
        except DAMAGE as error:
            raise FormatError(f"{self.path}: {entry.filename} cannot be unpacked ({error}); fetch it again") from error


def is_safe(path: Path) -> bool:
    """Whether a folder or zip is a Sentinel-2 product; never raises."""
    try:
        if path.is_dir():
            return any((path / name).is_file() for name in METADATA)
        return path.name.lower().endswith(".zip") and path.is_file() and bool(_top(path))
    except (FormatError, OSError, *DAMAGE):
        return False


def _top(path: Path) -> str:
    """The folder of a zip that is the product, with a slash.

    Raises:
        FormatError: no product, several of them, or names that lead out.
    """
    try:
        with zipfile.ZipFile(path) as packed:
            names = packed.namelist()
    except (OSError, *DAMAGE) as error:
        raise FormatError(f"{path}: is no readable zip ({error}); fetch it again") from error
    within("elements", len(names), path)
    for name in names:
        if name.startswith("/") or "\\" in name or ".." in PurePosixPath(name).parts:
            raise FormatError(f"{path}: the zip holds {name[:80]!r}, which is no place inside it; refused")
    tops = sorted({n.rpartition("/")[0] + "/" for n in names if PurePosixPath(n).name in METADATA and n.count("/") < 2})
    if len(tops) != 1:
        raise FormatError(f"{path}: holds {len(tops)} Sentinel-2 products; give one SAFE folder, or a zip of one")
    return tops[0].removeprefix("/")


def stack(folder: Folder, resolution: int | None, words: tuple[str, ...] | None) -> Stack:
    """The bands that are asked for, all of one resolution.

    Args:
        folder: the product.
        resolution: metres; None for that of the named bands, else the finest that there is.
        words: choice of bands, see `gensr.values.bands`; None for all that were measured at the resolution.

    Raises:
        FormatError: damaged metadata, or files that the product lacks.
        DomainError: bands of several resolutions, or that there are not.
    """
    product = _product(folder)
    sides: dict[int, dict[str, str]] = {side: {} for side in RESOLUTIONS}
    granules = set()
    for name in folder.names():
        match = _FILE.search(name)
        if match is None:
            continue
        band = match["band"].upper()
        side = int(match["side"]) if match["side"] else next((s for s, own in NATIVE.items() if band in own), 0)
        if side:
            sides[side][band] = name
            granules.add(name.split("/")[1])
    if len(granules) != 1:
        raise FormatError(
            f"{folder.path}: holds {len(granules)} granules with bands in JPEG 2000; expected one, as products have "
            "from December 2016 on"
        )
    chosen = resolution or _resolution(folder, sides, words)
    there = sides[chosen]
    names = [b for b in BANDS if b in there] if words is not None else [b for b in NATIVE[chosen] if b in there]
    if not names:
        raise DomainError(f"{folder.path}: has no band of {chosen} m; there are {_listed(sides)}")
    if words is not None:
        try:
            names = [names[n - 1] for n in choose(words, names)]
        except ValueError as error:
            raise DomainError(f"{folder.path}: bands={','.join(words)}: {error} ({chosen} m)") from error
    files = {}
    for band in names:
        if product.offsets and band not in product.offsets:
            raise FormatError(f"{folder.path}: states an offset for other bands but not for {band}; it is damaged")
        file = folder.file(there[band])
        if file is None:
            raise FormatError(f"{folder.path}: lacks {there[band]}; fetch it again")
        files[band] = file
    missing = [b for b in NATIVE[chosen] if b not in there and not (b == "B10" and product.level == "2A")]
    if missing and words is None:
        raise FormatError(f"{folder.path}: lacks {', '.join(missing)} of {chosen} m; fetch it again, or name bands=")
    others = ", ".join(f"resolution={side}" for side in RESOLUTIONS if side != chosen and sides[side])
    note = f"bands of {chosen} m" + (f"; {others} for the others" if others else "") + "; quality layers are left out"
    return Stack(product, chosen, files, note)


def _resolution(folder: Folder, sides: Mapping[int, Mapping[str, str]], words: tuple[str, ...] | None) -> int:
    """That at which the named bands were measured, else the finest."""
    wanted = {word.upper() for word in words or ()}
    found = [side for side, own in NATIVE.items() if wanted & set(own)]
    if len(found) > 1:
        raise DomainError(
            f"{folder.path}: bands={','.join(words or ())} were measured at {' and '.join(map(str, found))} m; "
            "choose those of one resolution"
        )
    return found[0] if found else next((side for side in RESOLUTIONS if sides[side]), RESOLUTIONS[0])


def _listed(sides: Mapping[int, Mapping[str, str]]) -> str:
    return "; ".join(f"{side} m: {', '.join(sorted(found))}" for side, found in sides.items() if found) or "none"


def _product(folder: Folder) -> Product:
    name = next((n for n in METADATA if folder.file(n) is not None), "")
    file = folder.file(name) if name else None
    if file is None:
        raise FormatError(f"{folder.path}: lacks {' or '.join(METADATA)}; give the whole SAFE folder")
    within("xml", file.stat().st_size, file)
    root = parsed(file.read_bytes(), file)
    level = name[8:10]
    quantification = "QUANTIFICATION_VALUE" if level == "1C" else "BOA_QUANTIFICATION_VALUE"
    offset = "RADIO_ADD_OFFSET" if level == "1C" else "BOA_ADD_OFFSET"
    found = _all(root, quantification)
    if not found:
        raise FormatError(f"{file}: lacks {quantification}, the meaning of the codes; fetch it again")
    steps = _number(found[0], file)
    if steps <= 0:
        raise FormatError(f"{file}: {quantification} {steps:g} is not positive; the metadata are damaged")
    offsets = {_band(e, file): _number(e, file) / steps for e in _all(root, offset)}
    special = {_text(e, "SPECIAL_VALUE_TEXT"): _text(e, "SPECIAL_VALUE_INDEX") for e in _all(root, "Special_Values")}
    nodata = special.get("NODATA", "0")
    tags = {k.upper(): e.text.strip() for k in _TAGS for e in _all(root, k)[:1] if e.text and len(e.text) < 200}
    waves = {_band(e, file, "bandId"): _text(e, "CENTRAL", deep=True) for e in _all(root, "Spectral_Information")}
    return Product(
        level,
        1 / steps,
        offsets,
        float(nodata) if nodata.isdigit() else 0.0,
        {k: v for k, v in waves.items() if v},
        tags,
    )


def _all(root: Xml.Element, name: str) -> list[Xml.Element]:
    return [e for e in root.iter() if e.tag.rpartition("}")[2] == name]


def _text(element: Xml.Element, name: str, deep: bool = False) -> str:
    found = [e for e in (element.iter() if deep else element) if e.tag.rpartition("}")[2] == name]
    return (found[0].text or "").strip() if found else ""


def _band(element: Xml.Element, file: Path, key: str = "band_id") -> str:
    text = element.get(key, "")
    if not text.isdigit() or int(text) >= len(BANDS):
        raise FormatError(f"{file}: {key}={text[:20]!r} is no band; the metadata are damaged")
    return BANDS[int(text)]


def _number(element: Xml.Element, file: Path) -> float:
    try:
        value = float((element.text or "").strip())
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise FormatError(f"{file}: {element.tag} {str(element.text)[:40]!r} is no number; the metadata are damaged")
    return value
