"""How MONAI bundles are known, and what weights of ours are made of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from torch import Tensor

from gensr.errors import WeightsError
from gensr.priors.ddpm import empty
from gensr.priors.foreign.checkpoint import Checkpoint, Part, plain
from gensr.priors.foreign.gathering import gathered, merged, missing
from gensr.priors.foreign.plugin import Converted, Foreign, Match, Words
from gensr.priors.foreign.reading import read_inside
from gensr.priors.foreign.views import TensorView
from gensr.priors.layers import Plan, shaped
from gensr.priors.steps import levels

from . import networks, unet
from .bundle import Definition, definitions, documents, texts, value_of, value_range

WEIGHTS = re.compile(r".*\.(pt|pth|bin|ckpt|safetensors)")
NETWORKS = ("Generator", "AutoencoderKL", "DiffusionModelUNet")
MOST_FILES = 20
STEPS = 6
"""Evaluations in the map from noise to images."""


@dataclass(frozen=True)
class Found:
    """Tensors of a network.

    Attributes:
        names: ours to theirs.
        part: where they are.
        old: whether names are those of GenerativeModels.
    """

    names: Mapping[str, str]
    part: Part
    old: bool


class Monai(Foreign):
    """See `gensr.priors.foreign.plugin.Foreign`."""

    name: ClassVar[str] = "monai"

    def match(self, checkpoint: Checkpoint) -> Match | None:
        """See `Foreign.match`: the classes that the configuration names, and whether some file has their tensors."""
        if not documents(checkpoint):
            return None
        try:
            return self._match(checkpoint)
        except WeightsError as error:
            return Match(0.5, (f"what is understood ({error})",), None, "MONAI bundle")

    def _match(self, checkpoint: Checkpoint) -> Match:
        found = definitions(checkpoint)
        known = [kind for kind in NETWORKS if kind in found]
        if not known:
            return Match(0.3, (f"a definition of {', '.join(NETWORKS)} in configs/*.json",), None, "MONAI bundle")
        weights = _parts(checkpoint)
        lacking = [] if weights else ["weights in models/"]
        for kind in known if weights else []:
            best = _found(found[kind], weights)
            absent = missing(best.names, best.part.tensors)
            if absent and not (kind == "DiffusionModelUNet" and "AutoencoderKL" in known):
                lacking += [f"{kind}: {name}" for name in absent]
        if "DiffusionModelUNet" in known and known[0] == "DiffusionModelUNet" and "scheduler" not in found:
            lacking.append("a scheduler in configs/*.json")
        return Match(1.0 if not lacking else 0.6, tuple(lacking), None, f"MONAI bundle, {' + '.join(known)}")

    def convert(self, checkpoint: Checkpoint, match: Match, words: Words) -> Converted:
        """See `Foreign.convert`."""
        found, weights = definitions(checkpoint), _parts(checkpoint)
        if "Generator" in found:
            return _generator(checkpoint, found["Generator"], weights, words)
        notes: tuple[str, ...] = ()
        if "DiffusionModelUNet" in found:
            network = _found(found["DiffusionModelUNet"], weights)
            whole = not missing(network.names, network.part.tensors)
            if whole and "scheduler" in found:
                return _diffusion(checkpoint, found, network, weights, words)
            notes = ("the diffusion network is left out, as its weights or schedule are not there",)
        return _autoencoder(checkpoint, found["AutoencoderKL"], weights, words, notes)


def _parts(checkpoint: Checkpoint) -> list[Part]:
    """Tensors of every file of weights, with the numbers beside them; those of combined projections as three."""
    found = []
    for name in [name for name in checkpoint.files if WEIGHTS.fullmatch(name.lower())][:MOST_FILES]:
        inner = read_inside(checkpoint, name)
        beside = plain(inner.root) if isinstance(inner.root, dict) else {}
        numbers = {k: v for k, v in beside.items() if isinstance(v, int | float)}
        found += [replace(p, tensors=_split(p.tensors), kwargs={**numbers, **p.kwargs}) for p in inner.parts]
    return found


def _split(tensors: Mapping[str, TensorView]) -> dict[str, TensorView]:
    kept = {}
    for name, view in tensors.items():
        place, mark, leaf = name.rpartition(".qkv.")
        if mark and view.shape and view.shape[0] % 3 == 0:
            rows = view.shape[0] // 3
            for k, own in enumerate(("to_q", "to_k", "to_v")):
                shape, offset = (rows, *view.shape[1:]), view.offset + k * rows * view.stride[0]
                kept[f"{place}.{own}.{leaf}"] = replace(view, shape=shape, offset=offset)
        else:
            kept[name] = view
    return kept


def _names(definition: Definition, old: bool) -> dict[str, str]:
    if definition.kind == "Generator":
        return networks.generator(definition)[0].names()
    if definition.kind == "AutoencoderKL":
        return networks.decoder(definition, old).names()
    return unet.names_of(unet.shape_of(definition, old), old)


def _found(definition: Definition, weights: list[Part]) -> Found:
    """The part that has most of a network's tensors, by new names or old."""
    tried = [
        Found(names, part, old) for old in (False, True) for names in [_names(definition, old)] for part in weights
    ]
    return min(tried, key=lambda f: len(missing(f.names, f.part.tensors)))


