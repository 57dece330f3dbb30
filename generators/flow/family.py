"""Registration of the flow family: rebuilding generators from weights, and training them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from gensr.errors import WeightsError
from gensr.priors import stretch, unet
from gensr.priors.card import GeneratorCard
from gensr.priors.generator import Generator, Options
from gensr.priors.schema import COMPANION, Flag, Number, Record, Table, Whole, check_config

from .generator import Flow, Settings
from .model import Model, Scales
from .network import Network, Shape

CONFIG = Record(
    {
        "shape": unet.SCHEMA,
        "scales": Table(Number(1e-12, 1e12), r"[1-9]\d{0,3}", 64),
        "stretch": stretch.SCHEMA,
        "side": Whole(1, 1 << 20),
    },
    {"companion": COMPANION, "scaling": Table(Number()), "flux": Flag()},
)


class FlowFamily:
    """See `gensr.priors.generator.Family`."""

    name = "flow"
    options: Options = Flow.options
    train_options: Mapping[str, str] = {
        "domain": "field of science whose files and defaults are used; several with commas share one network",
        "data": "folder, .zip, .npz or image to train on; several with commas; for several domains their groups with ;",
        "init": "flow (name or file) to start from; its network and companion are kept, and scaling if domains are one",
        "name": "name of the new generator (default: flow-<domain>-own)",
        "output": "folder to write the weights into (default: the user's own, where gensr finds them)",
        "minutes": "time budget (default 60); a run that was stopped goes on where it was",
        "steps": "most training steps (default: as many as fit)",
        "batch": "images per step (default 16)",
        "rate": "learning rate (default 0.001, with init= 0.0003)",
        "aligned": "true for aligned square pictures such as faces (default: true for faces)",
        "bands": "bands modelled jointly, for aligned pictures (default: those of the pictures)",
        "side": "side of the windows of fields (default 64), or of aligned pictures (default: their own)",
        "patch": "side of the pixel blocks that become channels (default 2; 4 for aligned pictures above 64 px)",
        "widths": "channels by level, with commas",
        "low": "percentile of an image that becomes 0",
        "high": "percentile of an image that becomes 1",
        "unit": "the value that becomes 1 in all images, instead of percentiles; for several domains of fluxes alone",
        "jitter": "deviation of the logarithm of a random contrast that every image gets",
        "flux": "true where values are summed, not averaged (default: true for astronomy)",
        "softening": "generator units below which a flux is seen linearly, logarithmically above",
        "top": "generator units of the brightest flux",
        "companion": "generator of the same units for noise estimation and other operators",
        "sheet": "minutes between sample sheets (default 10, 0 for none)",
        "device": "auto, cpu or cuda",
        "licence": "licence of the weights, for the card",
        "source": "the training data in words, for the card",
        "pixel": "pixel size of the training images in words, for the card",
        "bias": "known bias and failure, for the card",
        "seed": "of all random choices",
    }

    def train(self, options: Mapping[str, str], progress: Callable[[int, int], None] | None) -> Path:
        """See `gensr.priors.generator.Family.train`."""
        from .training import train

        return train(options, progress)

    def build(self, tensors: Mapping[str, Tensor], config: Mapping[str, Any], card: GeneratorCard) -> Generator:
        """See `gensr.priors.generator.Family.build`."""
        check_config(CONFIG, config, card.name)
        try:
            shape = Shape.from_config(config["shape"])
            scales = Scales.from_config(config["scales"])
            settings = Settings.from_config(config)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise WeightsError(f"{card.name}: unreadable configuration ({error!r}); fetch the file again") from error
        if (shape.bands, shape.aligned) != (card.bands, card.aligned):
            raise WeightsError(f"{card.name}: configuration and card disagree; fetch the file again")
        return Flow(Model(unet.restored(lambda: Network(shape), tensors), scales), card, settings)


FAMILY = FlowFamily()
