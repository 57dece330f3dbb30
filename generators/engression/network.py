"""A small U-Net that turns noise and what a linear estimator knows into an image, in one evaluation.

No layer looks at statistics over space: normalisation is over the channels of each pixel, so a field of any size, and
any tile of it, is treated alike. Draws depend on the noise; for mean and
variance the noise is zero, and a flag says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pixel_shuffle, pixel_unshuffle, silu

from gensr.errors import WeightsError

SCALARS = 3
"""Numbers that modulate the network: whether a draw is meant, factor of rows and of columns."""
OUTPUTS = 4
"""Per band: draw, logarithm of its gain on the noise, mean, logarithm of the variance."""


@dataclass(frozen=True)
class Shape:
    """Size of a network.

    Attributes:
        bands: bands of the image.
        patch: side of the pixel blocks that become channels.
        widths: channels of each level, the finest first; every level halves the sides.
        blocks: residual blocks of each level on the way down, and on the way up.
        embedding: width of the modulation.
        fine: channels of a last stage on single pixels; 0 for none.
    """

    bands: int = 1
    patch: int = 2
    widths: tuple[int, ...] = (48, 72, 112)
    blocks: int = 2
    embedding: int = 64
    fine: int = 16

    @property
    def multiple(self) -> int:
        """Sides of the image must be multiples of this."""
        return int(self.patch * 2 ** (len(self.widths) - 1))

    @property
    def inputs(self) -> int:
        """Channels of the input: noise twice, linear mean, its detail and deviation, known share, noise of the data."""
        return 5 * self.bands + 2

    def to_config(self) -> dict[str, Any]:
        """As JSON-able dictionary."""
        return {
            "bands": self.bands,
            "patch": self.patch,
            "widths": list(self.widths),
            "blocks": self.blocks,
            "embedding": self.embedding,
            "fine": self.fine,
        }

    @property
    def work(self) -> float:
        """Multiplications and additions of one evaluation, per pixel of all bands together."""
        outputs, area = OUTPUTS * self.bands, self.patch**2
        products = (self.inputs + outputs) * self.widths[0] * 9
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
            names = ("bands", "patch", "widths", "blocks", "embedding", "fine")
            bands, patch, widths, blocks, embedding, fine = (config[name] for name in names)
            widths = tuple(widths)
        except (KeyError, TypeError) as error:
            raise WeightsError(f"network configuration is unreadable ({error!r}); fetch the file again") from error
        small, large = (bands, patch, blocks), (embedding, *widths)
        whole = all(type(n) is int for n in (*small, *large, fine))
        if not whole or not 1 <= len(widths) <= 6 or not 1 <= min(small) <= max(small) <= 64:
            raise WeightsError(f"network configuration {dict(config)} is impossible; fetch the file again")
        if not 1 <= min(large) <= max(large) <= 4096 or not 0 <= fine <= 256:
            raise WeightsError(f"network configuration {dict(config)} is impossible; fetch the file again")
        return Shape(bands, patch, widths, blocks, embedding, fine)


def normalised(x: Tensor) -> Tensor:
    """Channels of every pixel at unit root mean square."""
    return x * (x.square().mean(1, keepdim=True) + 1e-5).rsqrt()


class Block(nn.Module):
    """``x + conv(silu(modulate(conv(norm x))))``; the last convolution starts at zero."""

    def __init__(self, width: int, embedding: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.film = nn.Linear(embedding, 2 * width)
        for part in (*self.second.parameters(), *self.film.parameters()):
            nn.init.zeros_(part)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """``x`` (n, width, h, w), ``embedding`` (n, embedding)."""
        gain, bias = self.film(embedding)[:, :, None, None].chunk(2, 1)
        y = self.first(normalised(x))
        change: Tensor = self.second(silu(torch.addcmul(bias.to(y.dtype), y, 1 + gain.to(y.dtype))))
        return x + change


class Level(nn.Module):
    """The blocks of one level, on the way down or up."""

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
        y = silu(torch.addcmul(bias.to(y.dtype), y, 1 + gain.to(y.dtype)))
        corrected: Tensor = coarse + self.outward(silu(self.middle(y)))
        return corrected


class Network(nn.Module):
    """See the module text.

    Args:
        shape: its size.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        area, widths, width = shape.patch**2, shape.widths, shape.embedding
        outputs = OUTPUTS * shape.bands
        self.embed = nn.Sequential(nn.Linear(SCALARS, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.head = nn.Conv2d(shape.inputs * area, widths[0], 3, padding=1)
        self.down = nn.ModuleList(Level(w, shape.blocks, width) for w in widths)
        self.shrink = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2) for a, b in pairwise(widths))
        self.grow = nn.ModuleList(nn.Conv2d(b, 4 * a, 1) for a, b in pairwise(widths))
        self.up = nn.ModuleList(Level(w, shape.blocks, width) for w in widths[:-1])
        self.join = nn.ModuleList(nn.Conv2d(2 * w, w, 1) for w in widths[:-1])
        self.tail = nn.Conv2d(widths[0], outputs * area, 3, padding=1)
        for part in self.tail.parameters():
            nn.init.zeros_(part)
        self.fine = Fine(shape.inputs, outputs, shape.fine, width) if shape.fine else None

    def forward(self, planes: Tensor, scalars: Tensor) -> Tensor:
        """(n, OUTPUTS * bands, rows, cols).

        Args:
            planes: (n, inputs, rows, cols), sides multiples of `Shape.multiple`.
            scalars: (n, SCALARS).
        """
        embedding = self.embed(scalars)
        x = pixel_unshuffle(planes, self.shape.patch)
        x = self.head(x.contiguous(memory_format=torch.channels_last))
        kept = []
        for i, level in enumerate(self.down):
            if i:
                kept.append(x)
                x = self.shrink[i - 1](x)
            x = level(x, embedding)
        for i in reversed(range(len(self.up))):
            x = pixel_shuffle(self.grow[i](x), 2)
            x = self.join[i](torch.cat([x, kept[i]], 1).contiguous(memory_format=torch.channels_last))
            x = self.up[i](x, embedding)
        out: Tensor = pixel_shuffle(self.tail(silu(normalised(x))), self.shape.patch)
        if self.fine is not None:
            out = self.fine(planes, out, embedding)
        return out.float()


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
