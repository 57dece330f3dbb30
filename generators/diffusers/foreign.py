"""How folders of diffusers are known, and what weights of ours are made of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor

from gensr.errors import WeightsError
from gensr.priors.ddpm import empty
from gensr.priors.foreign.checkpoint import Checkpoint
from gensr.priors.foreign.gathering import gathered, merged
from gensr.priors.foreign.plugin import Converted, Foreign, Match, Words
from gensr.priors.foreign.reading import read_inside
from gensr.priors.foreign.views import TensorView
from gensr.priors.layers import Plan, shaped
from gensr.priors.steps import levels

from . import autoencoder, unet

STEM = "diffusion_pytorch_model"
PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
AUTOENCODER, UNET = "AutoencoderKL", "UNet2DModel"
STEPS = 6
"""Evaluations in the map from noise to images."""


class Diffusers(Foreign):
    """See `gensr.priors.foreign.plugin.Foreign`."""

    name: ClassVar[str] = "diffusers"

    def match(self, checkpoint: Checkpoint) -> Match | None:
        """See `Foreign.match`: the classes that the folder names."""
        found = components(checkpoint)
        if not found:
            return None
        autoencoder_at, unet_at = found.get(AUTOENCODER), found.get(UNET)
        if autoencoder_at is None and unet_at is None:
            classes = ", ".join(sorted(found)[:6])
            return Match(0.3, (f"{AUTOENCODER} or {UNET} (it has {classes})",), None, "diffusers")
        places = [p for p in (autoencoder_at, unet_at) if p is not None]
        lacking = [f"weights in {p or 'the folder'}" for p in places if not weight_files(checkpoint, p)]
        if unet_at is not None and scheduler(checkpoint, unet_at) is None:
            lacking.append("scheduler/scheduler_config.json")
        words = " + ".join(c for c in (AUTOENCODER, UNET) if c in found)
        return Match(1 - 0.2 * len(lacking), tuple(lacking), None, f"diffusers, {words}")

    def convert(self, checkpoint: Checkpoint, match: Match, words: Words) -> Converted:
        """See `Foreign.convert`."""
        found = components(checkpoint)
        if UNET not in found:
            others = sorted(set(found) - {AUTOENCODER})
            notes = [f"{', '.join(others)} left out: the autoencoder alone is the prior"] if others else []
            return _autoencoder(checkpoint, found[AUTOENCODER], words, tuple(notes))
        return _diffusion(checkpoint, found[UNET], found.get(AUTOENCODER), words)


def components(checkpoint: Checkpoint) -> dict[str, str]:
    """Classes by the folder that holds them, "" for the top; the first of a class counts."""
    found: dict[str, str] = {}
    for name, document in checkpoint.documents.items():
        if name.rpartition("/")[2] == "config.json" and name.count("/") <= 1 and isinstance(document, Mapping):
            kind = document.get("_class_name")
            if isinstance(kind, str) and "_diffusers_version" in document:
                found.setdefault(kind, name.rpartition("/")[0])
    return found


def _config(checkpoint: Checkpoint, place: str) -> Mapping[str, Any]:
    document = checkpoint.documents[f"{place}/config.json".lstrip("/")]
    assert isinstance(document, Mapping)
    return document


def scheduler(checkpoint: Checkpoint, place: str) -> Mapping[str, Any] | None:
    """The schedule of noise levels beside or within a component."""
    for name in ("scheduler/scheduler_config.json", "scheduler_config.json", f"{place}/scheduler_config.json"):
        document = checkpoint.documents.get(name)
        if isinstance(document, Mapping):
            return document
    return None


def weight_files(checkpoint: Checkpoint, place: str) -> list[str]:
    """Files that hold the tensors of a component: safetensors first, whole precision first."""
    top = f"{place}/" if place else ""
    for ending in ("safetensors", "bin"):
        for stem in (STEM, f"{STEM}.fp16", f"{STEM}.non_ema"):
            if f"{top}{stem}.{ending}" in checkpoint.files:
                return [f"{top}{stem}.{ending}"]
            index = checkpoint.documents.get(f"{top}{STEM}.{ending}.index{stem.removeprefix(STEM)}.json")
            shards = index.get("weight_map") if isinstance(index, Mapping) else None
            if isinstance(shards, Mapping) and shards:
                return [f"{top}{name}" for name in sorted({str(s) for s in shards.values()})]
    return []


def tensors_of(checkpoint: Checkpoint, place: str) -> dict[str, TensorView]:
    """Tensors of a component, of all its files together.

    Raises:
        WeightsError: a file is missing, or the index names one elsewhere.
    """
    found: dict[str, TensorView] = {}
    for name in weight_files(checkpoint, place):
        if not PLAIN_NAME.fullmatch(name.removeprefix(f"{place}/" if place else "")):
            raise WeightsError(f"{checkpoint.path}: the index names {name[:80]!r}, which is no file beside it")
        for part in read_inside(checkpoint, name).parts[:1]:
            found |= part.tensors
    return found


def _gathered_plan(
    plan: Plan, tensors: Mapping[str, TensorView], shape: tuple[int, ...], where: str
) -> dict[str, Tensor]:
    network, _ = shaped(plan.layers, shape, where)
    shapes = {k: tuple(v.shape) for k, v in network.state_dict().items()}
    return gathered(plan.names(), shapes, tensors, where)


def _prefixed(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def _legacy(tensors: Mapping[str, TensorView]) -> bool:
    return any(name.endswith(".query.weight") for name in tensors)


def _autoencoder(checkpoint: Checkpoint, place: str, words: Words, notes: tuple[str, ...]) -> Converted:
    config, where = _config(checkpoint, place), f"{checkpoint.path}: {place or '.'}"
    autoencoder.check(config, f"{where}/config.json")
    tensors = tensors_of(checkpoint, place)
    latent, step, bands = config["latent_channels"], autoencoder.factor(config), config["out_channels"]
    decoder = autoencoder.decoder(config, _legacy(tensors))
    parts = {"network": _gathered_plan(decoder, tensors, (latent, 2, 2), where)}
    said: dict[str, Any] = {
        "layers": decoder.layers,
        "latent": [latent],
        "factor": step,
        "distribution": autoencoder.distribution(config),
        "range": list(words.range()),
    }
    if config.get("in_channels", bands) == bands and any(name.startswith("encoder.") for name in tensors):
        encoder = autoencoder.encoder(config, _legacy(tensors))
        parts["encoder"] = _gathered_plan(encoder, tensors, (bands, 2 * step, 2 * step), where)
        said["encoder"] = encoder.layers
    aligned = words.alignment not in ("", "none")
    recipe, side = f"AutoencoderKL of diffusers, latents of {latent} channels", config.get("sample_size")
    card = words.card("decoder", bands, checkpoint, recipe, aligned, [side] if type(side) is int else ())
    made = merged(*(_prefixed(part, name) for name, part in parts.items()))
    return Converted(made, said, card, notes)


def _diffusion(checkpoint: Checkpoint, place: str, vae: str | None, words: Words) -> Converted:
    config, where = _config(checkpoint, place), f"{checkpoint.path}: {place or '.'}"
    shape = unet.shape_of(config, f"{where}/config.json")
    tensors = tensors_of(checkpoint, place)
    shapes = {k: tuple(v.shape) for k, v in empty(shape, where).state_dict().items()}
    own = gathered(unet.names_of(shape, _legacy(tensors)), shapes, tensors, where)
    schedule = scheduler(checkpoint, place) or {}
    sigmas = levels(unet.schedule_of(schedule), f"{checkpoint.path}: scheduler_config.json")
    said: dict[str, Any] = {
        "unet": shape.to_config(),
        "prediction": schedule.get("prediction_type", "epsilon"),
        "range": list(words.range()),
        "steps": STEPS,
        "size": [],
    }
    parts, bands, block = [_prefixed(own, "unet"), {"sigmas": sigmas}], shape.inward, 1
    if vae is not None:
        about = _config(checkpoint, vae)
        autoencoder.check(about, f"{checkpoint.path}: {vae or '.'}/config.json")
        inner = tensors_of(checkpoint, vae)
        plan = autoencoder.decoder(about, _legacy(inner))
        parts.append(_prefixed(_gathered_plan(plan, inner, (shape.inward, 2, 2), where), "decoder"))
        spread = autoencoder.distribution(about)
        bands, block = about["out_channels"], autoencoder.factor(about)
        said["latent"] = {"layers": plan.layers, "scale": spread["scale"], "mean": spread["mean"], "factor": block}
    side = config.get("sample_size")
    aligned = words.alignment != "none" and side is not None
    if aligned:
        sides = side if isinstance(side, list) else [side, side]
        said["size"] = [n * block if type(n) is int else n for n in sides]
    recipe = "UNet2DModel of diffusers" + ("" if vae is None else " in latents of its AutoencoderKL")
    card = words.card("diffusion", bands, checkpoint, recipe, aligned, said["size"])
    return Converted(merged(*parts), said, card)


FOREIGN = Diffusers()
