"""The network of StyleGAN3 (arXiv:2106.12423), rebuilt from its equations with frozen weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import affine_grid, conv2d, leaky_relu

from gensr.priors.conditioned import ConditionedNetwork
from gensr.priors.frozen import EPSILON, GAIN, SLOPE, Dense, Frozen
from gensr.priors.resampling import resample, separated

from .structure import LayerShape, Structure


class Input(Frozen):
    """Waves over the picture, moved and turned as the style says."""

    weight: Tensor
    freqs: Tensor
    phases: Tensor
    transform: Tensor

    def __init__(self, tensors: Mapping[str, Tensor], size: int, bandwidth: float, sampling: float) -> None:
        super().__init__()
        place = "synthesis.input"
        self.size, self.bandwidth, self.sampling = size, bandwidth, sampling
        self.affine = Dense(tensors[f"{place}.affine.weight"], tensors[f"{place}.affine.bias"])
        weight = tensors[f"{place}.weight"].float()
        self.keep(weight=weight * weight.shape[1] ** -0.5)
        self.keep(**{name: tensors[f"{place}.{name}"] for name in ("freqs", "phases", "transform")})

    def forward(self, w: Tensor) -> Tensor:
        """Features (n, c, size, size) of styles (n, style)."""
        said = self.affine(w)
        said = said / said[:, :2].norm(dim=1, keepdim=True)  # cosine, sine, right, down
        zero, one = torch.zeros_like(said[:, 0]), torch.ones_like(said[:, 0])
        cosine, sine, right, down = said.unbind(1)
        turn = torch.stack([cosine, -sine, zero, sine, cosine, zero, zero, zero, one], 1).view(-1, 3, 3)
        move = torch.stack([one, zero, -right, zero, one, -down, zero, zero, one], 1).view(-1, 3, 3)
        total = turn @ move @ self.transform
        phases = self.phases + (self.freqs @ total[:, :2, 2:]).squeeze(2)  # (n, c)
        freqs = self.freqs @ total[:, :2, :2]  # (n, c, 2)
        edge = self.sampling / 2 - self.bandwidth
        amplitudes = (1 - (freqs.norm(dim=2) - self.bandwidth) / edge).clamp(0, 1)
        theta = w.new_zeros(1, 2, 3)
        theta[:, 0, 0] = theta[:, 1, 1] = 0.5 * self.size / self.sampling
        grid = affine_grid(theta, [1, 1, self.size, self.size], align_corners=False)  # (1, h, w, 2)
        waves = torch.einsum("hwk,nck->nhwc", grid[0], freqs) + phases[:, None, None]
        x: Tensor = torch.sin(2 * torch.pi * waves) * amplitudes[:, None, None]
        return (x @ self.weight.T).permute(0, 3, 1, 2)


class Layer(Frozen):
    """Modulated convolution, then an activation between an oversampling and a thinning."""

    weight: Tensor
    energy: Tensor
    bias: Tensor
    up_taps: Tensor
    down_taps: Tensor

    def __init__(self, tensors: Mapping[str, Tensor], shape: LayerShape, clamp: float | None) -> None:
        super().__init__()
        self.shape, self.clamp = shape, clamp
        place = shape.place
        weight = tensors[f"{place}.weight"].float()
        self.affine = Dense(tensors[f"{place}.affine.weight"], tensors[f"{place}.affine.bias"])
        if shape.picture:
            weight = weight * weight[0].numel() ** -0.5
        else:
            weight = weight * weight.square().mean((1, 2, 3), keepdim=True).rsqrt()
        gain = float(tensors[f"{place}.magnitude_ema"]) ** -0.5
        self.keep(weight=weight * gain, energy=weight.square().sum((2, 3)).T, bias=tensors[f"{place}.bias"])
        taps = [tensors.get(f"{place}.{name}_filter", torch.ones(1)) for name in ("up", "down")]
        self.padding = shape.padding(taps[0].shape[-1], taps[1].shape[-1])
        up, down = (separated(t.float()) for t in taps)
        self.keep(up_taps=up * shape.up ** (2 if up.ndim == 2 else 1), down_taps=down)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """``x`` (n, c, h, w), ``w`` (n, style)."""
        scale = self.affine(w)
        if (
            not self.shape.picture
        ):  # over the channels of each sample: over a batch, candidates would know of each other
            scale = scale * (scale.square().mean(1, keepdim=True)).rsqrt()
        y = conv2d(x * scale[:, :, None, None], self.weight, padding=self.shape.kernel - 1)
        if not self.shape.picture:
            y = y * (scale.square() @ self.energy + EPSILON).rsqrt()[:, :, None, None]
        y = y + self.bias[:, None, None]
        y = resample(y, self.up_taps, up=self.shape.up, padding=self.padding)
        y = y if self.shape.picture else leaky_relu(y, SLOPE) * GAIN
        y = y if self.clamp is None else y.clamp(-self.clamp, self.clamp)
        return resample(y, self.down_taps, down=self.shape.down)


class StyleGan3(ConditionedNetwork):
    """Mapping and synthesis; there are no noise maps and no coarse outputs.

    Args:
        tensors: by NVIDIA's names.
        found: their structure.
        first: bandwidth and sampling of the input.
        clamp: largest activation, None for no limit.
        rate: multiplier on the rate of learning of the mapping.
        output: factor on the picture.
    """

    def __init__(
        self,
        tensors: Mapping[str, Tensor],
        found: Structure,
        first: tuple[float, float],
        clamp: float | None,
        rate: float,
        output: float,
    ) -> None:
        super().__init__(tensors, found.depth, found.classes, rate)
        self.side, self.bands, self.latent, self.style = found.side, found.bands, found.latent, found.style
        self.layers, self.maps, self.output = len(found.layers) + 1, (), output
        self.input = Input(tensors, found.layers[0].size[0], *first)
        self.steps = nn.ModuleList(Layer(tensors, shape, clamp) for shape in found.layers)

    def forward(self, w: Tensor, noise: Sequence[Tensor], stage: int | None = None) -> Tensor:
        """See `StyledNetwork.forward`."""
        x = self.input(w[:, 0])
        for i, layer in enumerate(cast("list[Layer]", list(self.steps))):
            x = layer(x, w[:, i + 1])
        image: Tensor = x * self.output
        return image
