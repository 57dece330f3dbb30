"""Find the faces of a whole photo: several sizes, an enlarged second pass, turned photos, and boxes of the user."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from . import centre
from .align import CONVENTIONS, TIGHT, Box, Convention, Crop, Face, of_box
from .centre import Hits, Picture

LONGEST = (320, 640, 1280, 2560, 5120)
"""Longer sides at which a photo is looked at, pixels: the network knows faces of about 10 to 300."""
ENLARGED = 1.3
"""A photo is looked at up to this much enlarged in the first pass."""
SECOND = 2.0
"""Enlargement of the second pass, for small faces."""
SECOND_LONGEST = 1600
PART, SHARED = 1280, 128
"""Side of the windows that a large picture is looked at in, and how much they overlap, pixels."""
LEAST, LEAST_SECOND, LEAST_IN_BOX = 0.5, 0.6, 0.15
"""Scores that count as a face: at first, in the second pass and in turned photos, in a box of the user."""
SMALLEST_EYES = 4.0
"""Distance of the eyes below which nothing says that a hit is a face, pixels."""
TURNS = (1, 3, 2)
"""Quarter turns that are tried where nothing is found upright."""
UPRIGHT, AROUND = 160, 1.4
"""Pixels a side of the upright square in which landmarks are seen again, and its side in those of FFHQ."""
SIDES, LEANS = (1.0, 1.7), (-8.0, 0.0, 8.0)
"""Sides and degrees of the squares whose landmarks are averaged then: one look errs by half as much again."""
LEAST_UPRIGHT, MOVED = 0.2, 0.5
"""Score that counts there, and half sides of the FFHQ square beyond which a landmark that moved is of another face."""
MIRRORED = (1, 0, 2, 4, 3)
"""Order of landmarks in the mirror."""
ROOM = 0.4
"""Width that is looked at beside a box of the user, as a share of it."""


def find_faces(photo: Picture) -> tuple[Face, ...]:
    """All faces of a photo, largest first and numbered from 1.

    Args:
        photo: (y, x, 3) uint8, RGB; grey three times.

    Raises:
        PluginError: the extra ``gensr[photos]`` is not installed.
    """
    hits = _seen(photo, ENLARGED, LEAST, max(LONGEST))
    if SECOND * max(photo.shape) <= SECOND_LONGEST:
        hits = _with_new(hits, _seen(photo, SECOND, LEAST_SECOND, SECOND_LONGEST, SECOND))
    for turn in () if len(hits.scores) else TURNS:
        hits = _turned_back(_seen(np.rot90(photo, turn), ENLARGED, LEAST_SECOND, PART), turn, photo.shape[:2])
        if len(hits.scores):
            break
    return number([f for f in _faces(photo, hits) if f.eyes >= SMALLEST_EYES])


def face_in(photo: Picture, box: Box) -> Face:
    """The face in a box of the user: what is seen there, even faintly, or else a face of mean proportions.

    Args:
        photo: (y, x, 3) uint8, RGB.
        box: x, y, width, height, pixels.

    Raises:
        DomainError: an empty box.
    """
    guess = of_box(box)
    if not centre.installed():
        return guess
    x, y, width, height = box
    room = ROOM * max(width, height)
    top, left = int(max(0, y - room)), int(max(0, x - room))
    part = photo[top : int(y + height + room) + 1, left : int(x + width + room) + 1]
    if min(part.shape) == 0:
        return guess
    scale = max(1.0, 128 / max(width, height))
    hits = _at(part, min(PART, round(scale * max(part.shape))), LEAST_IN_BOX).moved(1.0, left, top)
    hits = hits.chosen(_overlap(hits.boxes, np.array([x, y, x + width, y + height])) > ROOM)
    found = _faces(photo, hits)
    return replace(found[0], box=box, score=1.0) if found else guess


def number(faces: list[Face]) -> tuple[Face, ...]:
    """Faces in the order of their size, numbered from 1."""
    ordered = sorted(faces, key=lambda f: -f.size)
    return tuple(replace(face, number=k + 1) for k, face in enumerate(ordered))


def _faces(photo: Picture, hits: Hits) -> list[Face]:
    found = []
    for box, marks, score in zip(hits.boxes, hits.landmarks, hits.scores, strict=True):
        left, top, right, bottom = (float(n) for n in box)
        points = tuple((float(x), float(y)) for x, y in marks)
        face = Face((left, top, right - left, bottom - top), points, min(1.0, float(score)))
        face = _seen_again(photo, face, [_square(face, AROUND)])
        found.append(_seen_again(photo, face, [_square(face, side, lean) for side in SIDES for lean in LEANS]))
    return found


def _square(face: Face, side: float, lean: float = 0.0) -> Crop:
    """The upright square about a face, its side in those of FFHQ, turned by so many degrees."""
    crop = face.crop(UPRIGHT, Convention(side, CONVENTIONS[TIGHT].lower))
    turn, (x, y) = math.radians(lean), crop.half
    half = x * math.cos(turn) - y * math.sin(turn), x * math.sin(turn) + y * math.cos(turn)
    return replace(crop, half=half)


def _seen_again(photo: Picture, face: Face, squares: Sequence[Crop]) -> Face:
    """The face with the mean of landmarks seen in squares, plain and mirrored; as it is where nothing is seen."""
    looks = []
    for crop in squares:
        area = crop.window(photo.shape[:2], margin=2)
        part = photo[area.row : area.row + area.rows, area.col : area.col + area.cols]
        seen = np.clip(np.moveaxis(crop.cut(np.moveaxis(part, -1, 0), (area.row, area.col)), 0, -1), 0, 255)
        for mirrored in (False, True):
            hits = centre.look((seen[:, ::-1] if mirrored else seen).astype(np.uint8), LEAST_UPRIGHT)
            if len(hits.scores):
                off = np.abs((hits.boxes[:, :2] + hits.boxes[:, 2:]) / 2 - UPRIGHT / 2).max(-1)
                marks = hits.landmarks[int(np.argmin(off))]
                marks = (marks * [-1, 1] + [UPRIGHT, 0])[list(MIRRORED)] if mirrored else marks
                marks = marks @ crop.matrix[:, :2].T + crop.matrix[:, 2]
                if np.linalg.norm(marks - np.array(face.landmarks), axis=-1).max() <= MOVED * face.size:
                    looks.append(marks)
    if not looks:
        return face
    return replace(face, landmarks=tuple((float(x), float(y)) for x, y in np.mean(looks, 0)))


def _seen(photo: Picture, enlarged: float, least: float, most: int, begin: float = 0.0) -> Hits:
    """Hits at all sizes from ``begin`` to ``enlarged`` times that of the photo, at most ``most`` pixels long."""
    longer = max(photo.shape)
    sides = {min(s, most) for s in LONGEST if begin * longer <= s <= enlarged * longer} or {round(enlarged * longer)}
    return centre.suppressed(Hits.joined([_at(photo, side, least) for side in sorted(sides)]))


def _at(photo: Picture, side: int, least: float) -> Hits:
    """Hits in a photo whose longer side is made ``side``."""
    scale = side / max(photo.shape)
    cv2 = centre.opencv()
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    size = tuple(max(1, round(n * scale)) for n in (photo.shape[1], photo.shape[0]))
    resized = cv2.resize(np.ascontiguousarray(photo), size, interpolation=how)
    found = []
    for top, left, part in _parts(resized):
        hits = centre.look(part, least)
        rows, cols = part.shape[:2]
        middle = (hits.boxes[:, :2] + hits.boxes[:, 2:]) / 2
        edge = SHARED / 2
        low = np.array([0 if left == 0 else edge, 0 if top == 0 else edge])
        ends = left + cols == size[0], top + rows == size[1]
        high = np.array([n if end else n - edge for n, end in zip((cols, rows), ends, strict=True)])
        inside = ((middle >= low) & (middle <= high + 0.5 * edge)).all(-1)
        found.append(hits.chosen(np.asarray(inside)).moved(1.0, left, top))
    return Hits.joined(found).moved(scale)


def _parts(picture: Picture) -> Iterator[tuple[int, int, Picture]]:
    """Windows that cover a picture and overlap, with the row and column where they begin."""
    rows, cols = picture.shape[:2]
    for top in _begins(rows):
        for left in _begins(cols):
            yield top, left, picture[top : top + PART, left : left + PART]


def _begins(length: int) -> list[int]:
    count = max(1, -(-(length - SHARED) // (PART - SHARED)))
    return [round(k * max(0, length - PART) / max(1, count - 1)) for k in range(count)]


def _with_new(hits: Hits, more: Hits) -> Hits:
    """Hits with those of a second pass that are of no face seen before."""
    new = [k for k, box in enumerate(more.boxes) if not (_overlap(hits.boxes, box) > 0).any()]
    return Hits.joined([hits, more.chosen(np.array(new, np.intp))])


def _overlap(boxes: np.ndarray[tuple[int, ...], np.dtype[np.float64]], box: np.ndarray) -> np.ndarray:
    """Share of the smaller of two boxes that lies in both, for many boxes (n, 4) and one (4,)."""
    low, high = np.maximum(boxes[:, :2], box[:2]), np.minimum(boxes[:, 2:], box[2:])
    shared = np.prod(np.clip(high - low, 0, None), -1)
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], -1)
    return np.asarray(shared / np.maximum(1e-9, np.minimum(areas, np.prod(box[2:] - box[:2]))))


def _turned_back(hits: Hits, turn: int, shape: tuple[int, ...]) -> Hits:
    """Hits in a photo that was turned by quarters against the clock, in the photo of ``shape``."""
    rows, cols = shape[:2]
    back: dict[int, Callable[[np.ndarray], np.ndarray]] = {
        1: lambda p: np.stack([cols - p[..., 1], p[..., 0]], -1),
        2: lambda p: np.stack([cols - p[..., 0], rows - p[..., 1]], -1),
        3: lambda p: np.stack([p[..., 1], rows - p[..., 0]], -1),
    }
    ends = np.stack([back[turn](hits.boxes[:, :2]), back[turn](hits.boxes[:, 2:])])
    return Hits(np.concatenate([ends.min(0), ends.max(0)], -1), back[turn](hits.landmarks), hits.scores)
