"""Registration of progressive GANs: rebuilding generators from converted weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from gensr.errors import WeightsError
from gensr.priors.card import GeneratorCard
from gensr.priors.generator import NO_OPTIONS, Generator, Options
from gensr.priors.schema import Number, Record, check_config

from .generator import Pggan
from .network import Network, structure

CONFIG = Record({"black": Number(-1e4, 1e4), "white": Number(-1e4, 1e4)})


class PgganFamily:
    """Rebuilds, and does not train: see `gensr.priors.generator.Family`."""

    name = "pggan"
    options: Options = NO_OPTIONS

    def build(self, tensors: Mapping[str, Tensor], config: Mapping[str, Any], card: GeneratorCard) -> Generator:
        """See `gensr.priors.generator.Family.build`."""
        check_config(CONFIG, config, card.name)
        found = structure(tensors, card.name)
        if card.bands != found.bands or not card.aligned or config["black"] == config["white"]:
            raise WeightsError(f"{card.name}: configuration and card do not fit; convert the file again")
        network = Network(tensors, found).eval().requires_grad_(False)
        return Pggan(network, card, config["black"], config["white"])


FAMILY = PgganFamily()
