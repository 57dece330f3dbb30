"""The flow generator: a learned prior that answers data of block means directly, and everything else by guided draws.

Told the data, the network's denoised image at a noise level where the noisy image says nothing is ``E[x | y]``, and its
variance head gives the variance: mean and deviation cost one evaluation. From there down, ``p(x | y)`` is sampled by
carrying noise along the flow. Without noise every step is projected onto the data, weighted by the network's variance.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from gensr.errors import SearchError
from gensr.operators import Area, Operator
from gensr.operators.scaled import Scaled
from gensr.priors.card import GeneratorCard
from gensr.priors.diffusion import integrate, karras
from gensr.priors.generator import NO_OPTIONS, Capability, Cost, Generator, Options, Stage
from gensr.priors.observation import Moments, Observation
from gensr.priors.stretch import NOISE_UNIT, Stretch
from gensr.priors.unet import fast_half, place
from gensr.values.latent import Latents, LatentSpec, LatentTensor
from gensr.values.normalise import AffineNormaliser

from .hint import CENTRE, Hint, hint
from .model import BLIND, NOISE_IN_BASE, Model
from .network import Network

FIRST = 3.0
"""Noise level after the blind step, in units of the spread: the posterior is drowned in it."""
LAST = 0.15
"""Last noise level, in units of the spread: below it a network leaves more grain than it adds detail."""
MAP_STEPS = 6
"""Evaluations of the map from noise to image that latent searches run through."""
MAP_LAST = 0.02
REACH = 40
"""High-resolution pixels beyond which the network's answer hardly changes."""
LARGEST_FACTOR = 16
MEMORY = 450.0
"""Bytes per pixel and band that an evaluation holds, measured on the shipped networks."""
BEYOND = 1.5
"""Aligned pictures may be so many times larger than those of training."""


@dataclass(frozen=True)
class Settings:
    """What a weights file says beside network and scales.

    Attributes:
        stretch: between generator units and those of the network.
        fallback: name of the generator that has the evidence and serves other operators; "" for none.
        side: of the training images, pixels.
        scaling: how physical values became generator units in training: "unit", or the percentiles "low" and "high".
        flux: whether values are summed by instruments; images are then scaled by the factor.
    """

    stretch: Stretch
    fallback: str = ""
    side: int = 64
    scaling: Mapping[str, float] = field(default_factory=dict)
    flux: bool = False

    @staticmethod
    def from_config(config: Mapping[str, Any]) -> Settings:
        """Inverse of `to_config`.

        Raises:
            KeyError, ValueError, TypeError, AttributeError: no such settings.
        """
        fallback, side, flux = config.get("companion", ""), config["side"], config.get("flux", False)
        scaling = {str(k): float(v) for k, v in config.get("scaling", {}).items()}
        if type(fallback) is not str or type(flux) is not bool or type(side) is not int or not 1 <= side <= 1 << 20:
            raise ValueError(f"companion {fallback!r}, side {side!r} and flux {flux!r} are no settings")
        if not all(math.isfinite(v) for v in scaling.values()):
            raise ValueError(f"scaling {scaling} is not finite")
        return Settings(Stretch.from_config(config["stretch"]), fallback, side, scaling, flux)

    def to_config(self) -> dict[str, Any]:
        """As JSON-able dictionary."""
        return {
            "stretch": self.stretch.to_config(),
            "companion": self.fallback,
            "side": self.side,
            "scaling": dict(self.scaling),
            "flux": self.flux,
        }


