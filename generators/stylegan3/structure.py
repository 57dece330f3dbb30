"""What a StyleGAN3 is made of: names and shapes of its tensors say most, the configuration how layers are sampled."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from gensr.errors import WeightsError
from gensr.priors.schema import List, Number, Optional, Record, Whole, check_shapes

LARGEST = 2048
TAPS = 6
"""Taps of a filter for each sample of the finer sampling."""
OVERSAMPLED = 2
"""Times that the activation runs at the finer of both samplings."""
NAME = re.compile(r"synthesis\.(L(\d+)_(\d+)_(\d+))\.weight")
CONFIG = Record(
    {
        "samplings": List(Whole(1, LARGEST), 2, 40),
        "sizes": List(Whole(1, 2 * LARGEST), 2, 40),
        "first": List(Number(0.0, 1e5), 2, 2),
        "clamp": Optional(Number(1e-3, 1e6)),
        "rate": Number(1e-6, 100.0),
        "output": Number(1e-6, 1e6),
        "black": Number(-1e4, 1e4),
        "white": Number(-1e4, 1e4),
        "spread": Number(0.0, 0.999),
    },
    {"label": Optional(Whole(0, 1_000_000))},
)
"""What the header of a weights file says; samplings and sizes are of the input and of every layer after it."""


@dataclass(frozen=True)
class LayerShape:
    """One layer of the synthesis.

    Attributes:
        place: of its tensors, such as ``synthesis.L3_52_512``.
        inward: channels in.
        outward: channels out.
        kernel: side of its kernel.
        size: (in, out) side of its features with margins, pixels.
        sampling: (in, out) samples across the picture.
        picture: whether it is the last, which makes bands.
    """

    place: str
    inward: int
    outward: int
    kernel: int
    size: tuple[int, int]
    sampling: tuple[int, int]
    picture: bool

    @property
    def up(self) -> int:
        """Times that features are oversampled before the activation."""
        return self._between() // self.sampling[0]

    @property
    def down(self) -> int:
        """Times that they are thinned after it."""
        return self._between() // self.sampling[1]

    def _between(self) -> int:
        return max(self.sampling) * (1 if self.picture else OVERSAMPLED)

    def padding(self, up_taps: int, down_taps: int) -> tuple[int, int]:
        """Zeros before and after, at the finest sampling, that lead from one size to the other."""
        total = (self.size[1] - 1) * self.down + 1
        total -= (self.size[0] + self.kernel - 1) * self.up
        total += up_taps + down_taps - 2
        low = (total + self.up) // 2
        return low, total - low


@dataclass(frozen=True)
class Structure:
    """Sizes of a network.

    Attributes:
        layers: of the synthesis, in order.
        channels: of the input.
        style: numbers of w.
        latent: numbers of z.
        depth: layers of the mapping.
        classes: that it is told, 0 for none.
        embedding: numbers that stand for a class.
    """

    layers: tuple[LayerShape, ...]
    channels: int
    style: int
    latent: int
    depth: int
    classes: int
    embedding: int

    @property
    def side(self) -> int:
        """Of the output, pixels."""
        return self.layers[-1].size[1]

    @property
    def bands(self) -> int:
        """Of the output."""
        return self.layers[-1].outward


def structure(tensors: Mapping[str, Tensor], config: Mapping[str, Any], name: str) -> Structure:
    """Sizes of a network by its tensors and configuration, every shape checked.

    Args:
        tensors: by NVIDIA's names.
        config: see `CONFIG`.
        name: of the generator, for messages.

    Raises:
        WeightsError: layers and configuration do not fit, or a tensor is missing or of another shape.
    """
    found = sorted((int(m[2]), m[1]) for key in tensors if (m := NAME.fullmatch(key)))
    samplings, sizes = config["samplings"], config["sizes"]
    if [i for i, _ in found] != list(range(len(samplings) - 1)) or len(sizes) != len(samplings):
        raise WeightsError(f"{name}: {len(found)} layers, and {len(samplings) - 1} in the configuration")
    layers = []
    for i, place in found:
        weight = tensors[f"synthesis.{place}.weight"]
        if weight.ndim != 4 or weight.shape[2] not in (1, 3):
            raise WeightsError(f"{name}: tensor 'synthesis.{place}.weight' is of shape {tuple(weight.shape)}")
        (o, c, k, _), near = weight.shape, (samplings[i], samplings[i + 1])
        shape = LayerShape(f"synthesis.{place}", c, o, k, (sizes[i], sizes[i + 1]), near, i == len(found) - 1)
        if max(near) % min(near) or shape.up > 8 or shape.down > 8 or int(place.split("_")[1]) != sizes[i + 1]:
            raise WeightsError(f"{name}: layer {place} from {near[0]} to {near[1]} samples, {sizes[i + 1]} pixels")
        layers.append(shape)
    embed = tensors.get("mapping.embed.weight")
    embedding, classes = (0, 0) if embed is None or embed.ndim != 2 else (int(embed.shape[0]), int(embed.shape[1]))
    for key in ("mapping.fc0.weight", "synthesis.input.weight", "synthesis.input.affine.weight"):
        if key not in tensors or tensors[key].ndim != 2:
            raise WeightsError(f"{name}: tensor {key!r} is missing, or has other axes than two")
    depth = len({key for key in tensors if re.fullmatch(r"mapping\.fc\d{1,2}\.weight", key)})
    style = int(tensors["synthesis.input.affine.weight"].shape[1])
    latent = int(tensors["mapping.fc0.weight"].shape[1]) - embedding
    if latent < 1 or layers[-1].size[1] > LARGEST:
        raise WeightsError(f"{name}: {latent} latent numbers, {layers[-1].size[1]} pixels")
    channels = int(tensors["synthesis.input.weight"].shape[0])
    done = Structure(tuple(layers), channels, style, latent, depth, classes, embedding)
    check_shapes(tensors, dict(_shapes(done)), name)
    for layer in layers:
        _check_filters(tensors, layer, name)
    return done


def _check_filters(tensors: Mapping[str, Tensor], layer: LayerShape, name: str) -> None:
    for key, times in ((f"{layer.place}.up_filter", layer.up), (f"{layer.place}.down_filter", layer.down)):
        taps = tensors.get(key)
        if taps is None and times > 1:
            raise WeightsError(f"{name}: tensor {key!r} is missing; fetch the file again")
        if taps is not None and (taps.ndim not in (1, 2) or len(set(taps.shape)) != 1 or not 1 <= len(taps) <= 64):
            raise WeightsError(f"{name}: tensor {key!r} is of shape {tuple(taps.shape)}, expected a filter")


def _shapes(s: Structure) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Name and shape of every tensor that is used, but for the filters."""
    inward = s.latent + s.embedding
    for i in range(s.depth):
        yield f"mapping.fc{i}.weight", (s.style, inward)
        yield f"mapping.fc{i}.bias", (s.style,)
        inward = s.style
    if s.classes:
        yield "mapping.embed.weight", (s.embedding, s.classes)
        yield "mapping.embed.bias", (s.embedding,)
    c = s.channels
    yield "synthesis.input.weight", (c, c)
    yield "synthesis.input.affine.weight", (4, s.style)
    yield "synthesis.input.affine.bias", (4,)
    yield "synthesis.input.transform", (3, 3)
    yield "synthesis.input.freqs", (c, 2)
    yield "synthesis.input.phases", (c,)
    for layer in s.layers:
        yield f"{layer.place}.weight", (layer.outward, layer.inward, layer.kernel, layer.kernel)
        yield f"{layer.place}.bias", (layer.outward,)
        yield f"{layer.place}.affine.weight", (layer.inward, s.style)
        yield f"{layer.place}.affine.bias", (layer.inward,)
        yield f"{layer.place}.magnitude_ema", ()


