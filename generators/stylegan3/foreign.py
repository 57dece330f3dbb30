"""Files of StyleGAN3 by NVIDIA: how they are known, and how weights of ours are made of them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from gensr.errors import WeightsError
from gensr.priors.foreign.checkpoint import Checkpoint
from gensr.priors.foreign.plugin import Converted, Foreign, Match, Words, signature
from gensr.priors.styled import SPREAD, statistics

from .family import network
from .structure import NAME, Recipe

NEEDED = (
    r"synthesis\.input\.freqs",
    r"synthesis\.input\.affine\.weight",
    r"synthesis\.L0_\d+_\d+\.weight",
    r"synthesis\.L0_\d+_\d+\.up_filter",
    r"synthesis\.L\d+_\d+_\d+\.magnitude_ema",
    r"mapping\.fc0\.weight",
)
USED = re.compile(
    r"mapping\.(fc\d+|embed)\.(weight|bias)|mapping\.w_avg"
    r"|synthesis\.input\.(weight|transform|freqs|phases|affine\.(weight|bias))"
    r"|synthesis\.L\d+_\d+_\d+\.(weight|bias|affine\.(weight|bias)|magnitude_ema|up_filter|down_filter)"
)
CLAMP, OUTPUT = 256.0, 0.25
"""Usual largest activation, and factor on the picture."""


class StyleGan3Files(Foreign):
    """See `gensr.priors.foreign.plugin.Foreign`."""

    name = "stylegan3"

    def match(self, checkpoint: Checkpoint) -> Match | None:
        """See `Foreign.match`."""
        return signature(checkpoint, NEEDED, "StyleGAN3")

    def convert(self, checkpoint: Checkpoint, match: Match, words: Words) -> Converted:
        """See `Foreign.convert`."""
        views = match.found.tensors
        tensors = {name: view.read() for name, view in views.items() if USED.fullmatch(name)}
        config = _config(list(views), match.found.kwargs, words, str(checkpoint.path))
        found = network(tensors, config, str(checkpoint.path))
        if words.label is not None and not 0 <= words.label < max(found.classes, 1):
            raise WeightsError(f"{checkpoint.path}: label={words.label}: expected one of {found.classes} classes")
        kernel = next(view.shape[-1] for name, view in views.items() if NAME.fullmatch(name))
        recipe = f"{match.words}-{'r' if kernel == 1 else 't'}, {found.side} px"
        if found.classes:
            recipe += f", {found.classes} classes: " + ("all" if words.label is None else f"number {words.label}")
        card = words.card("stylegan3", found.bands, checkpoint, recipe, size=[found.side])
        return Converted({**tensors, **statistics(found, words.label)}, config, card)


def _config(names: list[str], kwargs: Mapping[str, object], words: Words, where: str) -> dict[str, object]:
    """The layout of samplings, by what the file says of its training, compared with the sizes in its names.

    Raises:
        WeightsError: they do not fit.
    """
    said = sorted((int(m[2]), int(m[3])) for name in names if (m := NAME.fullmatch(name)))
    side = said[-1][1]
    usual = Recipe()
    recipe = Recipe(
        critical=int(_number(kwargs, "num_critical", usual.critical)),
        cutoff=_number(kwargs, "first_cutoff", usual.cutoff),
        stopband=_number(kwargs, "first_stopband", usual.stopband),
        last=_number(kwargs, "last_stopband_rel", usual.last),
        margin=int(_number(kwargs, "margin_size", usual.margin)),
    )
    if len(said) - 1 <= recipe.critical or not min(recipe.cutoff, recipe.stopband, recipe.last) > 0 or side < 8:
        raise WeightsError(f"{where}: {len(said)} layers of which {recipe.critical} are sampled critically")
    samplings, sizes, first = recipe.layout(len(said), side)
    if sizes[1:] != [size for _, size in said]:
        raise WeightsError(
            f"{where}: layers of {', '.join(str(size) for _, size in said)} pixels, expected "
            f"{', '.join(map(str, sizes[1:]))} of the usual training; give the snapshot, which says how it was trained"
        )
    mapping = kwargs.get("mapping_kwargs")
    black, white = words.range()
    clamp = kwargs.get("conv_clamp", CLAMP)
    return {
        "samplings": samplings,
        "sizes": sizes,
        "first": list(first),
        "clamp": None if clamp is None else _number(kwargs, "conv_clamp", CLAMP),
        "rate": _number(mapping if isinstance(mapping, Mapping) else {}, "lr_multiplier", 0.01),
        "output": _number(kwargs, "output_scale", OUTPUT),
        "black": black,
        "white": white,
        "spread": SPREAD,
        "label": words.label,
    }


def _number(kwargs: Mapping[str, object], key: str, usual: float) -> float:
    value = kwargs.get(key, usual)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else usual


FOREIGN = StyleGan3Files()
