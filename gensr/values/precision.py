"""In which precision physical values are held: float32, or float64 where float32 would lose digits of the file.

Units must not matter. Values are held in the units of their file, in the precision that its stored type needs;
whatever is squared or compared is formed in float64, and only values of order one (generator units, see
`gensr.values.normalise`) are float32 again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Real = npt.NDArray[np.floating[Any]]
"""Physical values: float32 or float64."""
SINGLE, DOUBLE = np.dtype(np.float32), np.dtype(np.float64)
LARGEST, SMALLEST = 1e100, 1e-100
"""Magnitudes whose squares float64 holds, with room for sums; nothing measured lies beyond."""
_SAFE = 1e30
"""Largest magnitude (and its inverse the smallest) of calibrated codes that are held as float32."""


def precision(
    dtype: np.dtype[Any],
    scales: Sequence[float] = (1.0,),
    offsets: Sequence[float] = (0.0,),
    codes: tuple[float, float] | None = None,
) -> np.dtype[Any]:
    """Dtype in which ``scale * code + offset`` is held.

    Args:
        dtype: of the stored codes.
        scales: physical size of a code step, per band.
        offsets: physical value of code 0, per band.
        codes: smallest and largest code that is legal; the range of an integer type if None.

    >>> precision(np.dtype("u2")), precision(np.dtype("f8")), precision(np.dtype("i2"), (1e-6,), (2.45e6,))
    (dtype('float32'), dtype('float64'), dtype('float64'))
    """
    if dtype.kind == "f":
        plain = all(s == 1 for s in scales) and not any(offsets)
        return SINGLE if plain and dtype.itemsize <= SINGLE.itemsize else DOUBLE
    if codes is None:
        info = np.iinfo(dtype)
        codes = float(info.min), float(info.max)
    for scale, offset in zip(scales, offsets, strict=True):
        top = max(abs(scale * code + offset) for code in codes)
        # Rounding must stay below a quarter of a code step.
        if top * 2.0**-22 >= abs(scale) or not abs(scale) >= 1 / _SAFE or top > _SAFE:
            return DOUBLE
    return SINGLE


def held(values: Real) -> npt.NDArray[np.bool_]:
    """Where values are numbers that can be computed with: finite and at most `LARGEST`.

    >>> held(np.array([1.0, np.nan, -np.inf, 1e200])).tolist()
    [True, False, False, False]
    """
    if values.dtype.itemsize <= SINGLE.itemsize:
        return np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.abs(values) <= LARGEST)
