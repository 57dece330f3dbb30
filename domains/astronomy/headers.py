"""Headers of unknown origin: numbers that are numbers, cards that can be written again, warnings kept as notes."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from astropy.io import fits

from gensr.errors import FormatError
from gensr.values.precision import LARGEST

_HARMLESS = re.compile(r"'datfix'|is deprecated")
"""Dates that every reader completes, and old spellings that every reader knows."""
_ESSENTIAL = re.compile(
    r"^(BITPIX|NAXIS\d*|Z?BSCALE|Z?BZERO|Z?BLANK|BUNIT|CTYPE|CRPIX|CRVAL|CDELT|CUNIT|CROTA|CD\d|PC\d|PV\d|[AB]P?_|CPDIS|D2IM|DP)"
)
"""Cards whose loss would move the image or change its values."""


@contextmanager
def recorded(notes: list[str]) -> Iterator[None]:
    """Collect what astropy warns about as notes, so that nothing is lost and nothing is printed."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for warning in caught:
        if issubclass(warning.category, ResourceWarning):
            continue  # about what else the process does, not about this file
        text = printable(str(warning.message))
        if text not in notes and not _HARMLESS.search(text):
            notes.append(text[:300])


@contextmanager
def cut_comments() -> Iterator[None]:
    """Let astropy shorten the comment of a card whose refined value needs more digits, without a warning."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Card is too long", fits.verify.VerifyWarning)
        yield


def number(header: Any, key: str, default: float) -> float:  # noqa: ANN401
    """A numeric card, its default if absent or undefined.

    Raises:
        FormatError: if the card holds no number.
    """
    try:
        value = header.get(key)
    except (fits.VerifyError, ValueError):
        raise FormatError(f"card {key} cannot be parsed; repair the header") from None
    if value is None or isinstance(value, fits.card.Undefined):
        return default
    try:
        result = float(value)
    except (TypeError, ValueError):
        raise FormatError(f"card {key} = {str(value)[:40]!a} is no number; repair the header") from None
    if isinstance(value, bool):
        raise FormatError(f"card {key} = {value!r} is a logical value, no number; repair the header")
    if not abs(result) <= LARGEST:
        raise FormatError(f"card {key} = {value!r} is no plausible number; repair the header")
    return result


def printable(text: str) -> str:
    """Text on one line that a FITS card can hold."""
    return " ".join("".join(c if " " <= c <= "~" else "?" for c in text).split())


def readable(header: Any, label: str, notes: list[str]) -> Any:  # noqa: ANN401
    """A copy in which every card can be read and written.

    Args:
        header: an ``astropy.io.fits.Header`` of a hostile file.
        label: the HDU, for messages.
        notes: what was dropped or changed is added.

    Raises:
        FormatError: if a card that places or scales the image cannot be parsed.
    """
    copied = fits.Header()
    for card in header.cards:
        try:
            keyword, value = str(card.keyword), card.value
            if keyword in ("COMMENT", "HISTORY", ""):
                value = "".join(c if " " <= c <= "~" else "?" for c in str(value))
                card = fits.Card(keyword, value)
            str(card)
            copied.append(card, end=True)
        except (fits.VerifyError, ValueError, TypeError, KeyError):
            keyword = str(card.keyword).upper()
            if _ESSENTIAL.match(keyword):
                raise FormatError(f"card {keyword} of {label} cannot be parsed; repair the header") from None
            notes.append(f"card {keyword!a} of {label} cannot be parsed and was dropped")
    return copied
