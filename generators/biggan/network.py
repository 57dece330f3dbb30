"""BigGAN-deep (arXiv:1809.11096, appendix B), frozen: own writing, from shapes and configuration of a checkpoint.

Spectral norms are folded into the weights, and statistics of batch normalisation are those of one truncation, so that
images of a batch do not influence each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from gensr.errors import WeightsError
from gensr.priors.schema import Flag, List, Number, Record, Whole

START = 4
"""Side of the first features, pixels."""
NARROW = 4
"""How much narrower the middle of a block is."""
SEEN, CARRIED = 8, 2
"""How much narrower keys, and values, of attention are."""
_COUNT = Whole(1, 1 << 16)
SHAPE = Record(
    {
        **dict.fromkeys(("latent", "told", "width"), _COUNT),
        "blocks": List(List(_COUNT, 2, 2), 1, 40),
        "grow": List(Flag(), 1, 40),
        "attention": Whole(0, 40),
        "bands": Whole(1, 64),
        "eps": Number(1e-12, 1.0),
    }
)


@dataclass(frozen=True)
class Shape:
    """Numbers of a network.

    Attributes:
        latent: numbers of noise.
        told: numbers of the class embedding.
        width: channels, of which blocks have multiples.
        blocks: multiples in and out of every block.
        grow: whether a block doubles the side.
        attention: block that attention stands before; as many as there are blocks for none.
        bands: of the image.
        eps: of normalisation.
    """

    latent: int
    told: int
    width: int
    blocks: tuple[tuple[int, int], ...]
    grow: tuple[bool, ...]
    attention: int
    bands: int = 3
    eps: float = 1e-4

    @property
    def side(self) -> int:
        """Side of the image, pixels."""
        return START << sum(self.grow)

    def to_config(self) -> dict[str, Any]:
        """As JSON-able dictionary."""
        blocks = [list(pair) for pair in self.blocks]
        return {
            **{k: getattr(self, k) for k in ("latent", "told", "width", "attention", "bands", "eps")},
            "blocks": blocks,
            "grow": list(self.grow),
        }

    @staticmethod
    def from_config(config: object, place: str) -> Shape:
        """Inverse of `to_config`.

        Raises:
            WeightsError: numbers that no network can have.
        """
        SHAPE.check(config, place)
        assert isinstance(config, Mapping)
        blocks = tuple((int(a), int(b)) for a, b in config["blocks"])
        words = {k: config[k] for k in ("latent", "told", "width", "attention", "bands", "eps")}
        found = Shape(**words, blocks=blocks, grow=tuple(config["grow"]))
        fits = all(b == a for (_, b), (a, _) in pairwise(blocks))
        kept = all(b in (a, a // 2) for a, b in blocks)
        if not fits or not kept or len(found.grow) != len(blocks) or found.width % SEEN or sum(found.grow) > 10:
            raise WeightsError(
                f"{place}: blocks {[list(b) for b in blocks]} of width {found.width} do not fit each other"
            )
        return found


class Told(nn.Module):
    """Batch normalisation whose scale and offset depend on noise and class."""

    mean: Tensor
    variance: Tensor

    def __init__(self, channels: int, told: int, eps: float) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("variance", torch.ones(channels))
        self.scale, self.offset = (nn.Linear(told, channels, bias=False) for _ in range(2))
        self.eps = eps

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        """``x`` (n, channels, rows, cols)."""
        spread = (self.variance + self.eps).sqrt()[:, None, None]
        scale, offset = (part(told)[:, :, None, None] for part in (self.scale, self.offset))
        made: Tensor = (x - self.mean[:, None, None]) / spread * (1 + scale) + offset
        return made


class Block(nn.Module):
    """Four convolutions, narrow in the middle, beside a skip that drops channels."""

    def __init__(self, inward: int, outward: int, told: int, eps: float, grow: bool) -> None:
        super().__init__()
        middle = inward // NARROW
        self.norms = nn.ModuleList(Told(c, told, eps) for c in (inward, middle, middle, middle))
        self.convs = nn.ModuleList(
            nn.Conv2d(a, b, k, padding=k // 2)
            for a, b, k in ((inward, middle, 1), (middle, middle, 3), (middle, middle, 3), (middle, outward, 1))
        )
        self.outward, self.grow = outward, grow

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        """``x`` (n, inward, rows, cols)."""
        h = x
        for i, (norm, conv) in enumerate(zip(self.norms, self.convs, strict=True)):
            h = functional.relu(norm(h, told))
            if i == 1 and self.grow:
                h = functional.interpolate(h, scale_factor=2.0, mode="nearest")
            h = conv(h)
        kept = x[:, : self.outward]
        return h + (functional.interpolate(kept, scale_factor=2.0, mode="nearest") if self.grow else kept)


class Glance(nn.Module):
    """Every pixel looks at the largest of each four of the others (arXiv:1805.08318)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        few, some = channels // SEEN, channels // CARRIED
        self.query, self.key, self.value = (nn.Conv2d(channels, c, 1, bias=False) for c in (few, few, some))
        self.out = nn.Conv2d(some, channels, 1, bias=False)
        self.strength = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """``x`` (n, channels, rows, cols), sides even."""
        query = self.query(x).flatten(2)
        key, value = (functional.max_pool2d(part(x), 2).flatten(2) for part in (self.key, self.value))
        share = (query.transpose(1, 2) @ key).softmax(-1)  # (n, pixels, seen)
        seen = (value @ share.transpose(1, 2)).reshape(len(x), -1, *x.shape[2:])
        made: Tensor = x + self.strength * self.out(seen)
        return made


class Network(nn.Module):
    """See the module text.

    Args:
        shape: its numbers.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        told, width = shape.latent + shape.told, shape.width
        self.start = nn.Linear(told, START * START * shape.blocks[0][0] * width)
        self.blocks = nn.ModuleList(
            Block(a * width, b * width, told, shape.eps, grow)
            for (a, b), grow in zip(shape.blocks, shape.grow, strict=True)
        )
        within = shape.attention < len(shape.blocks)
        self.glance = Glance(shape.blocks[shape.attention][0] * width) if within else None
        last = shape.blocks[-1][1] * width
        self.register_buffer("mean", torch.zeros(last))
        self.register_buffer("variance", torch.ones(last))
        self.weight, self.bias = nn.Parameter(torch.ones(last)), nn.Parameter(torch.zeros(last))
        self.image = nn.Conv2d(last, shape.bands, 3, padding=1)

    def forward(self, noise: Tensor, told: Tensor) -> Tensor:
        """Images in -1..1.

        Args:
            noise: (n, latent).
            told: (n, told), a class embedding or a place between them.
        """
        both = torch.cat([noise, told], 1)
        x = self.start(both).reshape(len(both), START, START, -1).permute(0, 3, 1, 2)
        for i, block in enumerate(self.blocks):
            if self.glance is not None and i == self.shape.attention:
                x = self.glance(x)
            x = block(x, both)
        mean, variance = cast(Tensor, self.mean), cast(Tensor, self.variance)
        x = functional.batch_norm(x, mean, variance, self.weight, self.bias, eps=self.shape.eps)
        image: Tensor = self.image(functional.relu(x)).tanh()
        return image
