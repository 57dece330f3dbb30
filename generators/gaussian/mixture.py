"""Mixture of low-rank Gaussians on windows: the prior of fields that continue (satellite, sky, cells, brain).

A window of ``side`` x ``side`` pixels is, in the cosine basis, one of K Gaussians ``N(m_k, L_k L_k^T + diag(r_k))``: a
few directions ``L_k`` (edges, blobs, textures) and a remainder ``r_k`` that is stationary. The level of a window (its
first coefficient) is nearly free, so an offset of the instrument does not matter. Images of any size are explained by
the windows of all offsets, each with its exact posterior, blended with their precision as weight.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Any, ClassVar

import torch
from torch import Tensor

from gensr.errors import SearchError
from gensr.operators import Operator
from gensr.priors.card import GeneratorCard
from gensr.priors.generator import NO_OPTIONS, Capability, Cost, Generator, Options, Stage
from gensr.priors.observation import Moments, Observation
from gensr.values.grid import Factor
from gensr.values.latent import Latents, LatentSpec, LatentTensor

from .basis import cosine_matrix
from .closed import WindowMoments
from .denoiser import Denoiser
from .fill import fill
from .parameters import MixtureParameters, noise_levels, reflect
from .solvers import CACHED, WindowSolvers
from .windows import coverage, cut, paste, starts

TOP = 3
MOST_DATA = 64
"""Windows shrink until they hold at most this many data, which bounds the cost at small factors."""
FILL_PASSES = 2
LINE_WINDOWS = 8192
WINDOW_WORK, MEMORY = 1e6, 360.0
"""What a window costs, in operations of a convolution that takes as long, and bytes per pixel; both measured."""
COARSE_FROM = 4
"""Factor from which windows hold so few data that they may lie closer."""


class Mixture(Generator):
    """See the module text.

    Args:
        parameters: the mixture.
        card: its card; ``bands`` is 1, bands are processed one by one.
        device: where tensors live.
    """

    capabilities: frozenset[Capability] = frozenset({"denoise", "posterior", "evidence", "encode"})
    options: ClassVar[Options] = {"spacing": 1, "coarse_spacing": 1}
    """Low-resolution pixels between windows, at factors below `COARSE_FROM` and from there on."""

    def __init__(self, parameters: MixtureParameters, card: GeneratorCard, device: str = "cpu") -> None:
        self.parameters, self.card, self.device = parameters.to(device), card, device
        self.side = parameters.side
        self.hop = max(1, self.side // 2)
        if len(parameters.weight) == 1:
            self.capabilities = self.capabilities | {"linear"}
        # Pure caches: matrices that depend on the arguments alone.
        self._solvers = WindowSolvers(self.parameters, TOP, device)
        self._denoisers: OrderedDict[tuple[float, torch.dtype], Denoiser] = OrderedDict()

    def to(self, device: str) -> Mixture:
        """See `Generator.to`."""
        return self if device == self.device else Mixture(self.parameters, self.card, device)

    # Prior and latents

    def prior(self, window: int) -> WindowMoments:
        """Exact prior moments of a ``window`` x ``window`` piece, float64 on the CPU."""
        return self._solvers.prior(window)

    def _raster(self, shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
        if min(shape) < 1:
            raise SearchError(f"{self.card.name} cannot make an image of {shape}")
        step = max(1, self.side // 2)
        padded = tuple(max(s, self.side) for s in shape)
        return starts(padded[0], self.side, step), starts(padded[1], self.side, step)

    def latents(self, shape: tuple[int, int]) -> LatentSpec:
        """See `Generator.latents`: per window ``directions``, ``remainder`` and a discrete ``component``."""
        rows, cols = self._raster(shape)
        lead = (len(rows), len(cols))
        _, d, r = self.parameters.directions.shape
        return LatentSpec(
            (
                LatentTensor("directions", (*lead, r)),
                LatentTensor("remainder", (*lead, d)),
                LatentTensor("component", lead, searched=False),
            )
        )

    def _component(self, latent: Tensor) -> Tensor:
        uniform = torch.special.ndtr(latent.double())
        edges = self.parameters.weight.double().cumsum(0)
        return torch.searchsorted(edges, uniform.contiguous()).clamp(max=len(edges) - 1)

    def synthesize(self, latents: Latents, shape: tuple[int, int], stage: Stage | None = None) -> Tensor:
        """See `Generator.synthesize`. One window is an exact draw; larger fields blend overlapping windows."""
        p = self.parameters
        rows, cols = self._raster(shape)
        k = self._component(latents["component"])  # (n, gr, gc)
        z, e = latents["directions"], latents["remainder"]
        coefficients = (p.directions.to(z)[k] @ z[..., None])[..., 0] + p.remainder.to(z)[k].sqrt() * e
        basis = cosine_matrix(self.side).to(z)
        random = coefficients @ basis  # (n, gr, gc, d)
        fixed = p.mean.to(z)[k] @ basis
        padded = (max(shape[0], self.side), max(shape[1], self.side))
        if len(rows) == len(cols) == 1:
            image = (random + fixed).reshape(-1, 1, *padded)
        else:
            taper = self._taper().to(z)
            energy = paste(taper.square().expand_as(random), rows, cols, self.side, padded)
            # Squared weights sum to one for the random part, which keeps its variance, and weigh the means.
            varied = paste(taper * random, rows, cols, self.side, padded) / energy.sqrt()
            means = paste(taper.square() * fixed, rows, cols, self.side, padded) / energy
            image = (varied + means)[:, None]
        return image[..., : shape[0], : shape[1]]

    def _taper(self) -> Tensor:
        line = torch.sin(math.pi * (torch.arange(self.side) + 0.5) / self.side)
        return torch.outer(line, line).flatten()

    # Closed form

    def window(self, operator: Operator) -> int:
        """High-resolution side of the windows used under an operator.

        Raises:
            SearchError: if not even two low-resolution pixels fit.
        """
        fy, fx = operator.factor
        unit = math.lcm(fy, fx)
        fitting = [w for w in range(unit, self.side + 1, unit)]
        if not fitting or self.side < 2 * max(fy, fx):
            raise SearchError(
                f"{self.card.name} explains windows of {self.side} pixels, too small for factor {max(fy, fx)}; "
                f"use factor {self.side // 2} or less"
            )
        most = MOST_DATA if fy == fx else 2 * MOST_DATA  # long pixels: more of them for the same reach
        small = [w for w in fitting if (w // fy) * (w // fx) <= most]
        return max(small) if small else fitting[0]

    def context(self, operator: Operator) -> int:
        """See `Generator.context`."""
        return self.window(operator) // min(operator.factor) + 4

    def alignment(self, operator: Operator, options: Options = NO_OPTIONS) -> int:
        """See `Generator.alignment`."""
        hops = (self.hop // math.gcd(self.hop, f) for f in operator.factor)
        return math.lcm(*hops, *self.stride(operator, options))

    def cost(self, operator: Operator, options: Options = NO_OPTIONS) -> Cost:
        """See `Generator.cost`: a window's work, as often as windows begin."""
        down, right = (s * f for s, f in zip(self.stride(operator, options), operator.factor, strict=True))
        return Cost(WINDOW_WORK / (down * right), float("inf"), MEMORY)

    def stride(self, operator: Operator, options: Options) -> Factor:
        """Low-resolution pixels (of rows, of columns) between windows, evenly spaced on the refined grid."""
        largest = max(operator.factor)
        spacing = int(self.option(options, "spacing" if largest < COARSE_FROM else "coarse_spacing")) * largest
        return max(1, spacing // operator.factor[0]), max(1, spacing // operator.factor[1])

    def _windows(self, data: Observation, stride: Factor) -> tuple[Tensor, Tensor, int, tuple[int, int]]:
        if not data.operator.local:
            raise SearchError(f"{self.card.name} has no closed form for operators that are not local; use guided draws")
        fy, fx = data.operator.factor
        window = self.window(data.operator)
        ny, nx = window // fy, window // fx
        h, w = data.y.shape[-2:]
        return starts(h, ny, stride[0], data.at_end[0]), starts(w, nx, stride[1], data.at_end[1]), window, (ny, nx)

    def posterior(self, data: Observation, options: Options = NO_OPTIONS) -> Moments:
        """See `Generator.posterior`: exact per window, blended by precision over all windows that hold a pixel.

        Data that are not usable are filled from the posterior itself and solved for again.
        """
        small = self._pad(data)
        if small is not None:
            moments = self.posterior(small, options)
            h, w = data.shape
            return Moments(moments.mean[..., :h, :w], moments.variance[..., :h, :w])
        stride = self.stride(data.operator, options)
        if bool(data.usable.all()):
            return self._moments(data, data.y, stride)
        y = fill(data.y, data.usable)
        for _ in range(FILL_PASSES):
            moments = self._moments(data, y, stride)
            y = torch.where(data.usable, data.y, data.operator.forward(moments.mean))
        return self._moments(data, y, stride)

    def _pad(self, data: Observation) -> Observation | None:
        fy, fx = data.operator.factor
        window = self.window(data.operator)
        h, w = data.y.shape[-2:]
        down, right = max(0, window // fy - h), max(0, window // fx - w)
        if not (down or right):
            return None

        def grow(x: Tensor) -> Tensor:
            x = torch.cat([x, x[..., -1:, :].expand(*x.shape[:-2], down, x.shape[-1])], -2)
            return torch.cat([x, x[..., -1:].expand(*x.shape[:-1], right)], -1)

        return Observation(grow(data.y), data.operator, grow(data.variance), grow(data.usable), data.at_end)

    def _moments(self, data: Observation, y: Tensor, stride: Factor) -> Moments:
        rows, cols, window, (ny, nx) = self._windows(data, stride)
        fy, fx = data.operator.factor
        flat = y.reshape(-1, *y.shape[-2:])  # (n*band, h, w)
        variance = data.variance.reshape_as(flat)
        cells = cut(flat, rows, cols, ny, nx)  # (n, gr, gc, m)
        level, which = noise_levels(cut(variance, rows, cols, ny, nx).mean(-1))
        size = data.shape
        weight, total = flat.new_zeros(len(flat), *size), flat.new_zeros(len(flat), *size)
        # Lines of windows in turn, so that memory does not grow with the tile.
        lines = max(1, LINE_WINDOWS // (cells.shape[2] * len(flat)))
        for part in range(0, len(rows), lines):
            some = slice(part, part + lines)
            mean, spread = self._solve(data.operator, window, cells[:, some], level, which[:, some])
            precision = 1 / spread
            top, last = int(rows[some][0]) * fy, int(rows[some][-1]) * fy + window
            local = (rows[some] - rows[some][0]) * fy
            weight[:, top:last] += paste(precision, local, cols * fx, window, (last - top, size[1]))
            total[:, top:last] += paste(precision * mean, local, cols * fx, window, (last - top, size[1]))
        count = coverage(rows * fy, cols * fx, window, size).to(flat)
        weight = torch.where(count > 0, weight, 1.0)
        out = (*data.y.shape[:2], *size)
        return Moments((total / weight).reshape(out), torch.where(count > 0, count / weight, 1.0).reshape(out))

    def _solve(
        self, operator: Operator, window: int, cells: Tensor, level: list[float], which: Tensor
    ) -> tuple[Tensor, Tensor]:
        if len(level) == 1:
            mean, spread = self._solvers(operator, window, level[0]).moments(cells.flatten(0, 2))
            return mean.view(*cells.shape[:3], -1), spread.view(*cells.shape[:3], -1)
        mean = cells.new_empty(*cells.shape[:3], window * window)
        spread = torch.empty_like(mean)
        for i, value in enumerate(level):
            chosen = which == i
            if bool(chosen.any()):
                mean[chosen], spread[chosen] = self._solvers(operator, window, value).moments(cells[chosen])
        return mean, spread

    def evidence(self, data: Observation) -> Tensor:
        """See `Generator.evidence`; windows side by side, so that data are counted once (if they fill a window)."""
        data = self._pad(data) or data
        _, _, window, (ny, nx) = self._windows(data, (1, 1))
        h, w = data.y.shape[-2:]
        rows, cols = torch.arange(0, h - ny + 1, ny), torch.arange(0, w - nx + 1, nx)
        scores = []
        for y, variance in zip(data.y.flatten(1, 1), data.variance, strict=True):
            cells = cut(y, rows, cols, ny, nx).flatten(0, 2)
            solver = self._solvers(data.operator, window, float(variance.mean()))
            scores.append((solver.log_evidence(cells).logsumexp(1) + solver.log_constant).mean() / (ny * nx))
        return torch.stack(scores)

    def encode(self, data: Observation) -> dict[str, Tensor]:
        """See `Generator.encode`: the likeliest component of every window, everything else at the prior mean."""
        spec = self.latents(data.shape)
        n = len(data.y)
        latents = {t.name: data.y.new_zeros(n, *t.shape) for t in spec.tensors}
        padded = self._pad(data) or data
        fy, fx = data.operator.factor
        _, _, window, (ny, nx) = self._windows(padded, (1, 1))
        rows, cols = self._raster(data.shape)
        h, w = padded.y.shape[-2:]
        solver = self._solvers(data.operator, window, float(data.variance.mean()))
        near_r, near_c = (rows // fy).clamp(max=h - ny), (cols // fx).clamp(max=w - nx)
        cells = cut(padded.y[:, 0], near_r, near_c, ny, nx)
        best = solver.log_evidence(cells.flatten(0, 2)).argmax(1).view(cells.shape[:3])
        edges = torch.cat([self.parameters.weight.new_zeros(1), self.parameters.weight.cumsum(0)]).double()
        middle = (0.5 * (edges[:-1] + edges[1:])).clamp(1e-12, 1 - 1e-12)
        latents["component"] = torch.special.ndtri(middle)[best].to(data.y.dtype)
        return latents

    # Denoiser

    def denoise(self, x: Tensor, sigma: Tensor, at_end: tuple[bool, bool] = (True, True)) -> Tensor:
        """See `Generator.denoise`: exact on one window, overlapping windows averaged on larger images.

        On larger images the derivative holds the component weights fixed, which are settled by many pixels there.
        """
        n, bands, h, w = x.shape
        side = self.side
        down, right = max(0, side - h), max(0, side - w)
        wide = reflect(x, down, right).reshape(n * bands, h + down, w + right)
        rows = starts(h + down, side, self.hop, at_end[0])
        cols = starts(w + right, side, self.hop, at_end[1])
        single = len(rows) == len(cols) == 1
        basis = cosine_matrix(side).to(x)
        coefficients = cut(wide, rows, cols, side, side) @ basis.T
        level = sigma.repeat_interleave(bands)
        parts = torch.empty_like(coefficients) if not coefficients.requires_grad else torch.zeros_like(coefficients)
        for value in level.unique().tolist():
            chosen = (level == value).nonzero()[:, 0]
            clean = self._denoiser(value, x.dtype)(coefficients[chosen].flatten(0, 2), single) @ basis
            parts = parts.index_copy(0, chosen, clean.reshape(len(chosen), *coefficients.shape[1:]))
        taper = self._taper().to(x).clamp(min=1e-3)
        ones = taper.expand_as(parts)
        blend = paste(parts * ones, rows, cols, side, (h + down, w + right))
        weight = paste(ones, rows, cols, side, (h + down, w + right))
        return torch.where(weight > 0, blend / weight.clamp(min=1e-6), wide)[:, :h, :w].reshape(x.shape)

    def _denoiser(self, sigma: float, dtype: torch.dtype) -> Denoiser:
        key = sigma, dtype
        if key not in self._denoisers:
            p = self.parameters
            self._denoisers[key] = Denoiser(
                p.weight.to(dtype), p.mean.to(dtype), p.directions.to(dtype), p.remainder.to(dtype), sigma, TOP
            )
        self._denoisers.move_to_end(key)
        while len(self._denoisers) > 2 * CACHED:
            self._denoisers.popitem(last=False)
        return self._denoisers[key]

    def config(self) -> dict[str, Any]:
        """What `build` needs beside the tensors."""
        return {"form": "mixture", "side": self.side}
