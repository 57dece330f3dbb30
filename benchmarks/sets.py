"""What is benchmarked: test sets, the priors that answer for each, and how arrays are presented to them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gensr.operators import Area, Operator
from gensr.scenes import installed
from gensr.scenes.arrays import ArrayScene
from gensr.scenes.statistics import percentile_normaliser
from gensr.values.grid import Factor
from gensr.values.normalise import AffineNormaliser, Normaliser

from . import astronomy
from .datasets import Case, load, luminance

SKY = 0.00767
"""Sky noise of one fine pixel of the simulated fields, electron/s: the unit of the astronomy priors."""
NETWORKS = ("flow", "engression")
"""Families of generators that answer by a network: one of them is the default of each set."""
FAMILIES = (*NETWORKS, "gaussian")
"""Families of generators that are compared."""


def family_of(generator: str) -> str:
    """The family in a generator's name.

    >>> family_of("gaussian-chest-xray")
    'gaussian'
    """
    return generator.split("-", 1)[0]


@dataclass(frozen=True)
class BenchmarkSet:
    """One test set.

    Attributes:
        name: the ``domain`` column of the table.
        pack: data pack that is read.
        plugin: domain that renders and names it.
        generators: names of the priors, one of each family.
        percentiles: of the observation that become 0 and 1; None for a fixed scale.
        clipped: whether answers are clipped to 0..peak, as in the table of floors.
        grey: whether RGB is turned to luminance before it is observed.
        flux: whether pixels hold flux, which is summed and not averaged.
        validation: split on which standard deviations are scaled; the test split of a set that has no other is "val".
    """

    name: str
    pack: str
    plugin: str
    generators: tuple[str, ...]
    percentiles: tuple[float, float] | None
    clipped: bool
    grey: bool = False
    flux: bool = False
    validation: str = "val"

    def cases(self, root: Path, split: str, limit: int | None) -> list[Case]:
        """Pictures of a split, at most ``limit``, evenly spread."""
        cases = load(root, self.pack, split, limit)
        if self.grey:
            return [replace(case, image=luminance(case.image).astype(np.float32)) for case in cases]
        return cases

    def of(self, families: Collection[str], installed: Collection[str]) -> list[str]:
        """Its generators of some families that are installed, in the order of the set."""
        return [name for name in self.generators if family_of(name) in families and name in installed]

    def noise_word(self, factor: int, noise: float, peak: float) -> str:
        """The ``noise=`` word that tells the flow what the observation's noise is."""
        if noise == 0:
            return "0"
        if self.flux:
            floor = float(astronomy.sigma(0.0, factor * factor))
            return f"poisson:gain={1 / astronomy.EXPOSURE!r},sigma={floor!r}"
        return repr(noise * peak)


def _both(subject: str) -> tuple[str, ...]:
    return ("engression-field", f"gaussian-{subject}")


def _own(subject: str) -> tuple[str, ...]:
    return (f"engression-{subject}", f"gaussian-{subject}")


SETS: Sequence[BenchmarkSet] = (
    BenchmarkSet("microscopy", "microscopy", "microscopy", _both("microscopy"), (1, 99.9), clipped=True),
    BenchmarkSet("satellite", "satellite", "satellite", _both("satellite"), (2, 98), clipped=False, grey=True),
    BenchmarkSet(
        "satellite-rgb", "satellite", "satellite", ("engression-land-rgb", "gaussian-satellite"), (2, 98), clipped=False
    ),
    BenchmarkSet("astronomy", "astronomy", "astronomy", _own("astronomy"), None, clipped=False, flux=True),
    BenchmarkSet("faces", "faces", "faces", _own("faces"), None, clipped=True),
    BenchmarkSet("chest-xray", "medical_cxr", "medical", _own("chest-xray"), None, clipped=True),
    BenchmarkSet(
        "brain-mr", "medical_brain", "medical", _both("brain-mr"), (0.5, 99.9), clipped=False, validation="train"
    ),
)


class BenchmarkScene(ArrayScene):
    """One observation (band, y, x), float, on the scale of its set's generators.

    Args:
        observation: (band, y, x).
        name: of the picture, for messages.
        item: its set.
        peak: data range.
        generator: who answers; fluxes come in its unit.
        factor: refinement.
    """

    def __init__(
        self, observation: npt.NDArray[Any], name: str, item: BenchmarkSet, peak: float, generator: str, factor: int
    ) -> None:
        super().__init__(np.asarray(observation, np.float32), installed.domain(item.plugin))
        self.path = Path(name)
        self._item, self._peak, self._generator, self._factor = item, peak, generator, factor

    def operator(self, factor: Factor) -> Operator:
        """Block means, or sums of flux."""
        return Area(factor, total=self._item.flux)

    def generator(self) -> str:
        """The one that answers."""
        return self._generator

    def normaliser(self) -> Normaliser:
        """Percentiles of the observation, or the fixed scale of the set."""
        if self._item.percentiles is not None:
            return percentile_normaliser(self, *self._item.percentiles)
        unit = self._flux_unit if self._item.flux else self._peak
        bands = len(self.bands)
        return AffineNormaliser((unit,) * bands, (0.0,) * bands)

    @property
    def _flux_unit(self) -> float:
        """The noise of a datum where a prior measures by it, as FITS readers find it; else 16 times a pixel's."""
        if family_of(self._generator) == "flow":
            return float(astronomy.sigma(0.0, self._factor**2))
        return SKY * 16
