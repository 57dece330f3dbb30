"""Some channels of a micrograph: their planes, and what OME-XML and ImageJ say of them and of nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from xml.dom import minidom

import numpy as np

from gensr.errors import DomainError, UsageError
from gensr.values.bands import Words, choose, parse_bands
from gensr.values.grid import Window

from .cropped import children
from .segments import Codes, Planes

Element = Any  # xml.dom.minidom has no useful types


class ChosenPlanes:
    """Some planes of a file, in any order; see `Planes`.

    Args:
        whole: the file's, of one sample a page.
        numbers: of its planes.
    """

    samples = 1
    separate = False

    def __init__(self, whole: Planes, numbers: Sequence[int]) -> None:
        self._whole, self.numbers = whole, tuple(numbers)
        self.pages, self.rows, self.cols, self.dtype = len(self.numbers), whole.rows, whole.cols, whole.dtype

    @property
    def planes(self) -> int:
        """Number of planes."""
        return self.pages

    def read(self, plane: int, window: Window) -> Codes:
        """Stored codes (y, x) of a window inside a plane."""
        return self._whole.read(self.numbers[plane], window)

    def crop(self, window: Window) -> ChosenPlanes:
        """A reader whose planes begin at the corner of a window."""
        return ChosenPlanes(self._whole.crop(window), self.numbers)

    def close(self) -> None:
        """Forget what was unpacked."""
        self._whole.close()


def numbers_of(words: Words, names: Sequence[str], axes: str, path: object) -> tuple[int, ...]:
    """Numbers from 0 of the channels that are meant, in the order of the words.

    Args:
        words: see `gensr.values.bands`.
        names: of the channels.
        axes: of the planes.
        path: of the file, for messages.

    Raises:
        UsageError: there is no such channel.
        DomainError: the file's channels are the colours of its pixels.
    """
    if "S" in axes:
        raise DomainError(
            f"{path}: bands={words}: its channels are samples of colour pixels, which stay together; leave it out"
        )
    try:
        return tuple(number - 1 for number in choose(parse_bands(words), names))
    except ValueError as error:
        raise UsageError(f"{path}: bands={words}: {error}") from error


def planes_of(channels: Sequence[int], axes: str, loops: Sequence[int]) -> list[int]:
    """Numbers of the planes of some channels, in the order of the file but for that of the channels.

    >>> planes_of((2, 0), "TC", (2, 3))
    [2, 0, 5, 3]
    """
    planes = np.arange(int(np.prod(loops))).reshape(loops)
    return [int(plane) for plane in planes.take(channels, axes.index("C")).ravel()]


def chosen_xml(xml: str, index: int, channels: Sequence[int]) -> str:
    """OME-XML of some channels: their elements, planes and regions, with new numbers.

    Args:
        xml: of the file.
        index: number of the Image that is cut.
        channels: numbers from 0, in their new order.
    """
    document = minidom.parseString(xml.encode("utf-8"))
    root: Element = document.documentElement
    pixels = children(children(root, "Image")[index], "Pixels")[0]
    found = children(pixels, "Channel")
    for channel in found:
        pixels.removeChild(channel)
    behind = [n for n in pixels.childNodes if n.nodeType == n.ELEMENT_NODE]
    for number in channels:
        if number < len(found):
            pixels.insertBefore(found[number], behind[0] if behind else None)
    pixels.setAttribute("SizeC", str(len(channels)))
    new = {str(old): str(number) for number, old in enumerate(channels)}
    _renumber(children(pixels, "Plane"), new)
    for roi in children(root, "ROI"):
        for union in children(roi, "Union"):
            shapes = [n for n in union.childNodes if n.nodeType == n.ELEMENT_NODE]
            _renumber([shape for shape in shapes if shape.hasAttribute("TheC")], new)
    return str(document.toxml())


def _renumber(elements: Sequence[Element], new: Mapping[str, str]) -> None:
    """Elements of channels that are kept get their new number, others go."""
    for element in elements:
        number = new.get(element.getAttribute("TheC").strip() or "0")
        if number is None:
            element.parentNode.removeChild(element)
        else:
            element.setAttribute("TheC", number)


def chosen_imagej(
    found: Mapping[str, Any], channels: Sequence[int], total: int, planes: Sequence[int]
) -> dict[str, Any]:
    """ImageJ's metadata of some channels: ranges, look-up tables and labels that are theirs.

    Args:
        found: of the file, as ``tifffile`` gives it.
        channels: numbers from 0, in their new order.
        total: channels of the file.
        planes: numbers of the planes that are kept, in their new order.
    """
    kept = dict(found)
    ranges, tables, labels = (found.get(key) for key in ("Ranges", "LUTs", "Labels"))
    if isinstance(ranges, list | tuple) and len(ranges) == 2 * total:
        kept["Ranges"] = tuple(ranges[2 * channel + end] for channel in channels for end in (0, 1))
    if isinstance(tables, list | tuple) and len(tables) == total:
        kept["LUTs"] = [tables[channel] for channel in channels]
    if isinstance(labels, list | tuple) and planes and max(planes) < len(labels):
        kept["Labels"] = [labels[plane] for plane in planes]
    if len(channels) == 1:
        kept.pop("mode", None)  # of channels that are shown together
    return kept
