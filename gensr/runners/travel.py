"""How a function and its items travel to another process: as bytes that nobody opens on the way."""

from __future__ import annotations

import pickle
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from typing import Any

from gensr.errors import GensrError


@dataclass(frozen=True)
class Parcel:
    """A pickled function.

    Attributes:
        run: another one for every run, because a function may stand for files that change between runs.
        version: of the gensr that packed it.
        function: pickled.
    """

    run: str
    version: str
    function: bytes

    @classmethod
    def of(cls, function: Callable[[Any], Any]) -> Parcel:
        """Pack a function for one run."""
        return cls(uuid.uuid4().hex, version("gensr"), pickle.dumps(function))

    def call(self, item: object) -> bytes:
        """Bytes that are the function's result once ``pickle.loads`` has unpickled them."""
        return pickle.dumps(_Call(self, item))

    def open(self) -> Callable[[Any], Any]:
        """The function; a process unpickles it once a run.

        Raises:
            GensrError: this process has another gensr.
        """
        return _opened(self)


@dataclass(frozen=True)
class _Call:
    """A call that pickles as what computes it."""

    parcel: Parcel
    item: object

    def __reduce__(self) -> tuple[Callable[[Parcel, object], Any], tuple[Parcel, object]]:
        return perform, (self.parcel, self.item)


def perform(parcel: Parcel, item: object) -> Any:  # noqa: ANN401
    """Call a function that came in a parcel."""
    return parcel.open()(item)


@lru_cache(maxsize=4)
def _opened(parcel: Parcel) -> Callable[[Any], Any]:
    here = version("gensr")
    if here != parcel.version:
        raise GensrError(f"a worker has gensr {here}, the run began with {parcel.version}; install the same everywhere")
    function: Callable[[Any], Any] = pickle.loads(parcel.function)
    return function
