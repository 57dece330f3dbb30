"""The exceptions of gensr: each message says what was seen, what was expected and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class GensrError(Exception):
    """Base of every error that gensr raises on purpose; the command line prints it as one line."""


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


class DomainError(GensrError):
    """A domain cannot process this input: wrong kind of values, size or option."""


class UsageError(GensrError):
    """The command line or a library call was given an unknown or impossible value."""


class OutputError(GensrError):
    """An output exists already or cannot be written."""


def nearest(word: str, known: Iterable[str]) -> str:
    """``"; did you mean 'x'?"`` for the best match, or nothing.

    >>> nearest("serch", ["search", "seed"])
    "; did you mean 'search'?"
    """
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""
