"""A job: everything that decides a result, settled before the first tile is computed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from gensr.errors import SearchError, UsageError
from gensr.operators import Operator, parse_operator
from gensr.operators.scaled import unit_gain
from gensr.pipeline.estimate import Calibration, calibrate, scaled
from gensr.priors import weights
from gensr.priors.generator import Generator
from gensr.scenes.domain import Across, Domain, Scene
from gensr.scenes.statistics import sample_values
from gensr.search.presets import PRESETS, Preset
from gensr.values.grid import Factor
from gensr.values.noise import GaussianNoise, Noise, PoissonGaussianNoise
from gensr.values.normalise import AffineNormaliser, Normaliser

QUANTISATION = 12**-0.5
"""Standard deviation of rounding, in code steps."""
EXACT = 1.5
"""Data count as noise-free, and are explained exactly, when the noise is below this many rounding deviations."""


@dataclass(frozen=True)
class Request:
    """What the user asked for; None means "the default of the domain"."""

    factor: int = 4
    generator: str | None = None
    operator: str | None = None
    noise: str | float | None = None
    search: str | Preset = "balanced"
    samples: int = 1
    seed: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        if isinstance(self.factor, bool) or not isinstance(self.factor, int) or not 2 <= self.factor <= 64:
            raise UsageError(f"factor={self.factor}: expected a whole number from 2 to 64, for example factor=4")
        if self.samples < 0:
            raise UsageError(f"samples={self.samples}: expected 0 or more")

    @property
    def preset(self) -> Preset:
        """The search preset.

        Raises:
            UsageError: unknown name.
        """
        if isinstance(self.search, Preset):
            return self.search
        if self.search not in PRESETS:
            raise UsageError(f"search={self.search}: expected one of {', '.join(PRESETS)}")
        return PRESETS[self.search]


@dataclass(frozen=True)
class Job:
    """Settled choices for one scene.

    Attributes:
        factor: refinement (rows, cols).
        operator: forward operator in physical units.
        unit: the same with unit gain; the engine works on ``gain * x``.
        generator: the prior, on its device.
        digest: of its weights.
        normaliser: physical values to generator units.
        noise: noise model, physical units.
        noise_source: where it comes from, in words.
        exact: whether data are explained exactly (noise-free).
        conformal: factor on the standard deviation.
        calibration: what the scene's evidence said, if asked.
        preset: how to search.
        device: where the generator lives.
        request: the user's words.
        quantum: physical size of a code step.
        across: refinement across planes that follows, if any.
    """

    factor: Factor
    operator: Operator
    unit: Operator
    generator: Generator
    digest: str
    normaliser: Normaliser
    noise: Noise
    noise_source: str
    exact: bool
    conformal: float
    calibration: Calibration | None
    preset: Preset
    device: str
    request: Request
    quantum: float
    across: Across | None = None

    def residual_unit(self, observed: Tensor) -> Tensor:
        """Standard deviation of each datum; for exact data that of rounding, or 1 if the file is not rounded."""
        if self.exact:
            return torch.full_like(observed, QUANTISATION * self.quantum or 1.0)
        return self.noise.variance(observed).sqrt()


def parse_noise(text: str | float, scene: Scene) -> Noise | None:
    """A noise model from a word of the user: ``auto``, ``0``, ``12.5``, ``1%`` or ``poisson:gain=2,sigma=3``.

    A percentage is of the range between the 0.1 and 99.9 percentiles of the scene.

    Raises:
        UsageError: if it is none of these.
    """
    word = str(text).strip().lower()
    try:
        if word == "auto":
            return None
        if word.startswith("poisson:"):
            pairs = dict(part.split("=", 1) for part in word.removeprefix("poisson:").split(","))
            return PoissonGaussianNoise(gain=float(pairs.pop("gain")), sigma=float(pairs.pop("sigma", "0")))
        if word.endswith("%"):
            return GaussianNoise(float(word[:-1]) / 100 * _range(scene))
        return GaussianNoise(float(word))
    except (ValueError, KeyError) as error:
        raise UsageError(
            f"noise={text}: expected auto, a deviation in image units such as 2.5, a share of the range such as 1%, "
            "or poisson:gain=G,sigma=S"
        ) from error


def _range(scene: Scene) -> float:
    spans = [float(v.max() - v.min()) if v.size < 1000 else _span(v) for v in sample_values(scene) if v.size]
    return max(spans, default=0.0)


def _span(values: Any) -> float:  # noqa: ANN401
    import numpy as np

    low, high = np.percentile(values, [0.1, 99.9])
    return float(high - low)


def choose_device(name: str) -> str:
    """``auto`` takes a CUDA GPU where there is one.

    Raises:
        UsageError: unknown or missing device.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"device={name}: not usable here ({str(error).splitlines()[0]}); use cpu or cuda") from error
    return name


