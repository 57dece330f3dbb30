"""Counter-based random streams: a number depends on what it is for, never on when it is drawn.

A stream is named by a path of keys such as (seed, plane, candidate, step). `field` gives noise attached to absolute
pixel positions, so overlapping tiles see the same noise whatever their size or order.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

BLOCK = 64
"""Side of the position-keyed noise blocks, in pixels."""


@dataclass(frozen=True)
class Stream:
    """A point in the tree of random streams. Seed 0 is a seed.

    >>> a = Stream(0).child("tile", 3); bool((a.normal((4,)) == Stream(0).child("tile", 3).normal((4,))).all())
    True
    """

    seed: int
    path: tuple[str | int, ...] = ()

    def child(self, *keys: str | int) -> Stream:
        """The stream below this one named by ``keys``."""
        return Stream(self.seed, (*self.path, *keys))

    def _generator(self) -> np.random.Generator:
        text = repr((self.seed, self.path)).encode()
        key = np.frombuffer(hashlib.blake2b(text, digest_size=16).digest(), np.uint64)
        return np.random.Generator(np.random.Philox(key=key))

    def number(self) -> int:
        """A seed below 2^63 for a tree of streams of its own."""
        return int(self._generator().integers(1 << 63))

    def normal(self, shape: tuple[int, ...]) -> Tensor:
        """Standard normal numbers, float32 on the CPU."""
        return torch.from_numpy(self._generator().standard_normal(shape, dtype=np.float32))

    def uniform(self, shape: tuple[int, ...]) -> Tensor:
        """Uniform numbers in [0, 1), float32 on the CPU."""
        return torch.from_numpy(self._generator().random(shape, dtype=np.float32))

    def field(self, row: int, col: int, rows: int, cols: int, bands: int = 1) -> Tensor:
        """Standard normal noise (bands, rows, cols) of absolute positions starting at (row, col), float32."""
        first_r, first_c = row // BLOCK, col // BLOCK
        last_r, last_c = -(-(row + rows) // BLOCK), -(-(col + cols) // BLOCK)
        lines = [
            torch.cat([self.child("block", r, c).normal((bands, BLOCK, BLOCK)) for c in range(first_c, last_c)], 2)
            for r in range(first_r, last_r)
        ]
        top, left = row - first_r * BLOCK, col - first_c * BLOCK
        return torch.cat(lines, 1)[:, top : top + rows, left : left + cols]
