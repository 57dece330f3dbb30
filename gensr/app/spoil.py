"""What may be done to an input before it is answered: blurred, pixelated, moved."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gensr.errors import UsageError

KINDS = ("none", "blur", "pixelate", "motion")
MOST = {"none": 0.0, "blur": 8.0, "pixelate": 64.0, "motion": 41.0}
"""Largest amounts: deviation of a Gaussian, side of a block, length of a line; pixels of the input."""
WIDTHS = 4
"""A Gaussian is cut at this many deviations."""
MOST_NOISE = 20.0
LARGEST = 1e30
"""Any number that is given."""
_LEAST = {"none": 0.0, "blur": 0.1, "pixelate": 2.0, "motion": 2.0}
Kernel = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Spoil:
    """What is done to an input before it is answered.

    Attributes:
        kind: one of `KINDS`.
        amount: see `MOST`.
        angle: of a motion, degrees counter-clockwise from the right.
        noise: white noise that is added then, percent of the range of every band.
        told: whether the answer knows what was done; otherwise it takes the data for those of the usual instrument.

    Raises:
        UsageError: for anything else.
    """

    kind: str = "none"
    amount: float = 0.0
    angle: float = 0.0
    noise: float = 0.0
    told: bool = True

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UsageError(f"spoil={self.kind}: expected {', '.join(KINDS)}")
        numbers = (self.amount, self.angle, self.noise)
        if any(isinstance(n, bool) or not isinstance(n, int | float) or not abs(n) <= LARGEST for n in numbers):
            raise UsageError(f"amount={self.amount}, angle={self.angle}, noise={self.noise}: expected numbers")
        if not 0 <= self.noise <= MOST_NOISE:
            raise UsageError(f"noise={self.noise:g}: expected 0 to {MOST_NOISE:g} percent")
        low, high = _LEAST[self.kind], MOST[self.kind]
        if self.kind != "none" and not low <= self.amount <= high:
            raise UsageError(f"amount={self.amount:g}: expected {low:g} to {high:g} pixels for {self.kind}")
        if self.kind == "pixelate" and self.amount != int(self.amount):
            raise UsageError(f"amount={self.amount:g}: expected a whole number of pixels for pixelate")

    @property
    def words(self) -> str:
        """What was done, for the report."""
        noise = f", then noise of {self.noise:g} %" if self.noise else ""
        told = f"{noise}{'' if self.told else '; the answer was not told'}"
        return {
            "none": "",
            "blur": f"blurred with a Gaussian of {self.amount:g} px{told}",
            "pixelate": f"averaged over blocks of {self.amount:g} x {self.amount:g} px{told}",
            "motion": f"blurred along a line of {self.amount:g} px at {self.angle:g} degrees{told}",
        }[self.kind]

    @property
    def mark(self) -> str:
        """What the names of outputs say of it."""
        return {
            "none": "",
            "blur": f"_blurred{self.amount:g}",
            "pixelate": f"_pixelated{self.amount:g}",
            "motion": f"_moved{self.amount:g}at{self.angle:g}",
        }[self.kind]

    def kernel(self) -> Kernel:
        """The blur as (odd, odd) non-negative weights with sum 1, in pixels of the input."""
        from gensr.operators.blurs import line

        return np.outer(self.taps(), self.taps()) if self.kind == "blur" else line(self.amount, self.angle)

    @property
    def operator(self) -> str:
        """The operator that undoes it on the grid of the input, as the command writes it; "" for none."""
        if not self.told:
            return ""
        words = {"blur": f"gaussian:{self.amount:g}", "motion": f"motion:{self.amount:g},{self.angle:g}"}
        return words.get(self.kind, "")

    def taps(self) -> Kernel:
        """One axis of a Gaussian blur, (odd,), sum 1."""
        reach = math.ceil(WIDTHS * self.amount)
        line = np.exp(-0.5 * (np.arange(-reach, reach + 1) / self.amount) ** 2)
        return np.asarray(line / line.sum())
