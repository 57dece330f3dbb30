"""Optics before the detector: a point spread function on the high-resolution grid, then pixel integration."""

from __future__ import annotations

import hashlib
import math
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gensr.errors import UsageError
from gensr.operators.base import Operator
from gensr.operators.boundary import fold, pad
from gensr.operators.separable import Area, FloatArray, SeparableOperator
from gensr.values.grid import Factor, as_factor

WIDTHS = 4
"""A Gaussian is cut at this many standard deviations (6e-5 of its sum lies beyond)."""
LARGEST_SIDE = 1001
"""Longest side of a measured kernel, pixels."""


class GaussianPSF(SeparableOperator):
    """Gaussian optics of width ``sigma``, then pixel integration.

    The Gaussian is sampled on the high-resolution grid. ``sigma = 0`` is `Area`.

    Args:
        factor: refinement, an integer or (rows, cols).
        sigma: standard deviation in low-resolution pixels, 0 to 8.
        total: sum over the block instead of the mean (flux per pixel).

    Raises:
        UsageError: for a width outside that range.
    """

    def __init__(self, factor: int | Factor, sigma: float, total: bool = False) -> None:
        if not (math.isfinite(sigma) and 0 <= sigma <= 8):
            raise UsageError(f"PSF width sigma={sigma} is not between 0 and 8 low-resolution pixels")
        self.sigma = float(sigma)
        super().__init__(factor, total)

    @classmethod
    def from_mtf(cls, factor: int | Factor, mtf: float, total: bool = False) -> Self:
        """Width from the modulation transfer ``mtf`` of the whole system at the low-resolution Nyquist frequency.

        The pixel itself transfers 2/pi there, so the optics transfer ``mtf pi/2 = exp(-pi^2 sigma^2 / 2)``.

        Args:
            factor: refinement, an integer or (rows, cols).
            mtf: above 0.05, at most 2/pi = 0.637; for example 0.26 for Sentinel-2 B2.
            total: see `GaussianPSF`.

        Raises:
            UsageError: for an impossible value.

        >>> round(GaussianPSF.from_mtf(4, 0.26).sigma, 3)
        0.426
        """
        if not 0.05 < mtf <= 2 / math.pi:
            raise UsageError(
                f"MTF at Nyquist {mtf} is not between 0.05 and {2 / math.pi:.3f}, the transfer of the pixel alone"
            )
        return cls(factor, math.sqrt(max(-2 * math.log(mtf * math.pi / 2), 0.0)) / math.pi, total)

    def kernel(self, s: int) -> FloatArray:
        """See `SeparableOperator.kernel`."""
        width = self.sigma * s
        radius = math.ceil(WIDTHS * width)
        taps = np.arange(-radius, radius + 1)
        optics = np.exp(-0.5 * (taps / width) ** 2) if width > 0 else np.ones(1)
        return np.convolve(optics, np.ones(s))

    def describe(self) -> dict[str, Any]:
        """See `Operator.describe`."""
        return {
            "name": "gaussian",
            "factor": list(self.factor),
            "sigma": self.sigma,
            "total": self.total,
        }


