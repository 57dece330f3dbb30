"""Previews: red, green, blue or grey, one 2-98 % stretch for all panels, flat grey where nothing was measured."""

from __future__ import annotations

import re

import numpy as np

from gensr.scenes.product import Codes
from gensr.values.precision import Real

GREY = 128
LOW, HIGH = 2.0, 98.0
_COLORS = {
    "red": re.compile(r"^(red|r|b04|b4)$", re.IGNORECASE),
    "green": re.compile(r"^(green|g|b03|b3)$", re.IGNORECASE),
    "blue": re.compile(r"^(blue|b|b02|b2)$", re.IGNORECASE),
}


def display_bands(bands: tuple[str, ...]) -> tuple[int, ...]:
    """0-based bands to show: red, green, blue by name, else the first three, else the first.

    >>> display_bands(("B02", "B03", "B04", "B08"))
    (2, 1, 0)
    """
    found = []
    for pattern in _COLORS.values():
        match = [i for i, name in enumerate(bands) if pattern.match(name.strip())]
        if match:
            found.append(match[0])
    if len(found) == 3:
        return tuple(found)
    return (0, 1, 2) if len(bands) >= 3 else (0,)


def render(
    bands: tuple[str, ...],
    values: Real,
    reference: Real,
    white: bool = False,
) -> Codes:
    """Values (band, y, x) as uint8 RGB (y, x, 3); NaN in any shown band is grey.

    Args:
        bands: names.
        values: physical values, NaN where invalid.
        reference: values (band, y, x) that set the limits.
        white: the lowest value is white.
    """
    shown = display_bands(bands)
    picture = np.empty((*values.shape[1:], 3), np.uint8)
    for channel in range(3):
        band = shown[channel % len(shown)]
        low, high = _limits(reference[band])
        scaled = np.clip((np.nan_to_num(values[band].astype(np.float64)) - low) / (high - low), 0, 1)
        picture[..., channel] = np.rint(255 * (1 - scaled if white else scaled))
    picture[~np.isfinite(values[list(shown)]).all(0)] = GREY
    return picture


def _limits(reference: Real) -> tuple[float, float]:
    good = reference[np.isfinite(reference)]
    if good.size == 0:
        return 0.0, 1.0
    low, high = (float(q) for q in np.percentile(good, [LOW, HIGH]))
    if high <= low:
        low, high = float(good.min()), float(good.max())
    return (low, high) if high > low else (low - 0.5, low + 0.5)
