"""Stored codes and physical values: ``physical = scale * code + offset`` per band, and back without surprises.

rasterio casts with a plain C wrap (300.7 becomes 44, -5 becomes 65531), so rounding, clipping and the nodata code are
settled here, before anything reaches a file.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from gensr.errors import DomainError
from gensr.values.precision import LARGEST, Real, held, precision

Codes = npt.NDArray[Any]
EXACT = 2**53


@dataclass(frozen=True)
class Coding:
    """How the data bands of a file store physical values.

    Attributes:
        dtype: stored dtype, one for all bands.
        scales: physical size of a code step per band.
        offsets: physical value of code 0 per band.
        nodata: code that marks invalid pixels per band (NaN possible), None where a band has none.
        fill: code written to invalid pixels.
        avoid: code that no valid pixel may take, None if invalid pixels are marked by a mask alone.
        saturated: code of pixels that say only "at least this much", None if there is none.
    """

    dtype: np.dtype[Any]
    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    nodata: tuple[float | None, ...]
    fill: float
    avoid: float | None
    saturated: float | None = None

    def __post_init__(self) -> None:
        for scale, offset in zip(self.scales, self.offsets, strict=True):
            if not (np.isfinite(scale) and np.isfinite(offset)) or scale == 0:
                raise DomainError(
                    f"scale {scale} and offset {offset} are no usable calibration; give scale= and offset="
                )
        if self.dtype.kind in "iu" and self.dtype.itemsize <= 4:
            info = np.iinfo(self.dtype)
            self.check_resolution(info.min, info.max)

    def check_resolution(self, low: int, high: int) -> None:
        """Make sure that float64 tells neighbouring integer codes between ``low`` and ``high`` apart.

        Raises:
            DomainError: it does not.
        """
        for scale, offset in zip(self.scales, self.offsets, strict=True):
            ends = np.array([float(low), float(high)])
            with np.errstate(over="ignore"):
                largest = np.abs(ends * scale + offset).max()
            if np.spacing(largest) > abs(scale):
                raise DomainError(
                    f"codes from {low} to {high} with scale {scale} and offset {offset} are rounded by float64; "
                    "work in stored values up to 2^53 with scale=1 offset=0, or rescale the file"
                )

    @property
    def quantum(self) -> float:
        """Smallest physical step over the bands, 0 for floating point codes."""
        return 0.0 if self.dtype.kind == "f" else min(abs(s) for s in self.scales)

    def select(self, first: int, end: int) -> Coding:
        """The coding of bands ``first`` to ``end - 1``."""
        cut = slice(first, end)
        return replace(self, scales=self.scales[cut], offsets=self.offsets[cut], nodata=self.nodata[cut])

    @property
    def precision(self) -> np.dtype[Any]:
        """See `gensr.scenes.scene.Scene.precision`."""
        return precision(self.dtype, self.scales, self.offsets)

    def decode(self, codes: Codes) -> Real:
        """Codes (band, y, x) to physical values of `precision`."""
        if all(s == 1 for s in self.scales) and not any(self.offsets):
            return codes.astype(self.precision)
        scale, offset = self._columns()
        with np.errstate(over="ignore", invalid="ignore"):
            return np.asarray(codes * scale + offset, self.precision)

    @property
    def _reaches_far(self) -> bool:
        """Whether codes may stand for values that nothing can be computed with."""
        codes = LARGEST if self.dtype.kind == "f" else 2.0 ** (8 * self.dtype.itemsize)
        return any(abs(s) * codes + abs(o) > LARGEST for s, o in zip(self.scales, self.offsets, strict=True))

    def declared_valid(self, codes: Codes) -> npt.NDArray[np.bool_]:
        """Where codes (band, y, x) are neither nodata nor NaN, infinite or beyond `LARGEST`."""
        valid = np.ones(codes.shape, np.bool_)
        if self.dtype.kind == "f":
            valid = held(codes)
        if self._reaches_far:
            valid &= held(self.decode(codes))
        for band, nodata in enumerate(self.nodata):
            if nodata is not None and not np.isnan(nodata):
                valid[band] &= codes[band] != self._code(nodata)
        return valid

    def unsaturated(self, codes: Codes) -> npt.NDArray[np.bool_]:
        """Where codes (band, y, x) are below saturation."""
        if self.saturated is None:
            return np.ones(codes.shape, np.bool_)
        return np.asarray(codes != self._code(self.saturated))

    def encode(self, values: Real, valid: npt.NDArray[np.bool_]) -> tuple[Codes, int]:
        """Physical values (band, y, x) to codes.

        Returns:
            Codes of ``dtype``, and the number of valid values that were clipped or moved off the nodata code.

        Raises:
            DomainError: a valid value is not finite.
        """
        if not np.isfinite(values[valid]).all():
            raise DomainError("a valid pixel has no finite value; this is an error of the reconstruction")
        scale, offset = self._columns()
        with np.errstate(invalid="ignore", over="ignore"):
            exact = (values.astype(np.float64) - offset) / scale
        codes, clipped = self._fit(np.where(valid, exact, 0.0))
        if self.avoid is not None and not np.isnan(self.avoid):
            hit = (codes == self._code(self.avoid)) & valid
            if hit.any():
                codes[hit] = self._beside(exact[hit])
                clipped |= hit
        codes[~valid] = self._code(self.fill)
        return codes, int((clipped & valid).sum())

    def _fit(self, exact: npt.NDArray[np.float64]) -> tuple[Codes, npt.NDArray[np.bool_]]:
        if self.dtype.kind == "f":
            most = float(np.finfo(self.dtype).max)
            low, high, rounded = -most, most, exact
        else:
            info = np.iinfo(self.dtype)
            low, high, rounded = float(max(info.min, -EXACT)), float(min(info.max, EXACT)), np.rint(exact)
        clipped = (rounded < low) | (rounded > high)
        return np.clip(rounded, low, high).astype(self.dtype), clipped

    def _beside(self, exact: npt.NDArray[np.float64]) -> Codes:
        """The codes next to ``avoid``, on the side of the exact value where there is room."""
        assert self.avoid is not None
        code = self._code(self.avoid)
        if self.dtype.kind == "f":
            up, down = np.nextafter(code, self.dtype.type(np.inf)), np.nextafter(code, self.dtype.type(-np.inf))
            room_up, room_down = np.isfinite(up), np.isfinite(down)
        else:
            info = np.iinfo(self.dtype)
            room_up, room_down = int(code) < info.max, int(code) > info.min
            up, down = self.dtype.type(int(code) + room_up), self.dtype.type(int(code) - room_down)
        upward = ((exact >= float(code)) & room_up) | (not room_down)
        return np.asarray(np.where(upward, up, down), self.dtype)

    def _code(self, value: float) -> Any:  # noqa: ANN401
        """A number in the dtype of the codes: -9999.1 is stored as -9999.0996 in float32."""
        with np.errstate(over="ignore"):
            return self.dtype.type(value if self.dtype.kind == "f" else int(value))

    def _columns(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        shape = (-1, 1, 1)
        return np.array(self.scales).reshape(shape), np.array(self.offsets).reshape(shape)


def holds(dtype: np.dtype[Any], value: float) -> bool:
    """Whether a number is a code of the dtype (-9999 is none of uint8, NaN is none of integers)."""
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            return bool(np.isnan(value) or np.isinf(value) or np.isfinite(dtype.type(value)))
    if not np.isfinite(value) or value != int(value):
        return False
    info = np.iinfo(dtype)
    return info.min <= int(value) <= info.max
