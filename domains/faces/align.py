"""Where a face lies in a photo: landmarks, the aligned square of a generator, and the way there and back.

Coordinates are continuous, (x, y), in pixels of the photo: the centre of pixel (row i, column j) is (j + 0.5, i + 0.5).
Geometry of the square: Karras, Laine and Aila, arXiv:1812.04948 (FFHQ), written for five landmarks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample

from gensr.errors import DomainError
from gensr.values.grid import Window

Point = tuple[float, float]
Box = tuple[float, float, float, float]
"""x, y, width, height."""
Points = npt.NDArray[np.float64]
INNER, OUTER, ROUND = 0.70, 0.96, 4.0
"""Where the soft mask begins to fall and where it ends, as shares of the half side, and how square it is."""
MEAN_LANDMARKS: tuple[Point, ...] = ((41.9, 52.2), (86.1, 52.2), (63.7, 80.6), (44.1, 99.1), (83.9, 99.1))
"""Means of the corpus of the face priors in its crop of 128 pixels: eyes, nose, corners of the mouth."""
CORPUS_SIDE = 128.0
TIGHT = "tight0.72"
"""Convention of generators whose card names none."""


@dataclass(frozen=True)
class Convention:
    """How a generator's training pictures were cut.

    Attributes:
        size: side as a share of that of the FFHQ square.
        lower: how much lower than that its centre lies, as a share of the same side.
    """

    size: float
    lower: float


CONVENTIONS = {"ffhq": Convention(1.0, 0.0), TIGHT: Convention(0.72, 0.04)}


def convention(alignment: str) -> Convention:
    """The convention that a card names.

    Args:
        alignment: of the card; "" is `TIGHT`.

    Raises:
        DomainError: unknown.
    """
    found = CONVENTIONS.get(alignment or TIGHT)
    if found is None:
        raise DomainError(f"alignment {alignment!r} of a generator is none of {', '.join(CONVENTIONS)}")
    return found


@dataclass(frozen=True)
class Face:
    """A face in a photo.

    Attributes:
        box: around it, forehead to chin.
        landmarks: eye centres on the left and right of the picture, tip of the nose, corners of the mouth.
        score: of the detector, 0 to 1; 1 for a box of the user.
        number: from 1, the largest face first; 0 where it was not counted.
    """

    box: Box
    landmarks: tuple[Point, ...]
    score: float
    number: int = 0

    @property
    def eyes(self) -> float:
        """Distance of the eyes, pixels."""
        return math.dist(self.landmarks[0], self.landmarks[1])

    @property
    def size(self) -> float:
        """Half side of the FFHQ square, pixels: what faces are ordered by. Turned heads do not shrink in it."""
        return float(np.hypot(*_axes(self.landmarks)[1]))

    def crop(self, side: int, how: Convention = CONVENTIONS[TIGHT]) -> Crop:
        """The aligned square of this face.

        Args:
            side: pixels a side of the aligned picture.
            how: the generator's pictures were cut.
        """
        centre, x = _axes(self.landmarks)
        y = np.array([-x[1], x[0]])
        place, half = centre + 2 * how.lower * y, how.size * x
        return Crop((float(place[0]), float(place[1])), (float(half[0]), float(half[1])), side)


def _axes(landmarks: tuple[Point, ...]) -> tuple[Points, Points]:
    """Centre and half side (a vector along the rows) of the FFHQ square of five landmarks."""
    left, right, _, low_left, low_right = (np.array(p, np.float64) for p in landmarks)
    eyes, middle = right - left, (left + right) / 2
    down = (low_left + low_right) / 2 - middle
    x = eyes - np.array([-down[1], down[0]])
    length = float(np.hypot(*x))
    if length == 0:
        raise DomainError("the landmarks of a face lie in one point; give a box around the face")
    x = x / length * max(2 * float(np.hypot(*eyes)), 1.8 * float(np.hypot(*down)))
    return middle + 0.1 * down, x


@dataclass(frozen=True)
class Crop:
    """A square of a photo, turned upright: a similarity between its pixels and those of the photo.

    Attributes:
        centre: of the square in the photo.
        half: half of its side, as a vector along its rows, in pixels of the photo.
        side: pixels a side of the upright picture.
    """

    centre: Point
    half: Point
    side: int

    @property
    def length(self) -> float:
        """Side of the square, pixels of the photo."""
        return 2 * math.hypot(*self.half)

    @property
    def matrix(self) -> Points:
        """(2, 3): from (x, y, 1) of the upright picture to the photo."""
        (cx, cy), (hx, hy), step = self.centre, self.half, 2 / self.side
        return np.array([[hx * step, -hy * step, cx - hx + hy], [hy * step, hx * step, cy - hy - hx]])

    @property
    def inverse(self) -> Points:
        """(2, 3): from (x, y, 1) of the photo to the upright picture."""
        turn = np.linalg.inv(self.matrix[:, :2])
        return np.hstack([turn, -turn @ self.matrix[:, 2:]])

    def sampled(self, side: int) -> Crop:
        """The same square in other pixels."""
        return replace(self, side=side)

    def refined(self, factor: tuple[int, int]) -> Crop:
        """The same square in a photo that was refined; rows and columns alike.

        Raises:
            DomainError: factors that would leave no square.
        """
        if factor[0] != factor[1]:
            raise DomainError(f"factor={factor[0]}x{factor[1]}: faces stay upright with one factor for both axes only")
        f = factor[0]
        return replace(self, centre=(self.centre[0] * f, self.centre[1] * f), half=(self.half[0] * f, self.half[1] * f))

    def window(self, shape: tuple[int, int], margin: int = 0) -> Window:
        """Pixels of a photo of ``shape`` that the square touches, with a margin; empty where it lies outside."""
        reach = abs(self.half[0]) + abs(self.half[1])
        first = [math.floor(c - reach) - margin for c in self.centre]
        last = [math.ceil(c + reach) + margin for c in self.centre]
        left, top = (max(0, n) for n in first)
        right, bottom = min(shape[1], last[0]), min(shape[0], last[1])
        return Window(top, left, max(0, bottom - top), max(0, right - left))

    def cut(self, values: npt.NDArray[Any], corner: tuple[int, int] = (0, 0)) -> npt.NDArray[np.float32]:
        """The upright picture, averaged over what its pixels cover; beyond the border the photo is mirrored.

        Args:
            values: (band, y, x) of the photo or of a window of it.
            corner: row and column of the photo where ``values`` begin.
        """
        over = max(1, math.ceil(self.length / self.side))
        steps = (np.arange(self.side * over) + 0.5) / over
        x, y = np.meshgrid(steps, steps)
        points = self.matrix @ np.stack([x.ravel(), y.ravel(), np.ones(x.size)])
        places = (points - np.array([[corner[1]], [corner[0]]])).reshape(2, self.side * over, -1)
        found = avg_pool2d(_sample(values, places), over)
        return found[0].numpy()

    def lay(self, answer: npt.NDArray[Any], window: Window) -> npt.NDArray[np.float32]:
        """The upright picture on the pixels of a window of the photo, the inverse of `cut`.

        Args:
            answer: (band, side, side).
            window: of the photo.
        """
        over = max(1, math.ceil(self.side / self.length))
        places = self._places(window, over)
        return avg_pool2d(_sample(answer, places), over)[0].numpy()

    def mask(self, window: Window) -> npt.NDArray[np.float32]:
        """How much of the upright picture shows in every pixel (y, x) of a window: 1 inside, softly 0 at the border."""
        u, v = np.abs(self._places(window, 1) / self.side * 2 - 1)
        far = (u**ROUND + v**ROUND) ** (1 / ROUND)
        fall = np.clip((OUTER - far) / (OUTER - INNER), 0, 1)
        return np.asarray(fall * fall * (3 - 2 * fall), np.float32)

    def _places(self, window: Window, over: int) -> Points:
        """Coordinates (2, y, x) in the upright picture of the pixels of a window, each ``over`` times a side."""
        x = window.col + (np.arange(window.cols * over) + 0.5) / over
        y = window.row + (np.arange(window.rows * over) + 0.5) / over
        xx, yy = np.meshgrid(x, y)
        return (self.inverse @ np.stack([xx.ravel(), yy.ravel(), np.ones(xx.size)])).reshape(2, *xx.shape)


def _sample(values: npt.NDArray[Any], places: Points) -> Tensor:
    """Values (band, y, x) at continuous places (2, rows, cols), cubic, mirrored at borders: (1, band, rows, cols)."""
    rows, cols = values.shape[-2:]
    scaled = places / np.array([cols, rows]).reshape(2, 1, 1) * 2 - 1
    grid = torch.from_numpy(np.stack([scaled[0], scaled[1]], -1)[None].astype(np.float32))
    image = torch.from_numpy(np.array(values, np.float32))[None]
    return grid_sample(image, grid, mode="bicubic", padding_mode="reflection", align_corners=False)


def of_box(box: Box) -> Face:
    """A face of which only a box is known: upright, with the mean proportions of faces in such a box."""
    x, y, width, height = box
    if min(width, height) <= 0 or not all(map(math.isfinite, box)):
        raise DomainError(f"face box {','.join(f'{n:g}' for n in box)} is empty; give x,y,width,height in pixels")
    scale = min(width / (BOX[2] - BOX[0]), height / (BOX[3] - BOX[1]))
    cx, cy = x + width / 2, y + height / 2
    middle = ((BOX[0] + BOX[2]) / 2, (BOX[1] + BOX[3]) / 2)
    marks = tuple((cx + (px - middle[0]) * scale, cy + (py - middle[1]) * scale) for px, py in MEAN_LANDMARKS)
    return Face(box, marks, 1.0)


BOX = (16.0, 4.0, 112.0, 130.0)
"""Where a detector's box lies in the crop of `MEAN_LANDMARKS`: left, top, right, bottom, mean of upright faces."""
