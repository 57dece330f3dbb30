"""Small networks of the flow and engression families with random weights, generators of them, pictures to train on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import torch

from gensr.generators.engression.generator import Engression
from gensr.generators.engression.generator import Settings as EngressionSettings
from gensr.generators.engression.model import Model as EngressionModel
from gensr.generators.engression.network import Network as EngressionNetwork
from gensr.generators.engression.network import Shape as EngressionShape
from gensr.generators.engression.prior import Prior
from gensr.generators.flow.generator import Flow, Settings
from gensr.generators.flow.model import Model, Scales
from gensr.generators.flow.network import Network, Shape
from gensr.priors.card import GeneratorCard
from gensr.priors.stretch import Stretch

FloatArray = npt.NDArray[np.float32]


@pytest.fixture(scope="session")
def scales() -> Scales:
    return Scales({1: 0.3, 2: 0.05, 4: 0.1, 8: 0.15})


@pytest.fixture(scope="session")
def random_network() -> Callable[..., Network]:
    """A network in which every layer matters: those that start at zero get numbers too."""

    def make(bands: int = 1, aligned: bool = False, seed: int = 3) -> Network:
        torch.manual_seed(seed)
        network = Network(Shape(bands, 2, (8, 12), 1, 8, aligned))
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        return network.eval().requires_grad_(False)

    return make


@pytest.fixture(scope="session")
def flow_of(random_network: Callable[..., Network], scales: Scales) -> Callable[..., Flow]:
    """A flow in single precision; a new one on every call."""

    def make(bands: int = 1, aligned: bool = False, stretch: Stretch | None = None, side: int = 64) -> Flow:
        card = GeneratorCard(
            "flow-toy", "flow", "microscopy", bands, aligned, "none", (0.0, 1.0), "1 px", "CC0", "none", "none",
            "by hand", bias="all", audit="none", discrepancy=0.0,
        )  # fmt: skip
        network = random_network(bands, aligned)
        return Flow(Model(network, scales, half=False), card, Settings(stretch or Stretch(), side=side))

    return make


@pytest.fixture(scope="session")
def discs() -> Callable[..., list[FloatArray]]:
    """Pictures (band, side, side) of soft discs on a slope, 0..255."""

    def make(count: int = 12, side: int = 40, bands: int = 1, seed: int = 0) -> list[FloatArray]:
        rng = np.random.default_rng(seed)
        y, x = np.mgrid[:side, :side] / side
        images = []
        for _ in range(count):
            image = 40 + 60 * np.stack([x * rng.uniform(0, 1) + y * rng.uniform(0, 1) for _ in range(bands)])
            for _ in range(6):
                cy, cx, r = rng.uniform(0, 1), rng.uniform(0, 1), rng.uniform(0.05, 0.15)
                disc = 1 / (1 + np.exp((np.hypot(y - cy, x - cx) - r) * 60))
                image += disc * rng.uniform(-40, 120, (bands, 1, 1))
            images.append(np.clip(image, 0, 255).astype(np.float32))
        return images

    return make


@pytest.fixture(scope="session")
def engression_of() -> Callable[..., Engression]:
    """An engression in single precision in which every layer matters; a new one on every call."""

    def make(bands: int = 1, seed: int = 3, aligned: bool = False) -> Engression:
        torch.manual_seed(seed)
        network = EngressionNetwork(EngressionShape(bands, 2, (8, 12), 1, 8, aligned, 4))
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(0.05 * torch.randn_like(parameter))
        card = GeneratorCard(
            "engression-toy", "engression", "microscopy", bands, aligned, "none", (0.0, 1.0), "1 px", "CC0", "none",
            "none", "by hand", bias="all", audit="none", discrepancy=0.0,
        )  # fmt: skip
        model = EngressionModel(network.requires_grad_(False), Prior(0.5, 1e-3, 0.03, 2.2), half=False)
        return Engression(model, card, EngressionSettings())

    return make
