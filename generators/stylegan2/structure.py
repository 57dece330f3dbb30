"""What a StyleGAN2 is made of, told from the names and shapes of its tensors (names as in NVIDIA's PyTorch files)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor

from gensr.errors import WeightsError
from gensr.priors.schema import Flag, Number, Optional, Record, Text, Whole, check_shapes, doubling_sides

LARGEST = 2048
"""Side of the largest output that is rebuilt, pixels."""
CONFIG = Record(
    {
        "architecture": Text(10, "skip|resnet|orig"),
        "clamp": Optional(Number(1e-3, 1e6)),
        "rate": Number(1e-6, 100.0),
        "scaled": Flag(),
        "black": Number(-1e4, 1e4),
        "white": Number(-1e4, 1e4),
        "spread": Number(0.0, 0.999),
    },
    {"label": Optional(Whole(0, 1_000_000))},
)
"""What the header of a weights file says, beside the shapes."""


@dataclass(frozen=True)
class Structure:
    """Sizes of a network.

    Attributes:
        widths: channels by side, coarsest (4 px) first.
        bands: of the image.
        style: numbers of w.
        latent: numbers of z.
        depth: layers of the mapping.
        classes: that it is told, 0 for none.
        embedding: numbers that stand for a class.
        kernel: side of the convolutions' kernels.
        noisy: whether noise maps are added.
    """

    widths: dict[int, int]
    bands: int
    style: int
    latent: int
    depth: int
    classes: int
    embedding: int
    kernel: int
    noisy: bool

    @property
    def sides(self) -> tuple[int, ...]:
        """Of the levels, coarsest first."""
        return tuple(self.widths)


def structure(tensors: Mapping[str, Tensor], name: str) -> Structure:
    """Sizes of a network by its tensors, every shape checked.

    Args:
        tensors: by NVIDIA's names.
        name: of the generator, for messages.

    Raises:
        WeightsError: a level, a layer or a tensor is missing or of another shape.
    """
    sides = doubling_sides(tensors, r"synthesis\.b(\d{1,4})\.", LARGEST, name)
    depth = len({key for key in tensors if re.fullmatch(r"mapping\.fc\d{1,2}\.weight", key)})
    widths = {side: _axis(tensors, f"synthesis.b{side}.conv1.weight", 0, name) for side in sides}
    found = Structure(
        widths,
        bands=_axis(tensors, f"synthesis.b{sides[-1]}.torgb.weight", 0, name),
        style=_axis(tensors, "synthesis.b4.conv1.affine.weight", 1, name),
        latent=0,
        depth=depth,
        classes=_axis(tensors, "mapping.embed.weight", 1, name) if "mapping.embed.weight" in tensors else 0,
        embedding=_axis(tensors, "mapping.embed.weight", 0, name) if "mapping.embed.weight" in tensors else 0,
        kernel=_axis(tensors, "synthesis.b4.conv1.weight", 2, name),
        noisy="synthesis.b4.conv1.noise_strength" in tensors,
    )
    latent = _axis(tensors, "mapping.fc0.weight", 1, name) - found.embedding
    if latent < 1 or found.kernel % 2 == 0 or found.kernel > 7 or depth < 1:
        raise WeightsError(f"{name}: {latent} latent numbers, {depth} mapping layers, kernels of {found.kernel}")
    found = Structure(**{**vars(found), "latent": latent})
    check_shapes(tensors, dict(_shapes(found, tensors)), name)
    taps = tensors.get("synthesis.resample_filter")
    if taps is not None and (len(set(taps.shape)) != 1 or taps.ndim > 2 or taps.shape[0] > 16 or not float(taps.sum())):
        raise WeightsError(f"{name}: a filter of shape {tuple(taps.shape)}; expected one axis, or two of one length")
    return found


def architecture(names: Mapping[str, object]) -> str:
    """How levels lead to a picture: pictures that are added (skip), features that are (resnet), or neither (orig)."""
    if any(re.fullmatch(r"synthesis\.b\d+\.skip\.weight", key) for key in names):
        return "resnet"
    return "skip" if "synthesis.b4.torgb.weight" in names else "orig"


def _axis(tensors: Mapping[str, Tensor], key: str, axis: int, name: str) -> int:
    if key not in tensors or tensors[key].ndim <= axis:
        raise WeightsError(f"{name}: tensor {key!r} is missing, or has too few axes")
    return int(tensors[key].shape[axis])


def _shapes(s: Structure, names: Mapping[str, object]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Name and shape of every tensor that is used."""
    form, k = architecture(names), s.kernel
    inward = s.latent + s.embedding
    for i in range(s.depth):
        outward = s.style
        yield f"mapping.fc{i}.weight", (outward, inward)
        yield f"mapping.fc{i}.bias", (outward,)
        inward = outward
    if s.classes:
        yield "mapping.embed.weight", (s.embedding, s.classes)
        yield "mapping.embed.bias", (s.embedding,)
    yield "synthesis.b4.const", (s.widths[4], 4, 4)
    before = s.widths[4]
    for side, width in s.widths.items():
        layers = [("conv1", width)] if side == 4 else [("conv0", before), ("conv1", width)]
        for layer, channels in layers:
            place = f"synthesis.b{side}.{layer}"
            yield f"{place}.weight", (width, channels, k, k)
            yield f"{place}.bias", (width,)
            yield f"{place}.affine.weight", (channels, s.style)
            yield f"{place}.affine.bias", (channels,)
            if s.noisy:
                yield f"{place}.noise_strength", ()
        if form == "skip" or side == s.sides[-1]:
            yield f"synthesis.b{side}.torgb.weight", (s.bands, width, 1, 1)
            yield f"synthesis.b{side}.torgb.bias", (s.bands,)
            yield f"synthesis.b{side}.torgb.affine.weight", (width, s.style)
            yield f"synthesis.b{side}.torgb.affine.bias", (width,)
        if form == "resnet" and side > 4:
            yield f"synthesis.b{side}.skip.weight", (width, before, 1, 1)
        before = width
