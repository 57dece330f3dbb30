"""The Generator contract: a prior over images, searched through its whitened latents."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

from torch import Tensor

from gensr.errors import SearchError
from gensr.operators.base import Operator
from gensr.priors.card import GeneratorCard
from gensr.priors.observation import Moments, Observation
from gensr.values.latent import Latents, LatentSpec
from gensr.values.normalise import AffineNormaliser

Capability = Literal["denoise", "posterior", "evidence", "linear", "encode", "draw", "stages", "starts"]
Options = Mapping[str, float]
"""Numbers that a generator declares in `Generator.options`, by name; what is left out has its default."""
NO_OPTIONS: Options = {}


@dataclass(frozen=True)
class Stage:
    """A cheap coarse output of a generator, for ranking candidates.

    Attributes:
        shape: (rows, cols) of its images; about area means of the full output.
        cost: of making one, as a share of the full output's.
    """

    shape: tuple[int, int]
    cost: float


@dataclass(frozen=True)
class Cost:
    """What answering costs, per pixel and band of the output.

    Attributes:
        operations: multiplications and additions of mean and deviation.
        draw: the same of one posterior sample.
        memory: bytes held while a tile is computed.
    """

    operations: float
    draw: float
    memory: float


class Generator(ABC):
    """A prior over images. Pure: no side effects, no state, samples independent.

    All images are (n, band, rows, cols) float32 in generator units; band counts other than ``card.bands`` are an error.
    Only `latents` and `synthesize` must be written; what else a generator can do it declares in ``capabilities``, and
    what is declared is used.
    """

    card: GeneratorCard
    capabilities: frozenset[Capability] = frozenset()
    fallback: str = ""
    """Generator of the same units that has the evidence, and serves the operators, that this one lacks; "" if none."""
    approximate: ClassVar[bool] = False
    """Whether `posterior` is that of a network, not a closed form: sums of its mean are then made to hold."""
    differentiable: bool = True
    """Whether `synthesize` has derivatives; without them only searches that need none serve."""
    options: ClassVar[Options] = NO_OPTIONS
    """Names and defaults of the numbers that a preset or a user may set (``search.NAME=``)."""

    @abstractmethod
    def to(self, device: str) -> Generator:
        """A copy on another device."""

    def precise(self) -> Generator:
        """The same, computing in float32 throughout; itself, the default, where it does already."""
        return self

    @property
    def precision(self) -> str:
        """Of what it computes: "float32", or a shorter one where it takes that for speed."""
        return "float32"

    @abstractmethod
    def latents(self, shape: tuple[int, int]) -> LatentSpec:
        """Latent tensors for images of (rows, cols).

        Raises:
            SearchError: if the generator cannot make that size; the message names sizes that work.
        """

    @abstractmethod
    def synthesize(self, latents: Latents, shape: tuple[int, int], stage: Stage | None = None) -> Tensor:
        """Images (n, band, rows, cols) of latents; differentiable in every searched latent.

        Args:
            latents: see `latents`.
            shape: (rows, cols) of the full output.
            stage: one of `stages`, whose coarse images are returned instead.
        """

    def stages(self, shape: tuple[int, int]) -> tuple[Stage, ...]:
        """Coarse outputs on the way to images of (rows, cols), cheapest first; needs the capability "stages"."""
        return ()

    def starts(self, data: Observation, count: int) -> Latents:
        """``count`` starts of a search for every image, best first: (n * count, ...); needs the capability "starts"."""
        raise NotImplementedError(f"{self.card.name} has no starts")

    def encode(self, data: Observation) -> Latents:
        """Latents to start a search from: discrete choices from the data, the rest zero; needs "encode"."""
        raise NotImplementedError(f"{self.card.name} has no encoder")

    def denoise(self, x: Tensor, sigma: Tensor, at_end: tuple[bool, bool] = (True, True)) -> Tensor:
        """Posterior mean E[x0 | x] for ``x = x0 + sigma n``; differentiable; needs the capability "denoise".

        Args:
            x: (n, band, rows, cols).
            sigma: (n,) noise level per sample, generator units.
            at_end: whether the last row, the last column of ``x`` is the border of the scene.
        """
        raise NotImplementedError(f"{self.card.name} has no denoiser")

    def posterior(self, data: Observation, options: Options = NO_OPTIONS) -> Moments:
        """Posterior moments of the images that explain the data; needs the capability "posterior".

        Args:
            data: what was observed.
            options: see `Generator.options`.
        """
        raise NotImplementedError(f"{self.card.name} has no closed-form posterior")

    def draw(self, data: Observation, noise: Callable[[int], Tensor], options: Options = NO_OPTIONS) -> Tensor:
        """One posterior sample per image, shape of the mean; needs the capability "draw".

        Args:
            data: what was observed.
            noise: standard normal numbers of the image's shape for each of several purposes (0, 1, 2, ...).
            options: see `Generator.options`.
        """
        raise NotImplementedError(f"{self.card.name} has no sampler of its own")

    def evidence(self, data: Observation) -> Tensor:
        """Mean log evidence per datum, (n,); compares noise levels and gains. Needs "evidence"."""
        raise NotImplementedError(f"{self.card.name} has no closed-form evidence")

    def closed(self, operator: Operator) -> bool:
        """Whether `posterior` (and `draw`, where there is one) serves this operator."""
        return "posterior" in self.capabilities and operator.local and not operator.placed

    def serves(self, operator: Operator, shape: tuple[int, int]) -> bool:
        """Whether data of this operator can be explained, if by nothing else then by latent search.

        Args:
            operator: of unit gain.
            shape: (rows, cols) of the image; those that `latents` refuses cannot.
        """
        try:
            self.latents(shape)
        except SearchError:
            return False
        return True

    def normaliser(self, normaliser: AffineNormaliser, pixels: float) -> AffineNormaliser:
        """The domain's map to its unit, as the map to this generator's units.

        Args:
            normaliser: of the domain.
            pixels: fine pixels that a datum sums: 1 for means, the product of the factors for fluxes.
        """
        # Noise of a flux sum grows with the root of the pixels in it: priors are scaled by that of a fine pixel.
        return normaliser.scaled(pixels**0.5) if pixels > 1 else normaliser

    def context(self, operator: Operator) -> int:
        """Low-resolution pixels to each side beyond which data no longer changes a pixel's posterior."""
        return 8

    def alignment(self, operator: Operator, options: Options = NO_OPTIONS) -> int:
        """Tiles must start at multiples of this many low-resolution pixels."""
        return 1

    def cost(self, operator: Operator, options: Options = NO_OPTIONS) -> Cost | None:
        """What answering costs, None if not known."""
        return None

    def option(self, options: Options, name: str) -> float:
        """A number of `options`, its default where it is left out."""
        return options.get(name, self.options[name])


class Family(Protocol):
    """A generator family: how to rebuild a generator from a weights file, and how to train one."""

    name: str
    train_options: Mapping[str, str]
    options: Options
    """What its generators declare in `Generator.options`, known before one is loaded."""

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
