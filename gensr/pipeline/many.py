"""Many inputs on a cluster: small files are spread whole, like tiles; large ones are cut into tiles, one by one.

A worker that answers a whole file hands its outputs back, so workers need nothing but the inputs and the weights, and
what is written is written by one process: this one.
"""

from __future__ import annotations

import pickle
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gensr.errors import GensrError, UnexplainedError, WeightsError, ordinary
from gensr.operators.registry import absolute
from gensr.pipeline import record
from gensr.pipeline.api import Listener, drain
from gensr.pipeline.events import Event, Written
from gensr.pipeline.folder import WorkFolder
from gensr.pipeline.output import explained, into_place, stage, store_folder, tidy, work_folder
from gensr.pipeline.plan import Plan
from gensr.pipeline.recipe import recipe
from gensr.pipeline.request import Request, Runtime
from gensr.pipeline.result import Result
from gensr.pipeline.settle import settle
from gensr.pipeline.store import JOURNAL
from gensr.priors import weights
from gensr.runners.base import FatalItemError, Runner
from gensr.scenes import installed
from gensr.scenes.names import Names
from gensr.scenes.provenance import content_digest

SMALL = 8 << 20
"""Bytes of a file up to which it may be one piece of work."""
CARRIED = 128 << 20
"""Bytes of results, before they are compressed, that a worker hands back together."""
_ONE_BY_ONE = threading.Lock()
"""Readers of files and collectors of warnings are made for one thread, and a worker may have several."""


@dataclass(frozen=True)
class Outcome:
    """What came of one input.

    Attributes:
        files: what was written.
        report: see `gensr.pipeline.report.build`; empty if it failed.
        seconds: that it took, where it ran.
        error: why it failed, None if it did not.
        notes: Python warnings that were raised elsewhere.
        skipped: whether an earlier run had finished it.
    """

    files: tuple[Path, ...]
    report: Mapping[str, Any]
    seconds: float
    error: Exception | None = None
    notes: tuple[str, ...] = ()
    skipped: bool = False


def outcome(request: Request, listener: Listener | None = None, where: Runner | None = None) -> Outcome:
    """Run a request; an error comes back instead of being raised, because one failed input never stops the others."""
    started = time.monotonic()
    try:
        known = _known(request)
        if known is not None:
            return known
        with ordinary(request.source if isinstance(request.source, str | Path) else "array"):
            result = drain(request, listener, where)
    except UnexplainedError as error:
        made = error.result
        files, report = (tuple(made.files), made.report) if isinstance(made, Result) else ((), {})
        return Outcome(files, report, time.monotonic() - started, error)
    except Exception as error:
        return Outcome((), {}, time.monotonic() - started, error)
    return Outcome(tuple(result.files), result.report, time.monotonic() - started)


def _known(request: Request) -> Outcome | None:
    """What an earlier run made of an input, if that is to be left alone; the input is not opened.

    Raises:
        OutputError: see `gensr.pipeline.record.finished`.
    """
    source = Path(str(request.source))
    if not request.goes_on or request.domain is None or not source.exists():
        return None
    names, started = _names(request), time.monotonic()
    if not record.read(Path(str(request.output)), names):
        return None
    found = record.finished(request, request.domain, names, content_digest(source))
    if found is None:
        return None
    tidy(Path(str(request.output)), names)
    return Outcome(found.files, found.report, time.monotonic() - started, skipped=True)


@dataclass(frozen=True)
class Delivery:
    """What a worker hands back of one input.

    Attributes:
        report: see `Outcome`.
        seconds: see `Outcome`.
        top: names of the outputs, in order; some may be folders.
        content: of every file, by its path below the folder of the outputs.
        error: see `Outcome`.
        notes: see `Outcome`.
        large: whether nothing was computed, because the results would be too large to be handed back.
    """

    report: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    top: tuple[str, ...] = ()
    content: Mapping[str, bytes] = field(default_factory=dict)
    error: Exception | None = None
    notes: tuple[str, ...] = ()
    large: bool = False


@dataclass(frozen=True)
class WholeFile:
    """Answers a whole request where it is called; pure, so that it may run again."""

    def __call__(self, numbered: tuple[int, Request]) -> Delivery:
        """Outputs of a request, or its error."""
        started = time.monotonic()
        with _ONE_BY_ONE, warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("default")
            try:
                with ordinary(numbered[1].source):
                    found = _deliver(numbered[1])
            except Exception as error:
                found = Delivery(error=_portable(error))
        texts = tuple(dict.fromkeys(str(w.message) for w in caught))
        return replace(found, seconds=time.monotonic() - started, notes=texts)


