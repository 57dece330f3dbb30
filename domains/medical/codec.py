"""Stored codes and physical values of a medical image, both ways."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gensr.scenes.product import Codes
from gensr.values.precision import Real, held, precision


@dataclass(frozen=True)
class Codec:
    """``value = slope * code + intercept``, with the legal range, padding and polarity of the codes.

    Attributes:
        dtype: dtype of stored codes.
        slope: physical units per code, not 0.
        intercept: physical value of code 0.
        low: smallest legal integer code; ignored for floating point.
        high: largest legal integer code; ignored for floating point.
        padding: first and last code that mean "no data" (DICOM Pixel Padding), or None.
        inverted: low codes are bright (MONOCHROME1): codes are mirrored inside the legal range for processing.
        saturates: the highest code may stand for anything above it (detectors, CT).
    """

    dtype: np.dtype[Any]
    slope: float = 1.0
    intercept: float = 0.0
    low: int = 0
    high: int = 0
    padding: tuple[int, int] | None = None
    inverted: bool = False
    saturates: bool = False

    @property
    def precision(self) -> np.dtype[Any]:
        """See `gensr.scenes.scene.Scene.precision`."""
        codes = None if self.dtype.kind == "f" else (float(self.low), float(self.high))
        return precision(self.dtype, (self.slope,), (self.intercept,), codes)

    @property
    def mirror(self) -> float:
        """Number K with ``processed = K - value`` for an inverted image."""
        return self.slope * (self.low + self.high) + 2.0 * self.intercept

    def decode(self, codes: Codes) -> tuple[Real, npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Codes of any shape to physical values (dtype `precision`), valid and usable masks."""
        if self.dtype.kind == "f":
            with np.errstate(over="ignore"):
                values = (codes.astype(np.float64) * self.slope + self.intercept).astype(self.precision)
            valid = held(values)
            return values, valid, valid
        valid = np.ones(codes.shape, np.bool_)
        if self.padding is not None:
            valid = (codes < self.padding[0]) | (codes > self.padding[1])
        usable = valid & (codes < self.high) if self.saturates else valid
        # float64 holds every code of up to 53 bits, so nothing is lost before the one rounding.
        real = codes.astype(np.float64)
        if self.inverted:
            real = float(self.low + self.high) - real
        with np.errstate(over="ignore"):
            values = (real * self.slope + self.intercept).astype(self.precision)
        known = held(values)
        return values, valid & known, usable & known

    def encode(self, values: Real, valid: npt.NDArray[np.bool_]) -> tuple[Codes, int]:
        """Physical values to codes: round half to even, clip, keep off the padding; see `Scene.encode`."""
        real = (values.astype(np.float64) - self.intercept) / self.slope
        if self.dtype.kind == "f":
            return np.where(valid, real, np.nan).astype(self.dtype), 0
        valid = valid & np.isfinite(real)
        if self.inverted:
            real = float(self.low + self.high) - real
        rounded = np.rint(np.where(valid, real, 0.0))
        # 2^63 - 1 has no float64; the next float64 below it has.
        top = float(self.high) if self.high < 2**53 else float(np.nextafter(np.float64(self.high), 0.0))
        kept = np.clip(rounded, float(self.low), top)
        moved = kept != rounded
        if self.padding is not None:
            kept, pushed = self._off_padding(kept, real)
            moved |= pushed
        codes = np.where(valid, kept, float(self.fill)).astype(self.dtype)
        return codes, int(np.count_nonzero(moved & valid))

    @property
    def fill(self) -> int:
        """Code of an invalid integer pixel: the padding, else the code nearest to 0."""
        return self.padding[0] if self.padding is not None else min(max(0, self.low), self.high)

    def _off_padding(
        self, codes: npt.NDArray[np.float64], real: npt.NDArray[np.float64]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
        first, last = self.padding if self.padding is not None else (1, 0)
        inside = (codes >= first) & (codes <= last)
        up = (real >= (first + last) / 2.0) if first - 1 >= self.low else np.ones_like(inside)
        up = up & (last + 1 <= self.high)
        return np.where(inside, np.where(up, last + 1.0, first - 1.0), codes), inside
