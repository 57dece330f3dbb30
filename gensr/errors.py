"""The exceptions of gensr: each message says what was seen, what was expected and what to do."""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class GensrError(Exception):
    """Base of every error that gensr raises on purpose; its message is one line, whatever a file put into it."""

    def __init__(self, *args: object) -> None:
        super().__init__(*(one_line(arg) if isinstance(arg, str) else arg for arg in args))


def one_line(text: str) -> str:
    r"""Escape what a terminal would act on; white space is left only where none of it ends a line.

    >>> one_line("a\n  b\x1b[2J")
    'a b\\x1b[2J'
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in " ".join(text.split()))


class FormatError(GensrError):
    """A file cannot be read, or holds something that gensr refuses by name."""


class GridError(GensrError):
    """A pixel grid cannot be refined, cropped or combined as asked."""


class PluginError(GensrError):
    """A domain, generator or configuration is missing, doubled or broken."""


class WeightsError(GensrError):
    """A weights file is damaged, unsafe or not what its header says."""


class SearchError(GensrError):
    """A latent search or sampler was asked for something it cannot do."""


class UnexplainedError(SearchError):
    """A run ended far from its data; what it made is called ``..._unexplained``, and ``result`` in memory."""

    result: object = None


class DomainError(GensrError):
    """A domain cannot process this input: wrong kind of values, size or option."""


class UsageError(GensrError):
    """The command line or a library call was given an unknown or impossible value."""


class OutputError(GensrError):
    """An output exists already or cannot be written."""


@contextmanager
def ordinary(where: object) -> Iterator[None]:
    """Turn what no ``except Exception`` sees into a `FormatError`: codecs in Rust panic with an exception of their own.

    Args:
        where: the file, for the message.

    Raises:
        FormatError: such an exception; interrupts and exits pass.
    """
    try:
        yield
    except (Exception, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:
        text = " ".join(str(error).split())[:120]
        raise FormatError(f"{where}: a library gave up ({type(error).__name__}: {text}); get an intact copy") from error


def nearest(word: str, known: Iterable[str]) -> str:
    """``"; did you mean 'x'?"`` for the best match, or nothing.

    >>> nearest("serch", ["search", "seed"])
    "; did you mean 'search'?"
    """
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""


_MEMORY = (
    "out of memory",
    "can't allocate",
    "cannot allocate memory",
    "could not create a primitive",  # oneDNN, which says no more
    "bad_alloc",
    "alloc_failed",  # cuBLAS, cuDNN
    "unable to allocate",
    "failed to map segment",  # of a library that is loaded
    "can't start new thread",
    "error return without exception set",  # a library in C whose allocation failed
    "without setting an exception",
)


def out_of_memory(error: BaseException) -> bool:
    """Whether an error, or what caused it, means that there is not enough memory: libraries have many words for it.

    >>> out_of_memory(RuntimeError("std::bad_alloc")), out_of_memory(RuntimeError("shapes differ"))
    (True, False)
    """
    known: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in known:
        known.add(id(found))
        text = str(found).lower()
        if isinstance(found, MemoryError) or (isinstance(found, OSError) and found.errno == errno.ENOMEM):
            return True
        if not isinstance(found, GensrError) and any(word in text for word in _MEMORY):
            return True
        found = found.__cause__
    return False
