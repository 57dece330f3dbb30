"""The faces of a photo as scenes of their own, for a prior of aligned faces: which, how coarse, and the way back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gensr.operators import Area, Operator
from gensr.scenes.insets import Aligned, Inset, Insets
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


def whole_part(scene: FaceScene, factor: Factor, prior: Aligned) -> Insets:
    """A picture that is one aligned face, beyond what the prior makes by itself.

    Args:
        scene: the picture, square.
        factor: of the whole.
        prior: of aligned faces.
    """
    side = scene.grid.shape[0]
    crop = Crop((side / 2, side / 2), (side / 2, 0.0), side)
    facts = {"name": "the picture", "side": side}
    times = _times(side, prior.side)
    if times is None:
        why = f"{side} x {side} pixels: {_why(side, prior)}; interpolated, nothing is generated"
        return Insets((), True, (why,), ({**facts, "left": why},))
    part = _part(scene, "the picture", crop, times, prior, facts, True)
    notes = (_end(prior, side * max(factor)),) if side * max(factor) > prior.side else ()
    return Insets((part,), True, notes, (part.facts,))


def face_parts(scene: FaceScene, faces: Sequence[Face], choice: Choice, factor: Factor, prior: Aligned) -> Insets:
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
        times = _times(crop.length, prior.side)
        fact = {"name": f"face {face.number}", **_said(face), "side": round(crop.length, 1)}
        why = ""
        if face.number not in chosen:
            left.append(face.number)
            why = f"face={choice.words}"
        elif times is None:
            why = _why(crop.length, prior)
        elif _inside(crop, shape) < INSIDE:
            why = "most of its square lies outside the photo"
        if why:
            if face.number in chosen:
                reasons.setdefault(why, []).append(face.number)
            facts.append({**fact, "left": why})
            continue
        assert times is not None
        part = _part(scene, fact["name"], crop, times, prior, fact, False)
        parts.append(part)
        facts.append(dict(part.facts))
    notes = [f"{_named(left)}: left as interpolated, because face={choice.words}"] if left else []
    notes += [f"{_named(numbers)}: left as interpolated: {why}" for why, numbers in reasons.items()]
    longest = max((part.facts["side"] * max(factor) for part in parts), default=0)
    notes += [_end(prior, round(longest))] if longest > prior.side else []
    return Insets(tuple(parts), False, tuple(notes), tuple(facts))


def _part(
    scene: FaceScene, name: str, crop: Crop, times: int, prior: Aligned, facts: Mapping[str, Any], covers: bool
) -> FacePart:
    side = prior.side // times
    own = crop.sampled(side)
    shape = scene.grid.shape
    area = Window(0, 0, *shape) if covers else crop.window(shape, margin=1)
    reach = crop.window(shape, margin=4)
    image = scene.read(0, reach).values
    same = covers and side == shape[0]
    values = image if same else own.cut(image, (reach.row, reach.col))
    if prior.bands not in (1, len(values)) and len(values) == 1:
        values = np.repeat(values, prior.bands, 0)
    told = {**facts, "restored": True, "data": f"{side} x {side}", "prior": prior.name, "made": prior.side}
    part = PartScene(scene, np.ascontiguousarray(values, np.float32))
    return FacePart(name, part, times, area, told, own, len(scene.bands), covers)


def _times(length: float, side: int) -> int | None:
    """How much finer the prior's picture is than a face of so many pixels a side; None where it knows nothing."""
    if length > FINE * side:
        return None
    return next((times for times in TIMES if side % times == 0 and side / times * COARSE <= length), None)


def _why(length: float, prior: Aligned) -> str:
    if length > FINE * prior.side:
        return f"as fine as the {prior.side} pixels that {prior.name} knows, or finer"
    return f"too coarse: {prior.name} needs {COARSE * prior.side / max(TIMES):.0f} pixels a side"


def _end(prior: Aligned, side: int) -> str:
    return f"{prior.name} makes faces of {prior.side} pixels; on the way to {side} nothing is added, it is interpolated"


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
