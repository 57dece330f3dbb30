"""What a run tells while it goes on; whoever drives it may stop after any of these."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from gensr.pipeline.result import Result


class Described(Protocol):
    """What was settled, for people."""

    def describe(self) -> dict[str, Any]:
        """JSON-able."""


@dataclass(frozen=True)
class Position:
    """How far a run is, in output pixels of all bands, through planes counted as often as they are computed."""

    done: int
    total: int


@dataclass(frozen=True)
class Settled:
    """Everything is decided, nothing is computed; ``position`` holds what an earlier run left."""

    decisions: Described
    position: Position


@dataclass(frozen=True)
class TileDone:
    """A tile is in the store."""

    index: int
    position: Position


@dataclass(frozen=True)
class Through:
    """A part of the pass through planes is in the store."""

    position: Position


@dataclass(frozen=True)
class Warned:
    """Something that a user should know."""

    text: str


@dataclass(frozen=True)
class Noticed:
    """Something about this run that its result does not depend on, such as parts of an earlier one that are damaged."""

    text: str


@dataclass(frozen=True)
class Written:
    """The last event: the result, and the files that are in place (none without an output folder)."""

    result: Result
    files: tuple[Path, ...]


Event = Settled | TileDone | Through | Warned | Noticed | Written
