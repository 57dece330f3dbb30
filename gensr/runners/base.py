"""The Runner contract: one function over many items, results in any order."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable
from types import TracebackType
from typing import TypeVar

from gensr.errors import GensrError

Item = TypeVar("Item")
Result = TypeVar("Result")


class FatalItemError(GensrError):
    """Processes died of an item, again and again.

    Attributes:
        item: the one to blame.
    """

    def __init__(self, text: str, item: object = None) -> None:
        super().__init__(text)
        self.item = item


class Runner(ABC):
    """Runs pure functions. What is run may run more than once (a worker died), so it must not have side effects."""

    remote: bool = False
    """Whether functions and items travel to other processes, so that they must pickle."""
    lost: bool = False
    """Whether the place where functions run is gone, so that nothing more can run."""

    @abstractmethod
    def map(
        self, function: Callable[[Item], Result], items: Iterable[Item]
    ) -> Generator[tuple[Item, Result], None, None]:
        """Items with their results, in any order, each once; a function that raises ends the run with its error.

        Items are taken from the iterable as places become free, so it may be long or costly. Closing the generator
        cancels what has not begun.

        Args:
            function: of one item.
            items: whatever the function takes.

        Raises:
            GensrError: of the function, or because the place where it ran is gone.
            FatalItemError: an item ends the process that runs it; all others were handed back before.
        """

    def close(self) -> None:  # noqa: B027
        """Give up what was started for the run."""

    def __enter__(self) -> Runner:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
