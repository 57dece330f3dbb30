"""Sample sheets of a training run: what the generator makes of noise, and of low-resolution data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import pad

from gensr.operators import Area
from gensr.priors.observation import Observation
from gensr.values.random import Stream

from .generator import Flow
from .loop import Corpus

ROWS = 6
FACTOR = 4
STEPS = 16
GAP = 2


def pictures(corpus: Corpus) -> Tensor:
    """What all sheets of a run show: (ROWS, band, side, side), generator units."""
    side = corpus.side // FACTOR * FACTOR
    return corpus.source.batch(ROWS)[..., :side, :side] * (FACTOR if corpus.recipe.flux else 1)


def write(path: Path, flow: Flow, x: Tensor, seed: int) -> None:
    """One PNG: per row data, mean, two samples, truth, and two images out of noise.

    Args:
        path: of the PNG.
        flow: the generator.
        x: see `pictures`.
        seed: of the noise.
    """
    from PIL import Image

    operator = Area((FACTOR, FACTOR))
    y = operator.forward(x)
    data = Observation(y, operator, torch.zeros_like(y), torch.ones_like(y, dtype=torch.bool), exact=True)

    def noise(sample: int) -> Callable[[int], Tensor]:
        return lambda step: Stream(seed).child("sheet", sample, "step", step).normal(tuple(x.shape))

    with torch.no_grad():
        drawn = [flow.draw(data, noise(k)) for k in range(2)]
        free = [flow.generate(noise(2 + k)(0), STEPS) for k in range(2)]
        coarse = y.repeat_interleave(FACTOR, -2).repeat_interleave(FACTOR, -1)
        columns = [coarse, flow.posterior(data).mean, *drawn, x, *free]
    sheet = np.concatenate([np.concatenate(list(_seen(flow, column)), 0) for column in columns], 1)
    partial = path.with_name(f".{path.name}.partial")
    Image.fromarray(sheet).save(partial, "PNG")
    partial.replace(path)


def _seen(flow: Flow, images: Tensor) -> npt.NDArray[np.uint8]:
    """Images (n, band, rows, cols) as (n, rows + GAP, cols + GAP, 3)."""
    u = flow.stretch.forward(images).clamp(0, 1)
    rgb = u[:, :3] if u.shape[1] >= 3 else u[:, :1].expand(-1, 3, -1, -1)
    padded = pad(rgb, (0, GAP, 0, GAP), value=1.0)
    return np.asarray((255 * padded).round().byte().permute(0, 2, 3, 1).numpy())
