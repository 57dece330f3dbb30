"""Words as a user writes them; one grammar for the command line, its checks and the library.

Of noise:

auto    0    12.5    2,200    1%    poisson:gain=2,sigma=3
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

EXPECTED = (
    "auto, a deviation in image units such as 2.5 (or one per band, such as 2,200), a share of the range such as 1%, "
    "or poisson:gain=G,sigma=S"
)
"""What may be written, in words that follow "expected"."""
LABELS = ("refuse", "nearest", "image")
"""What may become of label images and masks."""
AUTO, FLOAT32 = "auto", "float32"
PRECISIONS = (AUTO, FLOAT32)
"""Of the arithmetic of networks: the fastest that the device has (bfloat16, TensorFloat-32), or float32 throughout."""
Kind = Literal["auto", "sigma", "share", "poisson"]


@dataclass(frozen=True)
class NoiseWords:
    """What was written.

    Attributes:
        kind: "auto" is estimated; "sigma" holds deviations in image units, "share" shares of the range of a band
            (0.01 for 1 %), one for all bands or one per band; "poisson" holds gain and sigma.
        numbers: finite, none below 0.
    """

    kind: Kind
    numbers: tuple[float, ...] = ()


def parse_noise(text: str | float) -> NoiseWords:
    """Read the words.

    Raises:
        ValueError: they are none of those that `EXPECTED` lists.

    >>> parse_noise("1%")
    NoiseWords(kind='share', numbers=(0.01,))
    """
    word = str(text).strip().lower()
    if word == "auto":
        return NoiseWords("auto")
    if word.startswith("poisson:"):
        pairs = dict(part.split("=", 1) for part in word.removeprefix("poisson:").split(","))
        if set(pairs) - {"gain", "sigma"} or "gain" not in pairs:
            raise ValueError(f"{text!r} is not {EXPECTED}")
        return NoiseWords("poisson", (_number(pairs["gain"]), _number(pairs.get("sigma", "0"))))
    parts = word.split(",")
    if all(part.endswith("%") for part in parts):
        return NoiseWords("share", tuple(_number(part[:-1]) / 100 for part in parts))
    return NoiseWords("sigma", tuple(_number(part) for part in parts))


def _number(text: str) -> float:
    number = float(text)
    if not (math.isfinite(number) and number >= 0):
        raise ValueError(f"{text} is not a number from 0")
    return number
