"""The U-Net of denoising diffusion (arXiv:2006.11239, arXiv:2112.10752), rebuilt from a table of numbers.

What diffusers and MONAI call it differs, and so do some of its numbers; their plug-ins translate both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from gensr.errors import WeightsError
from gensr.priors.blocks import Attention, Residual
from gensr.priors.schema import Flag, List, Number, Record, Whole

Denoiser = TypeVar("Denoiser", bound=nn.Module)
PERIOD = 10_000.0
"""Longest period of the embedding of steps."""
_SIZE = Whole(1, 1 << 16)
_LEVELS = (1, 10)
SHAPE = Record(
    {
        **dict.fromkeys(("inward", "outward"), Whole(1, 1024)),
        "widths": List(_SIZE, *_LEVELS),
        "blocks": List(Whole(1, 64), *_LEVELS),
        "down": List(Flag(), *_LEVELS),
        "up": List(Flag(), *_LEVELS),
        "heads": List(Whole(1, 4096), *_LEVELS),
        **dict.fromkeys(("groups", "embedding"), _SIZE),
        "eps": Number(1e-12, 1.0),
        **dict.fromkeys(("middle", "flipped", "scaled", "padded", "convolved", "projected"), Flag()),
        "shift": Number(-4.0, 4.0),
    }
)


@dataclass(frozen=True)
class Shape:
    """Numbers of a U-Net.

    Attributes:
        inward: channels in.
        outward: channels out.
        widths: channels of each level, the finest first.
        blocks: residual blocks of each level on the way down; one more on the way up.
        down: whether attention follows each of them, by level.
        up: the same on the way up, the finest level first.
        heads: of attention, by level; those of the coarsest in the middle.
        groups: of group normalisation.
        embedding: numbers that tell the step.
        eps: of group normalisation.
        middle: whether there is attention in the middle.
        flipped: whether cosines stand before sines in the embedding of steps.
        scaled: whether the embedding scales, too.
        padded: whether convolutions that halve are padded on all sides, else on right and bottom alone.
        convolved: whether sizes change by convolutions, else by residual blocks around a mean.
        projected: whether a linear layer follows attention.
        shift: of the frequencies in the embedding of steps.
    """

    inward: int
    outward: int
    widths: tuple[int, ...]
    blocks: tuple[int, ...]
    down: tuple[bool, ...]
    up: tuple[bool, ...]
    heads: tuple[int, ...]
    groups: int = 32
    embedding: int = 128
    eps: float = 1e-5
    middle: bool = True
    flipped: bool = True
    scaled: bool = False
    padded: bool = True
    convolved: bool = True
    projected: bool = True
    shift: float = 0.0

    @property
    def multiple(self) -> int:
        """Sides of images are multiples of this."""
        return 1 << (len(self.widths) - 1)

    def to_config(self) -> dict[str, Any]:
        """As JSON-able dictionary."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @staticmethod
    def from_config(config: object, place: str) -> Shape:
        """Inverse of `to_config`.

        Raises:
            WeightsError: numbers that no network can have.
        """
        SHAPE.check(config, place)
        assert isinstance(config, Mapping)
        said: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in config.items()}
        found = Shape(**{k: said[k] for k in SHAPE.needed})
        levels = len(found.widths)
        if any(len(x) != levels for x in (found.blocks, found.down, found.up, found.heads)):
            raise WeightsError(f"{place}: lists of different lengths for {levels} levels")
        if any(w % found.groups for w in found.widths):
            raise WeightsError(f"{place}.widths = {list(found.widths)}: expected multiples of {found.groups} groups")
        return found


class Level(nn.Module):
    """Residual blocks of one size, attention where it has some, and what changes the size after them."""

    def __init__(
        self, shape: Shape, channels: Sequence[tuple[int, int]], heads: int, attend: bool, resize: nn.Module | None
    ) -> None:
        super().__init__()
        self.residuals = nn.ModuleList(_residual(shape, inward, outward) for inward, outward in channels)
        self.attentions = nn.ModuleList(_attention(shape, o, heads) for _, o in channels) if attend else None
        self.resize = resize

    def blocks(
        self, x: Tensor, told: Tensor, skip: Callable[[Tensor], Tensor], keep: Callable[[Tensor], None]
    ) -> Tensor:
        """Every block: ``skip`` joins what comes from elsewhere before, ``keep`` takes what it makes."""
        for i, residual in enumerate(self.residuals):
            x = residual(skip(x), told)
            if self.attentions is not None:
                x = self.attentions[i](x)
            keep(x)
        return x


def _residual(shape: Shape, inward: int, outward: int) -> Residual:
    return Residual(inward, outward, shape.groups, shape.eps, shape.embedding, shape.scaled)


def _attention(shape: Shape, channels: int, heads: int) -> Attention:
    return Attention(channels, shape.groups, shape.eps, heads, project=shape.projected)


