"""A walk over the headers of a FITS file before any library reads them: endless axes, cards and continued values.

FITS standard 4.0, sections 3.3, 4.2 and 4.4. Only what decides how much work a reader has is looked at.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import BinaryIO

from gensr.errors import FormatError
from gensr.values.limits import within

BLOCK = 2880
MOST = 999
"""Axes of an array and fields of a table, by the standard."""
_COUNTS = {b"NAXIS", b"ZNAXIS", b"TFIELDS"}
_NUMBER = re.compile(rb"\s*([+-]?\d{1,40})(?:\.0*)?\s*(/.*)?")
_WILD = re.compile(rb"[*?\x80-\xff]|\.\.\.$")
"""What astropy takes for a pattern in the name of a card; bytes beyond ASCII become question marks."""
_SIZED = re.compile(rb"BITPIX|NAXIS\d{0,3}|PCOUNT|GCOUNT")


def check_structure(path: Path, name: str) -> None:
    """Walk header after header.

    Args:
        path: a plain file.
        name: for messages.

    Raises:
        FormatError: a count that no reader should try, or more cards than a limit allows.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        place = cards = 0
        while place < size:
            stream.seek(place)
            numbers, count = _header(stream, name)
            cards += count
            within("cards", cards // 5, name)
            if not numbers:
                return
            place = stream.tell() + _data(numbers)


def _header(stream: BinaryIO, name: str) -> tuple[dict[bytes, int], int]:
    """What a header says of the size of its data, empty if it is none; and how many cards it has."""
    numbers: dict[bytes, int] = {}
    count = continued = 0
    while len(block := stream.read(BLOCK)) == BLOCK:
        if not count and block[:9] not in (b"SIMPLE  =", b"XTENSION="):
            return {}, 0
        for at in range(0, BLOCK, 80):
            card = block[at : at + 80]
            key = card[:8].rstrip()
            if key == b"END":
                return numbers or {b"BITPIX": 8}, count
            count += 1
            if key not in (b"COMMENT", b"HISTORY", b""):
                named = (card[9:] if b"=" in card else b"").partition(b"=")[0] if key == b"HIERARCH" else key
                if _WILD.search(named.rstrip()):  # readers take it for a pattern, and other cards for its value
                    text = named.strip().decode("ascii", "replace")
                    raise FormatError(f"{name}: has a card named {text}, which no keyword may be; rename it")
            continued = continued + 1 if key == b"CONTINUE" else 0
            within("continued", continued, name)
            value = _NUMBER.fullmatch(card[10:].rstrip()) if card[8:9] == b"=" else None
            if value is None:
                if card[8:9] == b"=" and _SIZED.fullmatch(key):  # a reader multiplies it, even a text
                    shown = card[10:].partition(b"/")[0].strip().decode("ascii", "replace")[:40]
                    raise FormatError(f"{name}: claims {key.decode()} = {shown}, no whole number; repair the header")
                continue
            number = int(value[1])
            if key in _COUNTS and not 0 <= number <= MOST:
                raise FormatError(f"{name}: claims {key.decode()} = {number}, at most {MOST} can be; it is damaged")
            if not _SIZED.fullmatch(key):
                continue
            # Readers take the first or the last of two, and go back by a negative size, for ever.
            if numbers.setdefault(key, number) != number or (number < 0 and key != b"BITPIX"):
                said = f"{key.decode()} = {number}" + (
                    f" and {numbers[key]}" if numbers[key] != number else ", a negative size"
                )
                raise FormatError(f"{name}: claims {said}; the header is damaged")
        within("cards", count, name)
    return {}, count


def _data(numbers: dict[bytes, int]) -> int:
    """Bytes of data behind a header, padded to whole blocks."""
    axes = [numbers.get(b"NAXIS%d" % i, 0) for i in range(1, numbers.get(b"NAXIS", 0) + 1)]
    grouped = len(axes) > 1 and axes[0] == 0  # random groups
    values = math.prod(axes[1:] if grouped else axes) if axes else 0
    size = abs(numbers.get(b"BITPIX", 8)) // 8 * numbers.get(b"GCOUNT", 1) * (numbers.get(b"PCOUNT", 0) + values)
    return max(0, -(-size // BLOCK) * BLOCK)
