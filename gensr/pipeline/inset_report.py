"""What is told of a run of which a prior answered parts only."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from gensr.operators import Area
from gensr.pipeline.background import Background
from gensr.pipeline.noise import Level
from gensr.pipeline.request import Request
from gensr.pipeline.task import Task
from gensr.scenes.area import area_words
from gensr.scenes.insets import Inset, Insets
from gensr.scenes.provenance import INTERPOLATED, MARK, software
from gensr.scenes.scene import Scene
from gensr.values.grid import Factor

LANCZOS = "none: Lanczos interpolation that explains the data"
"""What stands in place of a generator where nothing is generated."""


@dataclass(frozen=True)
class Part:
    """An inset with everything that was settled about it."""

    inset: Inset
    task: Task
    why: str
    level: Level


class Decided(Protocol):
    """What a plan knows."""

    @property
    def request(self) -> Request:
        """What the user asked for."""

    @property
    def domain(self) -> str:
        """Name of the domain."""

    @property
    def scene(self) -> Scene:
        """The input."""

    @property
    def found(self) -> Insets:
        """Parts, and what the scene says of them."""

    @property
    def parts(self) -> tuple[Part, ...]:
        """Those that a prior answers."""

    @property
    def background(self) -> Background | None:
        """The prior of everything else, if there is one."""

    @property
    def generates(self) -> bool:
        """Whether a prior answers anything."""

    @property
    def factor(self) -> Factor:
        """Refinement of rows and columns."""

    @property
    def samples(self) -> int:
        """Posterior samples."""

    @property
    def warnings(self) -> list[str]:
        """What a user should know."""


def generator_of(plan: Decided) -> dict[str, Any]:
    """The prior of the parts, or of everything else where there are none, as a report names it."""
    if not plan.generates:
        return {"name": LANCZOS, "sha256": ""}
    task = chosen_of(plan)
    card, reference = task.generator.card, task.prior.reference
    return {
        "name": card.name,
        "version": card.version,
        "sha256": "" if reference is None else reference.digest,
        "licence": card.licence,
        "domain": card.domain,
    }


def chosen_of(plan: Decided) -> Task:
    """What decides the parts, or everything where there are none."""
    return plan.parts[0].task if plan.parts or plan.background is None else plan.background.task


def background_of(plan: Decided) -> Any:  # noqa: ANN401
    """What stands where no part lies; None where a part covers everything."""
    if plan.found.whole:
        return None
    return LANCZOS if plan.background is None else plan.background.describe()


def fact_of(part: Part) -> dict[str, Any]:
    """One part, for people."""
    task = part.task
    moments, samples = task.method.words
    noise = "none" if task.exact else task.noise_model.describe()
    return {
        **part.inset.facts,
        "generator": task.generator.card.name,
        "chosen as": part.why,
        "noise": {"is": noise, "from": part.level.source},
        "mean and std": moments,
        "samples": samples,
    }


def report_of(
    plan: Decided, entries: Sequence[Mapping[str, Any]], seconds: float, told: Sequence[Mapping[str, Any]] = ()
) -> dict[str, Any]:
    """See `gensr.pipeline.report.build`: the same entries, and one for every part.

    Args:
        plan: what the run followed.
        entries: statistics of finished strips.
        seconds: that it took.
        told: how well each part explains its data; none before the run.
    """
    scene = plan.scene
    count = sum(int(e["count"]) for e in entries)
    rms = math.sqrt(math.fsum(e["square"] for e in entries) / count) if count else 0.0
    rows, cols = scene.grid.refine(plan.factor).shape
    told = told or [{} for _ in plan.parts]
    return {
        "mark": MARK if plan.generates else INTERPOLATED,
        "gensr": software(),
        "factor": plan.request.factor,
        "generator": generator_of(plan),
        "operator": {**Area(plan.factor).describe(), "gain": 1.0},
        "background": background_of(plan),
        "search": {"preset": chosen_of(plan).preset.name} if plan.generates else None,
        "through_plane": None,
        "samples": plan.samples,
        "seed": plan.request.seed,
        "input": {
            "name": scene.path.name,
            "domain": plan.domain,
            **({"domain was guessed": scene.doubt} if scene.doubt else {}),
            **area_words(scene, plan.request.area),
            **scene.metadata(),
        },
        "output": {
            "rows": rows,
            "cols": cols,
            "planes": 1,
            "bands": list(scene.bands),
            "unit": scene.unit,
            "dtype": str(scene.dtype),
            "clipped or moved values": sum(int(e["clipped"]) for e in entries),
        },
        "parts": [{**fact_of(part), "explained": told[k]} for k, part in enumerate(plan.parts)],
        "left": [dict(fact) for fact in plan.found.facts if not fact.get("restored")],
        "whole": plan.found.whole,
        "consistency": {
            "rms": rms,
            "largest": max((float(e["largest"]) for e in entries), default=0.0),
            "rms in codes": rms / scene.quantum if scene.quantum else None,
            "chi2 per datum": None,
            "data": count,
        },
        "latent search": None,
        "seconds": round(seconds, 3),
        "warnings": plan.warnings,
    }
