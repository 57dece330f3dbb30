"""Is the stated deviation of a generator true? What its card must say, from images that were held out from training.

They are degraded, reconstructed as `gensr.pipeline.reconstruct` does, and compared with the truth. On one half of them
the factor on the deviation is fitted (split conformal prediction), on the other half everything is reported.

All images are in generator units: (band, rows, cols) float32, of any size for fields, of one size for aligned content.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gensr.errors import SearchError, UsageError
from gensr.making.inversion import Inverted
from gensr.metrics import conformal_scale, coverage_gaussian, psnr, spread_correlation
from gensr.operators import Area, Operator
from gensr.operators.resample import upsample
from gensr.priors.card import GeneratorCard
from gensr.priors.generator import Generator
from gensr.priors.observation import Moments, Observation
from gensr.search.posterior import answer, method_of
from gensr.search.presets import PRESETS, Preset
from gensr.values.random import Stream

Array = npt.NDArray[np.float32]
LEVEL = 0.9
"""Nominal coverage that deviations are scaled for."""
CAMERA = 1.0
"""Noise level that means "that of the camera" where values are fluxes."""
RANGE = (0.1, 99.9)
"""Percentiles that are called the value range."""
FEWEST_IMAGES, FEWEST_DATA = 4, 4
"""Images, and low-resolution pixels along a side, below which nothing is measured."""
SIDE = 256
"""Largest side of what is reconstructed of a field, pixels."""
PIXELS = 2_000_000
"""Most pixels of a half that coverage is computed from."""


@dataclass(frozen=True)
class Camera:
    """Noise of a camera that counts photo-electrons.

    Attributes:
        photon: value of one photo-electron, generator units before the multiplication by the factor.
        sky: standard deviation of an empty pixel of the fine grid, the same units.
    """

    photon: float
    sky: float


@dataclass(frozen=True)
class Trial:
    """What is measured.

    Attributes:
        factors: refinement factors.
        noises: standard deviations of the noise, generator units; 0 for exact data, `CAMERA` for that of the camera.
        flux: whether images are multiplied by the factor.
        camera: noise of the camera, for fluxes.
        preset: how images are reconstructed.
        seed: of all random numbers.
        device: where the generator lives.
    """

    factors: Sequence[int] = (2, 4, 8)
    noises: Sequence[float] = (0.0, 0.01, 0.03)
    flux: bool = False
    camera: Camera | None = None
    preset: Preset = PRESETS["balanced"]
    seed: int = 0
    device: str = "cpu"

    @property
    def cells(self) -> list[tuple[int, float]]:
        """Pairs of factor and noise; (2, 0) comes first, because the discrepancy is measured there."""
        return list(dict.fromkeys([(2, 0.0), *((f, float(n)) for f in self.factors for n in self.noises)]))


FREE = 10
"""Fitted images from which a factor may also be below 1."""


def kept(scale: float, images: int) -> float:
    """The factor that so many images justify."""
    return scale if images >= FREE else max(1.0, scale)


@dataclass(frozen=True)
class Cell:
    """What was measured at one factor and noise level, on the half that nothing was fitted on.

    Attributes:
        key: such as "x4 noise 0.01", see `gensr.priors.card.conformal_factor`.
        scale: fitted factor on the deviation, as it is: below 1 if the posterior is too wide.
        stated: coverage of nominal 90 % intervals before scaling.
        coverage: after it.
        correlation: of deviation and absolute error; NaN if the deviation is constant.
        psnr: of the posterior mean, dB, mean over images; the peak is the value range.
        cubic: the same of cubic interpolation.
        fitted: images behind the factor.
    """

    key: str
    scale: float
    stated: float
    coverage: float
    correlation: float
    psnr: float
    cubic: float
    fitted: int = 0

    @property
    def conformal(self) -> float:
        """Factor for the card; below 1 only if `FREE` images or more were fitted: fewer prove nothing."""
        return kept(self.scale, self.fitted)


@dataclass(frozen=True)
class Calibrated:
    """Everything measured on held-out images.

    Attributes:
        cells: one per factor and noise level.
        value_range: percentiles `RANGE` of the images, generator units.
        discrepancy: root mean square error of the posterior mean at factor 2 without noise, generator units.
        known: of a searched generator, in place of that.
    """

    cells: Sequence[Cell]
    value_range: tuple[float, float]
    discrepancy: float
    known: Inverted | None = None

    @property
    def conformal(self) -> dict[str, float]:
        """Factors for the card."""
        return {cell.key: round(cell.conformal, 4) for cell in self.cells}

    @property
    def metrics(self) -> dict[str, float]:
        """Scores for the card."""
        found: dict[str, float] = {}
        for cell in self.cells:
            values = {
                "PSNR, dB": cell.psnr,
                "cubic PSNR, dB": cell.cubic,
                "coverage of 90 % as stated": cell.stated,
                "coverage of 90 %": cell.coverage,
                "correlation of std and error": cell.correlation,
            }
            found |= {f"{cell.key} {name}": round(value, 3) for name, value in values.items() if np.isfinite(value)}
        return found

    def fill(self, card: GeneratorCard) -> GeneratorCard:
        """The card with what was measured; scores and factors of earlier measurements are dropped."""
        filled = replace(
            card,
            value_range=self.value_range,
            discrepancy=self.discrepancy,
            metrics=self.metrics,
            conformal=self.conformal,
        )
        return filled if self.known is None else self.known.fill(filled)


def searched(generator: Generator, trial: Trial) -> bool:
    """Whether its answers are latent searches: then its discrepancy is what inverted pictures leave."""
    return method_of(generator, Area(2), trial.preset).moments == "search"


def measure(
    generator: Generator,
    images: Sequence[Tensor],
    trial: Trial,
    tick: Callable[[], None] = lambda: None,
    known: Inverted | None = None,
) -> Calibrated:
    """Try a generator on held-out images.

    Args:
        generator: with a posterior, a sampler or a denoiser, on the device where it computes.
        images: held out from its training; every other one is for fitting.
        trial: what to measure.
        tick: called after every image of every cell, ``len(trial.cells) * len(images)`` times for images large enough.
        known: what inverting pictures said of a searched generator, whose card has it already.

    Raises:
        UsageError: too few or too small images.
        SearchError: the generator cannot answer, or states no deviation at all.
    """
    kept = [_cut(image, generator.card.aligned) for image in images]
    needed = FEWEST_DATA * max(factor for factor, _ in trial.cells)
    kept = [image for image in kept if min(image.shape[-2:]) >= needed]
    if len(kept) < FEWEST_IMAGES:
        raise UsageError(
            f"{len(kept)} of {len(images)} images have {needed} pixels or more along both sides; give "
            f"{FEWEST_IMAGES} or more such images, or smaller factors="
        )
    low, high = (float(q) for q in np.percentile(np.concatenate([x.numpy().ravel() for x in kept]), RANGE))
    cells, discrepancy = [], 0.0
    for factor, noise in trial.cells:
        answers = []
        for i, image in enumerate(kept):
            answers.append(_answer(generator, image, i, factor, noise, trial))
            tick()
        cells.append(_cell(generator, answers, factor, noise, trial, high - low))
        if (factor, noise) == (2, 0.0):
            discrepancy = _rms([truth - mean for truth, mean, _, _ in answers]) / (factor if trial.flux else 1)
    return Calibrated(cells, (low, high), discrepancy, known)


Answer = tuple[Array, Array, Array, Array]
"""Truth, posterior mean, its deviation and cubic interpolation, (n, band, rows, cols) each."""


def _cut(image: Tensor, aligned: bool) -> Tensor:
    if aligned:
        return image
    rows, cols = image.shape[-2:]
    top, left = max(0, rows - SIDE) // 2, max(0, cols - SIDE) // 2
    return image[..., top : top + SIDE, left : left + SIDE]


@torch.no_grad()
def _answer(generator: Generator, image: Tensor, index: int, factor: int, noise: float, trial: Trial) -> Answer:
    rows, cols = (int(side) // factor * factor for side in image.shape[-2:])
    if generator.card.aligned and (rows, cols) != tuple(image.shape[-2:]):
        raise UsageError(f"factor {factor} does not divide the {image.shape[-1]} pixels of the aligned pictures")
    x = image[:, None] if generator.card.bands == 1 else image[None]  # (n, band, rows, cols)
    x = x[..., :rows, :cols] * (factor if trial.flux else 1)
    stream = Stream(trial.seed).child("calibrate", index, f"x{factor} noise {noise:g}")
    data = observe(x, Area(factor), noise, trial.camera if trial.flux else None, stream)
    y, variance, usable = (t.to(trial.device) for t in (data.y, data.variance, data.usable))
    told = replace(data, y=y, variance=variance, usable=usable)
    found = moments(generator, told, trial.preset, stream)
    cubic = upsample(data.y.numpy(), factor, "bicubic")
    return x.numpy(), found.mean.float().cpu().numpy(), found.variance.clamp(min=0).sqrt().float().cpu().numpy(), cubic


def observe(x: Tensor, operator: Operator, noise: float, camera: Camera | None, stream: Stream) -> Observation:
    """Data of images ``x`` (n, band, rows, cols), on the CPU.

    Args:
        x: generator units.
        operator: of unit gain.
        noise: standard deviation; 0 for exact data, `CAMERA` for the noise of the camera if there is one.
        camera: where values are fluxes.
        stream: of the noise.
    """
    y = operator.forward(x)
    usable = torch.ones_like(y, dtype=torch.bool)
    variance = torch.full_like(y, noise**2)
    if camera is not None and noise == CAMERA:
        photon = camera.photon / operator.factor[0]
        counts = np.random.default_rng(stream.child("photons").number()).poisson(y.clamp(min=0).numpy() / photon)
        y = y.clamp(max=0) + torch.from_numpy(counts).to(y) * photon
        y = y + camera.sky * stream.child("noise").normal(tuple(y.shape))
        variance = y.clamp(min=0) * photon + camera.sky**2  # as the camera states it, from the datum it saw
    elif noise:
        y = y + noise * stream.child("noise").normal(tuple(y.shape))
    return Observation(y, operator, variance, usable, exact=noise == 0)


def moments(generator: Generator, data: Observation, preset: Preset, stream: Stream) -> Moments:
    """Posterior mean and variance as tiles are answered, noise-free data explained exactly.

    Args:
        generator: the prior.
        data: on the generator's device.
        preset: how hard to search.
        stream: of the draws, where moments come from draws.
    """
    shape = (*data.y.shape[:2], *data.shape)

    def noise(index: int, purpose: int) -> Tensor:
        return stream.child("draw", index).child(purpose).normal(shape).to(data.y)

    method = method_of(generator, data.operator, preset)
    streams = [stream.child("search", i) for i in range(len(data.y))]
    found = answer(generator, data, preset, method, 0, noise, streams)
    return Moments(found.mean, found.variance)


def _cell(
    generator: Generator, answers: Sequence[Answer], factor: int, noise: float, trial: Trial, peak: float
) -> Cell:
    errors, std = _pixels(answers[::2], trial.seed)
    scale = conformal_scale(errors, std, LEVEL)
    key = f"x{factor} noise {noise:g}"
    if not np.isfinite(scale):
        raise SearchError(f"{generator.card.name}, {key}: it errs where its stated deviation is 0; nothing to scale")
    other = answers[1::2]
    errors, std = _pixels(other, trial.seed)
    zero = np.zeros_like(errors)
    stated, scaled = (
        coverage_gaussian(errors, zero, std * s, (LEVEL,))[LEVEL] for s in (1.0, kept(scale, len(answers[::2])))
    )
    peak = (peak or 1.0) * (factor if trial.flux else 1)
    means, cubics = ([psnr(answer[0], answer[i], peak) for answer in other] for i in (1, 3))
    correlation = spread_correlation(errors, std)
    return Cell(
        key, scale, stated, scaled, correlation, float(np.mean(means)), float(np.mean(cubics)), len(answers[::2])
    )


def _pixels(answers: Sequence[Answer], seed: int) -> tuple[Array, Array]:
    """Errors and deviations of random pixels, as many of every image."""
    rng = np.random.default_rng(seed)
    errors, std = [], []
    for truth, mean, deviation, _ in answers:
        most = min(truth.size, PIXELS // len(answers))
        where = rng.choice(truth.size, most, replace=False)
        errors.append((truth - mean).ravel()[where])
        std.append(deviation.ravel()[where])
    return np.concatenate(errors), np.concatenate(std)


def _rms(errors: Sequence[Array]) -> float:
    square = sum(float(np.square(e, dtype=np.float64).sum()) for e in errors)
    return float((square / sum(e.size for e in errors)) ** 0.5)
