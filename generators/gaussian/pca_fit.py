"""Fitting principal components with a stationary remainder to aligned pictures."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from gensr.operators import Area
from gensr.priors.card import GeneratorCard
from gensr.priors.observation import Observation

from .basis import cosine_line
from .pca import Pca, PcaParameters, opponent, resize

TRUSTED = 64
"""Components up to this one keep the variance seen in training; later ones at most that on validation pictures."""
SMOOTH = 65
"""Neighbours over which validation variances of components are averaged."""
DAMPED = 16
"""Components from this one on are damped: their directions are estimated less well than their variances."""
DAMPINGS = (1.0, 0.85, 0.7, 0.6, 0.5, 0.4)
JUDGED_AT = 8
"""Factor at which the damping is chosen, where components matter most."""
BLUR = 1.5
"""Deviation of the Gaussian that smooths the logarithm of the remainder's power, coefficients."""


def fit(train: Tensor, validation: Tensor, side: int, count: int) -> PcaParameters:
    """Fit the model.

    Args:
        train: (n, band, s, s) in generator units; mirror images are added here.
        validation: (m, band, s, s), other pictures: they bound the variances, which training pictures overstate.
        side: side of the components.
        count: number of components.
    """
    bands = train.shape[1]
    coarse = resize(torch.cat([train, train.flip(3)]), side)
    held = torch.cat([validation, validation.flip(3)])
    mean = coarse.mean(0)
    centred = (coarse - mean).flatten(1)
    torch.manual_seed(0)
    _, singular, vectors = torch.svd_lowrank(centred, q=min(count + 32, min(centred.shape) - 1), niter=4)
    vectors, variance = vectors[:, :count], singular[:count].square() / len(centred)
    held_coarse = (resize(held, side) - mean).flatten(1)
    scores = held_coarse @ vectors
    window = torch.ones(1, 1, SMOOTH) / SMOOTH
    padded = torch.nn.functional.pad(scores.square().mean(0)[None, None], (SMOOTH // 2, SMOOTH // 2), mode="replicate")
    seen = torch.nn.functional.conv1d(padded, window)[0, 0]
    variance = torch.where(torch.arange(len(variance)) < TRUSTED, variance, torch.minimum(variance, seen))
    explained = (scores @ vectors.T + mean.flatten()).view(-1, *mean.shape)
    remainder = held - resize(explained, held.shape[-1])
    line = cosine_line(held.shape[-1]).float()
    coefficients = torch.einsum("cb,nbhw->nchw", opponent(bands).float(), line @ remainder @ line.T)
    power = smooth(coefficients.square().mean(0).clamp(min=1e-9))
    components = (vectors * variance.sqrt()).T.reshape(-1, bands, side, side)
    fitted = PcaParameters(mean, components.contiguous(), power)
    damping = min(DAMPINGS, key=lambda d: held_out_error(damped(fitted, d), validation))
    return damped(fitted, damping)


def damped(parameters: PcaParameters, damping: float) -> PcaParameters:
    """The model with its later components scaled."""
    components = parameters.components.clone()
    components[DAMPED:] *= damping
    return replace(parameters, components=components)


def held_out_error(parameters: PcaParameters, images: Tensor) -> float:
    """Mean squared error of noise-free area super-resolution of other pictures."""
    card = GeneratorCard(
        "candidate", "gaussian", "", images.shape[1], True, "", (0.0, 1.0), "", "", "", "", "", "", "", 0.0
    )
    operator = Area(min(JUDGED_AT, images.shape[-1] // 4))
    y = operator.forward(images)
    data = Observation(y, operator, torch.full_like(y, 1e-8), torch.ones_like(y, dtype=torch.bool))
    return float((Pca(parameters, card).posterior(data).mean - images).square().mean())


def smooth(power: Tensor) -> Tensor:
    """Gaussian blur of the logarithm of (band, s, s), borders repeated."""
    reach = 5
    taps = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / BLUR) ** 2)
    taps = taps / taps.sum()
    x = power.log()[:, None]
    for margins, kernel in (
        ((reach, reach, 0, 0), taps.view(1, 1, 1, -1)),
        ((0, 0, reach, reach), taps.view(1, 1, -1, 1)),
    ):
        x = torch.nn.functional.conv2d(torch.nn.functional.pad(x, margins, mode="replicate"), kernel)
    return x[:, 0].exp()
