"""What a linear estimator knows: posterior mean and deviation under the true instrument, noise map and mask.

Noise of one level and no gaps: ``u = (A C A^T + n)^-1 (y - m)`` is a filter of the data's modes, and the mean is
``m + C A^T u``. Otherwise a few preconditioned conjugate gradients in the space of the data. The deviation of
stationary data is periodic with the block; where noise varies, a bank of stationary deviations is read at every datum.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from gensr.operators import Operator
from gensr.operators.linear import conjugate
from gensr.priors.observation import Observation

from .departure import Leeway, above, pooled
from .layered import layered_correction, layered_variance, layers_of
from .prior import Prior, filtered, modes, of_modes
from .response import Phases, Response, phases, response

QUIET = 5e-4
"""Least deviation of the noise of a datum, generator units: half a level of 8 bits is 1.1e-3."""
QUIET_SKEW = 2e-3
"""The same where the response is not symmetric: gradients do not get further in few steps."""
ITERATIONS, ITERATIONS_SKEW = 12, 12
"""Conjugate gradients where noise varies or data are missing, and where only the response is not symmetric."""
LEAST_PASSED = 1e-12
"""Least variance of a mode of the data, of the largest: far below any noise, so that it can be divided by."""
LEVELS = 25
"""Noise levels of the bank; a factor 2 in deviation apart."""
FARTHEST = 24
"""Data between a gap's pixel and the nearest datum beyond which nothing is known."""


@dataclass(frozen=True)
class Estimate:
    """All in generator units.

    Attributes:
        mean: (n, band, rows, cols) posterior mean.
        deviation: posterior standard deviation, same shape, positive.
        known: (n, 1, rows, cols) share of bands whose datum is usable.
        noise: (n, 1, rows, cols) standard deviation of the noise of the datum above each pixel, 0 where there is none.
        factor: (n, 2) refinement of rows and columns.
        leeway: what the data allow of departures from the mean; None without data.
    """

    mean: Tensor
    deviation: Tensor
    known: Tensor
    noise: Tensor
    factor: Tensor
    leeway: Leeway | None = None

    @staticmethod
    def none(prior: Prior, count: int, bands: int, shape: tuple[int, int], device: str | torch.device) -> Estimate:
        """Without data: the prior itself."""
        mean = torch.full((count, bands, *shape), prior.mean, device=device)
        known = torch.zeros(count, 1, *shape, device=device)
        factor = torch.ones(count, 2, device=device)
        return Estimate(mean, torch.full_like(mean, phases_without_data(prior)), known, known, factor)

    def each(self, change: Callable[[Tensor], Tensor]) -> Estimate:
        """Every tensor changed."""
        mean, deviation, known, noise, factor = (
            change(t) for t in (self.mean, self.deviation, self.known, self.noise, self.factor)
        )
        return Estimate(mean, deviation, known, noise, factor, self.leeway and self.leeway.each(change))

    def keep(self, chosen: Tensor, prior: Prior) -> Estimate:
        """The estimate where ``chosen`` (n,) is true, the prior elsewhere; factors stay."""
        n, bands, rows, cols = self.mean.shape
        free = Estimate.none(prior, n, bands, (rows, cols), self.mean.device)
        wide = chosen.view(-1, 1, 1, 1)
        return Estimate(
            torch.where(wide, self.mean, free.mean),
            torch.where(wide, self.deviation, free.deviation),
            torch.where(wide, self.known, free.known),
            torch.where(wide, self.noise, free.noise),
            self.factor,
            self.leeway and replace(self.leeway, usable=self.leeway.usable & wide),
        )


def phases_without_data(prior: Prior) -> float:
    """Standard deviation of a pixel under the prior."""
    f = torch.fft.fftfreq(4 * LEVELS * 8, dtype=torch.float64)
    return math.sqrt(float(prior.power(f, f).mean()))


