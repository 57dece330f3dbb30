"""The faces of a photo as scenes of their own, for a prior of aligned faces: which, how coarse, and the way back."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gensr.operators import Area, Operator
from gensr.scenes.insets import Aligned, Inlaid, Inset, Insets
from gensr.scenes.scene import Scene
from gensr.values.grid import Factor, PixelGrid, Window
from gensr.values.image import Image
from gensr.values.precision import Real

from .align import Box, Crop, Face, convention
from .chosen import Choice
from .scene import FaceScene

TIMES = (2, 4, 8, 16)
"""Refinements that the face priors were trained for."""
FINE = 1.0
"""Share of the prior's side beyond which a face shows nothing that the prior could add to."""
COARSE = 0.85
"""A face is taken coarser by no less than this: one of 14 pixels may count as 16."""
INSIDE = 0.6
"""Share of the square of a face that must lie in the photo."""


class PartScene(FaceScene):
    """An upright face, cut out of a photo; see `gensr.scenes.scene.Scene`.

    Attributes:
        values: (band, y, x), codes of the photo that are not rounded.
    """

    def __init__(self, whole: FaceScene, values: npt.NDArray[np.float32]) -> None:
        self.photo, self.options, self.path = whole.photo, whole.options, whole.path
        self.values, self.planes, self.unit, self.quantum = values, 1, whole.unit, whole.quantum
        self.bands = tuple(f"band {k + 1}" for k in range(len(values)))
        self.grid = PixelGrid((values.shape[1], values.shape[2]))
        self.dtype, self.peak = whole.dtype, whole.peak

    def read(self, plane: int, window: Window) -> Image:
        """See `Scene.read`."""
        row, col, rows, cols = window
        values = self.values[:, row : row + rows, col : col + cols].copy()
        good = np.ones(values.shape, np.bool_)
        return Image(values, self.grid.crop(window), good, good, self.bands)

    def operator(self, factor: Factor) -> Operator:
        """See `Scene.operator`: no file holds this part, so no format limits its size."""
        return Area(factor)


class Parted(Inlaid):
    """A picture of which faces are parts."""

    @abstractmethod
    def part(self, values: npt.NDArray[np.float32]) -> Scene:
        """A face as a scene of its own.

        Args:
            values: (band, y, x), upright, codes of the picture that are not rounded.
        """


@dataclass(frozen=True)
class Made:
    """A picture that a prior is asked for.

    Attributes:
        side: of it, pixels.
        times: finer than its data.
    """

    side: int
    times: int

    @property
    def data(self) -> int:
        """Pixels a side of the data."""
        return self.side // self.times


@dataclass(frozen=True)
class FacePart(Inset):
    """See `gensr.scenes.insets.Inset`.

    Attributes:
        crop: the square in the photo, in the pixels of ``scene``.
        bands: of the photo.
        covers: whether the picture is the face and nothing else.
    """

    name: str
    scene: Scene
    factor: int
    area: Window
    facts: Mapping[str, Any]
    crop: Crop
    bands: int
    covers: bool

    def lay(self, answer: Real, window: Window, factor: Factor) -> Real:
        """See `Inset.lay`; a grey photo gets the mean of the prior's bands."""
        own = answer if len(answer) == self.bands else answer.mean(0, keepdims=True)
        return self.crop.sampled(answer.shape[-1]).refined(factor).lay(own, window)

    def mask(self, window: Window, factor: Factor) -> npt.NDArray[np.float32]:
        """See `Inset.mask`."""
        if self.covers:
            return np.ones((window.rows, window.cols), np.float32)
        return self.crop.refined(factor).mask(window)


def whole_part(scene: Parted, factor: Factor, prior: Aligned) -> Insets:
    """A picture that is one aligned face, beyond what the prior makes by itself.

    Args:
        scene: the picture, square.
        factor: of the whole.
        prior: of aligned faces.
    """
    side = scene.grid.shape[0]
    crop = Crop((side / 2, side / 2), (side / 2, 0.0), side)
    facts = {"name": "the picture", "side": side}
    made = _made(side, max(factor), prior)
    if made is None:
        why = f"{side} x {side} pixels: {_why(side, prior)}; interpolated, nothing is generated"
        return Insets((), True, (why,), ({**facts, "left": why},))
    part = _part(scene, "the picture", crop, made, prior, facts, True)
    return Insets((part,), True, _ends((part,), factor, prior), (part.facts,))


