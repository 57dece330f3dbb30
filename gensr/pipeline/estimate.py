"""Noise level and gain of every band of a scene from its own data, by the evidence of a generator.

A prior of high-resolution images and an operator predict the statistics of low-resolution windows; the noise level and
the contrast that make the observed windows most probable are the estimate (type-II maximum likelihood). Signal is not
mistaken for noise as high-pass estimators do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from gensr.operators.base import Operator
from gensr.priors.generator import Generator
from gensr.priors.observation import Observation
from gensr.scenes.scene import Scene
from gensr.scenes.statistics import sample_images
from gensr.values.grid import Window
from gensr.values.image import BoolArray
from gensr.values.normalise import AffineNormaliser

SIDE = 96
WINDOWS = 6
PIECES = 8
"""Most single-band pieces whose evidence is computed."""
LEVELS = tuple(2.0**-j for j in (12, 10, 8, 7, 6, 5, 4, 3, 2))
"""Noise deviations tried first, generator units: 0.00024 to 0.25."""
DEFAULT = LEVELS[4]
"""Noise deviation of a band that says nothing, generator units."""
GAINS = (0.25, 0.5, 2.0, 4.0)
FEWEST = 64
"""Pixels below which a piece says nothing about noise: a window of the prior would not even be filled."""
MISFIT = 2.0**-7
"""Least noise deviation at which gains are compared, the domain's units: what a prior cannot express is no contrast."""
WORTH = 0.1
"""Nats per datum by which another gain must win against the domain's own."""


@dataclass(frozen=True)
class Calibration:
    """Estimate of a band, or of bands that a generator models jointly.

    Attributes:
        gain: factor on the gain of the domain's normaliser.
        sigma: noise deviation in generator units after that factor.
        score: mean log evidence per datum at the estimate, nats; NaN where too few pixels are usable to tell, and the
            sigma is then a default.
    """

    gain: float
    sigma: float
    score: float

    @property
    def measured(self) -> bool:
        """Whether the data said it; a default otherwise."""
        return bool(np.isfinite(self.score))


def calibrate(
    scene: Scene,
    generator: Generator,
    operator: Operator,
    normaliser: AffineNormaliser,
    known: Sequence[float] | None,
    search_gain: bool = True,
) -> tuple[Calibration, ...]:
    """Find noise and gain of every band.

    Args:
        scene: the opened input.
        generator: one with a closed-form posterior.
        operator: unit gain.
        normaliser: map of the domain.
        known: noise deviation of every band in physical units, or None to estimate it.
        search_gain: whether gains may differ from the domain's.

    Returns:
        One estimate per band, all alike for a generator that models bands jointly; the domain's gain, and the known
        sigma or a default, where a band has too few usable pixels to tell.
    """
    bands = len(scene.bands)
    groups = [tuple(range(bands))] if generator.card.bands > 1 else [(band,) for band in range(bands)]
    pieces = _pieces(scene, generator, operator, normaliser, groups)
    found: list[Calibration] = []
    for group, own in zip(groups, pieces, strict=True):
        sigma = None if known is None else known[group[0]] / normaliser.gain[group[0]]
        found += [_estimate(own, generator, operator, sigma, search_gain)] * len(group)
    return tuple(found)


def _estimate(
    pieces: list[Tensor], generator: Generator, operator: Operator, known: float | None, search_gain: bool
) -> Calibration:
    """The best pair of gain and sigma for pieces (1, band, h, w) in the domain's units."""
    if not pieces:
        return Calibration(1.0, known if known is not None else DEFAULT, float("nan"))

    def best_at(gain: float, levels: tuple[float, ...]) -> Calibration:
        scores = [_score(pieces, generator, operator, gain, level) for level in levels]
        top = int(np.argmax(scores))
        return Calibration(gain, levels[top], scores[top])

    def levels_at(gain: float) -> tuple[float, ...]:
        return LEVELS if known is None else (max(known, MISFIT) / gain,)

    best = best_at(1.0, levels_at(1.0))
    if search_gain:
        other = max((best_at(gain, levels_at(gain)) for gain in GAINS), key=lambda c: c.score)
        best = other if other.score > best.score + WORTH else best
    if known is not None:
        return replace(best, sigma=known / best.gain)
    fine = best_at(best.gain, tuple(best.sigma * 2.0**j for j in (-0.5, -0.25, 0.0, 0.25, 0.5)))
    return fine if fine.score > best.score else best


def _pieces(
    scene: Scene,
    generator: Generator,
    operator: Operator,
    normaliser: AffineNormaliser,
    groups: Sequence[tuple[int, ...]],
) -> list[list[Tensor]]:
    """For every group of bands its pieces (1, band, h, w), the same windows for all of them, generator units."""
    smallest = 2 * generator.context(operator)
    most = max(1, PIECES // len(groups))
    found: list[list[Tensor]] = [[] for _ in groups]
    for image in sample_images(scene, WINDOWS, SIDE):
        window = _usable_part(np.asarray(image.usable.all(0)), smallest)
        if window is None or window.rows * window.cols < FEWEST:
            continue
        r, c, h, w = window
        u = normaliser.forward(torch.from_numpy(np.array(image.values[:, r : r + h, c : c + w]))[None])
        for own, group in zip(found, groups, strict=True):
            own.append(u[:, list(group)])
    return [own[:most] for own in found]


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


def _score(pieces: list[Tensor], generator: Generator, operator: Operator, gain: float, level: float) -> float:
    total, count = 0.0, 0
    for piece in pieces:
        y = 0.5 + (piece - 0.5) / gain if gain != 1.0 else piece
        data = Observation(y, operator, torch.full_like(y, level**2), torch.ones_like(y, dtype=torch.bool))
        total += float(generator.evidence(data).sum()) * piece[0].numel()
        count += piece.numel()
    # Densities in the units before the gain: d(u/gain) = du/gain.
    return total / count - float(np.log(gain))
