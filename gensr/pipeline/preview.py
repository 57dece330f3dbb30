"""The preview panel: input, Lanczos, mean, standard deviation, residual and one sample, side by side."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from gensr.errors import out_of_memory
from gensr.operators.resample import upsample
from gensr.pipeline.coarsened import Compared
from gensr.pipeline.reconstruct import TileResult
from gensr.pipeline.store import MEAN, STD, Layout, Shape, Store, sample_name
from gensr.pipeline.tiles import Tile
from gensr.scenes.scene import Scene
from gensr.values.grid import Factor, Window
from gensr.values.image import Image
from gensr.values.precision import SINGLE, Real

SIDE = 384
"""Side of one picture, pixels."""
VALUES = 1 << 22
"""Values of all bands of one picture at most; many bands show a smaller part."""
GAP = 8
TITLE = 18
PREFIX = "preview_"
"""What the names of the preview's rasters begin with."""
RESIDUAL, SAMPLE = "residual", sample_name(0)
Picture = npt.NDArray[np.uint8]


def panel(scene: Scene, title: str, factor: Factor, image: Image, fine: Mapping[str, Real]) -> bytes:
    """PNG of the pictures for one window of one plane.

    Args:
        scene: the input, which renders physical values.
        title: a line above the pictures: domain and generator.
        factor: refinement.
        image: the window of the input; its place is that of `window_of`.
        fine: refined arrays (band, y, x), on the scale of the input: "mean", "std", "residual" (in units of the
            noise, on the input's grid) and "sample0" if one was drawn.
    """
    fy, fx = factor
    reference = np.where(image.valid, image.values, np.nan)
    hidden = ~nearest(image.valid, fy, fx)

    def shown(values: Real) -> Picture:
        return np.asarray(scene.render(np.where(hidden, np.nan, values), reference), np.uint8)

    pictures = [
        ("input", np.asarray(scene.render(nearest(reference, fy, fx), reference), np.uint8)),
        ("Lanczos", shown(lanczos(image, factor))),
        ("mean (generated)", shown(fine[MEAN])),
        ("std", heat(fine[STD])),
        ("residual / noise", _diverging(nearest(fine[RESIDUAL], fy, fx))),
    ]
    if SAMPLE in fine:
        pictures.append(("one sample (generated)", shown(fine[SAMPLE])))
    return compose(title, pictures)


def plain(scene: Scene, title: str, factor: Factor) -> bytes:
    """PNG of a window of the input alone, each pixel repeated.

    Args:
        scene: see `panel`.
        title: see `panel`.
        factor: refinement.
    """
    plane, window = window_of(scene, factor)
    image = scene.read(plane, window)
    values = np.where(image.valid, image.values, np.float32(np.nan))
    return compose(title, [("labels", np.asarray(scene.render(nearest(values, *factor), values), np.uint8))])


def trial_panel(scene: Scene, title: str, trial: Compared) -> bytes:
    """PNG of a window that was coarsened, answered and compared with its own data.

    Args:
        scene: the input, which renders physical values.
        title: a line above the pictures.
        trial: the window.
    """
    reference = np.where(trial.use, trial.values, np.nan)
    error = np.where(trial.use, np.abs(trial.mean - trial.truth), np.nan)
    std = np.where(trial.use, trial.std, np.nan)
    top = float(np.nanpercentile(error.mean(0), 99.5)) if trial.use.all(0).any() else 1.0

    def shown(values: Real) -> Picture:
        return np.asarray(scene.render(np.where(trial.use, values, np.nan), reference), np.uint8)

    pictures = [
        ("data", shown(trial.values)),
        ("Lanczos", shown(trial.lanczos)),
        ("mean (generated)", shown(trial.mean)),
        ("std", heat(std, top)),
        ("|error| and noise, as bright as std", heat(error, top)),
    ]
    return compose(title, pictures)


