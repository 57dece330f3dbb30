"""Statistics of a scene from a bounded, evenly spread sample of windows: huge files cost the same as small ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from gensr.scenes.scene import Scene
from gensr.values.grid import Window
from gensr.values.image import Image
from gensr.values.normalise import AffineNormaliser
from gensr.values.precision import Real

SIDE = 256
WINDOWS = 24


def sample_images(scene: Scene, windows: int = WINDOWS, side: int = SIDE) -> Iterator[Image]:
    """Up to ``windows`` windows of ``side`` pixels, spread evenly over planes, rows and columns.

    The same scene always gives the same windows.
    """
    for plane, window in places(scene.planes, scene.grid.shape, windows, side):
        yield without(scene.read(plane, window), plane, scene.repeated)


def places(planes: int, shape: tuple[int, int], windows: int, side: int) -> Iterator[tuple[int, Window]]:
    """Planes and windows for `sample_images`, of ``planes`` planes of ``shape``."""
    rows, cols = shape
    h, w = min(side, rows), min(side, cols)
    corners = [(r, c) for r in _starts(rows, h) for c in _starts(cols, w)]
    total = planes * len(corners)
    count = min(windows, total)
    # A golden-ratio walk visits planes and places evenly without a random generator.
    picked = sorted({int((0.5 + i * 0.6180339887498949) % 1.0 * total) for i in range(count)})
    for index in picked:
        plane, place = divmod(index, len(corners))
        row, col = corners[place]
        yield plane, Window(row, col, h, w)


def without(image: Image, plane: int, repeated: frozenset[tuple[int, int]]) -> Image:
    """The image of a plane with the bands whose pixels are repeated not usable."""
    bands = [band for of, band in repeated if of == plane]
    if not bands:
        return image
    usable = image.usable.copy()
    usable[bands] = False
    return replace(image, usable=usable)


def _starts(size: int, window: int) -> list[int]:
    count = max(1, -(-size // window))
    return [round(i * (size - window) / max(1, count - 1)) for i in range(count)]


def sample_values(scene: Scene) -> list[Real]:
    """Usable values of every band in the sampled windows; an array may be empty."""
    parts: list[list[Real]] = [[] for _ in scene.bands]
    for image in sample_images(scene):
        for band, part in enumerate(parts):
            part.append(image.values[band][image.usable[band]])
    return [np.concatenate(part) if part else np.zeros(0, scene.precision) for part in parts]


def percentile_normaliser(scene: Scene, low: float, high: float, joint: bool = False) -> AffineNormaliser:
    """Map the ``low`` percentile to 0 and the ``high`` one to 1, per band or joint over bands.

    A constant band gets its quantum or its own magnitude as gain (1 for zeros), so that the map stays invertible.

    Args:
        scene: the opened input.
        low: percentile, 0 to 100.
        high: percentile above ``low``.
        joint: one gain and offset for all bands.
    """
    values = sample_values(scene)
    if joint:
        values = [np.concatenate(values)] * len(values)
    gain, offset = [], []
    for v in values:
        lo, hi = (float(q) for q in np.percentile(v.astype(np.float64), [low, high])) if v.size else (0.0, 0.0)
        if hi <= lo and v.size:
            lo, hi = float(v.min()), float(v.max())
        gain.append(hi - lo if hi > lo else (scene.quantum or abs(lo) or 1.0))
        offset.append(lo)
    return AffineNormaliser(tuple(gain), tuple(offset))
