"""Registration of the gaussian family: rebuilding generators from weights, and training them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gensr.errors import WeightsError
from gensr.generator import Generator, GeneratorCard

from .mixture import Mixture, MixtureParameters


class Gaussian:
    """See `gensr.generator.Family`."""

    name = "gaussian"

    def build(self, tensors: Mapping[str, Tensor], config: Mapping[str, Any], card: GeneratorCard) -> Generator:
        """See `gensr.generator.Family.build`."""
        form = config.get("form")
        if form == "mixture":
            side = int(config["side"])
            k, depth, _ = tensors["directions"].shape
            d = side * side - 1
            for name, shape in {"weight": (k,), "mean": (k, d), "remainder": (k, d)}.items():
                if tuple(tensors[name].shape) != shape or depth > d:
                    raise WeightsError(f"{card.name}: tensor {name!r} is not of shape {shape}; fetch the file again")
            directions = torch.nn.functional.pad(tensors["directions"].float(), (0, 0, 0, d - depth))
            remainder = tensors["remainder"].float().exp()  # stored as logarithm: half precision holds its whole range
            weight, mean = tensors["weight"].float(), tensors["mean"].float()
            parameters = MixtureParameters.with_level(side, weight, mean, directions, remainder)
            return Mixture(parameters, card)
        raise WeightsError(f"{card.name}: unknown form {form!r} of the gaussian family; this gensr is too old for it")


FAMILY = Gaussian()
