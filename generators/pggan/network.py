"""The generator of progressive GANs (arXiv:1710.10196), rebuilt from its equations with frozen weights."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.functional import conv2d, interpolate, leaky_relu, linear

from gensr.errors import WeightsError
from gensr.priors.frozen import GAIN, SLOPE, Frozen, unit
from gensr.priors.schema import check_shapes

LARGEST = 10
"""Levels of the largest network that is rebuilt."""


@dataclass(frozen=True)
class Structure:
    """Sizes of a network.

    Attributes:
        latent: numbers of z.
        widths: channels of every level, the coarsest (4 px) first.
        bands: of the image.
        plain: biases are added as they are, one for each channel from the first layer on, and layers have the gains of
            the first program (TensorFlow's); else biases are scaled like weights, by the same constant in every layer.
    """

    latent: int
    widths: tuple[int, ...]
    bands: int
    plain: bool = False

    @property
    def side(self) -> int:
        """Of the output, pixels."""
        return 4 << (len(self.widths) - 1)

    def shapes(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Name and shape of every tensor that is used."""
        yield "formatLayer.weight", (16 * self.widths[0], self.latent)
        yield "formatLayer.bias", ((1 if self.plain else 16) * self.widths[0],)
        yield from _both("groupScale0.0", (self.widths[0], self.widths[0], 3, 3))
        for i, (before, width) in enumerate(zip(self.widths, self.widths[1:], strict=False)):
            yield from _both(f"scaleLayers.{i}.0", (width, before, 3, 3))
            yield from _both(f"scaleLayers.{i}.1", (width, width, 3, 3))
        yield from _both(f"toRGBLayers.{len(self.widths) - 1}", (self.bands, self.widths[-1], 1, 1))


def _both(place: str, shape: tuple[int, ...]) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{place}.weight", shape
    yield f"{place}.bias", shape[:1]


def structure(tensors: Mapping[str, Tensor], name: str) -> Structure:
    """Sizes of a network by its tensors, every shape checked.

    Raises:
        WeightsError: a level or a tensor is missing or of another shape.
    """
    scales = sorted({int(m[1]) for key in tensors if (m := re.match(r"scaleLayers\.(\d{1,2})\.", key))})
    last = f"toRGBLayers.{len(scales)}.weight"
    keys = ("formatLayer.weight", "groupScale0.0.weight", *(f"scaleLayers.{i}.1.weight" for i in scales), last)
    for key in keys:
        if key not in tensors or tensors[key].ndim < 2:
            raise WeightsError(f"{name}: tensor {key!r} is missing, or has too few axes")
    if scales != list(range(len(scales))) or len(scales) >= LARGEST:
        raise WeightsError(f"{name}: levels {scales}, expected 0, 1, ... without gaps")
    widths = tuple(int(tensors[key].shape[0]) for key in keys[1:-1])
    first = tensors.get("formatLayer.bias")
    plain = first is not None and tuple(first.shape) == widths[:1]  # the other program has one for every pixel
    found = Structure(int(tensors["formatLayer.weight"].shape[1]), widths, int(tensors[last].shape[0]), plain)
    check_shapes(tensors, dict(found.shapes()), name)
    return found


class Scaled(Frozen):
    """Layer whose weights are scaled by the root of their number: ``gain / sqrt(fan in)``.

    Args:
        tensors: of the network.
        place: name of the layer.
        gain: of the weights.
        plain: whether the bias is added as it is, not scaled alike.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, tensors: Mapping[str, Tensor], place: str, gain: float = GAIN, plain: bool = False) -> None:
        super().__init__()
        weight, bias = tensors[f"{place}.weight"].float(), tensors[f"{place}.bias"].float()
        scale = gain / weight[0].numel() ** 0.5
        if len(bias) < len(weight):  # one for a channel of 4 x 4 pixels
            bias = bias.repeat_interleave(len(weight) // len(bias))
        self.keep(weight=weight * scale, bias=bias if plain else bias * scale)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` (n, c) or (n, c, h, w)."""
        if self.weight.ndim == 2:
            return linear(x, self.weight, self.bias)
        return conv2d(x, self.weight, self.bias, padding=self.weight.shape[-1] // 2)


class Network(nn.Module):
    """From z to images.

    Args:
        tensors: by the zoo's names, without ``module.``.
        found: their structure.
    """

    def __init__(self, tensors: Mapping[str, Tensor], found: Structure) -> None:
        super().__init__()
        self.found = found
        count, plain = len(found.widths) - 1, found.plain
        self.format = Scaled(tensors, "formatLayer", GAIN / 4 if plain else GAIN, plain)
        self.coarse = Scaled(tensors, "groupScale0.0", plain=plain)
        finer = [f"scaleLayers.{i}.{j}" for i in range(count) for j in (0, 1)]
        self.finer = nn.ModuleList(Scaled(tensors, place, plain=plain) for place in finer)
        self.picture = Scaled(tensors, f"toRGBLayers.{count}", 1.0 if plain else GAIN, plain)

    def forward(self, z: Tensor) -> Tensor:
        """``z`` (n, latent) to images (n, bands, side, side)."""
        x = leaky_relu(self.format(unit(z)), SLOPE)
        x = unit(x.view(len(z), -1, 4, 4))
        x = unit(leaky_relu(self.coarse(x), SLOPE))
        for i, layer in enumerate(self.finer):
            if i % 2 == 0:
                x = interpolate(x, scale_factor=2, mode="nearest")
            x = unit(leaky_relu(layer(x), SLOPE))
        image: Tensor = self.picture(x)
        return image
