"""MONAI's Generator and AutoencoderKL written down as layers: their names, their order, nothing of their code."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from gensr.errors import WeightsError
from gensr.priors.layers import Plan
from gensr.priors.schema import Flag, Kind, List, Number, Optional, Record, Whole

from .bundle import Definition, refuse_expressions

_SIZES = List(Whole(1, 1 << 16), 1, 10)


class OneOrMore(Kind):
    """A whole number, or a list of them."""

    def __init__(self, most: int, least: int = 1) -> None:
        self.one, self.more = Whole(least, most), List(Whole(least, most), 1, 10)

    def check(self, value: Any, place: str) -> None:  # noqa: ANN401
        """See `Kind.check`."""
        (self.more if isinstance(value, list | tuple) else self.one).check(value, place)


GENERATOR = Record(
    {
        "latent_shape": OneOrMore(1 << 20),
        "start_shape": List(Whole(1, 1 << 16), 2, 4),
        "channels": _SIZES,
        "strides": _SIZES,
    },
    {"kernel_size": OneOrMore(64), "num_res_units": Whole(0, 16), "bias": Flag()},
)
AUTOENCODER = Record(
    {"spatial_dims": Whole(1, 3), "latent_channels": Whole(1, 1024), "attention_levels": List(Flag(), 1, 10)},
    {
        **dict.fromkeys(("in_channels", "out_channels"), Whole(1, 64)),
        **dict.fromkeys(("channels", "num_channels"), _SIZES),
        "num_res_blocks": OneOrMore(64),
        "norm_num_groups": Whole(1, 1 << 16),
        "norm_eps": Number(1e-12, 1.0),
        **dict.fromkeys(
            ("with_encoder_nonlocal_attn", "with_decoder_nonlocal_attn", "use_convtranspose", "include_fc"),
            Optional(Flag()),
        ),
    },
)
ACTIVATIONS = {
    "relu": "relu", "leakyrelu": "leakyrelu", "prelu": "prelu", "elu": "elu", "silu": "silu", "swish": "silu",
    "memswish": "silu", "gelu": "gelu", "tanh": "tanh", "sigmoid": "sigmoid",
}  # fmt: skip
SLOPES = {"leakyrelu": "negative_slope", "elu": "alpha"}


def checked(definition: Definition, schema: Record) -> Mapping[str, Any]:
    """The arguments of a definition, checked.

    Raises:
        WeightsError: code where a value is needed, or a value that it cannot have.
    """
    refuse_expressions(definition, {**schema.needed, **schema.free, "act": None, "norm": None})
    schema.check(definition.words, definition.place)
    words = definition.words
    if words.get("spatial_dims", 2) != 2:
        raise WeightsError(f"{definition.place}: spatial_dims = {words['spatial_dims']}: priors make images of 2 axes")
    return words


def _each(value: object, count: int) -> list[int]:
    return [int(v) for v in value] if isinstance(value, list | tuple) else [int(str(value))] * count


def generator(definition: Definition) -> tuple[Plan, int]:
    """From a latent vector to an image, and the length of the vector."""
    words, place = checked(definition, GENERATOR), definition.place
    shape = words["latent_shape"]
    latent, start = math.prod(shape) if isinstance(shape, list) else int(shape), list(words["start_shape"])
    kernels, units = set(_each(words.get("kernel_size", 3), 2)), words.get("num_res_units", 2)
    if len(start) != 3 or len(words["channels"]) != len(words["strides"]) or len(kernels) > 1:
        raise WeightsError(f"{place}: expected a start of three axes, as many strides as channels, and a square kernel")
    (kernel,), plan, x, bias = kernels, Plan(), start[0], words.get("bias", True)
    if kernel % 2 == 0:
        raise WeightsError(f"{place}: kernel_size = {kernel}: expected an odd one")
    plan.add("linear", "linear", **{"in": latent, "out": math.prod(start)})
    plan.add("reshape", shape=start)
    last = len(words["channels"]) - 1
    for i, (width, stride) in enumerate(zip(words["channels"], words["strides"], strict=True)):
        name = f"conv.layer_{i}" + (".0" if units else "")
        more = {"stride": stride, "padding": (kernel - 1) // 2, "output_padding": stride - 1, "bias": bias}
        plan.add("convtranspose", f"{name}.conv", **{"in": x, "out": width, "kernel": kernel}, **more)
        if units:
            branch = Plan()
            for k in range(units):
                unit, same = f"conv.layer_{i}.1.conv.unit{k}", {"in": width, "out": width, "kernel": kernel}
                branch.add("conv", f"{unit}.conv", **same, padding=(kernel - 1) // 2, bias=bias)
                if i != last or k != units - 1:
                    _normalised(branch, definition, unit, width)
            skip = Plan()
            skip.add("identity")
            plan.add_sum([branch, skip])
        elif i != last:
            _normalised(plan, definition, name, width)
        x = width
    return plan, latent


def _normalised(plan: Plan, definition: Definition, name: str, channels: int) -> None:
    """Normalisation, then activation, as MONAI orders them."""
    kind, more = _called(definition, "norm", "INSTANCE")
    names = f"{name}.adn.N"
    if kind == "instance":
        affine = bool(more.get("affine", False))
        plan.add("instancenorm", names if affine else "", channels=channels, affine=affine)
    elif kind == "batch":
        plan.add("batchnorm", names, channels=channels)
    elif kind == "group" and type(more.get("num_groups")) is int:
        plan.add("groupnorm", names, channels=channels, groups=more["num_groups"])
    elif kind:
        raise WeightsError(f"{definition.place}: norm = {kind!r}: only instance, batch and group are understood")
    kind, more = _called(definition, "act", "PRELU")
    if kind and kind not in ACTIVATIONS:
        raise WeightsError(f"{definition.place}: act = {kind!r}: only {', '.join(ACTIVATIONS)} are understood")
    if kind:
        said = {"slope": more[SLOPES[kind]]} if SLOPES.get(kind) in more else {}
        said |= {"channels": more.get("num_parameters", 1)} if kind == "prelu" else {}
        plan.add(ACTIVATIONS[kind], f"{name}.adn.A" if kind == "prelu" else "", **said)


def _called(definition: Definition, key: str, default: str) -> tuple[str, Mapping[str, Any]]:
    """Name and arguments of an activation or normalisation: a name, or a pair."""
    said = definition.words.get(key, default)
    name, more = said if isinstance(said, list) and len(said) == 2 else (said, {})
    if name is None:
        return "", {}
    if not isinstance(name, str) or not isinstance(more, Mapping):
        raise WeightsError(f"{definition.place}: {key} = {str(said)[:60]!r}: expected a name, or a name and arguments")
    return name.lower(), more


class Blocks:
    """Blocks of an autoencoder in a row: ``NAME.blocks.N``.

    Args:
        plan: that they are added to.
        words: of the definition.
        name: encoder or decoder.
        old: whether names are those of GenerativeModels, before MONAI 1.4.
    """

    def __init__(self, plan: Plan, words: Mapping[str, Any], name: str, old: bool) -> None:
        self.plan, self.name, self.old, self.count = plan, name, old, 0
        self.norm = {"groups": words.get("norm_num_groups", 32), "eps": float(words.get("norm_eps", 1e-6))}
        self.project = old or bool(words.get("include_fc", True))

    def next(self) -> str:
        """Name of the next block."""
        self.count += 1
        return f"{self.name}.blocks.{self.count - 1}"

    def conv(self, name: str, inward: int, outward: int, stride: int = 1) -> None:
        """A 3 x 3 convolution."""
        padding = 1 if stride == 1 else 0
        words = {"in": inward, "out": outward, "kernel": 3, "stride": stride, "padding": padding}
        self.plan.add("conv", f"{name}.conv", **words)

    def residual(self, inward: int, outward: int) -> None:
        """A residual block."""
        name = self.next()
        names = {"norm1": f"{name}.norm1", "norm2": f"{name}.norm2"}
        names |= {"conv1": f"{name}.conv1.conv", "conv2": f"{name}.conv2.conv"}
        names |= {"skip": f"{name}.nin_shortcut.conv"} if inward != outward else {}
        self.plan.add("residual", names, **{"in": inward, "out": outward}, **self.norm)

    def attention(self, channels: int) -> None:
        """An attention block."""
        names = attention_names(self.next(), self.old)
        if not self.project:
            del names["out"]
        self.plan.add("attention", names, channels=channels, project=self.project, **self.norm)

    def middle(self, channels: int) -> None:
        """Attention between two residual blocks."""
        self.residual(channels, channels)
        self.attention(channels)
        self.residual(channels, channels)

    def end(self, inward: int, outward: int) -> None:
        """Normalisation and a convolution; no activation stands between them."""
        self.plan.add("groupnorm", self.next(), channels=inward, **self.norm)
        self.conv(self.next(), inward, outward)


def attention_names(place: str, old: bool) -> dict[str, str]:
    """Where the parts of an attention are."""
    inner, out = (place, "proj_attn") if old else (f"{place}.attn", "out_proj")
    parts = {"query": "to_q", "key": "to_k", "value": "to_v", "out": out}
    return {"norm": f"{place}.norm", **{own: f"{inner}.{theirs}" for own, theirs in parts.items()}}


def widths_of(words: Mapping[str, Any], place: str) -> list[int]:
    """Channels of each level; the word for them changed."""
    widths = words.get("channels", words.get("num_channels"))
    if widths is None or len(widths) != len(words["attention_levels"]):
        raise WeightsError(f"{place}: expected as many channels as attention_levels")
    return [int(w) for w in widths]


def decoder(definition: Definition, old: bool) -> Plan:
    """From latents to images."""
    words, plan = checked(definition, AUTOENCODER), Plan()
    widths, latent = widths_of(words, definition.place), words["latent_channels"]
    plan.add("conv", "post_quant_conv.conv", **{"in": latent, "out": latent, "kernel": 1})
    blocks, x = Blocks(plan, words, "decoder", old), widths[-1]
    blocks.conv(blocks.next(), latent, x)
    if words.get("with_decoder_nonlocal_attn", True):
        blocks.middle(x)
    counts = _each(words.get("num_res_blocks", 2), len(widths))
    for i in reversed(range(len(widths))):
        for _ in range(counts[i]):
            blocks.residual(x, widths[i])
            x = widths[i]
            if words["attention_levels"][i]:
                blocks.attention(x)
        if i > 0:
            name = blocks.next()
            if words.get("use_convtranspose"):
                more = {"stride": 2, "kernel": 3 if old else 2}
                more |= {"padding": 1, "output_padding": 1} if old else {}
                plan.add(
                    "convtranspose", f"{name}.conv.conv" if old else f"{name}.deconv", **{"in": x, "out": x}, **more
                )
            else:
                plan.add("upsample", factor=2)
                blocks.conv(f"{name}.conv" if old else f"{name}.postconv", x, x)
    blocks.end(x, words.get("out_channels", 1))
    return plan


def encoder(definition: Definition, old: bool) -> Plan:
    """From images to the mean of latents."""
    words, plan = checked(definition, AUTOENCODER), Plan()
    widths, latent = widths_of(words, definition.place), words["latent_channels"]
    blocks, x = Blocks(plan, words, "encoder", old), widths[0]
    blocks.conv(blocks.next(), words.get("in_channels", 1), x)
    counts = _each(words.get("num_res_blocks", 2), len(widths))
    for i, width in enumerate(widths):
        for _ in range(counts[i]):
            blocks.residual(x, width)
            x = width
            if words["attention_levels"][i]:
                blocks.attention(x)
        if i < len(widths) - 1:
            plan.add("pad", pad=[0, 1, 0, 1])
            blocks.conv(f"{blocks.next()}.conv", x, x, stride=2)
    if words.get("with_encoder_nonlocal_attn", True):
        blocks.middle(x)
    blocks.end(x, latent)
    plan.add("conv", "quant_conv_mu.conv", **{"in": latent, "out": latent, "kernel": 1})
    return plan
