"""How a scene is cut into tiles: disjoint cores, overlapping contexts, no seams.

A tile is reconstructed from its core plus enough context that every pixel of the core gets the value it would have in
one untiled pass: closed-form posteriors are local, so the cores fit together exactly. Samples use noise keyed by
position and the same context. Cores partition the scene, so every pixel is written once and results do not depend on
tile order, batch size or restarts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gensr.values.grid import Window


@dataclass(frozen=True)
class Tile:
    """One tile of one plane, in low-resolution pixels.

    Attributes:
        index: position in the plan, the key of the journal.
        plane: plane of the scene.
        core: what this tile writes.
        read: core and context, clipped at the borders of the scene.
        at_end: whether ``read`` touches the last row, the last column.
    """

    index: int
    plane: int
    core: Window
    read: Window
    at_end: tuple[bool, bool]

    @property
    def inner(self) -> Window:
        """The core inside ``read``."""
        return Window(self.core.row - self.read.row, self.core.col - self.read.col, self.core.rows, self.core.cols)

    @property
    def shape_key(self) -> tuple[int, int, bool, bool, Window]:
        """Tiles with equal keys can share a batch."""
        return self.read.rows, self.read.cols, *self.at_end, self.inner


def plan(planes: int, shape: tuple[int, int], side: int, context: int, align: int = 1) -> list[Tile]:
    """Cut every plane into tiles of at most ``side`` x ``side`` low-resolution pixels.

    Args:
        planes: number of planes.
        shape: (rows, cols) of a plane.
        side: side of a core; rounded up to a multiple of ``align``.
        context: pixels to read around a core; rounded up to a multiple of ``align``.
        align: tile cores and contexts start at multiples of this (the stride of the generator's windows).
    """
    side = -(-side // align) * align
    context = -(-context // align) * align
    rows, cols = shape
    tiles: list[Tile] = []
    for plane in range(planes):
        for row in range(0, rows, side):
            for col in range(0, cols, side):
                core = Window(row, col, min(side, rows - row), min(side, cols - col))
                top, left = max(0, row - context), max(0, col - context)
                bottom = min(rows, row + core.rows + context)
                right = min(cols, col + core.cols + context)
                read = Window(top, left, bottom - top, right - left)
                tiles.append(Tile(len(tiles), plane, core, read, (bottom == rows, right == cols)))
    return tiles


def batches(tiles: list[Tile], size: int) -> Iterator[list[Tile]]:
    """Group neighbouring tiles of equal shape, at most ``size`` together, in the order of the plan."""
    group: list[Tile] = []
    for tile in tiles:
        if group and (len(group) == size or tile.shape_key != group[0].shape_key):
            yield group
            group = []
        group.append(tile)
    if group:
        yield group
