"""Named amounts of work: where mean and deviation come from, how samples are drawn, and what it costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from gensr.errors import UsageError
from gensr.search.datastep import DataStep
from gensr.search.guided import Guided

MomentSource = Literal["closed", "draws", "search"]


@dataclass(frozen=True)
class Preset:
    """One amount of work.

    Attributes:
        name: as the command line writes it.
        sentence: for help and report.
        moments: where mean and deviation come from: "closed" (the generator itself, by a formula or a network, if it
            serves the operator, else draws), "draws" (posterior draws), "search" (one latent search; no deviation of
            its own).
        spacing: low-resolution pixels between windows of the closed form at factor 2.
        coarse_spacing: the same at factor 4 and above, where windows hold fewer data.
        draws: guided draws behind mean and deviation where they come from draws.
        guided: how samples are drawn.
        solver: latent solver, by its name in `gensr.search.solvers`.
        steps: its steps.
        network_steps: evaluations of a network that draws posterior samples itself.
    """

    name: str
    sentence: str
    moments: MomentSource
    spacing: int
    coarse_spacing: int
    draws: int
    guided: Guided = field(default_factory=Guided)
    solver: str = "gauss-newton"
    steps: int = 20
    network_steps: int = 8

    def stride(self, factor: int | tuple[int, int]) -> int:
        """Low-resolution pixels between windows of the closed form; with two factors the larger one decides."""
        largest = factor if isinstance(factor, int) else max(factor)
        return self.spacing if largest < 4 else self.coarse_spacing

    @property
    def data_step(self) -> DataStep:
        """Which approximation of the data step the samples use, for the report."""
        return self.guided.data_step


PRESETS: Mapping[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset(
            "fast",
            "preview: the generator's own mean and deviation, on a coarse raster of windows; samples in few steps",
            "closed",
            spacing=4,
            coarse_spacing=2,
            draws=4,
            guided=Guided(steps=8, data_step="tweedie", iterations=1),
            network_steps=4,
        ),
        Preset(
            "balanced",
            "default: the generator's own mean and deviation",
            "closed",
            spacing=2,
            coarse_spacing=1,
            draws=8,
            guided=Guided(steps=16, data_step="tweedie", iterations=1),
            network_steps=8,
        ),
        Preset(
            "best",
            "the same from the windows of every pixel, samples in twice the steps",
            "closed",
            spacing=1,
            coarse_spacing=1,
            draws=16,
            guided=Guided(steps=32, data_step="tweedie", iterations=2),
            network_steps=16,
        ),
        Preset(
            "posterior",
            "mean and deviation from 16 draws",
            "draws",
            spacing=1,
            coarse_spacing=1,
            draws=16,
            guided=Guided(steps=32, data_step="tweedie", iterations=4),
            network_steps=16,
        ),
        Preset(
            "pulse",
            "the published algorithm of PULSE as a baseline: one picture, 100 spherical Adam steps, no deviation",
            "search",
            spacing=1,
            coarse_spacing=1,
            draws=8,
            guided=Guided(steps=16, data_step="ddnm"),
            solver="pulse",
            steps=100,
        ),
    )
}
"""All presets by name."""


def preset(name: str) -> Preset:
    """The preset of a name.

    Raises:
        UsageError: unknown name; the message lists the known ones.
    """
    if name not in PRESETS:
        raise UsageError(f"search preset {name!r} is unknown; expected {', '.join(PRESETS)}")
    return PRESETS[name]
