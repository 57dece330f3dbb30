"""OME-XML of a window of an image: sizes, stage positions and regions are counted from its corner."""

from __future__ import annotations

from typing import Any
from xml.dom import minidom

from gensr.values.grid import Window

from .numbers import number, points
from .units import micrometres, positive

_PLACES = {"X": 1, "X1": 1, "X2": 1, "Y": 0, "Y1": 0, "Y2": 0}

Element = Any  # xml.dom.minidom has no useful types


def cropped_xml(xml: str, index: int, window: Window, positions: str) -> str:
    """OME-XML of an image of which a window is left.

    Args:
        xml: OME-XML of the file.
        index: number of the Image that is cut.
        window: what is left of it.
        positions: "pixel-centre" moves stage positions to the first pixel that is left, "keep" leaves them.

    Raises:
        ValueError: a place that is no number.
    """
    document = minidom.parseString(xml.encode("utf-8"))
    root: Element = document.documentElement
    image = [n for n in root.childNodes if n.nodeType == n.ELEMENT_NODE and n.localName == "Image"][index]
    pixels = children(image, "Pixels")[0]
    if positions == "pixel-centre":
        for plane in children(pixels, "Plane"):
            move_plane(plane, pixels, (float(window.row), float(window.col)))
    pixels.setAttribute("SizeX", str(window.cols))
    pixels.setAttribute("SizeY", str(window.rows))
    for roi in children(root, "ROI"):
        for union in children(roi, "Union"):
            for shape in [n for n in union.childNodes if n.nodeType == n.ELEMENT_NODE]:
                _move_shape(shape, (window.row, window.col))
    return str(document.toxml())


def children(parent: Element, name: str) -> list[Element]:
    """Child elements of a local name."""
    return [n for n in parent.childNodes if n.nodeType == n.ELEMENT_NODE and n.localName == name]


def move_plane(plane: Element, pixels: Element, step: tuple[float, float]) -> None:
    """Move a stage position, which is that of the first pixel centre; without a length unit it cannot be moved.

    Args:
        plane: Plane element.
        pixels: Pixels element, which holds the pixel size.
        step: (rows, columns), pixels.
    """
    for axis, distance in (("Y", step[0]), ("X", step[1])):
        text, unit = plane.getAttribute(f"Position{axis}"), micrometres(plane.getAttribute(f"Position{axis}Unit"))
        size = positive(pixels.getAttribute(f"PhysicalSize{axis}"))
        scale = micrometres(pixels.getAttribute(f"PhysicalSize{axis}Unit") or "um")
        if text and unit is not None and size is not None and scale is not None:
            plane.setAttribute(
                f"Position{axis}", repr(number(plane, f"Position{axis}") + distance * size * scale / unit)
            )


def _move_shape(shape: Element, corner: tuple[int, int]) -> None:
    """A shape with a transform moves through it, any other by its own coordinates."""
    transforms = children(shape, "Transform")
    for transform in transforms:
        for name, distance in (("A02", corner[1]), ("A12", corner[0])):
            transform.setAttribute(
                name, repr((number(transform, name) if transform.hasAttribute(name) else 0.0) - distance)
            )
    if transforms:
        return
    for name, axis in _PLACES.items():
        if shape.hasAttribute(name):
            shape.setAttribute(name, repr(number(shape, name) - corner[axis]))
    if shape.hasAttribute("Points"):
        pairs = points(shape)
        shape.setAttribute("Points", " ".join(f"{x - corner[1]!r},{y - corner[0]!r}" for x, y in pairs))
