"""Point-spread functions: from a file, from the science file, or a Gaussian of known width; on the refined grid.

With pixel integration as the operator the reconstruction keeps the optical blur: ``y = block(K * scene)`` and
``x = K * scene``. So the PSF of the output is the optical one, integrated over a refined pixel. A PSF that the user
names is undone: it belongs to the operator, and what is left in the output is a refined pixel.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import map_coordinates, spline_filter
from scipy.special import erf

from gensr.errors import DomainError
from gensr.operators import GaussianPSF, MeasuredPSF, Operator, PixelResponse
from gensr.operators.psf import LARGEST_SIDE
from gensr.values.grid import Factor

from .container import Container, Layer
from .frame import Frame
from .roles import is_image

FWHM = 2 * math.sqrt(2 * math.log(2))
"""Full width at half maximum of a Gaussian per standard deviation."""
SIDE_LIMIT = 4096
OWN = "own"
"""The word for the PSF that the file of the image holds."""


@dataclass(frozen=True, eq=False)
class Psf:
    """What is known of the instrument's blur.

    Attributes:
        origin: in words, for header and report.
        fwhm: as seen in the source, pixel integration included, in source pixels (rows, columns); None for an image.
        image: sampled PSF, None for a Gaussian.
        oversampling: samples of ``image`` per source pixel.
        undone: whether the reconstruction undoes it, as the user asked; a PSF that only lies in the file is carried.
    """

    origin: str
    fwhm: tuple[float, float] | None
    image: npt.NDArray[np.float64] | None
    oversampling: int
    undone: bool = True

    def operator(self, factor: Factor, total: bool) -> Operator:
        """What the instrument does: optics and pixel.

        An image of a PSF includes the pixel it is sampled with, as one measured on stars or made for a detector does;
        a source pixel is ``oversampling`` such pixels side by side.
        """
        if self.image is not None:
            return PixelResponse(factor, _response(self.image, self.oversampling, factor), total)
        assert self.fwhm is not None
        down, across = (math.sqrt((f / FWHM) ** 2 - 1 / 12) for f in self.fwhm)
        if math.isclose(down, across, rel_tol=1e-3):
            return GaussianPSF(factor, math.sqrt(down * across), total)
        return MeasuredPSF(factor, self.on_grid(factor), total)

    def on_grid(self, factor: Factor) -> npt.NDArray[np.float32]:
        """PSF on the refined grid: odd sides, centred, sum 1."""
        if self.image is not None:
            return _resampled(self.image, self.oversampling, factor)
        assert self.fwhm is not None
        lines = [_gaussian(f, s) for f, s in zip(self.fwhm, factor, strict=True)]
        kernel = np.outer(*lines)
        return np.asarray(kernel / kernel.sum(), np.float32)


def find_psf(container: Container, layer: Layer | None, frame: Frame, options: Mapping[str, Any]) -> Psf | None:
    """PSF from the options, or from a PSF extension of the file.

    Args:
        container: the file of the image.
        layer: its PSF extension, if it has one.
        frame: of the image.
        options: every option of the domain.

    Raises:
        DomainError: for a width below one pixel's own, or an unusable PSF file.
    """
    over = options["psf_oversampling"]
    if isinstance(over, bool) or not isinstance(over, int) or over < 1:
        raise DomainError(f"psf_oversampling={over!r} is no positive integer: samples of the PSF per source pixel")
    if options["psf"] is not None and options["psf_fwhm"] is not None:
        raise DomainError("psf and psf_fwhm are both given; keep one")
    own = str(options["psf"]).strip().lower() == OWN
    usable = layer is not None and max(layer.shape) <= SIDE_LIMIT
    if own and not usable:
        raise DomainError(f"psf={OWN}: the file holds no PSF image of at most {SIDE_LIMIT} pixels a side; name a file")
    if options["psf"] is not None and not own:
        return _from_file(Path(str(options["psf"])), over)
    if options["psf_fwhm"] is not None:
        if over != 1:
            raise DomainError(f"psf_oversampling={over} is about a PSF image, but psf_fwhm says a width; leave one out")
        return _from_width(frame, options["psf_fwhm"])
    if layer is None or not usable:
        if over != 1:
            raise DomainError(f"psf_oversampling={over}: there is no PSF to sample; give psf= as well")
        return None
    values, valid = container.pixels(layer).physical(np.s_[:, :])
    return Psf(f"{layer.name} of the source", None, _clean(np.where(valid, values, 0), layer.label), over, own)


def _from_file(path: Path, over: int) -> Psf:
    if not path.is_file():
        raise DomainError(f"psf={path}: no such file; give a FITS or NPY file with the PSF, or psf={OWN}")
    if path.suffix.lower() == ".npy":
        return Psf(_said(path, over), None, _clean(_from_array(path), path.name), over)
    container = Container(path)
    try:
        layer = next((x for x in container.layers if is_image(x) and len(x.shape) == 2), None)
        if layer is None or max(layer.shape) > SIDE_LIMIT:
            raise DomainError(f"{path.name}: holds no 2-D PSF image of at most {SIDE_LIMIT} pixels a side")
        values, valid = container.pixels(layer).physical(np.s_[:, :])
    finally:
        container.close()
    return Psf(_said(path, over), None, _clean(np.where(valid, values, 0), path.name), over)


def _said(path: Path, over: int) -> str:
    return f"file {path.name}, {over} samples per source pixel"


def _from_array(path: Path) -> npt.NDArray[Any]:
    try:
        # Mapped, not read: numpy then compares the claimed shape with the size of the file first.
        mapped: npt.NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        good = isinstance(mapped, np.ndarray) and mapped.ndim == 2 and mapped.dtype.kind in "fiu"
    except (OSError, ValueError, EOFError, OverflowError, MemoryError) as error:
        raise DomainError(
            f"{path.name} cannot be read as a PSF ({error}); give a .npy file with a 2-D array"
        ) from error
    if not good or max(mapped.shape) > SIDE_LIMIT:
        raise DomainError(f"{path.name}: holds no 2-D PSF of at most {SIDE_LIMIT} pixels a side")
    return np.where(np.isfinite(mapped), mapped, 0)


def _clean(values: npt.NDArray[Any], name: str) -> npt.NDArray[np.float64]:
    wide = values.astype(np.float64)
    if not wide.sum() > 0 or min(wide.shape) < 3:
        raise DomainError(
            f"{name}: PSF of shape {wide.shape} with sum {wide.sum():g} is none; expected a positive image"
        )
    return np.asarray(wide / wide.sum(), np.float64)


def _from_width(frame: Frame, option: Any) -> Psf:  # noqa: ANN401
    text = str(option).strip().lower()
    angular = text.endswith("arcsec")
    try:
        width = float(text.removesuffix("arcsec"))
    except ValueError:
        width = math.nan
    if not (math.isfinite(width) and width > 0):
        raise DomainError(f"psf_fwhm={option!r} is no width; give source pixels (2.1) or an angle (0.8arcsec)")
    if angular and frame.pixel_size is None:
        raise DomainError(f"psf_fwhm={option!r} is an angle, but the image has no sky coordinates; give pixels")
    size = frame.pixel_size if angular and frame.pixel_size else (1.0, 1.0)
    fwhm = (width / size[0], width / size[1])
    if min(fwhm) <= FWHM * math.sqrt(1 / 12):
        raise DomainError(f"psf_fwhm={option!r} is {min(fwhm):.3g} pixels, below the width of a pixel itself (0.68)")
    return Psf(f"Gaussian, FWHM {fwhm[0]:.4g} x {fwhm[1]:.4g} source pixels", fwhm, None, 1)


def _gaussian(fwhm: float, s: int) -> npt.NDArray[np.float64]:
    """Gaussian of the optics, integrated over refined pixels; the source pixel's own 1/12 is taken out first."""
    sigma = math.sqrt((fwhm / FWHM) ** 2 - 1 / 12) * s
    half = max(1, math.ceil(5 * sigma))
    edges = np.arange(-half - 0.5, half + 1.0)
    return np.asarray(np.diff(erf(edges / (sigma * math.sqrt(2)))) / 2, np.float64)


