"""Aligned training pictures, kept as bytes: whole, square, of one size, reduced by area to the generator's side."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from gensr.errors import UsageError
from gensr.making import corpus

FloatArray = npt.NDArray[np.float32]
FEWEST = 16
"""Fewest pictures that are trained on; a generator worth having needs thousands."""
LEVELS = 65535
"""Steps of a stored picture: means of bytes over areas keep their fractions."""


class Pictures:
    """Pictures of one size in memory, 16 bits each.

    Args:
        stack: (n, band, side, side), 0..1.
        full: the value of the files that is 1 here.
    """

    def __init__(self, stack: Tensor, full: float = 1.0) -> None:
        self.full = full
        self.stack = (stack.clamp(0, 1) * LEVELS).round().to(torch.int32).to(torch.uint16)

    def __len__(self) -> int:
        return len(self.stack)

    @property
    def side(self) -> int:
        """Pixels."""
        return int(self.stack.shape[-1])

    def all(self) -> Tensor:
        """(n, band, side, side) float32, 0..1."""
        return self.stack.to(torch.int32).float() / LEVELS

    def batch(self, count: int, draw: torch.Generator) -> Tensor:
        """Random pictures or their mirror images (count, band, side, side), -1..1."""
        rows = torch.randint(len(self.stack), (count,), generator=draw)
        image = self.stack[rows].to(torch.int32).float() / LEVELS * 2 - 1
        mirrored = (torch.rand(count, generator=draw) < 0.5).view(-1, 1, 1, 1)
        return torch.where(mirrored, image.flip(-1), image)


def read(paths: Iterable[Path], domain: str, side: int, fewest: int = FEWEST, full: float | None = None) -> Pictures:
    """All pictures of a corpus.

    Args:
        paths: see `gensr.making.corpus.read`.
        domain: whose formats are read.
        side: that they are reduced to, pixels.
        fewest: so many must be there.
        full: full scale of the values; by default 1, 255, 4095, ..., the least that holds the largest value.

    Raises:
        UsageError: too few, not square, of different sizes or band counts, or smaller than ``side``.
        FormatError: a damaged file.
    """
    paths = tuple(paths)
    where = f"data={','.join(str(p) for p in paths)}"
    found: list[FloatArray] = []
    highest, first = 0.0, (0, 0)
    for path in paths:
        for image in corpus.read(path, domain):
            first = first if found else image.shape[:2]
            _check(image, first, side, where)
            highest = max(highest, float(image.max()))
            found.append(_reduced(image, side))
    if len(found) < fewest:
        raise UsageError(f"{where}: {len(found)} pictures are too few; give {fewest} or more, best thousands")
    if full is None:
        full = float(2 ** max(8, np.ceil(np.log2(highest + 1))) - 1) if highest > 1 else 1.0
    return Pictures(torch.from_numpy(np.stack(found)) / full, full)


def _check(image: FloatArray, first: tuple[int, int], side: int, where: str) -> None:
    """Compare a picture with bands and rows of the first one."""
    bands, rows, cols = image.shape
    if rows != cols:
        raise UsageError(f"{where}: a picture of {cols} x {rows} pixels is not square; crop and align it first")
    if rows < side:
        raise UsageError(f"{where}: a picture of {cols} x {rows} pixels is smaller than side={side}; leave it out")
    if first[0] != bands:
        raise UsageError(f"{where}: pictures of {first[0]} and of {bands} bands; give one kind")
    if first[1] != rows:
        raise UsageError(f"{where}: pictures of {first[1]} and of {rows} pixels; bring them to one size first")
    if not bool(np.isfinite(image).all()):
        raise UsageError(f"{where}: a picture has values that are not finite; leave it out")


def _reduced(image: FloatArray, side: int) -> FloatArray:
    x = torch.tensor(image)[None]  # a copy: a corpus may lend arrays that cannot be written
    size = image.shape[-1]
    if size % side == 0:
        x = avg_pool2d(x, size // side)
    else:
        x = interpolate(x, size=(side, side), mode="bicubic", antialias=True, align_corners=False)
    return np.asarray(x[0].numpy(), np.float32)
