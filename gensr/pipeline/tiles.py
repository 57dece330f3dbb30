"""How a scene is cut into tiles: disjoint cores, overlapping contexts, no seams.

A tile is reconstructed from its core plus enough context that every pixel of the core gets the value it would have in
one untiled pass: closed-form posteriors are local, so the cores fit together exactly. Samples use noise keyed by
position and the same context. Cores partition the scene, so every pixel is written once and results do not depend on
tile order, batch size or restarts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from gensr.errors import SearchError
from gensr.pipeline.task import Task
from gensr.search import consistency
from gensr.values.grid import Window

GUIDED_SPREAD = 32
"""High-resolution pixels of context that samples get beyond that of the closed form."""
SIDE = 768
"""High-resolution pixels along a tile, so that context costs little."""
LEAST_SIDE = 64
"""Low-resolution pixels along the smallest tile that is chosen."""


Span = tuple[int, int]
"""First band, and the one behind the last."""


@dataclass(frozen=True)
class Tile:
    """One tile of one plane, in low-resolution pixels.

    Attributes:
        index: position in the plan, the key of the journal.
        plane: plane of the scene.
        core: what this tile writes.
        read: core and context, clipped at the borders of the scene.
        at_end: whether ``read`` touches the last row, the last column.
        bands: first band and the one behind the last; None for all of the scene.
    """

    index: int
    plane: int
    core: Window
    read: Window
    at_end: tuple[bool, bool]
    bands: Span | None = None

    @property
    def inner(self) -> Window:
        """The core inside ``read``."""
        return Window(self.core.row - self.read.row, self.core.col - self.read.col, self.core.rows, self.core.cols)

    @property
    def shape_key(self) -> tuple[int, int, bool, bool, Window, Span | None]:
        """Tiles with equal keys can share a batch."""
        return self.read.rows, self.read.cols, *self.at_end, self.inner, self.bands

    def span(self, bands: int) -> Span:
        """First band of this tile and the one behind its last, of a scene of ``bands`` bands."""
        return self.bands or (0, bands)


def scene_tiles(planes: int, shape: tuple[int, int], task: Task, side: int | None) -> list[Tile]:
    """Cut a scene so that every tile can be reconstructed alone.

    Args:
        planes: number of planes.
        shape: (rows, cols) of a plane.
        task: what is computed.
        side: of a core, low-resolution pixels; chosen if None.

    Raises:
        SearchError: an operator or generator that needs the whole image meets a tile size.
    """
    if not tileable(task):
        if side is not None and side < max(shape):
            raise SearchError(
                f"tile={side}: {task.generator.card.name} with this operator needs the whole image at once"
            )
        return cut(planes, shape, max(shape), 0)
    return cut(planes, shape, side or default_side(task), context_of(task), alignment_of(task))


def tileable(task: Task) -> bool:
    """Whether a tile can be reconstructed without the rest: not aligned pictures, searches, operators of everything."""
    return task.unit.local and not task.generator.card.aligned


def context_of(task: Task) -> int:
    """Low-resolution pixels around a core that its pixels depend on."""
    context = task.generator.context(task.unit) + 2 * task.unit.reach
    context += consistency.REACH if task.exact else consistency.BROAD_REACH
    if task.samples or task.method.moments != "closed":
        context += GUIDED_SPREAD // min(task.factor)
    return context


def alignment_of(task: Task) -> int:
    """Low-resolution pixels that tiles start at multiples of."""
    return task.generator.alignment(task.unit, task.preset.generator_options)


def default_side(task: Task) -> int:
    """Tile side in low-resolution pixels."""
    return max(LEAST_SIDE, SIDE // min(task.factor))


def cut(planes: int, shape: tuple[int, int], side: int, context: int, align: int = 1) -> list[Tile]:
    """Cut every plane into tiles of at most ``side`` x ``side`` low-resolution pixels.

    Args:
        planes: number of planes.
        shape: (rows, cols) of a plane.
        side: side of a core; rounded up to a multiple of ``align``.
        context: pixels to read around a core; rounded up to a multiple of ``align``.
        align: tile cores and contexts start at multiples of this (the stride of the generator's windows).
    """
    side = -(-side // align) * align
    rows, cols = shape
    tiles: list[Tile] = []
    for plane in range(planes):
        for row in range(0, rows, side):
            for col in range(0, cols, side):
                core = Window(row, col, min(side, rows - row), min(side, cols - col))
                tiles.append(around(len(tiles), plane, core, shape, context, align))
    return tiles


def around(index: int, plane: int, core: Window, shape: tuple[int, int], context: int, align: int = 1) -> Tile:
    """The tile of a core, with its context clipped at the borders of a plane of ``shape``."""
    context = -(-context // align) * align
    top, left = max(0, core.row - context) // align * align, max(0, core.col - context) // align * align
    bottom, right = min(shape[0], core.row + core.rows + context), min(shape[1], core.col + core.cols + context)
    read = Window(top, left, bottom - top, right - left)
    return Tile(index, plane, core, read, (bottom == shape[0], right == shape[1]))


def by_bands(tiles: list[Tile], bands: int, size: int) -> list[Tile]:
    """Every tile once per group of bands, as even groups as there can be.

    Args:
        tiles: of all bands.
        bands: of the scene.
        size: bands of a group at most.
    """
    if size >= bands:
        return tiles
    count = -(-bands // size)
    spans = [(i * bands // count, (i + 1) * bands // count) for i in range(count)]
    return [replace(tile, index=tile.index * count + i, bands=span) for tile in tiles for i, span in enumerate(spans)]


def batches(tiles: list[Tile], size: int) -> Iterator[tuple[Tile, ...]]:
    """Group neighbouring tiles of equal shape, at most ``size`` together, in the order of the plan."""
    group: list[Tile] = []
    for tile in tiles:
        if group and (len(group) == size or tile.shape_key != group[0].shape_key):
            yield tuple(group)
            group = []
        group.append(tile)
    if group:
        yield tuple(group)


def strip(tiles: list[Tile], plane: int) -> list[Tile]:
    """Tiles of one plane, cut alone, as those of plane ``plane`` of many like it."""
    first = plane * len(tiles)
    return [Tile(first + t.index, plane, t.core, t.read, t.at_end) for t in tiles]


def values(tiles: list[Tile], bands: int) -> int:
    """Low-resolution values of all cores, every band counted, of a scene of ``bands`` bands."""
    spans = [tile.span(bands) for tile in tiles]
    return sum(t.core.rows * t.core.cols * (end - first) for t, (first, end) in zip(tiles, spans, strict=True))


def pixels(tiles: list[Tile]) -> int:
    """Low-resolution pixels of all cores."""
    return int(np.sum([t.core.rows * t.core.cols for t in tiles])) if tiles else 0
