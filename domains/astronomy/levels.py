"""Sky level and noise: from the file's own error map where there is one, otherwise measured on the image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gensr.scenes.statistics import sample_images
from gensr.values.noise import Noise, PoissonGaussianNoise, StatedNoise

from .headers import number
from .opened import OpenedFits
from .units import Values, words

MAD = 1.4826
"""Standard deviation of a normal distribution per median absolute deviation."""
QUIETEST_READ = 0.5
"""Electrons: a sky noise below this means that the unit, not the detector, is wrong."""


@dataclass(frozen=True)
class Sky:
    """Levels of a scene in physical units per source pixel.

    Attributes:
        level: median of usable pixels.
        sigma: robust noise from differences of horizontal neighbours.
        error: median of the file's error map over usable pixels, 0 if there is none.
        reach: 99.5th percentile of the distance from the median.
        count: usable pixels looked at.
    """

    level: float
    sigma: float
    error: float
    reach: float
    count: int

    @property
    def gain(self) -> float:
        """Unit of the generator: the noise, or a hundredth of the signal where there is none; never 0."""
        return max(self.sigma, self.error) or self.reach / 100 or abs(self.level) or 1.0


def measure(scene: OpenedFits) -> Sky:
    """Measure the levels on a bounded sample of windows.

    Differences of neighbours see the noise and little of the scene. The noise of drizzled images is correlated, so it
    is underestimated there (Fruchter & Hook 2002).
    """
    values, steps, errors = [], [], []
    for image in sample_images(scene):
        v, ok = image.values[0], image.usable[0]
        values.append(v[ok])
        pairs = ok[:, 1:] & ok[:, :-1]
        steps.append((v[:, 1:].astype(np.float64) - v[:, :-1])[pairs])
        if image.variance is not None:
            errors.append(np.sqrt(image.variance[0][ok].astype(np.float64)))
    v, d, e = (np.concatenate([np.zeros(0), *found]) for found in (values, steps, errors))
    level = float(np.median(v)) if v.size else 0.0
    sigma = float(MAD * np.median(np.abs(d - np.median(d))) / np.sqrt(2)) if d.size else 0.0
    reach = float(np.percentile(np.abs(v - level), 99.5)) if v.size else 0.0
    return Sky(level, sigma, float(np.median(e)) if e.size else 0.0, reach, int(v.size))


def find_noise(scene: OpenedFits, sky: Sky) -> tuple[Noise | None, str]:
    """Noise model in physical units, and where it comes from.

    Args:
        scene: the opened file.
        sky: its levels, see `measure`.

    Returns:
        None with the reason, if the file says nothing credible about its noise.
    """
    if sky.error > 0:
        name = scene.companions.noise.label if scene.companions.noise else "?"
        return StatedNoise(sky.error), f"{name}, {scene.companions.noise_role.value}, pixel by pixel"
    photon = _units_per_electron(scene)
    if photon is None:
        return None, "no error map, and no gain that fits the unit; estimated from the data"
    if sky.sigma < QUIETEST_READ * photon or max(sky.level, 0.0) * photon > 4 * sky.sigma**2:
        return None, "gain and unit contradict the noise of the sky; estimated from the data"
    # The sky part of the measured variance is already Poisson: what is left is read noise and removed sky.
    floor = max(sky.sigma**2 - max(sky.level, 0.0) * photon, scene.quantum**2 / 12, 1e-6 * sky.sigma**2)
    return PoissonGaussianNoise(photon, float(np.sqrt(floor))), "gain of the header and the noise of the sky"


def _units_per_electron(scene: OpenedFits) -> float | None:
    """Image units per photo-electron, None if the header does not tell."""
    if scene.values is not Values.FLUX:
        return None
    found = set(words(scene.unit))
    if found & {"electron", "electrons", "e"}:
        photon = 1.0
    elif found & {"adu", "dn", "count", "counts", "cts", "ct"}:
        gain = next((number(scene.header, k, 0.0) for k in ("GAIN", "EGAIN") if _is_number(scene.header, k)), 0.0)
        if gain <= 0:
            return None
        photon = 1 / gain
    else:
        return None
    rate = "s" in found or "sec" in found or "second" in found
    if found - {
        "electron",
        "electrons",
        "e",
        "adu",
        "dn",
        "count",
        "counts",
        "cts",
        "ct",
        "s",
        "sec",
        "second",
        "pix",
        "pixel",
    }:
        return None
    if rate:
        seconds = number(scene.header, "EXPTIME", 0.0) if _is_number(scene.header, "EXPTIME") else 0.0
        return photon / seconds if seconds > 0 else None
    return photon


def _is_number(header: Any, key: str) -> bool:  # noqa: ANN401
    return isinstance(header.get(key), int | float) and not isinstance(header.get(key), bool)
