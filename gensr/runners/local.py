"""This process: one item after the other, in order."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable

from gensr.runners.base import Item, Result, Runner


class LocalRunner(Runner):
    """Computes where it is called; on a GPU the batch is what fills it."""

    def map(
        self, function: Callable[[Item], Result], items: Iterable[Item]
    ) -> Generator[tuple[Item, Result], None, None]:
        """See `Runner.map`."""
        for item in items:
            yield item, function(item)
