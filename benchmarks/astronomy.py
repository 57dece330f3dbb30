"""Flux arithmetic of the simulated galaxy and star fields: decoding, camera noise, stretch, aperture photometry.

Everything is in electron/s per pixel, sky subtracted. An AB magnitude is ``25.94 - 2.5 log10(flux)``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Fields",
    "add_noise",
    "aperture_errors",
    "decode",
    "load_fields",
    "photometry",
    "sigma",
    "stretch",
    "unstretch",
]

EXPOSURE = 2028.0  # s, one pointing of four reads
SKY = 0.07  # electron/s/pixel
READ_VARIANCE = 4 * 5.0**2  # electron^2/pixel
FLOOR = SKY * EXPOSURE + READ_VARIANCE  # electron^2/pixel, variance of the empty sky
STEP = 0.05  # quantisation of the files, in standard deviations of the local noise
SOFTENING = 0.02  # electron/s, where the stretch turns from linear to logarithmic
WHITE = 10_000.0  # in units of the softening: 200 electron/s is stretched to 1
KINDS = ("galaxy", "group", "field", "stars", "mixed")


@dataclass(frozen=True)
class Fields:
    """Simulated fields and what is in them.

    Attributes:
        flux: noise-free truth (n, 128, 128) float32, electron/s per pixel.
        kind: (n,) index into ``KINDS``.
        sources: per field an array (k, 4): type (0 galaxy, 1 star), AB magnitude, x, y (pixel 0 is centred on 0).
    """

    flux: NDArray[np.float32]
    kind: NDArray[np.int8]
    sources: tuple[NDArray[np.float32], ...]


def decode(code: NDArray[np.int16]) -> NDArray[np.float32]:
    """Stored integers to flux, the inverse of the generalised Anscombe transform.

    Args:
        code: any shape, int16, half steps of 0.05 standard deviations.

    Returns:
        Flux of the same shape, float32, electron/s per pixel.
    """
    root = np.asarray(code, np.float64) * (STEP / 2) + np.sqrt(FLOOR)
    return np.asarray((root**2 - FLOOR) / EXPOSURE, np.float32)


def load_fields(path: Path, limit: int | None = None) -> Fields:
    """Read one split of the simulated fields.

    Args:
        path: ``train.npz``, ``val.npz`` or ``test.npz``.
        limit: keep the first so many fields. The order is random in kind, so any prefix is a fair subset.

    Returns:
        Flux, kinds and sources.

    Raises:
        FileNotFoundError: there is no such file.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"no simulated fields at {path}; the astronomy pack holds train.npz, val.npz and test.npz"
        )
    with np.load(path) as arrays:
        code, kind = arrays["code"][:limit], arrays["kind"][:limit]
        ends = np.cumsum(arrays["source_count"].astype(np.int64))[: len(code)]
        sources = tuple(np.split(arrays["sources"], ends)[: len(code)])
    return Fields(decode(code), kind, sources)


def sigma(flux: NDArray[np.floating] | float, area: int = 1) -> NDArray[np.float64]:
    """Standard deviation of one observed pixel.

    Args:
        flux: true flux of the pixel, electron/s, any shape.
        area: number of fine pixels merged on the chip: sky grows with it, read noise does not.

    Returns:
        Electron/s, the shape of ``flux``.

    Example:
        >>> round(float(sigma(0.0)), 5), round(float(sigma(0.0, area=16)), 4)
        (0.00767, 0.024)
    """
    return np.asarray(np.sqrt((np.maximum(flux, 0) + area * SKY) * EXPOSURE + READ_VARIANCE) / EXPOSURE)


