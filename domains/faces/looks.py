"""Previews of portraits."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gensr.values.precision import Real


def preview(values: Real, peak: int) -> npt.NDArray[np.uint8]:
    """Codes as they are displayed, uint8 RGB (y, x, 3); NaN is mid grey.

    Args:
        values: (1 or 3, y, x), codes.
        peak: largest code.
    """
    finite = np.isfinite(values)
    level = np.clip(np.where(finite, values, 0.0) * (255.0 / peak), 0, 255)
    shown = np.where(finite, np.rint(level), 128).astype(np.uint8)
    rgb = np.repeat(shown, 3, axis=0) if len(shown) == 1 else shown
    return np.ascontiguousarray(np.moveaxis(rgb, 0, -1))
