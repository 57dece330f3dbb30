"""Files of StyleGAN of 2018: the two of PULSE (synthesis, mapping), one of both, or TensorFlow's."""

from __future__ import annotations

import re
from collections.abc import Callable

from torch import Tensor

from gensr.errors import WeightsError
from gensr.priors.foreign.checkpoint import Checkpoint
from gensr.priors.foreign.plugin import Converted, Foreign, Match, Words, missing_of
from gensr.priors.foreign.views import TensorView
from gensr.priors.styled import SPREAD, statistics

from .network import StyleGan1
from .structure import structure

Change = Callable[[Tensor], Tensor]
NEEDED = (
    r"blocks\.4x4\.const",
    r"blocks\.4x4\.epi1\.style_mod\.lin\.weight",
    r"blocks\.8x8\.conv0_up\.weight",
    r"torgb\.weight",
    r"dense0\.weight",
)
NAMES = re.compile(
    r"(?:g_synthesis\.|g_mapping\.|synthesis\.|mapping\.)?"
    r"(dense\d+\.(?:weight|bias)|torgb\.(?:weight|bias)|blocks\.(\d+)x\2\."
    r"(?:const|bias|(?:conv|conv0_up|conv1)\.(?:weight|bias)"
    r"|epi[12]\.(?:top_epi\.noise\.weight|style_mod\.lin\.(?:weight|bias))))"
)
OLD = re.compile(r"synthesis/(\d+)x\1/(Const|Conv|Conv0_up|Conv1)/(?:(Noise|StyleMod)/)?(const|weight|bias)")


class StyleGan1Files(Foreign):
    """See `gensr.priors.foreign.plugin.Foreign`."""

    name = "stylegan1"

    def match(self, checkpoint: Checkpoint) -> Match | None:
        """See `Foreign.match`."""
        found = _sources(checkpoint)
        missing = missing_of(NEEDED, found)
        score = 1 - len(missing) / len(NEEDED)
        if missing == ("dense0.weight",):
            missing = ("dense0.weight (the mapping, often a file of its own: give both)",)
        return Match(score, missing, None, "StyleGAN of 2018") if score > 0 else None

    def convert(self, checkpoint: Checkpoint, match: Match, words: Words) -> Converted:
        """See `Foreign.convert`."""
        if words.label is not None:
            raise WeightsError(f"{checkpoint.path}: label={words.label}: this network is told no class")
        tensors = {name: change(view.read()) for name, (view, change) in _sources(checkpoint).items()}
        found = structure(tensors, str(checkpoint.path))
        black, white = words.range()
        side = found.sides[-1]
        card = words.card("stylegan1", found.bands, checkpoint, f"{match.words}, {side} px", size=[side])
        config = {"black": black, "white": white, "spread": SPREAD}
        return Converted({**tensors, **statistics(StyleGan1(tensors, found))}, config, card)


def _sources(checkpoint: Checkpoint) -> dict[str, tuple[TensorView, Change]]:
    """By PULSE's name: the tensor in the file, or in one of several, and what is done with it."""
    found: dict[str, tuple[TensorView, Change]] = {}
    for part in checkpoint.parts:
        for name, view in part.tensors.items():
            said = _plain(name) or _tensorflow(name)
            if said is not None:
                found.setdefault(said[0], (view, said[1]))
    return found


def _same(tensor: Tensor) -> Tensor:
    return tensor


def _turned(tensor: Tensor) -> Tensor:
    return tensor.T.contiguous()


def _kernel(tensor: Tensor) -> Tensor:
    return tensor.permute(3, 2, 0, 1).contiguous()


def _plain(name: str) -> tuple[str, Change] | None:
    m = NAMES.fullmatch(name)
    return (m[1], _same) if m else None


def _tensorflow(name: str) -> tuple[str, Change] | None:
    if m := re.fullmatch(r"mapping/Dense(\d+)/(weight|bias)", name):
        return f"dense{m[1]}.{m[2]}", _turned if m[2] == "weight" else _same
    if m := re.fullmatch(r"synthesis/ToRGB_lod0/(weight|bias)", name):
        return f"torgb.{m[1]}", _kernel if m[1] == "weight" else _same
    m = OLD.fullmatch(name)
    if m is None:
        return None
    place = f"blocks.{m[1]}x{m[1]}"
    end = "epi1" if m[2] in ("Const", "Conv0_up") else "epi2"
    if m[3] == "Noise":
        return f"{place}.{end}.top_epi.noise.weight", _same
    if m[3] == "StyleMod":
        return f"{place}.{end}.style_mod.lin.{m[4]}", _turned if m[4] == "weight" else _same
    if m[2] == "Const":
        return f"{place}.{m[4]}", _same
    layer = {"Conv": "conv", "Conv0_up": "conv0_up", "Conv1": "conv1"}[m[2]]
    return f"{place}.{layer}.{m[4]}", _kernel if m[4] == "weight" else _same


FOREIGN = StyleGan1Files()
