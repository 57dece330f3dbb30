"""Registration of StyleGAN2: rebuilding generators from converted weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from gensr.priors.card import GeneratorCard
from gensr.priors.generator import NO_OPTIONS, Generator, Options
from gensr.priors.schema import check_config
from gensr.priors.styled import rebuilt

from .network import Habits, StyleGan2
from .structure import CONFIG, structure


class StyleGan2Family:
    """Rebuilds, and does not train: see `gensr.priors.generator.Family`."""

    name = "stylegan2"
    options: Options = NO_OPTIONS

    def build(self, tensors: Mapping[str, Tensor], config: Mapping[str, Any], card: GeneratorCard) -> Generator:
        """See `gensr.priors.generator.Family.build`."""
        check_config(CONFIG, config, card.name)
        return rebuilt(network(tensors, config, card.name), tensors, config, card)


def network(tensors: Mapping[str, Tensor], config: Mapping[str, Any], name: str) -> StyleGan2:
    """The network of tensors by NVIDIA's names.

    Raises:
        WeightsError: they do not fit together.
    """
    habits = Habits(config["architecture"], config["clamp"], config["rate"], config["scaled"])
    return StyleGan2(tensors, structure(tensors, name), habits)


FAMILY = StyleGan2Family()
