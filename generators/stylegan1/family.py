"""Registration of StyleGAN of 2018: rebuilding generators from converted weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from gensr.priors.card import GeneratorCard
from gensr.priors.generator import NO_OPTIONS, Generator, Options
from gensr.priors.schema import check_config
from gensr.priors.styled import rebuilt

from .network import StyleGan1
from .structure import CONFIG, structure


class StyleGan1Family:
    """Rebuilds, and does not train: see `gensr.priors.generator.Family`."""

    name = "stylegan1"
    options: Options = NO_OPTIONS

    def build(self, tensors: Mapping[str, Tensor], config: Mapping[str, Any], card: GeneratorCard) -> Generator:
        """See `gensr.priors.generator.Family.build`."""
        check_config(CONFIG, config, card.name)
        return rebuilt(StyleGan1(tensors, structure(tensors, card.name)), tensors, config, card)


FAMILY = StyleGan1Family()
