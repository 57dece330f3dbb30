"""Numbers in attributes of OME-XML, which anybody may have written."""

from __future__ import annotations

import math
import re
from typing import Any

Element = Any  # xml.dom.minidom has no useful types

_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_NONE = re.compile(r"nan|inf", re.IGNORECASE)  # schemas before 2012 frame points by words such as "points["


def number(element: Element, name: str) -> float:
    """A finite number in an attribute.

    Raises:
        ValueError: it holds none; the message names the element.
    """
    try:
        value = float(element.getAttribute(name))
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise _no_number(element, name)
    return value


def points(element: Element) -> list[tuple[float, float]]:
    """Corners (x, y) of a polygon or polyline, in its attribute ``Points``.

    Raises:
        ValueError: they are no pairs of finite numbers.
    """
    text = element.getAttribute("Points")
    found = [float(n) for n in _NUMBER.findall(text)]
    if not found or len(found) % 2 or not all(map(math.isfinite, found)) or _NONE.search(_NUMBER.sub("", text)):
        raise _no_number(element, "Points")
    return list(zip(found[::2], found[1::2], strict=True))


def _no_number(element: Element, name: str) -> ValueError:
    owner = element
    while owner.nodeType == owner.ELEMENT_NODE and not owner.getAttribute("ID"):
        owner = owner.parentNode
    place = element.localName
    if owner.nodeType == owner.ELEMENT_NODE:
        place += f" of {owner.localName}" if owner is not element else ""
        place += f" {owner.getAttribute('ID')}"
    text = element.getAttribute(name)[:40]
    return ValueError(f"its OME-XML has {name}={text!r} in {place}, which is no number; correct or remove it")
