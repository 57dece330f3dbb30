"""Stored codes of an array of xarray: nodata, scale, offset and valid range, as attributes or encoding state them.

An array that xarray decoded (``mask_and_scale``, the default of ``open_dataset``) says in its ``encoding`` what the
file held. Where its values are such codes they are taken back to them, so that rounding, nodata and noise are those of
the file; where they are not, it is an array of floating point numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from gensr.errors import UsageError
from gensr.scenes.forms import Form
from gensr.values.coding import Codes, Coding, holds

if TYPE_CHECKING:
    import xarray as xr

NEAR = 1e-3
"""Share of a code by which a decoded value may miss it."""


@dataclass(frozen=True, eq=False)
class Packed:
    """Codes and what they mean.

    Attributes:
        codes: (plane, band, y, x), of NumPy or Dask.
        nodata: code of invalid pixels, None where there is none.
        scales: physical size of a code per band.
        offsets: physical value of code 0 per band.
        limits: lowest and highest valid code, None where nothing is said.
        decoded: dtype of the decoded values, None for an array of codes.
        scaled: whether scale and offset were applied to decoded values; otherwise only nodata became NaN.
    """

    codes: Any
    nodata: float | None
    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    limits: tuple[float, float] | None
    decoded: np.dtype[Any] | None
    scaled: bool = True

    @property
    def coding(self) -> Coding:
        """From codes to values and back."""
        dtype = np.dtype(self.codes.dtype)
        empty = float("nan") if dtype.kind == "f" else 0.0
        fill = empty if self.nodata is None else self.nodata
        return Coding(dtype, self.scales, self.offsets, (self.nodata,) * len(self.scales), fill, self.nodata)

    def chosen(self, places: Sequence[int]) -> Packed:
        """The same with some bands (0-based)."""
        scales, offsets = (tuple(values[i] for i in places) for values in (self.scales, self.offsets))
        return replace(self, codes=self.codes[:, list(places)], scales=scales, offsets=offsets)

    @classmethod
    def joined(cls, parts: Sequence[Packed], names: Sequence[str]) -> Packed:
        """Images of one band as bands of one, with the nodata of the first.

        Raises:
            UsageError: an image uses that code for a value, or was decoded where others were not.
        """
        first = parts[0]
        for part, name in zip(parts, names, strict=True):
            if (part.decoded, part.scaled) != (first.decoded, first.scaled):
                raise UsageError(f"Dataset: {name} was decoded in another way than {names[0]}; open them alike")
        nodata = next((part.nodata for part in parts if part.nodata is not None), None)
        codes = [part._with_nodata(nodata, name) for part, name in zip(parts, names, strict=True)]
        limits = first.limits if all(part.limits == first.limits for part in parts) else None
        return cls(
            _module(first.codes).concatenate(codes, 1),
            nodata,
            tuple(s for part in parts for s in part.scales),
            tuple(o for part in parts for o in part.offsets),
            limits,
            first.decoded,
            first.scaled,
        )

    def _with_nodata(self, nodata: float | None, name: str) -> Any:  # noqa: ANN401
        if nodata is None or self.nodata == nodata or (self.nodata != self.nodata and nodata != nodata):
            return self.codes
        return _blockwise(partial(_recoded, old=self.nodata, new=nodata, name=name), self.codes)


def packed(image: xr.DataArray, form: Form) -> Packed:
    """Codes of an image.

    Args:
        image: with attributes and encoding.
        form: of its axes.

    Raises:
        UsageError: an array of another library.
    """
    data: Any = image.data
    if not isinstance(data, np.ndarray) and type(data).__module__.split(".")[0] != "dask":
        raise UsageError(f"DataArray of a {type(data).__name__}: give one of NumPy or Dask, such as array.as_numpy()")
    if data.dtype == np.float16:
        data = data.astype(np.float32)
    attrs, encoding = image.attrs, image.encoding
    scale, offset = _numbers(attrs, "scale_factor", "scales"), _numbers(attrs, "add_offset", "offsets")
    nodata = _number(attrs.get("_FillValue", attrs.get("missing_value")))
    limits = _limits(attrs)
    decoded = None
    if data.dtype.kind in "iu" and nodata is None:
        nodata = _number(encoding.get("_FillValue", encoding.get("missing_value")))
    scaled = not scale and not offset
    if data.dtype.kind == "f" and nodata is None:
        applied = [float(encoding.get(k, d)) if scaled else d for k, d in (("scale_factor", 1.0), ("add_offset", 0.0))]
        codes = _restored(data, encoding, applied[0], applied[1])
        if codes is not None:
            decoded, data = data.dtype, codes
            scale, offset = (scale, offset) if not scaled else ((applied[0],), (applied[1],))
            nodata = _number(encoding.get("_FillValue", encoding.get("missing_value")))
        elif limits is not None:  # they are codes still
            ends = sorted(end * applied[0] + applied[1] for end in limits)
            limits = (ends[0], ends[1])
    if nodata is not None and not holds(np.dtype(data.dtype), nodata):
        nodata = None  # no pixel can have it
    if limits is not None:
        nodata, data = _within(data, nodata, limits)
    whole = form.whole(data)
    bands = int(whole.shape[1])
    factors = (_spread(scale or (1.0,), bands), _spread(offset or (0.0,), bands))
    return Packed(whole, nodata, *factors, limits, decoded, scaled)


def _restored(values: Any, encoding: Any, scale: float, offset: float) -> Any:  # noqa: ANN401
    """The integers that decoded values stand for, None where they are not such integers."""
    try:
        dtype = np.dtype(encoding.get("dtype", "f4"))
    except TypeError:
        return None
    fill = _number(encoding.get("_FillValue", encoding.get("missing_value")))
    if dtype.kind not in "iu" or "_Unsigned" in encoding or scale == 0 or not np.isfinite([scale, offset]).all():
        return None
    if fill is not None and not holds(dtype, fill):
        return None
    back = partial(_codes, dtype=dtype, scale=scale, offset=offset, fill=fill)
    try:
        if isinstance(values, np.ndarray):
            return back(values)
        for block in {(0,) * values.ndim, tuple(n // 2 for n in values.numblocks)}:
            back(np.asarray(values.blocks[block].compute()))
    except UsageError:
        return None
    return _blockwise(back, values, dtype)


def _codes(values: Any, dtype: np.dtype[Any], scale: float, offset: float, fill: float | None) -> Codes:  # noqa: ANN401
    """Codes of decoded values.

    Raises:
        UsageError: a value is none.
    """
    missing = np.isnan(values)
    exact = (np.where(missing, offset, values).astype(np.float64) - offset) / scale
    codes = np.rint(exact)
    info = np.iinfo(dtype)
    # float32 values know themselves to so many codes only.
    near = NEAR + 2 * np.finfo(values.dtype).eps * np.abs(np.where(missing, 0, values)) / abs(scale)
    if (np.abs(exact - codes) > near).any() or (codes < info.min).any() or (codes > info.max).any():
        raise UsageError(
            f"the array says that it was decoded from {dtype} with scale {scale:g} and offset {offset:g}, but its "
            "values are no such codes; give array.drop_encoding()"
        )
    if fill is None and missing.any():
        raise UsageError(f"the array says that it was decoded from {dtype} without _FillValue, but holds NaN")
    return np.where(missing, 0 if fill is None else fill, codes).astype(dtype)


def _within(codes: Any, nodata: float | None, limits: tuple[float, float]) -> tuple[float | None, Any]:  # noqa: ANN401
    """Codes with nodata in place of those outside a valid range, and that nodata."""
    dtype, (low, high) = np.dtype(codes.dtype), limits
    if nodata is None and dtype.kind == "f":
        nodata = float("nan")
    elif nodata is None:
        info = np.iinfo(dtype)
        outside = [float(end) for end, free in ((info.min, info.min < low), (info.max, info.max > high)) if free]
        if not outside:
            return None, codes
        nodata = outside[0]
    return nodata, _blockwise(partial(_bounded, low=low, high=high, nodata=nodata), codes)


def _bounded(codes: Codes, low: float, high: float, nodata: float) -> Codes:
    return np.where((codes < low) | (codes > high), codes.dtype.type(nodata), codes)


def _recoded(codes: Codes, old: float | None, new: float, name: str) -> Codes:
    dtype = codes.dtype
    missing = np.isnan(codes) if dtype.kind == "f" else np.zeros(codes.shape, np.bool_)
    if old is not None and old == old:
        missing |= codes == dtype.type(old)
    if not holds(dtype, new) or (codes[~missing] == dtype.type(new)).any():
        raise UsageError(f"Dataset: {name} uses {new:g}, the nodata of another variable, as a value; give one nodata")
    return np.where(missing, dtype.type(new), codes)


def _blockwise(function: Callable[[Any], Any], array: Any, dtype: np.dtype[Any] | None = None) -> Any:  # noqa: ANN401
    """A function of every number, of a Dask array block by block when they are asked for."""
    return function(array) if isinstance(array, np.ndarray) else array.map_blocks(function, dtype=dtype or array.dtype)


def _module(array: Any) -> Any:  # noqa: ANN401
    if isinstance(array, np.ndarray):
        return np
    import dask.array

    return dask.array


def _number(value: Any) -> float | None:  # noqa: ANN401
    """One number of an attribute that may be an array or a text."""
    if value is None or isinstance(value, str | bytes):
        return None
    values = np.atleast_1d(np.asarray(value))
    return float(values[0]) if values.size and values.dtype.kind in "uif" else None


def _numbers(attrs: Any, one: str, many: str) -> tuple[float, ...]:  # noqa: ANN401
    """Scale or offset: one number, or rioxarray's list per band."""
    for name in (many, one):
        value = attrs.get(name)
        if value is not None and not isinstance(value, str):
            return tuple(float(v) for v in np.atleast_1d(np.asarray(value)))
    return ()


def _spread(values: tuple[float, ...], bands: int) -> tuple[float, ...]:
    if len(values) not in (1, bands):
        raise UsageError(f"{len(values)} scales or offsets for {bands} band(s); give one, or one per band")
    return values * bands if len(values) == 1 else values


def _limits(attrs: Any) -> tuple[float, float] | None:  # noqa: ANN401
    both = np.atleast_1d(np.asarray(attrs.get("valid_range", ())))
    if both.size == 2 and both.dtype.kind in "uif":
        return float(both[0]), float(both[1])
    low, high = _number(attrs.get("valid_min")), _number(attrs.get("valid_max"))
    if low is None and high is None:
        return None
    return (-np.inf if low is None else low), (np.inf if high is None else high)
