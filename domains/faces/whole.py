"""A photo as it is opened: one aligned face, or a whole photo whose faces are looked for."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from gensr.errors import UsageError
from gensr.scenes.insets import Aligned, Inlaid, Insets, Subject
from gensr.scenes.scene import Scene
from gensr.values.grid import Factor
from gensr.values.precision import Real

from . import centre
from .align import Face
from .centre import INSTALL, Picture
from .chosen import Choice, parse_choice
from .finder import face_in, find_faces, number
from .parts import Parted, PartScene, face_parts, whole_part
from .people import Mask, people
from .scene import OF_FIELDS, FaceScene

LANCZOS, FIELD = "lanczos", "field"
GROUNDS = (LANCZOS, FIELD)
"""What answers a photo where no face lies: nothing but an interpolation, or a prior for fields of any size."""
SMALL = 64
"""Side up to which a square picture is taken for an aligned face without looking: hardly a face is found in less."""
FILLS, OFF, TURNED = (0.75, 1.35), 0.12, 15.0
"""Side of the square of a face that is the picture, as shares of it, how far off its middle is, and degrees turned."""


class PhotoScene(FaceScene, Parted):
    """See `FaceScene`; of a whole photo the faces are parts."""

    def replaced(self, values: Real) -> Inlaid:
        """See `Inlaid.replaced`; alpha is that of the first lines and columns."""
        codes, _ = self.encode(0, values, np.ones(values.shape, np.bool_))
        alpha = None if self.photo.alpha is None else self.photo.alpha[: codes.shape[1], : codes.shape[2]]
        return PhotoScene(replace(self.photo, codes=codes, alpha=alpha, indices=None), self.options)

    def insets(self, factor: Factor, prior: Aligned) -> Insets | None:
        """See `Inlaid.insets`: an aligned face that the prior makes as it is wanted is a scene like any other."""
        rows, cols = self.grid.shape
        if not self.covers:
            found = face_parts(self, self.faces, self._choice, factor, prior)
            field = OF_FIELDS if self.options["background"] == FIELD else ""
            return Insets(found.parts, False, (*self._said(found, field), *found.notes), found.facts, field)
        if self.options["background"] != LANCZOS:
            raise UsageError(
                f"{self.path}: background={self.options['background']}: the picture is taken for one aligned face "
                "with nothing behind it; leave the word out, or say domain.aligned=false"
            )
        served = rows * max(factor) <= prior.largest(max(factor))
        if rows != cols or (served and prior.bands in (1, len(self.bands))):
            return None
        return whole_part(self, factor, prior)

    def part(self, values: npt.NDArray[np.float32]) -> Scene:
        """See `Parted.part`."""
        return PartScene(self, values)

    def subjects(self) -> tuple[Subject, ...] | None:
        """See `Inlaid.subjects`: the faces that `gensr info` numbers."""
        if self.covers:
            return None
        centre.needed()
        return tuple(Subject(face.number, face.box) for face in self.faces)

    @cached_property
    def covers(self) -> bool:
        """Whether the picture is one aligned face: said by the user, or square and filled by a face."""
        rows, cols = self.grid.shape
        aligned = self.options["aligned"]
        if aligned != "auto" or rows != cols or self._choice.boxes:
            return aligned is True
        return rows <= SMALL or not centre.installed() or (len(self.faces) == 1 and self._fills(self.faces[0]))

    @cached_property
    def faces(self) -> tuple[Face, ...]:
        """Faces of the photo, the largest first; none where nothing can look for them."""
        if self._choice.boxes:
            picture = self._picture()
            return number([face_in(picture, box) for box in self._choice.boxes])
        return find_faces(self._picture()) if centre.installed() else ()

    def people(self) -> list[Mask]:
        """See `Scene.people`: grown from the faces; nobody where faces cannot be looked for."""
        return people(self._picture(), self.faces) if centre.installed() else []

    @cached_property
    def _choice(self) -> Choice:
        return parse_choice(self.options["face"])

    def _fills(self, face: Face) -> bool:
        side, crop = self.grid.shape[0], face.crop(self.grid.shape[0])
        near = max(abs(c - side / 2) for c in crop.centre) <= OFF * side
        turn = abs(math.degrees(math.atan2(crop.half[1], crop.half[0])))
        return FILLS[0] * side <= crop.length <= FILLS[1] * side and near and turn <= TURNED

    def _picture(self) -> Picture:
        """As the finder takes it: (y, x, 3) uint8."""
        codes = self.photo.codes if self.dtype == np.uint8 else self.photo.codes >> 8
        three = np.broadcast_to(codes, (3, *codes.shape[1:])) if len(codes) == 1 else codes
        return np.ascontiguousarray(np.moveaxis(three, 0, -1), np.uint8)

    def _said(self, found: Insets, field: str) -> tuple[str, ...]:
        """What became of the faces as a whole."""
        if found.parts:
            return ()
        then = f"{field} answers the photo" if field else "the photo is interpolated, nothing is generated"
        if not self.faces and not centre.installed():
            return (f"faces are not looked for ({INSTALL}): {then}",)
        what = "no face is restored" if self.faces else "no face is found (domain.face=x,y,width,height names one)"
        return (f"{what}: {then}",)
