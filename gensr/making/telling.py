"""What a training run tells beside how far it is: what it found, how it goes, and whether its data are the old ones."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

Progress = Callable[[int, int], None] | None


@runtime_checkable
class Teller(Protocol):
    """A progress that also takes words."""

    def tell(self, text: str) -> None:
        """Show a fact, once."""

    def status(self, text: str) -> None:
        """Show how it goes, beside the progress, until something else is said."""


def tell(progress: Progress, text: str) -> None:
    """Tell a fact, if somebody listens."""
    if isinstance(progress, Teller):
        progress.tell(text)


def status(progress: Progress, step: int, loss: float, speed: float) -> None:
    """Tell how training goes, if somebody listens.

    Args:
        progress: listens, if it is a `Teller`.
        step: steps in all, those before an interruption too.
        loss: mean since it was told last.
        speed: images a second.
    """
    if isinstance(progress, Teller):
        progress.status(f"step {step}, loss {loss:.4g}, {speed:.3g} images/s")


class Seen:
    """Counts images on their way and remembers their digest, so that a run that goes on knows its data."""

    def __init__(self) -> None:
        self.count = 0
        self._sides: list[tuple[int, int]] = []
        self._hasher = hashlib.sha256()

    def watch(self, images: Iterable[npt.NDArray[Any]]) -> Iterator[npt.NDArray[Any]]:
        """The same images (band, y, x), one by one."""
        for image in images:
            self.count += 1
            self._sides.append((int(image.shape[-2]), int(image.shape[-1])))
            self._hasher.update(f"{image.shape} {image.dtype}".encode())
            self._hasher.update(np.ascontiguousarray(image).data)
            yield image

    @property
    def words(self) -> str:
        """How many images, of what sizes.

        >>> seen = Seen()
        >>> len(list(seen.watch([np.zeros((1, 8, 9)), np.zeros((1, 16, 9))])))
        2
        >>> seen.words
        '2 images of 8 x 9 to 16 x 9 pixels'
        """
        if not self._sides:
            return "no images"
        low, high = ("{} x {}".format(*side) for side in (min(self._sides), max(self._sides)))
        return f"{self.count} images of {low if low == high else f'{low} to {high}'} pixels"

    @property
    def identity(self) -> dict[str, str]:
        """What a checkpoint keeps."""
        return {"words": self.words, "digest": self._hasher.hexdigest()}


def tell_changed(progress: Progress, before: object, now: Seen) -> None:
    """Say that a run goes on with other data than it began with, if it does.

    Args:
        progress: see `tell`.
        before: `Seen.identity` of the run that was stopped; anything else says nothing.
        now: the data at hand.
    """
    if isinstance(before, dict) and before != now.identity:
        was = before.get("words")
        more = f"{was} before, {now.words} now" if was != now.words else f"{was} as before, but of other content"
        tell(progress, f"the data have changed since this run was stopped: {more}")