def prepare(scene: Scene, domain: Domain, request: Request) -> Job:
    """Settle operator, prior, scales and noise of a scene.

    Raises:
        UsageError: an impossible word.
        WeightsError: no such generator.
        SearchError: the generator cannot serve this image or operator.
        DomainError: the domain refuses.
    """
    factor = (request.factor, request.factor)
    operator = domain.operator(scene, factor)
    if request.operator is not None:
        operator = parse_operator(request.operator, factor, total=operator.gain != 1.0)
    unit = unit_gain(operator)
    device = choose_device(request.device)
    generator, digest = choose_generator(scene, domain, request, unit)
    generator = generator.to(device)
    _check_bands(generator, scene)
    across = domain.across(scene, factor)
    if across is not None and (generator.card.aligned or operator.gain != 1.0):
        raise SearchError(
            f"{scene.path.name}: refinement across slices needs values that are means and a prior for fields of any "
            "size; switch it off, or choose another generator (gensr models list)"
        )
    normaliser = domain.normaliser(scene)
    if isinstance(normaliser, AffineNormaliser) and generator.noise_unit is not None:
        normaliser = replace(normaliser, gain=tuple(g * generator.noise_unit for g in normaliser.gain))
    elif isinstance(normaliser, AffineNormaliser) and operator.gain > 1:
        # Noise of a flux sum grows with the root of the pixels in it: priors are scaled by that of a fine pixel.
        normaliser = scaled(normaliser, operator.gain**0.5)
    noise = domain.noise(scene) if request.noise is None else parse_noise(request.noise, scene)
    source = "file" if request.noise is None else "given"
    calibration = None
    judge = judge_of(generator)
    if judge is not None and judge.closed(unit) and isinstance(normaliser, AffineNormaliser):
        known = noise.sigma if isinstance(noise, GaussianNoise) else None
        # Another prior's opinion of contrast does not bind a generator that was told to expect the domain's.
        own = judge is generator and not generator.card.aligned
        calibration = calibrate(scene, judge.to(device), unit, normaliser, known, search_gain=own)
        normaliser = scaled(normaliser, calibration.gain)
        if noise is None:
            noise = GaussianNoise(max(calibration.sigma * normaliser.gain[0], QUANTISATION * scene.quantum))
            source = "estimated by evidence"
    if noise is None:
        noise = GaussianNoise(QUANTISATION * scene.quantum)
        source = "rounding of the stored codes"
    exact = isinstance(noise, GaussianNoise) and noise.sigma <= EXACT * QUANTISATION * scene.quantum
    level = (
        noise.sigma / normaliser.gain[0]
        if isinstance(noise, GaussianNoise) and isinstance(normaliser, AffineNormaliser)
        else 1.0
    )
    conformal = conformal_factor(generator.card.conformal, request.factor, 0.0 if exact else level)
    return Job(
        factor, operator, unit, generator, digest, normaliser, noise, source, exact, conformal, calibration,
        request.preset, device, request, scene.quantum, across,
    )  # fmt: skip


def choose_generator(scene: Scene, domain: Domain, request: Request, unit: Operator) -> tuple[Generator, str]:
    """The generator and the digest of its weights; its companion where the default one cannot serve the operator.

    Raises:
        WeightsError: no such generator.
        SearchError: a generator that the user asked for cannot serve the operator.
    """
    rows, cols = scene.grid.refine(unit.factor).shape
    name = request.generator or domain.generator(scene)
    generator, stored = weights.load(name)
    if generator.serves(unit, (rows, cols)):
        return generator, stored.digest
    if request.generator is None and generator.companion:
        generator, stored = weights.load(generator.companion)
        return generator, stored.digest
    other = f"generator={generator.companion}" if generator.companion else "another generator (gensr models list)"
    raise SearchError(
        f"{scene.path.name}: {name} cannot serve {unit.describe()} and an output of {cols} x {rows} pixels; use {other}"
    )


def closed_generator(generator: Generator, unit: Operator, device: str) -> Generator:
    """The generator where it has a posterior of its own for the operator, its companion otherwise, if there is one."""
    if generator.closed(unit) or generator.companion not in weights.available():
        return generator
    return weights.load(generator.companion)[0].to(device)


def judge_of(generator: Generator) -> Generator | None:
    """The generator whose evidence tells the noise: this one, its companion if that is installed, or none."""
    if "evidence" in generator.capabilities:
        return generator
    if not generator.companion or generator.companion not in weights.available():
        return None
    return weights.load(generator.companion)[0]


def _check_bands(generator: Generator, scene: Scene) -> None:
    bands = generator.card.bands
    if bands not in (1, len(scene.bands)):
        raise SearchError(
            f"{scene.path.name}: {len(scene.bands)} bands, but {generator.card.name} models {bands} jointly; "
            "choose a generator of one band (gensr models list)"
        )
    if generator.card.aligned and scene.grid.shape[0] != scene.grid.shape[1]:
        raise SearchError(
            f"{scene.path.name}: {scene.grid.shape[1]} x {scene.grid.shape[0]} pixels; {generator.card.name} is for "
            "aligned square pictures; crop it, or choose another generator (gensr models list)"
        )


def conformal_factor(table: Mapping[str, float], factor: int, noise: float) -> float:
    """Scale of the standard deviation from a card: the entry of the nearest factor and noise level, 1 if none.

    Keys look like ``"x4 noise 0.01"``, with the noise deviation in generator units.
    """
    best, distance = 1.0, math.inf
    for key, scale in table.items():
        name, _, level = key.partition(" noise ")
        gap = abs(math.log2(int(name[1:]) / factor)) + 0.25 * abs(
            math.log10(max(float(level), 1e-3)) - math.log10(max(noise, 1e-3))
        )
        if gap < distance:
            best, distance = scale, gap
    return best
