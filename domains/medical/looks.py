"""How medical images are shown: windows and greys."""

from __future__ import annotations

import numpy as np

from gensr.scenes.product import Codes
from gensr.values.precision import Real

SOFT_TISSUE = (-160.0, 240.0)
GREY = 128


def limits(modality: str, display: tuple[float, float] | None, reference: Real) -> tuple[float, float]:
    """Lowest and highest physical value to show.

    The window of the file where it meets the data, the soft-tissue window for CT, percentiles 0.5 and 99.9 else and
    for MR, whose units mean nothing.
    """
    finite = reference[np.isfinite(reference)]
    low, high = (float(q) for q in np.percentile(finite, [0.5, 99.9])) if finite.size else (0.0, 1.0)
    if modality == "MR":
        return (low, high) if high > low else (low, low + 1.0)
    for window in (display, SOFT_TISSUE if modality == "CT" else None):
        if window is not None and window[0] < high and window[1] > low:
            return window
    return (low, high) if high > low else (low, low + 1.0)


def grey(values: Real, low: float, high: float) -> Codes:
    """Values (y, x) as uint8 RGB (y, x, 3); NaN is flat grey with a blue tint, which no value has."""
    scaled = np.clip((values.astype(np.float64) - low) / (high - low), 0.0, 1.0)
    picture = np.repeat(np.rint(np.nan_to_num(scaled) * 255.0).astype(np.uint8)[..., None], 3, -1)
    picture[~np.isfinite(values)] = (GREY, GREY, GREY + 32)
    return picture
