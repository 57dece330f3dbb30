"""Feed-forward networks as data: a list of layers in JSON, checked, then built. Nothing in it names code.

A layer is a table with the word ``op`` and the numbers of `OPS`. What plug-ins of foreign families know of a decoder
they write down in these words, so that one family runs all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from gensr.errors import WeightsError
from gensr.priors.blocks import Attention, BatchNorm, Pad, PixelNorm, Reshape, Residual
from gensr.priors.schema import Flag, Kind, List, Number, Record, Text, Whole, check_shapes

MOST = 1 << 31
"""Numbers of one intermediate result of one image."""
LAYERS, NESTED = 2000, 3
SIZE, STEP = Whole(1, 1 << 16), Whole(0, 64)
Words = Mapping[str, Any]


@dataclass(frozen=True)
class Op:
    """A kind of layer.

    Attributes:
        needed: numbers that must be there.
        free: those that may be left out.
        make: the module of a layer's words.
    """

    needed: Mapping[str, Kind]
    free: Mapping[str, Kind]
    make: Callable[[Words], nn.Module]


class Up(nn.Module):
    """Enlarge by a whole factor."""

    def __init__(self, factor: int, mode: str) -> None:
        super().__init__()
        self.factor, self.mode = factor, mode

    def forward(self, x: Tensor) -> Tensor:
        """``x`` (n, c, rows, cols)."""
        align = None if self.mode == "nearest" else False
        return functional.interpolate(x, scale_factor=float(self.factor), mode=self.mode, align_corners=align)


class Sum(nn.Module):
    """The sum of what several stacks make of the same."""

    def __init__(self, branches: Sequence[Sequence[Words]]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(Stack(branch) for branch in branches)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` of any shape that the branches take."""
        total: Tensor = self.branches[0](x)
        for branch in self.branches[1:]:
            total = total + branch(x)
        return total


class Stack(nn.Module):
    """Layers one after the other; tensors are named ``0.weight``, ``0.bias``, ``1.conv1.weight``, ...

    Args:
        layers: checked by `check_layers`.
    """

    def __init__(self, layers: Sequence[Words]) -> None:
        super().__init__()
        for i, words in enumerate(layers):
            self.add_module(str(i), OPS[words["op"]].make(words))

    def forward(self, x: Tensor) -> Tensor:
        """``x`` of the shape that the first layer takes."""
        for layer in self.children():
            x = layer(x)
            if x.numel() > MOST * max(len(x), 1):
                raise WeightsError(f"a layer makes {tuple(x.shape)} numbers, more than {MOST} of one image")
        return x


def _conv(words: Words) -> nn.Module:
    more = {k: words[k] for k in ("stride", "padding", "dilation", "groups", "bias") if k in words}
    return nn.Conv2d(words["in"], words["out"], words["kernel"], **more)


def _convtranspose(words: Words) -> nn.Module:
    more = {k: words[k] for k in ("stride", "padding", "output_padding", "dilation", "groups", "bias") if k in words}
    return nn.ConvTranspose2d(words["in"], words["out"], words["kernel"], **more)


def _prelu(words: Words) -> nn.Module:
    return nn.PReLU(words.get("channels", 1))


