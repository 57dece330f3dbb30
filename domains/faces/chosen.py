"""Which faces of a photo are restored: the words of the option ``face``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from gensr.errors import UsageError

from .align import Box

ALL, LARGEST = "all", "largest"
EXPECTED = "all, largest, numbers such as 2 or 1,3, or a box x,y,width,height in pixels (several with ;)"


@dataclass(frozen=True)
class Choice:
    """What was asked for.

    Attributes:
        words: as they were given.
        which: numbers of faces; None for all or the largest.
        boxes: of the user; then nothing is searched for.
    """

    words: str
    which: tuple[int, ...] | None = None
    boxes: tuple[Box, ...] = ()

    def numbers(self, known: Sequence[int], where: str) -> frozenset[int]:
        """The numbers that are chosen.

        Args:
            known: numbers of the faces that there are, the largest first.
            where: the photo, for the message.

        Raises:
            UsageError: one that is not there.
        """
        if self.which is None:
            return frozenset(known[:1] if self.words == LARGEST else known)
        strange = [n for n in self.which if n not in known]
        if strange:
            has = f"1 to {max(known)}" if known else "none"
            raise UsageError(f"{where}: face={strange[0]}: found {has}; gensr info shows them, or give a box")
        return frozenset(self.which)


def parse_choice(value: object) -> Choice:
    """The choice that a word, a number, or a list of numbers says.

    Raises:
        UsageError: none of them.

    >>> parse_choice("1,3").which, parse_choice("10,20,64,80").boxes
    ((1, 3), ((10.0, 20.0, 64.0, 80.0),))
    """
    if isinstance(value, bool):
        raise UsageError(f"face={value}: expected {EXPECTED}")
    if isinstance(value, list | tuple):
        nested = any(isinstance(one, list | tuple) for one in value)
        value = ";".join(map(_listed, value)) if nested else _listed(value)
    text = re.sub(r"\s+", "", str(value))
    if text in (ALL, LARGEST):
        return Choice(text)
    boxes = []
    for part in text.split(";"):
        numbers = part.split(",")
        if len(numbers) == 4 and all(re.fullmatch(r"-?\d{1,6}(\.\d{1,6})?", n) for n in numbers):
            x, y, width, height = map(float, numbers)
            if width <= 0 or height <= 0:
                raise UsageError(f"face={part}: width and height of a box are above 0")
            boxes.append((x, y, width, height))
    if boxes and len(boxes) == len(text.split(";")):
        return Choice(text, None, tuple(boxes))
    if re.fullmatch(r"\d{1,4}(,\d{1,4})*", text) and "0" not in text.split(","):
        return Choice(text, tuple(dict.fromkeys(map(int, text.split(",")))))
    raise UsageError(f"face={value}: expected {EXPECTED}")


def _listed(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
