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

from .mixture import Mixture
from .parameters import LEVEL_DEVIATION, MixtureParameters
from .pca import Pca, PcaParameters


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
        form = config.get("form")
        try:
            if form == "mixture":
                return _mixture(tensors, config, card)
            if form == "pca":
                return _pca(tensors, card)
        except KeyError as error:
            raise WeightsError(f"{card.name}: {error.args[0]!r} is missing; fetch the file again") from error
        raise WeightsError(f"{card.name}: unknown form {form!r} of the gaussian family; this gensr is too old for it")


def _check(card: GeneratorCard, tensors: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]]) -> None:
    for name, shape in shapes.items():
        if tuple(tensors[name].shape) != shape:
            raise WeightsError(f"{card.name}: tensor {name!r} is not of shape {shape}; fetch the file again")


def _mixture(tensors: Mapping[str, Tensor], config: Mapping[str, Any], card: GeneratorCard) -> Mixture:
    side, level = int(config["side"]), float(config.get("level", LEVEL_DEVIATION))
    k, depth, rank = tensors["directions"].shape
    d = side * side - 1
    shapes = {"weight": (k,), "mean": (k, d), "remainder": (k, d), "directions": (k, min(depth, d), rank)}
    _check(card, tensors, shapes)
    directions = torch.nn.functional.pad(tensors["directions"].float(), (0, 0, 0, d - depth))
    remainder = tensors["remainder"].float().exp()  # stored as logarithm: half precision holds its whole range
    weight, mean = tensors["weight"].float(), tensors["mean"].float()
    return Mixture(MixtureParameters.with_level(side, weight, mean, directions, remainder, level), card)


def _pca(tensors: Mapping[str, Tensor], card: GeneratorCard) -> Pca:
    count, bands, side, _ = tensors["components"].shape
    extent = tensors["power"].shape[-1]
    shapes = {
        "mean": (card.bands, side, side),
        "components": (count, card.bands, side, side),
        "power": (bands, extent, extent),
    }
    _check(card, tensors, shapes)
    mean, components, power = tensors["mean"].float(), tensors["components"].float(), tensors["power"].float().exp()
    return Pca(PcaParameters(mean, components, power), card)


FAMILY = Gaussian()
