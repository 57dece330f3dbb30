"""Decoders of anybody's own: a folder with tensors and a short description of the layers that they belong to.

``decoder.json`` says where latents come from and lists layers in the order in which they are run. A layer with tensors
has a ``name``: what stands before ``.weight`` there. Numbers that follow from shapes of tensors may be left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from gensr.errors import WeightsError
from gensr.priors.foreign.checkpoint import Checkpoint, Part
from gensr.priors.foreign.gathering import gathered, missing
from gensr.priors.foreign.plugin import Converted, Foreign, Match, Words
from gensr.priors.foreign.reading import read_inside
from gensr.priors.foreign.views import TensorView
from gensr.priors.layers import LAYERS, OPS, Plan, check_layers, shaped
from gensr.priors.quantile import RANGE
from gensr.priors.schema import Flag, List, Number, Record, Text, Whole

DOCUMENT = "decoder.json"
DESCRIPTION = Record(
    {"latent": List(Whole(1, 1 << 20), 1, 3), "layers": List(Record({"op": Text(30)}), 1, LAYERS)},
    {
        "weights": Text(200, r"[A-Za-z0-9][\w./-]*"),
        "distribution": Text(20, "normal|uniform|truncated"),
        "mean": Number(),
        "scale": Number(1e-12, 1e12),
        "range": RANGE,
        "field": Flag(),
    },
)


class Described(Foreign):
    """See `gensr.priors.foreign.plugin.Foreign`."""

    name: ClassVar[str] = "decoder"

    def match(self, checkpoint: Checkpoint) -> Match | None:
        """See `Foreign.match`: a folder with a description."""
        if DOCUMENT not in checkpoint.documents:
            return None
        said = _description(checkpoint)
        part = _part(checkpoint, said)
        lacking = missing(_weights(said["layers"]), part.tensors)
        layers = len(said["layers"])
        return Match(1.0 if not lacking else 0.5, lacking, part, f"a decoder of {layers} layers, {DOCUMENT}")

    def convert(self, checkpoint: Checkpoint, match: Match, words: Words) -> Converted:
        """See `Foreign.convert`."""
        said, part = _description(checkpoint), match.part
        assert part is not None
        where, plan = f"{checkpoint.path}: {DOCUMENT}", _plan(said["layers"], part)
        check_layers(plan.layers, f"{where}: layers")
        latent, field = [int(n) for n in said["latent"]], said.get("field", False)
        if field and len(latent) != 1:
            raise WeightsError(f"{where}: latent = {latent}: a field has channels alone, its size is that of the image")
        network, made = shaped(plan.layers, (*latent, 2, 2) if field else latent, f"{where}: layers")
        if len(made) != 3:
            raise WeightsError(f"{where}: the layers make numbers of shape {made}, expected bands, rows and columns")
        shapes = {k: tuple(v.shape) for k, v in network.state_dict().items()}
        tensors = gathered(plan.names(), shapes, part.tensors, checkpoint.path, "network.")
        low, high = said.get("range", [-1.0, 1.0])
        config = {
            "layers": plan.layers,
            "latent": latent,
            "factor": made[1] // 2 if field else 0,
            "distribution": {
                "kind": said.get("distribution", "normal"),
                "mean": said.get("mean", 0.0),
                "scale": said.get("scale", 1.0),
            },
            "range": list(words.range(float(low), float(high))),
        }
        aligned = not field or words.alignment not in ("", "none")
        recipe = f"a decoder of {len(plan.layers)} layers"
        card = words.card("decoder", made[0], checkpoint, recipe, aligned, () if field else made[1:])
        return Converted(tensors, config, card)


def _description(checkpoint: Checkpoint) -> Mapping[str, Any]:
    said = checkpoint.documents[DOCUMENT]
    DESCRIPTION.check(said, f"{checkpoint.path}: {DOCUMENT}")
    assert isinstance(said, Mapping)
    return said


def _part(checkpoint: Checkpoint, said: Mapping[str, Any]) -> Part:
    """The tensors: of the file that is named, else of the only one beside the description that is no text."""
    texts = (".json", ".txt", ".md", ".yaml", ".yml", ".py", ".png", ".jpg")
    files = [name for name in checkpoint.files if not name.lower().endswith(texts)]
    if "weights" not in said and len(files) != 1:
        raise WeightsError(
            f"{checkpoint.path}: {DOCUMENT} names no weights, and {len(files)} files may be them; add "
            '"weights": "NAME" to it'
        )
    inner = read_inside(checkpoint, said.get("weights") or files[0])
    if not inner.parts:
        raise WeightsError(f"{inner.path}: no tensors in it; give a state dict or safetensors")
    named = [layer["name"] for layer in said["layers"] if isinstance(layer.get("name"), str)]
    return max(inner.parts, key=lambda part: sum(f"{name}.weight" in part.tensors for name in named))


def _weights(layers: list[Any]) -> dict[str, str]:
    named = [f"{layer['name']}.weight" for layer in layers if "name" in layer]
    return dict(zip(named, named, strict=True))


def _plan(layers: list[Any], part: Part) -> Plan:
    plan = Plan()
    for i, words in enumerate(layers):
        op, name = words["op"], words.get("name", "")
        if op not in OPS or not isinstance(name, str):
            raise WeightsError(f"{DOCUMENT}: layers[{i}]: unknown layer {str(op)[:40]!r}; known: {', '.join(OPS)}")
        said = {k: v for k, v in words.items() if k not in ("op", "name")}
        plan.add(op, name, **{**_inferred(op, name, part.tensors), **said})
    return plan


def _inferred(op: str, name: str, tensors: Mapping[str, TensorView]) -> dict[str, Any]:
    """Numbers of a layer that its tensors tell."""
    weight = tensors.get(f"{name}.weight")
    if weight is None:
        return {}
    shape, bias = weight.shape, f"{name}.bias" in tensors
    if op == "linear" and len(shape) == 2:
        return {"in": shape[1], "out": shape[0], "bias": bias}
    if op == "conv" and len(shape) == 4:
        return {"in": shape[1], "out": shape[0], "kernel": shape[2], "bias": bias}
    if op == "convtranspose" and len(shape) == 4:
        return {"in": shape[0], "out": shape[1], "kernel": shape[2], "bias": bias}
    if op in ("batchnorm", "groupnorm", "prelu") and len(shape) == 1:
        return {"channels": shape[0]}
    if op == "instancenorm" and len(shape) == 1:
        return {"channels": shape[0], "affine": True}
    return {}


FOREIGN = Described()
