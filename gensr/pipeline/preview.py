"""The preview panel: input, Lanczos, mean, standard deviation, residual and one sample, side by side."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from gensr.operators.resample import upsample
from gensr.scenes.domain import Domain, Scene
from gensr.values.grid import Factor, Window
from gensr.values.image import Image

SIDE = 384
"""Side of one picture, pixels."""
GAP = 8
TITLE = 18
Picture = npt.NDArray[np.uint8]
FloatArray = npt.NDArray[np.float32]


def panel(scene: Scene, domain: Domain, factor: Factor, image: Image, fine: Mapping[str, FloatArray]) -> bytes:
    """PNG of the pictures for one window of one plane.

    Args:
        scene: the input.
        domain: renders physical values.
        factor: refinement.
        image: the window of the input; its place is that of `window_of`.
        fine: refined arrays (band, y, x), on the scale of the input: "mean", "std", "residual" (in units of the
            noise, on the input's grid) and "sample0" if one was drawn.
    """
    fy, fx = factor
    reference = np.where(image.valid, image.values, np.float32(np.nan))
    hidden = ~_nearest(image.valid, fy, fx)

    def shown(values: FloatArray) -> Picture:
        return np.asarray(domain.render(scene, np.where(hidden, np.float32(np.nan), values), reference), np.uint8)

    pictures = [
        ("input", np.asarray(domain.render(scene, _nearest(reference, fy, fx), reference), np.uint8)),
        ("Lanczos", shown(_lanczos(image, factor))),
        ("mean (generated)", shown(fine["mean"])),
        ("std", _heat(fine["std"])),
        ("residual / noise", _diverging(_nearest(fine["residual"], fy, fx))),
    ]
    if "sample0" in fine:
        pictures.append(("one sample (generated)", shown(fine["sample0"])))
    return _compose(pictures)


def window_of(scene: Scene, factor: tuple[int, int]) -> tuple[int, Window]:
    """Plane and window that the preview shows: the middle of the middle plane."""
    rows, cols = scene.grid.shape
    h, w = min(rows, max(1, SIDE // factor[0])), min(cols, max(1, SIDE // factor[1]))
    return scene.planes // 2, Window((rows - h) // 2, (cols - w) // 2, h, w)


def _nearest(values: npt.NDArray[Any], fy: int, fx: int) -> npt.NDArray[Any]:
    return np.repeat(np.repeat(values, fy, 1), fx, 2)


def _lanczos(image: Image, factor: Factor) -> FloatArray:
    middle = np.float32(np.median(image.values[image.valid])) if image.valid.any() else np.float32(0)
    return upsample(np.where(image.valid, image.values, middle).astype(np.float32), factor, "lanczos")


def _heat(values: FloatArray) -> Picture:
    """Black, red, yellow, white from 0 to the 99.5 percentile; grey where unknown."""
    level = values.mean(0)
    known = np.isfinite(level)
    top = float(np.percentile(level[known], 99.5)) if known.any() else 1.0
    t = np.clip(np.nan_to_num(level) / (top or 1.0), 0, 1)
    rgb = np.stack([np.clip(3 * t, 0, 1), np.clip(3 * t - 1, 0, 1), np.clip(3 * t - 2, 0, 1)], -1)
    rgb[~known] = 0.5
    return np.asarray(rgb * 255, np.uint8)


def _diverging(values: FloatArray) -> Picture:
    """Blue to white to red from -3 to 3; grey where unknown."""
    level = values.mean(0)
    known = np.isfinite(level)
    t = np.clip(np.nan_to_num(level) / 3, -1, 1)
    rgb = np.stack([1 + np.minimum(t, 0), 1 - np.abs(t), 1 - np.maximum(t, 0)], -1)
    rgb[~known] = 0.5
    return np.asarray(rgb * 255, np.uint8)


def _compose(pictures: list[tuple[str, Picture]]) -> bytes:
    from PIL import Image as Pillow
    from PIL import ImageDraw

    width = max(p.shape[1] for _, p in pictures)
    height = max(p.shape[0] for _, p in pictures)
    scale = max(1, round(SIDE / max(width, height)))
    cell_w, cell_h = width * scale, height * scale
    columns = 3
    lines = -(-len(pictures) // columns)
    cell_w = max(cell_w, 150)
    sheet = Pillow.new("RGB", (columns * (cell_w + GAP) + GAP, lines * (cell_h + TITLE + GAP) + GAP), "white")
    draw = ImageDraw.Draw(sheet)
    for i, (title, picture) in enumerate(pictures):
        x, y = GAP + (i % columns) * (cell_w + GAP), GAP + (i // columns) * (cell_h + TITLE + GAP)
        draw.text((x, y), title, fill="black")
        own = Pillow.fromarray(np.ascontiguousarray(picture, np.uint8))
        own = own.resize((picture.shape[1] * scale, picture.shape[0] * scale), Pillow.Resampling.NEAREST)
        sheet.paste(own, (x, y + TITLE))
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    return buffer.getvalue()
