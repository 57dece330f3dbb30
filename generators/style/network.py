"""A compact style-based generator: a mapping network, and a synthesis of modulated convolutions from 4 px on.

Own writing of the architecture described in arXiv:1912.04958 (weight modulation and demodulation, skip RGB) with two
savings for small machines. Convolutions that lead to a finer level run before the doubling, and the last doubling is an
inverse Haar transform: the finest features, at half the side, give a picture and its three detail bands. So the picture
of the finest features is exactly the area mean of the output.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, interpolate, leaky_relu, linear, pixel_shuffle, pixel_unshuffle

from gensr.errors import WeightsError

COARSEST = 4
"""Side of the learned constant, pixels."""
SLOPE = 0.2
GAIN = math.sqrt(2)
"""Keeps the second moment through a leaky ReLU."""
WIDTHS = (176, 144, 80, 40, 24, 16)
"""Usual channels of the levels at 4, 8, 16, ... px."""
PICTURE, DETAIL = 0.3, 0.1
"""Contrast of pictures and detail bands before training, about that of natural pictures."""


@dataclass(frozen=True)
class Shape:
    """Size of a generator.

    Attributes:
        bands: bands of the image.
        widths: channels of each level, the coarsest (4 px) first; every level doubles the side, the output once more.
        latent: numbers of the mapping's input z.
        style: numbers of its output w.
        depth: layers of the mapping.
    """

    bands: int = 3
    widths: tuple[int, ...] = WIDTHS[:4]
    latent: int = 128
    style: int = 128
    depth: int = 3

    @property
    def side(self) -> int:
        """Side of the output, pixels."""
        return COARSEST << len(self.widths)

    @property
    def layers(self) -> int:
        """Styles of one image: one per convolution, and one for the last picture."""
        return 2 * len(self.widths)

    def noise(self) -> tuple[tuple[int, int], ...]:
        """Per level: number of noise maps, and their side."""
        return tuple((1 if level == 0 else 2, COARSEST << level) for level in range(len(self.widths)))

    def to_config(self) -> dict[str, Any]:
        """As JSON-able dictionary."""
        return {
            "bands": self.bands,
            "widths": list(self.widths),
            "latent": self.latent,
            "style": self.style,
            "depth": self.depth,
        }

    @staticmethod
    def from_config(config: Mapping[str, Any]) -> Shape:
        """Inverse of `to_config`.

        Raises:
            WeightsError: values that no network can have.
        """
        try:
            bands, latent, style, depth = (int(config[k]) for k in ("bands", "latent", "style", "depth"))
            shape = Shape(bands, tuple(int(w) for w in config["widths"]), latent, style, depth)
        except (KeyError, TypeError, ValueError) as error:
            raise WeightsError(f"network configuration is unreadable ({error!r}); fetch the file again") from error
        numbers = (bands, latent, style, depth, *shape.widths)
        if not 1 <= len(shape.widths) <= 8 or not all(1 <= n <= 4096 for n in numbers):
            raise WeightsError(f"network configuration {dict(config)} is impossible; fetch the file again")
        return shape


def activate(x: Tensor) -> Tensor:
    """Leaky ReLU that keeps the second moment."""
    return leaky_relu(x, SLOPE) * GAIN


def _kept(module: nn.Module, weight: Tensor, name: str, make: Callable[[Tensor], Tensor]) -> Tensor:
    """What a layer makes of its weight: once where the weight is a constant, at every use where it learns."""
    if weight.requires_grad:
        return make(weight)
    kept: dict[str, tuple[tuple[int, int], Tensor]] = module.__dict__.setdefault("_constants", {})
    state = (weight.data_ptr(), weight._version)
    if name not in kept or kept[name][0] != state:
        kept[name] = (state, make(weight))
    return kept[name][1]


def _scaled(weight: Tensor) -> Tensor:
    """The kernel of a convolution, in memory as the features are."""
    scaled: Tensor = weight * weight[0].numel() ** -0.5
    return scaled.contiguous(memory_format=torch.channels_last)


class Dense(nn.Module):
    """Linear layer with weights of unit deviation, scaled when used (arXiv:1710.10196), so that all learn alike.

    Args:
        inward: numbers in.
        outward: numbers out.
        bias: start of the bias.
    """

    def __init__(self, inward: int, outward: int, bias: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outward, inward))
        self.bias = nn.Parameter(torch.full((outward,), bias))

    def forward(self, x: Tensor) -> Tensor:
        """``x`` (n, inward)."""
        return linear(x, _kept(self, self.weight, "scaled", lambda w: w * w.shape[1] ** -0.5), self.bias)


class Conv(nn.Module):
    """Plain convolution with scaled weights; the picture keeps its size."""

    def __init__(self, inward: int, outward: int, kernel: int, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outward, inward, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outward)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """``x`` (n, inward, h, w)."""
        scale = self.weight[0].numel() ** -0.5
        return conv2d(x, self.weight * scale, self.bias, padding=self.weight.shape[-1] // 2)


class Modulated(nn.Module):
    """Convolution whose input channels are scaled by a style; demodulation brings every output channel to unit norm.

    Args:
        inward: channels in.
        outward: channels out.
        style: numbers of a style.
        kernel: side of the kernel, odd.
        demodulate: off for pictures, whose contrast is the style's business.
    """

    def __init__(self, inward: int, outward: int, style: int, kernel: int = 3, demodulate: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outward, inward, kernel, kernel))
        self.affine = Dense(style, inward, 1.0)
        self.demodulate = demodulate

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """``x`` (n, inward, h, w), ``w`` (n, style)."""
        y, norm = self.apart(x, w)
        return y if norm is None else y * norm

    def apart(self, x: Tensor, w: Tensor) -> tuple[Tensor, Tensor | None]:
        """`forward` as a picture and the factor (n, outward, 1, 1) on it that demodulates, if any."""
        weight = _kept(self, self.weight, "scaled", _scaled)
        scale = self.affine(w)
        y: Tensor = conv2d(x * scale[:, :, None, None].to(x.dtype), weight, padding=weight.shape[-1] // 2)
        if not self.demodulate:
            return y, None
        energy = _kept(self, self.weight, "energy", lambda v: _wide(v).square().sum((2, 3)).T / v[0].numel())
        norm = (_wide(scale).square() @ energy + 1e-8).rsqrt()
        return y, norm[:, :, None, None].to(y.dtype)


def _wide(x: Tensor) -> Tensor:
    """At least single precision: squares of half have no room."""
    return x if x.dtype == torch.float64 else x.float()


class Layer(nn.Module):
    """Modulated 3 x 3 convolution, doubling of the side if asked for, noise, bias, activation."""

    def __init__(self, inward: int, outward: int, style: int, doubles: bool) -> None:
        super().__init__()
        self.convolution = Modulated(inward, outward, style)
        self.strength = nn.Parameter(torch.zeros(()))
        self.bias = nn.Parameter(torch.zeros(outward))
        self.doubles = doubles

    def forward(self, x: Tensor, w: Tensor, noise: Tensor) -> Tensor:
        """``x`` (n, inward, h, w), ``w`` (n, style), ``noise`` (n, 1, side, side) of the output's side."""
        y, norm = self.convolution.apart(x, w)
        if self.doubles:
            y = doubled(y)
        # Every pass over all features takes time: factor and bias are one, the gain is in them, noise has one channel.
        bias = (GAIN * self.bias)[:, None, None].to(y.dtype)
        y = y + bias if norm is None else torch.addcmul(bias, y, GAIN * norm)
        return leaky_relu(y + (GAIN * self.strength * noise).to(y.dtype), SLOPE)


