"""Registration of the diffusion family: rebuilding priors from the numbers of a U-Net and its schedule."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from gensr.errors import UsageError, WeightsError
from gensr.priors import ddpm
from gensr.priors.card import GeneratorCard
from gensr.priors.ddpm import UNet
from gensr.priors.generator import Generator, Options
from gensr.priors.layers import check_layers, restored
from gensr.priors.quantile import RANGE
from gensr.priors.schema import List, Number, Optional, Record, Text, Whole, check_config, check_shapes
from gensr.priors.steps import PREDICTIONS

from . import edm
from .edm import EdmUNet
from .generator import Diffusion, Latent, Parts
from .rules import RULE, Rule, Steps, of_config
from .structure import Shape as EdmShape

CONFIG = Record(
    {
        "range": RANGE,
        "steps": Whole(1, 1000),
        "size": List(Whole(1, 1 << 14), 0, 2),
    },
    {
        "prediction": Text(20, PREDICTIONS),
        "rule": RULE,
        "label": Optional(Whole(0, 1 << 20)),
        "latent": Record(
            {"scale": Number(1e-12, 1e12), "mean": Number(), "factor": Whole(1, 1024)},
        ),
    },
)
STEPS = (2, 100_000)


class DiffusionFamily:
    """See `gensr.priors.generator.Family`."""

    name = "diffusion"
    options: Options = Diffusion.options
    train_options: Mapping[str, str] = {}

    def train(self, options: Mapping[str, str], progress: Callable[[int, int], None] | None) -> Path:
        """See `gensr.priors.generator.Family.train`."""
        raise UsageError("diffusion networks are not trained here; convert one that was: gensr models convert")

    def build(self, tensors: Mapping[str, Tensor], config: Mapping[str, Any], card: GeneratorCard) -> Generator:
        """See `gensr.priors.generator.Family.build`."""
        check_config(CONFIG, config, card.name)
        network = self._network(config, card)
        part = "unet" if isinstance(network, UNet) else "edm"
        expected = {f"{part}.{k}": tuple(v.shape) for k, v in network.state_dict().items()}
        check_shapes(tensors, expected, card.name)
        rule = self._rule(tensors, config, card)
        low, high = (float(x) for x in config["range"])
        if low == high or len(config["size"]) == 1 or bool(config["size"]) != card.aligned:
            raise WeightsError(f"{card.name}: config.range or config.size does not fit the card; fetch the file again")
        shape = network.shape
        network.load_state_dict({k: tensors[f"{part}.{k}"].float() for k in network.state_dict()}, assign=True)
        latent = self._latent(tensors, config, shape, card)
        bands = shape.inward if latent is None else card.bands
        if bands != card.bands or shape.outward not in (shape.inward, 2 * shape.inward):
            raise WeightsError(
                f"{card.name}: a U-Net from {shape.inward} to {shape.outward} channels, for {card.bands} bands; "
                "what it is told beside the noisy image is not known here"
            )
        size = (int(config["size"][0]), int(config["size"][1])) if config["size"] else None
        block = shape.multiple * (1 if latent is None else latent.factor)
        if size is not None and any(n % block for n in size):
            raise WeightsError(f"{card.name}: config.size = {list(size)}: expected multiples of {block}")
        network.eval().requires_grad_(False)
        return Diffusion(Parts(network, rule, (low, high), size, int(config["steps"]), latent), card)

    def _network(self, config: Mapping[str, Any], card: GeneratorCard) -> UNet | EdmUNet:
        if "edm" not in config:
            place = f"{card.name}: config.unet"
            return ddpm.empty(ddpm.Shape.from_config(config.get("unet"), place), place)
        place, label = f"{card.name}: config.edm", config.get("label")
        shape = EdmShape.from_config(config["edm"], place)
        if label is not None and label >= shape.classes:
            raise WeightsError(f"{card.name}: config.label = {label} of {shape.classes} classes; fetch the file again")
        network = edm.empty(shape, place)
        network.label = label
        return network

    def _rule(self, tensors: Mapping[str, Tensor], config: Mapping[str, Any], card: GeneratorCard) -> Rule:
        if ("rule" in config) == ("prediction" in config):
            raise WeightsError(f"{card.name}: expected config.rule or config.prediction; fetch the file again")
        if "rule" in config:
            return of_config(config["rule"])
        check_shapes(tensors, {"sigmas": (None,)}, card.name)
        sigmas = tensors["sigmas"].double()
        rising = bool((sigmas.diff() >= 0).all()) and float(sigmas[0]) > 0
        if not STEPS[0] <= len(sigmas) <= STEPS[1] or not rising:
            raise WeightsError(f"{card.name}: noise levels that do not rise from above 0; fetch the file again")
        return Steps(sigmas, config["prediction"])

    def _latent(
        self,
        tensors: Mapping[str, Tensor],
        config: Mapping[str, Any],
        shape: ddpm.Shape | EdmShape,
        card: GeneratorCard,
    ) -> Latent | None:
        if "latent" not in config:
            return None
        said = config["latent"]
        check_layers(said.get("layers"), f"{card.name}: config.latent.layers")
        decoder, made = restored(said["layers"], "decoder", tensors, (shape.inward, 2, 2), card.name)
        if made != (card.bands, 2 * said["factor"], 2 * said["factor"]):
            raise WeightsError(f"{card.name}: the decoder makes {made} of 2 x 2 latents; fetch the file again")
        return Latent(decoder, float(said["scale"]), float(said["mean"]), int(said["factor"]))


FAMILY = DiffusionFamily()
