"""Snapshots of EDM by NVIDIA (arXiv:2206.00364): how they are known, and how weights of ours are made of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor

from gensr.errors import WeightsError
from gensr.priors.foreign.checkpoint import Checkpoint, Part
from gensr.priors.foreign.gathering import gathered, merged
from gensr.priors.foreign.plugin import Converted, Foreign, Match, Words, signature

from .edm import HEAD, empty
from .rules import RULE
from .structure import Shape, told_by

MODEL = "model."
"""What stands before the tensors of the network within its preconditioning."""
NEEDED = (
    r"model\.map_layer0\.weight",
    r"model\.map_layer1\.weight",
    r"model\.enc\.\d+x\d+_conv\.weight",
    r"model\.enc\.\d+x\d+_block0\.affine\.weight",
    r"model\.dec\.\d+x\d+_in0\.conv0\.weight",
)
KINDS = ("EDMPrecond", "VPPrecond", "VEPrecond", "iDDPMPrecond")
"""Classes of preconditioning, which say what a network is told and what it says."""
RULES: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "EDMPrecond": ("edm", {"data": "sigma_data", "most": "sigma_max"}),
    "VPPrecond": ("vp", {"distance": "beta_d", "least": "beta_min", "steps": "M"}),
    "VEPrecond": ("ve", {"most": "sigma_max"}),
}
"""The rule of each, and its numbers by the words of the file."""
STEPS = 6
"""Evaluations in the map from noise to images."""


class EdmFiles(Foreign):
    """See `gensr.priors.foreign.plugin.Foreign`."""

    name: ClassVar[str] = "edm"

    def match(self, checkpoint: Checkpoint) -> Match | None:
        """See `Foreign.match`: names of the network, and the class around it."""
        found = signature(checkpoint, NEEDED)
        if found is None:
            second = any(p.class_name == "Precond" and "unet.out_gain" in p.tensors for p in checkpoint.parts)
            return Match(0.4, ("SongUNet or DhariwalUNet: it is of EDM2",), None, "EDM2") if second else None
        if not found.fits:
            return found
        part = found.found
        if part.class_name not in KINDS:
            lacking = f"its class ({', '.join(KINDS)}), which says how it is told noise: give the pickle"
            return Match(0.8, (lacking,), part, "EDM")
        try:
            shape = _shape(part, str(checkpoint.path))
        except WeightsError as error:
            return Match(0.8, (f"what is understood ({error})",), part, "EDM")
        network = "DhariwalUNet" if shape.adm else "SongUNet"
        classes = f", {shape.classes} classes" if shape.classes else ""
        return Match(1.0, (), part, f"{part.class_name}, {network}, {shape.side} px{classes}")

    def convert(self, checkpoint: Checkpoint, match: Match, words: Words) -> Converted:
        """See `Foreign.convert`."""
        part, where = match.found, str(checkpoint.path)
        shape = _shape(part, where)
        _agree(shape, part.kwargs, where)
        shapes = {k: tuple(v.shape) for k, v in empty(shape, where).state_dict().items()}
        made = gathered({k: f"{MODEL}{k}" for k in shapes}, shapes, part.tensors, where, "edm.")
        said: dict[str, Any] = {
            "edm": shape.to_config(),
            "label": _label(shape, part.kwargs, words, where),
            "range": list(words.range()),
            "steps": STEPS,
            "size": [shape.side] * 2 if words.alignment != "none" else [],
        }
        rule, sigmas = _rule(part, where)
        recipe = f"{match.words} of EDM" + ("" if said["label"] is None else f": number {said['label']}")
        aligned = words.alignment != "none"
        card = words.card("diffusion", shape.inward, checkpoint, recipe, aligned, said["size"])
        notes = ["what it was told of augmented images is left out: no image is augmented here"]
        told = f"{MODEL}map_augment.weight" in part.tensors
        return Converted(merged(made, sigmas), {**said, **rule}, card, tuple(notes if told else ()))


def _shape(part: Part, where: str) -> Shape:
    inner = part.without(MODEL).tensors
    return told_by({name: view.shape for name, view in inner.items()}, where)


def _agree(shape: Shape, kwargs: Mapping[str, object], where: str) -> None:
    """Refuse a file whose arguments are of another network than its tensors.

    Raises:
        WeightsError: names the argument.
    """
    found: dict[str, object] = {
        "model_type": "DhariwalUNet" if shape.adm else "SongUNet",
        "img_resolution": shape.side,
        "img_channels": shape.inward,
        "label_dim": shape.classes,
        "num_blocks": shape.blocks,
        "encoder_type": shape.encoder,
        "decoder_type": shape.decoder,
        "embedding_type": "fourier" if shape.fourier else "positional",
    }
    base, multiples = kwargs.get("model_channels"), kwargs.get("channel_mult")
    if isinstance(base, int) and isinstance(multiples, list):
        found["channel_mult"] = [width / base if base else width for width in shape.widths]
    taps, attended = kwargs.get("resample_filter"), kwargs.get("attn_resolutions")
    if isinstance(taps, list) and len(shape.widths) > 1 and len(taps) != shape.taps:
        raise WeightsError(f"{where}: says a filter of {len(taps)} numbers, its tensors {shape.taps}; get it again")
    if isinstance(attended, list):
        there = [side for i, side in enumerate(shape.sides) if not shape.adm or shape.widths[i] >= HEAD]
        found["attn_resolutions"] = [side for side in attended if side not in there or side in shape.attended]
        if not set(shape.attended) <= {side for side in attended if type(side) is int}:
            found["attn_resolutions"] = list(shape.attended)
    for name, value in found.items():
        if name in kwargs and kwargs[name] != value:
            said = kwargs[name] if isinstance(kwargs[name], int | float) else repr(kwargs[name])
            raise WeightsError(
                f"{where}: says {name} = {str(said)[:60]}, its tensors {value!r}; they are of different networks: "
                "get the file again"
            )


def _label(shape: Shape, kwargs: Mapping[str, object], words: Words, where: str) -> int | None:
    """The class that it is told.

    Raises:
        WeightsError: one that it does not know, or none where it was never trained without.
    """
    label, dropped = words.label, kwargs.get("label_dropout", 0)
    if label is not None and not 0 <= label < shape.classes:
        raise WeightsError(f"{where}: label={label}: expected one of {shape.classes} classes")
    if label is None and shape.classes and not (isinstance(dropped, int | float) and dropped > 0):
        raise WeightsError(
            f"{where}: knows {shape.classes} classes and was never trained without one; "
            f"add label=0 to label={shape.classes - 1}"
        )
    return label


def _rule(part: Part, where: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Rule, or prediction and noise levels, of the class around the network."""
    if part.class_name == "iDDPMPrecond":
        view = part.tensors.get("u")
        if view is None or len(view.shape) != 1 or view.shape[0] < 3:
            raise WeightsError(f"{where}: noise levels 'u' are missing; get the file again")
        # they fall, and end at none
        return {"prediction": "epsilon"}, {"sigmas": view.read()[:-1].flip(0).contiguous()}
    kind, numbers = RULES[part.class_name]
    said: dict[str, Any] = {own: part.kwargs[name] for own, name in numbers.items() if name in part.kwargs}
    if said.get("most") == float("inf"):
        del said["most"]
    rule = {"kind": kind, **said}
    RULE.check(rule, f"{where}: {part.class_name}")
    return {"rule": rule}, {}


FOREIGN = EdmFiles()
