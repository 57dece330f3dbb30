"""MONAI's DiffusionModelUNet and schedules: their arguments and names in our words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gensr.errors import WeightsError
from gensr.priors.ddpm import Shape, empty
from gensr.priors.schema import Flag, List, Number, Optional, Record, Text, Whole

from .bundle import Definition, refuse_expressions
from .networks import OneOrMore, attention_names, checked, widths_of

UNET = Record(
    {
        "spatial_dims": Whole(1, 3),
        "attention_levels": List(Flag(), 1, 10),
        **dict.fromkeys(("in_channels", "out_channels"), Whole(1, 1024)),
    },
    {
        **dict.fromkeys(("channels", "num_channels"), List(Whole(1, 1 << 16), 1, 10)),
        "num_res_blocks": OneOrMore(64),
        "num_head_channels": OneOrMore(1 << 16, 0),
        "norm_num_groups": Whole(1, 1 << 16),
        "norm_eps": Number(1e-12, 1.0),
        **dict.fromkeys(("resblock_updown", "with_conditioning", "include_fc"), Optional(Flag())),
        "num_class_embeds": Optional(Whole(1, 1 << 20)),
    },
)
SCHEDULES = {
    "linear_beta": "linear", "scaled_linear_beta": "scaled_linear", "sigmoid_beta": "sigmoid",
    "cosine": "squaredcos_cap_v2", "linear": "linear", "scaled_linear": "scaled_linear",
}  # fmt: skip
"""Theirs, and those of GenerativeModels, in the words of `gensr.priors.steps`."""
SCHEDULE = Record(
    {},
    {
        "num_train_timesteps": Whole(2, 100_000),
        **dict.fromkeys(("schedule", "beta_schedule"), Text(40)),
        **dict.fromkeys(("beta_start", "beta_end"), Number(1e-12, 1.0)),
        "prediction_type": Text(20, "epsilon|sample|v_prediction"),
    },
)


def shape_of(definition: Definition, old: bool) -> Shape:
    """The numbers of a definition.

    Raises:
        WeightsError: a U-Net that is told something else, or values that it cannot have.
    """
    words = checked(definition, UNET)
    widths = widths_of(words, definition.place)
    levels = len(widths)
    for name in ("with_conditioning", "num_class_embeds"):
        if words.get(name):
            raise WeightsError(f"{definition.place}: {name}: a network that is told more than the noisy image")

    def each(key: str, default: int) -> tuple[int, ...]:
        value = words.get(key, default)
        return tuple(value) if isinstance(value, list) else (int(value),) * levels

    # levels without attention may say 0
    heads = tuple(max(1, w // h) if h else 1 for w, h in zip(widths, each("num_head_channels", 8), strict=False))
    attend = tuple(bool(a) for a in words["attention_levels"])
    found = Shape(
        inward=words["in_channels"],
        outward=words["out_channels"],
        widths=tuple(widths),
        blocks=each("num_res_blocks", 2),
        down=attend,
        up=attend,
        heads=heads,
        groups=words.get("norm_num_groups", 32),
        embedding=4 * widths[0],
        eps=float(words.get("norm_eps", 1e-6)),
        convolved=not words.get("resblock_updown"),
        projected=old or bool(words.get("include_fc", True)),
    )
    return Shape.from_config(found.to_config(), definition.place)


def names_of(shape: Shape, old: bool) -> dict[str, str]:
    """Every tensor of our network, and its name there; ``old`` before MONAI 1.4."""
    return {name: _theirs(name, shape, old) for name in empty(shape, "unet").state_dict()}


def _theirs(name: str, shape: Shape, old: bool) -> str:
    parts = name.split(".")
    leaf = parts[-1]
    plain = {
        "time1": "time_embed.0",
        "time2": "time_embed.2",
        "inward": "conv_in.conv",
        "norm": "out.0",
        "outward": "out.2.conv",
    }
    if parts[0] in plain:
        return f"{plain[parts[0]]}.{leaf}"
    middle = parts[0] == "middle"
    place, inner = ("middle_block", parts[1:]) if middle else (f"{parts[0]}_blocks.{parts[1]}", parts[2:])
    if inner[0] == "resize":
        place += ".downsampler" if parts[0] == "down" else ".upsampler"
        if not shape.convolved:
            return f"{place}.{_residual(inner[1])}.{leaf}"
        return f"{place}.{'op' if parts[0] == 'down' else 'conv' if old else 'postconv'}.conv.{leaf}"
    if inner[0] == "residuals":
        block = f"resnet_{int(inner[1]) + 1}" if middle else f"resnets.{inner[1]}"
        return f"{place}.{block}.{_residual(inner[2])}.{leaf}"
    block = "attention" if middle else f"attentions.{inner[1]}"
    return f"{attention_names(f'{place}.{block}', old)[inner[2]]}.{leaf}"


def _residual(part: str) -> str:
    return {"time": "time_emb_proj", "skip": "skip_connection.conv", "conv1": "conv1.conv", "conv2": "conv2.conv"}.get(
        part, part
    )


def schedule_of(definition: Definition) -> dict[str, Any]:
    """A schedule in the words of `gensr.priors.steps`.

    Raises:
        WeightsError: one that is not understood.
    """
    refuse_expressions(definition, SCHEDULE.free)
    SCHEDULE.check(definition.words, definition.place)
    words: Mapping[str, Any] = definition.words
    kind = words.get("schedule", words.get("beta_schedule", "linear_beta"))
    if kind not in SCHEDULES:
        raise WeightsError(f"{definition.place}: schedule = {kind!r}: only {', '.join(SCHEDULES)} are understood")
    kept = {k: words[k] for k in ("beta_start", "beta_end", "prediction_type") if k in words}
    return {"num_train_timesteps": words.get("num_train_timesteps", 1000), "beta_schedule": SCHEDULES[kind], **kept}