class UNet(nn.Module):
    """See the module text.

    Args:
        shape: its numbers.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        widths, levels = shape.widths, len(shape.widths)
        self.time1, self.time2 = (nn.Linear(n, shape.embedding) for n in (widths[0], shape.embedding))
        self.inward = nn.Conv2d(shape.inward, widths[0], 3, padding=1)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        kept, x = [widths[0]], widths[0]
        for i, width in enumerate(widths):
            pairs = [(x if k == 0 else width, width) for k in range(shape.blocks[i])]
            last = i == levels - 1
            self.down.append(Level(shape, pairs, shape.heads[i], shape.down[i], None if last else self._smaller(width)))
            kept += [width] * (len(pairs) + (not last))
            x = width
        self.middle = Level(shape, [(x, x), (x, x)], shape.heads[-1], False, None)
        self.middle.attentions = nn.ModuleList([_attention(shape, x, shape.heads[-1])]) if shape.middle else None
        for i in reversed(range(levels)):
            width = widths[i]
            pairs = [((x if k == 0 else width) + kept.pop(), width) for k in range(shape.blocks[i] + 1)]
            self.up.append(Level(shape, pairs, shape.heads[i], shape.up[i], None if i == 0 else self._larger(width)))
            x = width
        self.norm = nn.GroupNorm(shape.groups, x, shape.eps)
        self.outward = nn.Conv2d(x, shape.outward, 3, padding=1)

    def _smaller(self, width: int) -> nn.Module:
        if not self.shape.convolved:
            return _residual(self.shape, width, width)
        return nn.Conv2d(width, width, 3, stride=2, padding=1 if self.shape.padded else 0)

    def _larger(self, width: int) -> nn.Module:
        return nn.Conv2d(width, width, 3, padding=1) if self.shape.convolved else _residual(self.shape, width, width)

    def forward(self, x: Tensor, step: Tensor) -> Tensor:
        """What the network says of a noisy image: its noise, its velocity or the image, as it was trained.

        Args:
            x: (n, inward, rows, cols), sides multiples of `Shape.multiple`.
            step: (n,) of the schedule it was trained on, between steps, too.
        """
        told = self.time2(functional.silu(self.time1(self.steps(step).to(x))))
        x = self.inward(x)
        kept = [x]
        for level in cast("list[Level]", list(self.down)):
            x = level.blocks(x, told, lambda x: x, kept.append)
            if level.resize is not None:
                x = self._halved(level.resize, x, told)
                kept.append(x)
        first, second = self.middle.residuals
        x = first(x, told)
        if self.middle.attentions is not None:
            x = self.middle.attentions[0](x)
        x = second(x, told)
        for level in cast("list[Level]", list(self.up)):
            x = level.blocks(x, told, lambda x: torch.cat([x, kept.pop()], 1), lambda x: None)
            if level.resize is not None:
                x = self._doubled(level.resize, x, told)
        image: Tensor = self.outward(functional.silu(self.norm(x)))
        return image

    def _halved(self, resize: nn.Module, x: Tensor, told: Tensor) -> Tensor:
        if isinstance(resize, Residual):
            small: Tensor = resize(x, told, nn.AvgPool2d(2))
            return small
        made: Tensor = resize(x if self.shape.padded else functional.pad(x, (0, 1, 0, 1)))
        return made

    @staticmethod
    def _doubled(resize: nn.Module, x: Tensor, told: Tensor) -> Tensor:
        if isinstance(resize, Residual):
            large: Tensor = resize(x, told, nn.UpsamplingNearest2d(scale_factor=2))
            return large
        made: Tensor = resize(functional.interpolate(x, scale_factor=2.0, mode="nearest"))
        return made

    def steps(self, step: Tensor) -> Tensor:
        """Sines and cosines of steps (n,), as many as the finest level has channels."""
        width = self.shape.widths[0]
        half = width // 2
        exponent = -math.log(PERIOD) * torch.arange(half, dtype=torch.float32, device=step.device)
        angle = step[:, None].float() * torch.exp(exponent / (half - self.shape.shift))
        parts = [angle.sin(), angle.cos()]
        found = torch.cat(parts[::-1] if self.shape.flipped else parts, 1)
        return functional.pad(found, (0, width % 2))


def empty(shape: Shape, place: str) -> UNet:
    """A network without memory behind its tensors, see `hollow`."""
    return hollow(lambda: UNet(shape), shape.inward, shape.multiple, place)


def hollow(make: Callable[[], Denoiser], inward: int, multiple: int, place: str) -> Denoiser:
    """A network from noisy images and what it is told without memory behind its tensors.

    Args:
        make: it.
        inward: its channels in.
        multiple: sides of images are multiples of this.
        place: for messages.

    Raises:
        WeightsError: numbers that do not fit each other.
    """
    try:
        with torch.device("meta"):
            network = make().eval()
            network(torch.empty(1, inward, 2 * multiple, 2 * multiple), torch.zeros(1))
    except (RuntimeError, ValueError, ZeroDivisionError) as error:
        raise WeightsError(f"{place}: no network has these numbers ({' '.join(str(error).split())[:120]})") from error
    return network