def _response(image: npt.NDArray[np.float64], over: int, factor: Factor) -> npt.NDArray[np.float64]:
    """What a source pixel sees, on the refined grid: sides of the parity of the factor, sum 1."""
    rows, cols = image.shape
    centre = [float((np.arange(n) * image.sum(1 - axis)).sum()) for axis, n in enumerate((rows, cols))]
    places = []
    for n, c, s in zip((rows, cols), centre, factor, strict=True):
        count = min(int(2 * min(c, n - 1 - c) * s / over) + s, LARGEST_SIDE)
        count -= (count - s) % 2
        places.append(c + (np.arange(count) - (count - 1) / 2) * over / s)
    smooth = spline_filter(image, order=5, mode="constant")
    kernel = np.zeros((len(places[0]), len(places[1])))
    shares = np.arange(over) - (over - 1) / 2
    for down in shares:
        for across in shares:
            at = np.meshgrid(places[0] + down, places[1] + across, indexing="ij")
            kernel += map_coordinates(smooth, at, order=5, mode="constant", prefilter=False)
    return np.asarray(kernel / kernel.sum(), np.float64)


def _resampled(image: npt.NDArray[np.float64], over: int, factor: Factor) -> npt.NDArray[np.float32]:
    rows, cols = image.shape
    centre = [float((np.arange(n) * image.sum(1 - axis)).sum()) for axis, n in enumerate((rows, cols))]
    places = []
    for n, c, s in zip((rows, cols), centre, factor, strict=True):
        half = max(1, int(min(c, n - 1 - c) * s / over))
        places.append(c + np.arange(-half, half + 1) * over / s)
    kernel = map_coordinates(image, np.meshgrid(*places, indexing="ij"), order=3, mode="constant")
    return np.asarray(kernel / kernel.sum(), np.float32)
