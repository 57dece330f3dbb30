"""What is known of a scene's noise and contrast, and where it comes from: the user, the file, the data, a default."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from gensr.errors import UsageError
from gensr.operators.base import Operator
from gensr.pipeline.contrast import Contrast, contrasts
from gensr.pipeline.finest import blocks_of, floor, growth
from gensr.pipeline.task import LEAST, QUANTISATION, Prior
from gensr.scenes.scene import Scene
from gensr.scenes.statistics import sample_images, sample_values
from gensr.values.noise import GaussianNoise, Noise, PoissonGaussianNoise
from gensr.values.normalise import AffineNormaliser, Normaliser
from gensr.values.precision import LARGEST
from gensr.values.words import EXPECTED, parse_noise

EXACT = 1.5
"""Data count as noise-free, and are explained exactly, when the noise is below this many rounding deviations."""
GIVEN, FILE = "given", "file"
MEASURED, PHOTONS = "measured on the finest scales of the data", "measured on the data: it grows with the signal"
UNCERTAIN, DEFAULT = "uncertain", "a default: too few usable pixels to tell, so taken as free of noise"
ADVICE = "the least is taken, which keeps detail and may keep noise: give noise= if you know it"
SIDE, WINDOWS = 128, 16
"""Of the windows that noise is measured on."""


@dataclass(frozen=True)
class Known:
    """What is known of the noise.

    Attributes:
        model: physical units.
        source: where it comes from, in words.
        doubt: what a user should know before the run; "" for nothing.
    """

    model: Noise
    source: str
    doubt: str = ""


@dataclass(frozen=True)
class Level:
    """Noise and scale of a scene.

    Attributes:
        known: the noise.
        normaliser: physical values to generator units.
        exact: whether the data are explained exactly.
        contrast: what the evidence said of every band; None where it was not asked.
    """

    known: Known
    normaliser: Normaliser
    exact: bool
    contrast: tuple[Contrast, ...] | None

    @property
    def model(self) -> Noise:
        """Of the noise, physical units."""
        return self.known.model

    @property
    def source(self) -> str:
        """Where the noise comes from, in words."""
        return self.known.source

    def share(self, band: int) -> float:
        """Noise deviation of a band in generator units, 0 for exact data, 1 where nothing says it."""
        if self.exact:
            return 0.0
        sigma = self.model.typical(band)
        if sigma is None or not isinstance(self.normaliser, AffineNormaliser):
            return 1.0
        return sigma / self.normaliser.gain[band]


def spoken_noise(text: str | float, scene: Scene) -> Noise | None:
    """A noise model from the words of the user; None for "auto".

    A share is of the range between the 0.1 and 99.9 percentiles of its band.

    Raises:
        UsageError: no such words, another number of them than bands, or more noise than can be squared.
    """
    model = _spoken(text, scene)
    if model is not None:
        found = (model.gain, model.sigma) if isinstance(model, PoissonGaussianNoise) else model.levels
        if max(found) > LARGEST:
            raise UsageError(
                f"noise={text}: means {max(found):.3g} {scene.unit}".rstrip()
                + f", and nothing measured is beyond {LARGEST:g}; give it in the unit of the image"
            )
    return model


def _spoken(text: str | float, scene: Scene) -> GaussianNoise | PoissonGaussianNoise | None:
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


def known_noise(scene: Scene, words: str | float | None) -> Known:
    """Noise: what the user says, else the file, else the finest scales of the data.

    Args:
        scene: the opened input.
        words: of the user, None for none.

    Raises:
        UsageError: impossible words.
    """
    model = scene.noise() if words is None else spoken_noise(words, scene)
    return Known(model, FILE if words is None else GIVEN) if model is not None else measured(scene)


def settle_level(
    scene: Scene, prior: Prior, unit: Operator, pixels: float, words: str | float | None, found: Known | None = None
) -> Level:
    """Noise and scale: what the user says, else the file, else the finest scales of the data.

    Args:
        scene: the opened input.
        prior: the generator.
        unit: operator of unit gain.
        pixels: fine pixels that a datum sums, 1 for means.
        words: of the user, None for none.
        found: noise that was found together with a motion; None for none.

    Raises:
        UsageError: impossible words.
    """
    known = found or known_noise(scene, words)
    normaliser, contrast, generator = scene.normaliser(), None, prior.generator
    if isinstance(normaliser, AffineNormaliser):
        normaliser = generator.normaliser(normaliser, pixels)
        # Aligned pictures keep the contrast of their training, and a network was told to expect the domain's.
        if "evidence" in generator.capabilities and not generator.card.aligned and generator.closed(unit):
            contrast = contrasts(scene, generator, unit, normaliser, known.model)
            normaliser = normaliser.scaled(tuple(c.gain for c in contrast))
    # On the grid of the data, what rounding did to them is noise that a blur would blow up: only the user can deny it.
    exact = (unit.factor != (1, 1) or known.source == GIVEN) and _exact(known.model, scene.quantum, normaliser)
    return Level(known, normaliser, exact, contrast)


def measured(scene: Scene) -> Known:
    """Noise from the finest scales of a scene's own data, see `gensr.pipeline.finest`; never below rounding."""
    blocks = blocks_of(sample_images(scene, WINDOWS, SIDE), len(scene.bands))
    least = QUANTISATION * scene.quantum
    grows = growth(blocks[0]) if scene.counts_photons and len(blocks) == 1 else None
    if grows is not None:
        return Known(PoissonGaussianNoise(grows.gain, max(grows.sigma, least), grows.black), PHOTONS)
    found = [floor(own) for own in blocks]
    levels = tuple(max(one.sigma, least) for one in found)
    model = GaussianNoise(levels if len(levels) > 1 else levels[0])
    if not any(one.blocks for one in found):
        return Known(model, DEFAULT)
    doubtful = [one for one in found if not one.measured and one.high > least]
    if not doubtful:
        return Known(model, MEASURED)
    low, high = (max(f(getattr(one, end) for one in doubtful), least) for f, end in ((min, "low"), (max, "high")))
    span = f"between {low:.3g} and {high:.3g}" if math.isfinite(high) else "some bands show too little"
    return Known(model, f"{UNCERTAIN}: {span}, the least is taken", doubt=f"the noise is uncertain ({span}); {ADVICE}")


def _exact(model: Noise, quantum: float, normaliser: Normaliser) -> bool:
    """Whether noise is below what rounding makes of the data: that of their codes, or that of float32."""
    if not isinstance(model, GaussianNoise):
        return False
    gains = normaliser.gain if isinstance(normaliser, AffineNormaliser) else (0.0,)
    least = EXACT * QUANTISATION * quantum
    return all((model.level(band) or 0.0) <= max(least, LEAST * gain) for band, gain in enumerate(gains))
