"""The Generator contract and the card that travels inside every weights file."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from torch import Tensor

from gensr.operators import Operator
from gensr.values.grid import Factor
from gensr.values.latent import Latents, LatentSpec

Capability = Literal["denoise", "posterior", "evidence", "linear", "encode", "draw", "stages"]


@dataclass(frozen=True)
class GeneratorCard:
    """What a user must know before believing a generator.

    Attributes:
        name: unique name, for example ``gaussian-microscopy``.
        family: registered generator family that reads the weights.
        domain: domain it was made for.
        bands: number of bands it models jointly; 1 means that bands are processed one by one.
        aligned: whether content must be aligned (a face crop) rather than a field of any size.
        unit: meaning of its value range.
        value_range: (low, high) that training data filled after normalisation.
        pixel: pixel size or sampling of the training images, in words.
        licence: licence of the weights.
        data: training data with source and licence.
        split: which part of the data it was fitted on.
        recipe: how it was trained, with cost.
        metrics: scores on the held-out split, by name.
        bias: known bias and failure.
        audit: nearest-neighbour audit in words and figures.
        discrepancy: standard deviation of what the generator cannot express, generator units.
        conformal: by "x<factor> noise <level>": factor on the standard deviation for nominal 90 % coverage.
        version: of the weights.
    """

    name: str
    family: str
    domain: str
    bands: int
    aligned: bool
    unit: str
    value_range: tuple[float, float]
    pixel: str
    licence: str
    data: str
    split: str
    recipe: str
    bias: str
    audit: str
    discrepancy: float
    metrics: Mapping[str, float] = field(default_factory=dict)
    conformal: Mapping[str, float] = field(default_factory=dict)
    version: str = "1"

    def to_dict(self) -> dict[str, Any]:
        """As JSON-able dictionary."""
        return asdict(self)


@dataclass(frozen=True)
class Moments:
    """A posterior in closed form.

    Attributes:
        mean: (n, band, rows, cols), generator units.
        variance: same shape, marginal variance per pixel.
    """

    mean: Tensor
    variance: Tensor


@dataclass(frozen=True)
class Observation:
    """Low-resolution data in generator units, and the instrument that took them.

    Attributes:
        y: (n, band, rows, cols).
        operator: forward operator with unit gain.
        variance: noise variance of every pixel, shape of y.
        usable: bool, shape of y; False pixels are ignored.
        at_end: whether the last row, the last column is the border of the scene (not of a tile).
        exact: whether data are explained exactly; ``variance`` is then that of rounding.
    """

    y: Tensor
    operator: Operator
    variance: Tensor
    usable: Tensor
    at_end: tuple[bool, bool] = (True, True)
    exact: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        """High-resolution (rows, cols)."""
        fy, fx = self.operator.factor
        return self.y.shape[-2] * fy, self.y.shape[-1] * fx


class Generator(ABC):
    """A prior over images, searched through its whitened latents. Pure: no side effects, no state, samples independent.

    All images are (n, band, rows, cols) float32 in generator units; band counts other than ``card.bands`` are an error.
    """

    card: GeneratorCard
    capabilities: frozenset[Capability]
    companion: str = ""
    """Generator of the same units that has the evidence, and serves the operators, that this one lacks; "" if none."""
    noise_unit: float | None = None
    """Where the domain's unit is the noise of a datum (fluxes): how many of it are one generator unit. None: the
    domain's unit is taken, times the root of the pixels that a datum sums."""

    @abstractmethod
    def to(self, device: str) -> Generator:
        """A copy on another device."""

    @abstractmethod
    def latents(self, shape: tuple[int, int]) -> LatentSpec:
        """Latent tensors for images of (rows, cols).

        Raises:
            SearchError: if the generator cannot make that size; the message names sizes that work.
        """

    @abstractmethod
    def synthesize(self, latents: Latents, shape: tuple[int, int]) -> Tensor:
        """Images (n, band, rows, cols) of latents; differentiable in every searched latent."""

    def denoise(self, x: Tensor, sigma: Tensor, at_end: tuple[bool, bool] = (True, True)) -> Tensor:
        """Posterior mean E[x0 | x] for ``x = x0 + sigma n``; differentiable; needs the capability "denoise".

        Args:
            x: (n, band, rows, cols).
            sigma: (n,) noise level per sample, generator units.
            at_end: whether the last row, the last column of ``x`` is the border of the scene.
        """
        raise NotImplementedError(f"{self.card.name} has no denoiser")

    def posterior(self, data: Observation, stride: int | Factor = 1) -> Moments:
        """Posterior moments of the images that explain the data; needs the capability "posterior".

        Args:
            data: what was observed.
            stride: windows start at every ``stride``-th low-resolution pixel (of rows, of columns); more is faster and
                less accurate.
        """
        raise NotImplementedError(f"{self.card.name} has no closed-form posterior")

    def closed(self, operator: Operator) -> bool:
        """Whether `posterior` (and `draw`, where there is one) serves this operator."""
        return "posterior" in self.capabilities and operator.local

    def serves(self, operator: Operator, shape: tuple[int, int]) -> bool:
        """Whether data of this operator can be explained at all, by itself or by draws; ``shape`` of the image."""
        return self.closed(operator) or bool(self.capabilities & {"denoise", "draw"})

    def draw(self, data: Observation, noise: Callable[[int], Tensor], steps: int = 8) -> Tensor:
        """One posterior sample per image, shape of the mean; needs the capability "draw".

        Args:
            data: what was observed.
            noise: standard normal numbers of the image's shape for each of several purposes (0, 1, 2, ...).
            steps: evaluations of a network; exact samplers need none.
        """
        raise NotImplementedError(f"{self.card.name} has no sampler of its own")

    def evidence(self, data: Observation) -> Tensor:
        """Mean log evidence per datum, (n,); compares noise levels and gains. Needs "evidence"."""
        raise NotImplementedError(f"{self.card.name} has no closed-form evidence")

    def encode(self, data: Observation) -> dict[str, Tensor]:
        """Latents to start a search from: discrete choices from the data, the rest zero; needs "encode"."""
        raise NotImplementedError(f"{self.card.name} has no encoder")

    def context(self, operator: Operator) -> int:
        """Low-resolution pixels to each side beyond which data no longer changes a pixel's posterior."""
        return 8

    def alignment(self, operator: Operator) -> int:
        """Tiles must start at multiples of this many low-resolution pixels."""
        return 1


class Family(Protocol):
    """A generator family: how to rebuild a generator from a weights file, and how to train one."""

    name: str
    train_options: Mapping[str, str]

    def train(self, options: Mapping[str, str], progress: Callable[[int, int], None] | None) -> Path:
        """Train a generator and register it; options are those of ``train_options`` (name to help).

        Raises:
            UsageError: an option is missing or impossible.
        """

    def build(self, tensors: Mapping[str, Tensor], config: Mapping[str, Any], card: GeneratorCard) -> Generator:
        """Rebuild from tensors and the configuration in the header.

        Raises:
            WeightsError: if tensors and configuration do not fit.
        """