def doubled(x: Tensor) -> Tensor:
    """Bilinear interpolation to twice the side."""
    return interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def haar_joined(low: Tensor, detail: Tensor) -> Tensor:
    """Image (n, bands, 2h, 2w) of its area mean (n, bands, h, w) and three detail bands (n, 3 bands, h, w)."""
    right, down, cross = detail.chunk(3, 1)
    a, b = low + right, low - right
    c, d = down + cross, down - cross
    four = (a + c, b + d, a - c, b - d)
    return pixel_shuffle(torch.stack(four, 2).flatten(1, 2), 2)


def haar_split(image: Tensor) -> tuple[Tensor, Tensor]:
    """Inverse of `haar_joined`."""
    n, bands, h, w = image.shape
    a, b, c, d = pixel_unshuffle(image, 2).view(n, bands, 4, h // 2, w // 2).unbind(2)
    detail = torch.cat([a - b + c - d, a + b - c - d, a - b - c + d], 1)
    return (a + b + c + d) / 4, detail / 4


class MappingNetwork(nn.Module):
    """From z to the pre-activation v of the last layer, whose leaky ReLU is the style w (arXiv:2009.06529)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        inward = (shape.latent, *[shape.style] * (shape.depth - 1))
        self.layers = nn.ModuleList(Dense(i, shape.style) for i in inward)

    def forward(self, z: Tensor) -> Tensor:
        """``z`` (n, latent) standard normal; returns v (n, style)."""
        x = z * (z.square().mean(1, keepdim=True) + 1e-8).rsqrt()
        for layer in self.layers[:-1]:
            x = activate(layer(x))
        v: Tensor = self.layers[-1](x)
        return v


class Synthesis(nn.Module):
    """From one style per layer and noise maps to an image."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        widths, style = shape.widths, shape.style
        self.constant = nn.Parameter(torch.randn(widths[0], COARSEST, COARSEST))
        self.first = Layer(widths[0], widths[0], style, False)
        self.up = nn.ModuleList(Layer(a, b, style, True) for a, b in pairwise(widths))
        self.same = nn.ModuleList(Layer(b, b, style, False) for b in widths[1:])
        self.picture = nn.ModuleList(Modulated(b, shape.bands, style, 1, False) for b in widths)
        self.level = nn.Parameter(torch.zeros(shape.bands, 1, 1))
        self.detail = Modulated(widths[-1], 3 * shape.bands, style, 3, False)

    def forward(self, w: Tensor, noise: Sequence[Tensor], stage: int | None = None) -> Tensor:
        """Images (n, bands, side, side), -1..1 for what it was trained on.

        Args:
            w: (n, layers, style).
            noise: per level (n, maps, s, s), see `Shape.noise`.
            stage: stop after this level; its skip picture at 4 * 2^stage px is returned.
        """
        x = self.constant.expand(len(w), -1, -1, -1).contiguous(memory_format=torch.channels_last)
        styles = w.unbind(1)  # at once: every slice by itself would have zeros for all layers as its gradient
        x = self.first(x, styles[0], noise[0])
        image: Tensor = self.level + PICTURE * self.picture[0](x, styles[1])
        last = len(self.shape.widths) - 1 if stage is None else stage
        for level in range(1, last + 1):
            maps = noise[level]
            x = self.up[level - 1](x, styles[2 * level - 1], maps[:, :1])
            x = self.same[level - 1](x, styles[2 * level], maps[:, 1:])
            image = doubled(image) + PICTURE * self.picture[level](x, styles[2 * level + 1])
        if stage is not None:
            return image
        return haar_joined(image, DETAIL * self.detail(x, styles[-1]))


class Network(nn.Module):
    """Mapping and synthesis."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.mapping, self.synthesis = MappingNetwork(shape), Synthesis(shape)

    def forward(self, z: Tensor, noise: Sequence[Tensor]) -> Tensor:
        """``z`` (n, latent) and noise maps to images (n, bands, side, side), -1..1."""
        w = style_of(self.mapping(z))
        image: Tensor = self.synthesis(w[:, None].expand(-1, self.shape.layers, -1), noise)
        return image

    def noise(self, count: int, draw: torch.Generator | None, device: str) -> list[Tensor]:
        """Standard normal noise maps, drawn on the CPU; zeros without a generator of numbers."""
        shapes = [(count, maps, side, side) for maps, side in self.shape.noise()]
        if draw is None:
            return [torch.zeros(s, device=device) for s in shapes]
        return [torch.randn(s, generator=draw).to(device) for s in shapes]


def style_of(v: Tensor) -> Tensor:
    """The style w of a pre-activation v."""
    return activate(v)


def count(network: nn.Module) -> int:
    """Number of parameters."""
    return sum(p.numel() for p in network.parameters())
