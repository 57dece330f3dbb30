"""Previews of micrographs."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gensr.values.precision import Real

Doubles = npt.NDArray[np.float64]


def grey(values: Real, reference: Real, white: bool = False) -> npt.NDArray[np.uint8]:
    """Preview (y, x, 3): percentiles 1 to 99.9 of the reference, invalid pixels flat grey.

    Args:
        values: (1, y, x).
        reference: values that set the limits.
        white: the lowest value is white (MINISWHITE).
    """
    plane, known = values[0].astype(np.float64), reference[np.isfinite(reference)]
    low, high = (float(q) for q in np.percentile(known, [1.0, 99.9])) if known.size else (0.0, 1.0)
    if high <= low:
        low, high = low - 0.5, low + 0.5
    level = np.clip((np.nan_to_num(plane, nan=low, posinf=high, neginf=low) - low) / (high - low), 0, 1)
    if white:
        level = 1 - level
    shown = np.where(np.isfinite(plane), np.rint(level * 255), 128).astype(np.uint8)
    return np.repeat(shown[..., None], 3, axis=2)
