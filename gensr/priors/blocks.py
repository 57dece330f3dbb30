"""Building blocks that networks of several families share."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


class Reshape(nn.Module):
    """Give every image of a batch a shape."""

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.shape = tuple(shape)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` (n, ...) with as many numbers as the shape."""
        return x.reshape(len(x), *self.shape)


class Pad(nn.Module):
    """Add pixels around an image: left, right, top, bottom."""

    def __init__(self, pad: Sequence[int], mode: str) -> None:
        super().__init__()
        self.pad, self.mode = tuple(pad), mode

    def forward(self, x: Tensor) -> Tensor:
        """``x`` (n, c, rows, cols)."""
        return functional.pad(x, self.pad, mode=self.mode)


class PixelNorm(nn.Module):
    """Divide by the root mean square over channels (arXiv:1710.10196)."""

    def __init__(self, eps: float = 1e-8) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """``x`` (n, c, ...)."""
        return x * (x.square().mean(1, keepdim=True) + self.eps).rsqrt()


class BatchNorm(nn.Module):
    """Batch normalisation with the statistics of training, so that images of a batch do not influence each other."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """``x`` (n, c, ...)."""
        return functional.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)


class Residual(nn.Module):
    """Two 3 x 3 convolutions, each after group normalisation and SiLU, beside a skip (as in arXiv:2112.10752).

    Args:
        inward: channels in.
        outward: channels out.
        groups: of the normalisation.
        eps: of the normalisation.
        embedding: numbers that are told between the convolutions (a noise level); 0 for none.
        scaled: whether the embedding also scales, after the second normalisation.
    """

    def __init__(
        self, inward: int, outward: int, groups: int, eps: float, embedding: int = 0, scaled: bool = False
    ) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, inward, eps)
        self.conv1 = nn.Conv2d(inward, outward, 3, padding=1)
        self.norm2 = nn.GroupNorm(groups, outward, eps)
        self.conv2 = nn.Conv2d(outward, outward, 3, padding=1)
        self.time = nn.Linear(embedding, outward * (2 if scaled else 1)) if embedding else None
        self.skip = nn.Conv2d(inward, outward, 1) if inward != outward else None
        self.scaled = scaled

    def forward(self, x: Tensor, told: Tensor | None = None, resize: nn.Module | None = None) -> Tensor:
        """Add what the convolutions make of ``x``.

        Args:
            x: (n, inward, rows, cols).
            told: (n, embedding).
            resize: what changes the size of both ways before the first convolution.
        """
        h = functional.silu(self.norm1(x))
        if resize is not None:
            x, h = resize(x), resize(h)
        h = self.conv1(h)
        scale: Tensor | None = None
        if self.time is not None and told is not None:
            shift = self.time(functional.silu(told))[:, :, None, None]
            if self.scaled:
                scale, shift = shift.chunk(2, 1)
            else:
                h = h + shift
        h = self.norm2(h)
        if scale is not None:
            h = h * (1 + scale) + shift
        h = self.conv2(functional.silu(h))
        made: Tensor = h + (x if self.skip is None else self.skip(x))
        return made


class Attention(nn.Module):
    """Every pixel looks at all others, beside a skip.

    Args:
        channels: of the image.
        groups: of the normalisation.
        eps: of the normalisation.
        heads: that share the channels.
        project: whether a linear layer follows.
    """

    def __init__(self, channels: int, groups: int, eps: float, heads: int = 1, project: bool = True) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups, channels, eps)
        self.query, self.key, self.value = (nn.Linear(channels, channels) for _ in range(3))
        self.out = nn.Linear(channels, channels) if project else None
        self.heads = heads

    def forward(self, x: Tensor) -> Tensor:
        """``x`` (n, channels, rows, cols)."""
        n, c, rows, cols = x.shape
        flat = self.norm(x).flatten(2).transpose(1, 2)  # (n, pixels, c)
        query, key, value = (
            part(flat).reshape(n, rows * cols, self.heads, c // self.heads).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        # written out: the fused kernels have no second derivative, which Gauss-Newton needs
        share = (query @ key.transpose(-2, -1) * (c // self.heads) ** -0.5).softmax(-1)
        seen = share @ value
        merged = seen.transpose(1, 2).reshape(n, rows * cols, c)
        if self.out is not None:
            merged = self.out(merged)
        made: Tensor = x + merged.transpose(1, 2).reshape(x.shape)
        return made
