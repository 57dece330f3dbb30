"""The U-Nets of EDM (Karras et al., arXiv:2206.00364, appendix F.1), rebuilt from a table of numbers.

Two of them: that of DDPM++ and NCSN++ (Song et al., arXiv:2011.13456), and that of ADM (arXiv:2105.05233). Their parts
bear the names under which NVIDIA's files keep their tensors, so that weights of ours hold them as they were.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from gensr.priors.ddpm import PERIOD, hollow

from .structure import Shape

GROUPS, SHARE = 32, 4
"""Most groups of a normalisation, and fewest channels of one."""
HEAD = 64
"""Channels of a head of attention in ADM; the other network has one head."""
EPS = {True: 1e-5, False: 1e-6}
"""Of normalisation within blocks, for ADM and for the other."""


class Convolution(nn.Module):
    """A convolution, a change of size by a filter, or both.

    Args:
        inward: channels in.
        outward: channels out.
        kernel: 0 for none.
        way: "down", "up" or "".
        taps: of the filter, a product of two of one axis; it is one of the tensors.
        fused: whether halving follows the convolution.
    """

    resample_filter: Tensor

    def __init__(
        self, inward: int, outward: int, kernel: int, way: str = "", taps: int = 2, *, fused: bool = False
    ) -> None:
        super().__init__()
        if kernel:
            self.weight = nn.Parameter(torch.empty(outward, inward, kernel, kernel))
            self.bias = nn.Parameter(torch.empty(outward))
        if way:
            self.register_buffer("resample_filter", torch.empty(1, 1, taps, taps))
        self.kernel, self.way, self.fused = kernel, way, fused

    def forward(self, x: Tensor) -> Tensor:
        """``x`` (n, inward, rows, cols)."""
        half = self.kernel // 2
        if self.fused:
            wide = functional.conv2d(x, self.weight, self.bias, padding=half + self._margin)
            return self._resized(wide, 0)
        if self.way:
            x = self._resized(x, self._margin)
        return functional.conv2d(x, self.weight, self.bias, padding=half) if self.kernel else x

    @property
    def _margin(self) -> int:
        return (self.resample_filter.shape[-1] - 1) // 2

    def _resized(self, x: Tensor, margin: int) -> Tensor:
        """Halved, or doubled without a change of the mean, every channel by itself."""
        channels = x.shape[1]
        each = self.resample_filter.to(x).expand(channels, 1, -1, -1)
        if self.way == "down":
            return functional.conv2d(x, each, stride=2, padding=margin, groups=channels)
        return functional.conv_transpose2d(x, 4 * each, stride=2, padding=margin, groups=channels)


def _norm(channels: int, eps: float) -> nn.GroupNorm:
    return nn.GroupNorm(min(GROUPS, channels // SHARE), channels, eps)


class Block(nn.Module):
    """Two convolutions beside a skip, and attention beside another.

    Args:
        shape: of the network.
        inward: channels in.
        outward: channels out.
        attend: whether there is attention.
        way: as in `Convolution`.
    """

    def __init__(self, shape: Shape, inward: int, outward: int, attend: bool = False, way: str = "") -> None:
        super().__init__()
        self.adm, eps = shape.adm, EPS[shape.adm]
        self.norm0 = _norm(inward, eps)
        self.conv0 = Convolution(inward, outward, 3, way, shape.taps)
        self.affine = nn.Linear(shape.told, outward * (2 if shape.adm else 1))
        self.norm1 = _norm(outward, eps)
        self.conv1 = Convolution(outward, outward, 3)
        projected = inward != outward or bool(way and not shape.adm)
        self.skip = Convolution(inward, outward, int(projected), way, shape.taps) if projected or way else None
        self.heads = 0 if not attend else outward // HEAD if shape.adm else 1
        if self.heads:
            self.norm2 = _norm(outward, eps)
            self.qkv = Convolution(outward, 3 * outward, 1)
            self.proj = Convolution(outward, outward, 1)

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        """``x`` (n, inward, rows, cols), ``told`` (n, told)."""
        scale = 1.0 if self.adm else math.sqrt(0.5)
        h = self.conv0(functional.silu(self.norm0(x)))
        said = self.affine(told)[:, :, None, None]
        if self.adm:
            gain, shift = said.chunk(2, 1)
            h = self.norm1(h) * (1 + gain) + shift
        else:
            h = self.norm1(h + said)
        x = scale * (self.conv1(functional.silu(h)) + (x if self.skip is None else self.skip(x)))
        return scale * (x + self._seen(x)) if self.heads else x

    def _seen(self, x: Tensor) -> Tensor:
        n, c, rows, cols = x.shape
        parts = self.qkv(self.norm2(x)).reshape(n, self.heads, c // self.heads, 3, rows * cols)
        query, key, value = parts.unbind(3)  # of neighbouring channels, as they lie in the file
        # written out: the fused kernels have no second derivative, which Gauss-Newton needs
        share = (query.transpose(-2, -1) @ key * (c // self.heads) ** -0.5).softmax(-1)
        made: Tensor = self.proj((value @ share.transpose(-2, -1)).reshape(n, c, rows, cols))
        return made


class Frequencies(nn.Module):
    """Random frequencies that lie in the file."""

    freqs: Tensor

    def __init__(self, count: int) -> None:
        super().__init__()
        self.register_buffer("freqs", torch.empty(count))

    def forward(self, noise: Tensor) -> Tensor:
        """Angles (n, count) of ``noise`` (n,)."""
        return noise[:, None] * (2 * math.pi * self.freqs.to(noise))


class EdmUNet(nn.Module):
    """See the module text.

    Args:
        shape: its numbers.
        label: number of the class that it is told; None for no class.
    """

    def __init__(self, shape: Shape, label: int | None = None) -> None:
        super().__init__()
        self.shape, self.label = shape, label
        if shape.fourier:
            self.map_noise = Frequencies(shape.noise // 2)
        self.map_layer0 = nn.Linear(shape.noise, shape.told)
        self.map_layer1 = nn.Linear(shape.told, shape.told)
        if shape.classes:
            self.map_label = nn.Linear(shape.classes, shape.told if shape.adm else shape.noise, bias=not shape.adm)
        self.enc, kept = self._encoder(shape)
        self.dec = self._decoder(shape, kept)
        if shape.adm:
            self.out_norm = _norm(shape.widths[0], EPS[True])
            self.out_conv = Convolution(shape.widths[0], shape.outward, 3)

    @staticmethod
    def _encoder(shape: Shape) -> tuple[nn.ModuleDict, list[int]]:
        """Its parts in the order in which they are run, and the channels that each leaves for the way up."""
        made, kept, x, beside = nn.ModuleDict(), [shape.width], shape.width, shape.inward
        for i, name, width in shape.levels:
            if i == 0:
                made[f"{name}_conv"] = Convolution(shape.inward, shape.width, 3)
            else:
                made[f"{name}_down"] = Block(shape, x, x, way="down")
                kept.append(x)
                if shape.encoder == "skip":
                    made[f"{name}_aux_down"] = Convolution(beside, beside, 0, "down", shape.taps)
                    made[f"{name}_aux_skip"] = Convolution(beside, x, 1)
                elif shape.encoder == "residual":
                    made[f"{name}_aux_residual"] = Convolution(beside, x, 3, "down", shape.taps, fused=True)
                    beside = x
            for k in range(shape.blocks):
                made[f"{name}_block{k}"] = Block(shape, x, width, shape.attends(i))
                x = width
                kept.append(x)
        return made, kept

    @staticmethod
    def _decoder(shape: Shape, kept: list[int]) -> nn.ModuleDict:
        made, last = nn.ModuleDict(), len(shape.widths) - 1
        x = shape.widths[-1]
        for i, name, width in reversed(list(shape.levels)):
            if i == last:
                made[f"{name}_in0"] = Block(shape, x, x, True)
                made[f"{name}_in1"] = Block(shape, x, x)
            else:
                made[f"{name}_up"] = Block(shape, x, x, way="up")
            for k in range(shape.blocks + 1):
                attend = shape.attends(i) and (shape.adm or k == shape.blocks)
                made[f"{name}_block{k}"] = Block(shape, x + kept.pop(), width, attend)
                x = width
            if not shape.adm and (shape.decoder == "skip" or i == 0):
                if shape.decoder == "skip" and i < last:
                    made[f"{name}_aux_up"] = Convolution(shape.outward, shape.outward, 0, "up", shape.taps)
                made[f"{name}_aux_norm"] = _norm(x, 1e-6)
                made[f"{name}_aux_conv"] = Convolution(x, shape.outward, 3)
        return made

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """What the network says of a noisy image.

        Args:
            x: (n, inward, rows, cols), sides multiples of `Shape.multiple`.
            noise: (n,) what it is told of the noise level.
        """
        told = self.told(noise.to(x))
        kept: list[Tensor] = []
        beside = x
        for name, part in self.enc.items():
            if "_aux_down" in name:
                beside = part(beside)
            elif "_aux_skip" in name:
                kept[-1] = x = x + part(beside)
            elif "_aux_residual" in name:
                kept[-1] = x = beside = (x + part(beside)) * math.sqrt(0.5)
            else:
                x = part(x, told) if isinstance(part, Block) else part(x)
                kept.append(x)
        picture: Tensor | None = None
        normed = x
        for name, part in self.dec.items():
            if "_aux_up" in name:
                picture = part(picture)
            elif "_aux_norm" in name:
                normed = part(x)
            elif "_aux_conv" in name:
                made = part(functional.silu(normed))
                picture = made if picture is None else picture + made
            else:
                x = part(torch.cat([x, kept.pop()], 1) if "_block" in name else x, told)
        if picture is None:
            picture = self.out_conv(functional.silu(self.out_norm(x)))
        return picture

    def told(self, noise: Tensor) -> Tensor:
        """What blocks are told (n, told) of noise (n,) and class."""
        adm, half = self.shape.adm, self.shape.noise // 2
        if self.shape.fourier:
            angle = self.map_noise(noise)
        else:  # of ADM the last period is not reached
            share = torch.arange(half, device=noise.device).to(noise) / (half - (not adm))
            angle = noise[:, None] * PERIOD**-share
        parts: Sequence[Tensor] = (angle.cos(), angle.sin()) if adm else (angle.sin(), angle.cos())
        x, column = torch.cat(list(parts), 1), None
        if self.shape.classes:
            table = self.map_label.weight
            column = table.new_zeros(1) if self.label is None else table[:, self.label]
        if adm:
            x = self.map_layer1(functional.silu(self.map_layer0(x)))
            return functional.silu(x if column is None else x + column)
        if column is not None:
            x = x + column * math.sqrt(self.shape.classes) + self.map_label.bias
        return functional.silu(self.map_layer1(functional.silu(self.map_layer0(x))))


def empty(shape: Shape, place: str) -> EdmUNet:
    """A network without memory behind its tensors, see `gensr.priors.ddpm.hollow`."""
    return hollow(lambda: EdmUNet(shape), shape.inward, shape.multiple, place)
