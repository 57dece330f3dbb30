"""Registration of the gaussian family: rebuilding generators from weights, and training them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gensr.errors import WeightsError
from gensr.priors.card import GeneratorCard
from gensr.priors.generator import Generator, Options
from gensr.priors.schema import Number, Record, Text, Whole, check_config, check_shapes

from .mixture import Mixture
from .parameters import LEVEL_DEVIATION, MixtureParameters
from .pca import Pca, PcaParameters

FORM = Record({"form": Text(20, "mixture|pca")})
MIXTURE = Record({"side": Whole(2, 256)}, {"level": Number(1e-6, 1e9)})
LARGEST = 1 << 30
"""Numbers in the directions of a mixture."""
SIDE = 4096
"""Side of aligned pictures, pixels."""
LOGARITHM = 80.0
"""Largest logarithm whose exponential is finite in single precision, and so is its inverse."""


class Gaussian:
    """See `gensr.priors.generator.Family`."""

    name = "gaussian"
    options: Options = Mixture.options
    train_options: Mapping[str, str] = {
        "domain": "field of science whose files and defaults are used",
        "data": "folder, .zip, .npz or image to train on; several with commas between",
        "validation": "the same for model choice and calibration (default: every tenth training image)",
        "name": "name of the new generator (default: gaussian-<domain>-own)",
        "form": "mixture (fields of any size) or pca (aligned square pictures)",
        "output": "folder to write the weights into (default: the user's own, where gensr finds them)",
        "components": "Gaussians of a mixture, or principal components",
        "rank": "directions of every Gaussian of a mixture",
        "windows": "training windows of a mixture",
        "passes": "passes of expectation maximisation",
        "side": "side of a mixture's windows, or of the principal components, pixels",
        "low": "percentile of an image that becomes 0",
        "high": "percentile of an image that becomes 1",
        "unit": "one scale for all images instead of percentiles: the value that becomes 1",
        "jitter": "deviation of the logarithm of a random contrast that every window gets",
        "level": "prior deviation of the level of a window, generator units: well above the values that occur",
        "licence": "licence of the weights, for the card",
        "source": "the training data in words, for the card",
        "pixel": "pixel size of the training images in words, for the card",
        "seed": "of all random choices",
    }

    def train(self, options: Mapping[str, str], progress: Callable[[int, int], None] | None) -> Path:
        """See `gensr.priors.generator.Family.train`."""
        from .training import train

        return train(options, progress)

    def build(self, tensors: Mapping[str, Tensor], config: Mapping[str, Any], card: GeneratorCard) -> Generator:
        """See `gensr.priors.generator.Family.build`."""
        check_config(FORM, config, card.name)
        if config["form"] == "mixture":
            return _mixture(tensors, config, card)
        return _pca(tensors, card)


def _mixture(tensors: Mapping[str, Tensor], config: Mapping[str, Any], card: GeneratorCard) -> Mixture:
    check_config(MIXTURE, config, card.name)
    side, level = config["side"], float(config.get("level", LEVEL_DEVIATION))
    d = side * side - 1
    check_shapes(tensors, {"directions": (None, None, None)}, card.name)
    k, depth, rank = tensors["directions"].shape
    check_shapes(
        tensors,
        {"weight": (k,), "mean": (k, d), "remainder": (k, d), "directions": (k, min(depth, d), min(rank, d))},
        card.name,
    )
    if k * d * rank > LARGEST or card.aligned or card.bands != 1:
        raise WeightsError(f"{card.name}: {k} Gaussians of {rank} directions of {d}; fetch the file again")
    if bool((tensors["weight"] < 0).any()) or not bool((tensors["weight"] > 0).any()):
        raise WeightsError(f"{card.name}: tensor 'weight' holds no shares; fetch the file again")
    _check_logarithm(tensors["remainder"], "remainder", card)
    directions = torch.nn.functional.pad(tensors["directions"].float(), (0, 0, 0, d - depth))
    remainder = tensors["remainder"].float().exp()  # stored as logarithm: half precision holds its whole range
    weight, mean = tensors["weight"].float(), tensors["mean"].float()
    return Mixture(MixtureParameters.with_level(side, weight, mean, directions, remainder, level), card)


def _pca(tensors: Mapping[str, Tensor], card: GeneratorCard) -> Pca:
    check_shapes(tensors, {"components": (None, card.bands, None, None), "power": (card.bands, None, None)}, card.name)
    count, bands, side, _ = tensors["components"].shape
    extent = tensors["power"].shape[-1]
    shapes = {
        "mean": (bands, side, side),
        "components": (count, bands, side, side),
        "power": (bands, extent, extent),
    }
    check_shapes(tensors, shapes, card.name)
    if not card.aligned or max(side, extent) > SIDE:
        raise WeightsError(f"{card.name}: aligned pictures of {side} and {extent} pixels; fetch the file again")
    _check_logarithm(tensors["power"], "power", card)
    mean, components, power = tensors["mean"].float(), tensors["components"].float(), tensors["power"].float().exp()
    return Pca(PcaParameters(mean, components, power), card)


def _check_logarithm(tensor: Tensor, name: str, card: GeneratorCard) -> None:
    if not float(tensor.float().abs().max()) <= LOGARITHM:
        raise WeightsError(f"{card.name}: tensor {name!r} holds logarithms beyond {LOGARITHM}; fetch the file again")


FAMILY = Gaussian()
