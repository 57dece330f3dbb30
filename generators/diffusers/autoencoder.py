"""AutoencoderKL of diffusers, written down as layers: its names, its order, nothing of its code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gensr.errors import WeightsError
from gensr.priors.layers import Plan
from gensr.priors.schema import Flag, List, Number, Optional, Record, Text, Whole

EPS = 1e-6
"""Of every group normalisation."""
CONFIG = Record(
    {
        "block_out_channels": List(Whole(1, 1 << 16), 1, 10),
        "latent_channels": Whole(1, 1024),
        "out_channels": Whole(1, 64),
    },
    {
        "in_channels": Whole(1, 64),
        "layers_per_block": Whole(1, 64),
        "norm_num_groups": Whole(1, 1 << 16),
        "act_fn": Text(20, "silu|swish"),
        "down_block_types": List(Text(100, "DownEncoderBlock2D"), 1, 10),
        "up_block_types": List(Text(100, "UpDecoderBlock2D"), 1, 10),
        "scaling_factor": Number(1e-6, 1e6),
        "shift_factor": Optional(Number(-1e6, 1e6)),
        "mid_block_add_attention": Flag(),
        "use_post_quant_conv": Flag(),
        "use_quant_conv": Flag(),
    },
)
SCALING = 0.18215
"""``scaling_factor`` where the configuration is older than it."""


def distribution(config: Mapping[str, Any]) -> dict[str, Any]:
    """What standard normal latents are to be multiplied with, as the pipelines do before they decode."""
    return {
        "kind": "normal",
        "mean": float(config.get("shift_factor") or 0.0),
        "scale": 1 / float(config.get("scaling_factor", SCALING)),
    }


def factor(config: Mapping[str, Any]) -> int:
    """Pixels of a side for each latent."""
    return 1 << (len(config["block_out_channels"]) - 1)


def attention_names(place: str, legacy: bool) -> dict[str, str]:
    """Where the parts of an attention are; ``legacy`` before version 0.15."""
    query, key, value, out = ("query", "key", "value", "proj_attn") if legacy else ("to_q", "to_k", "to_v", "to_out.0")
    parts = {"query": query, "key": key, "value": value, "out": out}
    return {"norm": f"{place}.group_norm", **{own: f"{place}.{theirs}" for own, theirs in parts.items()}}


def residual_names(place: str, skip: bool) -> dict[str, str]:
    """Where the parts of a residual block are."""
    names = {part: f"{place}.{part}" for part in ("norm1", "conv1", "norm2", "conv2")}
    return {**names, "skip": f"{place}.conv_shortcut"} if skip else names


def _residual(plan: Plan, place: str, inward: int, outward: int, groups: int) -> None:
    names = residual_names(place, inward != outward)
    plan.add("residual", names, **{"in": inward, "out": outward, "groups": groups, "eps": EPS})


def _conv(plan: Plan, place: str, inward: int, outward: int, kernel: int = 3, stride: int = 1) -> None:
    padding = (kernel - 1) // 2 if stride == 1 else 0
    words = {"in": inward, "out": outward, "kernel": kernel, "padding": padding, "stride": stride}
    plan.add("conv", place, **words)


def _middle(plan: Plan, config: Mapping[str, Any], place: str, channels: int, legacy: bool) -> None:
    groups = config.get("norm_num_groups", 32)
    _residual(plan, f"{place}.resnets.0", channels, channels, groups)
    if config.get("mid_block_add_attention", True):
        names = attention_names(f"{place}.attentions.0", legacy)
        plan.add("attention", names, channels=channels, groups=groups, eps=EPS)
    _residual(plan, f"{place}.resnets.1", channels, channels, groups)


def _end(plan: Plan, config: Mapping[str, Any], place: str, inward: int, outward: int) -> None:
    plan.add("groupnorm", f"{place}.conv_norm_out", channels=inward, groups=config.get("norm_num_groups", 32), eps=EPS)
    plan.add("silu")
    _conv(plan, f"{place}.conv_out", inward, outward)


def decoder(config: Mapping[str, Any], legacy: bool) -> Plan:
    """From latents to images in -1..1.

    Args:
        config: checked by `CONFIG`.
        legacy: see `attention_names`.
    """
    plan, groups = Plan(), config.get("norm_num_groups", 32)
    widths, latent = list(reversed(config["block_out_channels"])), config["latent_channels"]
    if config.get("use_post_quant_conv", True):
        _conv(plan, "post_quant_conv", latent, latent, 1)
    _conv(plan, "decoder.conv_in", latent, widths[0])
    _middle(plan, config, "decoder.mid_block", widths[0], legacy)
    inward = widths[0]
    for i, width in enumerate(widths):
        for k in range(config.get("layers_per_block", 2) + 1):
            _residual(plan, f"decoder.up_blocks.{i}.resnets.{k}", inward, width, groups)
            inward = width
        if i < len(widths) - 1:
            plan.add("upsample", factor=2)
            _conv(plan, f"decoder.up_blocks.{i}.upsamplers.0.conv", width, width)
    _end(plan, config, "decoder", inward, config["out_channels"])
    return plan


def encoder(config: Mapping[str, Any], legacy: bool) -> Plan:
    """From images in -1..1 to the mean of latents, then their log variance; see `decoder`."""
    plan, groups = Plan(), config.get("norm_num_groups", 32)
    widths, latent = config["block_out_channels"], config["latent_channels"]
    _conv(plan, "encoder.conv_in", config.get("in_channels", 3), widths[0])
    inward = widths[0]
    for i, width in enumerate(widths):
        for k in range(config.get("layers_per_block", 2)):
            _residual(plan, f"encoder.down_blocks.{i}.resnets.{k}", inward, width, groups)
            inward = width
        if i < len(widths) - 1:
            plan.add("pad", pad=[0, 1, 0, 1])
            _conv(plan, f"encoder.down_blocks.{i}.downsamplers.0.conv", width, width, stride=2)
    _middle(plan, config, "encoder.mid_block", inward, legacy)
    _end(plan, config, "encoder", inward, 2 * latent)
    if config.get("use_quant_conv", True):
        _conv(plan, "quant_conv", 2 * latent, 2 * latent, 1)
    return plan


def check(config: object, where: str) -> None:
    """Refuse a configuration that no supported AutoencoderKL has.

    Raises:
        WeightsError: names the value.
    """
    CONFIG.check(config, where)
    assert isinstance(config, Mapping)
    for name in ("latents_mean", "latents_std"):
        if config.get(name) is not None:
            raise WeightsError(f"{where}.{name}: statistics per channel of latents are not understood")