def add_noise(flux: NDArray[np.floating], rng: np.random.Generator, area: int = 1) -> NDArray[np.float32]:
    """One sky-subtracted observation: Poisson noise of source and sky, Gaussian read noise.

    Args:
        flux: true flux of the observed pixels, electron/s, any shape. A camera with pixels s times as wide sees the
            sum over s x s fine pixels.
        rng: source of the noise, advanced.
        area: number of fine pixels merged into one, s * s.

    Returns:
        Observed flux of the same shape, float32, electron/s.
    """
    electrons = rng.poisson((np.maximum(flux, 0) + area * SKY) * EXPOSURE)
    read = rng.normal(0, READ_VARIANCE**0.5, np.shape(flux))
    return np.asarray((electrons + read) / EXPOSURE - area * SKY, np.float32)


def stretch(flux: NDArray[np.floating]) -> NDArray[np.float64]:
    """The metric's scale ``u = asinh(f / 0.02) / asinh(10000)``: 200 electron/s is 1.

    Args:
        flux: electron/s per fine pixel, any shape.

    Returns:
        u, about -0.15 (noise) to 1, the shape of ``flux``.
    """
    return np.asarray(np.arcsinh(np.asarray(flux, np.float64) / SOFTENING) / np.arcsinh(WHITE))


def unstretch(stretched: NDArray[np.floating]) -> NDArray[np.float64]:
    """The inverse of `stretch`.

    Args:
        stretched: u, any shape.

    Returns:
        Flux in electron/s.
    """
    return np.asarray(SOFTENING * np.sinh(np.asarray(stretched, np.float64) * np.arcsinh(WHITE)))


def aperture_errors(
    truth: NDArray[np.floating], estimate: NDArray[np.floating], sources: NDArray[np.floating], radius: float
) -> list[tuple[int, float]]:
    """Relative flux errors in circles about the bright catalogued sources of one field.

    Counted are sources brighter than magnitude 25 at least 16 pixels from the border whose circle holds more than 50
    standard deviations of the empty sky of as many pixels. Whole pixels whose centre is inside are summed.

    Args:
        truth: (y, x) flux, electron/s.
        estimate: (y, x) flux, electron/s.
        sources: (k, 4): type, magnitude, x, y.
        radius: of the circle, pixels of 0.05 arcsec.

    Returns:
        One (type, error) per circle; type 0 galaxy, 1 star; error 0.01 is one per cent too much flux.
    """
    height, width = truth.shape
    y, x = np.mgrid[:height, :width]
    errors = []
    for kind, magnitude, sx, sy in sources:
        if magnitude >= 25 or min(sx, sy, width - 1 - sx, height - 1 - sy) < 16:
            continue
        inside = (x - sx) ** 2 + (y - sy) ** 2 <= radius**2
        true_flux = float(truth[inside].sum(dtype=np.float64))
        if true_flux > 50 * float(sigma(0.0)) * inside.sum() ** 0.5:
            errors.append((int(kind), float(estimate[inside].sum(dtype=np.float64)) / true_flux - 1))
    return errors


def photometry(
    truth: Sequence[NDArray[np.floating]],
    estimate: Sequence[NDArray[np.floating]],
    sources: Sequence[NDArray[np.floating]],
) -> Mapping[str, tuple[float, float, int]]:
    """Photometry columns of a set of fields.

    Args:
        truth: (y, x) flux of each field, electron/s.
        estimate: the same from an estimator.
        sources: the catalogue of each field, (k, 4).

    Returns:
        Keys such as ``"stars_0.25"`` (radius in arcsec); values: median error and 1.4826 x MAD, both in per cent, and
        the number of circles.
    """
    table = {}
    for radius, name in ((5.0, "0.25"), (10.0, "0.5")):
        errors = [
            pair for t, e, s in zip(truth, estimate, sources, strict=True) for pair in aperture_errors(t, e, s, radius)
        ]
        for kind, label in ((0, "galaxies"), (1, "stars")):
            values = 100 * np.array([error for k, error in errors if k == kind])
            middle = float(np.median(values)) if values.size else float("nan")
            spread = 1.4826 * float(np.median(np.abs(values - middle))) if values.size else float("nan")
            table[f"{label}_{name}"] = (middle, spread, int(values.size))
    return table
