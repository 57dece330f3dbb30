"""Length units as microscopes and ImageJ spell them, in micrometres."""

from __future__ import annotations

import math
import re

_SPELLINGS = {
    1e-4: ("angstrom", "angstroms", "å", "\u212b"),
    1e-6: ("pm", "picometer", "picometers", "picometre"),
    1e-3: ("nm", "nanometer", "nanometers", "nanometre", "nanometres"),
    1.0: ("um", "µm", "μm", "micron", "microns", "micrometer", "micrometers", "micrometre", "micrometres"),
    1e3: ("mm", "millimeter", "millimeters", "millimetre", "millimetres"),
    1e4: ("cm", "centimeter", "centimeters", "centimetre"),
    1e6: ("m", "meter", "meters", "metre"),
    25.4e3: ("in", "inch", "inches"),
}
_MICROMETRES = {name: scale for scale, names in _SPELLINGS.items() for name in names}
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")


def unescape(unit: str) -> str:
    r"""Undo ImageJ's ``\\uXXXX`` escapes.

    >>> unescape("\\u00B5m")
    'µm'
    """
    return _ESCAPE.sub(lambda match: chr(int(match[1], 16)), unit)


def escape(text: str) -> str:
    r"""Write non-ASCII characters as ``\\uXXXX``, which ImageJ reads back.

    >>> escape("µm")
    '\\u00B5m'
    """
    return "".join(c if ord(c) < 128 else f"\\u{ord(c):04X}" if ord(c) < 65536 else "?" for c in text)


def positive(text: object) -> float | None:
    """A finite positive number, or None."""
    try:
        number = float(text)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) and number > 0 else None


def micrometres(unit: str) -> float | None:
    r"""Micrometres in one unit; None for ``""``, ``"pixel"`` and everything that is no length.

    >>> micrometres("\\u00B5m"), micrometres("nm"), micrometres("pixel")
    (1.0, 0.001, None)
    """
    return _MICROMETRES.get(unescape(unit).strip().strip("\0").lower())
