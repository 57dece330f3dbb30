"""All science images of a file in one run, such as the chips of a camera: each a plane, and a file of its own again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gensr.errors import DomainError
from gensr.scenes.scene import Scene
from gensr.scenes.stack import StackScene
from gensr.values.area import Bounds
from gensr.values.grid import Window
from gensr.values.normalise import AffineNormaliser, Normaliser

from .container import Container
from .hdus import science
from .scene import FitsScene

SKIES = 2.0
"""Noise deviations of the sky by which chips may differ and still be seen on one scale."""
NOISES = 1.5
"""Ratio of the noise of chips up to which one level serves all."""


class ChipsScene(StackScene):
    """Science images of one shape, kind of values and unit.

    Args:
        chips: opened, each with its own coordinates, errors and flags.
    """

    def __init__(self, chips: list[FitsScene]) -> None:
        first = chips[0]
        for chip in chips:
            same = {
                "size": chip.layer.shape == first.layer.shape,
                "unit": chip.unit == first.unit,
                "kind of values": chip.values is first.values,
            }
            wrong = [word for word, good in same.items() if not good]
            if wrong or chip.planes != 1:
                what = f"another {' and '.join(wrong)} than {first.layer.label}" if wrong else "several planes"
                raise DomainError(f"{chip.path.name}: {chip.layer.label} has {what}; give one of them with hdu=")
        super().__init__(chips)
        self.chips = tuple(chips)

    def crop(self, window: Window) -> Scene:
        """See `Scene.crop`: the same pixels of every chip."""
        part = ChipsScene([chip.cut(window) for chip in self.chips])
        part.origin = (window.row, window.col)
        return part

    def cover(self, bounds: Bounds) -> tuple[float, float, float, float]:
        """See `Scene.cover`.

        Raises:
            DomainError: always, as every chip looks elsewhere.
        """
        raise DomainError(
            f"{self.path.name}: bounds= with hdu=all: every chip looks elsewhere; use srcwin=, or one hdu="
        )

    def metadata(self) -> dict[str, Any]:
        """See `Scene.metadata`: that of the first chip, and which there are."""
        return {**super().metadata(), "images": [chip.layer.label for chip in self.chips]}

    def normaliser(self) -> Normaliser:
        """See `Scene.normaliser`: the sky and its noise, which are those of all chips.

        Raises:
            DomainError: they differ too much for one scale.
        """
        gains = np.array([chip.sky.gain for chip in self.chips])
        levels = np.array([chip.sky.level for chip in self.chips])
        gain, level = float(np.median(gains)), float(np.median(levels))
        if gains.max() > NOISES * gains.min() or np.abs(levels - level).max() > SKIES * gain:
            raise DomainError(
                f"{self.path.name}: sky or noise of its {self.planes} images differ too much for one run; "
                "give them one after the other with hdu="
            )
        return AffineNormaliser((gain,), (level,))


def open_all(path: Path, options: Mapping[str, Any]) -> Scene:
    """Every science image of a file; the scene of the image where there is one.

    Raises:
        FormatError: see `FitsScene`.
        DomainError: images that do not belong together.
    """
    container = Container(path)
    try:
        places = [layer.index for layer in science(container.layers, path.name)]
    finally:
        container.close()
    chips: list[FitsScene] = []
    try:
        for place in places:
            chips.append(FitsScene(path, {**options, "hdu": place}))
        return chips[0] if len(chips) == 1 else ChipsScene(chips)
    except BaseException:
        for chip in chips:
            chip.close()
        raise
