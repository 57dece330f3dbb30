"""Arrays that FITS calls images and that are none of the sky: mosaics of a colour filter array, rows of spectra."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from gensr.errors import DomainError

from .container import Layer
from .roles import is_image

_MOSAIC = ("BAYERPAT", "COLORTYP", "CFAPAT", "CFA-PAT", "CFATYPE")
"""SBFITSEXT 1.0, MaxIm DL, N.I.N.A., ASIAIR, SharpCap: pattern of the colour filters."""
_PATTERN = re.compile(r"(?i)^\s*([RGBCMYW]{4}|[RGBCMYW]{2}/[RGBCMYW]{2}|CFA|BAYER.*|XTRANS|X-TRANS)\s*$")
_FIBRES = re.compile(r"^(.*[_.])?(FIBERMAP|PLUGMAP|FIBTAB|FIBRETABLE|FIBRE_TABLE|SLITMAP|FIBERTAB|FIBINFO)$")
_WAVELENGTHS = re.compile(r"^(.*[_. ])?(WAVE|WAVELENGTH|WAVELENGTHS|LAMBDA|LOGLAM|LOGLAMBDA|LAM)$")


def refuse_mosaic(header: Any, shape: tuple[int, ...]) -> None:  # noqa: ANN401
    """Refuse the raw frame of a colour camera: neighbours see different colours.

    Raises:
        DomainError: a card names the pattern of its filters.
    """
    for key in _MOSAIC:
        value = header.get(key)
        if len(shape) == 2 and isinstance(value, str) and _PATTERN.match(value):
            raise DomainError(
                f"{key} = {value.strip()!r}: the raw frame of a colour camera, whose neighbouring pixels see different "
                f"colours; debayer it first (Siril, AstroPixelProcessor, PixInsight), or delete {key} if that was done"
            )


def refuse_spectra(layers: Sequence[Layer], chosen: Layer, header: Any) -> None:  # noqa: ANN401
    """Refuse spectra that lie side by side in an array: fibres are no neighbours.

    DESI frames, SDSS spPlate, LAMOST, row-stacked spectra of fibre units, and IRAF's multispec.

    Raises:
        DomainError: another HDU or a card says so.
    """
    if len(chosen.shape) != 2:
        return
    why = ""
    if "COEFF0" in header and "COEFF1" in header:
        why = "COEFF0 and COEFF1 give the wavelengths of its columns"
    elif "APNUM1" in header or re.search(r"system=(multi|equi)spec", str(header.get("WAT0_001", ""))):
        why = "IRAF calls it multispec"
    for layer in layers:
        table = layer.kind == "table" and _FIBRES.match(layer.name)
        if table and int(layer.header.get("NAXIS2", 0) or 0) in chosen.shape:
            why = f"{layer.label} lists the fibres of its rows"
        line = layer.kind in ("image", "compressed") and not is_image(layer) and _WAVELENGTHS.match(layer.name)
        if line and layer.shape[0] in chosen.shape:
            why = f"{layer.label} holds the wavelengths of its columns"
    if why:
        raise DomainError(
            f"{chosen.label} holds {chosen.shape[0]} spectra side by side, no image ({why}); gensr refines images of "
            "the sky: keep the spectra as they are"
        )
