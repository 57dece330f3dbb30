"""Registration of the style family: rebuilding generators from weights, and training them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gensr.errors import WeightsError
from gensr.priors.card import GeneratorCard
from gensr.priors.generator import Generator, Options
from gensr.priors.schema import COMPANION, List, Number, Record, Whole, check_config, check_shapes
from gensr.priors.whitening import Whitening

from .bank import Bank
from .generator import Parts, Style
from .network import Network, Shape

CONFIG = Record(
    {
        "bands": Whole(1, 64),
        "widths": List(Whole(1, 4096), 1, 8),
        **dict.fromkeys(("latent", "style"), Whole(1, 4096)),
        "depth": Whole(1, 64),
        "spread": Number(0.0, 0.999),
    },
    {"companion": COMPANION},
)


class StyleFamily:
    """See `gensr.priors.generator.Family`."""

    name = "style"
    options: Options = Style.options
    train_options: Mapping[str, str] = {
        "domain": "field of science whose files and defaults are used",
        "data": "folder, .zip or .npz of aligned square pictures to train on; several with commas between",
        "validation": "the same for the discrepancy and the audit (default: every tenth training picture, held out)",
        "name": "name of the new generator (default: style-<domain>-own)",
        "output": "folder to write the weights into (default: the user's own, where gensr finds them)",
        "folder": "folder for checkpoint, log.csv and sheets of samples (default: <name>-training in the output)",
        "side": "side of the pictures that are made, a power of two from 16 to 256 (default: 64)",
        "minutes": "most minutes of training (default: 60); a run that was stopped goes on where it was",
        "steps": "most steps of training (default: no limit)",
        "batch": "pictures per step",
        "rate": "of Adam, for both networks",
        "penalty": "weight of R1 at 64 px; more is safer and slower",
        "spread": "share of a layer's style that may differ from the others' in a search, 0 to 1",
        "sheet": "minutes between two sheets of samples",
        "device": "cpu or cuda (default: cuda where there is one)",
        "companion": "installed generator of the same units for noise estimation",
        "licence": "licence of the weights, for the card",
        "source": "the training data in words, for the card",
        "pixel": "pixel size of the training images in words, for the card",
        "bias": "known bias and failure in words, for the card",
        "seed": "of all random choices",
    }

    def train(self, options: Mapping[str, str], progress: Callable[[int, int], None] | None) -> Path:
        """See `gensr.priors.generator.Family.train`."""
        from .training import train

        return train(options, progress)

    def build(self, tensors: Mapping[str, Tensor], config: Mapping[str, Any], card: GeneratorCard) -> Generator:
        """See `gensr.priors.generator.Family.build`."""
        check_config(CONFIG, config, card.name)
        shape = Shape.from_config(config)
        with torch.device("meta"):  # nothing is allocated before the tensors are known to fit
            expected = {f"network.{k}": tuple(v.shape) for k, v in Network(shape).state_dict().items()}
        more = {"whitening.mean": (shape.style,), "whitening.factor": (shape.style, shape.style)}
        bank = {"bank.style": (None, shape.style), "bank.picture": (None, shape.bands, None, None)}
        check_shapes(tensors, {**expected, **more, **bank}, card.name)
        style, picture = tensors["bank.style"].float(), tensors["bank.picture"].float() / 255
        check_shapes(tensors, {"bank.picture": (len(style), shape.bands, *picture.shape[-1:] * 2)}, card.name)
        if card.bands != shape.bands or not card.aligned:
            raise WeightsError(f"{card.name}: configuration and card do not fit; fetch the file again")
        network = Network(shape)
        network.load_state_dict({k: tensors[f"network.{k}"].float() for k in network.state_dict()})
        network.eval().requires_grad_(False)
        whitening = Whitening(tensors["whitening.mean"].float(), tensors["whitening.factor"].float())
        parts = Parts(network, whitening, Bank(style, picture), float(config["spread"]), config.get("companion", ""))
        return Style(parts, card)


FAMILY = StyleFamily()