def window_of(scene: Scene, factor: tuple[int, int]) -> tuple[int, Window]:
    """Plane and window that the preview shows: the middle of the middle plane."""
    rows, cols = scene.grid.shape
    side = min(SIDE, int((VALUES / len(scene.bands)) ** 0.5))
    h, w = min(rows, max(1, side // factor[0])), min(cols, max(1, side // factor[1]))
    return scene.planes // 2, Window((rows - h) // 2, (cols - w) // 2, h, w)


def layout(scene: Scene, factor: Factor, samples: int) -> Layout:
    """Rasters of what the preview shows, on the scale of the input."""
    _, coarse = window_of(scene, factor)
    fine, bands = coarse.refine(factor), len(scene.bands)
    shown = (1, bands, fine.rows, fine.cols)
    names = [MEAN, STD, *([SAMPLE] if samples else [])]
    residual: Shape = (1, bands, coarse.rows, coarse.cols)
    rasters: Layout = {f"{PREFIX}{name}": (shown, scene.precision) for name in names}
    return {**rasters, f"{PREFIX}{RESIDUAL}": (residual, SINGLE)}


def keep(store: Store, scene: Scene, factor: Factor, gain: float, tile: Tile, result: TileResult) -> None:
    """Put the part of a tile that lies in the preview into its rasters."""
    plane, window = window_of(scene, factor)
    if tile.plane != plane:
        return
    scale, area, fine = result.mean.dtype.type(gain), tile.core.refine(factor), window.refine(factor)
    shown = {MEAN: result.mean * scale, STD: result.std * scale}
    if result.samples:
        shown[SAMPLE] = result.samples[0] * scale
    first = tile.span(len(scene.bands))[0]
    for name, values in shown.items():
        _paint(store, name, fine, area, values, first)
    _paint(store, RESIDUAL, window, tile.core, result.whitened, first)


def _paint(store: Store, name: str, shown: Window, area: Window, values: Real, first: int) -> None:
    """Write the part of an area that lies in the window that is shown."""
    top, left = max(area.row, shown.row), max(area.col, shown.col)
    bottom = min(area.row + area.rows, shown.row + shown.rows)
    right = min(area.col + area.cols, shown.col + shown.cols)
    if bottom > top and right > left:
        part = values[:, top - area.row : bottom - area.row, left - area.col : right - area.col]
        place = Window(top - shown.row, left - shown.col, bottom - top, right - left)
        store.rasters[f"{PREFIX}{name}"].write(0, place, part, first)


def picture(store: Store, scene: Scene, title: str, factor: Factor) -> bytes:
    """PNG of the panel of a finished store."""
    plane, window = window_of(scene, factor)
    rasters = {n.removeprefix(PREFIX): r for n, r in store.rasters.items() if n.startswith(PREFIX)}
    fine = {name: raster.read(0, Window(0, 0, *raster.shape[2:])) for name, raster in rasters.items()}
    return panel(scene, title, factor, scene.read(plane, window), fine)


def nearest(values: npt.NDArray[Any], fy: int, fx: int) -> npt.NDArray[Any]:
    """Every pixel of (band, y, x) repeated."""
    return np.repeat(np.repeat(values, fy, 1), fx, 2)


def lanczos(image: Image, factor: Factor) -> Real:
    """An image by interpolation, its gaps filled with the median."""
    middle = float(np.median(image.values[image.valid])) if image.valid.any() else 0.0
    return upsample(np.where(image.valid, image.values, middle).astype(np.float64), factor, "lanczos")


def heat(values: Real, top: float | None = None) -> Picture:
    """Black, red, yellow, white from 0 to ``top``, by itself the 99.5 percentile; grey where unknown."""
    level = values.mean(0)
    known = np.isfinite(level)
    if top is None:
        top = float(np.percentile(level[known], 99.5)) if known.any() else 1.0
    t = np.clip(np.nan_to_num(level) / (top or 1.0), 0, 1)
    rgb = np.stack([np.clip(3 * t, 0, 1), np.clip(3 * t - 1, 0, 1), np.clip(3 * t - 2, 0, 1)], -1)
    rgb[~known] = 0.5
    return np.asarray(rgb * 255, np.uint8)


def _diverging(values: Real) -> Picture:
    """Blue to white to red from -3 to 3; grey where unknown."""
    level = values.mean(0)
    known = np.isfinite(level)
    t = np.clip(np.nan_to_num(level) / 3, -1, 1)
    rgb = np.stack([1 + np.minimum(t, 0), 1 - np.abs(t), 1 - np.maximum(t, 0)], -1)
    rgb[~known] = 0.5
    return np.asarray(rgb * 255, np.uint8)


def _load_letters() -> None:
    """Load what Pillow draws letters with; without memory for it Pillow would draw others, and say nothing.

    Raises:
        ImportError: there is no memory for it.
    """
    try:
        from PIL import _imagingft  # noqa: F401
    except ImportError as error:
        if out_of_memory(error):
            raise


def compose(title: str, pictures: list[tuple[str, Picture]], columns: int = 3, mark: str = "") -> bytes:
    """PNG of pictures beside and below each other.

    Args:
        title: a line above.
        pictures: label and RGB (y, x, 3) of each.
        columns: pictures beside each other.
        mark: a sentence in the PNG's own text.
    """
    from PIL import Image as Pillow
    from PIL import ImageDraw, PngImagePlugin

    _load_letters()
    width = max(p.shape[1] for _, p in pictures)
    height = max(p.shape[0] for _, p in pictures)
    scale = max(1, round(SIDE / max(width, height)))
    cell_w, cell_h = width * scale, height * scale
    lines = -(-len(pictures) // columns)
    cell_w = max(cell_w, 150)
    size = (columns * (cell_w + GAP) + GAP, lines * (cell_h + TITLE + GAP) + GAP + TITLE)
    sheet = Pillow.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    draw.text((GAP, GAP // 2), title.encode("latin-1", "replace").decode("latin-1"), fill="black")
    for i, (name, picture) in enumerate(pictures):
        x, y = GAP + (i % columns) * (cell_w + GAP), GAP + TITLE + (i // columns) * (cell_h + TITLE + GAP)
        draw.text((x, y), name, fill="black")
        own = Pillow.fromarray(np.ascontiguousarray(picture, np.uint8))
        own = own.resize((picture.shape[1] * scale, picture.shape[0] * scale), Pillow.Resampling.NEAREST)
        sheet.paste(own, (x, y + TITLE))
    buffer = io.BytesIO()
    text = PngImagePlugin.PngInfo()
    if mark:
        text.add_text("Comment", mark)
    sheet.save(buffer, "PNG", pnginfo=text)
    return buffer.getvalue()
