"""Registration of the biggan family: rebuilding generators from weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gensr.errors import UsageError, WeightsError
from gensr.priors.card import GeneratorCard
from gensr.priors.generator import Generator, Options
from gensr.priors.quantile import DISTRIBUTION, RANGE
from gensr.priors.schema import Record, check_config, check_shapes

from .generator import BigGan, Parts
from .network import Network, Shape

CONFIG = Record({"distribution": DISTRIBUTION, "range": RANGE})


class BigGanFamily:
    """See `gensr.priors.generator.Family`."""

    name = "biggan"
    options: Options = BigGan.options
    train_options: Mapping[str, str] = {}

    def train(self, options: Mapping[str, str], progress: Callable[[int, int], None] | None) -> Path:
        """See `gensr.priors.generator.Family.train`."""
        raise UsageError("BigGANs are not trained here; convert one that was: gensr models convert")

    def build(self, tensors: Mapping[str, Tensor], config: Mapping[str, Any], card: GeneratorCard) -> Generator:
        """See `gensr.priors.generator.Family.build`."""
        check_config(CONFIG, config, card.name)
        shape = Shape.from_config(config.get("shape"), f"{card.name}: config.shape")
        with torch.device("meta"):  # nothing is allocated before the tensors are known to fit
            network = Network(shape).eval()
        expected = {f"network.{k}": tuple(v.shape) for k, v in network.state_dict().items()}
        check_shapes(tensors, {**expected, "class.mean": (shape.told,)}, card.name)
        factor = tensors.get("class.factor")
        if factor is not None:
            check_shapes(tensors, {"class.factor": (shape.told, None)}, card.name)
        low, high = (float(x) for x in config["range"])
        if card.bands != shape.bands or not card.aligned or low == high:
            raise WeightsError(f"{card.name}: configuration and card do not fit; fetch the file again")
        network.load_state_dict({k: tensors[f"network.{k}"].float() for k in network.state_dict()}, assign=True)
        network.requires_grad_(False)
        mean = tensors["class.mean"].float()
        spread = mean.new_zeros(shape.told, 0) if factor is None else factor.float()
        return BigGan(Parts(network, mean, spread, config["distribution"], (low, high)), card)


FAMILY = BigGanFamily()