_CHANNELS: Mapping[str, Kind] = {"in": SIZE, "out": SIZE}
_CONV: Mapping[str, Kind] = {
    "stride": Whole(1, 64),
    "padding": STEP,
    "dilation": Whole(1, 64),
    "groups": SIZE,
    "bias": Flag(),
}
_EPS: Mapping[str, Kind] = {"eps": Number(1e-12, 1.0)}
_SLOPE: Mapping[str, Kind] = {"slope": Number(-10.0, 10.0)}
_NORM: Mapping[str, Kind] = {"channels": SIZE, "groups": SIZE}
OPS: Mapping[str, Op] = {
    "linear": Op(_CHANNELS, {"bias": Flag()}, lambda w: nn.Linear(w["in"], w["out"], w.get("bias", True))),
    "conv": Op({**_CHANNELS, "kernel": Whole(1, 64)}, _CONV, _conv),
    "convtranspose": Op({**_CHANNELS, "kernel": Whole(1, 64)}, {**_CONV, "output_padding": STEP}, _convtranspose),
    "reshape": Op({"shape": List(SIZE, 1, 3)}, {}, lambda w: Reshape(w["shape"])),
    "flatten": Op({}, {}, lambda w: nn.Flatten()),
    "upsample": Op(
        {"factor": Whole(1, 64)},
        {"mode": Text(10, "nearest|bilinear|bicubic")},
        lambda w: Up(w["factor"], w.get("mode", "nearest")),
    ),
    "pixelshuffle": Op({"factor": Whole(1, 64)}, {}, lambda w: nn.PixelShuffle(w["factor"])),
    "pad": Op(
        {"pad": List(STEP, 4, 4)},
        {"mode": Text(10, "constant|reflect|replicate|circular")},
        lambda w: Pad(w["pad"], w.get("mode", "constant")),
    ),
    "batchnorm": Op({"channels": SIZE}, _EPS, lambda w: BatchNorm(w["channels"], w.get("eps", 1e-5))),
    "instancenorm": Op(
        {"channels": SIZE},
        {**_EPS, "affine": Flag()},
        lambda w: nn.InstanceNorm2d(w["channels"], w.get("eps", 1e-5), affine=w.get("affine", False)),
    ),
    "groupnorm": Op(_NORM, _EPS, lambda w: nn.GroupNorm(w["groups"], w["channels"], w.get("eps", 1e-5))),
    "pixelnorm": Op({}, _EPS, lambda w: PixelNorm(w.get("eps", 1e-8))),
    "residual": Op(
        {**_CHANNELS, "groups": SIZE}, _EPS, lambda w: Residual(w["in"], w["out"], w["groups"], w.get("eps", 1e-6))
    ),
    "attention": Op(
        _NORM,
        {**_EPS, "heads": Whole(1, 4096), "project": Flag()},
        lambda w: Attention(
            w["channels"], w["groups"], w.get("eps", 1e-6), w.get("heads", 1), project=w.get("project", True)
        ),
    ),
    "sum": Op({"branches": List(Record({}), 1, 8)}, {}, lambda w: Sum(w["branches"])),
    "relu": Op({}, {}, lambda w: nn.ReLU()),
    "leakyrelu": Op({}, _SLOPE, lambda w: nn.LeakyReLU(w.get("slope", 0.01))),
    "prelu": Op({}, {"channels": SIZE}, _prelu),
    "elu": Op({}, _SLOPE, lambda w: nn.ELU(w.get("slope", 1.0))),
    "silu": Op({}, {}, lambda w: nn.SiLU()),
    "gelu": Op({}, {}, lambda w: nn.GELU()),
    "tanh": Op({}, {}, lambda w: nn.Tanh()),
    "sigmoid": Op({}, {}, lambda w: nn.Sigmoid()),
    "softplus": Op({}, {}, lambda w: nn.Softplus()),
    "identity": Op({}, {}, lambda w: nn.Identity()),
}
"""Every kind of layer by its word."""


def check_layers(layers: object, place: str, depth: int = 0) -> None:
    """Refuse what is no list of known layers, before anything is built.

    Args:
        layers: from JSON.
        place: where it stands, for messages.
        depth: of sums around it.

    Raises:
        WeightsError: names the place, the word, and what is known.
    """
    if not isinstance(layers, list) or len(layers) > LAYERS or depth > NESTED:
        raise WeightsError(f"{place}: expected a list of at most {LAYERS} layers, at most {NESTED} deep")
    for i, words in enumerate(layers):
        here = f"{place}[{i}]"
        name = words.get("op") if isinstance(words, Mapping) else None
        if not isinstance(name, str) or name not in OPS:
            raise WeightsError(f"{here}: unknown layer {str(name)[:40]!r}; known: {', '.join(OPS)}")
        op = OPS[name]
        unknown = set(words) - {"op", *op.needed, *op.free}
        if unknown:
            raise WeightsError(
                f"{here}: {name} has no {min(unknown)[:40]!r}; it has {', '.join([*op.needed, *op.free])}"
            )
        if name == "sum":
            branches = words.get("branches")
            if not isinstance(branches, list) or not 1 <= len(branches) <= 8:
                raise WeightsError(f"{here}.branches: expected a list of 1 to 8 lists of layers")
            for k, branch in enumerate(branches):
                check_layers(branch, f"{here}.branches[{k}]", depth + 1)
            continue
        Record(op.needed, op.free).check(words, here)


