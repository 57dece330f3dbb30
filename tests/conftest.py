"""Settings of every test: the same examples on every run, and no time limits that a busy machine would break.

And a generator whose posterior is known to the last digit, for tests of everything that stands around a generator.
"""

from dataclasses import replace

import pytest
import torch
from hypothesis import settings

from gensr.operators import Area
from gensr.pipeline.task import Prior, Task
from gensr.priors.card import GeneratorCard
from gensr.priors.generator import NO_OPTIONS, Cost, Generator
from gensr.priors.observation import Moments
from gensr.search.posterior import method_of
from gensr.search.presets import PRESETS
from gensr.values.latent import LatentSpec, LatentTensor
from gensr.values.noise import GaussianNoise
from gensr.values.normalise import AffineNormaliser

settings.register_profile("gensr", deadline=None, derandomize=True)
settings.load_profile("gensr")


@pytest.fixture(autouse=True)
def _same_numbers_every_time():
    """Tests that draw without a generator of their own draw the same numbers in any order and process."""
    torch.manual_seed(0)


CARD = GeneratorCard("white", "gaussian", "microscopy", 1, False, "1", (0.0, 1.0), *["none"] * 7, discrepancy=0.0)
LEVEL, SPREAD = 0.5, 0.1


class White(Generator):
    """White noise of deviation `SPREAD` about `LEVEL`, seen through area integration: nothing about it is a guess.

    A block of ``m`` pixels has the mean ``LEVEL`` and the variance ``b = SPREAD^2 / m``; a datum ``y`` of it with noise
    variance ``v`` moves every pixel by ``b / (b + v) (y - LEVEL)`` and takes ``b^2 / (b + v)`` of its variance.
    """

    def __init__(self, *capabilities, cost=None, **card):
        self.capabilities = frozenset(capabilities or ("posterior", "draw", "evidence"))
        self.card, self.price = replace(CARD, **card), cost

    def to(self, device):
        return self

    def latents(self, shape):
        return LatentSpec((LatentTensor("pixels", (self.card.bands, *shape)),))

    def synthesize(self, latents, shape, stage=None):
        return LEVEL + SPREAD * latents["pixels"]

    def _gain(self, data):
        fy, fx = data.operator.factor
        block = SPREAD**2 / (fy * fx)
        gain = torch.where(data.usable, block / (block + data.variance), 0.0)
        return block, gain, lambda t: t.repeat_interleave(fy, -2).repeat_interleave(fx, -1)

    def posterior(self, data, options=NO_OPTIONS):
        block, gain, fine = self._gain(data)
        y = torch.where(data.usable, data.y, 0.0)
        return Moments(LEVEL + fine(gain * (y - LEVEL)), SPREAD**2 - fine(block * gain))

    def draw(self, data, noise, options=NO_OPTIONS):
        _, gain, fine = self._gain(data)
        fy, fx = data.operator.factor
        free = LEVEL + SPREAD * noise(0)
        y = torch.where(data.usable, data.y + data.variance.sqrt() * noise(1)[..., ::fy, ::fx], 0.0)
        return free + fine(gain * (y - data.operator.forward(free)))

    def evidence(self, data):
        block, _, _ = self._gain(data)
        spread = block + data.variance
        density = -0.5 * ((data.y - LEVEL) ** 2 / spread + torch.log(2 * torch.pi * spread))
        return density.flatten(1).mean(1)

    def cost(self, operator, options=NO_OPTIONS):
        return None if self.price is None else Cost(*self.price)


@pytest.fixture
def white():
    """The class of the exactly known generator."""
    return White


@pytest.fixture
def make_task():
    """A task on the exactly known generator."""

    def make(generator=None, gain=(1.0,), offset=(0.0,), **changes):
        generator = generator or White()
        operator = changes.pop("operator", Area(2))
        settled = {
            "noise_model": GaussianNoise(0.05),
            "exact": False,
            "conformal": (1.0,) * len(gain),
            "preset": PRESETS["balanced"],
            "samples": 0,
            "seed": 0,
            "quantum": 0.0,
            **changes,
        }
        settled.setdefault("method", method_of(generator, operator, settled["preset"]))
        return Task(operator, Prior(generator, None), AffineNormaliser(gain, offset), **settled)

    return make
