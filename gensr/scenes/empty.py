"""Scenes that hold nothing to refine, told before anything is computed."""

from __future__ import annotations

from gensr.errors import DomainError
from gensr.scenes.scene import Scene
from gensr.scenes.statistics import sample_images
from gensr.values.grid import Window
from gensr.values.normalise import AffineNormaliser, Normaliser
from gensr.values.precision import DOUBLE, LARGEST, SINGLE, SMALLEST

BLOCK = 1 << 20
"""Pixels that are looked at together."""
DIGITS = 2.0**-110
"""Contrast below which float32 runs out of digits: 2^-126 is its smallest normal number."""


def refuse_empty(scene: Scene) -> None:
    """Refuse a scene without one valid pixel; a scene with one is seldom read any further than it.

    Raises:
        DomainError: no pixel has a value.
    """
    if any(bool(image.valid.any()) for image in sample_images(scene)):
        return
    rows, cols = scene.grid.shape
    step = max(1, BLOCK // (cols * len(scene.bands)))
    for plane in range(scene.planes):
        for row in range(0, rows, step):
            if scene.read(plane, Window(row, 0, min(step, rows - row), cols)).valid.any():
                return
    raise DomainError(
        f"{scene.path}: no pixel has a value (all are NaN, beyond {LARGEST:g}, nodata or masked), so there is nothing "
        "to refine; check the file, its scale, its nodata value and its mask"
    )


def refuse_tiny(scene: Scene, normaliser: Normaliser, pixels: float) -> None:
    """Refuse contrasts so small that the stored type has no digits for them.

    Args:
        scene: the opened input.
        normaliser: of its bands; one that is not affine is not looked at.
        pixels: fine pixels that share a datum.

    Raises:
        DomainError: a contrast is below the digits of float32, or of float64.
    """
    if not isinstance(normaliser, AffineNormaliser):
        return
    least = SMALLEST if scene.precision == DOUBLE else DIGITS
    kind = scene.precision if scene.precision == DOUBLE else SINGLE
    for band, gain in zip(scene.bands, normaliser.gain, strict=True):
        if gain / pixels < least:
            raise DomainError(
                f"{scene.path}: the values of {band} differ by {gain:.3g} {scene.unit}".rstrip()
                + f" only, below the digits of {kind}; store them as float64, or in a unit that suits them"
            )
