"""The process that opens what users sent: one line of JSON asks, lines of JSON tell, ``{"stop": true}`` cancels.

Everything goes through the one `Request` and its plan, as the command does. Standard output carries the lines alone;
what libraries print goes to standard error. The process ends with its standard input.
"""

from __future__ import annotations

import json
import math
import os
import queue
import shutil
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch

from gensr.app import pictures, words
from gensr.app.orders import FOUND, INPUT, MEAN, requested
from gensr.app.spoil import Spoil
from gensr.app.spoiling import spoiled
from gensr.cli.console import explain
from gensr.cli.info import page
from gensr.errors import GensrError, UnexplainedError, UsageError
from gensr.metrics import consistency_rms
from gensr.pipeline.events import Noticed, Settled, Through, TileDone, Written
from gensr.pipeline.insets import InsetPlan
from gensr.pipeline.nearest import NearestPlan
from gensr.pipeline.plan import Plan
from gensr.pipeline.result import Result
from gensr.pipeline.settle import open_source, settle_scene
from gensr.priors import weights
from gensr.scenes.insets import Inlaid
from gensr.scenes.names import Names
from gensr.values.precision import Real

Tell = Callable[[Mapping[str, Any]], None]
LEFT_OUT = ("_run.yaml",)
"""Endings of outputs that mean nothing away from this machine."""


class Stopped(Exception):
    """The user cancelled."""


def look(order: Mapping[str, Any], tell: Tell) -> None:
    """Open an input and tell what it is; its picture goes into ``shown``.

    Args:
        order: ``path``, ``domain`` ("" for a guess) and ``shown``.
        tell: takes the answer.
    """
    path = Path(order["path"])
    scene, domain, _ = open_source(path, order.get("domain") or None, {})
    with closing(scene):
        rows, cols = scene.grid.shape
        size = f"{cols} x {rows} pixels, {scene.planes} plane(s), {len(scene.bands)} band(s)"
        told = f"{domain}: {scene.doubt}" if scene.doubt else domain
        facts = {"file": path.name, "domain": told, "size": size, **scene.metadata()}
        pictures.save({INPUT: pictures.overview(scene)}, Path(order["shown"]))
        priors = [name for name in sorted(weights.available()) if _serves(name, domain)]
        seen = {"domain": domain, "words": page(facts), "priors": priors, "size": [rows, cols]}
        tell({"event": "seen", **seen, "choice": isinstance(scene, Inlaid)})


def find(order: Mapping[str, Any], tell: Tell) -> None:
    """Tell what a photo shows that may be chosen; the whole of it goes into ``shown``, reduced.

    Args:
        order: ``path``, ``domain`` ("" for a guess) and ``shown``.
        tell: takes the answer.

    Raises:
        UsageError: an input that is answered as a whole.
    """
    path = Path(order["path"])
    scene, domain, _ = open_source(path, order.get("domain") or None, {})
    with closing(scene):
        if not isinstance(scene, Inlaid):
            raise UsageError(f"{path.name}: faces are looked for in photos; this is read as {domain}")
        subjects = scene.subjects()
        if subjects is None:
            raise UsageError(f"{path.name}: is taken for one aligned face as it is; ask for an answer")
        pictures.save({FOUND: pictures.reduced(scene)}, Path(order["shown"]))
        tell({"event": "found", "boxes": [[one.number, *one.box] for one in subjects]})


def _serves(name: str, domain: str) -> bool:
    """Whether a generator was made for a domain; a damaged file was made for none."""
    try:
        return domain in weights.read(weights.available()[name]).card.domains
    except GensrError:
        return False


def answer(order: Mapping[str, Any], tell: Tell, stopped: Callable[[], bool]) -> None:
    """Settle and run; outputs go into ``output``, pictures into ``shown``.

    Args:
        order: see `gensr.app.orders.requested`; with ``shown`` and ``spoil`` (see `Spoil`).
        tell: takes what happens.
        stopped: whether the user cancelled.

    Raises:
        Stopped: they did.
        UsageError: words that do not go together.
    """
    request = requested(order)
    spoil = Spoil(**order["spoil"])
    if "face" in request.options and spoil.kind != "none":
        raise UsageError("faces are chosen in a photo as it came; leave the choice or the spoiling out")
    for folder in (order["output"], order["shown"]):
        shutil.rmtree(folder, ignore_errors=True)
    scene, domain, stem = open_source(request.source, request.domain, request.options)
    with closing(scene):
        scene = spoiled(scene, spoil)
        plan = settle_scene(scene, domain, stem + spoil.mark, replace(request, source=str(scene.path)))
        if stopped():
            raise Stopped
        tell({"event": "settled", "words": page(plan.describe())})
        result, failure = _run(plan, tell, stopped)
        tell({"event": "done", "failure": failure, **finished(plan, result, Path(order["shown"]))})


def _run(plan: Plan | NearestPlan | InsetPlan, tell: Tell, stopped: Callable[[], bool]) -> tuple[Result, str]:
    """Drain a plan; the result, and why it does not explain its data, if it does not."""
    result: Result | None = None
    try:
        with closing(plan.run()) as events:  # type: ignore[type-var]  # all plans run as generators
            for event in events:
                if isinstance(event, Settled | TileDone | Through):
                    tell({"event": "progress", "done": event.position.done, "total": event.position.total})
                if isinstance(event, Noticed):
                    tell({"event": "notice", "text": event.text})
                if isinstance(event, Written):
                    result = event.result
                elif stopped():
                    raise Stopped
    except UnexplainedError as error:
        if result is None:
            raise
        return result, str(error)
    if result is None:
        raise GensrError("the run ended without a result; report this with the input")
    return result, ""


