"""The flow generator: a learned prior that answers data of block means directly, and everything else by guided draws.

Told the data, the network's denoised image at a noise level where the noisy image says nothing is ``E[x | y]``, and its
variance head gives the variance: mean and deviation cost one evaluation. From there down, ``p(x | y)`` is sampled by
carrying noise along the flow. Without noise every step is projected onto the data, weighted by the network's variance.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from gensr.errors import SearchError
from gensr.generator import Capability, Generator, GeneratorCard, Moments, Observation
from gensr.grid import Factor
from gensr.latent import Latents, LatentSpec, LatentTensor
from gensr.operators import Area, Operator
from gensr.operators.scaled import Scaled
from gensr.search.guided import RHO, integrate

from .hint import CENTRE, Hint, hint
from .model import BLIND, Model, Prediction
from .stretch import Stretch

FIRST = 3.0
"""Noise level after the blind step, in units of the spread: the posterior is drowned in it."""
LAST = 0.06
"""Last noise level, in units of the spread."""
MAP_STEPS = 6
"""Evaluations of the map from noise to image that latent searches run through."""
MAP_LAST = 0.02
REACH = 40
"""High-resolution pixels beyond which the network's answer hardly changes."""
LARGEST_FACTOR = 16
BEYOND = 1.5
"""Aligned pictures may be so many times larger than those of training."""


@dataclass(frozen=True)
class Settings:
    """What a weights file says beside network and scales.

    Attributes:
        stretch: between generator units and those of the network.
        companion: name of the generator that has the evidence and serves other operators; "" for none.
        side: of the training images, pixels.
        scaling: how physical values became generator units in training: "unit", or the percentiles "low" and "high".
        flux: whether values are summed by instruments; images are then scaled by the factor (see `gensr.plan.prepare`).
    """

    stretch: Stretch
    companion: str = ""
    side: int = 64
    scaling: Mapping[str, float] = field(default_factory=dict)
    flux: bool = False


