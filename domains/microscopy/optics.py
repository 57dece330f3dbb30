"""The width of a microscope's point-spread function: from aperture and wavelength in OME, or as the user measured it.

A Gaussian fits the lateral PSF of a wide-field microscope within a few percent up to apertures of 1.2, with
``sigma = 0.21 wavelength / NA`` (Zhang, Zerubia and Olivo-Marin 2007, doi:10.1364/AO.46.001819); a confocal one with a
small pinhole sees the product of what excites and what is detected.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gensr.errors import DomainError
from gensr.operators import Area, GaussianPSF, Operator
from gensr.values.grid import Factor

from .units import micrometres, positive

OWN = "own"
FWHM = 2 * math.sqrt(2 * math.log(2))
"""Of a Gaussian, standard deviations."""
WIDEFIELD = 0.21
"""Standard deviation, wavelengths over the numerical aperture."""
CONFOCAL = ("LaserScanningConfocalMicroscopy", "SpinningDiskConfocal", "SlitScanConfocal", "SweptFieldConfocal")
WIDE = ("", "WideField", "Other")
ALIKE = 0.03
"""Widths of channels, and of rows and columns, may differ by so much of one another."""


@dataclass(frozen=True)
class Optics:
    """A Gaussian of the optics alone, before the pixel integrates.

    Attributes:
        sigma: standard deviation, source pixels.
        origin: where it comes from, for reports.
    """

    sigma: float
    origin: str

    def operator(self, factor: Factor) -> Operator:
        """The instrument: optics, then pixels."""
        return GaussianPSF(factor, self.sigma)


def operator_of(optics: Optics | None, factor: Factor) -> Operator:
    """Of a scene whose optics are to be undone, or are not."""
    return optics.operator(factor) if optics else Area(factor)


def find_optics(ome: Any, pixel: tuple[float | None, float | None], options: Mapping[str, Any]) -> Optics | None:  # noqa: ANN401
    """The optics that options ask to be undone.

    Args:
        ome: the Image element of OME-XML, None for files without.
        pixel: size of (rows, cols), micrometres.
        options: of the domain: ``psf`` (None or "own") and ``psf_fwhm``.

    Raises:
        DomainError: impossible options, or a file that does not say what they need.
    """
    psf, width = options["psf"], options["psf_fwhm"]
    if psf is not None and width is not None:
        raise DomainError("psf and psf_fwhm are both given; keep one")
    if width is not None:
        return _of_width(width, pixel)
    if psf is None or str(psf).strip().lower() == "none":
        return None
    if str(psf).strip().lower() != OWN:
        raise DomainError(
            f"psf={psf!r}: expected {OWN} (from aperture and wavelength in OME); for a measured kernel on the output's "
            "pixels use operator=psf:FILE, for a width psf_fwhm="
        )
    if ome is None:
        raise DomainError(f"psf={OWN}: only OME files say aperture and wavelength; give psf_fwhm=")
    return _of_ome(ome, _square(pixel, f"psf={OWN}"))


def _of_width(option: Any, pixel: tuple[float | None, float | None]) -> Optics:  # noqa: ANN401
    text = str(option).strip()
    number = text.rstrip("abcdefghijklmnopqrstuvwxyzµμ")
    unit, width = text[len(number) :].strip(), positive(number)
    scale = micrometres(unit) if unit else 1.0
    if width is None or scale is None:
        raise DomainError(f"psf_fwhm={option!r} is no width; give source pixels (2.1) or a length (0.25um)")
    fwhm = width * scale / _square(pixel, f"psf_fwhm={text}") if unit else width
    if fwhm <= FWHM * math.sqrt(1 / 12):
        raise DomainError(f"psf_fwhm={option!r} is {fwhm:.3g} pixels, below the width of a pixel itself (0.68)")
    # As measured on beads: the pixel's own 1/12 is taken out, the operator puts it in again.
    return Optics(math.sqrt((fwhm / FWHM) ** 2 - 1 / 12), f"Gaussian, FWHM {fwhm:.4g} source pixels, of the user")


def _square(pixel: tuple[float | None, float | None], what: str) -> float:
    rows, cols = pixel
    if rows is None or cols is None:
        raise DomainError(f"{what}: the file says no pixel size; give psf_fwhm= in source pixels")
    if abs(rows - cols) > ALIKE * cols:
        raise DomainError(
            f"{what}: pixels of {rows:g} x {cols:g} um are not square, and one width fits them not; give "
            "operator=psf:FILE"
        )
    return cols


def _of_ome(image: Any, pixel: float) -> Optics:  # noqa: ANN401
    aperture = _aperture(image)
    channels = image.getElementsByTagNameNS("*", "Channel")
    widths = [_sigma(channel, aperture) for channel in channels]
    if not widths:
        raise DomainError(f"psf={OWN}: the file describes no channel; give psf_fwhm=")
    if max(widths) - min(widths) > ALIKE * max(widths):
        told = ", ".join(f"{FWHM * width:.3g}" for width in widths)
        raise DomainError(
            f"psf={OWN}: channels have PSFs of {told} um (FWHM), and one serves a run; split the channels, or give "
            "psf_fwhm="
        )
    sigma = sum(widths) / len(widths)
    return Optics(sigma / pixel, f"OME: NA {aperture:g}, FWHM of the optics {FWHM * sigma:.4g} um")


def _aperture(image: Any) -> float:  # noqa: ANN401
    root = image.ownerDocument.documentElement
    chosen = [e.getAttribute("ID") for e in image.getElementsByTagNameNS("*", "ObjectiveSettings")]
    objectives = root.getElementsByTagNameNS("*", "Objective")
    used = [e for e in objectives if e.getAttribute("ID") in chosen] if chosen else list(objectives)
    found = {positive(e.getAttribute("LensNA")) for e in used}
    if len(found) != 1 or None in found:
        said = "names no aperture" if not found or None in found else "names several objectives and not which was used"
        raise DomainError(f"psf={OWN}: the file {said} (LensNA); give psf_fwhm=")
    (aperture,) = found
    assert aperture is not None
    if not 0.01 <= aperture <= 1.75:
        raise DomainError(f"psf={OWN}: a numerical aperture of {aperture:g} is none of light; give psf_fwhm=")
    return aperture


def _sigma(channel: Any, aperture: float) -> float:  # noqa: ANN401
    name = channel.getAttribute("Name") or channel.getAttribute("ID")
    detected = WIDEFIELD * _wavelength(channel, "Emission", name) / aperture
    mode = channel.getAttribute("AcquisitionMode")
    if mode in WIDE:
        return detected
    if mode not in CONFOCAL:
        raise DomainError(f"psf={OWN}: channel {name!r} is of {mode}, whose PSF two numbers do not say; give psf_fwhm=")
    excited = WIDEFIELD * _wavelength(channel, "Excitation", name) / aperture
    return 1 / math.hypot(1 / detected, 1 / excited)


def _wavelength(channel: Any, which: str, name: str) -> float:  # noqa: ANN401
    text, unit = channel.getAttribute(f"{which}Wavelength"), channel.getAttribute(f"{which}WavelengthUnit") or "nm"
    scale, number = micrometres(unit), positive(text)
    if number is None or scale is None:
        raise DomainError(f"psf={OWN}: channel {name!r} says no {which.lower()} wavelength; give psf_fwhm=")
    if not 0.1 <= number * scale <= 3:
        raise DomainError(
            f"psf={OWN}: a wavelength of {number:g} {unit} (channel {name!r}) is none of light; give psf_fwhm="
        )
    return number * scale
