"""Pixel sizes that electron microscopes write into tags of their own, beside resolution tags that mean the screen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .units import micrometres, positive

FEI = {34680: "FEI_SFEG", 34682: "FEI_HELIOS"}
ZEISS = 34118
_ZEISS_KEYS = ("ap_image_pixel_size", "ap_pixel_size")
_SANE = (1e-6, 1e5)
"""Micrometres from an atom's nucleus to a decimetre."""


@dataclass(frozen=True)
class PixelSize:
    """Size of a pixel.

    Attributes:
        x: column step, micrometres.
        y: row step, micrometres.
        source: who says so, a phrase for people.
    """

    x: float
    y: float
    source: str


def pixel_size(page: Any) -> PixelSize | None:  # noqa: ANN401
    """What the vendor's tag of a ``tifffile.TiffPage`` says; None where there is none, or no sane number in it."""
    for code, name in FEI.items():
        tag = page.tags.get(code)
        if tag is not None and isinstance(tag.value, Mapping):
            return _sane(*_fei(tag.value), f"{name} metadata")
    tag = page.tags.get(ZEISS)
    if tag is not None and isinstance(tag.value, Mapping):
        return _sane(*_zeiss(tag.value), "Zeiss SEM metadata")
    return None


def _fei(meta: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """Width and height of a pixel in micrometres; FEI writes metres, in the section of the scan or of the beam."""
    for section in ("Scan", "EScan", "IScan", "Image"):
        part = meta.get(section)
        if isinstance(part, Mapping):
            width, height = positive(part.get("PixelWidth")), positive(part.get("PixelHeight"))
            if width is not None:
                return width * 1e6, (height or width) * 1e6
    return None, None


def _zeiss(meta: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """Pixels are square; the entry is a name, a number and a unit."""
    for key in _ZEISS_KEYS:
        entry = meta.get(key)
        if isinstance(entry, tuple | list) and len(entry) >= 3:
            size, scale = positive(entry[-2]), micrometres(str(entry[-1]))
            if size is not None and scale is not None:
                return size * scale, size * scale
    return None, None


def _sane(x: float | None, y: float | None, source: str) -> PixelSize | None:
    if x is None or y is None or not all(_SANE[0] < size < _SANE[1] for size in (x, y)):
        return None
    return PixelSize(x, y, source)