@dataclass(frozen=True)
class Recipe:
    """What the training was told of samplings (arXiv:2106.12423, appendix C), with its usual values.

    Attributes:
        critical: layers at the end that are sampled critically.
        cutoff: of the first layer, cycles across the picture.
        stopband: of the first layer.
        last: stopband of the last layer, relative to its cutoff.
        margin: pixels around the picture.
    """

    critical: int = 2
    cutoff: float = 2.0
    stopband: float = 2**2.1
    last: float = 2**0.3
    margin: int = 10

    def layout(self, count: int, side: int) -> tuple[list[int], list[int], tuple[float, float]]:
        """Samplings and sizes of the input and of ``count`` layers, and the input's bandwidth and sampling.

        Args:
            count: layers, the one that makes the picture included.
            side: of the output, pixels.
        """
        end = side / 2
        samplings, sizes, cutoffs = [], [], []
        for i in range(count):
            share = min(i / (count - 1 - self.critical), 1.0)
            cutoff = self.cutoff * (end / self.cutoff) ** share
            stopband = self.stopband * (end * self.last / self.stopband) ** share
            sampling = 2 ** math.ceil(math.log2(min(2 * stopband, side)))
            samplings.append(sampling)
            sizes.append(side if i >= count - 2 else sampling + 2 * self.margin)
            cutoffs.append(cutoff)
        # a layer goes from the sampling of the one before to its own; the first one keeps the input's
        return [samplings[0], *samplings], [sizes[0], *sizes], (cutoffs[0], float(samplings[0]))
