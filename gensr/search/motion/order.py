"""How many motions a picture has: none, one of everything, or others of its people; the evidence decides.

Every region proposes motions, and judges those of all: by the evidence of its spectrum for each datum, by how rough
the sharp image is that they leave (see `gensr.search.motion.free.roughness`), and by how much sparser its gradients
are than under the mirror image (see `gensr.search.motion.phase`). That is a score; scores in units of `DOUBT` are
logarithms of odds against stillness. So the odds of each order are sums: of one motion over all regions, over all
motions; of each region by itself, over stillness and all motions. The order with the best odds is taken.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gensr.search.motion.fit import DELTA, Fit, candidates, stillness, surprise
from gensr.search.motion.free import roughness, telling
from gensr.search.motion.phase import backwards
from gensr.search.motion.risk import DOUBT, expected_gain
from gensr.search.motion.spectrum import Spectrum, spectrum, taper

FloatArray = npt.NDArray[np.float64]
NONE, UNIFORM, HUMAN, AUTO = "none", "uniform", "human", "auto"
ORDERS = (NONE, UNIFORM, HUMAN)
EVERYTHING, BACKGROUND = "everything", "the background"
MOVING, PRIOR = 1.6, {NONE: 0.0, UNIFORM: -0.5, HUMAN: -1.0}
"""Logarithms of the odds against a motion of its own in a region, and of orders. These, `DOUBT` and the weights of
roughness and direction were fitted together, by logistic regression, to 74 simulated pictures for validation, of which
69 orders came out right."""
APART = 0.06
"""Score that a motion of its own must win over that of the background."""
SUSPECTED = 1.0
"""Logarithm of the odds of a motion that is left alone, from which on it is named: about three to one."""
LIKELY = 6
"""Motions with the most evidence in a region among those that are not freer that are judged by roughness, too: more
freedom finds more evidence in mere texture, and must not crowd out what is simple."""
ROUGHNESS, BACKWARDS = 0.5, 1.2
"""Evidence for each datum that a logarithm of the roughness, and one of what the mirror image saves, are worth."""
CERTAIN = 0.05
"""What the mirror image costs, and no more, counts for a motion: wrong ones with sharp corners have a way, too."""
ROUGHER, ROUGHEST = 0.12, 2.0
"""Logarithm of the roughness that true motions of textures seldom exceed, and what each beyond is worth in addition."""
COST = {"line": 0.0, "arc": 0.022, "path": 0.025, "free": 0.08}
"""Of more freedom, in the unit of scores."""
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
        surprise: negative logarithm of the odds of each order that was looked at.
        data: independent data of all regions.
        left: regions in which motion was seen, but whose picture is not expected to gain if it is undone.
    """

    order: str
    background: Fit | None
    people: tuple[Fit | None, ...]
    surprise: dict[str, float]
    data: float
    left: tuple[str, ...] = ()

    def describe(self) -> dict[str, Any]:
        """For the report: JSON-able."""
        best = min(self.surprise.values(), default=0.0)
        return {
            "order": self.order,
            "background": _words(self.background),
            "people": [_words(fit) for fit in self.people],
            "evidence lost by order": {name: round(value - best, 1) for name, value in self.surprise.items()},
            "independent data": round(self.data),
            **({"left, for undoing it may lose": list(self.left)} if self.left else {}),
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


@dataclass(eq=False)
class Region:
    """A part of the picture that moves as one, and what may have moved it.

    Attributes:
        spectra: of its data; none where it is too small to say anything.
        image: (rows, cols) of its richest window.
        weight: same shape: where it is.
        sigma: standard deviation of the noise.
        proposed: motions that it proposes.
    """

    spectra: tuple[Spectrum, ...]
    image: FloatArray
    weight: FloatArray
    sigma: float
    proposed: list[Fit]

    def __post_init__(self) -> None:
        self._still = (stillness(self.spectra), self._rough(DELTA)) if self.spectra else (0.0, 1.0)
        self._won: dict[int, float] = {}
        self._scores: dict[int, float] = {}
        self._known: dict[bytes, tuple[float, float]] = {}

    @property
    def data(self) -> float:
        """Independent data."""
        return sum(s.data for s in self.spectra)

    def score(self, fit: Fit | None) -> float:
        """What a motion wins over stillness: evidence for each datum, less roughness, more for pointing one way."""
        if fit is None or not self.spectra:
            return 0.0
        if id(fit) not in self._scores:
            rough, backward = self._ways(fit)
            rougher = math.log(rough / self._still[1])
            lost = ROUGHNESS * rougher + ROUGHEST * max(rougher - ROUGHER, 0.0) + BACKWARDS * max(backward, -CERTAIN)
            self._scores[id(fit)] = self.won(fit) - telling(self.sigma) * lost
        return self._scores[id(fit)]

    def won(self, fit: Fit) -> float:
        """The evidence alone, for each datum."""
        if not self.spectra:
            return 0.0
        if id(fit) not in self._won:
            lost = self._still[0] - float(surprise(self.spectra, [fit.kernel])[0])
            self._won[id(fit)] = lost / self.data - COST[fit.kind]
        return self._won[id(fit)]

    def best(self, fits: Sequence[Fit | None]) -> Fit | None:
        """The motion with the best score, if any of them is likely; roughness alone is no evidence of motion."""
        found = max((fit for fit in fits if fit is not None and self.won(fit) > 0), key=self.score, default=None)
        return found if self.odds([fit for fit in fits if fit is not None]) > 0 else None

    def odds(self, fits: Sequence[Fit]) -> float:
        """Logarithm of the odds that one of some motions moved the region, against stillness."""
        return _sum([self.score(fit) / DOUBT for fit in fits]) - MOVING if self.spectra else -math.inf

    def gains(self, fit: Fit | None, fits: Sequence[Fit]) -> bool:
        """Whether undoing a motion is expected to bring the picture nearer to the sharp one: see `expected_gain`.

        Args:
            fit: None for none, which gains nothing and loses nothing.
            fits: all that may be true, beside stillness.
        """
        if fit is None or not self.spectra:
            return True
        motions = [(DELTA, MOVING * DOUBT), *((f.kernel, self.score(f)) for f in fits)]
        return expected_gain(self.image, self.weight, self.sigma, motions, fit.kernel) > 0

    def _ways(self, fit: Fit) -> tuple[float, float]:
        """Roughness of the smoother of a motion and its mirror image, and what the motion loses to that."""
        if fit.kind == "line":
            return self._rough(fit.kernel), 0.0
        turned = np.ascontiguousarray(fit.kernel[::-1, ::-1])
        if fit.kernel.tobytes() not in self._known:
            rough = min(self._rough(fit.kernel), self._rough(turned))
            backward = backwards(self.image, self.weight, fit.kernel, self.sigma)
            self._known |= {turned.tobytes(): (rough, -backward), fit.kernel.tobytes(): (rough, backward)}
        return self._known[fit.kernel.tobytes()]

    def _rough(self, kernel: FloatArray) -> float:
        return max(roughness(self.image, self.weight, kernel, self.sigma), 1e-12)


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
        wanted: an order that is taken whatever the evidence says; "auto" for none: then motions are left alone, too,
            where undoing them may well lose more than it gains.
        usable: where values mean something; everywhere if not given.
        thorough: look for curves and free kernels as well.
    """
    good = np.ones(image.shape, bool) if usable is None else usable
    everyone = [_region(image, part & good, sigma, thorough) for part in regions(masks, image.shape)]
    fits = _likely(everyone, [fit for region in everyone for fit in region.proposed])
    own = [region.best(fits) for region in everyone]
    shared = _together(everyone, fits)
    careful, odds = wanted == AUTO, _odds(everyone, fits)
    if careful:
        wanted = max(odds, key=lambda order: odds[order])
        wanted = NONE if wanted == HUMAN and not any(own) else wanted
    if masks and wanted == UNIFORM:
        whole = _region(image, good, sigma, thorough)  # which has more data than any part
        everyone, fits = [*everyone, whole], _likely([*everyone, whole], [*fits, *whole.proposed])
        shared, own = _together(everyone, fits), [*own, whole.best(fits)]
    data = sum(r.data for r in everyone)
    lost = {name: -value for name, value in odds.items()}
    if wanted == NONE:
        return Found(NONE, None, (None,) * len(masks), lost, data)
    if wanted == UNIFORM:
        if careful and not any(region.gains(shared, fits) for region in everyone):  # the surest says what all do
            seen = odds[UNIFORM] - odds[NONE] > SUSPECTED
            return Found(NONE, None, (None,) * len(masks), lost, data, (EVERYTHING,) if seen else ())
        return Found(UNIFORM, shared, (shared,) * len(masks), lost, data)
    background = own[0]
    moved = [
        background,
        *(
            background if background and person.score(fit) - person.score(background) <= APART else fit
            for person, fit in zip(everyone[1:], own[1:], strict=True)
        ),
    ]
    names = (BACKGROUND, *(f"person {i + 1}" for i in range(len(masks))))
    sure = [not careful or r.gains(fit, fits) for r, fit in zip(everyone, moved, strict=True)]
    left = tuple(name for name, good in zip(names, sure, strict=True) if not good)
    background, *people = (fit if good else None for fit, good in zip(moved, sure, strict=True))
    order = NONE if careful and background is None and not any(people) else HUMAN
    return Found(order, background, tuple(people), lost, data, left)


def _likely(everyone: Sequence[Region], fits: Sequence[Fit]) -> list[Fit]:
    """Motions with much evidence in some region for their freedom: the others need not be judged by roughness.

    A kernel of any shape is fitted to an image of few edges, so roughness flatters it: it needs the most evidence.
    """
    kept: set[int] = set()
    for region in everyone:
        for cost in COST.values():
            own = sorted((f for f in fits if COST[f.kind] <= cost), key=region.won, reverse=True)[:LIKELY]
            kept |= {id(f) for f in own if f.kind != "free" or own[0].kind == "free"}
    return [fit for fit in fits if id(fit) in kept]


def _together(everyone: Sequence[Region], fits: Sequence[Fit]) -> Fit | None:
    """The motion that all like best."""
    return max(fits, key=lambda fit: sum(r.score(fit) for r in everyone), default=None)


def _odds(everyone: Sequence[Region], fits: Sequence[Fit]) -> dict[str, float]:
    """Logarithms of the odds of each order; people that move apart are none where there is nobody."""
    telling = [region for region in everyone if region.spectra]
    found = {NONE: PRIOR[NONE]}
    if telling and fits:
        found[UNIFORM] = PRIOR[UNIFORM] + _sum([sum(r.score(fit) for r in telling) / DOUBT for fit in fits])
    if len(everyone) > 1:
        found[HUMAN] = PRIOR[HUMAN] + sum(_sum([0.0, r.odds(fits)]) for r in telling)
    return found


def _sum(logarithms: Sequence[float]) -> float:
    """Logarithm of a sum."""
    most = max(logarithms, default=-math.inf)
    return most if math.isinf(most) else most + math.log(sum(math.exp(v - most) for v in logarithms))


def _region(image: FloatArray, part: npt.NDArray[np.bool_], sigma: float, thorough: bool) -> Region:
    found = spectrum(image, taper(part), sigma) if part.any() else None
    if found is None:
        return Region((), image, part.astype(np.float64), sigma, [])
    cut = _richest(image, part)
    weight = part[cut].astype(np.float64)
    return Region((found,), image[cut], weight, sigma, candidates([found], image[cut], weight, thorough))


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
