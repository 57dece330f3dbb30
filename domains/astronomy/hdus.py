"""Which HDU is the image, and which ones belong to it: errors, flags, weights, point-spread function, lookup tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gensr.errors import FormatError

from .container import Layer

ERROR = {"ERR", "ERROR", "UNCERT", "UNCERTAINTY", "SIGMA", "STD", "STDDEV", "RMS", "NOISE"}
VARIANCE = {"VAR", "VARIANCE", "STAT"}
INVERSE_VARIANCE = {"IVAR", "INVVAR", "IVM"}
WEIGHT = {
    "WHT",
    "WEIGHT",
    "EXP",
    "EXPMAP",
    "TIME",
    "SAMP",
    "CON",
    "CTX",
    "NDATA",
    "VAR_POISSON",
    "VAR_RNOISE",
    "VAR_FLAT",
}
FLAGS = {"DQ", "MASK", "FLAGS", "FLAG", "BPM", "QUALITY", "IMASK"}
PSF = {"PSF", "PSFIMAGE"}
LOOKUP = {"WCSDVARR", "D2IMARR"}


@dataclass(frozen=True)
class Companions:
    """HDUs that describe the chosen image.

    Attributes:
        noise: an error, variance or inverse variance map of the same shape, None if there is none.
        flags: an integer map of the same shape (or of one plane) whose bits say what is wrong with a pixel.
        kept: maps of the same shape that are kept on the original grid (weights, variance parts, and ``noise``).
        psf: point-spread function.
        lookup: distortion tables.
        tables: binary and ASCII tables.
        left: everything else, with the reason it is not copied.
    """

    noise: Layer | None
    flags: Layer | None
    kept: tuple[Layer, ...]
    psf: Layer | None
    lookup: tuple[Layer, ...]
    tables: tuple[Layer, ...]
    left: tuple[tuple[Layer, str], ...]


def is_image(layer: Layer) -> bool:
    """True for pixels of two or more axes."""
    return layer.kind in ("image", "compressed") and len(layer.shape) >= 2


def choose(layers: Sequence[Layer], option: int | str | None, file: str) -> Layer:
    """The image HDU to refine.

    Args:
        layers: all HDUs.
        option: index, ``"NAME"`` or ``"NAME,VERSION"``; None takes the first SCI, else the first image that is no
            error map, flag map, weight, PSF or lookup table.
        file: name for messages.

    Raises:
        FormatError: if there is no such HDU or it is no image.
    """
    images = [layer for layer in layers if is_image(layer)]
    listing = ", ".join(layer.label for layer in images) or "none"
    if option is not None:
        found = _named(layers, option)
        if found is None:
            raise FormatError(f"{file}: no HDU {option!r}; images are: {listing}")
        if not is_image(found):
            raise FormatError(f"{file}: {found.label} is no image of two or more axes; images are: {listing}")
        return found
    science = [layer for layer in images if layer.name == "SCI"]
    other = ERROR | VARIANCE | INVERSE_VARIANCE | WEIGHT | FLAGS | PSF | LOOKUP | {"ASDF"}
    plain = [layer for layer in images if layer.name not in other]
    if science or plain:
        return (science or plain)[0]
    if images:
        raise FormatError(f"{file}: holds no science image, only {listing}; name one with hdu=")
    tables = sum(layer.kind == "table" for layer in layers)
    lines = sum(len(layer.shape) == 1 for layer in layers)
    held = f"{tables} table(s)" + (f" and {lines} spectrum or spectra" if lines else "")
    raise FormatError(
        f"{file}: no image to super-resolve; the file holds {held} and no HDU with two or more image axes"
    )


def _named(layers: Sequence[Layer], option: int | str) -> Layer | None:
    text = str(option).strip()
    if text.lstrip("-").isdigit():
        index = int(text)
        return layers[index] if 0 <= index < len(layers) else None
    name, _, version = text.upper().partition(",")
    for layer in layers:
        if layer.name == name.strip() and (not version.strip() or str(layer.version) == version.strip()):
            return layer
    return None


def companions(layers: Sequence[Layer], chosen: Layer) -> Companions:
    """Sort the other HDUs by what they mean for the chosen one (same EXTVER, same shape)."""
    noise: Layer | None = None
    flags: Layer | None = None
    psf: Layer | None = None
    kept, lookup, tables = [], [], []
    left: list[tuple[Layer, str]] = []
    for layer in layers:
        if layer is chosen or layer.kind == "empty":
            continue
        mine = layer.version == chosen.version or chosen.name in ("PRIMARY", "")
        same = is_image(layer) and layer.shape == chosen.shape and mine
        if layer.name == "ASDF":
            left.append((layer, "its GWCS describes the coarse grid; the FITS header's WCS is kept and refined"))
        elif layer.kind == "table":
            tables.append(layer)
        elif layer.name in LOOKUP:
            lookup.append(layer)
        elif layer.name in PSF and is_image(layer) and len(layer.shape) == 2 and psf is None:
            psf = layer
        elif layer.name in FLAGS and _is_flags(layer, chosen) and mine and flags is None:
            flags = layer
        elif layer.name in ERROR | VARIANCE | INVERSE_VARIANCE and same:
            kept.append(layer)
            noise = noise or layer
        elif layer.name in WEIGHT and same:
            kept.append(layer)
        elif is_image(layer) and layer.shape == chosen.shape and layer.name == chosen.name:
            left.append((layer, f"another {layer.name}; choose it with hdu={layer.index}"))
        else:
            left.append((layer, "not part of the chosen image"))
    # Hubble files carry WCSDVARR and tables for all chips; only what the header names is looked up later.
    return Companions(noise, flags, tuple(kept), psf, tuple(lookup), tuple(tables), tuple(left))


def _is_flags(layer: Layer, chosen: Layer) -> bool:
    return is_image(layer) and layer.bitpix > 0 and layer.shape in (chosen.shape, chosen.shape[-2:])
