"""What the stored numbers mean: used bits, shift, offset, saturation; and the way back to stored numbers.

A camera file often uses part of its type: 12 bits in 16, shifted left by 4, or with an offset of 32768. Values keep the
file's own codes; what is found here sets the code step, the range of the output and which pixels are saturated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gensr.values.precision import Real

Codes = npt.NDArray[Any]

DECLARED = "bits that the file declares"
SMOOTH = 0.15 * 65535
"""Largest step of a colour between neighbouring codes of a ramp."""
SATURATED = 8
"""Fewer pixels than this at the full-scale code are no sign of saturation."""
FEW_VALUES = 3
SHIFTS = (8, 6, 4, 2)


@dataclass(frozen=True)
class CodeRange:
    """Range of stored codes.

    Attributes:
        low: smallest code that is written.
        high: largest code that is written.
        step: distance of neighbouring codes (16 for 12-bit values shifted left by 4).
        source: how the range is known, a phrase for people.
        saturation: per channel the code that means saturated, None where nothing is saturated.
        bits: bits in use.
    """

    low: float
    high: float
    step: int
    source: str
    saturation: tuple[int | None, ...]
    bits: int


class Census:
    """Histogram of the codes of every channel, of all pixels or of a sample.

    Args:
        dtype: an integer type of at most 16 bits.
        channels: number of channels.
    """

    def __init__(self, dtype: np.dtype[Any], channels: int) -> None:
        info = np.iinfo(dtype)
        self.base = int(info.min)
        self.dtype = dtype
        self.counts = np.zeros((channels, int(info.max) - self.base + 1), np.int64)  # (channel, code)

    def add(self, channel: int, codes: Codes) -> None:
        """Count the codes of a block."""
        shifted = codes.astype(np.int64).ravel() - self.base
        self.counts[channel] += np.bincount(shifted, minlength=self.counts.shape[1])

    def present(self, channel: int | None = None) -> npt.NDArray[np.int64]:
        """Codes that occur, ascending, in one channel or in all."""
        counts = self.counts.sum(0) if channel is None else self.counts[channel]
        return np.flatnonzero(counts) + self.base

    def count(self, channel: int, code: int) -> int:
        """How often a code occurs in a channel."""
        return int(self.counts[channel, code - self.base])


def code_range(census: Census, declared: int | None, whole: bool) -> CodeRange:
    """Find the range of codes.

    Args:
        census: the codes that occur.
        declared: bits that the file says a sample has, None if it does not.
        whole: the census saw every pixel; a sample never narrows the range of the output.
    """
    info = np.iinfo(census.dtype)
    full = CodeRange(float(info.min), float(info.max), 1, f"range of {census.dtype.name}", (), info.bits)
    present = census.present()
    found = full
    if present.size and census.dtype == np.uint16:
        found = _sixteen(present, declared, full)
    elif declared is not None and present.size and 0 < declared < info.bits and int(present[-1]) < 1 << declared:
        found = CodeRange(0.0, float((1 << declared) - 1), 1, DECLARED, (), declared)
    saturation = tuple(_saturation(census, channel, found) for channel in range(len(census.counts)))
    top = int(present[-1]) if present.size else 0
    if found is full and top in saturation and top < int(info.max):
        bits = top.bit_length()
        found = CodeRange(0.0, float(top), 1, f"detected: saturates at {bits} bits", (), bits)
    if not whole and found.source != DECLARED:
        # Pixels outside the sample may hold other codes: keep what was learnt for saturation only.
        return CodeRange(full.low, full.high, 1, full.source + "; sampled", saturation, full.bits)
    return CodeRange(found.low, found.high, found.step, found.source, saturation, found.bits)


def _sixteen(present: npt.NDArray[np.int64], declared: int | None, full: CodeRange) -> CodeRange:
    low, high = int(present[0]), int(present[-1])
    if declared is not None and 8 <= declared < 16 and high < 1 << declared:
        return CodeRange(0.0, float((1 << declared) - 1), 1, DECLARED, (), declared)
    if declared != 16:
        if low >= 32768 and high <= 32768 + 4095:
            return CodeRange(32768.0, 36863.0, 1, "detected: 12 bits with offset 32768", (), 12)
        if high <= 4095:
            return CodeRange(0.0, 4095.0, 1, "detected: 12 bits", (), 12)
    pattern = int(np.bitwise_or.reduce(present))
    for shift in SHIFTS:
        if present.size > FEW_VALUES and pattern % (1 << shift) == 0:
            top, bits = float((1 << 16) - (1 << shift)), 16 - shift
            return CodeRange(0.0, top, 1 << shift, f"detected: {bits} bits shifted left by {shift}", (), bits)
    return full


def _saturation(census: Census, channel: int, found: CodeRange) -> int | None:
    """The largest code of a channel, if it is a full-scale code and occurs too often to be chance."""
    present = census.present(channel)
    if present.size < 2:
        return None
    top = int(present[-1])
    scaled = (top - int(found.low if found.low > 0 else 0)) // found.step
    full_scale = top == int(found.high) or (scaled >= 255 and (scaled & (scaled + 1)) == 0)
    crowded = census.count(channel, top) >= SATURATED and census.count(channel, top) > 2 * census.count(
        channel, int(present[-2])
    )
    return top if full_scale and crowded else None


def is_ramp(palette: Codes) -> bool:
    """Whether a colour table shows intensities: neighbouring codes have like colours, which those of classes have not.

    Args:
        palette: (3, codes), 16 bits.
    """
    steps = np.abs(np.diff(palette.astype(np.float64), axis=1)).max(0)
    # The last colours of a table may mark what is too dark or too bright.
    return bool(np.sort(steps)[: max(1, steps.size - 4)].max(initial=0.0) <= SMOOTH)


def encode(
    values: Real, valid: npt.NDArray[np.bool_], dtype: np.dtype[Any], codes: CodeRange | None
) -> tuple[Codes, int]:
    """Physical values to stored codes; integers are rounded half to even and clipped.

    Args:
        values: (band, y, x).
        valid: (band, y, x).
        dtype: stored type.
        codes: range of an integer type, None for floating point.

    Returns:
        The codes, 0 (integer) or NaN (floating point) where invalid; how many valid values were clipped.
    """
    keep = valid & np.isfinite(values)
    if codes is None:
        top = np.finfo(dtype).max
        kept = np.clip(values, -top, top)  # half precision ends at 65504
        moved = int(np.count_nonzero(keep & (kept != values)))
        return np.where(keep, kept, np.nan).astype(dtype), moved
    wide = np.where(keep, values, 0.0).astype(np.float64)
    rounded = np.rint(wide / codes.step) * codes.step
    clipped = np.clip(rounded, codes.low, codes.high)
    return np.where(keep, clipped, 0).astype(dtype), int(np.count_nonzero(keep & (clipped != rounded)))
