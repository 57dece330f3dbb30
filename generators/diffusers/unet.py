"""UNet2DModel of diffusers: its configuration and names in our words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gensr.errors import WeightsError
from gensr.priors.ddpm import Shape, empty
from gensr.priors.schema import Flag, List, Number, Optional, Record, Text, Whole

from .autoencoder import attention_names

_TYPES = List(Text(100, r"(Attn)?(Down|Up)Block2D"), 1, 10)
CONFIG = Record(
    {
        "block_out_channels": List(Whole(1, 1 << 16), 1, 10),
        "down_block_types": _TYPES,
        "up_block_types": _TYPES,
    },
    {
        **dict.fromkeys(("in_channels", "out_channels"), Whole(1, 1024)),
        "layers_per_block": Whole(1, 64),
        "attention_head_dim": Optional(Whole(1, 1 << 16)),
        "norm_num_groups": Whole(1, 1 << 16),
        "norm_eps": Number(1e-12, 1.0),
        "freq_shift": Number(-4.0, 4.0),
        "flip_sin_to_cos": Flag(),
        "downsample_padding": Whole(0, 1),
        "time_embedding_dim": Optional(Whole(1, 1 << 16)),
    },
)
PLAIN: Mapping[str, tuple[object, ...]] = {
    "time_embedding_type": ("positional",),
    "act_fn": ("silu", "swish"),
    "center_input_sample": (False,),
    "mid_block_type": ("UNetMidBlock2D",),
    "mid_block_scale_factor": (1,),
    "resnet_time_scale_shift": ("default", "scale_shift"),
    "class_embed_type": (None,),
    "num_class_embeds": (None,),
    "downsample_type": ("conv", "resnet"),
    "upsample_type": ("conv", "resnet"),
}
"""What else of the configuration may say, where it says it."""


def shape_of(config: object, where: str) -> Shape:
    """The numbers of a configuration.

    Raises:
        WeightsError: a kind of U-Net that is not understood; names the value.
    """
    CONFIG.check(config, where)
    assert isinstance(config, Mapping)
    for name, known in PLAIN.items():
        if name in config and config[name] not in known:
            words = " or ".join(str(k) for k in known)
            raise WeightsError(f"{where}.{name} = {str(config[name])[:60]!r}: only {words} is understood")
    widths = tuple(config["block_out_channels"])
    down, up = (tuple(kind.startswith("Attn") for kind in config[f"{way}_block_types"]) for way in ("down", "up"))
    head = config.get("attention_head_dim", 8)
    groups, scaled = config.get("norm_num_groups", 32), config.get("resnet_time_scale_shift") == "scale_shift"
    kinds = {
        config.get(f"{way}sample_type", "conv") if attends else "conv"  # other blocks know convolutions alone
        for way, blocks in (("down", down), ("up", up))
        for attends in blocks[:-1]
    }
    if len(kinds) > 1 or (config.get("attn_norm_num_groups") or groups) != groups:
        raise WeightsError(f"{where}: sizes that change in two ways, or groups of two numbers, are not understood")
    if config.get("add_attention", True) and scaled and not config.get("attn_norm_num_groups"):
        raise WeightsError(f"{where}: attention without normalisation in the middle is not understood")
    found = Shape(
        inward=config.get("in_channels", 3),
        outward=config.get("out_channels", 3),
        widths=widths,
        blocks=(config.get("layers_per_block", 2),) * len(widths),
        down=down,
        up=tuple(reversed(up)),
        heads=tuple(1 if head is None else max(1, width // head) for width in widths),
        groups=groups,
        embedding=config.get("time_embedding_dim") or 4 * widths[0],
        eps=float(config.get("norm_eps", 1e-5)),
        middle=config.get("add_attention", True),
        flipped=config.get("flip_sin_to_cos", True),
        scaled=scaled,
        padded=config.get("downsample_padding", 1) == 1,
        convolved="resnet" not in kinds,
        shift=float(config.get("freq_shift", 0)),
    )
    return Shape.from_config(found.to_config(), where)


def names_of(shape: Shape, legacy: bool) -> dict[str, str]:
    """Every tensor of our network, and its name there; ``legacy`` as in `attention_names`."""
    own = empty(shape, "unet").state_dict()
    return {name: _theirs(name, shape, legacy) for name in own}


def _theirs(name: str, shape: Shape, legacy: bool) -> str:
    parts = name.split(".")
    leaf = parts[-1]
    plain = {
        "time1": "time_embedding.linear_1",
        "time2": "time_embedding.linear_2",
        "inward": "conv_in",
        "norm": "conv_norm_out",
        "outward": "conv_out",
    }
    if parts[0] in plain:
        return f"{plain[parts[0]]}.{leaf}"
    way, inner = (parts[0], parts[2:]) if parts[0] != "middle" else ("mid", parts[1:])
    place = "mid_block" if way == "mid" else f"{way}_blocks.{parts[1]}"
    if inner[0] == "resize":
        place += f".{way}samplers.0"
        return f"{place}.conv.{leaf}" if shape.convolved else f"{place}.{_residual(inner[1])}.{leaf}"
    if inner[0] == "residuals":
        return f"{place}.resnets.{inner[1]}.{_residual(inner[2])}.{leaf}"
    return f"{attention_names(f'{place}.attentions.{inner[1]}', legacy)[inner[2]]}.{leaf}"


def _residual(part: str) -> str:
    return {"time": "time_emb_proj", "skip": "conv_shortcut"}.get(part, part)


def schedule_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """The words of a scheduler that say noise levels; those that it leaves out have the defaults of all."""
    known = ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas", "prediction_type")
    return {"num_train_timesteps": 1000, **{k: config[k] for k in known if k in config}}
