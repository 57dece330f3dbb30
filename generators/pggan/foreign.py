"""Checkpoints of progressive GANs: those of pytorch_GAN_zoo, and pickles of the first program (TensorFlow).

That counts levels by their side and pictures from the finest. Its doubling convolutions, where they are one operation
with the doubling, are transposed ones: nearest neighbours before a kernel that is turned by half a turn.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from gensr.errors import WeightsError
from gensr.priors.foreign.checkpoint import Checkpoint
from gensr.priors.foreign.plugin import Converted, Foreign, Match, Words, best, signature
from gensr.priors.foreign.views import TensorView

from .network import structure

M = r"(\.module)?"
NEEDED = (
    rf"formatLayer{M}\.weight",
    rf"groupScale0\.0{M}\.weight",
    rf"scaleLayers\.0\.0{M}\.weight",
    rf"scaleLayers\.0\.1{M}\.weight",
    rf"toRGBLayers\.\d+{M}\.weight",
)
NEEDED_OLD = (
    r"4x4/Dense/weight",
    r"4x4/Conv/weight",
    r"8x8/(Conv0|Conv0_up)/weight",
    r"8x8/Conv1/weight",
    r"ToRGB_lod0/weight",
)
OLD = re.compile(r"(?:(\d{1,4})x\1/(Dense|Conv|Conv0|Conv0_up|Conv1)|(ToRGB_lod0))/(weight|bias)")
NAMES = re.compile(r"(formatLayer|groupScale0\.0|scaleLayers\.\d+\.[01]|toRGBLayers\.\d+)(?:\.module)?\.(weight|bias)")


class PgganFiles(Foreign):
    """See `gensr.priors.foreign.plugin.Foreign`."""

    name = "pggan"

    def match(self, checkpoint: Checkpoint) -> Match | None:
        """See `Foreign.match`."""
        zoo = signature(checkpoint, NEEDED, "progressive GAN, names of pytorch_GAN_zoo")
        return best((zoo, signature(checkpoint, NEEDED_OLD, "progressive GAN of TensorFlow")))

    def convert(self, checkpoint: Checkpoint, match: Match, words: Words) -> Converted:
        """See `Foreign.convert`."""
        if words.label is not None:
            raise WeightsError(f"{checkpoint.path}: label={words.label}: classes of this network are part of its z")
        tensors = _tensors(match.found.tensors)
        found = structure(tensors, str(checkpoint.path))
        used = dict(found.shapes())
        left = sorted(set(tensors) - set(used))
        black, white = words.range()
        card = words.card("pggan", found.bands, checkpoint, f"{match.words}, {found.side} px", size=[found.side])
        notes = (f"pictures of coarser levels are left out ({', '.join(left[:2])} ...)",) if left else ()
        config = {"black": black, "white": white}
        return Converted({name: tensors[name] for name in used}, config, card, notes)


def _tensors(views: Mapping[str, TensorView]) -> dict[str, Tensor]:
    """By the zoo's names, whatever the file calls them."""
    found: dict[str, Tensor] = {}
    levels = [int(m[1]).bit_length() - 3 for name in views if (m := OLD.fullmatch(name)) and m[1]]
    for name, view in views.items():
        if m := NAMES.fullmatch(name):
            found[f"{m[1]}.{m[2]}"] = view.read()
        elif m := OLD.fullmatch(name):
            place = f"toRGBLayers.{max(levels, default=0)}" if m[3] else _place(m[2], int(m[1]))
            if place is not None:
                found[f"{place}.{m[4]}"] = view.read() if m[4] == "bias" else _kernel(m[2] or "", view.read())
    return found


def _place(layer: str, side: int) -> str | None:
    """What the zoo calls a layer of the level of a side."""
    if side == 4:
        return {"Dense": "formatLayer", "Conv": "groupScale0.0"}.get(layer)
    last = {"Conv0": 0, "Conv0_up": 0, "Conv1": 1}.get(layer)
    return None if last is None or side & (side - 1) or side < 8 else f"scaleLayers.{side.bit_length() - 4}.{last}"


def _kernel(layer: str, weight: Tensor) -> Tensor:
    """A weight as PyTorch's layers have it."""
    if weight.ndim != 4:
        return weight.T.contiguous()
    if layer == "Conv0_up":  # (rows, cols, outward, inward), see the module text
        return weight.permute(2, 3, 0, 1).flip(2, 3).contiguous()
    return weight.permute(3, 2, 0, 1).contiguous()


FOREIGN = PgganFiles()
