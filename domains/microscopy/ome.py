"""Edit OME-XML for the refined grid: sizes, positions and regions move by one rule, everything else stays as it was.

Schema: https://www.openmicroscopy.org/Schemas/OME/2016-06
"""

from __future__ import annotations

import math
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from xml.dom import minidom
from xml.sax.saxutils import quoteattr

import numpy as np

from gensr.scenes.provenance import software
from gensr.values.grid import Factor, first_centre

from .cropped import children as _children
from .cropped import move_plane
from .numbers import number, points
from .opened import OpenedMicrograph
from .units import positive

NAMESPACE = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
OME_TYPES = {"float32": "float", "float64": "double"}
_SCALED = {"X": 1, "X1": 1, "X2": 1, "Width": 1, "RadiusX": 1, "Y": 0, "Y1": 0, "Y2": 0, "Height": 0, "RadiusY": 0}

Element = Any  # xml.dom.minidom has no useful types


@dataclass(frozen=True)
class Refined:
    """What the output file holds.

    Attributes:
        factor: refinement.
        dtype: stored type of the output.
        big_endian: byte order of the output.
        pages: number of pages.
        title: appended to the image description, e.g. "posterior mean".
        notes: provenance, key to value.
    """

    factor: Factor
    dtype: np.dtype[Any]
    big_endian: bool
    pages: int
    title: str
    notes: Mapping[str, str]


def refined_xml(xml: str, index: int, out: Refined, positions: str) -> bytes:
    """OME-XML of the output.

    Args:
        xml: OME-XML of the input.
        index: which Image is kept; the others are removed.
        out: what the output holds.
        positions: "pixel-centre" moves stage positions by the half-pixel rule, "keep" leaves them.

    Returns:
        UTF-8 with declaration.
    """
    document = minidom.parseString(xml.encode("utf-8"))
    root: Element = document.documentElement
    image = _keep_image(root, index)
    pixels = _children(image, "Pixels")[0]
    _refine_pixels(document, pixels, out)
    for plane in _children(pixels, "Plane"):
        for sha in _children(plane, "HashSHA1"):
            plane.removeChild(sha)
        if positions == "pixel-centre":
            move_plane(plane, pixels, (first_centre(out.factor[0]), first_centre(out.factor[1])))
    dropped = sum(_refine_shapes(roi, out.factor) for roi in _children(root, "ROI"))
    notes = dict(out.notes) | ({"dropped": f"{dropped} mask regions"} if dropped else {})
    _refine_sizes(pixels, out.factor)
    _describe(document, image, out.title)
    _annotate(document, root, image, notes)
    root.setAttribute(
        "UUID", "urn:uuid:" + str(uuid.uuid5(uuid.NAMESPACE_URL, out.title + repr(sorted(notes.items()))))
    )
    root.setAttribute("Creator", software())
    return bytes(document.toxml(encoding="UTF-8"))


def new_xml(scene: OpenedMicrograph) -> str:
    """OME-XML of an ImageJ or plain TIFF as it is, for files that leave as OME-TIFF."""
    sizes = dict(zip(scene.axes, scene.loops, strict=True))
    samples = sizes.get("S", 1)
    known = {axis: sizes.get(axis, 1) for axis in "ZCT"}
    extra = math.prod(n for axis, n in sizes.items() if axis not in "ZCTS")
    known["T"] *= extra  # unnamed axes become time
    order = "XY" + "".join(a for a in reversed(scene.axes) if a in "ZCT")
    order += "".join(a for a in "CZT" if a not in order)
    rows, cols = scene.grid.shape
    cal = scene.calibration
    steps = {"X": cal.x, "Y": cal.y, "Z": cal.z}
    attributes = {"ID": "Pixels:0", "DimensionOrder": order, "Type": OME_TYPES.get(scene.dtype.name, scene.dtype.name)}
    attributes |= {"SizeX": str(cols), "SizeY": str(rows), "SizeZ": str(known["Z"]), "SizeT": str(known["T"])}
    attributes["SizeC"] = str(known["C"] * samples)
    attributes |= {f"PhysicalSize{a}": repr(v) for a, v in steps.items() if v is not None}
    attributes |= {f"PhysicalSize{a}Unit": "µm" for a, v in steps.items() if v is not None}
    if scene.packed_bits is not None:
        attributes["SignificantBits"] = str(scene.packed_bits)
    if cal.interval is not None:
        attributes |= {"TimeIncrement": repr(cal.interval), "TimeIncrementUnit": "s"}
    names = [quoteattr(name) for name in scene.names[::samples]]
    channels = "".join(
        f"<Channel ID='Channel:0:{i}' Name={name} SamplesPerPixel='{samples}'/>" for i, name in enumerate(names)
    )
    text = " ".join(f"{k}={quoteattr(v)}" for k, v in attributes.items())
    return f"<OME xmlns='{NAMESPACE}'><Image ID='Image:0'><Pixels {text}>{channels}<TiffData/></Pixels></Image></OME>"


def _make(document: Element, like: Element, name: str, text: str = "", **attributes: str) -> Element:
    """A new element in the namespace and with the prefix of ``like``."""
    prefix = f"{like.prefix}:" if like.prefix else ""
    element = document.createElementNS(like.namespaceURI, prefix + name)
    for key, value in attributes.items():
        element.setAttribute(key, value)
    if text:
        element.appendChild(document.createTextNode(text))
    return element


def _keep_image(root: Element, index: int) -> Element:
    images = _children(root, "Image")
    kept = images[index]
    gone = set()
    for image in images:
        if image is not kept:
            gone.add(image.getAttribute("ID"))
            root.removeChild(image)
    for reference in list(root.getElementsByTagNameNS("*", "ImageRef")):
        if reference.getAttribute("ID") in gone:
            reference.parentNode.removeChild(reference)
    return kept


