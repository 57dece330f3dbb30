"""What is known of a scene's noise and contrast, and where it comes from: the user, the file, the data, a default."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gensr.errors import UsageError
from gensr.operators.base import Operator
from gensr.pipeline.estimate import Calibration, calibrate
from gensr.pipeline.prior import evidence_of
from gensr.pipeline.task import QUANTISATION, Prior
from gensr.scenes.scene import Scene
from gensr.scenes.statistics import sample_values
from gensr.values.noise import GaussianNoise, Noise, PoissonGaussianNoise
from gensr.values.normalise import AffineNormaliser, Normaliser
from gensr.values.words import EXPECTED, parse_noise

EXACT = 1.5
"""Data count as noise-free, and are explained exactly, when the noise is below this many rounding deviations."""
GIVEN, FILE, ROUNDING = "given", "file", "rounding of the stored codes"
EVIDENCE, DEFAULT = "estimated by evidence", "a default: too few usable pixels to tell"


@dataclass(frozen=True)
class Level:
    """Noise and scale of a scene.

    Attributes:
        model: noise, physical units.
        source: where it comes from, in words.
        normaliser: physical values to generator units.
        exact: whether the data are explained exactly.
        calibration: what the evidence said of every band; None where it was not asked.
    """

    model: Noise
    source: str
    normaliser: Normaliser
    exact: bool
    calibration: tuple[Calibration, ...] | None

    def share(self, band: int) -> float:
        """Noise deviation of a band in generator units, 0 for exact data, 1 where no single number says it."""
        if self.exact:
            return 0.0
        sigma = self.model.level(band)
        if sigma is None or not isinstance(self.normaliser, AffineNormaliser):
            return 1.0
        return sigma / self.normaliser.gain[band]


def spoken_noise(text: str | float, scene: Scene) -> Noise | None:
    """A noise model from the words of the user; None for "auto".

    A share is of the range between the 0.1 and 99.9 percentiles of its band.

    Raises:
        UsageError: no such words, or another number of them than bands.
    """
    try:
        words = parse_noise(text)
    except ValueError as error:
        raise UsageError(f"noise={text}: expected {EXPECTED}") from error
    if words.kind == "auto":
        return None
    if words.kind == "poisson":
        return PoissonGaussianNoise(*words.numbers)
    bands = len(scene.bands)
    if len(words.numbers) not in (1, bands):
        raise UsageError(f"noise={text}: {len(words.numbers)} numbers for {bands} band(s); give one, or one per band")
    if words.kind == "sigma":
        return GaussianNoise(words.numbers if len(words.numbers) > 1 else words.numbers[0])
    shares = words.numbers if len(words.numbers) > 1 else words.numbers * bands
    spans = [_span(values) for values in sample_values(scene)]
    levels = tuple(share * span for share, span in zip(shares, spans, strict=True))
    return GaussianNoise(levels if bands > 1 else levels[0])


def _span(values: np.ndarray) -> float:
    if not values.size:
        return 0.0
    if values.size < 1000:
        return float(values.max() - values.min())
    low, high = np.percentile(values, [0.1, 99.9])
    return float(high - low)


def settle_level(scene: Scene, prior: Prior, unit: Operator, pixels: float, words: str | float | None) -> Level:
    """Noise and scale: what the user says, else the file, else the evidence of the prior, else rounding.

    Args:
        scene: the opened input.
        prior: the generator.
        unit: operator of unit gain.
        pixels: fine pixels that a datum sums, 1 for means.
        words: of the user, None for none.

    Raises:
        UsageError: impossible words.
    """
    model = scene.noise() if words is None else spoken_noise(words, scene)
    source = FILE if words is None else GIVEN
    normaliser = scene.normaliser()
    calibration = None
    if isinstance(normaliser, AffineNormaliser):
        normaliser = prior.generator.normaliser(normaliser, pixels)
        calibration = _calibrated(scene, prior, unit, normaliser, model)
        if calibration is not None:
            normaliser = normaliser.scaled(tuple(c.gain for c in calibration))
            if model is None:
                model = _estimated(scene, normaliser, calibration)
                source = EVIDENCE if all(c.measured for c in calibration) else DEFAULT
    if model is None:
        model, source = GaussianNoise(QUANTISATION * scene.quantum), ROUNDING
    return Level(model, source, normaliser, _exact(model, scene.quantum), calibration)


def _calibrated(
    scene: Scene, prior: Prior, unit: Operator, normaliser: AffineNormaliser, model: Noise | None
) -> tuple[Calibration, ...] | None:
    """What the evidence says, if there is a generator that has it for this operator."""
    generator = evidence_of(prior)
    if generator is None or not generator.closed(unit):
        return None
    levels = [None if model is None else model.level(band) for band in range(len(scene.bands))]
    known = [sigma for sigma in levels if sigma is not None]
    # Another prior's opinion of contrast does not bind a generator that was told to expect the domain's.
    own = generator is prior.generator and not generator.card.aligned
    return calibrate(scene, generator, unit, normaliser, known if len(known) == len(levels) else None, own)


def _estimated(scene: Scene, normaliser: AffineNormaliser, calibration: tuple[Calibration, ...]) -> Noise:
    floor = QUANTISATION * scene.quantum
    levels = tuple(max(c.sigma * gain, floor) for c, gain in zip(calibration, normaliser.gain, strict=True))
    return GaussianNoise(levels if len(levels) > 1 else levels[0])


def _exact(model: Noise, quantum: float) -> bool:
    limit = EXACT * QUANTISATION * quantum
    return isinstance(model, GaussianNoise) and all(sigma <= limit for sigma in model.levels)