def _deliver(request: Request) -> Delivery:
    with tempfile.TemporaryDirectory(prefix="gensr-") as name:
        folder = Path(name)
        here = replace(request, output=folder, existing="error", overwrite=False, resume=False, runtime=Runtime())
        with settle(here) as plan:
            if isinstance(plan, Plan) and plan.expected.disk > CARRIED:
                return Delivery(large=True)
            done, failure = _ended(plan.run())
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        content = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
        return Delivery(done.result.report, top=tuple(path.name for path in done.files), content=content, error=failure)


def _ended(events: Iterator[Event]) -> tuple[Written, UnexplainedError | None]:
    """What a run wrote, and that it does not explain its data, if so."""
    written: list[Written] = []
    try:
        written += (event for event in events if isinstance(event, Written))
    except UnexplainedError as error:
        return written[0], UnexplainedError(str(error))  # without its result, which is in the files
    return written[0], None


def _portable(error: Exception) -> Exception:
    """The error if another process can unpickle it, else its text."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return GensrError(f"{type(error).__name__}: {error}")
    return error


def is_small(request: Request) -> bool:
    """Whether a request may be one piece of work: a file of a few megabytes that no earlier run has begun."""
    path = Path(str(request.source))
    if (
        request.labels == "nearest"
        or request.output is None
        or request.domain is None
        or not path.is_file()
        or path.stat().st_size > SMALL
    ):
        return False
    return not (request.goes_on and store_folder(Path(request.output), _names(request)).exists())


def _names(request: Request) -> Names:
    return Names(installed.domain(str(request.domain)).stem(Path(str(request.source))), request.times)


def begun(request: Request) -> Path | None:
    """Where the finished tiles of a request wait that was stopped; None if there are none."""
    if request.output is None or request.domain is None:
        return None
    folder = store_folder(Path(request.output), _names(request))
    return folder if (folder / JOURNAL).is_file() else None


def spread(requests: Sequence[Request], where: Runner) -> Iterator[tuple[int, Outcome | None]]:
    """Answer small requests on a cluster, in any order.

    Args:
        requests: each with a domain and an output folder, see `is_small`.
        where: they run.

    Yields:
        The number of a request, and what came of it; None if its results are so large that it wants tiles.
    """
    able: list[tuple[int, Request]] = []
    for number, request in enumerate(requests):
        try:
            known = _known(request)
            if known is None:
                with _work_folder(request):  # what is in the way is found before anything is computed
                    able.append((number, _travelling(request)))
        except GensrError as error:
            known = Outcome((), {}, 0.0, error)
        if known is not None:
            yield number, known
    while able:
        left = dict(able)
        try:
            with closing(where.map(WholeFile(), able)) as answers:
                for (number, _), found in answers:
                    del left[number]
                    yield number, None if found.large else _received(requests[number], found)
        except FatalItemError as error:
            blamed = next(item[0] for item in able if item is error.item)
            del left[blamed]
            yield blamed, Outcome((), {}, 0.0, error)
        able = list(left.items())


def _travelling(request: Request) -> Request:
    """A request that says the same in any folder."""
    operator = None if request.operator is None else absolute(request.operator)
    return replace(request, source=str(Path(str(request.source)).absolute()), operator=operator)


def _work_folder(request: Request) -> WorkFolder:
    """See `gensr.pipeline.output.work_folder`."""
    return work_folder(Path(str(request.output)), _names(request), request.replaces, request.goes_on)


def _check_weights(request: Request, report: Mapping[str, Any]) -> None:
    """The file was answered with the weights that lie here, as tiles would be.

    Raises:
        WeightsError: it was not.
    """
    made = report["generator"]
    here = weights.load(request.generator or made["name"])[1].digest
    if made["sha256"] != here:
        raise WeightsError(
            f"{request.source}: a worker has other weights of {made['name']} (digest {made['sha256'][:12]}, here "
            f"{here[:12]}); install the same file everywhere"
        )


def _received(request: Request, found: Delivery) -> Outcome:
    """Put what a worker handed back into place."""
    if found.error is not None and not found.content:
        return Outcome((), {}, found.seconds, found.error, found.notes)
    try:
        _check_weights(request, found.report)
        with _work_folder(request) as folder:
            staging = stage(folder.path)
            again = recipe(request, str(request.domain), _names(request), found.report).encode()
            for name, content in {**found.content, record.recipe_name(_names(request)): again}.items():
                path = staging / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            target = Path(str(request.output))
            files = into_place([staging / name for name in found.top], staging, target, _names(request))
            folder.remove()
    except OSError as error:
        told = explained(error, Path(str(request.output)), True)
        return Outcome((), {}, found.seconds, told, found.notes)
    except Exception as error:
        return Outcome((), {}, found.seconds, error, found.notes)
    return Outcome(tuple(files), found.report, found.seconds, found.error, found.notes)
