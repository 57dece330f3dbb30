"""A part of an input as a scene of its own: the one place where ``srcwin=`` and ``bounds=`` act."""

from __future__ import annotations

import math
from typing import Any

from gensr.errors import DomainError
from gensr.scenes.scene import Scene
from gensr.values.area import WHOLE, Area, Bounds, parse_bounds, parse_srcwin, said
from gensr.values.grid import Window

EDGE = 1e-3
"""Share of a pixel by which a box may reach into one without taking it: edges are written with few digits."""


def part_of(scene: Scene, area: Area) -> Scene:
    """The part of a scene that was asked for, which takes over its file; the scene itself for all of it.

    Raises:
        DomainError: the part lies outside, or the input has no coordinates or cannot be cut.
    """
    if area.srcwin is not None:
        window = parse_srcwin(area.srcwin)
        rows, cols = scene.grid.shape
        if window.row + window.rows > rows or window.col + window.cols > cols:
            raise DomainError(
                f"{scene.path.name}: srcwin={said(area.srcwin)} leaves the image of {cols} x {rows} pixels "
                "(columns x rows); give a window inside"
            )
    elif area.bounds is not None:
        found = parse_bounds(area.bounds)
        window = clipped(scene, found, scene.cover(found))
    else:
        return scene
    return scene if window == (0, 0, *scene.grid.shape) else scene.crop(window)


def clipped(scene: Scene, bounds: Bounds, extent: tuple[float, float, float, float]) -> Window:
    """The smallest window of whole pixels that covers an extent, as far as the image has pixels there.

    Args:
        scene: the whole input.
        bounds: for messages.
        extent: first row, first column, end of the rows, end of the columns; the first pixel spans 0 to 1.

    Raises:
        DomainError: the extent lies outside.
    """
    rows, cols = scene.grid.shape
    if not all(map(math.isfinite, extent)):
        extent = (0.0, 0.0, 0.0, 0.0)
    top, left = math.floor(extent[0] + EDGE), math.floor(extent[1] + EDGE)
    bottom, right = math.ceil(extent[2] - EDGE), math.ceil(extent[3] - EDGE)
    top, left, bottom, right = max(top, 0), max(left, 0), min(bottom, rows), min(right, cols)
    if top >= bottom or left >= right:
        raise DomainError(
            f"{scene.path.name}: bounds={bounds.text} lies outside the image; gensr info tells where it is, "
            "and srcwin= counts pixels"
        )
    return Window(top, left, bottom - top, right - left)


def area_words(scene: Scene, area: Area) -> dict[str, Any]:
    """What a report says of the part that was taken; nothing for a whole input."""
    if area == WHOLE:
        return {}
    (row, col), (rows, cols) = scene.origin, scene.grid.shape
    asked = {} if area.bounds is None else {"bounds": said(area.bounds)}
    return {"area": {**asked, "srcwin": [col, row, cols, rows]}}


def area_notes(scene: Scene, area: Area) -> list[str]:
    """That a box reached beyond the image, where it did."""
    if area.bounds is None:
        return []
    top, left, bottom, right = scene.cover(parse_bounds(area.bounds))
    rows, cols = scene.grid.shape
    if min(top, left) >= -EDGE and bottom <= rows + EDGE and right <= cols + EDGE:
        return []
    return [f"bounds={said(area.bounds)} reaches beyond the image: the part inside was taken"]
