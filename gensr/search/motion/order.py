"""How many motions a picture has: none, one of everything, or others of its people; the evidence decides.

Every region is explained by itself first. Motions that the evidence does not need are taken back: nothing moves unless
that wins `NEEDED` for each datum of some region, and all move alike unless that costs one of them more than `APART`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gensr.search.motion.fit import ARC_AT_LEAST, DELTA, FREE_AT_LEAST, Fit, motion, stillness, surprise
from gensr.search.motion.spectrum import Spectrum, spectrum, taper

FloatArray = npt.NDArray[np.float64]
NONE, UNIFORM, HUMAN, AUTO = "none", "uniform", "human", "auto"
ORDERS = (NONE, UNIFORM, HUMAN)
NEEDED = {"line": 0.03, "arc": 0.06, "free": 0.06}
"""Evidence for each independent datum that a motion must win over none: freer ones find something anywhere."""
APART = 0.08
"""Evidence for each datum that a motion of its own must win over that of the others. Both were chosen on simulated
pictures for validation."""
ATTENTION = 3.0
"""How much more the people count where one motion must do for all."""
MARGIN = 12
"""Pixels about people that belong to nobody: both motions meet there."""
LARGEST_PART = 384
"""Side of the part of a region that a free kernel is sought on, pixels."""


@dataclass(frozen=True, eq=False)
class Found:
    """What moves how.

    Attributes:
        order: "none", "uniform" or "human".
        background: motion of everything but the people; None where it keeps still.
        people: motion of each person; None where it keeps still.
        surprise: negative log evidence of each order that was looked at.
        data: independent data of all regions.
    """

    order: str
    background: Fit | None
    people: tuple[Fit | None, ...]
    surprise: dict[str, float]
    data: float

    def describe(self) -> dict[str, Any]:
        """For the report: JSON-able."""
        best = min(self.surprise.values(), default=0.0)
        return {
            "order": self.order,
            "background": _words(self.background),
            "people": [_words(fit) for fit in self.people],
            "evidence lost by order": {name: round(value - best, 1) for name, value in self.surprise.items()},
            "independent data": round(self.data),
        }


def _words(fit: Fit | None) -> dict[str, Any]:
    if fit is None:
        return {"kind": "still"}
    path = {} if fit.path is None else {
        "length": round(fit.path.length, 2),
        "angle": round(fit.path.angle % 180 if fit.kind == "line" else fit.path.angle % 360, 1),
        **({"turn": round(fit.path.turn, 2)} if fit.path.turn else {}),
    }  # fmt: skip
    return {"kind": fit.kind, **path, "size": list(fit.kernel.shape)}


@dataclass(frozen=True, eq=False)
class Region:
    """A part of the picture that moves as one, with what explains it.

    Attributes:
        spectra: of its data; none where it is too small to say anything.
        still: surprise without motion.
        own: its best motion.
    """

    spectra: tuple[Spectrum, ...]
    still: float
    own: Fit | None

    @property
    def data(self) -> float:
        """Independent data."""
        return sum(s.data for s in self.spectra)

    @property
    def best(self) -> float:
        """Least surprise of its own."""
        return self.still if self.own is None else min(self.still, self.own.surprise)

    @property
    def moving(self) -> Fit | None:
        """Its own motion, if the evidence needs one."""
        if self.own is None or self.still - self.own.surprise <= NEEDED[self.own.kind] * self.data:
            return None
        return self.own

    def under(self, fit: Fit | None) -> float:
        """Surprise of a motion that another region has; None is none."""
        if fit is None or not self.spectra:
            return self.still
        return float(surprise(self.spectra, [fit.kernel])[0])

    def allows(self, fit: Fit | None) -> bool:
        """Whether it may do the same as others."""
        return self.under(fit) - min(self.best, self.under(fit)) <= APART * self.data


def regions(masks: Sequence[npt.NDArray[np.bool_]], shape: tuple[int, int]) -> list[npt.NDArray[np.bool_]]:
    """Background and people, none of them near another's border."""
    from scipy.ndimage import distance_transform_edt

    anybody = np.zeros(shape, bool)
    for mask in masks:
        anybody |= mask
    far = np.asarray(distance_transform_edt(~anybody)) > MARGIN if anybody.any() else ~anybody
    return [far, *masks]


