"""All science images of a file in one run, such as the chips of a camera: each a plane, and a file of its own again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gensr.errors import DomainError
from gensr.operators import Operator
from gensr.scenes.scene import Scene
from gensr.scenes.stack import StackScene
from gensr.values.area import Bounds
from gensr.values.grid import Factor, Window
from gensr.values.image import Image
from gensr.values.noise import Noise, StatedNoise
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

    @cached_property
    def _laws(self) -> tuple[Noise, ...]:
        """The noise of every chip, where all files say theirs; else nothing."""
        found = [noise for chip in self.chips if (noise := chip.noise()) is not None]
        return tuple(found) if len(found) == self.planes else ()

    @cached_property
    def _differ(self) -> bool:
        """Whether the noise of a pixel depends on its chip."""
        return any(isinstance(law, StatedNoise) or law != self._laws[0] for law in self._laws)

    def noise(self) -> Noise | None:
        """See `Scene.noise`: of every chip its own, pixel by pixel where they differ; measured where one says none."""
        if not self._differ:
            return self._laws[0] if self._laws else None
        skies = [law.typical(0) or _at(law, chip.sky.level) for law, chip in zip(self._laws, self.chips, strict=True)]
        return StatedNoise(float(np.median(skies)))

    def read(self, plane: int, window: Window) -> Image:
        """See `Scene.read`; with the variance that the noise of the chip gives every pixel, where chips differ."""
        image = super().read(plane, window)
        if not self._differ or image.variance is not None:
            return image
        variance = self._laws[plane].variance(torch.from_numpy(image.values.astype(np.float64)))
        return replace(image, variance=variance.contiguous().numpy())

    def operator(self, factor: Factor) -> Operator:
        """See `Scene.operator`.

        Raises:
            DomainError: a PSF to be undone that is not the same for all.
        """
        found = [chip.operator(factor) for chip in self.chips]
        if len({json.dumps(operator.describe(), sort_keys=True) for operator in found}) > 1:
            raise DomainError(
                f"{self.path.name}: its {self.planes} images have different PSFs; give them one by one with hdu="
            )
        return found[0]

    def metadata(self) -> dict[str, Any]:
        """See `Scene.metadata`: that of the first chip, which there are, and their noise where it is not the same."""
        told = {**super().metadata(), "images": [chip.layer.label for chip in self.chips]}
        noise = self.noise()
        if noise is None or self._differ:
            origins = [chip.metadata()["noise"]["from"] for chip in self.chips]
            told["noise"] = {**(noise.describe() if noise else {}), "from": "; ".join(dict.fromkeys(origins))}
        return told

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


def _at(law: Noise, level: float) -> float:
    """Deviation of the noise of a pixel of that level."""
    return float(law.variance(torch.tensor([level], dtype=torch.float64)).sqrt())


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
