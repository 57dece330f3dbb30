"""Engression as a generator: calibrated posterior draws of any linear instrument, one evaluation each.

Its latent space is white noise. Told the data, the prior of that noise *is* the posterior; told nothing, images of the
training kind come out, which is what `Engression.synthesize` gives to searches.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from gensr.errors import SearchError
from gensr.operators import Area, KSpaceCrop, Operator
from gensr.operators.scaled import Scaled
from gensr.priors.card import GeneratorCard
from gensr.priors.generator import NO_OPTIONS, Capability, Cost, Generator, Options, Stage
from gensr.priors.observation import Moments, Observation
from gensr.priors.stretch import NOISE_UNIT
from gensr.priors.unet import fast_half, place
from gensr.values.latent import Latents, LatentSpec, LatentTensor
from gensr.values.normalise import AffineNormaliser

from .fluxes import reconciled
from .imagined import of_data
from .layered import layers_of, trust
from .linear import QUIET, Estimate, correction
from .model import Model, deviation
from .network import Network
from .residual import moved, settled

REACH = 48
"""High-resolution pixels beyond which the network's answer hardly changes."""
LARGEST_FACTOR = 16
BEYOND = 2
"""Sides of aligned content that are served, of the training side."""
MEMORY = 520.0
"""Bytes per pixel and band that an answer holds, measured on a network of the usual size at factors of 1 and 4."""
ROUNDS = 4
"""Linear corrections after which data without noise are explained to rounding, where the instrument allows it."""


@dataclass(frozen=True)
class Settings:
    """What a weights file says beside network and prior.

    Attributes:
        fallback: name of the generator that has the evidence and serves other operators; "" for none.
        side: of the training images, pixels.
        scaling: how physical values became generator units in training, the percentiles "low" and "high"; empty where
            domains with different ones were mixed.
    """

    fallback: str = ""
    side: int = 64
    scaling: Mapping[str, float] = field(default_factory=dict)

    @staticmethod
    def from_config(config: Mapping[str, Any]) -> Settings:
        """Inverse of `to_config`.

        Raises:
            KeyError, ValueError, TypeError, AttributeError: no such settings.
        """
        fallback, side = config.get("companion", ""), config["side"]
        scaling = {str(k): float(v) for k, v in config.get("scaling", {}).items()}
        if type(fallback) is not str or type(side) is not int or not 1 <= side <= 1 << 20:
            raise ValueError(f"companion {fallback!r} and side {side!r} are no settings")
        if not all(math.isfinite(v) for v in scaling.values()):
            raise ValueError(f"scaling {scaling} is not finite")
        return Settings(fallback, side, scaling)

    def to_config(self) -> dict[str, Any]:
        """As JSON-able dictionary."""
        return {"companion": self.fallback, "side": self.side, "scaling": dict(self.scaling)}


