"""Checkpoints of progressive GANs by pytorch_GAN_zoo."""

from __future__ import annotations

import re

from gensr.errors import WeightsError
from gensr.priors.foreign.checkpoint import Checkpoint
from gensr.priors.foreign.plugin import Converted, Foreign, Match, Words, signature

from .network import structure

M = r"(\.module)?"
NEEDED = (
    rf"formatLayer{M}\.weight",
    rf"groupScale0\.0{M}\.weight",
    rf"scaleLayers\.0\.0{M}\.weight",
    rf"scaleLayers\.0\.1{M}\.weight",
    rf"toRGBLayers\.\d+{M}\.weight",
)
NAMES = re.compile(r"(formatLayer|groupScale0\.0|scaleLayers\.\d+\.[01]|toRGBLayers\.\d+)(?:\.module)?\.(weight|bias)")


class PgganFiles(Foreign):
    """See `gensr.priors.foreign.plugin.Foreign`."""

    name = "pggan"

    def match(self, checkpoint: Checkpoint) -> Match | None:
        """See `Foreign.match`."""
        return signature(checkpoint, NEEDED, "progressive GAN, names of pytorch_GAN_zoo")

    def convert(self, checkpoint: Checkpoint, match: Match, words: Words) -> Converted:
        """See `Foreign.convert`."""
        if words.label is not None:
            raise WeightsError(f"{checkpoint.path}: label={words.label}: classes of this network are part of its z")
        tensors = {
            f"{m[1]}.{m[2]}": view.read()
            for name, view in match.found.tensors.items()
            if (m := NAMES.fullmatch(name)) is not None
        }
        found = structure(tensors, str(checkpoint.path))
        used = dict(found.shapes())
        left = sorted(set(tensors) - set(used))
        black, white = words.range()
        card = words.card("pggan", found.bands, checkpoint, f"{match.words}, {found.side} px")
        notes = (f"pictures of coarser levels are left out ({', '.join(left[:2])} ...)",) if left else ()
        config = {"black": black, "white": white}
        return Converted({name: tensors[name] for name in used}, config, card, notes)


FOREIGN = PgganFiles()
