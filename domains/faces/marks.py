"""The marks of a generated picture: XMP with the IPTC source type, EXIF and text, for every format.

IPTC digital source type: https://cv.iptc.org/newscodes/digitalsourcetype/
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from xml.dom import minidom
from xml.parsers.expat import ExpatError
from xml.sax.saxutils import escape, quoteattr

from gensr.scenes.product import Product
from gensr.scenes.provenance import interpolated, repeated, sentence, software
from gensr.values.grid import Factor

from .photo import CAMERA, DIRECTORIES, INTEROPERABILITY, ORIENTATION, POSITION, Photo, import_pillow

SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
COMPOSITE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
ENHANCED = "http://cv.iptc.org/newscodes/digitalsourcetype/algorithmicallyEnhanced"
RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
XMP = "http://ns.adobe.com/xap/1.0/"
DC = "http://purl.org/dc/elements/1.1/"
XMP_LIMIT = 65000
"""One JPEG marker."""
EXIF_LIMIT = 60000
"""One JPEG marker, with room for the mark."""
_WIDTH, _HEIGHT, _X_RESOLUTION, _Y_RESOLUTION, _DESCRIPTION, _SOFTWARE = 256, 257, 282, 283, 270, 305
_PIXEL_X, _PIXEL_Y = 0xA002, 0xA003
_OF_PIXELS = re.compile(r"\s*(\{\"shape\"|shape=\(|ImageJ=|<\?xml|<OME)")
"""Descriptions by which other programs say how the old pixels lie in the file."""
_STRUCTURE = (258, 259, 262, 273, 277, 278, 279, 284, 317, 320, 322, 323, 324, 325, 338, 339, 513, 514, 530, 531, 532)
"""Tags that describe how the old pixels were stored."""


def source_type(report: Mapping[str, Any]) -> str:
    """IPTC digital source type: generated, a photo with generated faces, or nothing but interpolated or repeated."""
    if repeated(report) or interpolated(report):
        return ENHANCED
    laid = report.get("parts") and not report.get("whole") and not isinstance(report.get("background"), Mapping)
    return COMPOSITE if laid else SOURCE_TYPE


def note(product: Product, layer: str) -> str:
    """What this file is, one ASCII line."""
    return f"{layer}; {sentence({'factor': list(product.factor), **product.report})}"


def xmp_packet(photo: Photo, text: str, source: str = SOURCE_TYPE) -> bytes:
    """The XMP of the input with the mark added, or a new packet if it has none that can be read.

    Args:
        photo: the input.
        text: the mark.
        source: IPTC digital source type.
    """
    mark = (
        f"<rdf:Description xmlns:rdf='{RDF}' rdf:about='' xmlns:Iptc4xmpExt='{IPTC}' xmlns:xmp='{XMP}' xmlns:dc='{DC}' "
        f"Iptc4xmpExt:DigitalSourceType={quoteattr(source)} xmp:CreatorTool={quoteattr(software())}>"
        f"<dc:description><rdf:Alt><rdf:li xml:lang='x-default'>{escape(text)}</rdf:li></rdf:Alt></dc:description>"
        "</rdf:Description>"
    )
    body = _merged(_old_xmp(photo), mark)
    if body is None or len(body.encode("utf-8")) > XMP_LIMIT:
        body = f"<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF xmlns:rdf='{RDF}'>{mark}</rdf:RDF></x:xmpmeta>"
    packet = f"<?xpacket begin='\ufeff' id='W5M0MpCehiHzreSzNTczkc9d'?>{body}<?xpacket end='w'?>"
    return packet.encode("utf-8")


def _old_xmp(photo: Photo) -> str:
    raw = photo.info.get("xmp") or photo.info.get("XML:com.adobe.xmp") or ""
    return raw.decode("utf-8", "replace") if isinstance(raw, bytes) else str(raw)


def _merged(old: str, mark: str) -> str | None:
    """Old packet plus mark; its orientation becomes 1 and what the mark says is said once."""
    if not old.strip("\0 \n") or "<!DOCTYPE" in old or "<!ENTITY" in old:
        return None
    old = re.sub(r"<\?xpacket[^>]*\?>", "", old).strip("\0 \n\ufeff")
    try:
        document = minidom.parseString(old.encode("utf-8"))
    except ExpatError:
        return None
    places = document.getElementsByTagNameNS(RDF, "RDF")
    if not places:
        return None
    for element in list(document.getElementsByTagNameNS("*", "*")):
        for name in ("tiff:Orientation", "Iptc4xmpExt:DigitalSourceType", "xmp:CreatorTool"):
            if element.hasAttribute(name):
                element.removeAttribute(name)
        if element.tagName in (
            "tiff:Orientation",
            "Iptc4xmpExt:DigitalSourceType",
            "xmp:CreatorTool",
            "dc:description",
        ):
            parent: Any = element.parentNode
            parent.removeChild(element)
    addition: Any = minidom.parseString(mark.encode("utf-8")).documentElement
    places[0].appendChild(document.importNode(addition, deep=True))
    root: Any = document.documentElement
    return str(root.toxml())


def exif_block(photo: Photo, factor: Factor, size: tuple[int, int], text: str) -> Any:  # noqa: ANN401
    """EXIF of the output: upright, sizes and resolution refined, described; stale structure and thumbnail left out.

    Args:
        photo: the input.
        factor: refinement, (rows, columns) of the upright picture.
        size: (rows, columns) of the output.
        text: the mark.
    """
    exif = import_pillow().Exif()
    if exif_is_sound(photo):
        _carry(photo, exif, factor, size)
    old = "" if describes_pixels(photo) else str(photo.exif.get(_DESCRIPTION, "")).strip("\0 ")
    exif[ORIENTATION] = 1
    exif[_DESCRIPTION] = f"{old[:4000]}; {text}" if old else text
    exif[_SOFTWARE] = software()
    return exif


def describes_pixels(photo: Photo) -> bool:
    """Whether the description of the input says how its pixels lie, so that it is not true of the output."""
    return _OF_PIXELS.match(str(photo.exif.get(_DESCRIPTION, ""))) is not None


def exif_is_sound(photo: Photo) -> bool:
    """Whether the EXIF of the input can be written again; cameras and editors leave all kinds of damage there."""
    exif = import_pillow().Exif()
    try:
        _carry(photo, exif, (1, 1), (1, 1))
        return len(exif.tobytes()) < EXIF_LIMIT
    # Damaged values surface in the library as almost any exception.
    except Exception:
        return False


def _carry(photo: Photo, exif: Any, factor: Factor, size: tuple[int, int]) -> None:  # noqa: ANN401
    for code, value in photo.exif.items():
        if code not in (*_STRUCTURE, *DIRECTORIES, _WIDTH, _HEIGHT):
            exif[code] = value
    for code, f in zip((_X_RESOLUTION, _Y_RESOLUTION), file_factors(photo, factor), strict=True):
        if code in photo.exif:
            exif[code] = float(photo.exif[code]) * f
    camera = dict(photo.directories.get(CAMERA, {}))
    for code, length in ((_PIXEL_X, size[1]), (_PIXEL_Y, size[0])):
        if code in camera:
            camera[code] = length
    if INTEROPERABILITY in camera:
        camera[INTEROPERABILITY] = photo.directories.get(INTEROPERABILITY, {})
    for code, directory in ((CAMERA, camera), (POSITION, photo.directories.get(POSITION, {}))):
        if directory:
            exif.get_ifd(code).update(directory)


def file_factors(photo: Photo, factor: Factor) -> tuple[int, int]:
    """Factors of the file's own X and Y, which an undone quarter turn exchanges."""
    fy, fx = factor
    return (fy, fx) if photo.orientation >= 5 else (fx, fy)


def resolution(photo: Photo, factor: Factor) -> tuple[float, float] | None:
    """Dots per inch (x, y) of the upright output; None if the file states none (Pillow then assumes some)."""
    dpi = photo.info.get("dpi")
    stated = _X_RESOLUTION in photo.exif or (photo.format == "JPEG" and photo.info.get("jfif_unit") in (1, 2))
    if photo.format in ("JPEG", "TIFF") and not stated:
        return None
    if not (isinstance(dpi, tuple) and len(dpi) == 2 and all(0 < float(d) < 1e6 for d in dpi)):
        return None
    x, y = (float(dpi[1]), float(dpi[0])) if photo.orientation >= 5 else (float(dpi[0]), float(dpi[1]))
    return x * factor[1], y * factor[0]
