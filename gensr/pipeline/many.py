"""Many inputs on a cluster: small files are spread whole, like tiles; large ones are cut into tiles, one by one."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gensr.errors import GensrError
from gensr.pipeline.api import Listener, drain
from gensr.pipeline.output import work_folder
from gensr.pipeline.request import Request, Runtime
from gensr.runners.base import Runner
from gensr.scenes import installed
from gensr.scenes.names import Names

SMALL = 8 << 20
"""Bytes of a file up to which it is one piece of work."""


@dataclass(frozen=True)
class Outcome:
    """What came of one input.

    Attributes:
        files: what was written.
        report: see `gensr.pipeline.report.build`; empty if it failed.
        seconds: that it took, where it ran.
        error: why it failed, None if it did not.
    """

    files: tuple[Path, ...]
    report: Mapping[str, Any]
    seconds: float
    error: Exception | None = None


def outcome(request: Request, listener: Listener | None = None, where: Runner | None = None) -> Outcome:
    """Run a request; an error comes back instead of being raised, because one failed input never stops the others."""
    started = time.monotonic()
    try:
        result = drain(request, listener, where)
    except Exception as error:
        return Outcome((), {}, time.monotonic() - started, error)
    return Outcome(tuple(result.files), result.report, time.monotonic() - started)


@dataclass(frozen=True)
class WholeFile:
    """Answers a whole request where it is called. Asked again (a worker died), it goes on with what was left."""

    def __call__(self, numbered: tuple[int, Request]) -> Outcome:
        """See `outcome`; errors that do not pickle come back as text."""
        found = outcome(replace(numbered[1], runtime=Runtime(), resume=True, overwrite=True))
        if found.error is None or isinstance(found.error, GensrError):
            return found
        return replace(found, error=GensrError(f"{type(found.error).__name__}: {found.error}"))


def is_small(request: Request) -> bool:
    """Whether a request is one piece of work: a file of a few megabytes that is written somewhere."""
    path = Path(str(request.source))
    return request.output is not None and path.is_file() and path.stat().st_size <= SMALL


def spread(requests: Sequence[Request], where: Runner) -> Iterator[tuple[int, Outcome]]:
    """Answer small requests on a cluster, in any order.

    Args:
        requests: each with a domain and an output folder.
        where: they run.

    Yields:
        The number of a request, and what came of it.
    """
    able: list[tuple[int, Request]] = []
    for number, request in enumerate(requests):
        try:
            _claim(request)
        except GensrError as error:
            yield number, Outcome((), {}, 0.0, error)
            continue
        able.append((number, request))
    for (number, _), found in where.map(WholeFile(), able):
        yield number, found


def _claim(request: Request) -> None:
    """Refuse what the worker could not know of: outputs that exist already. A stale folder of the store goes."""
    if request.domain is None or request.output is None:
        raise GensrError(f"{request.source}: name domain and output of what is spread over a cluster")
    names = Names(installed.domain(request.domain).stem(Path(str(request.source))), request.factor)
    work_folder(Path(request.output), names, request.overwrite, request.resume)
