"""Options of the satellite domain, checked once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gensr.errors import UsageError
from gensr.values.bands import EXPECTED, parse_bands

DEFAULTS: dict[str, Any] = {
    "bands": None,  # numbers, ranges or names choose bands; new names for all, in order, name them (not "alpha": data)
    "nodata": None,  # fill value that the file does not declare
    "scale": None,  # physical = scale * stored + offset, where the file does not say so
    "offset": None,
    "saturated": "auto",  # stored code of saturated pixels; "auto": 65535 in uint16; "none"
    "noise_floor": None,  # standard deviation of the noise in physical units; None: estimated from the data
    "georeference": "auto",  # "affine" or "gcps" where a file has both
    "variable": None,  # of a NetCDF or Zarr raster: one, or several alike that are bands; None: all that are an image
    "resolution": None,  # metres, 10, 20 or 60: which bands of a Sentinel-2 product; None: of the named ones, else 10
}


@dataclass(frozen=True)
class Options:
    """Checked options of `gensr.domains.satellite.Satellite`; see `DEFAULTS` for their meaning."""

    bands: tuple[str, ...] | None
    nodata: float | None
    scale: float | None
    offset: float | None
    saturated: float | str | None
    noise_floor: float | None
    georeference: str
    resolution: int | None
    variable: tuple[str, ...] | None = None


def parse(options: Mapping[str, Any]) -> Options:
    """Check options.

    Raises:
        UsageError: an unknown name or an impossible value.
    """
    unknown = sorted(set(options) - set(DEFAULTS))
    if unknown:
        raise UsageError(f"satellite has no option {', '.join(unknown)}; known options: {', '.join(DEFAULTS)}")
    given = {**DEFAULTS, **options}
    scale = _number("scale", given["scale"])
    if scale == 0:
        raise UsageError("scale=0 makes all values equal; give the scale of one stored step")
    floor = _number("noise_floor", given["noise_floor"])
    if floor is not None and floor <= 0:
        raise UsageError(f"noise_floor={floor} is not positive; give a standard deviation in physical units")
    if given["georeference"] not in ("auto", "affine", "gcps"):
        raise UsageError(f"georeference={given['georeference']!r} is unknown; use auto, affine or gcps")
    saturated = given["saturated"]
    if saturated is None or saturated == "none":
        saturated = None
    elif saturated != "auto":
        saturated = _number("saturated", saturated)
    return Options(
        bands=_words(given["bands"]),
        nodata=_number("nodata", given["nodata"], nan=True),
        scale=scale,
        offset=_number("offset", given["offset"]),
        saturated=saturated,
        noise_floor=floor,
        georeference=given["georeference"],
        resolution=_resolution(given["resolution"]),
        variable=_variables(given["variable"]),
    )


def _variables(value: Any) -> tuple[str, ...] | None:  # noqa: ANN401
    if value is None or value == "":
        return None
    names = value.split(",") if isinstance(value, str) else list(value) if isinstance(value, list | tuple) else [value]
    found = tuple(str(name).strip() for name in names)
    if not all(found) or len(set(found)) != len(found):
        raise UsageError(f"variable={','.join(found)} holds an empty or doubled name")
    return found


def _resolution(value: Any) -> int | None:  # noqa: ANN401
    if value is None or value == "":
        return None
    if str(value).removesuffix("m") not in ("10", "20", "60"):
        raise UsageError(f"resolution={value!r} is none of 10, 20 and 60 m")
    return int(str(value).removesuffix("m"))


def _number(name: str, value: Any, nan: bool = False) -> float | None:  # noqa: ANN401
    if value is None:
        return None
    try:
        number = float(value) if not isinstance(value, bool) else math.inf
    except (TypeError, ValueError):
        number = math.inf
    if math.isinf(number) or (math.isnan(number) and not nan):
        raise UsageError(f"{name}={value!r} is not a finite number")
    return number


def _words(value: Any) -> tuple[str, ...] | None:  # noqa: ANN401
    if value is None or value == "":
        return None
    try:
        return parse_bands(value)
    except ValueError as error:
        raise UsageError(f"bands={value!r}: {error}; expected {EXPECTED}, or names for all bands") from error
