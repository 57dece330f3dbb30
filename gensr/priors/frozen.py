"""Layers of trained networks that do not change: constants of the training are folded into the weights once.

A modulated convolution is un-fused: ``conv(x * s, W) * rsqrt(s^2 @ E + eps)`` with ``E`` the energy of every kernel,
known beforehand. There is no kernel for each sample and no gradient of the weights, and candidates share one batch.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d, leaky_relu, linear

from gensr.priors.resampling import resample

SLOPE = 0.2
GAIN = 2**0.5
"""Keeps the second moment through a leaky ReLU."""
EPSILON = 1e-8


class Frozen(nn.Module):
    """A layer whose tensors are buffers: constants in every sense."""

    def keep(self, **tensors: Tensor) -> None:
        """Register tensors as float32 buffers; kernels lie in memory as fast convolutions want them."""
        for name, tensor in tensors.items():
            form = torch.channels_last if tensor.ndim == 4 else torch.contiguous_format
            self.register_buffer(name, tensor.float().contiguous(memory_format=form))


class Dense(Frozen):
    """Linear layer with weights of unit deviation, scaled when used (arXiv:1710.10196).

    Args:
        weight: (outward, inward), as it was trained.
        bias: (outward,); None for none.
        rate: multiplier on the rate of learning, which scales weight and bias.
        gain: of the weights.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, weight: Tensor, bias: Tensor | None, rate: float = 1.0, gain: float = 1.0) -> None:
        super().__init__()
        offset = weight.new_zeros(len(weight)) if bias is None else bias
        self.keep(weight=weight.float() * (gain * rate / weight.shape[1] ** 0.5), bias=offset.float() * rate)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` (..., inward)."""
        return linear(x, self.weight, self.bias)


class Modulated(Frozen):
    """Convolution whose input channels are scaled by a style.

    Args:
        weight: (outward, inward, k, k), already scaled where the training scaled it.
        affine: from w to the scales of the input channels.
        demodulate: bring every output channel to unit norm.
        epsilon: added to the squared norm.
        taps: filter after a doubling of the side, (k,) or (k, k), of sum 1; None where the side stays.
    """

    weight: Tensor
    energy: Tensor
    taps: Tensor

    def __init__(
        self,
        weight: Tensor,
        affine: Dense,
        demodulate: bool = True,
        epsilon: float = EPSILON,
        taps: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.affine, self.demodulate, self.epsilon, self.doubles = affine, demodulate, epsilon, taps is not None
        kernel = weight.float()
        self.keep(weight=kernel.transpose(0, 1) if self.doubles else kernel, energy=kernel.square().sum((2, 3)).T)
        self.keep(taps=torch.ones(1) if taps is None else taps)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """``x`` (n, inward, h, w), ``w`` (n, style)."""
        scale = self.affine(w)
        y: Tensor = x * scale[:, :, None, None].to(x.dtype)
        weight = self.weight.to(x.dtype)
        if self.doubles:
            y = doubled(conv_transpose2d(y, weight, stride=2), self.taps, weight.shape[-1])
        else:
            y = conv2d(y, weight, padding=weight.shape[-1] // 2)
        if self.demodulate:
            norm = (scale.square() @ self.energy + self.epsilon).rsqrt()
            y = y * norm[:, :, None, None].to(y.dtype)
        return y


def doubled(spread: Tensor, taps: Tensor, kernel: int) -> Tensor:
    """Smooth what a convolution with zeros between the samples made: twice the side, means kept.

    Args:
        spread: (n, c, 2 h + k - 2, 2 w + k - 2), the transposed convolution of (n, c, h, w).
        taps: of sum 1.
        kernel: side of the convolution's kernel.
    """
    extra = taps.shape[-1] - 2 - (kernel - 1)
    padding = ((extra + 1) // 2 + 1, extra // 2 + 1)
    gain = 2.0 if taps.ndim == 1 else 4.0  # 1-D taps act on both axes
    return resample(spread, taps * gain, padding=padding)


def upsampled(image: Tensor, taps: Tensor) -> Tensor:
    """Twice the side by a filter of sum 1, means kept; ``image`` (n, c, h, w)."""
    extra = taps.shape[-1] - 2
    gain = 2.0 if taps.ndim == 1 else 4.0
    return resample(image, taps * gain, up=2, padding=((extra + 1) // 2 + 1, extra // 2))


def activated(x: Tensor, gain: float = GAIN, clamp: float | None = None) -> Tensor:
    """Leaky ReLU with a gain, clamped where the training did."""
    y = leaky_relu(x, SLOPE) * gain
    return y if clamp is None else y.clamp(-clamp, clamp)


def unit(x: Tensor) -> Tensor:
    """Vectors along axis 1 with a mean square of 1."""
    return x * (x.square().mean(1, keepdim=True) + EPSILON).rsqrt()
