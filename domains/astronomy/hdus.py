"""Which HDU is the image, and which ones belong to it: errors, flags, weights, point-spread function, lookup tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gensr.errors import FormatError

from .container import Layer
from .roles import NOISE, Role, Said, belongs, is_image, roles


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
        said: what every HDU of the file is.
    """

    noise: Layer | None
    flags: Layer | None
    kept: tuple[Layer, ...]
    psf: Layer | None
    lookup: tuple[Layer, ...]
    tables: tuple[Layer, ...]
    left: tuple[tuple[Layer, str], ...]
    said: tuple[Said, ...]

    @property
    def noise_role(self) -> Role:
        """What ``noise`` holds; `Role.UNKNOWN` where there is none."""
        return Role.UNKNOWN if self.noise is None else self.said[self.noise.index].role

    def title(self, layer: Layer) -> str:
        """EXTNAME of a companion, or what it is in one word."""
        return layer.name or self.said[layer.index].role.name


def choose(layers: Sequence[Layer], option: int | str | None, file: str) -> Layer:
    """The image HDU to refine.

    Args:
        layers: all HDUs.
        option: index, ``"NAME"`` or ``"NAME,VERSION"``; None takes the first that is said to be science, else the
            first of which nothing is said, else a map of labels (see `gensr.domains.astronomy.roles`).
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
    said = roles(layers)
    for wanted in (Role.SCIENCE, Role.UNKNOWN, Role.LABELS):
        found = next((layer for layer in images if said[layer.index].role is wanted), None)
        if found is not None:
            return found
    if images:
        raise FormatError(f"{file}: holds no science image, only {listing}; name one with hdu=")
    tables = sum(layer.kind == "table" for layer in layers)
    lines = sum(len(layer.shape) == 1 for layer in layers)
    held = f"{tables} table(s)" + (f" and {lines} spectrum or spectra" if lines else "")
    raise FormatError(
        f"{file}: no image to super-resolve; the file holds {held} and no HDU with two or more image axes"
    )


def science(layers: Sequence[Layer], file: str) -> list[Layer]:
    """Every image that is one of the sky: those that say so, else those of the shape of the one that is chosen.

    Raises:
        FormatError: there is none.
    """
    first, said = choose(layers, None, file), roles(layers)
    role = said[first.index].role
    return [
        layer
        for layer in layers
        if is_image(layer) and said[layer.index].role is role and (role is Role.SCIENCE or layer.shape == first.shape)
    ]


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
    """Sort the other HDUs by what they mean for the chosen one; see `gensr.domains.astronomy.roles`."""
    said = roles(layers)
    noise: Layer | None = None
    flags: Layer | None = None
    psf: Layer | None = None
    kept, lookup, tables = [], [], []
    left: list[tuple[Layer, str]] = []
    for layer in layers:
        role = said[layer.index].role
        if layer is chosen or layer.kind == "empty":
            continue
        mine = is_image(layer) and belongs(layer, chosen, layers, said)
        same = mine and layer.shape == chosen.shape
        if role is Role.GWCS:
            left.append((layer, "its GWCS describes the coarse grid; the FITS header's WCS is kept and refined"))
        elif role is Role.TABLE:
            tables.append(layer)
        elif role is Role.LOOKUP:
            lookup.append(layer)
        elif role is Role.PSF and is_image(layer) and len(layer.shape) == 2 and psf is None:
            psf = layer
        elif role is Role.FLAGS and _is_flags(layer, chosen) and mine and flags is None:
            flags = layer
        elif role in NOISE and same:
            kept.append(layer)
            noise = noise or layer
        elif role is Role.WEIGHT and same:
            kept.append(layer)
        else:
            left.append((layer, _why_left(layer, chosen, said)))
    # Hubble files carry WCSDVARR and tables for all chips; only what the header names is looked up later.
    return Companions(noise, flags, tuple(kept), psf, tuple(lookup), tuple(tables), tuple(left), said)


def _why_left(layer: Layer, chosen: Layer, said: Sequence[Said]) -> str:
    role = said[layer.index].role
    if is_image(layer) and layer.shape == chosen.shape and role in (Role.SCIENCE, Role.UNKNOWN):
        return f"another image{f' ({layer.name})' if layer.name else ''}; choose it with hdu={layer.index}"
    if role is Role.LABELS:
        return "labels of sources on the coarse grid"
    return "not part of the chosen image"


def _is_flags(layer: Layer, chosen: Layer) -> bool:
    return is_image(layer) and layer.bitpix > 0 and layer.shape in (chosen.shape, chosen.shape[-2:])