def estimate(data: Observation, prior: Prior, iterations: int | None = None) -> Estimate:
    """The linear estimate of data.

    Args:
        data: what was observed; ``exact`` data have the noise `QUIET`.
        prior: of the image.
        iterations: conjugate gradients; None for the usual number.
    """
    y, usable, operator = data.y, data.usable, data.operator
    fy, fx = operator.factor
    variance = assumed(data, prior)
    rest = torch.where(usable, y - prior.mean, 0.0)
    mean = prior.mean + correction(rest, variance, usable, operator, prior, iterations)
    deviation = _deviation(variance, usable, operator, prior).sqrt().to(y)
    known = above(usable.to(y).mean(1, keepdim=True), operator)
    noise = above(torch.where(usable, variance, 0.0).mean(1, keepdim=True).sqrt(), operator)
    seen = above(usable.to(y), operator)
    pixels = (seen * deviation.square()).sum((-2, -1), True) / seen.sum((-2, -1), True).clamp(min=1)
    leeway = Leeway(operator, _typical(variance, usable.to(y)), usable, pixels.clamp(min=QUIET**2))
    return Estimate(mean, deviation, known, noise, y.new_tensor([float(fy), float(fx)]).expand(len(y), 2), leeway)


def assumed(data: Observation, prior: Prior) -> Tensor:
    """Noise variance (n, band, h, w) of data as estimates take it: positive, and nothing in gaps."""
    shape = (data.y.shape[-2], data.y.shape[-1])
    layered = layers_of(data.operator) is not None
    symmetric = not layered and response(data.operator, prior, shape, data.y).symmetric
    told = torch.zeros_like(data.y) if data.exact else torch.where(data.usable, data.variance, 0.0)
    return told.clamp(min=(QUIET if symmetric else QUIET_SKEW) ** 2)


def correction(
    rest: Tensor, variance: Tensor, usable: Tensor, operator: Operator, prior: Prior, iterations: int | None = None
) -> Tensor:
    """``C A^T (A C A^T + N)^-1 rest`` on usable data: what data explain of an image with that residual.

    Args:
        rest: (n, band, h, w), 0 where not usable.
        variance: of the noise, shape of ``rest``, positive.
        usable: bool, shape of ``rest``.
        operator: the instrument.
        prior: of the image.
        iterations: see `estimate`.
    """
    layers = layers_of(operator)
    if layers is not None:
        return layered_correction(rest, variance, usable, layers, prior)
    shape = (rest.shape[-2], rest.shape[-1])
    kind = rest.dtype
    # Little noise beside what is smooth, or beside large gaps: of single digits too few are left.
    rest, variance = rest.double(), variance.double()
    own = response(operator, prior, shape, rest)
    flat, whole = _uniform(variance, usable), bool(usable.all())
    if flat and whole and own.symmetric:
        u = filtered(rest, 1 / (own.data + variance[..., :1, :1]), own.periodic)
        return filtered(operator.adjoint(u), own.image, own.periodic).to(kind)
    if not whole or own.symmetric:
        u, noise_free = _fill(rest, variance, usable, own, iterations or ITERATIONS)
        rest = torch.where(usable, rest, noise_free)
    if not own.symmetric:
        variance = torch.where(usable, variance, _typical(variance, usable.to(rest)))
        u = _undo(rest, variance, operator, own, iterations or ITERATIONS_SKEW)
    return filtered(operator.adjoint(u), own.image, own.periodic).to(kind)


def _typical(variance: Tensor, weight: Tensor) -> Tensor:
    """One over the mean precision of the data of every plane, (n, band, 1, 1)."""
    return weight.sum((-2, -1), True).clamp(min=1) / (weight / variance).sum((-2, -1), True).clamp(min=1e-12)


def _uniform(variance: Tensor, usable: Tensor) -> bool:
    """Whether every plane has noise of one level."""
    return bool((variance.amax((-2, -1)) <= variance.amin((-2, -1)) * (1 + 1e-5)).all())