def _tensors(plan: Plan, part: Part, shape: tuple[int, ...], where: str, prefix: str) -> dict[str, Tensor]:
    network, _ = shaped(plan.layers, shape, where)
    shapes = {k: tuple(v.shape) for k, v in network.state_dict().items()}
    return gathered(plan.names(), shapes, part.tensors, where, f"{prefix}.")


def _generator(checkpoint: Checkpoint, definition: Definition, weights: list[Part], words: Words) -> Converted:
    plan, latent = networks.generator(definition)
    part = _found(definition, weights).part
    tensors = _tensors(plan, part, (latent,), definition.place, "network")
    _, made = shaped(plan.layers, (latent,), definition.place)
    said, notes = list(texts(checkpoint)), []
    if _sigmoid(checkpoint):
        plan.add("sigmoid")
        notes.append("a sigmoid follows the network, as its configuration says")
    uniform = any(re.search(r"torch\.rand\(", text) for text in said)
    notes.append(f"latents are {'uniform in 0..1' if uniform else 'standard normal'}, as far as its configuration says")
    config = {
        "layers": plan.layers,
        "latent": [latent],
        "factor": 0,
        "distribution": {"kind": "uniform" if uniform else "normal", "mean": 0.0, "scale": 1.0},
        "range": list(words.range(*(value_range(checkpoint) or (0.0, 1.0)))),
    }
    bands = int(definition.words["channels"][-1])
    card = words.card("decoder", bands, checkpoint, "Generator of MONAI", size=made[1:])
    return Converted(tensors, config, card, tuple(notes))


def _sigmoid(checkpoint: Checkpoint) -> bool:
    """Whether a transform of the configuration applies a sigmoid to what the network makes."""
    todo: list[object] = list(documents(checkpoint).values())
    while todo:
        value = todo.pop()
        if isinstance(value, Mapping):
            if str(value.get("_target_", "")).rpartition(".")[2].startswith("Activations"):
                said = value.get("sigmoid")
                if said is True or said == [True]:
                    return True
            todo += value.values()
        elif isinstance(value, list):
            todo += value
    return False