def _refine_pixels(document: Element, pixels: Element, out: Refined) -> None:
    for axis, f in (("Y", out.factor[0]), ("X", out.factor[1])):
        pixels.setAttribute(f"Size{axis}", str(int(pixels.getAttribute(f"Size{axis}")) * f))
    kind = OME_TYPES.get(out.dtype.name, out.dtype.name)
    if kind != pixels.getAttribute("Type"):
        pixels.setAttribute("Type", kind)
        if pixels.hasAttribute("SignificantBits"):
            pixels.removeAttribute("SignificantBits")
    if pixels.hasAttribute("BigEndian"):
        pixels.setAttribute("BigEndian", str(out.big_endian).lower())
    for name in ("TiffData", "BinData", "MetadataOnly"):
        for child in _children(pixels, name):
            pixels.removeChild(child)
    data = _make(document, pixels, "TiffData", IFD="0", PlaneCount=str(out.pages))
    following = [n for n in pixels.childNodes if n.nodeType == n.ELEMENT_NODE and n.localName != "Channel"]
    pixels.insertBefore(data, following[0] if following else None)


def _refine_sizes(pixels: Element, factor: Factor) -> None:
    for axis, f in (("Y", factor[0]), ("X", factor[1])):
        size = positive(pixels.getAttribute(f"PhysicalSize{axis}"))
        if size is not None:
            pixels.setAttribute(f"PhysicalSize{axis}", repr(size / f))


def _refine_shapes(roi: Element, factor: Factor) -> int:
    """Scale regions, which are in corner-based pixel coordinates; returns how many masks had to go."""
    dropped = 0
    for union in _children(roi, "Union"):
        for shape in [n for n in union.childNodes if n.nodeType == n.ELEMENT_NODE]:
            if shape.localName == "Mask":
                union.removeChild(shape)
                dropped += 1
                continue
            for name, axis in _SCALED.items():
                if shape.hasAttribute(name):
                    shape.setAttribute(name, repr(number(shape, name) * factor[axis]))
            if shape.hasAttribute("Points"):
                fine = [(x * factor[1], y * factor[0]) for x, y in points(shape)]
                shape.setAttribute("Points", " ".join(f"{x!r},{y!r}" for x, y in fine))
            for transform in _children(shape, "Transform"):
                _refine_transform(transform, factor)
    return dropped


def _refine_transform(transform: Element, factor: Factor) -> None:
    fy, fx = factor
    for name, scale in (("A01", fx / fy), ("A10", fy / fx), ("A02", fx), ("A12", fy)):
        if transform.hasAttribute(name):
            transform.setAttribute(name, repr(number(transform, name) * scale))


def _describe(document: Element, image: Element, title: str) -> None:
    found = _children(image, "Description")
    if found:
        old = "".join(n.data for n in found[0].childNodes if n.nodeType in (n.TEXT_NODE, n.CDATA_SECTION_NODE))
        new = _make(document, image, "Description", f"{old}\n{title}" if old.strip() else title)
        image.replaceChild(new, found[0])
        return
    before = [n for n in image.childNodes if n.nodeType == n.ELEMENT_NODE]
    before = [n for n in before if n.localName not in ("AcquisitionDate", "ExperimenterRef")]
    image.insertBefore(_make(document, image, "Description", title), before[0] if before else None)


def _annotate(document: Element, root: Element, image: Element, notes: Mapping[str, str]) -> None:
    """Add a map annotation (a comment in schemas older than 2015) and refer to it from the image."""
    identifiers = {e.getAttribute("ID") for e in root.getElementsByTagNameNS("*", "*") if e.hasAttribute("ID")}
    candidates = (f"Annotation:gensr:{i}" for i in range(len(identifiers) + 1))
    identifier = next(c for c in candidates if c not in identifiers)
    year = re.search(r"/(20\d\d)-", root.namespaceURI or "")
    old = year is not None and int(year[1]) < 2015
    holder = _annotation_holder(document, root, old)
    if old:
        note = _make(document, holder, "CommentAnnotation", ID=identifier, Namespace="gensr.scenes.provenance")
        text = "; ".join(f"{k}={v}" for k, v in notes.items())
        note.appendChild(_make(document, holder, "Value", text))
    else:
        note = _make(document, holder, "MapAnnotation", ID=identifier, Namespace="gensr.scenes.provenance")
        value = _make(document, holder, "Value")
        for key, text in notes.items():
            value.appendChild(_make(document, holder, "M", text, K=key))
        note.appendChild(value)
    holder.appendChild(note)
    reference = _make(document, holder if old else image, "AnnotationRef", ID=identifier)
    if old and not holder.prefix:
        reference.setAttribute("xmlns", holder.namespaceURI)
    image.appendChild(reference)


def _annotation_holder(document: Element, root: Element, old: bool) -> Element:
    """StructuredAnnotations, made if absent; schemas before 2015 keep it in a namespace of its own."""
    found = _children(root, "StructuredAnnotations")
    if found:
        return found[0]
    holder = _make(document, root, "StructuredAnnotations")
    if old:
        space = (root.namespaceURI or "").replace("/OME/", "/SA/")
        holder = document.createElementNS(space, "StructuredAnnotations")
        holder.setAttribute("xmlns", space)
    after = [n for n in root.childNodes if n.nodeType == n.ELEMENT_NODE and n.localName in ("ROI", "BinaryOnly")]
    root.insertBefore(holder, after[0] if after else None)
    return holder
