"""What was settled about one scene before anything is computed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gensr.pipeline.cost import Expected, expected
from gensr.pipeline.moving import Moved
from gensr.pipeline.noise import Level
from gensr.pipeline.request import Request
from gensr.pipeline.task import Task
from gensr.pipeline.through_plane import passes
from gensr.pipeline.tiles import Tile
from gensr.pipeline.verdict import Checked
from gensr.scenes.area import area_notes
from gensr.scenes.names import Names
from gensr.scenes.product import ThroughPlane
from gensr.scenes.scene import Scene
from gensr.values.bands import listed


@dataclass(frozen=True)
class Decisions:
    """Everything that a run needs to know.

    Attributes:
        request: what the user asked for, without the source.
        domain: name of the domain, or "array".
        scene: the opened input.
        names: of its outputs.
        task: what decides the pixels.
        why: why this prior was chosen, in words.
        level: noise and scale, and where they come from.
        through_plane: refinement through planes that follows, if any.
        tiles: of the scene.
        batch: tiles that are computed together.
        checked: what ``calibrate=self`` found; None where the card's factors are used.
        moved: the motion that was found in the data; None where it was not looked for.
    """

    request: Request
    domain: str
    scene: Scene
    names: Names
    task: Task
    why: str
    level: Level
    through_plane: ThroughPlane | None
    tiles: tuple[Tile, ...]
    batch: int
    checked: Checked | None = None
    moved: Moved | None = None

    @property
    def expected(self) -> Expected:
        """Memory, disk and time; asked for the first time it measures the speed of the machine, which no run needs."""
        again = 0 if self.through_plane is None else passes(self.task.samples)
        return expected(self.task, self.tiles, len(self.scene.bands), self.batch, again, self.slices)

    @property
    def slices(self) -> int:
        """Refinement through planes, 1 for none."""
        return 1 if self.through_plane is None else self.through_plane.factor

    @property
    def warnings(self) -> list[str]:
        """What a user should know before the run."""
        card = self.task.generator.card
        foreign = self.domain not in (*card.domains, "array")
        made_for = [f"the generator was made for {' and '.join(card.domains)} images"] if foreign else []
        doubt = [self.level.known.doubt] if self.level.known.doubt else []
        repeated = sorted({self.scene.bands[band] for _, band in self.scene.repeated})
        kept = [f"labels: pixels of {listed(repeated)} are repeated, without deviation"] if repeated else []
        moved = [self.moved.doubt] if self.moved is not None and self.moved.doubt else []
        return [
            *doubt,
            *moved,
            *kept,
            *made_for,
            *self._unfitted(),
            *area_notes(self.scene, self.request.area),
            *self.scene.cautions(),
        ]

    def _unfitted(self) -> list[str]:
        repeated = {self.scene.bands[band] for _, band in self.scene.repeated}
        names = [] if self.checked is None else [name for name in self.checked.unfitted if name not in repeated]
        if not names:
            return []
        bands = f" of {', '.join(names)}" if len(self.scene.bands) > 1 else ""
        return [
            f"calibrate=self: noise hides the errors{bands}, or too little could be compared: the card's factor is used"
        ]

    @property
    def calibration(self) -> str:
        """Where the factors on the deviation come from: ``card`` or ``self``."""
        return "card" if self.checked is None else "self"

    def describe(self) -> dict[str, Any]:
        """What a run would do, for people: JSON-able."""
        rows, cols = self.scene.grid.refine(self.task.factor).shape
        moments, samples = self.task.method.words
        card = self.task.generator.card
        noise = {**self.task.noise_model.describe(), "unit": self.scene.unit, "from": self.level.source}
        return {
            "output": f"{rows} x {cols} pixels, {self.scene.planes * self.slices} plane(s), "
            f"{len(self.scene.bands)} band(s)",
            "domain": self.domain,
            "labels": self._labels(),
            "generator": {"name": card.name, "family": card.family, "made for": card.domain, "chosen as": self.why},
            "operator": {**self.task.operator.describe(), "gain": self.task.operator.gain},
            "motion": None if self.moved is None else self.moved.describe(),
            "noise": noise,
            "data are": "explained exactly" if self.task.exact else "explained to their noise",
            "search": self.task.preset.name,
            "mean and std": moments,
            "samples": f"{self.task.samples}, {samples}" if self.task.samples else "none",
            "std scale": {"from": self.calibration, "factors": list(self.task.conformal)},
            "through planes": None if self.through_plane is None else f"x{self.slices}",
            "tiles": self._tiles(),
            "runtime": self.request.runtime.name,
            "device": self.task.device,
            "precision": self.task.generator.precision,
            **self.expected.describe(),
            "warnings": self.warnings,
        }

    def _labels(self) -> str:
        if self.request.labels == "image":
            return "not looked for: labels=image"
        names = sorted({self.scene.bands[band] for _, band in self.scene.repeated})
        return f"{listed(names)}, repeated" if names else "; ".join(["none found", *self.scene.judged])

    def _tiles(self) -> str:
        core, read = self.tiles[0].core, self.tiles[0].read
        size = f"{core.cols} x {core.rows} input pixels, {read.cols} x {read.rows} with context"
        return f"{len(self.tiles)} of {size}, {self.batch} together"
