"""What every HDU of a file is: an image, its noise in four spellings, flags, weights, labels, tables.

Nobody says it in one way. Asked in this order, and the first that answers decides:

* ``UTYPE`` of `astropy.nddata.CCDData`: the name of its uncertainty class;
* ``EXTTYPE`` of Rubin and HSC (lsst.afw, ``MaskedImage.writeFits``), and their ``MP_*`` cards on a mask;
* ``HDUCLAS2`` and ``HDUCLAS3`` of ESO (VLT-SPE-ESO-19500-5667): DATA, ERROR in four forms, QUALITY;
* ``EXTNAME``, alone (``ERR``) or behind the name of the image that it belongs to (``CCD1.RMS``, ``IFU.1.NOISE``);
* the order, for files of Rubin before they named anything: image, mask with ``MP_*`` cards, variance.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt

from .container import Layer


class Role(Enum):
    """What the pixels of an HDU mean."""

    SCIENCE = "image"
    ERROR = "standard deviation"
    VARIANCE = "variance"
    INVERSE_VARIANCE = "inverse variance"
    INVERSE_ERROR = "inverse standard deviation"
    WEIGHT = "weight"
    FLAGS = "flags"
    LABELS = "labels"
    PSF = "point-spread function"
    LOOKUP = "distortion table"
    GWCS = "GWCS"
    TABLE = "table"
    UNKNOWN = "unknown"


NOISE = frozenset((Role.ERROR, Role.VARIANCE, Role.INVERSE_VARIANCE, Role.INVERSE_ERROR))
"""Roles that say how noisy every pixel is."""
_NAMES = {
    Role.SCIENCE: ("SCI",),
    Role.ERROR: ("ERR", "ERROR", "UNCERT", "UNCERTAINTY", "SIGMA", "STD", "STDEV", "STDDEV", "RMS", "NOISE"),
    Role.VARIANCE: ("VAR", "VARIANCE", "STAT"),
    Role.INVERSE_VARIANCE: ("IVAR", "INVVAR", "IVM"),
    Role.WEIGHT: (
        *("WHT", "WEIGHT", "EXP", "EXPMAP", "COVERAGE", "COV", "TIME", "SAMP", "CON", "CTX", "NDATA", "AREA"),
        *("VAR_POISSON", "VAR_RNOISE", "VAR_FLAT"),
    ),
    Role.FLAGS: ("DQ", "MASK", "FLAGS", "FLAG", "FLG", "BPM", "QUALITY", "QUAL", "IMASK"),
    Role.LABELS: ("SEG", "SEGM", "SEGMAP", "SEGMENT", "SEGMENTS", "SEGMENTATION", "LABEL", "LABELS"),
    Role.PSF: ("PSF", "PSFIMAGE"),
    Role.LOOKUP: ("WCSDVARR", "D2IMARR"),
    Role.GWCS: ("ASDF",),
}
_BY_NAME = {name: role for role, names in _NAMES.items() for name in names}
_IMAGE_WORDS = frozenset(("SCI", "DATA", "IMAGE", "SIGNAL", "FLUX"))
_EXTTYPE = {"IMAGE": Role.SCIENCE, "MASK": Role.FLAGS, "VARIANCE": Role.VARIANCE}
_UTYPE = {
    "STDDEVUNCERTAINTY": Role.ERROR,
    "VARIANCEUNCERTAINTY": Role.VARIANCE,
    "INVERSEVARIANCE": Role.INVERSE_VARIANCE,
    "UNKNOWNUNCERTAINTY": Role.WEIGHT,
}
_ESO_ERROR = {
    "": Role.ERROR,
    "RMSE": Role.ERROR,
    "MSE": Role.VARIANCE,
    "INVMSE": Role.INVERSE_VARIANCE,
    "INVRMSE": Role.INVERSE_ERROR,
}
_LAST_WORD = re.compile(r"^(.+)[._\- ]([A-Z0-9]+)$")


@dataclass(frozen=True)
class Said:
    """What an HDU is.

    Attributes:
        role: what its pixels mean.
        by: who says so, in words.
        stem: name of the image that it belongs to, "" where the name does not tell.
    """

    role: Role
    by: str
    stem: str = ""


def is_image(layer: Layer) -> bool:
    """True for pixels of two or more axes."""
    return layer.kind in ("image", "compressed") and len(layer.shape) >= 2


def roles(layers: Sequence[Layer]) -> tuple[Said, ...]:
    """What every HDU of a file is, in their order.

    >>> from astropy.io import fits
    >>> err = Layer(1, "CCD1.RMS", 1, fits.Header(), "image", (4, 4), -32, 0, 64)
    >>> roles([err])
    (Said(role=<Role.ERROR: 'standard deviation'>, by='EXTNAME CCD1.RMS', stem='CCD1'),)
    """
    found: list[Said] = []
    for layer in layers:
        said = _role(layer)
        if said.role is Role.UNKNOWN and not layer.name and found and _follows_mask(layer, layers, found):
            said = Said(Role.VARIANCE, "its place behind a mask with MP_ cards")
        found.append(said)
    return tuple(found)


def deviation(role: Role, stored: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Standard deviations from a map of noise; NaN where it says nothing (not finite, zero or less).

    Args:
        role: one of `NOISE`.
        stored: physical values of the map.

    >>> deviation(Role.INVERSE_VARIANCE, np.array([4.0, 0.0]))
    array([0.5, nan])
    """
    wide = stored.astype(np.float64)
    wide = np.where(np.isfinite(wide) & (wide > 0), wide, np.nan)
    if role is Role.VARIANCE:
        return np.sqrt(wide)
    if role is Role.INVERSE_VARIANCE:
        return np.asarray(1 / np.sqrt(wide), np.float64)
    return np.asarray(1 / wide if role is Role.INVERSE_ERROR else wide, np.float64)


