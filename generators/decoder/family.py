"""Registration of the decoder family: rebuilding generators from a list of layers in the header."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from gensr.errors import UsageError, WeightsError
from gensr.priors.card import GeneratorCard
from gensr.priors.generator import Generator, Options
from gensr.priors.layers import restored
from gensr.priors.quantile import DISTRIBUTION, RANGE
from gensr.priors.schema import List, Record, Whole, check_config

from .generator import Decoder, Parts

SIDE = 1 << 14
"""Side of images, pixels."""
CONFIG = Record(
    {
        "latent": List(Whole(1, 1 << 20), 1, 3),
        "factor": Whole(0, 1024),
        "distribution": DISTRIBUTION,
        "range": RANGE,
    }
)


class DecoderFamily:
    """See `gensr.priors.generator.Family`."""

    name = "decoder"
    options: Options = Decoder.options
    train_options: Mapping[str, str] = {}

    def train(self, options: Mapping[str, str], progress: Callable[[int, int], None] | None) -> Path:
        """See `gensr.priors.generator.Family.train`."""
        raise UsageError("decoders are not trained here; convert one that was: gensr models convert")

    def build(self, tensors: Mapping[str, Tensor], config: Mapping[str, Any], card: GeneratorCard) -> Generator:
        """See `gensr.priors.generator.Family.build`."""
        check_config(CONFIG, config, card.name)
        low, high = config["range"]
        if low == high:
            raise WeightsError(f"{card.name}: config.range = {config['range']}: black and white are the same")
        latent, factor = tuple(config["latent"]), int(config["factor"])
        probe = (*latent, 2, 2) if factor else latent
        if factor and len(latent) != 1:
            raise WeightsError(f"{card.name}: config.latent = {list(latent)}: expected the channels alone, of a field")
        network, made = restored(config.get("layers"), "network", tensors, probe, card.name)
        if len(made) != 3 or made[0] != card.bands or max(made) > SIDE:
            raise WeightsError(f"{card.name}: makes numbers of shape {made}, expected ({card.bands}, rows, columns)")
        size = (made[1], made[2])
        if factor and size != (2 * factor, 2 * factor):
            raise WeightsError(f"{card.name}: config.factor = {factor}, but 2 x 2 latents make {size[0]} x {size[1]}")
        if not factor and not card.aligned:
            raise WeightsError(f"{card.name}: makes {size[0]} x {size[1]} pixels only, so its card must say aligned")
        encoder = None
        if "encoder" in config:
            encoder, back = restored(config["encoder"], "encoder", tensors, made, card.name)
            if back[0] < latent[0] or back[1:] != probe[1:]:
                raise WeightsError(f"{card.name}: the encoder makes {back} of {made}, the decoder takes {probe}")
        parts = Parts(network, latent, factor, size, config["distribution"], (float(low), float(high)), encoder)
        return Decoder(parts, card)


FAMILY = DecoderFamily()
