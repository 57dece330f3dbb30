"""The words for a part of an input: whole pixels as GDAL counts them, or a box in coordinates.

srcwin=100,50,640,480    bounds=499980,4190220,509980,4200220    bounds=150.1,2.2,30arcsec
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gensr.errors import UsageError

if TYPE_CHECKING:
    from gensr.values.grid import Window

Numbers = str | Sequence[float]
"""Numbers with commas between them, or a sequence of them."""

SRCWIN = "xoff,yoff,xsize,ysize in pixels of the input, such as 100,50,640,480"
BOUNDS = (
    "left,bottom,right,top in coordinates of the input (on the sky from RA,Dec to RA,Dec in degrees), or x,y,size "
    "about a centre, such as 150.1,2.2,30arcsec"
)
"""What may be written, in words that follow "expected"."""
DEGREES = {"deg": 1.0, "arcmin": 1 / 60, "arcsec": 1 / 3600}
_SIZE = re.compile(r"(?P<number>.+?)(?P<unit>deg|arcmin|arcsec)?")


@dataclass(frozen=True)
class Area:
    """What part of an input the user asked for; neither means all of it.

    Attributes:
        srcwin: xoff, yoff, xsize, ysize in pixels.
        bounds: in coordinates of the input.

    Raises:
        UsageError: both, or words that are not `SRCWIN` or `BOUNDS`.
    """

    srcwin: Numbers | None = None
    bounds: Numbers | None = None

    def __post_init__(self) -> None:
        if self.srcwin is not None and self.bounds is not None:
            raise UsageError("srcwin= and bounds= are two ways to say one thing; give one of them")
        try:
            if self.srcwin is not None:
                parse_srcwin(self.srcwin)
        except (ValueError, TypeError) as error:
            raise UsageError(f"srcwin={said(self.srcwin)}: expected {SRCWIN}") from error
        try:
            if self.bounds is not None:
                parse_bounds(self.bounds)
        except (ValueError, TypeError) as error:
            raise UsageError(f"bounds={said(self.bounds)}: expected {BOUNDS}") from error


WHOLE = Area()
"""Everything."""


def said(value: Numbers | None) -> str:
    """Numbers as they are written on the command line."""
    return value if isinstance(value, str) else ",".join(map(str, value or ()))


@dataclass(frozen=True)
class Bounds:
    """A box in coordinates.

    Attributes:
        left: lowest x or, on the sky, the longitude where it begins; the longitude of ``right`` may be smaller.
        bottom: lowest y or latitude.
        right: highest x, or the longitude where it ends.
        top: highest y or latitude.
        size: side of a square about a centre, for which left equals right and bottom equals top; None for a box.
        angle: the size has a unit of angle and is in degrees.
        text: as it was written.
    """

    left: float
    bottom: float
    right: float
    top: float
    size: float | None
    angle: bool
    text: str

    def box(self) -> tuple[float, float, float, float]:
        """Left, bottom, right and top of a box or square in plane coordinates."""
        half = (self.size or 0.0) / 2
        return self.left - half, self.bottom - half, self.right + half, self.top + half


def parse_srcwin(value: Numbers) -> Window:
    """Read ``srcwin=``.

    Raises:
        ValueError: it is not four whole numbers, two offsets from 0 and two sizes from 1.

    >>> parse_srcwin("100,50,640,480")
    Window(row=50, col=100, rows=480, cols=640)
    """
    from gensr.values.grid import Window  # it needs numpy, which help and completion do without

    numbers = [_whole(part) for part in _parts(value)]
    if len(numbers) != 4 or min(numbers[:2]) < 0 or min(numbers[2:]) < 1:
        raise ValueError(f"{value!r} is not {SRCWIN}")
    return Window(numbers[1], numbers[0], numbers[3], numbers[2])


def parse_bounds(value: Numbers) -> Bounds:
    """Read ``bounds=``.

    Raises:
        ValueError: it is neither a box of four finite numbers with some height, nor a centre with a size above 0.

    >>> parse_bounds("359.5,-1,0.5,1").box()
    (359.5, -1.0, 0.5, 1.0)
    >>> parse_bounds("150,2,36arcsec").size
    0.01
    """
    parts = _parts(value)
    text = ",".join(parts)
    if len(parts) == 4:
        left, bottom, right, top = map(_finite, parts)
        if bottom >= top or left == right:
            raise ValueError(f"{text} is empty: {BOUNDS}")
        return Bounds(left, bottom, right, top, None, False, text)
    found = _SIZE.fullmatch(parts[2]) if len(parts) == 3 else None
    if found is None:
        raise ValueError(f"{text} is not {BOUNDS}")
    x, y, size = _finite(parts[0]), _finite(parts[1]), _finite(found["number"])
    if size <= 0:
        raise ValueError(f"{text} is empty: {BOUNDS}")
    unit = found["unit"]
    return Bounds(x, y, x, y, size * DEGREES[unit] if unit else size, unit is not None, text)


def _parts(value: Numbers) -> list[str]:
    return [str(part).strip() for part in (value.split(",") if isinstance(value, str) else value)]


def _whole(text: str) -> int:
    number = _finite(text)
    if number != int(number):
        raise ValueError(f"{text} is not a whole number")
    return int(number)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is not a finite number")
    return number
