"""A small U-Net that maps a noisy image, and what is known of it, to the clean one.

No layer looks at statistics over space: normalisation is over the channels of each pixel, so a field of any size, and
any tile of it, is treated alike. Aligned content (faces) may add coordinates and one attention at the coarsest level.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from gensr.errors import WeightsError

SCALARS = 5
"""Numbers that modulate the network: noise level, whether a hint is given, factor of rows and columns, side."""
HEADS = 4
"""Of the attention; the width of the coarsest level is a multiple."""


@dataclass(frozen=True)
class Shape:
    """Size of a network.

    Attributes:
        bands: bands of the image.
        patch: side of the pixel blocks that become channels.
        widths: channels of each level, the finest first; every level halves the sides.
        blocks: residual blocks of each level on the way down; one more on the way up.
        embedding: width of the modulation.
        aligned: coordinates as further input, and attention at the coarsest level.
        fine: channels of a last stage on single pixels; 0 for none. Blocks of 4 x 4 pixels leave grain without it.
    """

    bands: int = 1
    patch: int = 2
    widths: tuple[int, ...] = (48, 72, 112)
    blocks: int = 2
    embedding: int = 64
    aligned: bool = False
    fine: int = 0

    @property
    def multiple(self) -> int:
        """Sides of the image must be multiples of this."""
        return int(self.patch * 2 ** (len(self.widths) - 1))

    @property
    def inputs(self) -> int:
        """Channels of the input: the noisy image, the hint twice, where it is known, and its noise."""
        return 3 * self.bands + 2

    def to_config(self) -> dict[str, Any]:
        """As JSON-able dictionary."""
        return {
            "bands": self.bands,
            "patch": self.patch,
            "widths": list(self.widths),
            "blocks": self.blocks,
            "embedding": self.embedding,
            "aligned": self.aligned,
            "fine": self.fine,
        }

    @property
    def work(self) -> float:
        """Multiplications and additions of one evaluation, per pixel of all bands together; attention left out."""
        outputs, area = 2 * self.bands, self.patch**2
        products = (self.inputs * area + 2 * self.aligned + outputs * area) * self.widths[0] * 9 / area
        for i, width in enumerate(self.widths):
            share, ways = 1 / (area * 4**i), 1 if i == len(self.widths) - 1 else 2
            products += ways * self.blocks * 2 * 9 * width**2 * share
            products += 2 * width**2 * share if ways == 2 else 0
        products += sum(8 * a * b / (area * 4 ** (i + 1)) for i, (a, b) in enumerate(pairwise(self.widths)))
        if self.fine:
            products += 9 * self.fine * (self.inputs + 2 * outputs + self.fine)
        return float(2 * products)

    @staticmethod
    def from_config(config: Mapping[str, Any]) -> Shape:
        """Inverse of `to_config`.

        Raises:
            WeightsError: values that no network can have.
        """
        try:
            names = ("bands", "patch", "widths", "blocks", "embedding", "aligned")
            bands, patch, widths, blocks, embedding, aligned = (config[name] for name in names)
            widths, fine = tuple(widths), config.get("fine", 0)
        except (KeyError, TypeError) as error:
            raise WeightsError(f"network configuration is unreadable ({error!r}); fetch the file again") from error
        small, large = (bands, patch, blocks), (embedding, *widths)
        whole = all(type(n) is int for n in (*small, *large, fine)) and type(aligned) is bool
        if not whole or not 1 <= len(widths) <= 6 or not 1 <= min(small) <= max(small) <= 64:
            raise WeightsError(f"network configuration {dict(config)} is impossible; fetch the file again")
        if not 1 <= min(large) <= max(large) <= 4096 or (aligned and widths[-1] % HEADS) or not 0 <= fine <= 256:
            raise WeightsError(f"network configuration {dict(config)} is impossible; fetch the file again")
        return Shape(bands, patch, widths, blocks, embedding, aligned, fine)


def normalised(x: Tensor) -> Tensor:
    """Root mean square 1 over the channels of every pixel (arXiv:1910.07467)."""
    return x * (x.square().mean(1, keepdim=True) + 1e-4).rsqrt()


class Block(nn.Module):
    """Residual block: norm, 3 x 3, modulation, SiLU, 3 x 3."""

    def __init__(self, width: int, embedding: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.film = nn.Linear(embedding, 2 * width)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)  # type: ignore[arg-type]
        nn.init.zeros_(self.film.weight)
        nn.init.zeros_(self.film.bias)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """``x`` (n, width, h, w), ``embedding`` (n, embedding)."""
        gain, bias = self.film(embedding)[:, :, None, None].chunk(2, 1)
        y = self.first(normalised(x))
        y = torch.addcmul(bias.to(y.dtype), y, 1 + gain.to(y.dtype))
        change: Tensor = self.second(nn.functional.silu(y))
        return x + change


class Attention(nn.Module):
    """Self-attention over the pixels of the coarsest level, for aligned content."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inward = nn.Conv2d(width, 3 * width, 1)
        self.outward = nn.Conv2d(width, width, 1)
        nn.init.zeros_(self.outward.weight)
        nn.init.zeros_(self.outward.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """``x`` (n, width, h, w)."""
        n, c, h, w = x.shape
        parts = self.inward(normalised(x)).reshape(n, 3, HEADS, c // HEADS, h * w).transpose(-1, -2)
        query, key, value = parts.unbind(1)
        seen = nn.functional.scaled_dot_product_attention(query, key, value)
        change: Tensor = self.outward(seen.transpose(-1, -2).reshape(n, c, h, w))
        return x + change


class Level(nn.Module):
    """The blocks of one level, on the way down and up."""

    def __init__(self, width: int, blocks: int, embedding: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(width, embedding) for _ in range(blocks))

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """``x`` (n, width, h, w)."""
        for block in self.blocks:
            x = block(x, embedding)
        return x


class Fine(nn.Module):
    """The last stage, on single pixels: three convolutions see the input again beside what the coarse stages made."""

    def __init__(self, inputs: int, outputs: int, width: int, embedding: int) -> None:
        super().__init__()
        self.inward = nn.Conv2d(inputs + outputs, width, 3, padding=1)
        self.middle = nn.Conv2d(width, width, 3, padding=1)
        self.outward = nn.Conv2d(width, outputs, 3, padding=1)
        self.film = nn.Linear(embedding, 2 * width)
        for part in (*self.outward.parameters(), *self.film.parameters()):
            nn.init.zeros_(part)

    def forward(self, planes: Tensor, coarse: Tensor, embedding: Tensor) -> Tensor:
        """``planes`` (n, inputs, rows, cols), ``coarse`` (n, outputs, rows, cols), corrected."""
        gain, bias = self.film(embedding)[:, :, None, None].chunk(2, 1)
        seen = torch.cat([planes.to(coarse.dtype), coarse], 1).contiguous(memory_format=torch.channels_last)
        y = self.inward(seen)
        y = nn.functional.silu(torch.addcmul(bias.to(y.dtype), y, 1 + gain.to(y.dtype)))
        corrected: Tensor = coarse + self.outward(nn.functional.silu(self.middle(y)))
        return corrected


class Network(nn.Module):
    """See the module text.

    Args:
        shape: its size.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        area, widths = shape.patch**2, shape.widths
        self.embed = nn.Sequential(
            nn.Linear(SCALARS, shape.embedding), nn.SiLU(), nn.Linear(shape.embedding, shape.embedding), nn.SiLU()
        )
        extra = 2 if shape.aligned else 0
        self.head = nn.Conv2d(shape.inputs * area + extra, widths[0], 3, padding=1)
        self.down = nn.ModuleList(Level(w, shape.blocks, shape.embedding) for w in widths)
        self.shrink = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2) for a, b in pairwise(widths))
        self.grow = nn.ModuleList(nn.Conv2d(b, 4 * a, 1) for a, b in pairwise(widths))
        self.up = nn.ModuleList(Level(w, shape.blocks, shape.embedding) for w in widths[:-1])
        self.join = nn.ModuleList(nn.Conv2d(2 * w, w, 1) for w in widths[:-1])
        self.attention = Attention(widths[-1]) if shape.aligned else None
        self.tail = nn.Conv2d(widths[0], 2 * shape.bands * area, 3, padding=1)
        nn.init.zeros_(self.tail.weight)
        nn.init.zeros_(self.tail.bias)  # type: ignore[arg-type]
        outputs = 2 * shape.bands
        self.fine = Fine(shape.inputs, outputs, shape.fine, shape.embedding) if shape.fine else None

    def forward(self, x: Tensor, scalars: Tensor) -> tuple[Tensor, Tensor]:
        """Prediction and logarithm of its variance, each (n, bands, rows, cols).

        Args:
            x: (n, inputs, rows, cols), sides multiples of `Shape.multiple`.
            scalars: (n, SCALARS).
        """
        embedding, planes = self.embed(scalars), x
        x = nn.functional.pixel_unshuffle(x, self.shape.patch)
        if self.shape.aligned:
            x = torch.cat([x, _coordinates(x)], 1)
        x = self.head(x.contiguous(memory_format=torch.channels_last))
        kept = []
        for i, level in enumerate(self.down):
            if i:
                kept.append(x)
                x = self.shrink[i - 1](x)
            x = level(x, embedding)
        if self.attention is not None:
            x = self.attention(x)
        for i in reversed(range(len(self.up))):
            x = nn.functional.pixel_shuffle(self.grow[i](x), 2)
            x = self.join[i](torch.cat([x, kept[i]], 1).contiguous(memory_format=torch.channels_last))
            x = self.up[i](x, embedding)
        out = nn.functional.pixel_shuffle(self.tail(nn.functional.silu(normalised(x))), self.shape.patch)
        if self.fine is not None:
            out = self.fine(planes, out, embedding)
        value, spread = out.float().chunk(2, 1)
        return value, spread.clamp(-12, 6)


def _coordinates(x: Tensor) -> Tensor:
    rows = torch.linspace(-1, 1, x.shape[-2], device=x.device, dtype=x.dtype)[:, None].expand(x.shape[-2:])
    cols = torch.linspace(-1, 1, x.shape[-1], device=x.device, dtype=x.dtype)[None].expand(x.shape[-2:])
    return torch.stack([rows, cols])[None].expand(len(x), -1, -1, -1)


def count(network: nn.Module) -> int:
    """Number of parameters."""
    return sum(p.numel() for p in network.parameters())


def place(network: Network, device: str) -> Network:
    """The network, moved to a device and into the memory order in which its convolutions are fast."""
    placed: Network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return placed


def restored(shape: Shape, tensors: Mapping[str, Tensor]) -> Network:
    """A network of these tensors; nothing is allocated before they are known to fit.

    Raises:
        WeightsError: tensors of other names or shapes, or not finite.
    """
    with torch.device("meta"):
        network = Network(shape)
    own = network.state_dict()
    if set(own) != set(tensors):
        raise WeightsError("tensors do not belong to this network; fetch the file again")
    for name, value in own.items():
        if value.shape != tensors[name].shape:
            raise WeightsError(f"tensor {name!r} is not of shape {tuple(value.shape)}; fetch the file again")
        if not bool(tensors[name].isfinite().all()):
            raise WeightsError(f"tensor {name!r} is not finite; fetch the file again")
    network.load_state_dict({name: tensors[name].float().clone() for name in own}, assign=True)
    return network