class MeasuredPSF(Operator):
    """Any point spread function of the optics on the high-resolution grid, then pixel integration.

    Convolution by FFT of the reflected image, so the cost hardly depends on the size of the kernel; the adjoint folds
    the reflection back and is exact. A point source at a pixel becomes the kernel centred on that pixel.

    Args:
        factor: refinement, an integer or (rows, cols).
        psf: finite, positive sum; centre in the middle (of even sides: where the centroid says), sampled at the
            *high-resolution* pixel. Normalised to sum 1.
        total: sum over the block instead of the mean (flux per pixel).

    Raises:
        UsageError: for an array that is no such kernel.
    """

    def __init__(self, factor: int | Factor, psf: npt.ArrayLike, total: bool = False) -> None:
        self.factor = as_factor(factor)
        self.total = total
        self._area = Area(self.factor, total)
        self.psf = _checked_psf(psf)
        self.psf.setflags(write=False)
        self._margins = (self.psf.shape[0] // 2, self.psf.shape[1] // 2)
        self.reach = max(math.ceil(m / s) for m, s in zip(self._margins, self.factor, strict=True))
        self._bytes = self.psf.tobytes()

    @classmethod
    def load(cls, factor: int | Factor, path: Path, total: bool = False) -> Self:
        """Read the kernel from a ``.npy`` file.

        Raises:
            UsageError: for a file that is missing, damaged or holds no kernel; the message names it.
        """
        try:
            # Mapped, not read: numpy then compares the claimed shape with the size of the file first.
            mapped: npt.NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
            if not isinstance(mapped, np.ndarray):
                raise ValueError("an archive of arrays")
        except (OSError, ValueError, EOFError, OverflowError, MemoryError) as error:
            raise UsageError(f"{path} cannot be read as a PSF ({error}); give a .npy file with a 2-D array") from error
        try:
            return cls(factor, mapped, total)
        except UsageError as error:
            raise UsageError(f"{path}: {error}") from error

    @property
    def gain(self) -> float:
        """See `Operator.gain`."""
        return self._area.gain

    def forward(self, x: Tensor) -> Tensor:
        """See `Operator.forward`."""
        self.check_input(x)
        return self._area.forward(self._blurred(x)).to(x.dtype)

    def adjoint(self, y: Tensor) -> Tensor:
        """See `Operator.adjoint`."""
        return self._spread(self._area.adjoint(y.to(_fft_dtype(y.dtype)))).to(y.dtype)

    def _blurred(self, x: Tensor) -> Tensor:
        """The reflected image, convolved."""
        work = x.to(_fft_dtype(x.dtype))
        my, mx = self._margins
        padded = pad(work, self._margins)
        size = (_fast(padded.shape[-2]), _fast(padded.shape[-1]))
        spectrum = torch.fft.rfft2(padded, s=size) * self._transfer(size, work)
        blurred: Tensor = torch.fft.irfft2(spectrum, s=size)
        return blurred[..., my : my + x.shape[-2], mx : mx + x.shape[-1]]

    def _spread(self, fine: Tensor) -> Tensor:
        """The adjoint of `_blurred`."""
        my, mx = self._margins
        rows, cols = fine.shape[-2] + 2 * my, fine.shape[-1] + 2 * mx
        size = (_fast(rows), _fast(cols))
        framed = torch.nn.functional.pad(fine, (mx, size[1] - mx - fine.shape[-1], my, size[0] - my - fine.shape[-2]))
        spectrum = torch.fft.rfft2(framed) * self._transfer(size, fine).conj()
        return fold(torch.fft.irfft2(spectrum, s=size)[..., :rows, :cols], self._margins)

    def _transfer(self, size: tuple[int, int], like: Tensor) -> Tensor:
        return _transfer(self.psf.shape, self._bytes, size, like.dtype, like.device)

    def describe(self) -> dict[str, Any]:
        """See `Operator.describe`."""
        return {
            "name": "psf",
            "factor": list(self.factor),
            "size": list(self.psf.shape),
            "sha256": hashlib.sha256(self._bytes).hexdigest(),
            "total": self.total,
        }


class PixelResponse(MeasuredPSF):
    """What a pixel sees, optics and its own area together: as PSFs are measured on stars, or made for a detector.

    Every datum is the image convolved with the response, read at the middle of its block (the pixel response function
    of Kepler and Spitzer; Anderson and King 2000, doi:10.1086/316632, call it the effective PSF).

    Args:
        factor: refinement, an integer or (rows, cols).
        psf: (rows, cols) of the parity of the factor, so that its middle falls on the middle of a block, sampled at
            the *high-resolution* pixel; finite, positive sum. Normalised to sum 1.
        total: sum over the block instead of the mean (flux per pixel).

    Raises:
        UsageError: for an array that is no such kernel.
    """

    def __init__(self, factor: int | Factor, psf: npt.ArrayLike, total: bool = False) -> None:
        wanted = as_factor(factor)
        shape = np.shape(psf)
        if len(shape) == 2 and any((n - s) % 2 for n, s in zip(shape, wanted, strict=True)):
            raise UsageError(
                f"response of {shape[0]} x {shape[1]} pixels has no middle on a block of {wanted[0]} x {wanted[1]}; "
                "give sides that are even where the factor is"
            )
        super().__init__(wanted, np.pad(psf, [(0, 1 - n % 2) for n in shape]) if len(shape) == 2 else psf, total)

    def forward(self, x: Tensor) -> Tensor:
        """See `Operator.forward`."""
        self.check_input(x)
        (fy, fx), (top, left) = self.factor, self._middle
        return (self.gain * self._blurred(x)[..., top::fy, left::fx]).to(x.dtype)

    def adjoint(self, y: Tensor) -> Tensor:
        """See `Operator.adjoint`."""
        (fy, fx), (top, left) = self.factor, self._middle
        work = self.gain * y.to(_fft_dtype(y.dtype))
        fine = work.new_zeros(*y.shape[:-2], y.shape[-2] * fy, y.shape[-1] * fx)
        fine[..., top::fy, left::fx] = work
        return self._spread(fine).to(y.dtype)

    @property
    def _middle(self) -> tuple[int, int]:
        """Pixel of a block at or just before its middle: a padded kernel lies half a pixel further."""
        return (self.factor[0] - 1) // 2, (self.factor[1] - 1) // 2

    def describe(self) -> dict[str, Any]:
        """See `Operator.describe`."""
        return {**super().describe(), "name": "pixel response"}


def _checked_psf(psf: npt.ArrayLike) -> FloatArray:
    array = np.asanyarray(psf)
    if array.ndim != 2 or array.dtype.kind not in "fiu":
        raise UsageError(f"PSF of shape {array.shape} and type {array.dtype} is not a 2-D array of real numbers")
    if max(array.shape) > LARGEST_SIDE:
        raise UsageError(f"PSF of {array.shape[0]} x {array.shape[1]} pixels is larger than {LARGEST_SIDE}; crop it")
    kernel = np.array(array, np.float64)
    if not np.isfinite(kernel).all() or not kernel.sum() > 0:
        raise UsageError("PSF has values that are not finite or a sum that is not positive; repair it")
    for axis in (0, 1):
        kernel = _odd(kernel, axis)
    return np.ascontiguousarray(kernel / kernel.sum())


def _odd(kernel: FloatArray, axis: int) -> FloatArray:
    """The kernel with an odd side: a row of zeros more, and its middle at the middle of a pixel if it lay between.

    Where the middle of an even side lies, its centroid says: at pixel ``n / 2``, as transforms have it, or between two.
    """
    n = kernel.shape[axis]
    if n % 2:
        return kernel
    centroid = float((kernel.sum(1 - axis) * np.arange(n)).sum() / kernel.sum())
    widths = [(0, 0), (0, 0)]
    widths[axis] = (0, 1)
    wider = np.pad(kernel, widths)
    if centroid > (n - 1) / 2 + 0.25:
        return wider
    from scipy.ndimage import shift

    return np.asarray(shift(wider, [0.5 if i == axis else 0.0 for i in (0, 1)], order=5, mode="constant"))


@lru_cache(maxsize=16)
def _transfer(
    shape: tuple[int, ...], kernel: bytes, size: tuple[int, int], dtype: torch.dtype, device: torch.device
) -> Tensor:
    """Half-plane transfer function of the kernel centred on pixel (0, 0) of a periodic frame of ``size``."""
    psf = np.frombuffer(kernel, np.float64).reshape(shape)
    frame = np.zeros(size)
    frame[: shape[0], : shape[1]] = psf
    frame = np.roll(frame, (-(shape[0] // 2), -(shape[1] // 2)), (0, 1))
    with torch.inference_mode(False):
        spectrum: Tensor = torch.fft.rfft2(torch.from_numpy(frame))
        return spectrum.to(device=device, dtype=torch.complex128 if dtype == torch.float64 else torch.complex64)


def _fft_dtype(dtype: torch.dtype) -> torch.dtype:
    return torch.float64 if dtype == torch.float64 else torch.float32


@lru_cache(maxsize=256)
def _fast(n: int) -> int:
    """Smallest even number from ``n`` on without prime factors above 5."""
    n += n % 2
    while True:
        rest = n
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return n
        n += 2
