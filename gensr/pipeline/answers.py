"""The sheet of several answers: each with how well it explains the data, and what all of them have in common."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gensr.metrics.diversity import agreement
from gensr.pipeline import preview
from gensr.pipeline.preview import SIDE, Picture
from gensr.pipeline.task import Task
from gensr.scenes.product import Product
from gensr.scenes.provenance import MARK
from gensr.scenes.scene import Scene
from gensr.values.grid import Window
from gensr.values.precision import Real

MOST, PARTS, COLUMNS = 16, 4, 4
"""Answers and parts that are shown, and pictures beside each other."""
SHARED = 0.5
"""Share of the added detail that answers must have in common where it is shown as it is."""
WARNING = "features outside it are inventions of the model"
NOT_FOR = "not for identification"
_INK = np.array([214, 39, 120], np.float64)
"""Colour of what answers do not agree about."""


@dataclass(frozen=True)
class Shown:
    """A part of a scene and its answers.

    Attributes:
        name: before every title, such as "face 2"; empty for all of the scene.
        plane: of the scene.
        window: of the input.
        told: of each answer, how well it explains the data: see `verdict`.
    """

    name: str
    plane: int
    window: Window
    told: Sequence[Mapping[str, Any]]


def verdict(task: Task, data: Tensor, sample: Real, edge: int = 0) -> dict[str, Any]:
    """How well one answer explains its data.

    Exact data are explained to half a code; with noise the mean squared residual in units of it is 1 within three
    standard deviations of a mean of so many squares, or within a half where these are many.

    Args:
        task: operator and noise.
        data: (band, y, x) float64, physical units.
        sample: (band, y * fy, x * fx), physical units.
        edge: data at each border that do not count, because the answer goes on beyond it.
    """
    residual = data - task.operator.forward(torch.from_numpy(sample.astype(np.float64)))
    deviation = task.deviation(data)
    rows, cols = (slice(edge, n - edge) if n > 2 * edge else slice(None) for n in residual.shape[-2:])
    residual, deviation = residual[..., rows, cols], deviation[..., rows, cols]
    rms = float(residual.square().mean().sqrt()) / (task.quantum or 1.0)
    if task.exact:
        return {"residual rms in codes": round(rms, 4), "consistent": rms <= 0.5}
    chi2 = float((residual / deviation).square().mean())
    sigma = math.sqrt(2 / residual.numel())
    good = abs(chi2 - 1) <= max(0.5, 3 * sigma)
    return {"residual rms in codes": round(rms, 4), "chi2 per datum": round(chi2, 4), "consistent": good}


def of_scene(scene: Scene, task: Task, product: Product) -> list[Shown]:
    """The part of a scene that its preview shows; nothing where there are not several answers, or nobody looks."""
    if not scene.looked_at or product.samples < 2:
        return []
    plane, window = preview.window_of(scene, task.factor)
    data = torch.from_numpy(scene.read(plane, window).values.astype(np.float64))
    edge = 0 if window == Window(0, 0, *scene.grid.shape) else task.operator.reach
    fine = window.refine(task.factor)
    answers = (product.sample(k, plane, fine) for k in range(min(MOST, product.samples)))
    return [Shown("", plane, window, [verdict(task, data, answer, edge) for answer in answers])]


def sheet(scene: Scene, title: str, product: Product, shown: Sequence[Shown]) -> bytes:
    """PNG of input, mean, every answer with its verdict, deviation, and the mean inked where answers disagree.

    Args:
        scene: the input, whose stored values are physical ones.
        title: a line above.
        product: finished results with two samples or more.
        shown: the parts, the first `PARTS` of which are shown.
    """
    pictures: list[tuple[str, Picture]] = []
    for part in shown[:PARTS]:
        name = f"{part.name}: " if part.name else ""
        pictures += [(name + label, _fitted(made)) for label, made in _pictures(scene, product, part)]
        pictures += [("", np.full((1, 1, 3), 255, np.uint8))] * (-len(pictures) % COLUMNS)
    return preview.compose(f"{title}; {NOT_FOR}", pictures, COLUMNS, f"{MARK} {NOT_FOR.capitalize()}.")


def _pictures(scene: Scene, product: Product, part: Shown) -> list[tuple[str, Picture]]:
    image, fine = scene.read(part.plane, part.window), part.window.refine(product.factor)
    step = max(1, max(fine.rows, fine.cols) // SIDE)

    def drawn(values: npt.NDArray[Any]) -> Picture:
        return np.asarray(scene.render(values.astype(np.float32), image.values), np.uint8)

    samples = [_coarser(product.sample(k, part.plane, fine), step) for k in range(len(part.told[:MOST]))]
    smooth = _coarser(preview.lanczos(image, product.factor), step)
    mean = drawn(_coarser(product.mean(part.plane, fine), step))
    shared = agreement(np.stack(samples) - smooth, max(1.0, max(product.factor) / step))
    answers = [(f"answer {k}: {_words(told)}", sample) for k, (told, sample) in _numbered(part.told, samples)]
    return [
        ("input", drawn(_coarser(preview.nearest(image.values, *product.factor), step))),
        ("mean (generated)", mean),
        *((label, drawn(sample)) for label, sample in answers),
        ("std", preview.heat(_coarser(product.std(part.plane, fine), step))),
        (f"agreement: {WARNING}", inked(mean, shared)),
    ]


def _numbered(told: Sequence[Mapping[str, Any]], samples: Sequence[Real]) -> enumerate[tuple[Mapping[str, Any], Real]]:
    return enumerate(zip(told[:MOST], samples, strict=True), 1)


def _words(told: Mapping[str, Any]) -> str:
    """A verdict, as short as a picture is wide."""
    chi2 = told.get("chi2 per datum")
    figure = f"residual {told['residual rms in codes']:.2g} codes" if chi2 is None else f"chi2 {chi2:.2f}"
    return f"{figure}, {'explains' if told['consistent'] else 'does NOT explain'} the data"


def inked(ground: Picture, shared: npt.NDArray[np.float64]) -> Picture:
    """A picture whose inventions are inked: where less than `SHARED` of the added detail is common to all answers.

    Args:
        ground: RGB (y, x, 3).
        shared: (y, x), see `gensr.metrics.diversity.agreement`.
    """
    doubt = np.clip(1 - shared / SHARED, 0, 1)[..., None] * 0.75
    grey = np.repeat(ground.mean(-1, keepdims=True), 3, -1)
    mixed = np.where(doubt > 0, grey * (1 - doubt) + _INK * doubt, ground)
    return np.asarray(np.rint(mixed), np.uint8)


def _coarser(values: npt.NDArray[Any], step: int) -> npt.NDArray[np.float64]:
    """Means over squares of (band, y, x): a sheet shows no more, and eight answers of a megapixel are large."""
    bands, rows, cols = values.shape
    values = values[:, : max(1, rows // step) * step, : max(1, cols // step) * step].astype(np.float64)
    if values.shape[1] < step or values.shape[2] < step:
        return values
    return np.asarray(values.reshape(bands, rows // step, step, cols // step, step).mean((2, 4)))


def _fitted(picture: Picture) -> Picture:
    """A picture whose longer side is `SIDE`, so that small parts are as large as large ones."""
    from PIL import Image

    rows, cols = picture.shape[:2]
    times = SIDE / max(rows, cols)
    size = (max(1, round(cols * times)), max(1, round(rows * times)))
    how = Image.Resampling.NEAREST if times >= 1 else Image.Resampling.BOX
    return np.asarray(Image.fromarray(np.ascontiguousarray(picture)).resize(size, how))
