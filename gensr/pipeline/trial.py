"""When a scene is tried on itself, and how much of it: asked for, for ``calibrate=self``, and a little in every run."""

from __future__ import annotations

from dataclasses import replace

from gensr.errors import GensrError, SearchError
from gensr.pipeline.check import figures
from gensr.pipeline.coarsened import VALUES, Compared, chosen, compare, obstacle
from gensr.pipeline.cost import answers
from gensr.pipeline.decisions import Decisions
from gensr.pipeline.task import Task
from gensr.pipeline.through_plane import passes
from gensr.pipeline.verdict import Checked
from gensr.scenes.product import ThroughPlane
from gensr.scenes.scene import Scene

WINDOWS = 16
"""Most windows of a check that was asked for."""
DRAWS, EVERY = 4, 4
"""Posterior samples of a window, and the windows of which one has them."""
LEAST, FEW, SHARE = 64, 8, 0.1
"""Of the check in every run: least side of a scene, most windows, and most of the run's own time."""
SELF, OFF, ON = "self", "off", "on"
"""Words of ``calibrate=`` and ``check=``."""


def tried(scene: Scene, task: Task, windows: int = WINDOWS, pixels: float = VALUES, draws: int = 0) -> list[Compared]:
    """Windows of a scene, coarsened, reconstructed and laid beside the data.

    Args:
        scene: the opened input.
        task: of a run on it.
        windows: at most.
        pixels: at most, in all windows together.
        draws: posterior samples of one window in `EVERY`, 0 for none.

    Raises:
        SearchError: the scene is too small or too large to be tried.
        GensrError: the generator cannot answer.
    """
    if why := obstacle(scene, task):
        raise SearchError(f"{scene.path.name}: {why}; give a smaller factor=, or another generator= for large ones")
    return list(compare(scene, task, chosen(scene, task, windows, pixels), draws, EVERY))


def judged(settled: Decisions) -> tuple[Checked, list[Compared]]:
    """What a scene says of its generator, with draws where they are cheap, and the windows that it rests on.

    Raises:
        SearchError: the scene is too small or too large to be tried.
        GensrError: the generator cannot answer.
    """
    scene, task = settled.scene, settled.task
    windows = tried(scene, task, draws=DRAWS if task.method.samples == "own" else 0)
    found = settled.checked or figures(windows, scene.bands, task.conformal)
    return found, windows


def calibrated(scene: Scene, task: Task, through: ThroughPlane | None) -> tuple[Task, Checked]:
    """The task with deviations scaled by what the scene says of them, and what it says.

    Raises:
        SearchError: the scene cannot be tried.
    """
    if through is not None:
        raise SearchError(
            f"{scene.path.name}: calibrate=self measures within slices only, and this run refines across them as well; "
            "leave it out, or switch the refinement across slices off"
        )
    found = figures(tried(scene, task), scene.bands, task.conformal)
    return replace(task, conformal=found.scales(task.conformal)), found.calibrated()


def small(settled: Decisions) -> Checked | str | None:
    """The check that a run makes beside its work: what came of it, why there is none, or None where none is wanted.

    How much is tried follows from the work of the run alone, so that equal runs say the same.
    """
    scene, task, word = settled.scene, settled.task, settled.request.check
    if word == OFF:
        return None
    if settled.checked is not None:
        return settled.checked
    rows, cols = scene.grid.shape
    if word != ON and min(rows, cols) < LEAST:
        return f"{cols} x {rows} pixels; only images of {LEAST} x {LEAST} pixels and more are tried unasked"
    if why := obstacle(scene, task):
        return why
    bands = len(scene.bands)
    again = 0 if settled.through_plane is None else passes(task.samples)
    pixels = VALUES if word == ON else SHARE * answers(task, settled.tiles, bands, again, settled.slices) / bands
    try:
        found = list(compare(scene, task, chosen(scene, task, FEW, pixels)))
    except GensrError as error:
        return str(error)
    if not found:
        return f"it would take more than {SHARE:.0%} of the run, or nothing in it is usable"
    return figures(found, scene.bands, task.conformal)
