"""Many inputs in a row: what came of each, what is told of it, and what is left of a run that was stopped."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gensr.cli.arguments import Arguments
from gensr.cli.console import DONE, FAILED, USAGE, Console, explain, located
from gensr.cli.progress import Progress
from gensr.cli.runfile import write_batch
from gensr.cli.summary import Entry, write_summaries
from gensr.errors import GensrError
from gensr.scenes.names import RUN, marked

if TYPE_CHECKING:
    from gensr.pipeline.many import Outcome
    from gensr.pipeline.request import Request, Runtime
    from gensr.runners.base import Runner

BATCH = ".gensr-batch.work"
"""Folder among the outputs of many inputs that is locked while they are made."""


@dataclass
class Batch:
    """A list of inputs on its way through.

    Attributes:
        console: where to speak.
        arguments: what was typed.
        asked: inputs and requests, in order.
        entries: what came of those that are over.
    """

    console: Console
    arguments: Arguments
    asked: list[tuple[Path, Request]] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)
    usage: int = 0
    doubts: dict[Path, str] = field(default_factory=dict)
    """What is said of guessed domains; see `gensr.scenes.inputs.guess_told`."""
    many: bool = False
    """Whether there is more than one input."""

    def fail(self, error: Exception, where: str | Path, request: Request | None = None) -> None:
        """Note and tell that an input has no answer."""
        self.usage += self.console.fail(error, where) == USAGE
        self.entries.append(Entry(str(where), "failed", request, error=located(where, explain(error))))

    def tell(self, path: Path, request: Request, found: Outcome) -> None:
        """Note and tell what came of an input."""
        if found.error is None:
            self.console.say(line(path, found, self.doubts.get(path, "")))
        for text in found.notes:
            self.console.note(f"{path}: warning: {text}")
        if found.error is not None:
            self.fail(found.error, path, request)
            return
        status = "skipped" if found.skipped else "done"
        self.entries.append(Entry(str(path), status, request, found))
        for text in [] if found.skipped else found.report.get("warnings", []):
            self.console.note(f"{path}: warning: {text}")

    def run(self, runtime: Runtime) -> int:
        """Answer everything that was asked.

        Returns:
            The exit code.

        Raises:
            OutputError: another run of many inputs writes into the same folder.
            KeyboardInterrupt: the user stopped it; its text says what is kept.
        """
        self.many = len(self.asked) + len(self.entries) > 1
        with ExitStack() as stack:
            if self.many:
                self._lock(stack)
            try:
                self._answer(runtime)
            finally:
                self._finish()
        return self._code()

    def _lock(self, stack: ExitStack) -> None:
        from gensr.pipeline.folder import WorkFolder

        for folder in sorted({Path(str(request.output)) for _, request in self.asked}):
            try:
                folder.mkdir(parents=True, exist_ok=True)
                stack.enter_context(WorkFolder(folder / BATCH))
            except OSError:
                continue  # each input says for itself that nothing can be written there

    def _answer(self, runtime: Runtime) -> None:
        """Every input in turn; on a cluster small files are spread first, like tiles."""
        from gensr.pipeline.many import outcome
        from gensr.runners.choose import runner

        if not self.asked:
            return
        with runner(runtime.name, runtime.address, runtime.workers) as where:
            rest = self._spread(where) if where.remote else self.asked
            for number, (path, request) in enumerate(rest, 1):
                if where.lost:
                    self._abandon(rest[number - 1 :])
                    return
                label = path.name if len(rest) == 1 else f"[{number}/{len(rest)}] {path.name}"
                with self.console.warnings(path):
                    try:
                        with Progress(label, self.console.err) as progress:
                            found = outcome(request, progress, where)
                        self.tell(path, request, found)
                    except KeyboardInterrupt as stop:
                        raise KeyboardInterrupt(self._stopped(path, request)) from stop

    def _abandon(self, rest: Sequence[tuple[Path, Request]]) -> None:
        self.console.note(f"{len(rest)} more {'input has' if len(rest) == 1 else 'inputs have'} no answer")
        for path, request in rest:
            self.entries.append(Entry(str(path), "failed", request, error="the place where it was to run is gone"))

    def _spread(self, where: Runner) -> list[tuple[Path, Request]]:
        """Answer small files whole, if there are several; what is left comes back."""
        from gensr.pipeline.many import is_small, spread

        small = [k for k, (_, request) in enumerate(self.asked) if is_small(request)]
        if len(small) < 2:
            return self.asked
        left = set(range(len(self.asked)))
        with self.console.warnings(), Progress(f"{len(small)} files", self.console.err, unit="files") as progress:
            progress(0, len(small))
            try:
                for done, (k, found) in enumerate(spread([self.asked[k][1] for k in small], where), 1):
                    progress(done, len(small))
                    if found is not None:
                        left.discard(small[k])
                        self.tell(*self.asked[small[k]], found)
            except KeyboardInterrupt as stop:
                raise KeyboardInterrupt(self._stopped(None, None)) from stop
            except GensrError as error:
                self.console.fail(error)
                if not where.lost:
                    for k in sorted(left.intersection(small)):
                        path, request = self.asked[k]
                        self.entries.append(Entry(str(path), "failed", request, error=explain(error)))
                    left.difference_update(small)
        return [self.asked[k] for k in sorted(left)]

    def _stopped(self, path: Path | None, request: Request | None) -> str:
        """What is kept of a run that the user stopped, and how to go on."""
        from gensr.pipeline.many import begun

        kept = None if request is None else begun(request)
        what = f"what is finished of {path} is kept in {kept}" if kept else "nothing is kept of what was under way"
        if self.many:
            over = len([entry for entry in self.entries if entry.status != "failed"])
            failed = len(self.entries) - over
            what = f"{over} done, {failed} failed, {len(self.asked) - over - failed} open; {what}"
        return f"interrupted; {what}; run the same command with resume=true to go on"

    def _finish(self) -> None:
        """The summary files, the list of failures and the last line."""
        failed = [entry for entry in self.entries if entry.status == "failed"]
        if self.many:
            known = {id(entry.request) for entry in self.entries}
            rest = [Entry(str(path), "open", asked) for path, asked in self.asked if id(asked) not in known]
            folders = sorted({Path(str(request.output)) for _, request in self.asked})
            notes = write_batch(self.arguments, folders, RUN)
            for text in [*write_summaries([*self.entries, *rest]), *notes]:
                self.console.note(text)
            if failed:
                self.console.note(f"{len(failed)} of {len(self.entries) + len(rest)} inputs failed:")
            for entry in failed:
                self.console.note(f"- {entry.error}")
        skipped = sum(entry.status == "skipped" for entry in self.entries)
        counts = [f"{len(self.entries) - skipped - len(failed)} done", f"{len(failed)} failed"]
        if skipped:
            counts.insert(1, f"{skipped} finished before")
        self.console.say(f"{', '.join(counts)}, {time.monotonic() - self.started:.1f} s")

    def _code(self) -> int:
        """Exit code: wrong usage only if nothing else happened."""
        failed = sum(entry.status == "failed" for entry in self.entries)
        if not failed:
            return DONE
        return USAGE if self.usage == failed == len(self.entries) else FAILED


def line(path: Path, found: Outcome, doubt: str = "") -> str:
    """What came out of one input, in one line; ``doubt`` is said behind the domain."""
    if found.skipped:
        return f"{path}: finished before, left as it is ({_named(found.files)})"
    report = found.report
    consistency: Mapping[str, Any] = report.get("consistency", {})
    chi2, codes = consistency.get("chi2 per datum"), consistency.get("rms in codes")
    facts = [f"{found.seconds:.1f} s"]
    if chi2 is not None:
        facts.insert(0, f"residual {math.sqrt(chi2):.2f} sigma")
    elif codes is not None:
        facts.insert(0, f"residual {codes:.2g} codes rms")
    domain = report.get("input", {}).get("domain")
    told = f"{domain}: {doubt}" if domain and doubt else domain
    by = ", ".join(filter(None, (told, report.get("generator", {}).get("name"))))
    return f"{path} -> {_named(found.files)} ({'; '.join(filter(None, (by, ', '.join(facts))))})"


def _named(files: Sequence[Path]) -> str:
    """The first file in full, its relatives by what they add to its name."""
    if not files:
        return "nothing written"
    first, *others = files
    mark = marked(first.name)
    stem = first.name.partition(mark)[0] + mark if mark else first.stem
    return " + ".join([str(first), ", ".join(f.name.removeprefix(stem).lstrip("_") for f in others)]).removesuffix(
        " + "
    )
