"""A scene as its own truth: windows of its data are coarsened by its operator, reconstructed, and laid beside the data.

Noisy data cannot be their own truth as they are: their noise would be part of the coarse data as well, and whatever
passes it on would look good. So every datum ``y`` of noise variance ``v`` is split in two whose noise is independent
(Rasines and Young, 2023, doi:10.1093/biomet/asac070),

    u = y + a w        t = y - w / a        w ~ N(0, v),        variances (1 + a^2) v and (1 + 1/a^2) v,

the first is coarsened, the second is what is compared with. With ``a^2`` one less than the pixels of a block, a coarse
mean is as noisy as a datum is: the trial is as hard as the run that it stands for. Sums are tried as means, on the
scale of the data. Images that are smooth at the scale of their pixels are blurred first, see `smoothness`; what noise
the coarse data lose by that is put back.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from gensr.operators.resample import upsample
from gensr.pipeline.reconstruct import in_memory
from gensr.pipeline.smoothness import blurred, energy, own_energy, width_of
from gensr.pipeline.task import QUANTISATION, Task
from gensr.pipeline.tiles import Tile, tileable
from gensr.scenes.scene import Scene
from gensr.scenes.statistics import places, without
from gensr.values.grid import PixelGrid, Window
from gensr.values.image import Image
from gensr.values.noise import StatedNoise
from gensr.values.random import Stream

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
SIDE = 128
"""Side of a window, pixels of the scene."""
FEWEST, USUAL = 8, 16
"""Coarse data along the smallest window, and along the side of one where factors are large."""
EDGE = 2
"""Coarse data along cut edges of a window that are not compared: their context is missing."""
WHOLE = 1 << 20
"""Most pixels of a plane where a window does not say what the plane does."""
VALUES, TOGETHER = 1 << 22, 1 << 19
"""Most values, of all windows and bands, that a trial holds; and of one window, which is answered at once."""
TOUCHED = 1e-3
"""Weight of bad pixels in a coarse datum, relative to all, at which it is bad as well."""


@dataclass(frozen=True, eq=False)
class Compared:
    """One window; arrays are (band, rows, cols), physical units of the data.

    Attributes:
        plane: of the scene.
        window: of the scene.
        values: the data as they are.
        truth: what answers are compared with.
        noise: variance of its noise.
        data: variance of the noise of the data.
        lanczos: interpolation of the coarse data.
        mean: of the posterior.
        std: the same without any conformal factor.
        draws: variance of draws; None where none were asked for.
        use: bool, what may be compared.
    """

    plane: int
    window: Window
    values: Array
    truth: Array
    noise: Array
    data: Array
    lanczos: Array
    mean: Array
    std: Array
    draws: Array | None
    use: Mask


@dataclass(frozen=True, eq=False)
class Halves:
    """Data that were split: one half coarsened, the other fine; on the scale of a pixel, which is that of the data.

    Attributes:
        coarse: the first half, with its noise as stated variance.
        truth: the second, (band, rows, cols).
        noise: variance of its noise.
        data: variance of the noise of the data.
        known: bool, where the second half says something.
    """

    coarse: Image
    truth: Array
    noise: Array
    data: Array
    known: Mask


def obstacle(scene: Scene, task: Task) -> str:
    """Why a scene cannot be tried, as the end of a sentence; "" if it can."""
    shape, factor = scene.grid.shape, task.factor
    if factor == (1, 1):
        return "data are judged by coarsening them by the factor, and 1 leaves them as they are"
    rows, cols = (n // f for n, f in zip(shape, factor, strict=True))
    said = f"{shape[1]} x {shape[0]} pixels are too {{}} to be coarsened by {factor[0]} x {factor[1]} and judged"
    if min(rows, cols) < FEWEST:
        least = " x ".join(str(FEWEST * f) for f in reversed(factor))
        return said.format("small") + f": {least} are the least"
    if tileable(task):
        return ""
    if shape[0] * shape[1] > WHOLE:
        return said.format("many") + " at once, which this generator or operator needs"
    if not task.generator.serves(task.unit, (rows * factor[0], cols * factor[1])):
        return f"{task.generator.card.name} answers no picture of {cols * factor[1]} x {rows * factor[0]} pixels"
    return ""


def chosen(scene: Scene, task: Task, windows: int, pixels: float = VALUES) -> list[tuple[int, Window]]:
    """Planes and windows that are tried, spread evenly; none where there is not enough leave.

    Args:
        scene: that has no `obstacle`.
        task: what is computed.
        windows: at most.
        pixels: of the scene, at most, in all windows together.
    """
    shape, factor, bands = scene.grid.shape, task.factor, len(scene.bands)
    if not tileable(task):
        rows, cols = (n // f * f for n, f in zip(shape, factor, strict=True))
        count = int(min(windows, max(1, VALUES // (rows * cols * bands)), pixels // (rows * cols)))
        return list(places(scene.planes, (rows, cols), count, max(rows, cols)))
    step = math.lcm(*factor)
    side = max(SIDE, USUAL * max(factor))
    while side > FEWEST * max(factor) and side * side * bands > TOGETHER:
        side //= 2
    side = min(side, math.isqrt(int(min(pixels, side * side)))) // step * step
    if side < FEWEST * max(factor):
        return []
    count = int(min(windows, max(1, VALUES // (side * side * bands)), pixels // (side * side)))
    return [(plane, _whole(window, factor)) for plane, window in places(scene.planes, shape, count, side)]


def _whole(window: Window, factor: tuple[int, int]) -> Window:
    """The window without what is left of a last block."""
    return Window(window.row, window.col, window.rows // factor[0] * factor[0], window.cols // factor[1] * factor[1])


def compare(
    scene: Scene, task: Task, where: Sequence[tuple[int, Window]], draws: int = 0, every: int = 1
) -> Iterator[Compared]:
    """Try windows one after the other.

    Args:
        scene: whose data are tried.
        task: of the run, on the scene.
        where: planes and windows, see `chosen`.
        draws: posterior samples of a window, 0 for none.
        every: one window in so many has draws.

    Raises:
        GensrError: the generator cannot answer.
    """
    images = [without(scene.read(plane, window), plane, scene.repeated) for plane, window in where]
    widths = smoothing(images, task)
    for index, ((plane, window), image) in enumerate(zip(where, images, strict=True)):
        if image.usable.any():
            count = 0 if index % every else draws
            yield _compared(scene, replace(task, samples=count), Place(index, plane, window), image, widths)


class Place(NamedTuple):
    """Of a window: its number, its plane, and where it lies there."""

    number: int
    plane: int
    window: Window


def smoothing(images: Sequence[Image], task: Task) -> tuple[float, ...]:
    """Blurs of the bands, in coarse pixels, that leave coarse data as smooth as the data are; see `smoothness`."""
    bands = len(images[0].bands) if images else 0
    values = [_gapless(image) for image in images]
    noise = [_variance(image, task, v) for image, v in zip(images, values, strict=True)]

    def width(band: int) -> float:
        usable = [image.usable[band] for image in images]
        known = [n[band][u] for n, u in zip(noise, usable, strict=True)]
        mean = float(np.concatenate(known).mean()) if any(k.size for k in known) else 0.0
        return width_of([v[band] for v in values], usable, mean, task.operator)

    return tuple(width(band) for band in range(bands))


def _compared(scene: Scene, task: Task, place: Place, image: Image, widths: Sequence[float]) -> Compared:
    index, plane, window = place
    stream = Stream(task.seed).child("check", "plane", plane)
    halves = split(image, task, stream, window, widths)
    coarse, gain = halves.coarse, task.operator.gain
    if not task.exact:
        task = replace(task, noise_model=StatedNoise(float(np.sqrt(np.median(halves.data)))))
    area = _coarse_place(window, task.factor)
    tile = Tile(index, plane, area, area, (True, True))
    found = in_memory(scene.path.name, lambda _plane, _window: coarse, task, (tile,))[0]
    conformal = np.array(task.conformal)[:, None, None]
    drawn = np.stack(found.samples).var(0, ddof=1) if len(found.samples) > 1 else None
    filled = np.stack([_filled(v, u) for v, u in zip(coarse.values, coarse.usable, strict=True)])
    return Compared(
        plane,
        window,
        image.values.astype(np.float64),
        halves.truth,
        halves.noise,
        halves.data,
        upsample(filled, task.factor, "lanczos"),
        found.mean.astype(np.float64) * gain,
        found.std.astype(np.float64) * gain / conformal,
        None if drawn is None else drawn * gain**2,
        halves.known & _surrounded(coarse.usable, task.factor) & _inside(window, scene.grid.shape, task)[None],
    )


def split(image: Image, task: Task, stream: Stream, window: Window, widths: Sequence[float] | None = None) -> Halves:
    """Split the data of a window, see the module text; exact data are both halves.

    Args:
        image: of the window; sides are multiples of the factor.
        task: of the run.
        stream: of the plane.
        window: whose place the noise is attached to.
        widths: blur of every band, coarse pixels, see `smoothing`; None for none.
    """
    factor, gain, forward = task.factor, task.operator.gain, task.operator.forward
    widths = widths or (0.0,) * len(image.bands)
    values = _gapless(image)
    data = _variance(image, task, values)
    truth, noise, first, wanted = values, data, values, 1.0
    place = (window.row, window.col, window.rows, window.cols, len(values))
    if not task.exact:
        wanted = float(math.prod(factor))
        a = math.sqrt(wanted - 1)
        w = stream.field(*place).double().numpy() * np.sqrt(data)
        first, truth, noise = values + a * w, values - w / a, (1 + 1 / a**2) * data
    first, truth, noise = (_each(x, widths, factor, root) for x, root in ((first, 1), (truth, 1), (noise, 2)))
    bad = _each((~image.usable).astype(np.float64), widths, factor, 1)
    coarse = (forward(torch.from_numpy(first)) / gain).numpy()
    shape = (coarse.shape[-2], coarse.shape[-1])
    # Exact where a block has one variance, or is a plain mean; a good approximation where it changes slowly.
    mean = (forward(torch.from_numpy(data)) / gain).clamp(min=0).numpy()
    variance = mean * wanted * energy(task.operator, 0.0, shape)
    if not task.exact and any(widths):
        passed = np.array([energy(task.operator, width, shape) for width in widths])[:, None, None]
        lost = (variance - mean * wanted * passed).clip(min=0)  # what the blur took is put back
        coarse += (
            np.sqrt(lost) * stream.child("coarse").field(*_coarse_place(window, factor), len(values)).double().numpy()
        )
    blocks = (
        torch.from_numpy(~image.usable).unflatten(-1, (-1, factor[1])).any(-1).unflatten(-2, (-1, factor[0])).any(-2)
    )
    usable = (forward(torch.from_numpy(bad)).abs() / gain <= TOUCHED).numpy() & ~blocks.numpy()
    grid = PixelGrid(shape)
    made = Image(coarse, grid, usable, usable.copy(), image.bands, image.unit, None if task.exact else variance)
    return Halves(made, truth, noise, data, image.usable & (bad <= TOUCHED))


def _each(values: Array, widths: Sequence[float], factor: tuple[int, int], root: int) -> Array:
    """Bands after their blur; of variances (``root`` 2) after that of the squared weights."""
    found = []
    for band, width in zip(values, widths, strict=True):
        scale = own_energy(width, factor) if root == 2 else 1.0
        found.append(scale * blurred(band, width / math.sqrt(root), factor))
    return np.stack(found)


def _gapless(image: Image) -> Array:
    return np.stack([_filled(v.astype(np.float64), u) for v, u in zip(image.values, image.usable, strict=True)])


def _variance(image: Image, task: Task, values: Array) -> Array:
    """Of the noise of the data; where they are not usable, that of a neighbour. Exact data have that of rounding."""
    if task.exact:
        return np.full_like(values, (QUANTISATION * task.quantum) ** 2)
    stated = None if image.variance is None else torch.from_numpy(image.variance.astype(np.float64))
    found = task.variance(torch.from_numpy(values), stated).numpy()
    return np.stack([_filled(v, u) for v, u in zip(found, image.usable, strict=True)])


def _filled(values: npt.NDArray[np.floating], usable: Mask) -> Array:
    """One band (rows, cols) with the nearest usable value where there is none; 0 where nothing is usable."""
    if usable.all() or not usable.any():
        return np.where(usable, values, 0.0).astype(np.float64)
    from scipy.ndimage import distance_transform_edt

    nearest = distance_transform_edt(~usable, return_distances=False, return_indices=True)
    return np.asarray(values[tuple(nearest)], np.float64)


def _surrounded(usable: Mask, factor: tuple[int, int]) -> Mask:
    """Fine pixels whose coarse datum and its neighbours are usable, so that no interpolation rests on filled values."""
    padded = np.pad(usable, ((0, 0), (1, 1), (1, 1)), mode="edge")
    rows, cols = usable.shape[-2:]
    around = np.stack([padded[:, i : i + rows, j : j + cols] for i in range(3) for j in range(3)]).all(0)
    return np.asarray(around.repeat(factor[0], 1).repeat(factor[1], 2))


def _inside(window: Window, shape: tuple[int, int], task: Task) -> Mask:
    """Pixels (rows, cols) of a window that lie away from edges that are not those of the scene."""
    kept = np.zeros((window.rows, window.cols), bool)
    first, last = [], []
    for start, size, whole, f in zip(window[:2], window[2:], shape, task.factor, strict=True):
        margin = EDGE * f if size >= 4 * EDGE * f else 0
        first.append(margin if start else 0)
        last.append(size - (margin if start + size + f <= whole else 0))
    kept[first[0] : last[0], first[1] : last[1]] = True
    return kept


def _coarse_place(window: Window, factor: tuple[int, int]) -> Window:
    """Where a window lies on the coarse grid: what the noise of draws is attached to."""
    (row, col, rows, cols), (fy, fx) = window, factor
    return Window(row // fy, col // fx, rows // fy, cols // fx)
