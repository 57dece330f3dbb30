"""What a scene says of a generator, in figures and in a sentence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

LEVEL = 0.9
"""Of the intervals that are judged."""
TIE = 0.1
"""Gains below this many dB are none."""
HOLDS = 0.05
"""Coverage may be so far from `LEVEL`; or by two standard errors where they are larger."""
WIDEST = 0.98
"""Coverage above which intervals are too wide whatever the standard error is."""
NAN = math.nan


@dataclass(frozen=True)
class Figures:
    """Of a band, or over all bands; NaN for what cannot be said.

    Attributes:
        gain: of the mean over Lanczos, dB of the squared error; over all the mean of the bands.
        doubt: standard error of it, dB.
        coverage: how often the data lie in their 90 % interval, with the deviation of the run.
        wobble: standard error of it.
        calibrated: the same with the deviation scaled by ``calibrate=self``, on cells it was not fitted on.
        bias: mean error, physical units.
        shift: the same in deviations of the noise of the data.
        stated: stated variance over squared error.
        spread: variance of draws over squared error.
        pixels: that were compared.
    """

    gain: float = NAN
    doubt: float = NAN
    coverage: float = NAN
    wobble: float = NAN
    calibrated: float = NAN
    bias: float = NAN
    shift: float = NAN
    stated: float = NAN
    spread: float = NAN
    pixels: int = 0

    @property
    def loses(self) -> bool:
        """Whether interpolation is better, beyond doubt."""
        return self.gain <= -TIE and not -self.gain < 2 * self.doubt

    @property
    def narrow(self) -> bool:
        """Whether intervals cover too little, beyond doubt."""
        return self.coverage < LEVEL - self._tolerance

    @property
    def wide(self) -> bool:
        """Whether intervals cover too much, beyond doubt."""
        return self.coverage > min(LEVEL + self._tolerance, WIDEST)

    @property
    def _tolerance(self) -> float:
        return max(HOLDS, 2 * self.wobble if math.isfinite(self.wobble) else HOLDS)

    def describe(self) -> dict[str, float | int | None]:
        """For the report; None for what cannot be said."""
        return {
            "gain over Lanczos, dB": _shown(self.gain),
            "its standard error, dB": _shown(self.doubt),
            "coverage of 90 %": _shown(self.coverage),
            "coverage of 90 % with calibrate=self": _shown(self.calibrated),
            "bias": _shown(self.bias),
            "bias in units of the noise": _shown(self.shift),
            "stated variance over squared error": _shown(self.stated),
            "variance of draws over squared error": _shown(self.spread),
            "pixels": self.pixels,
        }


@dataclass(frozen=True)
class Checked:
    """What a scene says of a generator.

    Attributes:
        over_all: figures of all bands.
        bands: of every band.
        names: of the bands.
        factors: on the deviation, per band, that ``calibrate=self`` uses; None for a band where none could be fitted.
        windows: that were tried.
        own: whether the deviation of the run is scaled by these factors.
    """

    over_all: Figures
    bands: tuple[Figures, ...]
    names: tuple[str, ...]
    factors: tuple[float | None, ...]
    windows: int
    own: bool = False

    def scales(self, card: Sequence[float]) -> tuple[float, ...]:
        """Factors for a run with ``calibrate=self``: those of the card where none could be fitted."""
        return tuple(c if f is None else _shown(f) or f for f, c in zip(self.factors, card, strict=True))

    @property
    def unfitted(self) -> tuple[str, ...]:
        """Names of the bands for which no factor could be fitted."""
        return tuple(name for name, factor in zip(self.names, self.factors, strict=True) if factor is None)

    def calibrated(self) -> Checked:
        """The same where the run uses the factors: coverage is what they promise."""
        bands = tuple(_promised(f) for f in self.bands)
        return replace(self, own=True, over_all=_promised(self.over_all), bands=bands)

    @property
    def verdict(self) -> str:
        """In one sentence."""
        return f"{self._about_gain()}{self._about_intervals()}"

    def _about_gain(self) -> str:
        gain = self.over_all.gain
        other = "try another generator or train one"
        if not self.over_all.pixels:
            return "nothing on this image could be compared"
        if math.isnan(gain):
            return "on this image noise hides whether the prior or interpolation is better"
        if gain >= TIE:
            return f"on this image the prior gains {gain:.1f} dB over Lanczos"
        if gain <= -TIE:
            return f"on this image the prior loses {-gain:.1f} dB to Lanczos: {other}"
        return f"no better than interpolation here ({gain:+.2f} dB): {other}"

    def _about_intervals(self) -> str:
        found, better = self.over_all, "" if self.own else ": use calibrate=self"
        if math.isnan(found.coverage):
            return ""
        good, covers = found.gain >= TIE, f"(90 % cover {100 * found.coverage:.0f} %)"
        if not (found.narrow or found.wide):
            return f"{' and' if good else ';'} its intervals hold {covers}"
        how = "narrow" if found.narrow else "wide"
        return f", {'but' if good else 'and'} its intervals are too {how} {covers}{better}"

    @property
    def warnings(self) -> list[str]:
        """What a user must know of a run: where the prior loses, or its intervals do not hold."""
        found = self.over_all
        if found.loses or found.narrow or found.wide:
            return [f"tried on its own data coarsened by the factor: {self.verdict}"]
        return []

    def describe(self) -> dict[str, Any]:
        """For the report: JSON-able."""
        many = len(self.bands) > 1
        each = {name: band.describe() for name, band in zip(self.names, self.bands, strict=True)}
        return {
            "verdict": self.verdict,
            "windows": self.windows,
            **self.over_all.describe(),
            "factors of calibrate=self": [_shown(f) for f in self.factors],
            **({"bands": each} if many and len(each) == len(self.bands) else {}),
        }


def blank(names: Sequence[str]) -> Checked:
    """A check that looked at nothing: what headers are tried with."""
    return Checked(Figures(), tuple(Figures() for _ in names), tuple(names), (None,) * len(names), 0)


def _promised(found: Figures) -> Figures:
    return found if math.isnan(found.calibrated) else replace(found, coverage=found.calibrated)


def _shown(value: float | None) -> float | None:
    """Four significant digits, so that equal runs on different machines say the same."""
    return float(f"{value:.4g}") if value is not None and math.isfinite(value) else None