def shaped(layers: Sequence[Words], shape: Sequence[int], place: str) -> tuple[Stack, tuple[int, ...]]:
    """A network without memory behind its tensors, and the shape that it makes of one input.

    Args:
        layers: checked.
        shape: of its input, without the batch.
        place: for messages.

    Raises:
        WeightsError: layers that do not fit each other or the input.
    """
    try:
        with torch.device("meta"):
            network = Stack(layers).eval()
            made = network(torch.empty(1, *shape))
    except (RuntimeError, ValueError, IndexError, TypeError, AssertionError) as error:
        reason = " ".join(str(error).split())[:160]
        raise WeightsError(f"{place}: layers do not fit an input of shape {tuple(shape)} ({reason})") from error
    return network, tuple(made.shape[1:])


def restored(
    layers: object, name: str, tensors: Mapping[str, Tensor], shape: Sequence[int], owner: str
) -> tuple[Stack, tuple[int, ...]]:
    """A network of a header with its tensors, and the shape that it makes of one input.

    Args:
        layers: of the header.
        name: what the names of its tensors begin with.
        tensors: of the file.
        shape: of its input, without the batch.
        owner: name of the generator, for messages.

    Raises:
        WeightsError: layers or tensors that do not fit.
    """
    check_layers(layers, f"{owner}: {name}")
    assert isinstance(layers, list)
    network, made = shaped(layers, shape, f"{owner}: {name}")
    expected = network.state_dict()
    check_shapes(tensors, {f"{name}.{k}": tuple(v.shape) for k, v in expected.items()}, owner)
    network.load_state_dict({k: tensors[f"{name}.{k}"].float() for k in expected}, assign=True)
    return network.eval().requires_grad_(False), made


@dataclass
class Plan:
    """Layers as they are collected from another program, with the names that their tensors have there.

    Attributes:
        layers: for a header.
        sources: name in our network to name there, both without the ending ``.weight``.
    """

    layers: list[dict[str, Any]] = field(default_factory=list)
    sources: dict[str, str] = field(default_factory=dict)

    def add(self, op: str, sources: str | Mapping[str, str] = "", **words: Any) -> None:  # noqa: ANN401
        """Add a layer.

        Args:
            op: its kind.
            sources: where its tensors are; of a layer with several parts by part.
            words: its numbers.
        """
        index = len(self.layers)
        self.layers.append({"op": op, **words})
        if isinstance(sources, str):
            sources = {"": sources} if sources else {}
        for part, name in sources.items():
            self.sources[f"{index}.{part}" if part else str(index)] = name

    def names(self) -> dict[str, str]:
        """Every tensor of the network by our name, with the name that it has there.

        Raises:
            WeightsError: layers that no network has.
        """
        check_layers(self.layers, "layers")
        try:
            with torch.device("meta"):
                state = Stack(self.layers).state_dict()
        except (ValueError, RuntimeError, ZeroDivisionError) as error:
            raise WeightsError(f"layers do not fit each other ({' '.join(str(error).split())[:120]})") from error
        found = {}
        for name in state:
            part, _, leaf = name.rpartition(".")
            if part not in self.sources:
                raise WeightsError(f"layers[{part.partition('.')[0]}]: nothing says where its tensors are")
            found[name] = f"{self.sources[part]}.{leaf}"
        return found

    def add_sum(self, branches: Sequence[Plan]) -> None:
        """Add the sum of several plans."""
        index = len(self.layers)
        self.layers.append({"op": "sum", "branches": [branch.layers for branch in branches]})
        for k, branch in enumerate(branches):
            self.sources |= {f"{index}.branches.{k}.{own}": name for own, name in branch.sources.items()}
