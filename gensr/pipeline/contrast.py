"""Contrast of every band of a scene against what a prior expects, by the evidence of a generator.

A prior of high-resolution images, an operator and the noise predict the statistics of low-resolution windows; the gain
that makes the observed windows most probable is the estimate (type-II maximum likelihood).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gensr.operators.base import Operator
from gensr.priors.generator import Generator
from gensr.priors.observation import Observation
from gensr.scenes.scene import Scene
from gensr.scenes.statistics import sample_images
from gensr.values.grid import Window
from gensr.values.image import BoolArray, Image
from gensr.values.noise import Noise
from gensr.values.normalise import AffineNormaliser

SIDE = 96
WINDOWS = 6
PIECES = 8
"""Most single-band pieces whose evidence is computed."""
GAINS = (0.25, 0.5, 2.0, 4.0)
FEWEST = 64
"""Pixels below which a piece says nothing: a window of the prior would not even be filled."""
MISFIT = 2.0**-7
"""Least noise deviation at which gains are compared, the domain's units: what a prior cannot express is no contrast."""
WORTH = 0.1
"""Nats per datum by which another gain must win against the domain's own."""


@dataclass(frozen=True)
class Contrast:
    """Estimate of a band, or of bands that a generator models jointly.

    Attributes:
        gain: factor on the gain of the domain's normaliser.
        score: mean log evidence per datum at the estimate, nats; NaN where too few pixels are usable to tell.
    """

    gain: float
    score: float


@dataclass(frozen=True)
class Piece:
    """Data (1, band, h, w) and the variance of their noise, the domain's units."""

    y: Tensor
    variance: Tensor


def contrasts(
    scene: Scene, generator: Generator, operator: Operator, normaliser: AffineNormaliser, noise: Noise
) -> tuple[Contrast, ...]:
    """Find the gain of every band.

    Args:
        scene: the opened input.
        generator: one with evidence for the operator.
        operator: unit gain.
        normaliser: map of the domain.
        noise: of the data, physical units.

    Returns:
        One estimate per band, all alike for a generator that models bands jointly; the domain's gain where a band has
        too few usable pixels to tell.
    """
    bands = len(scene.bands)
    groups = [tuple(range(bands))] if generator.card.bands > 1 else [(band,) for band in range(bands)]
    pieces = _pieces(scene, generator, operator, normaliser, noise, groups)
    found: list[Contrast] = []
    for group, own in zip(groups, pieces, strict=True):
        found += [_best(own, generator, operator)] * len(group)
    return tuple(found)


def _best(pieces: list[Piece], generator: Generator, operator: Operator) -> Contrast:
    if not pieces:
        return Contrast(1.0, float("nan"))
    own = Contrast(1.0, _score(pieces, generator, operator, 1.0))
    others = [Contrast(gain, _score(pieces, generator, operator, gain)) for gain in GAINS]
    best = max(others, key=lambda c: c.score)
    return best if best.score > own.score + WORTH else own


def _pieces(
    scene: Scene,
    generator: Generator,
    operator: Operator,
    normaliser: AffineNormaliser,
    noise: Noise,
    groups: Sequence[tuple[int, ...]],
) -> list[list[Piece]]:
    """For every group of bands its pieces, the same windows for all of them."""
    smallest = 2 * generator.context(operator)
    most = max(1, PIECES // len(groups))
    found: list[list[Piece]] = [[] for _ in groups]
    for image in sample_images(scene, WINDOWS, SIDE):
        window = _usable_part(np.asarray(image.usable.all(0)), smallest)
        if window is None or window.rows * window.cols < FEWEST:
            continue
        whole = _piece(image, window, normaliser, noise)
        for own, group in zip(found, groups, strict=True):
            own.append(Piece(whole.y[:, list(group)], whole.variance[:, list(group)]))
    return [own[:most] for own in found]


def _piece(image: Image, window: Window, normaliser: AffineNormaliser, noise: Noise) -> Piece:
    cut = np.s_[:, window.row : window.row + window.rows, window.col : window.col + window.cols]
    values = torch.from_numpy(image.values[cut].astype(np.float64))[None]
    stated = None if image.variance is None else torch.from_numpy(image.variance[cut].astype(np.float64))[None]
    y = normaliser.forward(values)
    variance = noise.variance(values, stated) / normaliser.derivative(y).square()
    return Piece(y.float(), variance.clamp(min=MISFIT**2).float())


def _usable_part(usable: BoolArray, smallest: int) -> Window | None:
    """The whole piece if usable, else its largest usable quarter."""
    h, w = usable.shape
    for rows, cols in ((h, w), (h // 2, w // 2), (h // 4, w // 4)):
        if min(rows, cols) < min(smallest, h, w):
            return None
        for r in range(0, h - rows + 1, max(1, rows)):
            for c in range(0, w - cols + 1, max(1, cols)):
                if usable[r : r + rows, c : c + cols].all():
                    return Window(r, c, rows, cols)
    return None


def _score(pieces: list[Piece], generator: Generator, operator: Operator, gain: float) -> float:
    total, count = 0.0, 0
    for piece in pieces:
        y = 0.5 + (piece.y - 0.5) / gain if gain != 1.0 else piece.y
        data = Observation(y, operator, piece.variance / gain**2, torch.ones_like(y, dtype=torch.bool))
        total += float(generator.evidence(data).sum()) * y[0].numel()
        count += y.numel()
    # Densities in the units before the gain: d(u/gain) = du/gain.
    return total / count - float(np.log(gain))
