"""Speaking to the user: one line per fact, nothing that a file name could smuggle into a terminal."""

from __future__ import annotations

import logging
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TextIO

from gensr.errors import GensrError, UsageError, one_line, out_of_memory

DONE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130
"""Exit codes: all done, some inputs failed, wrong usage, stopped by the user."""


def explain(error: BaseException) -> str:
    """What happened and what to do, in one line; an error that nobody foresaw says that it is a bug."""
    if isinstance(error, GensrError):
        return one_line(str(error))
    if out_of_memory(error):
        return "out of memory; use a smaller tile= or batch=, or close other programs"
    if isinstance(error, OSError) and error.strerror:
        where = f" ({error.filename})" if error.filename else ""
        return one_line(f"{error.strerror}{where}; check the path, its permissions and the free space")
    return one_line(
        f"unexpected {type(error).__name__}: {error}; this is a bug in gensr: report it with the trace that "
        "--traceback shows and, if you may, the file"
    )


def located(where: str | Path, text: str) -> str:
    """Put a place before a message, once.

    >>> located("in/a.tif", "a.tif: is empty; give an image")
    'in/a.tif: is empty; give an image'
    """
    for head in (str(where), Path(where).name):
        if head and text.startswith(f"{head}: "):
            text = text[len(head) + 2 :]
    return f"{where}: {text}"


class Console:
    """Standard output for results, standard error for everything else.

    Args:
        trace: show the trace of every error.
        out: results; the current ``sys.stdout`` if None.
        err: errors, warnings, notes and progress; the current ``sys.stderr`` if None.

    Attributes:
        stopped: whether the user has pressed Ctrl-C, see `listening`.
    """

    def __init__(self, trace: bool = False, out: TextIO | None = None, err: TextIO | None = None) -> None:
        self.stopped = False
        self.trace = trace
        self.out = sys.stdout if out is None else out
        self.err = sys.stderr if err is None else err

    def say(self, text: str) -> None:
        """Write a line of results; the text may hold line ends."""
        _write(self.out, "\n".join(_printable(line) for line in text.split("\n")))

    def note(self, text: str) -> None:
        """Write a line that is neither result nor error."""
        _write(self.err, f"gensr: {one_line(text)}")

    def fail(self, error: BaseException, where: str | Path | None = None) -> int:
        """Write one line for an error, and its trace if asked for.

        Returns:
            The exit code for this error alone.

        Raises:
            KeyboardInterrupt: the user has pressed Ctrl-C, which is what made the error.
        """
        if self.stopped:
            raise KeyboardInterrupt from error
        if self.trace:
            _write(self.err, "".join(traceback.format_exception(error)).rstrip())
        text = explain(error)
        _write(self.err, f"gensr: {one_line(text if where is None else located(where, text))}")
        return USAGE if isinstance(error, UsageError) else FAILED

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Remember Ctrl-C: a library that is interrupted may clean up badly, and what arrives is another error."""

        def stop(number: int, frame: FrameType | None) -> None:
            self.stopped = True
            signal.default_int_handler(number, frame)

        main = threading.current_thread() is threading.main_thread()
        if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
            yield
            return
        signal.signal(signal.SIGINT, stop)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    @contextmanager
    def warnings(self, where: str | Path | None = None) -> Iterator[None]:
        """Collect Python warnings and write each once, as one line, at the end.

        Log records of libraries are shown with traces only: what matters in them, the domains say in their errors.
        """
        last, quiet = logging.lastResort, logging.NullHandler()
        logging.lastResort = last if self.trace else quiet
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("default")
                yield
        finally:
            logging.lastResort = last
            for text in dict.fromkeys(str(w.message) for w in caught):
                self.note(f"{'' if where is None else f'{where}: '}warning: {text}")


def _printable(line: str) -> str:
    return "".join(c if c.isprintable() or c == "\t" else ascii(c)[1:-1] for c in line)


def _write(stream: TextIO, text: str) -> None:
    encoding = stream.encoding or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
    stream.flush()
