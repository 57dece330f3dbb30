"""Registration of StyleGAN3: rebuilding generators from converted weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from gensr.errors import WeightsError
from gensr.priors.card import GeneratorCard
from gensr.priors.generator import NO_OPTIONS, Generator, Options
from gensr.priors.schema import check_config
from gensr.priors.styled import rebuilt

from .network import StyleGan3
from .structure import CONFIG, structure


class StyleGan3Family:
    """Rebuilds, and does not train: see `gensr.priors.generator.Family`."""

    name = "stylegan3"
    options: Options = NO_OPTIONS

    def build(self, tensors: Mapping[str, Tensor], config: Mapping[str, Any], card: GeneratorCard) -> Generator:
        """See `gensr.priors.generator.Family.build`."""
        check_config(CONFIG, config, card.name)
        return rebuilt(network(tensors, config, card.name), tensors, config, card)


def network(tensors: Mapping[str, Tensor], config: Mapping[str, Any], name: str) -> StyleGan3:
    """The network of tensors by NVIDIA's names.

    Raises:
        WeightsError: they do not fit together.
    """
    bandwidth, sampling = config["first"]
    if not 0 < bandwidth < sampling / 2:
        raise WeightsError(f"{name}: an input of bandwidth {bandwidth:g} at {sampling:g} samples; fetch the file again")
    found = structure(tensors, config, name)
    return StyleGan3(tensors, found, (bandwidth, sampling), config["clamp"], config["rate"], config["output"])


FAMILY = StyleGan3Family()
