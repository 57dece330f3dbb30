"""The network of StyleGAN2, rebuilt from its equations (arXiv:1912.04958, arXiv:2006.06676) with frozen weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from gensr.priors.conditioned import ConditionedNetwork
from gensr.priors.frozen import EPSILON, GAIN, Dense, Frozen, Modulated, activated, upsampled
from gensr.priors.generator import Stage
from gensr.priors.resampling import BINOMIAL, separated

from .structure import Structure

HALF = 0.5**0.5
"""Gain of both ways of a residual level."""


@dataclass(frozen=True)
class Habits:
    """What shapes do not tell.

    Attributes:
        architecture: "skip", "resnet" or "orig".
        clamp: largest activation, None for no limit.
        rate: multiplier on the rate of learning of the mapping.
        scaled: whether weights are scaled by the root of their number before they are demodulated (rosinality).
    """

    architecture: str = "skip"
    clamp: float | None = None
    rate: float = 0.01
    scaled: bool = False


class Layer(Frozen):
    """Modulated convolution, noise, bias, activation."""

    bias: Tensor
    strength: Tensor

    def __init__(self, tensors: Mapping[str, Tensor], place: str, habits: Habits, taps: Tensor | None) -> None:
        super().__init__()
        weight = tensors[f"{place}.weight"].float()
        # the training's scale cancels in the demodulation, but for its epsilon
        epsilon = EPSILON * weight[0].numel() if habits.scaled else EPSILON
        self.convolution = Modulated(weight, affine(tensors, place), True, epsilon, taps)
        strength = tensors.get(f"{place}.noise_strength", torch.zeros(()))
        self.keep(bias=tensors[f"{place}.bias"], strength=strength)

    def forward(self, x: Tensor, w: Tensor, noise: Tensor | None, gain: float, clamp: float | None) -> Tensor:
        """``x`` (n, c, h, w), ``w`` (n, style), ``noise`` (n, side, side)."""
        y = self.convolution(x, w)
        if noise is not None:
            y = y + (self.strength * noise)[:, None].to(y.dtype)
        return activated(y + self.bias[:, None, None].to(y.dtype), GAIN * gain, None if clamp is None else clamp * gain)


class ToPicture(Frozen):
    """Modulated 1 x 1 convolution to bands."""

    bias: Tensor

    def __init__(self, tensors: Mapping[str, Tensor], place: str) -> None:
        super().__init__()
        weight = tensors[f"{place}.weight"].float()
        self.convolution = Modulated(weight * weight[0].numel() ** -0.5, affine(tensors, place), False)
        self.keep(bias=tensors[f"{place}.bias"])

    def forward(self, x: Tensor, w: Tensor, clamp: float | None) -> Tensor:
        """``x`` (n, c, h, w), ``w`` (n, style)."""
        y: Tensor = self.convolution(x, w).float() + self.bias[:, None, None]
        return y if clamp is None else y.clamp(-clamp, clamp)


class Shortcut(Frozen):
    """1 x 1 convolution beside a residual level, to twice the side."""

    weight: Tensor
    taps: Tensor

    def __init__(self, weight: Tensor, taps: Tensor) -> None:
        super().__init__()
        self.keep(weight=weight.float() * weight[0].numel() ** -0.5, taps=taps)

    def forward(self, x: Tensor, clamp: float | None) -> Tensor:
        """``x`` (n, c, h, w)."""
        y = upsampled(conv2d(x, self.weight.to(x.dtype)), self.taps) * HALF
        return y if clamp is None else y.clamp(-clamp * HALF, clamp * HALF)


class Level(nn.Module):
    """All that happens at one side."""

    def __init__(self, tensors: Mapping[str, Tensor], side: int, habits: Habits, taps: Tensor, last: bool) -> None:
        super().__init__()
        place, self.habits = f"synthesis.b{side}", habits
        self.up = None if side == 4 else Layer(tensors, f"{place}.conv0", habits, taps)
        self.same = Layer(tensors, f"{place}.conv1", habits, None)
        self.picture = ToPicture(tensors, f"{place}.torgb") if last or habits.architecture == "skip" else None
        residual = habits.architecture == "resnet" and side > 4
        self.shortcut = Shortcut(tensors[f"{place}.skip.weight"], taps) if residual else None

    @property
    def convolutions(self) -> int:
        """Styles that its convolutions take."""
        return 1 if self.up is None else 2

    def forward(self, x: Tensor, styles: Sequence[Tensor], noise: Sequence[Tensor | None]) -> Tensor:
        """Features at this side of those at half of it."""
        clamp = self.habits.clamp
        y = x if self.up is None else self.up(x, styles[0], noise[0], 1.0, clamp)
        if self.shortcut is None:
            same: Tensor = self.same(y, styles[-1], noise[-1], 1.0, clamp)
            return same
        both: Tensor = self.shortcut(x, clamp) + self.same(y, styles[-1], noise[-1], HALF, clamp)
        return both


class StyleGan2(ConditionedNetwork):
    """Mapping and synthesis.

    Args:
        tensors: by NVIDIA's names.
        found: their structure.
        habits: what shapes do not tell.
    """

    def __init__(self, tensors: Mapping[str, Tensor], found: Structure, habits: Habits) -> None:
        super().__init__(tensors, found.depth, found.classes, habits.rate)
        self.found, self.habits = found, habits
        self.side, self.bands, self.latent, self.style = found.sides[-1], found.bands, found.latent, found.style
        self.layers = 2 * len(found.sides)
        self.maps = tuple(s for s in found.sides for _ in range(1 if s == 4 else 2)) if found.noisy else ()
        taps = separated(filter_of(tensors))
        self.register_buffer("constant", tensors["synthesis.b4.const"].float())
        self.register_buffer("taps", taps)
        self.levels = nn.ModuleList(Level(tensors, side, habits, taps, side == self.side) for side in found.sides)

    def forward(self, w: Tensor, noise: Sequence[Tensor], stage: int | None = None) -> Tensor:
        """See `StyledNetwork.forward`."""
        constant, taps = self.get_buffer("constant"), self.get_buffer("taps")
        x = constant.expand(len(w), -1, -1, -1).contiguous(memory_format=torch.channels_last)
        image: Tensor | None = None
        maps: list[Tensor | None] = list(noise) if self.maps else [None] * (2 * len(self.levels))
        at = 0
        for number, level in enumerate(cast("list[Level]", list(self.levels))):
            count = level.convolutions
            x = level(x, [w[:, at + i] for i in range(count)], [maps.pop(0) for _ in range(count)])
            at += count
            if level.picture is not None:
                seen = level.picture(x, w[:, at], self.habits.clamp)
                image = seen if image is None else upsampled(image, taps.to(seen.dtype)) + seen
            if stage is not None and number == stage and image is not None:
                return image
        if image is None:
            raise AssertionError("the last level makes a picture")
        return image

    def stages(self) -> tuple[Stage, ...]:
        """See `StyledNetwork.stages`: running sums of pictures, where levels make them."""
        if self.habits.architecture != "skip":
            return ()
        work, before, total = [], 0, 0.0
        for side, width in self.found.widths.items():
            up = 0.25 * before * width
            total += side**2 * (up + width**2)
            work.append(total)
            before = width
        return tuple(Stage((s, s), c / total) for s, c in zip(self.found.sides[:-1], work[:-1], strict=True))


def affine(tensors: Mapping[str, Tensor], place: str) -> Dense:
    """From w to the scales of a layer's input channels."""
    return Dense(tensors[f"{place}.affine.weight"], tensors[f"{place}.affine.bias"])


def filter_of(tensors: Mapping[str, Tensor]) -> Tensor:
    """The filter of all resampling, of sum 1 (the product of two of them, where the file has it so)."""
    found = tensors.get("synthesis.resample_filter")
    taps = torch.tensor(BINOMIAL) if found is None else found.float()
    return taps / taps.sum()
