"""BigGAN-deep as ``pytorch-pretrained-biggan`` publishes it: ``config.json`` and ``pytorch_model.bin`` in a folder."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from gensr.errors import WeightsError
from gensr.priors.foreign.checkpoint import Checkpoint, Part
from gensr.priors.foreign.gathering import folded
from gensr.priors.foreign.plugin import Converted, Foreign, Match, Words
from gensr.priors.foreign.reading import read_inside
from gensr.priors.foreign.views import TensorView
from gensr.priors.schema import Kind, List, Number, Record, Whole

from .network import Network, Shape


class Layer(Kind):
    """Whether a block doubles the side, and multiples of the width in and out."""

    def check(self, value: Any, place: str) -> None:  # noqa: ANN401
        """See `Kind.check`."""
        counts = value[1:] if isinstance(value, list) and len(value) == 3 else [0]
        if not all(type(n) is int and 1 <= n <= 1024 for n in counts) or value[0] not in (False, True):
            raise self.refuse(value, place, "[whether it doubles the side, multiple in, multiple out]")


SUFFIXES = (".bin", ".pt", ".pth", ".safetensors")
CONFIG = Record(
    {
        "layers": List(Layer(), 1, 40),
        **dict.fromkeys(("z_dim", "channel_width"), Whole(1, 1 << 14)),
    },
    {
        **dict.fromkeys(("num_classes", "class_embed_dim", "output_dim"), Whole(1, 1 << 20)),
        "attention_layer_position": Whole(0, 40),
        "eps": Number(1e-12, 1.0),
        "n_stats": Whole(2, 10_000),
    },
)
TRUNCATION = 1.0
"""Of noise, with the statistics of normalisation that belong to it: all that the network was trained on."""
RATIO = 1e-6
"""Smallest variance of a direction of class embeddings, relative to the largest, that is searched."""


class HubBigGan(Foreign):
    """See `gensr.priors.foreign.plugin.Foreign`."""

    name: ClassVar[str] = "biggan"

    def match(self, checkpoint: Checkpoint) -> Match | None:
        """See `Foreign.match`: a configuration with its words, and the tensors that it speaks of."""
        name, config = _config(checkpoint)
        if config is None:
            return None
        try:
            part = _part(checkpoint)
            shape = _shape(config, f"{checkpoint.path}: {name}")
        except WeightsError as error:
            return Match(0.5, (f"what is understood ({error})",), None, "BigGAN-deep")
        if part is None:
            return Match(0.5, ("generator.gen_z.weight in a file beside its configuration",), None, "BigGAN-deep")
        with torch.device("meta"):
            own = list(Network(shape).state_dict())
        lacking = tuple(n for n in (_theirs(name, shape) for name in own) if not _has(part.tensors, n))
        words = f"BigGAN-deep, {shape.side} px, {config.get('num_classes', 1000)} classes"
        return Match(1.0 if not lacking else 0.6, lacking, part, words)

    def convert(self, checkpoint: Checkpoint, match: Match, words: Words) -> Converted:
        """See `Foreign.convert`."""
        name, config = _config(checkpoint)
        assert config is not None
        assert match.part is not None
        where = f"{checkpoint.path}: {name}"
        shape, theirs = _shape(config, where), match.part.tensors
        with torch.device("meta"):
            shapes = {k: tuple(v.shape) for k, v in Network(shape).state_dict().items()}
        made: dict[str, Tensor] = {}
        for own, expected in shapes.items():
            tensor = _tensor(theirs, _theirs(own, shape))
            if own.startswith("image."):
                tensor = tensor[: shape.bands].clone()  # the network computes channels that nobody looks at
            if tuple(tensor.shape) != expected:
                raise WeightsError(f"{where}: says {expected} where {_theirs(own, shape)} is {tuple(tensor.shape)}")
            made[f"network.{own}"] = tensor
        mean, factor = _classes(theirs, shape, words, where)
        made["class.mean"] = mean
        if factor.shape[1]:
            made["class.factor"] = factor
        said = {
            "shape": shape.to_config(),
            "distribution": {"kind": "truncated", "mean": 0.0, "scale": TRUNCATION},
            "range": list(words.range()),
        }
        card = words.card("biggan", shape.bands, checkpoint, match.words, size=[shape.side])
        return Converted(made, said, card)


def _config(checkpoint: Checkpoint) -> tuple[str, Mapping[str, Any] | None]:
    for name, document in checkpoint.documents.items():
        if name.endswith("config.json") and isinstance(document, Mapping) and {"layers", "z_dim"} <= set(document):
            return name, document
    return "", None


def _part(checkpoint: Checkpoint) -> Part | None:
    for name in checkpoint.files:
        if name.lower().endswith(SUFFIXES):
            for part in read_inside(checkpoint, name).parts:
                if any(n.startswith("generator.gen_z.weight") for n in part.tensors):
                    return part
    return None


def _shape(config: Mapping[str, Any], where: str) -> Shape:
    CONFIG.check(config, where)
    layers = [(bool(up), int(a), int(b)) for up, a, b in config["layers"]]
    latent = int(config["z_dim"])
    found = Shape(
        latent=latent,
        told=latent,  # class embeddings are as long as noise, whatever class_embed_dim says
        width=int(config["channel_width"]),
        blocks=tuple((a, b) for _, a, b in layers),
        grow=tuple(up for up, _, _ in layers),
        attention=int(config.get("attention_layer_position", len(layers))),
        eps=float(config.get("eps", 1e-4)),
    )
    if layers[-1][2] != 1:
        raise WeightsError(f"{where}: layers end with {layers[-1][2]} times the width, expected 1")
    return Shape.from_config(found.to_config(), where)


def _theirs(own: str, shape: Shape) -> str:
    """Name there of a tensor of ours."""
    parts = own.split(".")
    if parts[0] == "blocks":
        index = int(parts[1])
        place = f"generator.layers.{index + (index >= shape.attention)}"
        inner = f"{place}.{'bn' if parts[2] == 'norms' else 'conv'}_{parts[3]}"
        return f"{inner}.{'.'.join({'mean': 'running_means', 'variance': 'running_vars'}.get(p, p) for p in parts[4:])}"
    if parts[0] == "glance":
        place = f"generator.layers.{shape.attention}"
        if parts[1] == "strength":
            return f"{place}.gamma"
        word = {"query": "snconv1x1_theta", "key": "snconv1x1_phi", "value": "snconv1x1_g", "out": "snconv1x1_o_conv"}
        return f"{place}.{word[parts[1]]}.{parts[2]}"
    plain = {
        "start": "generator.gen_z",
        "image": "generator.conv_to_rgb",
        "mean": "generator.bn.running_means",
        "variance": "generator.bn.running_vars",
        "weight": "generator.bn.weight",
        "bias": "generator.bn.bias",
    }
    return ".".join([plain[parts[0]], *parts[1:]])


def _has(tensors: Mapping[str, TensorView], name: str) -> bool:
    return name in tensors or f"{name}_orig" in tensors


def _tensor(tensors: Mapping[str, TensorView], name: str) -> Tensor:
    """A tensor, spectral norm folded in, statistics those of the truncation."""
    if f"{name}_orig" in tensors:
        u, v = tensors.get(f"{name}_u"), tensors.get(f"{name}_v")
        if u is None:
            raise WeightsError(f"{name}_u is missing: a spectral norm without its vector")
        return folded(tensors[f"{name}_orig"].read(), u.read(), None if v is None else v.read())
    found = tensors[name].read()
    if name.endswith(("running_means", "running_vars")) and found.ndim == 2:
        share, index = math.modf(TRUNCATION * (len(found) - 1))
        low, high = found[int(index)], found[min(int(index) + 1, len(found) - 1)]
        return (low + share * (high - low)).clone()
    return found


def _classes(tensors: Mapping[str, TensorView], shape: Shape, words: Words, where: str) -> tuple[Tensor, Tensor]:
    """Mean and factor of class embeddings, or the embedding of the class that the user names."""
    view = tensors.get("embeddings.weight")
    if view is None or len(view.shape) != 2 or view.shape[0] != shape.told:
        raise WeightsError(f"{where}: embeddings.weight of {shape.told} rows, one column for a class, is missing")
    table = view.read().double()  # (told, classes)
    label = words.label
    if label is not None and label >= 0:
        if label >= table.shape[1]:
            raise WeightsError(f"label={label}: there are classes 0 to {table.shape[1] - 1}")
        return table[:, label].float(), torch.zeros(shape.told, 0)
    mean = table.mean(1)
    if table.shape[1] < 2:
        return mean.float(), torch.zeros(shape.told, 0)
    centred = table - mean[:, None]
    variance, direction = torch.linalg.eigh(centred @ centred.T / (table.shape[1] - 1))
    kept = variance > RATIO * variance[-1].clamp(min=1e-30)
    return mean.float(), (direction[:, kept] * variance[kept].sqrt()).flip(1).float().contiguous()


FOREIGN = HubBigGan()