def _fill(rest: Tensor, variance: Tensor, usable: Tensor, own: Response, iterations: int) -> tuple[Tensor, Tensor]:
    """``u`` and the noise-free data ``s = S u``: conjugate gradients for ``(S^-1 + W) s = W rest``.

    ``W`` is the precision of the data, zero where there are none, so that what is not yet solved stays in the gaps. The
    start is the stationary answer to data with smoothly filled gaps. With ``M`` the inverse for the mean precision, the
    unknown is ``M^(-1/2) s``, for which the map is near one.
    """
    weight = usable.to(rest)
    precision = weight / variance
    cols = rest.shape[-1]
    data = own.data[..., : cols // 2 + 1] if own.periodic else own.data
    data = data.clamp(min=LEAST_PASSED * float(data.max()))
    share = 1 / (1 + precision.mean((-2, -1), True) * data)
    root = (share * data).sqrt()

    def weighed(v: Tensor, gain: Tensor) -> Tensor:
        return of_modes(gain * modes(v, own.periodic), own.periodic, cols)

    def normal(v: Tensor) -> Tensor:
        found = modes(v, own.periodic)
        seen = precision * of_modes(root * found, own.periodic, cols)
        return of_modes(share * found + root * modes(seen, own.periodic), own.periodic, cols)

    u = weighed(smoothly(rest, weight), 1 / (data + _typical(variance, weight)))
    s = weighed(u, data)
    v = conjugate(normal, weighed(precision * (rest - s) - u, root), 1.0, iterations, 0.0, 2)
    return u + weighed(v, root / data), s + weighed(v, root)


def _undo(rest: Tensor, variance: Tensor, operator: Operator, own: Response, iterations: int) -> Tensor:
    """``(A C A^T + N)^-1 rest`` by conjugate gradients between the roots of the inverse of a symmetric stand-in."""
    root = (own.data + variance.log().mean((-2, -1), True).exp()).rsqrt()

    def half(v: Tensor) -> Tensor:
        return filtered(v, root, own.periodic)

    def normal(v: Tensor) -> Tensor:
        p = half(v)
        return half(operator.forward(filtered(operator.adjoint(p), own.image, own.periodic)) + variance * p)

    return half(conjugate(normal, half(rest), 1.0, iterations, 0.0, 2))


def smoothly(x: Tensor, weight: Tensor) -> Tensor:
    """``x`` where ``weight`` is 1; elsewhere means of what surrounds it, ever wider, and at last 0."""
    if bool((weight > 0).all()):
        return x
    out, sure = x * weight, weight
    for side in (3, 5, 9, 17, 33):
        total, share = pooled(x * weight, side), pooled(weight, side)
        reached = (share > 0) & (sure == 0)
        out = torch.where(reached, total / share.clamp(min=1e-9), out)
        sure = torch.where(reached, 1.0, sure)
        if bool((sure > 0).all()):
            break
    return out


def _deviation(variance: Tensor, usable: Tensor, operator: Operator, prior: Prior) -> Tensor:
    """Posterior variance (n, band, rows, cols)."""
    layers = layers_of(operator)
    if layers is not None:
        return layered_variance(variance, usable, layers, prior)
    (rows, cols), (fy, fx) = variance.shape[-2:], operator.factor
    seen = phases(operator, prior, variance, None if operator.local else (rows, cols))
    if _uniform(variance, usable) and bool(usable.all()):
        levels = variance[..., 0, 0].flatten().double()
        return seen.variance(levels).reshape(*variance.shape[:2], fy, fx).repeat(1, 1, rows, cols)
    told = _banked(variance.double(), seen)
    gap = _apart(usable, prior, seen.prior, operator)
    told = torch.where(usable[..., None, None], told, torch.maximum(told, gap[..., None, None]))
    return told.permute(0, 1, 2, 4, 3, 5).reshape(*variance.shape[:2], rows * fy, cols * fx)


def _banked(variance: Tensor, seen: Phases) -> Tensor:
    """Variance (n, band, h, w, fy, fx) of the pixels of every datum, linear in the logarithm of its noise."""
    first = 2 * math.log(QUIET)
    width = 2 * math.log(2.0)
    bank = seen.variance((first + width * torch.arange(LEVELS, device=variance.device)).double().exp()).log()
    place = ((variance.log() - first) / width).clamp(0, LEVELS - 1.001)
    low = place.long()
    share = (place - low)[..., None, None]
    return (bank[low] * (1 - share) + bank[low + 1] * share).exp()


def _apart(usable: Tensor, prior: Prior, whole: float, operator: Operator) -> Tensor:
    """Variance (n, band, h, w) that one pixel at the distance of the nearest usable datum leaves: ``v (1 - rho^2)``."""
    side = max(operator.factor)
    f = torch.fft.fftfreq(512, dtype=torch.float64, device=usable.device)
    along = torch.fft.ifft(prior.power(f, f).mean(0)).real / whole
    reached = usable.to(torch.float32)
    out = torch.full(usable.shape, whole, dtype=torch.float64, device=usable.device)
    for distance in range(1, FARTHEST):
        grown = max_pool2d(reached, 3, 1, 1)
        if torch.equal(grown, reached):
            break
        rho = float(along[min(distance * side, 255)])
        out = torch.where((grown > 0) & (reached == 0), whole * (1 - rho**2), out)
        reached = grown
    return out
