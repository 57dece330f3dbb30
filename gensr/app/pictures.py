"""What the page shows: pictures of the input, of interpolation, of every answer, and overlays of what is not certain.

They are made of the written outputs, opened again by the domain that wrote them, so that what is seen is what is
downloaded; large images are shown by their middle.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gensr.app.orders import AGREEMENT, INPUT, LANCZOS, MEAN, STD
from gensr.errors import GensrError
from gensr.metrics.diversity import agreement
from gensr.pipeline.answers import inked
from gensr.pipeline.preview import lanczos, nearest
from gensr.scenes import installed
from gensr.scenes.inputs import open_scene
from gensr.scenes.scene import Scene
from gensr.values.grid import Factor, Window
from gensr.values.image import Image
from gensr.values.precision import Real

SIDE = 1024
"""Longest side of a picture, pixels of the answer."""
VALUES = 1 << 23
"""Values of all bands of one picture at most."""
Picture = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class View:
    """The part of a scene that is shown.

    Attributes:
        plane: the middle one.
        coarse: window of the input.
        factor: refinement.
    """

    plane: int
    coarse: Window
    factor: Factor

    @classmethod
    def of(cls, scene: Scene, factor: Factor) -> View:
        """The whole of a small image, the middle of a large one."""
        side = min(SIDE, int(math.sqrt(VALUES / len(scene.bands))))
        rows, cols = scene.grid.shape
        h, w = (min(n, max(1, side // f)) for n, f in zip((rows, cols), factor, strict=True))
        return cls(scene.planes // 2, Window((rows - h) // 2, (cols - w) // 2, h, w), factor)

    @property
    def fine(self) -> Window:
        """The same in the answer."""
        return self.coarse.refine(self.factor)

    def whole(self, scene: Scene) -> bool:
        """Whether nothing is left out."""
        return scene.planes == 1 and self.coarse == Window(0, 0, *scene.grid.shape)


def shown(scene: Scene, domain: str, files: Mapping[str, Path], std: Real | None, factor: Factor) -> dict[str, Picture]:
    """Pictures by what they show: RGB (y, x, 3), all of one size.

    Args:
        scene: the input as it was answered.
        domain: that wrote the files.
        files: mean as "mean", samples as "answer 1", ...
        std: deviation (band, y, x) of the window that is shown, physical units; None where it is not at hand.
        factor: refinement.
    """
    view = View.of(scene, factor)
    image = scene.read(view.plane, view.coarse)
    reference = np.where(image.valid, image.values, np.nan)
    hidden = ~nearest(image.valid, *factor)

    def rendered(values: Real) -> Picture:
        return np.asarray(scene.render(np.where(hidden, np.nan, values), reference), np.uint8)

    smooth = lanczos(image, factor)
    made = {INPUT: rendered(nearest(reference, *factor)), LANCZOS: rendered(smooth)}
    answers = {name: read_back(path, domain, view) for name, path in files.items()}
    found = {name: values for name, values in answers.items() if values is not None and values.shape == smooth.shape}
    made |= {name: rendered(values) for name, values in found.items()}
    samples = [values for name, values in found.items() if name != MEAN]
    ground = made.get(MEAN, made[LANCZOS])
    if std is not None and std.shape == smooth.shape:
        made[STD] = heated(ground, std)
    if len(samples) > 1:
        usable = np.nan_to_num(np.stack(samples).astype(np.float64) - smooth)
        made[AGREEMENT] = inked(ground, agreement(usable, max(factor)))
    return made


def read_back(path: Path, domain: str, view: View) -> Real | None:
    """Physical values of an output; None where its format cannot be read back."""
    try:
        scene = open_scene(installed.domain(domain), path, {})
    except GensrError:
        return None
    try:
        rows, cols, fine = *scene.grid.shape, view.fine
        plane = scene.planes // 2
        if fine.row + fine.rows > rows or fine.col + fine.cols > cols:
            return None
        return np.asarray(scene.read(plane, fine).values)
    finally:
        scene.close()


def heated(ground: Picture, std: Real) -> Picture:
    """A picture in grey under its deviation: black to yellow, the 99.5 percentile at the top, clear where it is 0.

    Args:
        ground: RGB (y, x, 3).
        std: (band, y, x), NaN where unknown.
    """
    level = np.asarray(std, np.float64).mean(0)
    known = np.isfinite(level)
    top = float(np.percentile(level[known], 99.5)) if known.any() else 1.0
    t = np.clip(np.nan_to_num(level) / (top or 1.0), 0, 1)[..., None]
    heat = np.concatenate([np.clip(2 * t, 0, 1), np.clip(1.5 * t - 0.2, 0, 1), np.clip(3 * t - 2.4, 0, 1)], -1) * 255
    grey = np.repeat(ground.mean(-1, keepdims=True), 3, -1)
    weight = 0.25 + 0.65 * t
    return np.asarray(np.rint(np.where(known[..., None], grey * (1 - weight) + heat * weight, 128)), np.uint8)


def overview(scene: Scene) -> Picture:
    """The input as it came, at most `SIDE` pixels a side: whole where that is cheap, else its middle."""
    view = View.of(scene, (1, 1))
    image: Image = scene.read(view.plane, view.coarse)
    values = np.where(image.valid, image.values, np.nan)
    return np.asarray(scene.render(values, values), np.uint8)


def reduced(scene: Scene) -> Picture:
    """All of the input, averaged over blocks so that it has at most `SIDE` pixels a side; read in strips."""
    rows, cols = scene.grid.shape
    step = max(1, -(-max(rows, cols) // SIDE))
    plane, high = scene.planes // 2, step * max(1, VALUES // (step * cols * len(scene.bands)))
    strips = []
    for row in range(0, rows, high):
        image = scene.read(plane, Window(row, 0, min(high, rows - row), cols))
        values = np.where(image.valid, image.values, np.nan)
        down, across = (np.arange(0, n, step) for n in values.shape[1:])
        sums = np.add.reduceat(np.add.reduceat(values, down, 1, dtype=np.float64), across, 2)
        counts = np.outer(np.minimum(step, values.shape[1] - down), np.minimum(step, cols - across))
        strips.append(sums / counts)
    whole = np.concatenate(strips, 1)
    return np.asarray(scene.render(whole, whole), np.uint8)


def save(pictures: Mapping[str, Picture], folder: Path) -> list[str]:
    """Write each as ``<name>.png``; their names come back."""
    from PIL import Image as Pillow

    folder.mkdir(parents=True, exist_ok=True)
    for name, picture in pictures.items():
        Pillow.fromarray(np.ascontiguousarray(picture)).save(folder / f"{name}.png", "PNG")
    return list(pictures)


def named(files: Sequence[Path], mark: str) -> dict[str, Path]:
    """Mean and samples among the files of an answer, by what `shown` calls them.

    Args:
        files: what was written.
        mark: of the names, such as ``photo_x4_generated``.
    """
    found: dict[str, Path] = {}
    for path in files:
        rest = path.name.removeprefix(mark)
        if rest.startswith("."):
            found.setdefault(MEAN, path)
        elif rest.startswith("_sample"):
            digits = rest.removeprefix("_sample").partition(".")[0]
            found[f"answer {digits}"] = path
    return found