class Flow(Generator):
    """See the module text.

    Args:
        model: network and scales.
        card: its card.
        settings: see `Settings`.
        device: where the network lives.
    """

    def __init__(self, model: Model, card: GeneratorCard, settings: Settings, device: str = "cpu") -> None:
        network = model.network.to(device, memory_format=torch.channels_last).eval().requires_grad_(False)
        self.model = replace(model, network=network, half=model.half and fast_half(device))
        self.exact = replace(self.model, half=False)
        self.card, self.settings, self.device = card, settings, device
        self.stretch, self.companion = settings.stretch, settings.companion
        self.scaling, self.flux = settings.scaling, settings.flux
        able: set[Capability] = {"posterior", "draw"}
        if self.stretch.linear:
            able.add("denoise")
        self.capabilities = frozenset(able)

    def to(self, device: str) -> Flow:
        """See `Generator.to`."""
        if device == self.device:
            return self
        copy = type(self.model.network)(self.model.network.shape)
        copy.load_state_dict(self.model.network.state_dict())
        return Flow(replace(self.model, network=copy, half=True), self.card, self.settings, device)

    def closed(self, operator: Operator) -> bool:
        """See `Generator.closed`: block means with equal factors, as in training."""
        inner = operator.operator if isinstance(operator, Scaled) else operator
        fy, fx = operator.factor
        return isinstance(inner, Area) and fy == fx and 2 <= fy <= LARGEST_FACTOR

    def serves(self, operator: Operator, shape: tuple[int, int]) -> bool:
        """See `Generator.serves`: aligned content not far beyond the size of training."""
        fits = not self.card.aligned or max(shape) <= BEYOND * self.settings.side
        return fits and (self.closed(operator) or "denoise" in self.capabilities)

    # Prior

    def latents(self, shape: tuple[int, int]) -> LatentSpec:
        """See `Generator.latents`: the noise that the flow turns into an image."""
        if min(shape) < 1 or (self.card.aligned and shape[0] != shape[1]):
            raise SearchError(f"{self.card.name} cannot make an image of {shape[1]} x {shape[0]} pixels")
        return LatentSpec((LatentTensor("noise", (self.card.bands, *shape)),))

    def synthesize(self, latents: Latents, shape: tuple[int, int]) -> Tensor:
        """See `Generator.synthesize`: the deterministic flow in a few steps."""
        return self.generate(latents["noise"], MAP_STEPS)

    def generate(self, noise: Tensor, steps: int, renoise: Callable[[int], Tensor] | None = None) -> Tensor:
        """Images of noise (n, band, rows, cols), unconditional.

        Args:
            noise: standard normal.
            steps: evaluations of the network.
            renoise: fresh noise by step, for a stochastic path; None for the deterministic map.
        """
        n, _, *shape = noise.shape
        free = Hint.none(n, self.card.bands, (shape[0], shape[1]), noise.device)
        scale = self.model.scales.by_factor[1]
        sigmas = (
            [BLIND * scale, *_falling(FIRST * scale, MAP_LAST * scale, steps - 1)] if steps > 1 else [BLIND * scale]
        )
        model = self.exact if noise.requires_grad else self.model

        def denoise(x: Tensor, sigma: float) -> Tensor:
            return model(x, x.new_full((n,), sigma), free).mean

        start = CENTRE + sigmas[0] * noise
        path = integrate(denoise, start, sigmas, renoise or (lambda _: noise), 1.0 if renoise else 0.0)
        return self.stretch.inverse(path)

    def denoise(self, x: Tensor, sigma: Tensor, at_end: tuple[bool, bool] = (True, True)) -> Tensor:
        """See `Generator.denoise`; for a generator without stretch."""
        if not self.stretch.linear:
            return super().denoise(x, sigma, at_end)
        free = Hint.none(len(x), self.card.bands, (x.shape[-2], x.shape[-1]), x.device)
        model = self.exact if torch.is_grad_enabled() else self.model
        return model(x.float(), sigma.float(), free).mean.to(x)

    def context(self, operator: Operator) -> int:
        """See `Generator.context`."""
        return 0 if self.card.aligned else math.ceil(REACH / min(operator.factor))

    def alignment(self, operator: Operator) -> int:
        """See `Generator.alignment`: tiles start on the network's coarsest grid."""
        multiple = self.model.network.shape.multiple
        return max(multiple // math.gcd(multiple, f) for f in operator.factor)

    # Posterior

    def _hint(self, data: Observation) -> Hint:
        u = self.stretch.forward(data.y)
        variance = torch.zeros_like(data.y) if data.exact else data.variance.clamp(min=0)
        deviation = variance.sqrt() / self.stretch.slope(u)
        return hint(u, deviation, data.usable, data.operator.factor)

    def _blind(self, told: Hint, noise: Tensor) -> tuple[Prediction, Tensor]:
        sigma = self.model.blind(told)
        return self.model(told.base + sigma.view(-1, 1, 1, 1) * noise, sigma, told), sigma

    def posterior(self, data: Observation, stride: int | Factor = 1) -> Moments:
        """See `Generator.posterior`: one evaluation of the network. ``stride`` has no effect.

        Raises:
            SearchError: an operator that the network was not trained for, see `closed`.
        """
        self._check(data.operator)
        told = self._hint(data)
        found, _ = self._blind(told, torch.zeros_like(told.base))
        mean = self._consistent(found.mean, found.variance, data)
        slope = self.stretch.slope(mean)
        variance = found.variance * slope * slope
        return Moments(self._level(mean, found.variance), variance)

    def _level(self, mean: Tensor, variance: Tensor) -> Tensor:
        return self.stretch.inverse(mean)

    def draw(self, data: Observation, noise: Callable[[int], Tensor], steps: int = 8) -> Tensor:
        """See `Generator.draw`: ``steps`` evaluations of the network."""
        self._check(data.operator)
        told = self._hint(data)
        scale = float(self.model.scales(told.factor, told.given)[0])
        typical = math.hypot(scale, math.sqrt(0.7) * float(told.noise.median()))
        blind = BLIND * typical
        sigmas = [blind, *_falling(FIRST * typical, LAST * typical, max(1, steps - 1))]

        def denoise(x: Tensor, sigma: float) -> Tensor:
            found = self.model(x, x.new_full((len(x),), sigma), told)
            return self._consistent(found.mean, found.variance, data)

        start = told.base + blind * noise(0).to(told.base)
        drawn = integrate(denoise, start, sigmas, noise, 0.0)
        if not bool(torch.isfinite(drawn).all()):
            raise SearchError(f"{self.card.name}: a sample is not finite; check the noise level of the data")
        return self.stretch.inverse(drawn)

    def _check(self, operator: Operator) -> None:
        if not self.closed(operator):
            raise SearchError(
                f"{self.card.name} answers block means by 2 to {LARGEST_FACTOR}, not {operator.describe()}; "
                "use guided draws (search=posterior) or another generator"
            )

    def _consistent(self, u: Tensor, variance: Tensor, data: Observation) -> Tensor:
        """Noise-free data are explained exactly, where the network doubts most; noisy data it knows already."""
        if not data.exact:
            return u
        slope = self.stretch.slope(u)
        weight = variance * slope * slope
        operator = data.operator
        x = self.stretch.inverse(u)
        share = operator.forward(weight)
        rest = torch.where(data.usable, data.y - operator.forward(x), 0.0)
        area = operator.factor[0] * operator.factor[1]
        moved = x + weight * operator.adjoint(rest / share.clamp(min=1e-20)) * area / operator.gain**2
        return self.stretch.forward(moved)


def _falling(first: float, last: float, count: int) -> list[float]:
    high, low = first ** (1 / RHO), last ** (1 / RHO)
    return [float((high + i / max(1, count - 1) * (low - high)) ** RHO) for i in range(count)]


def fast_half(device: str) -> bool:
    """Whether bfloat16 convolutions are native: on CUDA, and on processors that have them."""
    if torch.device(device).type != "cpu":
        return True
    return bool(torch.cpu.get_capabilities().get("avx512_bf16") or torch.cpu.get_capabilities().get("amx_bf16"))
