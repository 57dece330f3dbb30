"""Noise level and gain of a scene from its own data, by the evidence of the generator.

A prior of high-resolution images and an operator predict the statistics of low-resolution windows; the noise level and
the contrast that make the observed windows most probable are the estimate (type-II maximum likelihood). Signal is not
mistaken for noise as high-pass estimators do.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from gensr.operators import Operator
from gensr.priors.generator import Generator, Observation
from gensr.scenes.domain import Scene
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
GAINS = (0.25, 0.5, 2.0, 4.0)
FEWEST = 64
"""Pixels below which a piece says nothing about noise: a window of the prior would not even be filled."""
MISFIT = 2.0**-7
"""Least noise deviation at which gains are compared, the domain's units: what a prior cannot express is no contrast."""
WORTH = 0.1
"""Nats per datum by which another gain must win against the domain's own."""


@dataclass(frozen=True)
class Calibration:
    """Estimate of a scene.

    Attributes:
        gain: factor on the gain of the domain's normaliser.
        sigma: noise deviation in generator units after that factor.
        score: mean log evidence per datum at the estimate, nats.
    """

    gain: float
    sigma: float
    score: float


def calibrate(
    scene: Scene,
    generator: Generator,
    operator: Operator,
    normaliser: AffineNormaliser,
    sigma: float | None,
    search_gain: bool = True,
) -> Calibration:
    """Find noise and gain of a scene.

    Args:
        scene: the opened input.
        generator: one with a closed-form posterior.
        operator: unit gain.
        normaliser: map of the domain.
        sigma: known noise deviation in physical units of the first band, or None to estimate it.
        search_gain: whether the gain may differ from the domain's.

    Returns:
        The best pair; the domain's gain and the given sigma if the scene has too few usable pixels to tell.
    """
    pieces = _pieces(scene, generator, operator, normaliser)
    known = None if sigma is None else sigma / normaliser.gain[0]
    if not pieces:
        return Calibration(1.0, known if known is not None else LEVELS[4], float("nan"))

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


def _pieces(scene: Scene, generator: Generator, operator: Operator, normaliser: AffineNormaliser) -> list[torch.Tensor]:
    smallest = 2 * generator.context(operator)
    pieces = []
    for image in sample_images(scene, WINDOWS, SIDE):
        window = _usable_part(np.asarray(image.usable.all(0)), smallest)
        if window is None:
            continue
        r, c, h, w = window
        if h * w < FEWEST:
            continue
        values = torch.from_numpy(np.array(image.values[:, r : r + h, c : c + w]))[None]
        u = normaliser.forward(values)
        pieces += list(u.reshape(-1, 1, 1, h, w)) if generator.card.bands == 1 else [u]
    # Evenly over windows and bands, by a step that visits all bands.
    step = max(1, len(pieces) // PIECES)
    return pieces[:: step + (step > 1 and step % 2 == 0)][:PIECES]


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


def _score(pieces: list[torch.Tensor], generator: Generator, operator: Operator, gain: float, level: float) -> float:
    total, count = 0.0, 0
    for piece in pieces:
        y = 0.5 + (piece - 0.5) / gain if gain != 1.0 else piece
        data = Observation(y, operator, torch.full_like(y, level**2), torch.ones_like(y, dtype=torch.bool))
        total += float(generator.evidence(data).sum()) * piece[0].numel()
        count += piece.numel()
    # Densities in the units before the gain: d(u/gain) = du/gain.
    return total / count - float(np.log(gain))


def scaled(normaliser: AffineNormaliser, gain: float) -> AffineNormaliser:
    """The normaliser with its gain multiplied, keeping the middle of the range (0.5) where it is."""
    if gain == 1.0:
        return normaliser
    offset = tuple(o + 0.5 * g * (1 - gain) for o, g in zip(normaliser.offset, normaliser.gain, strict=True))
    return replace(normaliser, gain=tuple(g * gain for g in normaliser.gain), offset=offset)