def finished(plan: Plan | NearestPlan | InsetPlan, result: Result, folder: Path) -> dict[str, Any]:
    """What the page shows of an answer: files, pictures, sentences."""
    scene, factor = plan.scene, plan.request.factors
    mark = _mark(plan.names, result.files)
    files = pictures.named(result.files, mark)
    view = pictures.View.of(scene, factor)
    unknown = isinstance(plan, NearestPlan) or (isinstance(plan, InsetPlan) and not plan.generates)
    std = None if unknown else _deviation(result, view, len(scene.bands))
    made = pictures.shown(scene, plan.domain, files, std, factor)
    said = _residuals(plan, view, files) if isinstance(plan, Plan) else words.of_answers(result.report)
    kept = [path for path in result.files if path.is_file() and not path.name.endswith(LEFT_OUT)]
    return {
        "files": [str(path) for path in kept],
        "pictures": pictures.save(made, folder),
        "words": words.told(result.report, said),
        "answers": said,
        "part": not view.whole(scene),
    }


def _mark(names: Names, files: list[Path]) -> str:
    """The beginning that the names of outputs share, which a run far from its data lengthens."""
    usual = names.mean("")
    return next((path.stem for path in files if path.name.startswith(usual) and "_unexplained." in path.name), usual)


def _deviation(result: Result, view: pictures.View, bands: int) -> Real | None:
    """The deviation (band, y, x) of what is shown; None where the result is too large to be held."""
    try:
        std = np.asarray(result.std)
    except UsageError:
        return None
    rows, cols = result.grid.shape
    if std.size % (bands * rows * cols) or std.shape[-2:] != (rows, cols):
        whole = np.moveaxis(std, -1, 0) if std.shape[:2] == (rows, cols) else None
        if whole is None:
            return None
        std = whole
    planes = std.reshape(-1, bands, rows, cols)
    fine = view.fine
    middle: Real = planes[len(planes) // 2]
    return middle[:, fine.row : fine.row + fine.rows, fine.col : fine.col + fine.cols]


def _residuals(plan: Plan, view: pictures.View, files: Mapping[str, Path]) -> list[str]:
    """What is said of every sample, where all of it is shown."""
    if not view.whole(plan.scene):
        return []
    image = plan.scene.read(view.plane, view.coarse)
    data, use = torch.from_numpy(image.values.copy()).double(), torch.from_numpy((image.usable & image.valid).copy())
    stated = None if image.variance is None else torch.from_numpy(image.variance.copy()).double()
    said, quantum = [], plan.scene.quantum
    for name, path in files.items():
        values = pictures.read_back(path, plan.domain, view)
        if name == MEAN or values is None:
            continue
        fine = torch.from_numpy(np.nan_to_num(values).astype(np.float64))
        if plan.task.exact:
            rms = consistency_rms(plan.task.operator, fine, data, use)
            said.append(words.residual(None, rms / quantum if quantum else None))
            continue
        variance = plan.task.noise_model.variance(data, stated) + quantum**2 / 12
        chi = consistency_rms(plan.task.operator, fine, data, use, variance)
        said.append(words.residual(chi if math.isfinite(chi) else None, None))
    return said


class Orders:
    """Lines from standard input: orders wait, a stop counts for the order that runs."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self._waiting = stream, queue.Queue[dict[str, Any] | None]()
        self._stop = threading.Event()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        for line in self._stream:
            found = json.loads(line)
            if found.get("stop"):
                self._stop.set()
            else:
                self._stop.clear()
                self._waiting.put(found)
        self._stop.set()
        self._waiting.put(None)

    def next(self) -> dict[str, Any] | None:
        """The next order; None at the end."""
        return self._waiting.get()

    def stopped(self) -> bool:
        """Whether the running order was cancelled, or nobody waits for it any more."""
        return self._stop.is_set()


def carry_out(order: Mapping[str, Any], tell: Tell, stopped: Callable[[], bool]) -> None:
    """One order to its end, whatever happens: the last line is one of `gensr.app.crew.ENDS`."""
    try:
        if order.get("do") == "look":
            look(order, tell)
        elif order.get("do") == "find":
            find(order, tell)
        elif order.get("do") == "answer":
            answer(order, tell, stopped)
        else:
            raise UsageError(f"do={order.get('do')}: expected look, find or answer")
    except Stopped:
        tell({"event": "stopped"})
    except Exception as error:  # the page must hear of everything
        if os.environ.get("GENSR_TRACEBACK", "") not in ("", "0"):
            import traceback

            traceback.print_exception(error)
        tell({"event": "failed", "text": explain(error)})


def main() -> None:
    """Carry out orders until standard input ends."""
    lines = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what libraries print must not be taken for a line
    orders = Orders(sys.stdin.buffer)

    def tell(event: Mapping[str, Any]) -> None:
        lines.write(json.dumps(event).encode() + b"\n")

    tell({"event": "ready"})
    while (order := orders.next()) is not None:
        carry_out(order, tell, orders.stopped)


if __name__ == "__main__":
    main()