def _autoencoder(
    checkpoint: Checkpoint, definition: Definition, weights: list[Part], words: Words, notes: tuple[str, ...]
) -> Converted:
    found = _found(definition, weights)
    decoder, said = networks.decoder(definition, found.old), definition.words
    latent, step = said["latent_channels"], 1 << (len(said["attention_levels"]) - 1)
    bands, scale, notes = said.get("out_channels", 1), *_scale(checkpoint, found.part, notes)
    tensors = [_tensors(decoder, found.part, (latent, 2, 2), definition.place, "network")]
    config: dict[str, Any] = {
        "layers": decoder.layers,
        "latent": [latent],
        "factor": step,
        "distribution": {"kind": "normal", "mean": 0.0, "scale": 1 / scale},
        "range": list(words.range(*(value_range(checkpoint) or (0.0, 1.0)))),
    }
    encoder = networks.encoder(definition, found.old)
    if said.get("in_channels", 1) == bands and not missing(encoder.names(), found.part.tensors):
        shape = (bands, 2 * step, 2 * step)
        tensors.append(_tensors(encoder, found.part, shape, definition.place, "encoder"))
        config["encoder"] = encoder.layers
    aligned = words.alignment not in ("", "none")
    card = words.card("decoder", bands, checkpoint, "AutoencoderKL of MONAI", aligned)
    return Converted(merged(*tensors), config, card, notes)


def _scale(checkpoint: Checkpoint, part: Part, notes: tuple[str, ...]) -> tuple[float, tuple[str, ...]]:
    """What latents were multiplied with before the diffusion network saw them."""
    for said in (value_of(checkpoint, "scale_factor"), part.kwargs.get("scale_factor")):
        if isinstance(said, int | float) and not isinstance(said, bool) and 1e-6 < said < 1e6:
            return float(said), notes
    return 1.0, (*notes, "scale_factor is no number there: latents are taken to have unit deviation")


def _diffusion(
    checkpoint: Checkpoint, found: Mapping[str, Definition], network: Found, weights: list[Part], words: Words
) -> Converted:
    about, notes = found["DiffusionModelUNet"], ()
    shape = unet.shape_of(about, network.old)
    shapes = {k: tuple(v.shape) for k, v in empty(shape, about.place).state_dict().items()}
    tensors = [gathered(network.names, shapes, network.part.tensors, about.place, "unet.")]
    schedule = unet.schedule_of(found["scheduler"])
    tensors.append({"sigmas": levels(schedule, found["scheduler"].place)})
    config: dict[str, Any] = {
        "unet": shape.to_config(),
        "prediction": schedule.get("prediction_type", "epsilon"),
        "range": list(words.range(*(value_range(checkpoint) or (0.0, 1.0)))),
        "steps": STEPS,
        "size": [],
    }
    bands, step, more = shape.inward, 1, tuple[str, ...]()
    if "AutoencoderKL" in found:
        definition = found["AutoencoderKL"]
        inner = _found(definition, weights)
        plan = networks.decoder(definition, inner.old)
        tensors.append(_tensors(plan, inner.part, (shape.inward, 2, 2), definition.place, "decoder"))
        scale, more = _scale(checkpoint, network.part, notes)
        bands, step = definition.words.get("out_channels", 1), 1 << (len(definition.words["attention_levels"]) - 1)
        config["latent"] = {"layers": plan.layers, "scale": 1 / scale, "mean": 0.0, "factor": step}
    aligned = words.alignment not in ("", "none")
    if aligned:
        config["size"] = _size(checkpoint, step)
    recipe = "DiffusionModelUNet of MONAI" + (" in latents of its AutoencoderKL" if step > 1 else "")
    card = words.card("diffusion", bands, checkpoint, recipe, aligned, config["size"])
    return Converted(merged(*tensors), config, card, more)


def _size(checkpoint: Checkpoint, step: int) -> list[int]:
    """Rows and columns of aligned images, from the shape of latents that the configuration states.

    Raises:
        WeightsError: it states none.
    """
    said = value_of(checkpoint, "latent_shape")
    if not isinstance(said, list) or len(said) not in (2, 3) or not all(type(n) is int for n in said):
        raise WeightsError(
            f"{checkpoint.path}: its configuration states no latent_shape, so the size of aligned images is not known; "
            "give alignment=none"
        )
    return [n * step for n in said[-2:]]


FOREIGN = Monai()