class Engression(Generator):
    """See the module text.

    Args:
        model: network and prior.
        card: its card.
        settings: see `Settings`.
        device: where the network lives.
    """

    approximate: ClassVar[bool] = True
    options: ClassVar[Options] = NO_OPTIONS
    capabilities: frozenset[Capability] = frozenset({"posterior", "draw"})

    def __init__(self, model: Model, card: GeneratorCard, settings: Settings, device: str = "cpu") -> None:
        network = place(model.network, device).eval().requires_grad_(False)
        self.model = replace(model, network=network, half=model.half and fast_half(device))
        self.exact, self.fast = replace(self.model, half=False), model.half
        self.card, self.settings, self.device = card, settings, device
        self.fallback, self.scaling = settings.fallback, settings.scaling
        self.flux = not model.stretch.linear  # others are trained on means, instruments that sum are scaled to means

    def to(self, device: str) -> Engression:
        """See `Generator.to`."""
        if device == self.device:
            return self
        copy = Network(self.model.network.shape)
        copy.load_state_dict(self.model.network.state_dict())
        return Engression(replace(self.model, network=copy, half=self.fast), self.card, self.settings, device)

    def precise(self) -> Engression:
        """See `Generator.precise`."""
        return self if not self.fast else Engression(self.exact, self.card, self.settings, self.device)

    @property
    def precision(self) -> str:
        """See `Generator.precision`."""
        return "bfloat16" if self.model.half else "float32"

    def closed(self, operator: Operator) -> bool:
        """See `Generator.closed`: every shift-invariant instrument, and k-space, with factors up to 16.

        Of fluxes, sums of blocks alone.
        """
        if self.flux and not (isinstance(_bare(operator), Area) and max(operator.factor) > 1):
            return False
        invariant = operator.local or isinstance(_bare(operator), KSpaceCrop)
        return invariant and max(operator.factor) <= LARGEST_FACTOR

    def serves(self, operator: Operator, shape: tuple[int, int]) -> bool:
        """See `Generator.serves`: what it has a posterior for, aligned content up to twice its own size."""
        return self.closed(operator) and self._fits(shape)

    def _fits(self, shape: tuple[int, int]) -> bool:
        return not self.card.aligned or (shape[0] == shape[1] and shape[0] <= BEYOND * self.settings.side)

    # Prior

    def latents(self, shape: tuple[int, int]) -> LatentSpec:
        """See `Generator.latents`: the white noise that the network turns into an image."""
        if min(shape) < 1 or not self._fits(shape):
            most = int(BEYOND * self.settings.side)
            sizes = f"square ones of up to {most} pixels a side" if self.card.aligned else "any from 1 x 1"
            raise SearchError(f"{self.card.name} cannot make an image of {shape[1]} x {shape[0]} pixels, but {sizes}")
        return LatentSpec((LatentTensor("noise", (self.card.bands, *shape)),))

    def synthesize(self, latents: Latents, shape: tuple[int, int], stage: Stage | None = None) -> Tensor:
        """See `Generator.synthesize`: without data, in single precision."""
        z, prior = latents["noise"].float(), self.model.prior
        told = Estimate.none(prior, len(z), self.card.bands, (z.shape[-2], z.shape[-1]), z.device)
        drawn = told.mean + told.deviation * self.exact.draw(told, z)
        return self.model.stretch.inverse(drawn).to(latents["noise"])

    def normaliser(self, normaliser: AffineNormaliser, pixels: float) -> AffineNormaliser:
        """See `Generator.normaliser`; fluxes are in units of the noise of a datum."""
        if not self.flux:
            return super().normaliser(normaliser, pixels)
        return AffineNormaliser(tuple(g * NOISE_UNIT for g in normaliser.gain), normaliser.offset)

    def context(self, operator: Operator) -> int:
        """See `Generator.context`."""
        if self.card.aligned:
            return 0
        return math.ceil(REACH / min(operator.factor)) + (operator.reach if operator.local else 0)

    def alignment(self, operator: Operator, options: Options = NO_OPTIONS) -> int:
        """See `Generator.alignment`: tiles start on the network's coarsest grid."""
        multiple = self.model.network.shape.multiple
        return max(multiple // math.gcd(multiple, f) for f in operator.factor)

    def cost(self, operator: Operator, options: Options = NO_OPTIONS) -> Cost:
        """See `Generator.cost`: counted on the network itself, beside which a linear estimate is cheap."""
        work = self.model.network.shape.work / self.card.bands
        return Cost(work, work, MEMORY)

    # Posterior

    def posterior(self, data: Observation, options: Options = NO_OPTIONS) -> Moments:
        """See `Generator.posterior`: one evaluation of the network.

        Raises:
            SearchError: an operator that is not shift-invariant, or a factor above 16, see `closed`.
        """
        single = self._checked(data)
        told = self.model.told(single)
        mean, spread = self.model.moments(told)
        if self.flux:
            variance = deviation(told, spread).square()
            x, variance = self.model.stretch.moments(told.mean + told.deviation * mean, variance)
            x = self._explaining(x, variance, single)
            return Moments((x if data.exact else reconciled(x, variance, single)).to(data.y), variance.to(data.y))
        sure = trust(data.operator, told.mean)
        mean, spread = sure * mean, sure * spread
        variance = deviation(told, spread).square()
        explained = self._explaining(told.mean + told.deviation * mean, variance, single)
        return Moments(explained.to(data.y), variance.to(data.y))

    def draw(self, data: Observation, noise: Callable[[int], Tensor], options: Options = NO_OPTIONS) -> Tensor:
        """See `Generator.draw`: one evaluation of the network.

        Raises:
            SearchError: see `posterior`; or a sample that is not finite.
        """
        single = self._checked(data)
        told = self.model.told(single)
        white = noise(0).to(told.mean)
        drawn = told.mean + told.deviation * self.model.draw(told, white)
        if self.flux:
            return self._fluxes(drawn, told, single, noise).to(data.y)
        if layers_of(data.operator) is not None:
            fy, fx = data.operator.factor
            coarse = noise(1).to(told.mean)[..., ::fy, ::fx]
            sure = trust(data.operator, told.mean)
            plain = told.mean + of_data(white, coarse, single, self.model.prior)
            drawn = plain + sure * (drawn - plain)
        self._refuse_infinite(drawn)
        variance = told.deviation.square()
        if not data.exact and isinstance(_bare(data.operator), Area):
            fy, fx = data.operator.factor
            drawn = settled(drawn, variance, single, noise(1).to(drawn)[..., ::fy, ::fx])
        return self._explaining(drawn, variance, single).to(data.y)

    def _fluxes(self, drawn: Tensor, told: Estimate, data: Observation, noise: Callable[[int], Tensor]) -> Tensor:
        stretch = self.model.stretch
        x, variance = stretch.inverse(drawn), (told.deviation * stretch.slope(drawn)).square()
        self._refuse_infinite(x)
        if data.exact:
            return self._explaining(x, variance, data)
        fy, fx = data.operator.factor
        return reconciled(x, variance, data, noise(1).to(x)[..., ::fy, ::fx])

    def _refuse_infinite(self, x: Tensor) -> None:
        if not bool(torch.isfinite(x).all()):
            raise SearchError(f"{self.card.name}: a sample is not finite; check the noise level of the data")

    def _checked(self, data: Observation) -> Observation:
        if not self.closed(data.operator):
            what = "sums of blocks" if self.flux else "instruments that are the same everywhere"
            raise SearchError(
                f"{self.card.name} answers {what}, with factors up to {LARGEST_FACTOR}, not "
                f"{data.operator.describe()}; use another generator"
            )
        return replace(data, y=data.y.float(), variance=data.variance.float())

    def _explaining(self, x: Tensor, variance: Tensor, data: Observation) -> Tensor:
        """Noise-free data are explained exactly: block means where the network doubts most, others as the prior would.

        Noisy data are never forced: the network was told how noisy they are.
        """
        if not data.exact:
            return x
        operator = data.operator
        if isinstance(_bare(operator), Area):  # blocks share no pixel
            return moved(x, torch.where(data.usable, data.y - operator.forward(x), 0.0), variance, operator)
        quiet = torch.full_like(data.y, QUIET**2)
        for _ in range(ROUNDS):
            rest = torch.where(data.usable, data.y - operator.forward(x), 0.0)
            x = x + correction(rest, quiet, data.usable, operator, self.model.prior)
        return x


def _bare(operator: Operator) -> Operator:
    """The operator without a scale."""
    return operator.operator if isinstance(operator, Scaled) else operator


def config_of(model: Model, settings: Settings) -> dict[str, Any]:
    """What the family's ``build`` needs beside tensors and card."""
    told = {} if model.stretch.linear else {"stretch": model.stretch.to_config()}
    return {"shape": model.network.shape.to_config(), "prior": model.prior.to_config(), **told, **settings.to_config()}
