"""Previews: an asinh stretch (Lupton et al. 1999) that shows faint sky and bright cores at once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gensr.values.precision import Real

INVALID = 110
"""Grey of pixels without a value."""
_STRETCH = 8.0


def grey(values: Real, reference: Real) -> npt.NDArray[np.uint8]:
    """Image (y, x) as uint8 RGB (y, x, 3), limits from the reference, NaN flat grey.

    Rows stay in storage order, as in every picture of the core; FITS viewers show them bottom up.
    """
    known = reference[np.isfinite(reference)]
    out = np.full((*values.shape, 3), INVALID, np.uint8)
    if known.size:
        level = float(np.median(known))
        spread = 1.4826 * float(np.median(np.abs(known - level)))
        low = level - 2 * spread
        high = float(np.percentile(known, 99.8))
        span = high - low if high > low else 1.0
        shown = np.isfinite(values)
        unit = np.clip((values[shown].astype(np.float64) - low) / span, 0, 1)
        out[shown] = np.rint(255 * np.arcsinh(_STRETCH * unit) / np.arcsinh(_STRETCH))[:, None].astype(np.uint8)
    return out
