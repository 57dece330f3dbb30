"""The network of StyleGAN (arXiv:1812.04948), rebuilt from its equations with frozen weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d, leaky_relu

from gensr.priors.frozen import GAIN, SLOPE, Dense, Frozen, unit
from gensr.priors.resampling import resample
from gensr.priors.styled import StyledNetwork

from .structure import Structure

FUSED = 128
"""Side from which on the training doubled and convolved in one step, which turns the kernel by 180 degrees."""
RATE = 0.01
"""Multiplier on the rate of learning of the mapping."""
STEADY = 1e-5
"""Added to the variance of a channel."""
SMOOTH = (0.25, 0.5, 0.25)
"""Filter after every doubling."""


class Convolution(Frozen):
    """Convolution with weights scaled for a leaky ReLU; optionally after every pixel was made four."""

    weight: Tensor
    bias: Tensor

    def __init__(self, weight: Tensor, bias: Tensor, doubles: bool = False, turned: bool = False) -> None:
        super().__init__()
        kernel = weight.float() * (GAIN * weight[0].numel() ** -0.5)
        self.doubles = doubles
        if doubles:
            # four equal pixels, then a kernel: one transposed convolution with the sum of its four shifts
            kernel = kernel if turned else kernel.flip(2, 3)
            wide = nn.functional.pad(kernel, (1, 1, 1, 1))
            kernel = wide[:, :, 1:, 1:] + wide[:, :, :-1, 1:] + wide[:, :, 1:, :-1] + wide[:, :, :-1, :-1]
            kernel = kernel.transpose(0, 1)
        self.keep(weight=kernel, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` (n, c, h, w)."""
        if self.doubles:
            y = conv_transpose2d(x, self.weight.to(x.dtype), stride=2, padding=1)
            y = resample(y, y.new_tensor(SMOOTH), padding=(1, 1))
        else:
            y = conv2d(x, self.weight.to(x.dtype), padding=self.weight.shape[-1] // 2)
        return y + self.bias[:, None, None].to(y.dtype)


class Ending(Frozen):
    """Noise, activation, every channel to mean 0 and deviation 1, then scale and shift by a style."""

    strength: Tensor

    def __init__(self, tensors: Mapping[str, Tensor], place: str) -> None:
        super().__init__()
        lin = f"{place}.style_mod.lin"
        self.affine = Dense(tensors[f"{lin}.weight"], tensors[f"{lin}.bias"])
        self.keep(strength=tensors[f"{place}.top_epi.noise.weight"])

    def forward(self, x: Tensor, w: Tensor, noise: Tensor) -> Tensor:
        """``x`` (n, c, h, w), ``w`` (n, style), ``noise`` (n, h, w)."""
        y = leaky_relu(x + (self.strength[:, None, None] * noise[:, None]).to(x.dtype), SLOPE)
        variance, mean = torch.var_mean(y, (2, 3), correction=0, keepdim=True)
        y = (y - mean) * (variance + STEADY).rsqrt()
        scale, shift = self.affine(w)[:, :, None, None].to(y.dtype).chunk(2, 1)
        styled: Tensor = y * (scale + 1) + shift
        return styled


class Level(nn.Module):
    """All that happens at one side."""

    def __init__(self, tensors: Mapping[str, Tensor], side: int) -> None:
        super().__init__()
        place = f"blocks.{side}x{side}"

        def convolution(name: str, doubles: bool = False) -> Convolution:
            weight, bias = tensors[f"{place}.{name}.weight"], tensors[f"{place}.{name}.bias"]
            return Convolution(weight, bias, doubles, turned=side >= FUSED)

        self.up = None if side == 4 else convolution("conv0_up", True)
        self.first = Ending(tensors, f"{place}.epi1")
        self.same = convolution("conv" if side == 4 else "conv1")
        self.last = Ending(tensors, f"{place}.epi2")

    def forward(self, x: Tensor, w: Tensor, noise: Sequence[Tensor]) -> Tensor:
        """Features at this side of those at half of it; ``w`` (n, 2, style), two noise maps."""
        y = x if self.up is None else self.up(x)
        y = self.first(y, w[:, 0], noise[0])
        ended: Tensor = self.last(self.same(y), w[:, 1], noise[1])
        return ended


class StyleGan1(StyledNetwork):
    """Mapping and synthesis.

    Args:
        tensors: by PULSE's names.
        found: their structure.
    """

    def __init__(self, tensors: Mapping[str, Tensor], found: Structure) -> None:
        super().__init__()
        self.side, self.bands, self.latent, self.style = found.sides[-1], found.bands, found.latent, found.style
        self.classes, self.layers = 0, 2 * len(found.sides)
        self.maps = tuple(s for s in found.sides for _ in range(2))
        self.dense = nn.ModuleList(
            Dense(tensors[f"dense{i}.weight"], tensors[f"dense{i}.bias"], RATE, GAIN) for i in range(found.depth)
        )
        constant = tensors["blocks.4x4.const"].float() + tensors["blocks.4x4.bias"].float()[:, None, None]
        self.register_buffer("constant", constant)
        self.levels = nn.ModuleList(Level(tensors, side) for side in found.sides)
        weight = tensors["torgb.weight"].float()
        self.register_buffer("picture", weight * weight[0].numel() ** -0.5)
        self.register_buffer("level", tensors["torgb.bias"].float())

    def mapping(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        """See `StyledNetwork.mapping`."""
        x = unit(z)
        for dense in self.dense[:-1]:
            x = leaky_relu(dense(x), SLOPE)
        v: Tensor = self.dense[-1](x)
        return v

    def style_of(self, v: Tensor) -> Tensor:
        """See `StyledNetwork.style_of`."""
        return leaky_relu(v, SLOPE)

    def forward(self, w: Tensor, noise: Sequence[Tensor], stage: int | None = None) -> Tensor:
        """See `StyledNetwork.forward`; there are no coarse outputs."""
        x = self.get_buffer("constant").expand(len(w), -1, -1, -1).contiguous(memory_format=torch.channels_last)
        for i, level in enumerate(cast("list[Level]", list(self.levels))):
            x = level(x, w[:, 2 * i : 2 * i + 2], noise[2 * i : 2 * i + 2])
        return conv2d(x, self.get_buffer("picture").to(x.dtype), self.get_buffer("level").to(x.dtype))
