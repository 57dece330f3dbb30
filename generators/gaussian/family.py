"""Registration of the gaussian family: rebuilding generators from weights, and training them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from gensr.errors import WeightsError
from gensr.generator import Generator, GeneratorCard

from .mixture import Mixture, MixtureParameters

NAMES = ("weight", "mean", "directions", "remainder")


class Gaussian:
    """See `gensr.generator.Family`."""

    name = "gaussian"

    def build(self, tensors: Mapping[str, Tensor], config: Mapping[str, Any], card: GeneratorCard) -> Generator:
        """See `gensr.generator.Family.build`."""
        form = config.get("form")
        if form == "mixture":
            side = int(config["side"])
            k, d, _ = tensors["directions"].shape
            expected = {"weight": (k,), "mean": (k, side * side - 1), "remainder": (k, side * side - 1)}
            for name, shape in expected.items():
                if name not in tensors or tuple(tensors[name].shape) != shape or d != side * side - 1:
                    raise WeightsError(f"{card.name}: tensor {name!r} does not have shape {shape}; fetch the file again")
            plain = [tensors[name].float() for name in NAMES]
            remainder = plain[3].exp()  # stored as logarithm, which half precision holds over its whole range
            return Mixture(MixtureParameters.with_level(side, *plain[:3], remainder), card)
        raise WeightsError(f"{card.name}: unknown form {form!r} of the gaussian family; this gensr is too old for it")


FAMILY = Gaussian()
