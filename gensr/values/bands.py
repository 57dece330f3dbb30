"""The words for bands, as a user writes them: numbers from 1, ranges of them, or names.

1    2-4    1-3,8    red,nir    B02,B03,B8A
"""

from __future__ import annotations

import re
from collections.abc import Sequence

EXPECTED = "numbers from 1, ranges such as 2-4, or names, such as 1-3,8 or red,nir"
"""What may be written, in words that follow "expected"."""
Words = str | int | Sequence[str | int]
_NUMBERS = re.compile(r"(\d{1,9})(?:-(\d{1,9}))?")
MOST = 100_000
"""Bands that a choice may name."""


def parse_bands(words: Words) -> tuple[str, ...]:
    """The single words of a choice.

    Args:
        words: text with commas, one number, or a sequence.

    Raises:
        ValueError: nothing, an empty or doubled word, or a range that runs backwards or from 0.

    >>> parse_bands("1-3, 8"), parse_bands([1, "nir"])
    (('1-3', '8'), ('1', 'nir'))
    """
    if isinstance(words, bool) or not isinstance(words, str | int | Sequence):
        raise ValueError(f"{words!r} is no choice of bands")
    parts = words.split(",") if isinstance(words, str) else [words] if isinstance(words, int) else list(words)
    if not all(isinstance(part, str | int) and not isinstance(part, bool) for part in parts):
        raise ValueError(f"{words!r} holds something that is neither a number nor a name")
    found = tuple(str(part).strip() for part in parts)
    if not found or not all(found) or len(set(found)) != len(found):
        raise ValueError(f"{','.join(found)} holds an empty or doubled word")
    for part in found:
        _span(part)
    return found


def are_numbers(words: Sequence[str]) -> bool:
    """Whether all words are numbers or ranges."""
    return all(_span(word) is not None for word in words)


def choose(words: Sequence[str], names: Sequence[str]) -> tuple[int, ...]:
    """Numbers (from 1) of the bands that are meant, in the order of the words.

    Args:
        words: see `parse_bands`; a word of digits is always a number.
        names: of the bands that there are; case does not matter.

    Raises:
        ValueError: a number or name that there is not, or a band twice.

    >>> choose(("nir", "1-2"), ("red", "green", "blue", "nir"))
    (4, 1, 2)
    """
    known = {name.lower(): number for number, name in reversed(list(enumerate(names, 1)))}
    found: list[int] = []
    for word in words:
        span = _span(word)
        if span is None and word.lower() not in known:
            raise ValueError(f"there is no band {word!r}; there are {listed(names)}")
        low, high = span or (known[word.lower()],) * 2
        if high > len(names):
            raise ValueError(f"there is no band {high}; there are {len(names)}: {listed(names)}")
        found += range(low, high + 1)
    if len(set(found)) != len(found):
        raise ValueError("a band is named twice")
    return tuple(found)


def spans(numbers: Sequence[int]) -> str:
    """Ascending numbers as a user writes them.

    >>> spans([1, 2, 3, 8])
    '1-3,8'
    """
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in parts)


def listed(names: Sequence[str], most: int = 24) -> str:
    """Names for a message, cut where they are many."""
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def _span(word: str) -> tuple[int, int] | None:
    """First and last number of a word of digits, None for a name."""
    match = _NUMBERS.fullmatch(word)
    if match is None:
        return None
    low = int(match.group(1))
    high = int(match.group(2) or low)
    if not 1 <= low <= high or high - low > MOST:
        raise ValueError(f"{word} is no range of numbers from 1")
    return low, high
