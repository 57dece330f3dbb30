"""Named amounts of work: where mean and deviation come from, how samples are drawn, and what it costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from gensr.errors import UsageError
from gensr.search.guided import Guided
from gensr.search.loop import Start

MomentSource = Literal["closed", "draws", "search"]
LONG = {"steps": 60, "candidates": 8, "modes": 4, "rounds": 4, "fine": 20, "secant": 60, "extend": 60}
"""The staged search to its end."""


@dataclass(frozen=True)
class Preset:
    """One amount of work.

    Attributes:
        name: as the command line writes it.
        sentence: for help and report.
        moments: where mean and deviation come from: "closed" (the generator itself, by a formula or a network, if it
            serves the operator, else draws), "draws" (posterior draws), "search" (latent search). What a generator
            cannot do falls to the next in this order: every generator can be searched.
        draws: draws behind mean and deviation where they come from draws or from a search.
        guided: how samples are drawn through a denoiser.
        solver: latent solver, by its name among the entry points ``gensr.solvers``.
        start: where a search begins; None leaves it to the solver.
        solver_options: numbers of the solver that differ from its defaults.
        generator_options: numbers of generators; each takes those that it knows.
        said: names of numbers that the user gave, and ``solver`` where it was named: they must act or be refused.
    """

    name: str
    sentence: str
    moments: MomentSource
    draws: int
    guided: Guided = field(default_factory=Guided)
    solver: str = "staged"
    start: Start | None = None
    solver_options: Mapping[str, float] = field(default_factory=dict)
    generator_options: Mapping[str, float] = field(default_factory=dict)
    said: tuple[str, ...] = ()


PRESETS: Mapping[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset(
            "fast",
            "preview: the generator's own mean and deviation, on a coarse raster of windows; samples in few steps",
            "closed",
            draws=4,
            guided=Guided(steps=8, data_step="tweedie", iterations=1),
            solver_options={
                "steps": 10,
                "candidates": 1,
                "modes": 1,
                "proposals": 1,
                "secant": 20,
                "extend": 20,
                "draw": 15,
            },
            generator_options={"spacing": 4, "coarse_spacing": 2, "network_steps": 4},
        ),
        Preset(
            "balanced",
            "default: the generator's own mean and deviation",
            "closed",
            draws=8,
            guided=Guided(steps=16, data_step="tweedie", iterations=1),
            generator_options={"spacing": 2, "coarse_spacing": 1, "network_steps": 8},
        ),
        Preset(
            "best",
            "the same from the windows of every pixel, samples in twice the steps",
            "closed",
            draws=16,
            guided=Guided(steps=32, data_step="tweedie", iterations=2),
            solver_options=LONG,
            generator_options={"spacing": 1, "coarse_spacing": 1, "network_steps": 16},
        ),
        Preset(
            "posterior",
            "mean and deviation from 16 draws",
            "draws",
            draws=16,
            guided=Guided(steps=32, data_step="tweedie", iterations=4),
            solver_options={**LONG, "draw": 60},
            generator_options={"spacing": 1, "coarse_spacing": 1, "network_steps": 16},
        ),
        Preset(
            "pulse",
            "the published algorithm of PULSE and nothing more: one picture, 100 spherical Adam steps, no deviation",
            "search",
            draws=8,
            guided=Guided(steps=16, data_step="ddnm"),
            solver="pulse",
            solver_options={"steps": 100},
            generator_options={"spacing": 1, "coarse_spacing": 1, "network_steps": 8},
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
        raise UsageError(f"search={name}: expected one of {', '.join(PRESETS)}")
    return PRESETS[name]
