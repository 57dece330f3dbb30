"""Parts of a scene that a prior of aligned pictures knows, such as the faces of a photo; the rest is interpolated."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gensr.scenes.scene import Scene
from gensr.values.grid import Factor, Window
from gensr.values.precision import Real


@dataclass(frozen=True)
class Aligned:
    """A prior of aligned pictures, as far as a scene must know it.

    Attributes:
        name: of the generator.
        bands: that it models jointly; 1 means that bands are answered one by one.
        side: pixels a side of its pictures: what it knows and no more.
        alignment: how these were cut, in the word of its card.
        double: most refinement by which it also makes pictures of twice that side; 0 for none.
    """

    name: str
    bands: int
    side: int
    alignment: str
    double: int = 0

    def largest(self, factor: int) -> int:
        """Pixels a side of the largest picture that it makes of one ``factor`` times coarser."""
        return 2 * self.side if factor <= self.double else self.side


class Inset(ABC):
    """One part, upright and square: how it is taken out of its scene, and how an answer is put back.

    Attributes:
        name: for messages, such as "face 2".
        scene: the part as a scene of its own, in the bands of the prior.
        factor: refinement of that scene; the prior makes what it knows and no more.
        area: pixels of the whole scene that it touches.
        facts: where it lies and what becomes of it, for the report: JSON-able.
    """

    name: str
    scene: Scene
    factor: int
    area: Window
    facts: Mapping[str, Any]

    @abstractmethod
    def lay(self, answer: Real, window: Window, factor: Factor) -> Real:
        """An answer (band, y, x) of the part on pixels of a window of the refined whole, in the bands of the whole.

        Args:
            answer: physical values.
            window: in refined pixels of the whole.
            factor: of the whole.
        """

    @abstractmethod
    def mask(self, window: Window, factor: Factor) -> npt.NDArray[np.float32]:
        """How much of the answer shows in every pixel (y, x) of a window: 1 inside, softly 0 at the border."""


@dataclass(frozen=True)
class Insets:
    """What a scene says of its parts.

    Attributes:
        parts: that the prior answers, in the order in which they are put back.
        whole: whether there is one part that covers all of the scene.
        notes: what a user should know, one sentence each: parts that are left out and why.
        facts: of every part that was seen, for the report.
        background: name of the generator of fields that answers everything else; "" where it is interpolated.
    """

    parts: tuple[Inset, ...]
    whole: bool
    notes: tuple[str, ...]
    facts: tuple[Mapping[str, Any], ...] = ()
    background: str = ""


@dataclass(frozen=True)
class Subject:
    """Something in a scene that a user may choose.

    Attributes:
        number: from 1, the largest first.
        box: x, y, width, height, pixels of the scene.
    """

    number: int
    box: tuple[float, float, float, float]


class Inlaid(Scene):
    """A scene of which a prior of aligned pictures may know parts only."""

    @abstractmethod
    def subjects(self) -> tuple[Subject, ...] | None:
        """What there is to choose from; None where the scene is one aligned picture as a whole.

        Raises:
            PluginError: what finds it is not installed.
        """

    @abstractmethod
    def replaced(self, values: Real) -> Inlaid:
        """The same scene with other pixels: rounded, and not more of them.

        Args:
            values: (band, y, x), physical.
        """

    @abstractmethod
    def insets(self, factor: Factor, prior: Aligned) -> Insets | None:
        """The parts; None where the prior is to answer all of the scene like any other.

        Args:
            factor: refinement of the whole.
            prior: that is wanted.

        Raises:
            PluginError: what finds the parts is not installed, and there is no way without.
        """
