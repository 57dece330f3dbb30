"""Fitting the mixture by expectation maximisation on cosine coefficients of windows.

Each component keeps its leading eigenvectors and the variances of what is left per coefficient (probabilistic
principal components with a diagonal remainder; Tipping and Bishop, Neural Computation 11(2), 1999).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .denoiser import Denoiser

SHRINK = 40.0
"""Windows' worth of belief in uncorrelated coefficients, which steadies small components."""


@dataclass(frozen=True)
class Fit:
    """A fitted mixture over coefficients without the level: see `MixtureParameters.with_level`."""

    weight: Tensor
    mean: Tensor
    directions: Tensor
    remainder: Tensor


def initial_labels(windows: Tensor, components: int, seed: int) -> Tensor:
    """Labels (n,) from energy classes, each split by k-means on the shape of the first coefficients."""
    generator = torch.Generator().manual_seed(seed)
    n = len(windows)
    classes = max(1, min(16, components // 4))
    energy = windows.square().sum(1)
    order = energy.argsort()
    group = torch.empty(n, dtype=torch.long)
    group[order] = torch.arange(n) * classes // n
    labels = torch.zeros(n, dtype=torch.long)
    sizes = [components // classes + (i < components % classes) for i in range(classes)]
    first = 0
    for c, parts in enumerate(sizes):
        members = (group == c).nonzero()[:, 0]
        shape = windows[members, :60] / energy[members].sqrt()[:, None].clamp(min=1e-12)
        centres = shape[torch.randperm(len(members), generator=generator)[:parts]].clone()
        nearest = torch.zeros(len(members), dtype=torch.long)
        for _ in range(12):
            nearest = torch.cdist(shape, centres).argmin(1)
            for j in range(len(centres)):
                if bool((nearest == j).any()):
                    centres[j] = shape[nearest == j].mean(0)
        labels[members] = first + nearest
        first += parts
    return labels


def maximise(windows: Tensor, responsibility: Tensor, previous: Fit, floor: float, depth: int) -> Fit:
    """One M step: weights, means and low-rank covariances from (n, k) responsibilities.

    Directions live in the first ``depth`` coefficients; beyond them the remainder says it all.
    """
    n, components = responsibility.shape
    rank = previous.directions.shape[2]
    weight, mean = previous.weight.clone(), previous.mean.clone()
    directions, remainder = previous.directions.clone(), previous.remainder.clone()
    for k in range(components):
        r = responsibility[:, k]
        rows = (r > 0.02).nonzero()[:, 0]
        w = r[rows]
        total = float(w.sum())
        weight[k] = (total + 1) / (n + components)
        if total < 2 * rank:
            continue
        own = windows[rows]
        mean[k] = (w[:, None] * own).sum(0) / (total + 10)
        centred = (own - mean[k]) * w.sqrt()[:, None]
        covariance = centred.T @ centred / total
        spread = covariance.diagonal().clone()
        belief = total / (total + SHRINK)
        covariance.mul_(belief).diagonal().add_((1 - belief) * spread)
        values, vectors = torch.linalg.eigh(covariance[:depth, :depth])
        directions[k, :depth] = vectors[:, -rank:] * values[-rank:].clamp(min=0).sqrt()
        remainder[k] = (covariance.diagonal() - directions[k].square().sum(1)).clamp(min=floor)
    return Fit(weight / weight.sum(), mean, directions, remainder)


def fit(
    windows: Tensor,
    components: int,
    rank: int,
    passes: int,
    floor: float,
    depth: int,
    seed: int = 0,
    report: Callable[[int, float], None] | None = None,
) -> Fit:
    """Fit a mixture to windows (n, d) of cosine coefficients without the level.

    Args:
        windows: float32 coefficients.
        components: K.
        rank: directions per component.
        passes: EM passes.
        floor: smallest variance of a coefficient, such as that of the quantisation of the data.
        depth: coefficients that directions reach, in order of frequency.
        seed: of the initial labels.
        report: called with the pass and the mean log likelihood per coefficient (up to a constant).
    """
    d = windows.shape[1]
    labels = initial_labels(windows, components, seed)
    start = Fit(
        torch.full((components,), 1 / components),
        torch.zeros(components, d),
        torch.zeros(components, d, rank),
        windows.square().mean(0).expand(components, d).clamp(min=floor).clone(),
    )
    current = maximise(windows, torch.nn.functional.one_hot(labels, components).float(), start, floor, depth)
    for step in range(passes):
        model = Denoiser(current.weight, current.mean, current.directions, current.remainder, 0.0, 1)
        score = model.log_evidence(windows)
        total = score.logsumexp(1, keepdim=True)
        current = maximise(windows, (score - total).exp(), current, floor, depth)
        if report is not None:
            report(step + 1, float(total.mean()) / d)
    return current
