"""Principal components with a stationary remainder: the prior of aligned content (faces, chest X-rays).

``x = m + U z + r``: components ``U`` at a coarse scale, which say how the large parts vary together, and a remainder
``r`` that is stationary, hence diagonal in the cosine basis and in opponent colours. A white remainder over-fits and
falls below interpolation. Under a separable operator the data of the remainder are diagonal too (every cosine aliases
onto one cosine of the small grid), so mean, variance and exact samples come in closed form (matrix inversion lemma).
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from gensr.errors import SearchError
from gensr.operators import Operator
from gensr.operators.scaled import Scaled
from gensr.operators.separable import SeparableOperator
from gensr.priors.card import GeneratorCard
from gensr.priors.generator import NO_OPTIONS, Capability, Generator, Options, Stage
from gensr.priors.observation import Moments, Observation
from gensr.values.latent import Latents, LatentSpec, LatentTensor

from .basis import cosine_line
from .fill import fill

LARGEST = 2048
"""Largest side that is synthesised, pixels."""
FLOOR = 3e-4
"""Smallest noise deviation assumed, generator units."""
CHUNK = 32
CACHED = 2
FILL_PASSES = 2


@dataclass(frozen=True)
class PcaParameters:
    """Mean (band, m, m), scaled components (r, band, m, m), remainder power (band, s, s) in opponent colours.

    Components are eigenvectors times the square root of their variance, at side ``m``; the power is that of orthonormal
    cosine coefficients at side ``s``.
    """

    mean: Tensor
    components: Tensor
    power: Tensor

    def to(self, device: str) -> PcaParameters:
        """A copy on a device."""
        return PcaParameters(self.mean.to(device), self.components.to(device), self.power.to(device))


def opponent(bands: int) -> Tensor:
    """Orthonormal (bands, bands) rotation to opponent colours; the identity for other than three bands."""
    if bands != 3:
        return torch.eye(bands, dtype=torch.float64)
    rows = torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, -1.0], [1.0, -2.0, 1.0]], dtype=torch.float64)
    lengths: Tensor = rows.norm(dim=1, keepdim=True)
    return rows / lengths


def resize(image: Tensor, side: int) -> Tensor:
    """Square images (n, band, m, m) to another side: cubic interpolation up, area means down."""
    if side == image.shape[-1]:
        return image
    return torch.nn.functional.interpolate(
        image, size=(side, side), mode="bicubic", align_corners=False, antialias=side < image.shape[-1]
    )


def spectrum(power: Tensor, side: int) -> Tensor:
    """Power (band, s, s) of cosine coefficients at another side; a power law continues it beyond what was measured."""
    s = power.shape[-1]
    scale = (side / s) ** 2
    if side <= s:
        return power[:, :side, :side] * scale
    k = torch.arange(side, dtype=power.dtype, device=power.device)
    radius = (k[:, None].square() + k[None].square()).sqrt()
    own = radius[:s, :s]
    out = torch.empty(power.shape[0], side, side, dtype=power.dtype, device=power.device)
    for band in range(power.shape[0]):
        low, high = (own > 0.5 * s) & (own < 0.6 * s), (own > 0.9 * s) & (own < s)
        first, last = power[band][low].log().mean(), power[band][high].log().mean()
        slope = ((last - first) / (own[high].log().mean() - own[low].log().mean())).clamp(max=-2.0)
        out[band] = (last + slope * (radius.clamp(min=1) / (0.95 * s)).log()).exp()
    out[:, :s, :s] = power
    return out * scale


@dataclass(frozen=True)
class Solved:
    """What depends on operator, side and noise alone.

    Attributes:
        mean: prior mean (band, side, side).
        spread: components given the data, before their own posterior (r, band, side, side).
        inner: posterior covariance factor of the component weights (r, r).
        coarse: components seen by the operator, in the diagonal basis and divided by ``diagonal`` (r, band, h, w).
        diagonal: variance of the data without components, diagonal basis (band, h, w).
        variance: marginal posterior variance (band, side, side).
    """

    mean: Tensor
    spread: Tensor
    inner: Tensor
    coarse: Tensor
    diagonal: Tensor
    variance: Tensor


class Pca(Generator):
    """See the module text.

    Args:
        parameters: the model.
        card: its card.
        device: where tensors live.
    """

    capabilities: frozenset[Capability] = frozenset({"posterior", "evidence", "linear", "draw", "encode"})

    def __init__(self, parameters: PcaParameters, card: GeneratorCard, device: str = "cpu") -> None:
        self.parameters, self.card, self.device = parameters.to(device), card, device
        self.colours = opponent(card.bands).float().to(device)
        self._solutions: OrderedDict[str, Solved] = OrderedDict()

    def to(self, device: str) -> Pca:
        """See `Generator.to`."""
        return self if device == self.device else Pca(self.parameters, self.card, device)

    def _side(self, shape: tuple[int, int]) -> int:
        if shape[0] != shape[1] or not 1 <= shape[0] <= LARGEST:
            raise SearchError(
                f"{self.card.name} makes aligned square pictures up to {LARGEST} pixels, not {shape[1]} x {shape[0]}"
            )
        return shape[0]

    # The stationary remainder

    def _cosine(self, x: Tensor, inverse: bool = False) -> Tensor:
        """Orthonormal 2-D cosine transform in opponent colours of (n, band, h, w)."""
        rows, cols = cosine_line(x.shape[-2]).to(x), cosine_line(x.shape[-1]).to(x)
        colours = self.colours.to(x)
        if inverse:
            return torch.einsum("cb,nchw->nbhw", colours, rows.T @ x @ cols)
        return torch.einsum("cb,nbhw->nchw", colours, rows @ x @ cols.T)

    def _remainder(self, side: int) -> Tensor:
        return spectrum(self.parameters.power, side)

    # Prior

    def latents(self, shape: tuple[int, int]) -> LatentSpec:
        """See `Generator.latents`: weights of the ``components``, and the ``remainder``."""
        side = self._side(shape)
        bands = self.parameters.mean.shape[0]
        count = self.parameters.components.shape[0]
        return LatentSpec((LatentTensor("components", (count,)), LatentTensor("remainder", (bands, side, side))))

    def synthesize(self, latents: Latents, shape: tuple[int, int], stage: Stage | None = None) -> Tensor:
        """See `Generator.synthesize`."""
        side = self._side(shape)
        z, e = latents["components"], latents["remainder"]
        p = self.parameters
        coarse = p.mean.to(z) + torch.einsum("nr,rbhw->nbhw", z, p.components.to(z))
        return resize(coarse, side) + self._cosine(self._remainder(side).to(z).sqrt() * e, inverse=True)

    def encode(self, data: Observation) -> dict[str, Tensor]:
        """See `Generator.encode`: the prior mean, from which a linear generator is solved in one step."""
        return {t.name: data.y.new_zeros(len(data.y), *t.shape) for t in self.latents(data.shape).tensors}

    def context(self, operator: Operator) -> int:
        """See `Generator.context`; aligned pictures are never tiled."""
        return 0

    # Posterior

    def _transfer(self, operator: Operator, size: int, axis: int) -> Tensor:
        """Cosine transfer (size, size * factor) of one axis; its columns have one element each."""
        inner = operator.operator if isinstance(operator, Scaled) else operator
        if not isinstance(inner, SeparableOperator):
            raise SearchError(
                f"{self.card.name} has a closed form for separable operators only, not {operator.describe()['name']}; "
                "use area, bicubic, lanczos or gaussian"
            )
        matrix = inner.matrices(size, size, torch.zeros(1, dtype=torch.float64))[axis]
        return cosine_line(size) @ matrix @ cosine_line(size * operator.factor[axis]).T

    def _solution(self, operator: Operator, side: int, variance: float) -> Solved:
        key = json.dumps([operator.describe(), side, variance], sort_keys=True)
        if key not in self._solutions:
            self._solutions[key] = self._solve(operator, side, variance)
        self._solutions.move_to_end(key)
        while len(self._solutions) > CACHED:
            self._solutions.popitem(last=False)
        return self._solutions[key]

    def _solve(self, operator: Operator, side: int, variance: float) -> Solved:
        fy, fx = operator.factor
        power = self._remainder(side).double()
        ty, tx = self._transfer(operator, side // fy, 0), self._transfer(operator, side // fx, 1)
        diagonal = ty.square() @ power.cpu() @ tx.square().T * operator.gain**2 + max(variance, FLOOR**2)
        diagonal = diagonal.to(self.device, torch.float32)
        mean = resize(self.parameters.mean[None], side)
        spreads, coarses = [], []
        for part in self.parameters.components.split(CHUNK):
            fine = resize(part, side)
            seen = self._cosine(operator.forward(fine)) / diagonal
            coarses.append(seen)
            spreads.append(fine - self._back(operator, seen, side))
        spread, coarse = torch.cat(spreads), torch.cat(coarses)
        flat = coarse.flatten(1).double()
        precision = flat @ (coarse * diagonal).flatten(1).double().T
        precision.diagonal().add_(1.0)
        inner = torch.linalg.inv(torch.linalg.cholesky(precision)).T.float()  # inner inner^T = precision^-1
        total = self._phases(operator, diagonal, side)
        for part in inner.T.split(CHUNK):
            total = total + torch.einsum("kr,rbhw->kbhw", part, spread).square().sum(0)
        return Solved(mean[0], spread, inner, coarse, diagonal, total)

    def _back(self, operator: Operator, weights: Tensor, side: int) -> Tensor:
        """``S A^T`` of data given in the diagonal basis."""
        fine = operator.adjoint(self._cosine(weights, inverse=True))
        return self._cosine(self._cosine(fine) * self._remainder(side), inverse=True)

    def _phases(self, operator: Operator, diagonal: Tensor, side: int) -> Tensor:
        """Posterior variance of the remainder: it repeats with the pixels of the data, so one block tells all."""
        fy, fx = operator.factor
        bands = len(diagonal)
        top, left = (side // fy // 2) * fy, (side // fx // 2) * fx
        block = torch.empty(bands, fy, fx, device=self.device)
        for i in range(fy):
            unit = torch.zeros(fx * bands, bands, side, side, device=self.device)
            for j in range(fx):
                for b in range(bands):
                    unit[j * bands + b, b, top + i, left + j] = 1.0
            prior = self._cosine(self._cosine(unit) * self._remainder(side), inverse=True)
            seen = self._cosine(operator.forward(prior)) / diagonal
            after = prior - self._back(operator, seen, side)
            for j in range(fx):
                for b in range(bands):
                    block[b, i, j] = after[j * bands + b, b, top + i, left + j]
        return block.clamp(min=1e-12).repeat(1, side // fy, side // fx)

    def posterior(self, data: Observation, options: Options = NO_OPTIONS) -> Moments:
        """See `Generator.posterior`; noise is taken as uniform, at its mean."""
        solution = self._solution(data.operator, self._side(data.shape), float(data.variance.mean()))
        mean = self._filled(data, lambda y: self._mean(solution, data.operator, y))
        return Moments(mean, solution.variance.expand_as(mean))

    def _filled(self, data: Observation, estimate: Callable[[Tensor], Tensor]) -> Tensor:
        if bool(data.usable.all()):
            return estimate(data.y)
        y = fill(data.y, data.usable)
        for _ in range(FILL_PASSES):
            y = torch.where(data.usable, data.y, data.operator.forward(estimate(y)))
        return estimate(y)

    def _mean(self, s: Solved, operator: Operator, y: Tensor) -> Tensor:
        centred = self._cosine(y - operator.forward(s.mean[None]))
        z = torch.einsum("rbhw,nbhw->nr", s.coarse, centred) @ s.inner @ s.inner.T
        linear = self._back(operator, centred / s.diagonal, s.mean.shape[-1])
        return s.mean + linear + torch.einsum("nr,rbhw->nbhw", z, s.spread)

    def draw(self, data: Observation, noise: Callable[[int], Tensor], options: Options = NO_OPTIONS) -> Tensor:
        """See `Generator.draw`: the conditional mean plus a draw of what the data leave open."""
        side = self._side(data.shape)
        s = self._solution(data.operator, side, float(data.variance.mean()))
        mean = self._filled(data, lambda y: self._mean(s, data.operator, y))
        fresh = noise(0)
        count = s.inner.shape[0]
        white = noise(1).flatten(1)
        if white.shape[1] < count:
            white = torch.cat([white, noise(3).flatten(1)], 1)
        if white.shape[1] < count:
            raise SearchError(f"{self.card.name}: a picture of {side} pixels is too small for {count} components")
        weights = white[:, :count] @ s.inner.T
        prior = self._cosine(fresh * self._remainder(side).sqrt(), inverse=True)
        h, w = data.y.shape[-2:]
        observed = data.operator.forward(prior) + float(data.variance.mean()) ** 0.5 * noise(2)[..., :h, :w]
        rest = prior - self._back(data.operator, self._cosine(observed) / s.diagonal, side)
        return mean + torch.einsum("nr,rbhw->nbhw", weights, s.spread) + rest

    def evidence(self, data: Observation) -> Tensor:
        """See `Generator.evidence`: the exact log evidence."""
        s = self._solution(data.operator, self._side(data.shape), float(data.variance.mean()))
        centred = self._cosine(data.y - data.operator.forward(s.mean[None]))
        white = centred / s.diagonal
        z = torch.einsum("rbhw,nbhw->nr", s.coarse, centred) @ s.inner
        quadratic = (centred * white).flatten(1).sum(1) - z.square().sum(1)
        log_det = s.diagonal.double().log().sum() - 2 * s.inner.double().diagonal().abs().log().sum()
        m = centred[0].numel()
        constant = m * torch.log(torch.tensor(2 * torch.pi, dtype=torch.float64))
        return (-0.5 * (quadratic.double() + log_det + constant) / m).float()
