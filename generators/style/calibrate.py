"""What is measured of a trained generator for its card: whether it copies."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from gensr.priors.generator import Generator
from gensr.values.random import Stream

DRAWN = 200
SEEN = 32
"""Side at which pictures are compared in the audit, pixels."""


@torch.no_grad()
def samples(generator: Generator, shape: tuple[int, int], count: int = DRAWN) -> Tensor:
    """Unconditional samples (n, band, rows, cols)."""
    streams = [Stream(0).child("audit", i) for i in range(count)]
    return generator.synthesize(generator.latents(shape).sample(streams), shape)


def nearest(queries: Tensor, pool: Tensor) -> Tensor:
    """RMS distance (n,) of each picture to the nearest of a pool and its mirror images, at a small side."""
    side = min(SEEN, pool.shape[-1])
    seen = adaptive_avg_pool2d(queries, side).flatten(1)
    small = adaptive_avg_pool2d(pool, side)
    both = torch.cat([small, small.flip(-1)]).flatten(1)
    distance: Tensor = torch.cdist(seen, both).min(1).values / seen.shape[1] ** 0.5
    return distance


def audit(generator: Generator, trained: Tensor, held: Tensor) -> str:
    """Nearest-neighbour audit in words and figures: copies would be closer to training pictures than new faces are."""
    drawn = samples(generator, (trained.shape[-2], trained.shape[-1]))
    mine, theirs = nearest(drawn, trained), nearest(held, trained)
    return (
        f"root mean square distance to the nearest of {len(trained)} training pictures and their mirror images at "
        f"{min(SEEN, trained.shape[-1])} px, share of full scale: {len(drawn)} unconditional samples median "
        f"{float(mine.median()):.3f}, least {float(mine.min()):.3f}; {len(held)} held-out median "
        f"{float(theirs.median()):.3f}, least {float(theirs.min()):.3f}"
    )
