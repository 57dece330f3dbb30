"""A small U-Net on pixel blocks: the network of the families that turn noise and what is known into an image.

No layer looks at statistics over space: normalisation is over the channels of each pixel, so a field of any size, and
any tile of it, is treated alike. Aligned content (faces) may add coordinates and one attention at the coarsest level.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Self, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import pixel_shuffle, pixel_unshuffle, scaled_dot_product_attention, silu

from gensr.errors import WeightsError
from gensr.priors.schema import Flag, List, Record, Whole

Net = TypeVar("Net", bound=nn.Module)
HEADS = 4
"""Of the attention; the width of the coarsest level is a multiple."""
SCHEMA = Record(
    {
        **dict.fromkeys(("bands", "patch", "blocks"), Whole(1, 64)),
        "widths": List(Whole(1, 4096), 1, 6),
        "embedding": Whole(1, 4096),
    },
    {"aligned": Flag(), "fine": Whole(0, 256)},
)
"""Of `Shape.to_config`."""


@dataclass(frozen=True)
class Shape(ABC):
    """Size of a network.

    Attributes:
        bands: bands of the image.
        patch: side of the pixel blocks that become channels.
        widths: channels of each level, the finest first; every level halves the sides.
        blocks: residual blocks of each level on the way down, and on the way up.
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
    @abstractmethod
    def inputs(self) -> int:
        """Planes of the input."""

    @property
    @abstractmethod
    def outputs(self) -> int:
        """Planes of the output."""

    @property
    @abstractmethod
    def scalars(self) -> int:
        """Numbers that modulate the network."""

    @property
    @abstractmethod
    def floor(self) -> float:
        """What normalisation adds to the mean square of a pixel's channels."""

    @property
    def multiple(self) -> int:
        """Sides of the image must be multiples of this."""
        return int(self.patch * 2 ** (len(self.widths) - 1))

    @property
    def work(self) -> float:
        """Multiplications and additions of one evaluation, per pixel of all bands together; attention left out."""
        area = self.patch**2
        products = (self.inputs + 2 * self.aligned / area + self.outputs) * self.widths[0] * 9
        for i, width in enumerate(self.widths):
            share, ways = 1 / (area * 4**i), 1 if i == len(self.widths) - 1 else 2
            products += ways * self.blocks * 2 * 9 * width**2 * share
            products += 2 * width**2 * share if ways == 2 else 0
        products += sum(8 * a * b / (area * 4 ** (i + 1)) for i, (a, b) in enumerate(pairwise(self.widths)))
        if self.fine:
            products += 9 * self.fine * (self.inputs + 2 * self.outputs + self.fine)
        return float(2 * products)

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

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Inverse of `to_config`.

        Raises:
            WeightsError: values that no network can have.
        """
        try:
            bands, patch, widths, blocks, embedding = (
                config[name] for name in ("bands", "patch", "widths", "blocks", "embedding")
            )
            widths, aligned, fine = tuple(widths), config.get("aligned", False), config.get("fine", 0)
        except (KeyError, TypeError) as error:
            raise WeightsError(f"network configuration is unreadable ({error!r}); fetch the file again") from error
        small, large = (bands, patch, blocks), (embedding, *widths)
        whole = all(type(n) is int for n in (*small, *large, fine)) and type(aligned) is bool
        if not whole or not 1 <= len(widths) <= 6 or not 1 <= min(small) <= max(small) <= 64:
            raise WeightsError(f"network configuration {dict(config)} is impossible; fetch the file again")
        if not 1 <= min(large) <= max(large) <= 4096 or (aligned and widths[-1] % HEADS) or not 0 <= fine <= 256:
            raise WeightsError(f"network configuration {dict(config)} is impossible; fetch the file again")
        return cls(bands, patch, widths, blocks, embedding, aligned, fine)


def normalised(x: Tensor, floor: float) -> Tensor:
    """Root mean square 1 over the channels of every pixel (arXiv:1910.07467)."""
    return x * (x.square().mean(1, keepdim=True) + floor).rsqrt()


class Block(nn.Module):
    """``x + conv(silu(modulate(conv(norm x))))``; the last convolution starts at zero."""

    def __init__(self, width: int, embedding: int, floor: float) -> None:
        super().__init__()
        self.floor = floor
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.film = nn.Linear(embedding, 2 * width)
        for part in (*self.second.parameters(), *self.film.parameters()):
            nn.init.zeros_(part)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """``x`` (n, width, h, w), ``embedding`` (n, embedding)."""
        gain, bias = self.film(embedding)[:, :, None, None].chunk(2, 1)
        y = self.first(normalised(x, self.floor))
        change: Tensor = self.second(silu(torch.addcmul(bias.to(y.dtype), y, 1 + gain.to(y.dtype))))
        return x + change


class Attention(nn.Module):
    """Self-attention over the pixels of the coarsest level, for aligned content."""

    def __init__(self, width: int, floor: float) -> None:
        super().__init__()
        self.floor = floor
        self.inward = nn.Conv2d(width, 3 * width, 1)
        self.outward = nn.Conv2d(width, width, 1)
        for part in self.outward.parameters():
            nn.init.zeros_(part)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` (n, width, h, w)."""
        n, c, h, w = x.shape
        parts = self.inward(normalised(x, self.floor)).reshape(n, 3, HEADS, c // HEADS, h * w).transpose(-1, -2)
        query, key, value = parts.unbind(1)
        seen = scaled_dot_product_attention(query, key, value)
        change: Tensor = self.outward(seen.transpose(-1, -2).reshape(n, c, h, w))
        return x + change


class Level(nn.Module):
    """The blocks of one level, on the way down or up."""

    def __init__(self, width: int, shape: Shape) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(width, shape.embedding, shape.floor) for _ in range(shape.blocks))

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """``x`` (n, width, h, w)."""
        for block in self.blocks:
            x = block(x, embedding)
        return x