def identify(
    image: FloatArray,
    masks: Sequence[npt.NDArray[np.bool_]],
    sigma: float,
    wanted: str = AUTO,
    usable: npt.NDArray[np.bool_] | None = None,
    thorough: bool = True,
) -> Found:
    """Find what moves how.

    Args:
        image: (rows, cols) grey values, contrast about 1.
        masks: where each person is, bool of the same shape, apart from each other.
        sigma: standard deviation of its noise.
        wanted: an order that is taken whatever the evidence says; "auto" for none.
        usable: where values mean something; everywhere if not given.
        thorough: look for curves and free kernels as well.
    """
    good = np.ones(image.shape, bool) if usable is None else usable
    back, *people = (_region(image, part & good, sigma, thorough) for part in regions(masks, image.shape))
    everyone = (back, *people)
    fits = [r.own for r in everyone if r.own is not None]
    shared = min(fits, key=lambda fit: _total(everyone, fit), default=None)
    total = {
        NONE: sum(r.still for r in everyone),
        UNIFORM: sum(r.under(shared) for r in everyone),
        HUMAN: sum(r.best for r in everyone),
    }
    if not masks:
        total.pop(HUMAN)
    if wanted == AUTO:
        wanted, shared = _chosen(everyone, fits, shared)
    data = sum(r.data for r in everyone)
    if wanted == NONE:
        return Found(NONE, None, (None,) * len(people), total, data)
    if wanted == UNIFORM:
        return Found(UNIFORM, shared, (shared,) * len(people), total, data)
    background = back.moving
    moved = tuple(background if person.allows(background) else person.moving for person in people)
    return Found(HUMAN, background, moved, total, data)


def _total(everyone: Sequence[Region], fit: Fit) -> float:
    """Surprise of a motion that all share; people weigh more, and freer motions need more evidence."""
    more = {"line": 0.0, "arc": ARC_AT_LEAST, "free": ARC_AT_LEAST + FREE_AT_LEAST}[fit.kind]
    return more * sum(r.data for r in everyone) + sum(
        (ATTENTION if i else 1.0) * r.under(fit) for i, r in enumerate(everyone)
    )


def _chosen(everyone: Sequence[Region], fits: Sequence[Fit], shared: Fit | None) -> tuple[str, Fit | None]:
    """The order that the evidence needs, and the motion that all share if they do."""
    if all(r.moving is None for r in everyone):
        return NONE, shared
    allowed = [fit for fit in fits if all(r.allows(fit) for r in everyone)]
    if allowed:
        return UNIFORM, min(allowed, key=lambda fit: _total(everyone, fit))
    return HUMAN if len(everyone) > 1 else UNIFORM, shared


def _region(image: FloatArray, part: npt.NDArray[np.bool_], sigma: float, thorough: bool) -> Region:
    found = spectrum(image, taper(part), sigma) if part.any() else None
    if found is None:
        return Region((), 0.0, None)
    cut = _richest(image, part)
    own = motion([found], image[cut], part[cut].astype(np.float64), thorough)
    return Region((found,), stillness([found]), own)


def _richest(image: FloatArray, part: npt.NDArray[np.bool_]) -> tuple[slice, slice]:
    """The window of a region, no larger than `LARGEST_PART`, in which most happens."""
    inside = [np.flatnonzero(part.any(axis)) for axis in (1, 0)]
    first, last = zip(*((int(i[0]), int(i[-1]) + 1) for i in inside), strict=True)
    best, chosen = -1.0, (slice(first[0], last[0]), slice(first[1], last[1]))
    size = [min(LARGEST_PART, b - a) for a, b in zip(first, last, strict=True)]
    if size == [b - a for a, b in zip(first, last, strict=True)]:
        return chosen
    step = LARGEST_PART // 2
    for row in (*range(first[0], last[0] - size[0], step), last[0] - size[0]):
        for col in (*range(first[1], last[1] - size[1], step), last[1] - size[1]):
            cut = (slice(row, row + size[0]), slice(col, col + size[1]))
            down, across = np.gradient(image[cut])
            energy = float((np.hypot(down, across) * part[cut]).sum())
            if energy > best:
                best, chosen = energy, cut
    return chosen


def kernel_of(fit: Fit | None) -> FloatArray:
    """The kernel of a motion; one pixel where nothing moves."""
    return DELTA if fit is None else fit.kernel
