"""Registration of the engression family: rebuilding generators from weights, and training them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from gensr.errors import WeightsError
from gensr.priors import unet
from gensr.priors.card import GeneratorCard
from gensr.priors.generator import Generator, Options
from gensr.priors.schema import COMPANION, Number, Record, Table, Whole, check_config
from gensr.priors.stretch import SCHEMA, Stretch

from .generator import Engression, Settings
from .model import Model
from .network import Network, Shape
from .prior import Prior

CONFIG = Record(
    {
        "shape": unet.SCHEMA,
        "prior": Record(dict.fromkeys(("mean", "level", "corner", "slope"), Number()), {"alike": Number(0, 1)}),
        "side": Whole(1, 1 << 20),
    },
    {"companion": COMPANION, "scaling": Table(Number()), "stretch": SCHEMA},
)


class EngressionFamily:
    """See `gensr.priors.generator.Family`."""

    name = "engression"
    options: Options = Engression.options
    train_options: Mapping[str, str] = {
        "domain": "field of science whose files and defaults are used; several with commas share one network",
        "data": "folder, .zip, .npz or image to train on; several with commas; for several domains their groups with ;",
        "held": "held-out images in the same form, to validate on; nothing is chosen by them",
        "aligned": "true for aligned square pictures, all bands jointly (default: true for faces)",
        "grey": "true to train on the luminance of pictures of three bands, not on each band",
        "joint": "true to draw the bands of fields jointly, for images of that many bands",
        "init": "engression (name or file) to start from; its network and prior are kept",
        "name": "name of the new generator (default: engression-<domain>-own)",
        "output": "folder to write the weights into (default: the user's own, where gensr finds them)",
        "minutes": "time budget (default 90); a run that was stopped goes on where it was",
        "steps": "most training steps (default: as many as fit)",
        "batch": "data per step, two draws each (default 24)",
        "rate": "learning rate (default 0.0006)",
        "side": "side of the windows of fields (default 64), or of aligned pictures (default: their own)",
        "patch": "side of the pixel blocks that become channels (default 2; 4 for aligned pictures above 64 px)",
        "widths": "channels by level, with commas",
        "low": "percentile of an image that becomes 0",
        "high": "percentile of an image that becomes 1",
        "unit": "values are fluxes: 16 times the noise of an empty pixel, in the unit of the images",
        "companion": "generator of the same units for noise estimation and other operators",
        "validate": "minutes between validations (default 10)",
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
            prior = Prior.from_config(config["prior"])
            settings = Settings.from_config(config)
            stretch = Stretch.from_config(config.get("stretch", {}))
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise WeightsError(f"{card.name}: unreadable configuration ({error!r}); fetch the file again") from error
        if (shape.bands, shape.aligned) != (card.bands, card.aligned):
            raise WeightsError(f"{card.name}: configuration and card disagree; fetch the file again")
        network = unet.restored(lambda: Network(shape), tensors)
        return Engression(Model(network, prior, stretch=stretch), card, settings)


FAMILY = EngressionFamily()
