"""The card that travels inside every weights file: what a user must know before believing a generator."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

REACH = "chi2 that 90 % of held-out pictures end within"
"""Name of the score that a search takes for the edge of the generator's range (`gensr.making.inversion`)."""


@dataclass(frozen=True)
class GeneratorCard:
    """One generator.

    Attributes:
        name: unique name, for example ``gaussian-microscopy``.
        family: registered generator family that reads the weights.
        domain: domain it was made for; several with spaces.
        bands: number of bands it models jointly; 1 means that bands are processed one by one.
        aligned: whether content must be aligned (a face crop) rather than a field of any size.
        unit: meaning of its value range.
        value_range: (low, high) that training data filled after normalisation.
        pixel: pixel size or sampling of the training images, in words.
        licence: licence of the weights.
        data: training data with source and licence.
        split: which part of the data it was fitted on.
        recipe: how it was trained, with cost.
        metrics: scores on the held-out split, by name.
        bias: known bias and failure.
        audit: nearest-neighbour audit in words and figures.
        discrepancy: standard deviation of what the generator cannot express, generator units.
        conformal: by "x<factor> noise <level>": factor on the standard deviation for nominal 90 % coverage.
        version: of the weights.
        alignment: how aligned pictures were cut, in a word of their domain; "" for what its first priors have.
        side: pixels a side of aligned pictures, what the generator knows and no more; 0 is 128.
        source: file of another program that they were converted from, with its sha256; "" for our own.
    """

    name: str
    family: str
    domain: str
    bands: int
    aligned: bool
    unit: str
    value_range: tuple[float, float]
    pixel: str
    licence: str
    data: str
    split: str
    recipe: str
    bias: str
    audit: str
    discrepancy: float
    metrics: Mapping[str, float] = field(default_factory=dict)
    conformal: Mapping[str, float] = field(default_factory=dict)
    version: str = "1"
    alignment: str = ""
    side: int = 0
    source: str = ""

    @property
    def domains(self) -> tuple[str, ...]:
        """What it was made for."""
        return tuple(self.domain.split())

    def to_dict(self) -> dict[str, Any]:
        """As JSON-able dictionary."""
        return asdict(self)


def conformal_factor(table: Mapping[str, float], factor: float, noise: float) -> float:
    """Scale of the standard deviation from a card: the entry of the nearest factor and noise level, 1 if none.

    Keys look like ``"x4 noise 0.01"``, with the noise deviation in generator units.
    """
    best, distance = 1.0, math.inf
    for key, scale in table.items():
        name, _, level = key.partition(" noise ")
        gap = abs(math.log2(int(name[1:]) / factor)) + 0.25 * abs(
            math.log10(max(float(level), 1e-3)) - math.log10(max(noise, 1e-3))
        )
        if gap < distance:
            best, distance = scale, gap
    return best