def face_parts(scene: Parted, faces: Sequence[Face], choice: Choice, factor: Factor, prior: Aligned) -> Insets:
    """The chosen faces of a photo.

    Args:
        scene: the photo.
        faces: found in it, or given.
        choice: which of them.
        factor: of the whole.
        prior: of aligned faces.

    Raises:
        UsageError: a number of a face that is not there.
    """
    shape, how = scene.grid.shape, convention(prior.alignment)
    chosen = choice.numbers([face.number for face in faces], str(scene.path))
    parts, facts, left, reasons = [], [], [], dict[str, list[int]]()
    for face in faces:
        crop = face.crop(prior.side, how)
        made = _made(crop.length, max(factor), prior)
        fact = {"name": f"face {face.number}", **_said(face), "side": round(crop.length, 1)}
        why = ""
        if face.number not in chosen:
            left.append(face.number)
            why = f"face={choice.words}"
        elif made is None:
            why = _why(crop.length, prior)
        elif _inside(crop, shape) < INSIDE:
            why = "most of its square lies outside the photo"
        if why:
            if face.number in chosen:
                reasons.setdefault(why, []).append(face.number)
            facts.append({**fact, "left": why})
            continue
        assert made is not None
        part = _part(scene, fact["name"], crop, made, prior, fact, False)
        parts.append(part)
        facts.append(dict(part.facts))
    notes = [f"{_named(left)}: left as interpolated, because face={choice.words}"] if left else []
    notes += [f"{_named(numbers)}: left as interpolated: {why}" for why, numbers in reasons.items()]
    notes += _ends(parts, factor, prior)
    return Insets(tuple(parts), False, tuple(notes), tuple(facts))


def _part(
    scene: Parted, name: str, crop: Crop, made: Made, prior: Aligned, facts: Mapping[str, Any], covers: bool
) -> FacePart:
    side = made.data
    own = crop.sampled(side)
    shape = scene.grid.shape
    area = Window(0, 0, *shape) if covers else crop.window(shape, margin=1)
    reach = crop.window(shape, margin=4)
    image = scene.read(0, reach).values
    same = covers and side == shape[0]
    values = image if same else own.cut(image, (reach.row, reach.col))
    if prior.bands not in (1, len(values)) and len(values) == 1:
        values = np.repeat(values, prior.bands, 0)
    told = {**facts, "restored": True, "data": f"{side} x {side}", "prior": prior.name, "made": made.side}
    part = scene.part(np.ascontiguousarray(values, np.float32))
    return FacePart(name, part, made.times, area, told, own, len(scene.bands), covers)


def _made(length: float, factor: int, prior: Aligned) -> Made | None:
    """What the prior is asked for where a face has so many pixels a side; None where it knows nothing.

    As much as the face shows, refined to what is wanted where the prior goes so far.
    """
    sides = {prior.side, *(prior.largest(times) for times in TIMES)}
    if length > FINE * max(sides):
        return None
    served = [Made(side, n) for side in sides for n in TIMES if side % n == 0 and side <= prior.largest(n)]
    shown = [made for made in served if made.data * COARSE <= length]
    return min(shown, key=lambda made: (-made.data, max(length * factor - made.side, 0), made.side), default=None)


def _why(length: float, prior: Aligned) -> str:
    most = max(prior.largest(times) for times in TIMES)
    if length > FINE * most:
        return f"as fine as the {most} pixels that {prior.name} knows, or finer"
    return f"too coarse: {prior.name} needs {COARSE * prior.side / max(TIMES):.0f} pixels a side"


def _ends(parts: Sequence[FacePart], factor: Factor, prior: Aligned) -> tuple[str, ...]:
    """What is said of faces that are finer in the output than the prior makes them: of the finest one."""
    beyond = [(part.facts["side"] * max(factor), part.facts["made"]) for part in parts]
    beyond = [(wanted, made) for wanted, made in beyond if wanted > made]
    if not beyond:
        return ()
    wanted, made = max(beyond)
    return (
        f"{prior.name} makes faces of {made} pixels; on the way to {wanted:.0f} nothing is added, it is interpolated",
    )


def _inside(crop: Crop, shape: tuple[int, int]) -> float:
    """Share of a square that lies in a photo of ``shape``."""
    steps = (np.arange(16) + 0.5) / 16 * crop.side
    x, y = np.meshgrid(steps, steps)
    px, py = crop.matrix @ np.stack([x.ravel(), y.ravel(), np.ones(x.size)])
    return float(((px >= 0) & (px < shape[1]) & (py >= 0) & (py < shape[0])).mean())


def _said(face: Face) -> dict[str, Any]:
    box: Box = face.box
    return {
        "number": face.number,
        "box": [round(n, 1) for n in box],
        "landmarks": [[round(x, 1), round(y, 1)] for x, y in face.landmarks],
        "score": round(face.score, 3),
    }


def _named(numbers: Sequence[int]) -> str:
    if len(numbers) == 1:
        return f"face {numbers[0]}"
    shown = ", ".join(map(str, numbers[:8])) + (", ..." if len(numbers) > 8 else "")
    return f"faces {shown} ({len(numbers)})"