class Flow(Generator):
    """See the module text.

    Args:
        model: network and scales.
        card: its card.
        settings: see `Settings`.
        device: where the network lives.
    """

    approximate: ClassVar[bool] = True
    options: ClassVar[Options] = {"network_steps": 8}
    """Evaluations of the network for each sample."""

    def __init__(self, model: Model, card: GeneratorCard, settings: Settings, device: str = "cpu") -> None:
        network = place(model.network, device).eval().requires_grad_(False)
        self.model = replace(model, network=network, half=model.half and fast_half(device))
        self.exact, self.fast = replace(self.model, half=False), model.half
        self.card, self.settings, self.device = card, settings, device
        self.stretch, self.fallback = settings.stretch, settings.fallback
        self.scaling, self.flux = settings.scaling, settings.flux
        able: set[Capability] = {"posterior", "draw"}
        if self.stretch.linear:
            able.add("denoise")
        self.capabilities = frozenset(able)

    def to(self, device: str) -> Flow:
        """See `Generator.to`."""
        if device == self.device:
            return self
        copy = Network(self.model.network.shape)
        copy.load_state_dict(self.model.network.state_dict())
        return Flow(replace(self.model, network=copy, half=self.fast), self.card, self.settings, device)

    def precise(self) -> Flow:
        """See `Generator.precise`."""
        return self if not self.fast else Flow(self.exact, self.card, self.settings, self.device)

    @property
    def precision(self) -> str:
        """See `Generator.precision`."""
        return "bfloat16" if self.model.half else "float32"

    def closed(self, operator: Operator) -> bool:
        """See `Generator.closed`: block means with equal factors, as in training."""
        inner = operator.operator if isinstance(operator, Scaled) else operator
        fy, fx = operator.factor
        return isinstance(inner, Area) and fy == fx and 2 <= fy <= LARGEST_FACTOR

    def serves(self, operator: Operator, shape: tuple[int, int]) -> bool:
        """See `Generator.serves`: aligned content not far beyond the size of training."""
        fits = not self.card.aligned or max(shape) <= self._largest
        return fits and (self.closed(operator) or "denoise" in self.capabilities)

    @property
    def _largest(self) -> int:
        return int(BEYOND * self.settings.side)

    # Prior

    def latents(self, shape: tuple[int, int]) -> LatentSpec:
        """See `Generator.latents`: the noise that the flow turns into an image."""
        if min(shape) < 1 or (self.card.aligned and (shape[0] != shape[1] or max(shape) > self._largest)):
            sizes = f"square ones of up to {self._largest} pixels a side" if self.card.aligned else "any from 1 x 1"
            raise SearchError(f"{self.card.name} cannot make an image of {shape[1]} x {shape[0]} pixels, but {sizes}")
        return LatentSpec((LatentTensor("noise", (self.card.bands, *shape)),))

    def synthesize(self, latents: Latents, shape: tuple[int, int], stage: Stage | None = None) -> Tensor:
        """See `Generator.synthesize`: the deterministic flow in a few steps, in single precision."""
        return self._generate(self.exact, latents["noise"], MAP_STEPS)

    def generate(self, noise: Tensor, steps: int) -> Tensor:
        """Images of noise (n, band, rows, cols), unconditional, by the deterministic flow.

        Args:
            noise: standard normal.
            steps: evaluations of the network.
        """
        return self._generate(self.model, noise, steps)

    def _generate(self, model: Model, noise: Tensor, steps: int) -> Tensor:
        n, _, *shape = noise.shape
        free = Hint.none(n, self.card.bands, (shape[0], shape[1]), noise.device)
        scale = model.scales.by_factor[1]
        sigmas = [BLIND * scale, *karras(FIRST * scale, MAP_LAST * scale, steps - 1)]

        def denoise(x: Tensor, sigma: float) -> Tensor:
            return model(x, x.new_full((n,), sigma), free).mean

        start = CENTRE + sigmas[0] * noise.float()
        return self.stretch.inverse(integrate(denoise, start, sigmas, lambda _: noise, 0.0)).to(noise)

    def denoise(self, x: Tensor, sigma: Tensor, at_end: tuple[bool, bool] = (True, True)) -> Tensor:
        """See `Generator.denoise`; for a generator without stretch."""
        if not self.stretch.linear:
            return super().denoise(x, sigma, at_end)
        free = Hint.none(len(x), self.card.bands, (x.shape[-2], x.shape[-1]), x.device)
        model = self.exact if torch.is_grad_enabled() else self.model
        return model(x.float(), sigma.float(), free).mean.to(x)

    def normaliser(self, normaliser: AffineNormaliser, pixels: float) -> AffineNormaliser:
        """See `Generator.normaliser`; fluxes are in units of the noise of a datum."""
        if not self.settings.flux:
            return super().normaliser(normaliser, pixels)
        return AffineNormaliser(tuple(g * NOISE_UNIT for g in normaliser.gain), normaliser.offset)

    def context(self, operator: Operator) -> int:
        """See `Generator.context`."""
        return 0 if self.card.aligned else math.ceil(REACH / min(operator.factor))

    def alignment(self, operator: Operator, options: Options = NO_OPTIONS) -> int:
        """See `Generator.alignment`: tiles start on the network's coarsest grid."""
        multiple = self.model.network.shape.multiple
        return max(multiple // math.gcd(multiple, f) for f in operator.factor)

    def cost(self, operator: Operator, options: Options = NO_OPTIONS) -> Cost:
        """See `Generator.cost`: counted on the network itself."""
        work = self.model.network.shape.work / self.card.bands
        return Cost(work, work * self.option(options, "network_steps"), MEMORY)

    # Posterior

    def _hint(self, data: Observation) -> Hint:
        u = self.stretch.forward(data.y)
        variance = torch.zeros_like(data.y) if data.exact else data.variance.clamp(min=0)
        deviation = variance.sqrt() / self.stretch.slope(u)
        return hint(u, deviation, data.usable, data.operator.factor)

    def posterior(self, data: Observation, options: Options = NO_OPTIONS) -> Moments:
        """See `Generator.posterior`: one evaluation of the network.

        Raises:
            SearchError: an operator that the network was not trained for, see `closed`.
        """
        self._check(data.operator)
        single = _single(data)
        told = self._hint(single)
        found = self.model(told.base, self.model.blind(told), told)
        mean, variance = self.stretch.moments(found.mean, found.variance)
        return Moments(self._corrected(mean, variance, single).to(data.y), variance.to(data.y))

    def draw(self, data: Observation, noise: Callable[[int], Tensor], options: Options = NO_OPTIONS) -> Tensor:
        """See `Generator.draw`: ``network_steps`` evaluations of the network."""
        self._check(data.operator)
        steps = int(self.option(options, "network_steps"))
        single = _single(data)
        told = self._hint(single)
        # In units of each image's own spread: what else is in the batch does not matter.
        own = self.model.scales(told.factor, told.given)
        unit = (own.square() + NOISE_IN_BASE * told.noise.flatten(1).median(1).values.square()).sqrt()
        wide = unit.view(-1, 1, 1, 1)

        def denoise(x: Tensor, sigma: float) -> Tensor:
            found = self.model(x * wide, sigma * unit, told)
            return self.stretch.forward(self._explaining(found.mean, found.variance, single)) / wide

        start = told.base / wide + BLIND * noise(0).to(told.base)
        sigmas = [BLIND, *karras(FIRST, LAST, steps - 1)]
        drawn = wide * integrate(denoise, start, sigmas, noise, 0.0)
        if not bool(torch.isfinite(drawn).all()):
            raise SearchError(f"{self.card.name}: a sample is not finite; check the noise level of the data")
        # Once more in generator units, because the stretch rounds.
        return self._explaining(drawn, torch.ones_like(drawn), single).to(data.y)

    def _check(self, operator: Operator) -> None:
        if not self.closed(operator):
            raise SearchError(
                f"{self.card.name} answers block means by 2 to {LARGEST_FACTOR}, not {operator.describe()}; "
                "use guided draws (search=posterior) or another generator"
            )

    def _explaining(self, u: Tensor, variance: Tensor, data: Observation) -> Tensor:
        """In generator units. Noise-free data are explained exactly, where the network doubts most.

        Noisy data are never forced: the network was told how noisy they are.
        """
        slope = self.stretch.slope(u)
        return self._corrected(self.stretch.inverse(u), variance * slope * slope, data)

    def _corrected(self, x: Tensor, weight: Tensor, data: Observation) -> Tensor:
        """The same for an image and its variance, both in generator units."""
        if not data.exact:
            return x
        operator = data.operator
        rest = torch.where(data.usable, data.y - operator.forward(x), 0.0)
        share = (rest / operator.forward(weight).clamp(min=1e-20)).repeat_interleave(operator.factor[0], -2)
        return x + weight * share.repeat_interleave(operator.factor[1], -1)


def _single(data: Observation) -> Observation:
    return replace(data, y=data.y.float(), variance=data.variance.float())


def config_of(model: Model, settings: Settings) -> dict[str, Any]:
    """What the family's ``build`` needs beside tensors and card."""
    return {
        "shape": model.network.shape.to_config(),
        "scales": model.scales.to_config(),
        **settings.to_config(),
    }
