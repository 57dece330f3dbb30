"""Cards that count pixels without being a coordinate system: sections, binning, pixel sizes, amounts per pixel."""

from __future__ import annotations

import re

from .card_rules import numeric, refine_rules, strangers
from .headers import number
from .wcs_cards import Edit, refine_wcs

IMAGE_SECTIONS = ("DATASEC", "TRIMSEC", "BIASSEC")
AXIS_SIZES = ("PIXSCALE", "PIXSCAL", "SECPIX", "PIXSIZE")
LETTER_SIZES = ("{}PIXSZ", "{}PIXSIZE", "{}PIXSCAL", "PIXSCAL{}", "CCD{}PIXE")
INSTRUMENT = ("GAIN", "CCDGAIN", "RDNOISE", "READNOIS", "EXPTIME")
_SECTION = re.compile(r"^\s*\[\s*(\d+)\s*:\s*(\d+)\s*,\s*(\d+)\s*:\s*(\d+)\s*\]\s*$")


def refine_header(header: object, scale: dict[int, int], flux: bool) -> Edit:
    """All rules on a copy of a header: coordinates, sections, pixel sizes, per-pixel amounts.

    Args:
        header: an ``astropy.io.fits.Header``; it is not changed.
        scale: refinement by 1-based FITS axis.
        flux: values are amounts per pixel, so scalars of that kind are divided too.

    Raises:
        FormatError: if a card that must change holds no number.
    """
    edit = Edit(header.copy(), scale)  # type: ignore[attr-defined]
    refine_wcs(edit)
    _physical(edit)
    _sections(edit)
    _sizes(edit)
    refine_rules(edit, flux, header)
    kept = [key for key in INSTRUMENT if key in edit.header]
    if kept and flux:
        edit.notes.append(f"{', '.join(kept)} describe the pixels of the source, not the refined ones")
    doubt = strangers(header, edit.header)
    if doubt:
        edit.notes.append(doubt)
    return edit


def refine_section(text: str, sx: int, sy: int) -> str | None:
    """An IRAF section ``[x1:x2,y1:y2]`` of 1-based inclusive pixels on the refined grid, None if it is none.

    >>> refine_section("[3:10,8:1]", 2, 4)
    '[5:20,32:1]'
    """
    found = read_section(text)
    if found is None:
        return None
    x1, x2, y1, y2 = found
    return written_section(*_span(x1, x2, sx), *_span(y1, y2, sy))


def read_section(text: str) -> tuple[int, int, int, int] | None:
    """First and last column, first and last row of an IRAF section; None if it is none."""
    match = _SECTION.match(text)
    if match is None:
        return None
    x1, x2, y1, y2 = (int(g) for g in match.groups())
    return x1, x2, y1, y2


def written_section(x1: int, x2: int, y1: int, y2: int) -> str:
    """An IRAF section."""
    return f"[{x1}:{x2},{y1}:{y2}]"


def _span(first: int, last: int, s: int) -> tuple[int, int]:
    low, high = (min(first, last) - 1) * s + 1, max(first, last) * s
    return (low, high) if first <= last else (high, low)


def _sections(edit: Edit) -> None:
    for key in IMAGE_SECTIONS:
        if isinstance(edit.header.get(key), str):
            refined = refine_section(edit.header[key], edit.factor(1), edit.factor(2))
            if refined is None:
                edit.notes.append(f"{key} = {edit.header[key]!r} is no section and was kept")
            else:
                edit.header[key] = refined
    if "CCDSUM" in edit.header:
        # Binning below 1 has no meaning; CCDSEC and DETSEC are detector pixels and stay.
        edit.notes.append(f"CCDSUM = {edit.header['CCDSUM']!r} of the source was removed")
        edit.header.remove("CCDSUM")


def _physical(edit: Edit) -> None:
    """IRAF physical coordinates: ``logical = LTM physical + LTV``."""
    keys = [re.match(r"^LT(M)(\d)_(\d)$|^LT(V)(\d)$", key) for key in edit.header]
    found = [m for m in keys if m]
    if not found:
        return
    for m in found:
        if m[1]:
            edit.multiply(m[0], edit.factor(int(m[2])))
    for axis, s in edit.scale.items():
        if f"LTM{axis}_{axis}" not in edit.header:
            edit.header[f"LTM{axis}_{axis}"] = float(s)
        edit.move(f"LTV{axis}", s, default=0.0)


def _sizes(edit: Edit) -> None:
    for axis, letter in ((1, "X"), (2, "Y")):
        for key in [f"{name}{axis}" for name in AXIS_SIZES] + [name.format(letter) for name in LETTER_SIZES]:
            if numeric(edit.header, key):
                edit.multiply(key, 1 / edit.factor(axis))
    for key, axis in (("IMAGEW", 1), ("IMAGEH", 2)):
        if numeric(edit.header, key):
            edit.header[key] = int(number(edit.header, key, 0) * edit.factor(axis))
