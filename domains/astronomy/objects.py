"""Objects of astropy as FITS files, and refined FITS files as objects: units, coordinates, masks and errors travel.

`knows` looks at names alone, so that astropy is loaded only for what came from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gensr.errors import FormatError, UsageError
from gensr.scenes.forms import ask_for_dims
from gensr.scenes.objects import STEM, kind_of

KINDS = ("ccddata", "hdulist")
_ERRORS = {"StdDevUncertainty": ("ERR", 1), "VarianceUncertainty": ("VAR", 2), "InverseVariance": ("IVAR", -2)}
"""Name of the extension, and the power of the unit that its numbers have."""


def knows(source: object) -> int:
    """3 for an object of astropy, also for one that will be refused; 0 for any other.

    >>> knows([1, 2])
    0
    """
    return 3 if any(c.__module__.split(".")[0] == "astropy" for c in type(source).__mro__) else 0


def lay_down(source: Any, folder: Path) -> Path:  # noqa: ANN401
    """See `gensr.scenes.domain.Domain.lay_down`.

    Raises:
        UsageError: no image, values or coordinates that FITS cannot hold.
    """
    from astropy import nddata, units
    from astropy.io import fits

    path = folder / f"{STEM}.fits"
    if isinstance(source, fits.HDUList):
        hdus = source
    elif isinstance(source, fits.PrimaryHDU):
        hdus = fits.HDUList([source])
    elif isinstance(source, fits.ImageHDU | fits.CompImageHDU):
        hdus = fits.HDUList([fits.PrimaryHDU(), source])
    elif isinstance(source, nddata.NDData):
        hdus = _from_nddata(source)
    elif isinstance(source, units.Quantity):
        masked = isinstance(getattr(source, "mask", None), np.ndarray)
        values = source.unmasked if masked else source
        hdus = _from_nddata(nddata.NDData(values.value, unit=source.unit, mask=source.mask if masked else None))
    else:
        raise UsageError(f"a {kind_of(source)} holds no image; give a CCDData, NDData, HDU, HDUList or Quantity")
    try:
        hdus.writeto(path, output_verify="silentfix+ignore")
    except (KeyError, TypeError, ValueError, OSError) as error:
        text = " ".join(str(error).split())[:200]
        raise FormatError(f"a {kind_of(source)} cannot be written as FITS ({text}); repair it") from error
    return path


def _from_nddata(source: Any) -> Any:  # noqa: ANN401
    """HDUs of an NDData in the layout of FITS files that the domain reads: image, MASK, FLAGS, ERR or VAR, PSF."""
    from astropy.io import fits
    from astropy.nddata import CCDData

    data, kind = np.asarray(source.data), kind_of(source)
    if data.dtype.kind not in "iuf" or (data.dtype.itemsize == 2 and data.dtype.kind == "f") or data.dtype.itemsize > 8:
        raise UsageError(f"a {kind} of {data.dtype} has no place in FITS; convert it, for example to float32")
    if source.wcs is None and not isinstance(source.meta, fits.Header):
        ask_for_dims(data.shape, "FITS has rows and columns last: use numpy.moveaxis(array, -1, 0)")
    header, tables = _header(source, kind)
    # CCDData insists on a unit; "" is none.
    frame = CCDData(data, unit=source.unit or "", meta=header, psf=source.psf if isinstance(source, CCDData) else None)
    hdus = frame.to_hdu()
    if source.unit is None:
        hdus[0].header.remove("BUNIT", ignore_missing=True)
    for name, found in (("MASK", source.mask), ("FLAGS", getattr(source, "flags", None))):
        if found is not None and (isinstance(found, np.ndarray) or name == "MASK"):
            flags = np.broadcast_to(np.asarray(found) != 0, data.shape) if name == "MASK" else np.asarray(found)
            hdus.append(fits.ImageHDU(flags.astype(np.uint8) if flags.dtype == np.bool_ else flags, name=name))
    if source.uncertainty is not None:
        hdus.append(_error(source, kind))
    hdus.extend(tables)
    return hdus


def _header(source: Any, kind: str) -> tuple[Any, list[Any]]:  # noqa: ANN401
    """Cards of the metadata with those of the WCS in place of their own, and the tables that the WCS needs."""
    from astropy.io import fits
    from astropy.nddata import CCDData
    from astropy.wcs import WCS

    from .wcs_cards import is_wcs_card

    header = CCDData([1], meta=dict(source.meta), unit="").to_hdu()[0].header if source.meta else fits.Header()
    if isinstance(source.meta, fits.Header):
        header = source.meta.copy()
    if source.wcs is None:
        return header, []
    wcs = getattr(source.wcs, "low_level_wcs", source.wcs)
    if not isinstance(wcs, WCS):
        raise UsageError(f"a {kind} with a {kind_of(wcs)} has no FITS coordinates; give an astropy.wcs.WCS")
    first, *tables = wcs.to_fits(relax=True)
    for key in [key for key in header if key and is_wcs_card(key)]:
        header.remove(key, ignore_missing=True, remove_all=True)
    for card in first.header.cards:
        if card.keyword not in ("SIMPLE", "BITPIX", "NAXIS", "EXTEND", "", "COMMENT", "HISTORY"):
            header[card.keyword] = (card.value, card.comment)
    return header, tables


def _error(source: Any, kind: str) -> Any:  # noqa: ANN401
    """The uncertainty as an extension in powers of the unit of the image."""
    from astropy.io import fits

    name = type(source.uncertainty).__name__
    if name not in _ERRORS or source.uncertainty.array is None:
        raise UsageError(
            f"a {kind} with a {name} does not say what it means; give one of {', '.join(_ERRORS)}, or none at all"
        )
    extension, power = _ERRORS[name]
    values = np.asarray(source.uncertainty.array, np.float64)
    unit = source.uncertainty.unit
    if unit is not None and source.unit is not None:
        values = values * unit.to(source.unit**power)
    if np.broadcast_shapes(values.shape, source.data.shape) != source.data.shape:
        raise UsageError(f"a {kind} of shape {source.data.shape} has a {name} of shape {values.shape}; make them one")
    values = np.broadcast_to(values, source.data.shape)
    return fits.ImageHDU(np.array(values), name=extension)


def take_up(kind: str, paths: Sequence[Path]) -> object:
    """See `gensr.scenes.domain.Domain.take_up`: a CCDData, or the HDUList of the mean with all that belongs to it.

    A CCDData without a unit says that its numbers have none (``dimensionless``), because the class wants one.
    """
    from astropy.io import fits
    from astropy.nddata import CCDData

    with fits.open(paths[0], memmap=False) as hdus:
        for hdu in hdus:
            _ = hdu.data  # read now: the file goes
        if kind == "hdulist":
            return fits.HDUList([hdu.copy() for hdu in hdus])
        unit = None if hdus[0].header.get("BUNIT", "") else ""
    return CCDData.read(paths[0], unit=unit)
