"""Private elements: which stay, what moves to standard attributes, and what is left out.

Private elements hold names and stale geometry, so they go, except those that PS3.15 (table E.3.10-1) calls safe and
that refinement leaves true, and gradients of diffusion, which are three numbers. b-values and gradients move to
standard attributes too, where every reader finds them.
"""

from __future__ import annotations

import math
import struct
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydicom._private_dict import private_dictionaries
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag

SIEMENS, PHILIPS, PHILIPS_MR = "SIEMENS MR HEADER", "Philips Imaging DD 001", "Philips MR Imaging DD 001"
GE_ACQUISITION, GE_PARAMETERS, UIH = "GEMS_ACQU_01", "GEMS_PARM_01", "Image Private Header"

KEPT: Mapping[tuple[str, int], Mapping[int, str]] = {
    # Diffusion: b-value, directionality, gradient, b-matrix.
    (SIEMENS, 0x0019): {0x0C: "IS", 0x0D: "CS", 0x0E: "FD", 0x27: "FD"},
    (PHILIPS, 0x2001): {0x03: "FL", 0x04: "CS"},
    (PHILIPS_MR, 0x2005): {0xB0: "FL", 0xB1: "FL", 0xB2: "FL"},
    (GE_PARAMETERS, 0x0043): {0x39: "IS", 0x27: "SH", 0x6F: "DS"},  # and scan pitch ratio, gradient coil
    (UIH, 0x0065): {0x09: "FD", 0x0A: "FD", 0x37: "FD"},
    # Diffusion gradient along frequency, phase and slice; table speed, pulse sequence.
    (GE_ACQUISITION, 0x0019): {0x23: "DS", 0x24: "DS", 0x27: "DS", 0x9E: "LO", 0xBB: "DS", 0xBC: "DS", 0xBD: "DS"},
    # Computed tomography: rows of the detector; dose, phantom, pitch, rotation.
    ("GEMS_HELIOS_01", 0x0045): {0x01: "SS", 0x02: "FL"},
    ("ELSCINT1", 0x00E1): {0x21: "DS"},
    ("ELSCINT1", 0x01E1): {0x26: "CS", 0x50: "DS"},
    ("ELSCINT1", 0x01F1): {0x01: "CS", 0x07: "DS", 0x26: "DS", 0x27: "DS"},
    # Positron emission: factors from values to SUV and to activity.
    ("Philips PET Private Group", 0x7053): {0x00: "DS", 0x09: "DS"},
}
"""Elements that stay, by private creator and group: the offset in the block, and the VR where the file has none."""

_NUMBERS = frozenset({"DS", "FD", "FL", "IS", "SL", "SS", "UL", "US"})
_FORMATS = {"FD": "d", "FL": "f", "SL": "i", "SS": "h", "UL": "I", "US": "H"}
_CODES = 16
_GE_OFFSET = 100_000  # some releases add a billion to the b-value
_LARGEST_B = 1e6


@dataclass(frozen=True)
class Diffusion:
    """Diffusion weighting of an image.

    Attributes:
        b: seconds per square millimetre.
        gradient: unit vector (x, y, z) of the patient; None where the file says none in these axes.
    """

    b: float
    gradient: tuple[float, float, float] | None

    @property
    def directionality(self) -> str | None:
        """Enumerated value of Diffusion Directionality (0018,9075); None where it is not known."""
        if self.b == 0:
            return "NONE"
        return None if self.gradient is None else "DIRECTIONAL"


def blocks(header: Dataset) -> Iterator[tuple[str, int, int]]:
    """Private creator, group and first element of every private block of a header."""
    for tag in list(header.keys()):
        if tag.is_private_creator:
            yield str(header[tag].value or "").strip(), tag.group, (tag.element & 0xFF) << 8


def known_creator(creator: str) -> str:
    """A private creator as messages may name it: one that nobody has heard of may hold anything, a name too."""
    known = creator in private_dictionaries or any(creator == name for name, _ in KEPT)
    return creator if known else "others"


def kept(header: Dataset) -> list[tuple[str, int, int, DataElement]]:
    """Elements that stay: creator, group, offset in the block, and the element with its VR."""
    found = []
    for creator, group, first in blocks(header):
        for offset, vr in KEPT.get((creator, group), {}).items():
            tag = Tag(group, first | offset)
            if tag in header and (element := _typed(header[tag], vr)) is not None:
                found.append((creator, group, offset, element))
    return found


def restore(header: Dataset, elements: list[tuple[str, int, int, DataElement]]) -> None:
    """Put elements that stay into a header without private elements, in place."""
    for creator, group, offset, element in elements:
        block = header.private_block(group, creator, create=True)
        block.add_new(offset, element.VR, element.value)


def left(header: Dataset) -> Counter[str]:
    """How many private elements do not stay, by private creator; "?" for those without one, and all in sequences."""
    stays = {(creator, group, offset) for creator, group, offset, _ in kept(header)}
    found = _left(header, stays)
    todo = _items(header)
    while todo:
        item = todo.pop()
        found += _left(item, set())
        todo += _items(item)
    return +found


