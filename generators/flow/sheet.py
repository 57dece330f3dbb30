"""Sample sheets of a training run: what the generator makes of noise, and of low-resolution data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from gensr.generator import Observation
from gensr.operators import Area
from gensr.random import Stream

from .generator import Flow
from .loop import Corpus

ROWS = 6
STEPS = 16
GAP = 2


def write(path: Path, flow: Flow, corpus: Corpus, seed: int) -> None:
    """One PNG: per row data, mean, two samples, truth (x4), and two images out of noise."""
    from PIL import Image

    x = corpus.source.batch(ROWS)
    side = corpus.side
    x = x[..., :side, :side] * (4 if corpus.recipe.flux else 1)
    y = avg_pool2d(x, 4)
    data = Observation(y, Area((4, 4)), torch.zeros_like(y), torch.ones_like(y, dtype=torch.bool), exact=True)
    shape = tuple(x.shape)

    def noise(sample: int) -> Tensor:
        return Stream(seed).child("sheet", sample).normal(shape)

    with torch.no_grad():
        drawn = [flow.draw(data, lambda step, k=k: noise(100 * k + step)) for k in range(2)]  # type: ignore[misc]
        free = [flow.generate(noise(1000 + k), STEPS) for k in range(2)]
        coarse = y.repeat_interleave(4, -2).repeat_interleave(4, -1)
        columns = [coarse, flow.posterior(data).mean, *drawn, x, *free]
    planes = [_seen(flow, column) for column in columns]
    sheet = np.concatenate([np.concatenate(list(column), 0) for column in planes], 1)
    partial = path.with_name(f".{path.name}.partial")
    Image.fromarray(sheet).save(partial, "PNG")
    partial.replace(path)


def _seen(flow: Flow, images: Tensor) -> np.ndarray:  # type: ignore[type-arg]
    """Images (n, band, rows, cols) as uint8 (n, rows, cols, 3) with a gap."""
    u = flow.stretch.forward(images).clamp(0, 1)
    rgb = u[:, :3] if u.shape[1] >= 3 else u[:, :1].expand(-1, 3, -1, -1)
    padded = torch.nn.functional.pad(rgb, (0, GAP, 0, GAP), value=1.0)
    return np.asarray((255 * padded).round().byte().permute(0, 2, 3, 1).numpy())
