"""Are faces found, and where? ``python -m gensr.benchmarks.landmarks data=DIR output=DIR``.

Ten photos whose faces another detector marked, and test faces of the corpus, turned by up to 30 degrees, whose
marks are those that the face priors were cut by. Errors are mean distances of the landmarks
as shares of that of the eyes.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from gensr.domains.faces.centre import Picture, opencv
from gensr.domains.faces.finder import find_faces

from .datasets import Case, landmarks, load
from .scores import Row
from .script import words, write

LEAST_FOUND, LEAST_MARKED = 12.0, 24.0
"""Distance of the eyes from which a face counts as one to be found, and from which its landmarks count, pixels."""
NEAR = 0.7
"""How far the middle of a found face may be from that of a true one, in distances of eyes, or of eyes and mouth."""
PER_SOURCE, TILT, ROOM, SIDES = 14, 30.0, 64, (256, 128, 96)
"""Corpus faces of every source, the largest turn in degrees, what is laid around a face, and sides of the pictures."""
COLUMNS = ("pictures", "faces", "found", "false", "marked", "median", "90 %")
TEXT = (
    "# Faces found, and their landmarks",
    "",
    "Made by `python -m gensr.benchmarks.landmarks`, with what `gensr upsample photo.jpg` looks for faces. `faces`",
    f"have eyes {LEAST_FOUND:g} px apart or more; `false` are hits of no face; errors are those of `marked` faces",
    f"(eyes {LEAST_MARKED:g} px apart or more in photos; all of the corpus): mean distance of the five landmarks as a",
    "share of that of the eyes, median and 90 % of the faces. Truth of the photos: one look of YuNet, which sets the",
    "marks of heads that lean as if they stood upright (seen in the crowd). Truth of the corpus: the mean of two.",
)
Marks = NDArray[np.float64]


@dataclass
class Tally:
    """What was counted so far; errors as shares of the distance of the eyes."""

    errors: list[float]
    faces: int = 0
    found: int = 0
    false: int = 0

    def add(self, picture: Picture, truths: Sequence[Marks], least: float) -> None:
        """Look for the faces of one picture.

        Args:
            picture: (y, x, 3) uint8.
            truths: (5, 2) each, continuous coordinates.
            least: distance of the eyes from which landmarks count.
        """
        seen = [np.array(face.landmarks) for face in find_faces(picture)]
        taken: set[int] = set()
        for truth in truths:
            eyes = math.dist(*truth[:2])
            scale = max(eyes, float(np.linalg.norm(truth[0] + truth[1] - truth[3] - truth[4])) / 2)
            off = [float(np.linalg.norm(marks.mean(0) - truth.mean(0))) / scale for marks in seen]
            best = int(np.argmin(off)) if off else -1
            hit = best >= 0 and off[best] < NEAR
            taken |= {best} if hit else set()
            self.faces += eyes >= LEAST_FOUND
            self.found += hit and eyes >= LEAST_FOUND
            if hit and eyes >= least:
                self.errors.append(float(np.linalg.norm(seen[best] - truth, axis=-1).mean()) / eyes)
        self.false += len(seen) - len(taken)

    def row(self, pictures: str) -> Row:
        """Of the table."""
        figures = {"median": float(np.median(self.errors)), "90 %": float(np.quantile(self.errors, 0.9))}
        counts = {"faces": self.faces, "found": self.found, "false": self.false, "marked": len(self.errors)}
        return {"pictures": pictures, **counts, **figures}


def photos(folder: Path) -> list[Row]:
    """The photos of ``facts.json``: all, and those of a few people."""
    every, few = Tally([]), Tally([])
    facts: dict[str, Any] = json.loads((folder / "facts.json").read_text())["photos"]
    for name, fact in facts.items():
        with Image.open(folder / name) as image:
            picture = np.asarray(image.convert("RGB"))
        truths = [np.array(face["landmarks"]) + 0.5 for face in fact["faces"]]
        for tally in (every, few) if len(truths) < 10 else (every,):
            tally.add(picture, truths, LEAST_MARKED)
    return [every.row("photos"), few.row("photos of a few people")]


def laid(case: Case, marks: Marks, draw: np.random.Generator) -> tuple[Picture, Marks]:
    """A face of the corpus in a picture of its own blurred surroundings, turned, and its landmarks there.

    Args:
        case: (3, 128, 128), codes.
        marks: (5, 2) in the picture.
        draw: of turn and side.
    """
    cv2 = opencv()
    image = np.moveaxis(case.image, 0, -1).astype(np.float64)
    wide = np.pad(image, ((ROOM, ROOM), (ROOM, ROOM), (0, 0)), mode="symmetric")
    inside = np.zeros(wide.shape[:2])
    inside[ROOM:-ROOM, ROOM:-ROOM] = 1
    weight = np.clip(2 * gaussian_filter(inside, 4) - 1, 0, 1)[..., None]
    canvas = wide * weight + gaussian_filter(wide, (12, 12, 0)) * (1 - weight)
    whole = len(canvas)
    turn = cv2.getRotationMatrix2D((whole / 2 - 0.5, whole / 2 - 0.5), float(draw.uniform(-TILT, TILT)), 1.0)
    codes = np.clip(np.rint(canvas), 0, 255).astype(np.uint8)
    codes = cv2.warpAffine(codes, turn, (whole, whole), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    there = (marks - 0.5 + ROOM) @ turn[:, :2].T + turn[:, 2] + 0.5
    side = int(draw.choice(SIDES))
    return cv2.resize(codes, (side, side), interpolation=cv2.INTER_AREA), there * side / whole


def corpus(root: Path, per_source: int = PER_SOURCE) -> Row:
    """Test faces of every source, turned."""
    tally, draw, taken = Tally([]), np.random.default_rng(0), dict[str, int]()
    marks = landmarks(root, "test")
    for case in load(root, "faces", "test", None):
        taken[case.group] = taken.get(case.group, 0) + 1
        if taken[case.group] <= per_source:
            picture, truth = laid(case, marks[case.name], draw)
            tally.add(picture, [truth], 0.0)
    return tally.row("corpus, turned")


def main(argv: Sequence[str] | None = None) -> int:
    """Write ``landmarks.csv`` and ``landmarks.md``.

    Args:
        argv: ``data=``, ``output=``; those of the process if None.
    """
    given = words(argv, {"data": "../shared/data", "output": "benchmarks/results"})
    root = Path(given["data"])
    rows = [*photos(root / "faces" / "photos"), corpus(root)]
    write(Path(given["output"]), "landmarks", TEXT, COLUMNS, rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