class Fine(nn.Module):
    """The last stage, on single pixels: three convolutions see the input again beside what the coarse stages made."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width = shape.fine
        self.inward = nn.Conv2d(shape.inputs + shape.outputs, width, 3, padding=1)
        self.middle = nn.Conv2d(width, width, 3, padding=1)
        self.outward = nn.Conv2d(width, shape.outputs, 3, padding=1)
        self.film = nn.Linear(shape.embedding, 2 * width)
        for part in (*self.outward.parameters(), *self.film.parameters()):
            nn.init.zeros_(part)

    def forward(self, planes: Tensor, coarse: Tensor, embedding: Tensor) -> Tensor:
        """``planes`` (n, inputs, rows, cols), ``coarse`` (n, outputs, rows, cols), corrected."""
        gain, bias = self.film(embedding)[:, :, None, None].chunk(2, 1)
        seen = torch.cat([planes.to(coarse.dtype), coarse], 1).contiguous(memory_format=torch.channels_last)
        y = self.inward(seen)
        y = silu(torch.addcmul(bias.to(y.dtype), y, 1 + gain.to(y.dtype)))
        corrected: Tensor = coarse + self.outward(silu(self.middle(y)))
        return corrected


class UNet(nn.Module):
    """See the module text.

    Args:
        shape: its size.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        area, widths, width = shape.patch**2, shape.widths, shape.embedding
        self.embed = nn.Sequential(nn.Linear(shape.scalars, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.head = nn.Conv2d(shape.inputs * area + (2 if shape.aligned else 0), widths[0], 3, padding=1)
        self.down = nn.ModuleList(Level(w, shape) for w in widths)
        self.shrink = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2) for a, b in pairwise(widths))
        self.grow = nn.ModuleList(nn.Conv2d(b, 4 * a, 1) for a, b in pairwise(widths))
        self.up = nn.ModuleList(Level(w, shape) for w in widths[:-1])
        self.join = nn.ModuleList(nn.Conv2d(2 * w, w, 1) for w in widths[:-1])
        self.attention = Attention(widths[-1], shape.floor) if shape.aligned else None
        self.tail = nn.Conv2d(widths[0], shape.outputs * area, 3, padding=1)
        for part in self.tail.parameters():
            nn.init.zeros_(part)
        self.fine = Fine(shape) if shape.fine else None

    def forward(self, planes: Tensor, scalars: Tensor) -> Tensor:
        """(n, outputs, rows, cols), single precision.

        Args:
            planes: (n, inputs, rows, cols), sides multiples of `Shape.multiple`.
            scalars: (n, scalars).
        """
        embedding = self.embed(scalars)
        x = pixel_unshuffle(planes, self.shape.patch)
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
            x = pixel_shuffle(self.grow[i](x), 2)
            x = self.join[i](torch.cat([x, kept[i]], 1).contiguous(memory_format=torch.channels_last))
            x = self.up[i](x, embedding)
        out: Tensor = pixel_shuffle(self.tail(silu(normalised(x, self.shape.floor))), self.shape.patch)
        if self.fine is not None:
            out = self.fine(planes, out, embedding)
        return out.float()


def _coordinates(x: Tensor) -> Tensor:
    rows = torch.linspace(-1, 1, x.shape[-2], device=x.device, dtype=x.dtype)[:, None].expand(x.shape[-2:])
    cols = torch.linspace(-1, 1, x.shape[-1], device=x.device, dtype=x.dtype)[None].expand(x.shape[-2:])
    return torch.stack([rows, cols])[None].expand(len(x), -1, -1, -1)


def count(network: nn.Module) -> int:
    """Number of parameters."""
    return sum(p.numel() for p in network.parameters())


def place(network: Net, device: str) -> Net:
    """The network, moved to a device and into the memory order in which its convolutions are fast."""
    placed: Net = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return placed


def fast_half(device: str) -> bool:
    """Whether bfloat16 convolutions are native: on CUDA, and on processors that have them."""
    if torch.device(device).type != "cpu":
        return True
    able = torch.cpu.get_capabilities()
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))


def restored(make: Callable[[], Net], tensors: Mapping[str, Tensor]) -> Net:
    """A network of these tensors; nothing is allocated before they are known to fit.

    Raises:
        WeightsError: tensors of other names or shapes, or not finite.
    """
    with torch.device("meta"):
        network = make()
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
