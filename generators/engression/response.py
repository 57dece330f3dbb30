"""How an instrument mixes the modes of a stationary prior: probed from the operator, so that any linear one works.

A datum ``i`` of a shift-invariant instrument is ``y_i = sum_p h(p) x(s i + p)``; ``h`` is ``adjoint`` of a unit datum.
On a torus with ``N = s n`` pixels an axis, with ``H`` its transform and ``P`` the prior's spectrum, the covariance
of data is ``S(k) = 1/s^2 sum_q |H(q)|^2 P(q)`` over the frequencies ``q`` that alias to ``k``, and what data tell of
pixels depends on their phase in the block only (polyphase; Vaidyanathan 1993, chapter 4).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from gensr.operators import Operator

from .prior import Prior, frequencies

LEAST_PIXELS, LEAST_DATA = 128, 16
"""Side of the torus on which deviations are computed: the prior has forgotten where it began."""
MOST_PIXELS = 1024


@dataclass(frozen=True)
class Response:
    """An instrument on one grid of data under one prior.

    Attributes:
        data: (rows, cols) variance of every mode of the noise-free data; of its reflected half where the
            response is not symmetric, and then no more than a good guess near borders.
        image: (rows*fy, cols*fx) variance of every mode of the image.
        symmetric: whether the modes of data and image pair exactly, so that ``data`` is ``A C A^T``.
        periodic: whether modes are those of Fourier, cosines otherwise.
    """

    data: Tensor
    image: Tensor
    symmetric: bool
    periodic: bool


def probed(operator: Operator, like: Tensor, shape: tuple[int, int] | None = None) -> Tensor:
    """Impulse response in blocks: (rows*fy, cols*fx), the block of the datum in the middle (of periodic ones, first).

    Args:
        operator: local, or periodic on ``shape``.
        like: dtype and device.
        shape: (rows, cols) of data, for operators that are not local.
    """
    if operator.local:
        side = 2 * (operator.reach + 1) + 1
        unit = torch.zeros(side, side, dtype=like.dtype, device=like.device)
        unit[side // 2, side // 2] = 1.0
        return operator.adjoint(unit)
    assert shape is not None
    unit = torch.zeros(shape, dtype=like.dtype, device=like.device)
    unit[0, 0] = 1.0
    return operator.adjoint(unit)


def framed(response: Tensor, size: tuple[int, int], factor: tuple[int, int], local: bool) -> Tensor:
    """The response wrapped onto a torus of ``size`` pixels, the block of datum 0 at the origin."""
    frame = response
    for axis, (n, s) in enumerate(zip(size, factor, strict=True)):
        length = frame.shape[axis]
        start = (length // s // 2) * s if local else 0
        at = (torch.arange(length, device=response.device) - start) % n
        shape = list(frame.shape)
        shape[axis] = n
        frame = frame.new_zeros(shape).index_add(axis, at, frame)
    return frame


def response(operator: Operator, prior: Prior, shape: tuple[int, int], like: Tensor) -> Response:
    """The response on (rows, cols) of data; kept for the operators seen last.

    Args:
        operator: a linear instrument, shift-invariant in steps of a datum.
        prior: of the image.
        shape: (rows, cols) of the data.
        like: dtype and device.
    """
    return _response(_Key(operator), prior, shape, like.dtype, like.device)


class _Key:
    """An operator hashed by its description."""

    def __init__(self, operator: Operator) -> None:
        self.operator = operator
        self.text = json.dumps(operator.describe(), sort_keys=True)

    def __hash__(self) -> int:
        return hash(self.text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and self.text == other.text


@lru_cache(maxsize=16)
def _response(key: _Key, prior: Prior, shape: tuple[int, int], dtype: torch.dtype, device: torch.device) -> Response:
    with torch.inference_mode(False), torch.no_grad():
        operator, periodic = key.operator, not key.operator.local
        like = torch.empty(0, dtype=dtype, device=device)
        h = probed(operator, like, shape)
        near = 1e-5 * float(h.abs().max())
        symmetric = periodic or all(float((h - h.flip(axis)).abs().max()) < near for axis in (0, 1))
        fy, fx = operator.factor
        rows, cols = shape if periodic else (2 * shape[0], 2 * shape[1])
        size = (rows * fy, cols * fx)
        energy = torch.fft.fft2(framed(h, size, (fy, fx), operator.local)).abs().square()
        energy = energy * prior.power(*(frequencies(n, True, like) for n in size))
        data = energy.reshape(fy, rows, fx, cols).sum((0, 2)) / (fy * fx)
        if not periodic:
            mirrored = torch.cat([data[:, :1], data[:, 1:].flip(1)], 1)
            data = (0.5 * (data + mirrored))[: shape[0], : shape[1]]
        image = prior.power(*(frequencies(n * s, periodic, like) for n, s in zip(shape, operator.factor, strict=True)))
        return Response(data.contiguous(), image, symmetric, periodic)


@dataclass(frozen=True)
class Phases:
    """What stationary data tell of the pixels of a block, on a torus.

    Attributes:
        prior: variance of a pixel without data.
        data: (modes,) variance of every mode of noise-free data.
        told: (fy, fx, modes) squared covariance of a pixel of each phase with every mode of the data.
    """

    prior: float
    data: Tensor
    told: Tensor

    def variance(self, noise: Tensor) -> Tensor:
        """Posterior variance (levels, fy, fx) of the pixels of a block, for noise variances (levels,) of a datum."""
        share = 1 / (self.data[:, None] + noise)  # (modes, levels)
        left = self.prior - torch.einsum("yxm,ml->lyx", self.told, share)
        return left.clamp(min=1e-9 * self.prior)


def phases(operator: Operator, prior: Prior, like: Tensor, shape: tuple[int, int] | None = None) -> Phases:
    """Phases of an instrument; kept for the operators seen last.

    Args:
        operator: see `response`.
        prior: of the image.
        like: device; computed in double precision.
        shape: data of the torus; that of an operator that is not local, None for a torus in which borders are far.
    """
    if shape is None:
        least = (max(LEAST_DATA, -(-LEAST_PIXELS // s), 2 * (operator.reach + 1)) for s in operator.factor)
        rows, cols = (min(n, max(LEAST_DATA, MOST_PIXELS // s)) for n, s in zip(least, operator.factor, strict=True))
        shape = (rows, cols)
    return _phases(_Key(operator), prior, shape, like.device)


@lru_cache(maxsize=8)
def _phases(key: _Key, prior: Prior, shape: tuple[int, int], device: torch.device) -> Phases:
    with torch.inference_mode(False), torch.no_grad():
        operator, like = key.operator, torch.empty(0, dtype=torch.float64, device=device)
        (fy, fx), (rows, cols) = operator.factor, shape
        size = (rows * fy, cols * fx)
        h = torch.fft.fft2(framed(probed(operator, like, shape), size, (fy, fx), operator.local))
        power = prior.power(*(frequencies(n, True, like) for n in size))
        data = (h.abs().square() * power).reshape(fy, rows, fx, cols).sum((0, 2)) / (fy * fx)
        towards = torch.fft.ifft2(h * power).real  # covariance of every pixel with datum 0
        blocks = towards.reshape(rows, fy, cols, fx).permute(1, 3, 0, 2)
        told = torch.fft.fft2(blocks).abs().square().flatten(2) / (rows * cols)
        return Phases(float(power.mean()), data.flatten(), told)