def _items(header: Dataset) -> list[Dataset]:
    """Items of the sequences of a header; private sequences count as one element."""
    return [i for e in header if e.VR == "SQ" and not e.tag.is_private for i in e.value or []]


def _left(header: Dataset, stays: Collection[tuple[str, int, int]]) -> Counter[str]:
    creators = {(group, first): creator for creator, group, first in blocks(header)}
    found: Counter[str] = Counter()
    for tag in header.keys():  # noqa: SIM118 - a Dataset iterates elements
        if tag.is_private and not tag.is_private_creator:
            creator = creators.get((tag.group, tag.element & 0xFF00), "?")
            found[creator] += (creator, tag.group, tag.element & 0xFF) not in stays
    return found


def diffusion(header: Dataset) -> Diffusion | None:
    """Diffusion weighting that only private elements tell; None where there is none, or a standard attribute."""
    if header.get("DiffusionBValue") is not None:
        return None
    values = {(creator, offset): element.value for creator, _, offset, element in kept(header)}
    for creator, offset in ((SIEMENS, 0x0C), (PHILIPS, 0x03), (UIH, 0x09), (GE_PARAMETERS, 0x39)):
        b = _numbers(values.get((creator, offset)))
        if b and b[0] >= 0:
            weight = b[0] % _GE_OFFSET if creator == GE_PARAMETERS else b[0]
            return Diffusion(weight, _gradient(creator, values)) if weight < _LARGEST_B else None
    return None


def _gradient(creator: str, values: Mapping[tuple[str, int], Any]) -> tuple[float, float, float] | None:
    """Gradient in the axes of the patient; that of GE follows the encoding of the scan and stays where it is."""
    if creator == PHILIPS:
        parts = [n for offset in (0xB0, 0xB1, 0xB2) for n in _numbers(values.get((PHILIPS_MR, offset)))]
    elif creator in (SIEMENS, UIH):
        parts = _numbers(values.get((creator, 0x0E if creator == SIEMENS else 0x37)))
    else:
        return None
    if len(parts) != 3 or not 0.9 < math.hypot(*parts) < 1.1:
        return None
    return parts[0], parts[1], parts[2]


def to_standard(header: Dataset, found: Diffusion | None) -> None:
    """Say diffusion weighting in standard attributes, in place."""
    if found is None:
        return
    header["DiffusionBValue"] = DataElement(0x00189087, "FD", found.b)
    if found.gradient is not None and found.b > 0:
        header["DiffusionGradientOrientation"] = DataElement(0x00189089, "FD", list(found.gradient))
    if found.directionality is not None:
        header["DiffusionDirectionality"] = DataElement(0x00189075, "CS", found.directionality)


def images_in_mosaic(header: Dataset) -> int:
    """Slices that private elements of Siemens or UIH say are tiled in one picture; 1 where they say nothing."""
    for creator, group, first in blocks(header):
        offset, vr = {(SIEMENS, 0x0019): (0x0A, "US"), (UIH, 0x0065): (0x50, "DS")}.get((creator, group), (0, ""))
        tag: BaseTag = Tag(group, first | offset)
        if vr and tag in header and (element := _typed(header[tag], vr)) is not None:
            number = _numbers(element.value)
            if number and number[0] > 1:
                return int(number[0])
    return 1


def _typed(element: DataElement, vr: str) -> DataElement | None:
    """The element with a VR of numbers or codes; None where its value is neither."""
    value = element.value
    if isinstance(value, bytes):
        value = _decoded(value, vr)
    own = str(element.VR) if element.VR in (*_NUMBERS, "CS", "LO", "SH") else vr
    if own in _NUMBERS or vr in _NUMBERS:
        return DataElement(element.tag, own, value) if _numbers(value) else None
    texts = value if isinstance(value, list) or hasattr(value, "append") else [value]
    good = all(isinstance(t, str) and len(t) <= _CODES and _is_code(t) for t in texts)
    return DataElement(element.tag, own, value) if good else None


def _is_code(text: str) -> bool:
    """Whether a text is a code or a number, not a name: capitals, digits and signs."""
    return all(c in " _.-+:0123456789" or ("A" <= c <= "Z") for c in text)


def _decoded(raw: bytes, vr: str) -> Any:  # noqa: ANN401
    """Value of an element of unknown VR, which is always stored in little endian."""
    if vr in _FORMATS:
        size = struct.calcsize(_FORMATS[vr])
        found = struct.unpack(f"<{len(raw) // size}{_FORMATS[vr]}", raw[: len(raw) // size * size])
        return list(found) if len(found) > 1 else found[0] if found else None
    texts = raw.decode("ascii", "replace").strip("\0 ").split("\\")
    return texts if len(texts) > 1 else texts[0]


def _numbers(value: Any) -> list[float]:  # noqa: ANN401
    """Finite numbers of a value; none if any part is no number."""
    parts = [value] if isinstance(value, str | int | float) else list(value or [])
    try:
        found = [float(p) for p in parts]
    except (TypeError, ValueError):
        return []
    return found if all(map(math.isfinite, found)) else []