def belongs(layer: Layer, chosen: Layer, layers: Sequence[Layer], said: Sequence[Said]) -> bool:
    """Whether a companion describes the chosen image and not another one of the file.

    A name that begins with that of an image, ``SCIDATA`` of ESO and ``EXTVER`` tell; where they do not, and there are
    as many companions of the kind as images, a companion belongs to the image before it.

    Args:
        layer: the companion.
        chosen: the image.
        layers: of the file.
        said: see `roles`.
    """
    named = _text(layer.header, "SCIDATA")
    rivals = [
        x
        for x, s in zip(layers, said, strict=True)
        if is_image(x) and (x is chosen or s.role in (Role.SCIENCE, Role.UNKNOWN))
        if x.shape == chosen.shape and _claims(x, layer, said)
    ]
    if named:
        return named == chosen.name and chosen in rivals
    if chosen not in rivals:
        return False
    own = said[layer.index]
    alike = [x for x, s in zip(layers, said, strict=True) if (s.role, s.stem, x.version) == _key(own, layer)]
    if len(rivals) == 1 or len(alike) < len(rivals):
        return True
    before = [x for x in rivals if x.index < layer.index]
    return (before[-1] if before else rivals[0]) is chosen


def _key(said: Said, layer: Layer) -> tuple[Role, str, int]:
    return said.role, said.stem, layer.version


def _claims(image: Layer, layer: Layer, said: Sequence[Said]) -> bool:
    """Whether names and versions let a companion belong to an image."""
    stem = said[layer.index].stem
    if stem and stem not in (said[image.index].stem, image.name):
        return False
    return image.version == layer.version or image.name in ("PRIMARY", "")


def _role(layer: Layer) -> Said:
    if layer.kind == "table":
        return Said(Role.GWCS if layer.name == "ASDF" else Role.TABLE, "a table")
    stem, word = _split(layer.name)
    for card, found in (("UTYPE", _UTYPE), ("EXTTYPE", _EXTTYPE)):
        text = _text(layer.header, card)
        if text in found:
            return Said(found[text], f"{card} {text}", stem)
    if any(str(key).startswith("MP_") for key in layer.header) and layer.bitpix > 0:
        return Said(Role.FLAGS, "MP_ cards", stem)
    eso = _eso(layer.header)
    if eso is not None:
        return Said(eso[0], eso[1], stem)
    if layer.name in _BY_NAME:
        return Said(_BY_NAME[layer.name], f"EXTNAME {layer.name}")
    if word in _BY_NAME:
        return Said(_BY_NAME[word], f"EXTNAME {layer.name}", stem)
    return Said(Role.UNKNOWN, "nothing", stem)


def _eso(header: Any) -> tuple[Role, str] | None:  # noqa: ANN401
    if _text(header, "HDUCLASS") != "ESO" or _text(header, "HDUCLAS1") != "IMAGE":
        return None
    kind, form = _text(header, "HDUCLAS2"), _text(header, "HDUCLAS3")
    by = f"HDUCLAS2 {kind} {form}".strip()
    if kind == "DATA":
        return Role.SCIENCE, by
    if kind == "ERROR" and form in _ESO_ERROR:
        return _ESO_ERROR[form], by
    if kind == "QUALITY":
        # MASKONE marks the good pixels: not a map of flags.
        return (Role.WEIGHT if form == "MASKONE" else Role.FLAGS), by
    return None


def _split(name: str) -> tuple[str, str]:
    """Name of the image and word of the role, "" each where there is none."""
    match = _LAST_WORD.match(name)
    if match is None or name in _BY_NAME or not (match[2] in _BY_NAME or match[2] in _IMAGE_WORDS):
        return "", ""
    return match[1], match[2]


def _follows_mask(layer: Layer, layers: Sequence[Layer], found: Sequence[Said]) -> bool:
    before = layers[len(found) - 1]
    return (
        is_image(layer)
        and layer.bitpix < 0
        and layer.shape == before.shape
        and found[-1].role is Role.FLAGS
        and any(str(key).startswith("MP_") for key in before.header)
    )


def _text(header: Any, key: str) -> str:  # noqa: ANN401
    value = header.get(key)
    return value.strip().upper() if isinstance(value, str) else ""
