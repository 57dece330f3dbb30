"""Motion that nobody measured: what moved how is found in the data of a scene, and becomes its operator."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy

from gensr.errors import FormatError, GensrError, UsageError
from gensr.operators import Area, Layered, MeasuredPSF, Motion, Operator
from gensr.pipeline.noise import MEASURED, Known, known_noise
from gensr.scenes.inputs import guess, open_scene
from gensr.scenes.scene import Scene
from gensr.search.motion.fit import Fit
from gensr.search.motion.order import AUTO, HUMAN, NONE, ORDERS, UNIFORM, Found, identify, kernel_of
from gensr.search.motion.spectrum import quietest
from gensr.values.grid import Window
from gensr.values.noise import GaussianNoise
from gensr.values.normalise import AffineNormaliser

MOVING = "moving"
"""Name of the operator that is not known: ``moving``, ``moving:human``, ``moving:auto,FILE``."""
WHOLE = 1 << 25
"""Pixels of a plane from which motion is sought; of a larger one the middle is looked at."""
LABELS = 16
"""A mask of no more different values above 0 numbers people; one of more says what share of a pixel one person has."""
SPECTRUM = "measured on the modes of the data in which least is seen"
CLEAR = 2.0
"""Logarithm of odds from which an order that is asked for is against the evidence."""
SOFT = 0.7
"""Width of the border of a mask of whole pixels, pixels."""
Share = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Sought:
    """What is asked of a motion.

    Attributes:
        order: none, uniform, human, or auto.
        mask: file that says where people are; "" for none.
    """

    order: str
    mask: str = ""

    @staticmethod
    def of(spec: str) -> Sought | None:
        """What the text of an operator asks; None where it names another operator.

        Raises:
            UsageError: no such order.

        >>> Sought.of("moving:human,mask=a.png"), Sought.of("moving"), Sought.of("area")
        (Sought(order='human', mask='a.png'), Sought(order='auto', mask=''), None)
        """
        name, colon, text = spec.strip().partition(":")
        if name != MOVING:
            return None
        order, sign, mask = text.partition(",mask=")
        if (colon and order not in (AUTO, *ORDERS)) or (sign and not mask):
            known = "|".join((AUTO, *ORDERS))
            raise UsageError(f"operator {spec!r}: expected {MOVING}:{known} or {MOVING}:ORDER,mask=FILE")
        return Sought(order or AUTO, mask)

    @property
    def text(self) -> str:
        """As an operator is written; the file with its full path."""
        return f"{MOVING}:{self.order}" + (f",mask={Path(self.mask).absolute()}" if self.mask else "")


@dataclass(frozen=True)
class Moved:
    """A motion that was found.

    Attributes:
        operator: of the scene.
        found: what moved how.
        people: where people were taken from, in words.
        doubt: what a user should know; "" for nothing.
        noise: where the finest scales of the data left it uncertain, what the modes say that motion wiped out.
    """

    operator: Operator
    found: Found
    people: str
    doubt: str = ""
    noise: Known | None = None

    def describe(self) -> dict[str, Any]:
        """For the report."""
        return {"people from": self.people, **self.found.describe()}


def settle_motion(scene: Scene, sought: Sought, noise: str | float | None) -> Moved:
    """Find the motion of a scene.

    Args:
        scene: the opened input.
        sought: what is asked.
        noise: of the user, None for none.

    Raises:
        UsageError: a mask that does not fit.
    """
    rows, cols = scene.grid.shape
    shares, origin = (_read_mask(Path(sought.mask), (rows, cols)), "the mask") if sought.mask else ([], "nobody")
    if not sought.mask and sought.order in (AUTO, HUMAN):
        shares = softened(scene.people())
        origin = "the faces that were found" if shares else "nobody: no face was found, and no mask= given"
    if sought.order == HUMAN and not shares:
        raise UsageError(
            f"{scene.path.name}: motion=human needs to know where people are, and no face was found; give mask=FILE"
        )
    grey, sigma, usable, place, known = _grey(scene, noise)
    cut = np.s_[place.row : place.row + place.rows, place.col : place.col + place.cols]
    masks = [share[cut] > 0.5 for share in shares]
    kept = [i for i, mask in enumerate(masks) if mask.any()]
    found = identify(grey, [masks[i] for i in kept], sigma, sought.order, usable)
    shares = [shares[i] for i in kept]
    noted: Known | None = known if known.source == SPECTRUM else None
    if found.order == NONE and noise is None:
        # Fine detail of a sharp picture passes for noise: nobody asked to take any away, so data stay to rounding.
        noted = Known(GaussianNoise(12**-0.5 * scene.quantum), "taken as rounding: nothing moved")
    return Moved(_operator(found, shares), found, origin, _doubt(found, sought, scene, noise is None), noted)


def _operator(found: Found, shares: Sequence[Share]) -> Operator:
    if found.order == NONE or (found.order == UNIFORM and found.background is None):
        return Area(1)
    if found.order == UNIFORM or all(fit is found.background for fit in found.people):
        return _blur(found.background)
    # People that do what the background does belong to it.
    moved = [
        (share, _blur(fit)) for share, fit in zip(shares, found.people, strict=True) if fit is not found.background
    ]
    return Layered(_blur(found.background), moved)


def _blur(fit: Fit | None) -> MeasuredPSF:
    if fit is not None and fit.kind == "line" and fit.path is not None:
        return Motion(1, round(fit.path.length, 2), round(fit.path.angle % 180, 2))
    return MeasuredPSF(1, kernel_of(fit))


def _doubt(found: Found, sought: Sought, scene: Scene, silent: bool) -> str:
    several = f"; planes are taken to move alike, as plane {scene.planes // 2 + 1} does" if scene.planes > 1 else ""
    if found.left:
        names = " and ".join(found.left)
        several = f"; {names} may have moved, but undoing that may lose more than it gains, so it is left{several}"
    if found.order == NONE and sought.order == AUTO:
        rest = "the data stay as they are; noise= has noise taken away" if silent else "nothing but noise is taken away"
        return f"no {'certain ' if found.left else ''}motion was found, so {rest}{several}"
    if sought.order == AUTO:
        return f"motion found: {found.order}{several}"
    best = min(found.surprise, key=lambda name: found.surprise[name])
    lost = found.surprise.get(sought.order, 0.0) - found.surprise[best]
    if best != sought.order and lost > CLEAR:
        return f"motion={sought.order} is what was asked for; the evidence is for {best}{several}"
    return several.removeprefix("; ")


def _grey(scene: Scene, noise: str | float | None) -> tuple[Share, float, npt.NDArray[np.bool_], Window, Known]:
    """Grey values of contrast about 1, their noise, where they are usable, which window they are, and what is known."""
    rows, cols = scene.grid.shape
    place = Window(0, 0, rows, cols)
    if rows * cols > WHOLE:
        side = math.isqrt(WHOLE)
        high, wide = min(rows, side), min(cols, side)
        place = Window((rows - high) // 2, (cols - wide) // 2, high, wide)
    image = scene.read(scene.planes // 2, place)
    known = known_noise(scene, noise)
    normaliser = scene.normaliser()
    gain = normaliser.gain if isinstance(normaliser, AffineNormaliser) else (1.0,) * len(image.bands)
    usable = np.asarray(image.usable.all(0))
    values = np.where(usable, image.values.astype(np.float64) / np.array(gain)[:, None, None], 0.0).mean(0)
    if not usable.all():
        values = np.where(usable, values, values[usable].mean() if usable.any() else 0.0)
    least = 12**-0.5 * scene.quantum / min(gain) / math.sqrt(len(gain))
    seen = quietest(values) if noise is None else 0.0
    if known.doubt or (known.source == MEASURED and seen > _of_grey(known, gain)):
        # Of a band, contrast 1: noise of bands is independent.
        one = max(seen or quietest(values), least) * math.sqrt(len(gain))
        known = Known(GaussianNoise(tuple(one * g for g in gain) if len(gain) > 1 else one * gain[0]), SPECTRUM)
    # Noise that grows with the signal is judged where most of it is.
    sigma = max(_of_grey(known, gain), seen, least, 1e-4)
    return np.asarray(values, np.float64), sigma, usable, place, known


def _of_grey(known: Known, gain: Sequence[float]) -> float:
    """Standard deviation of the noise of the mean of bands, contrast 1."""
    sigmas = [(known.model.typical(band) or 0.0) / one for band, one in enumerate(gain)]
    return math.sqrt(sum(s**2 for s in sigmas)) / len(sigmas)


def _read_mask(path: Path, shape: tuple[int, int]) -> list[Share]:
    """Share of each person in every pixel.

    Raises:
        UsageError: no such file, another size, or nobody in it.
    """
    try:
        if not path.is_file():
            raise FormatError(f"{path}: no such file")
        with open_scene(guess(path), path, {}) as scene:
            if scene.planes != 1 or scene.grid.shape != shape:
                rows, cols = scene.grid.shape
                size = f"{scene.planes} plane(s) of {cols} x {rows} pixels"
                raise FormatError(f"{path.name}: {size}, not one of {shape[1]} x {shape[0]}")
            image = scene.read(0, Window(0, 0, *shape))
    except GensrError as error:
        raise UsageError(f"mask: {error}; give an image of the size of the input, 0 where nobody is") from error
    values = np.where(image.valid, image.values, 0.0).astype(np.float64).mean(0)
    people = np.unique(values[values > 0])
    if not len(people):
        raise UsageError(
            f"mask: {path.name} is 0 everywhere; give 1, or another number for each person, where people are"
        )
    if len(people) > LABELS:
        return [np.clip(values / values.max(), 0, 1)]
    if values.shape[0] * values.shape[1] == int((values > 0).sum()):
        raise UsageError(f"mask: {path.name} is above 0 everywhere, so there is no background; use motion=uniform")
    return softened([values == person for person in people])


def softened(masks: Sequence[npt.NDArray[np.bool_]]) -> list[Share]:
    """Shares of people, from back to front, with soft borders that sum to 1 at most."""
    left = np.ones(masks[0].shape) if masks else np.ones((1, 1))
    found: list[Share] = []
    for mask in reversed(masks):
        share = np.minimum(scipy.ndimage.gaussian_filter(mask.astype(np.float64), SOFT).clip(0, 1), left)
        left = left - share
        found.append(share)
    return found[::-1]
