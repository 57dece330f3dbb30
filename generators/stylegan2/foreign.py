"""Files of StyleGAN2 of other programs: how they are known, and how weights of ours are made of them."""

from __future__ import annotations

from collections.abc import Mapping

from gensr.errors import WeightsError
from gensr.priors.foreign.checkpoint import Checkpoint, Part
from gensr.priors.foreign.plugin import Converted, Foreign, Match, Words, best, signature
from gensr.priors.styled import SPREAD, statistics

from .family import network
from .layouts import LAYOUTS, Layout, label_of_tensorflow, read
from .structure import architecture


class StyleGan2Files(Foreign):
    """See `gensr.priors.foreign.plugin.Foreign`."""

    name = "stylegan2"

    def match(self, checkpoint: Checkpoint) -> Match | None:
        """See `Foreign.match`."""
        return best(signature(checkpoint, layout.needed, layout.words) for layout in LAYOUTS)

    def convert(self, checkpoint: Checkpoint, match: Match, words: Words) -> Converted:
        """See `Foreign.convert`."""
        part = match.found
        layout = next(layout for layout in LAYOUTS if match.words == layout.words)
        _refuse(checkpoint, part)
        tensors = read(layout, part.tensors)
        config = _config(tensors, part, layout, words)
        found = network(tensors, config, str(checkpoint.path))
        if words.label is not None and not 0 <= words.label < max(found.classes, 1):
            raise WeightsError(f"{checkpoint.path}: label={words.label}: expected one of {found.classes} classes")
        recipe = f"{layout.words}, {found.side} px, {config['architecture']}"
        if found.classes:
            recipe += f", {found.classes} classes: " + ("all" if words.label is None else f"number {words.label}")
        card = words.card("stylegan2", found.bands, checkpoint, recipe, size=[found.side])
        notes = ("noise maps of the file are left out: coarse ones are searched, fine ones drawn",)
        return Converted({**tensors, **statistics(found, words.label)}, config, card, notes if found.maps else ())


def _refuse(checkpoint: Checkpoint, part: Part) -> None:
    """What a network may say of itself that is not rebuilt."""
    for kwargs in (part.kwargs, _inner(part.kwargs, "mapping_kwargs"), _inner(part.kwargs, "synthesis_kwargs")):
        for key in ("activation", "nonlinearity"):
            said = kwargs.get(key, "lrelu")
            if said != "lrelu":
                raise WeightsError(f"{checkpoint.path}: {key} {said!r}; only networks with lrelu are rebuilt")
    if label_of_tensorflow(part.tensors):
        raise WeightsError(
            f"{checkpoint.path}: classes by LabelConcat are not rebuilt; convert a network without classes"
        )


def _config(tensors: Mapping[str, object], part: Part, layout: Layout, words: Words) -> dict[str, object]:
    synthesis, mapping = _inner(part.kwargs, "synthesis_kwargs"), _inner(part.kwargs, "mapping_kwargs")
    black, white = words.range()
    clamp = synthesis.get("conv_clamp", part.kwargs.get("conv_clamp"))
    rate = mapping.get("lr_multiplier", part.kwargs.get("lr_mlp", part.kwargs.get("mapping_lrmul", 0.01)))
    return {
        "architecture": architecture(tensors),
        "clamp": float(clamp) if isinstance(clamp, int | float) and not isinstance(clamp, bool) else None,
        "rate": float(rate) if isinstance(rate, int | float) else 0.01,
        "scaled": layout.scaled,
        "black": black,
        "white": white,
        "spread": SPREAD,
        "label": words.label,
    }


def _inner(kwargs: Mapping[str, object], name: str) -> Mapping[str, object]:
    found = kwargs.get(name)
    return found if isinstance(found, Mapping) else {}


FOREIGN = StyleGan2Files()
