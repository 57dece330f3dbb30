"""What ``torch.save`` wrote before its files were zips, and still writes for single storages inside other pickles.

Five pickles one after the other (a magic number, a version, a description of the machine, the object, the keys of its
storages), then for every key the number of elements and the elements.
"""

from __future__ import annotations

from typing import Any

from gensr.priors.foreign.budget import Budget
from gensr.priors.foreign.inert import Name
from gensr.priors.foreign.machine import unpickle
from gensr.priors.foreign.rebuild import table
from gensr.priors.foreign.stack import Machine
from gensr.priors.foreign.views import DTYPES, Storage

MAGIC = 0x1950A86A20F9469CFC6C
VERSION = 1001
START = b"\x8a\n" + MAGIC.to_bytes(10, "little") + b"."
"""The first word of such a file, after the version of the pickle and the length of its first frame."""
NESTED = 1
"""Files inside files that are followed: the storages of a pickle."""


def is_legacy(data: memoryview) -> bool:
    """Whether bytes begin as such a file does."""
    return bytes(data[:1]) == b"\x80" and START in bytes(data[2 : 11 + len(START)])


class _Storages:
    """The storages that the object names, whose bytes stand behind it."""

    def __init__(self, data: memoryview, budget: Budget, notes: dict[str, int]) -> None:
        self.data, self.budget, self.notes = data, budget, notes
        self.known: dict[str, tuple[Storage, int]] = {}
        self.places: dict[str, tuple[int, int]] = {}

    def __call__(self, said: object) -> object:
        """The storage of a persistent identifier: ``"storage", class, key, device, elements[, view]``.

        Networks stand with the source of their class, of which the name is kept.
        """
        if isinstance(said, tuple) and len(said) == 4 and said[0] == "module" and isinstance(said[1], Name):
            self.notes["carries the source text of its classes, which is never run"] = 1
            return said[1]
        kind, key, count, piece = described(said)
        if key in self.known:
            storage, known = self.known[key]
            if known != count or storage.dtype is not DTYPES[kind]:
                raise ValueError(f"storage {key!r} is described in two ways")
        else:
            self.budget.take(400)
            size = count * DTYPES[kind].itemsize
            storage = Storage(DTYPES[kind], size, lambda: self._bytes(key))
            self.known[key] = (storage, count)
        if piece is None:
            return storage
        _, offset, length = piece
        if not all(type(n) is int and n >= 0 for n in (offset, length)) or offset + length > count:
            raise ValueError(f"a part of storage {key!r} that is not in it")
        item = DTYPES[kind].itemsize
        whole = storage
        return Storage(whole.dtype, length * item, lambda: whole.load()[offset * item : (offset + length) * item])

    def _bytes(self, key: str) -> memoryview:
        start, end = self.places[key]
        return self.data[start:end]

    def place(self, keys: object, at: int) -> int:
        """Where the bytes of every storage stand, from a byte on; returns where they end.

        Raises:
            WeightsError: keys and storages do not fit, or the file is cut off.
        """
        if not isinstance(keys, list) or len({str(k) for k in keys}) != len(keys):
            raise self.budget.refuse("keys of storages are missing or doubled")
        if {str(k) for k in keys} != set(self.known):
            raise self.budget.refuse("the object and the list behind it name different storages")
        for key in map(str, keys):
            storage, count = self.known[key]
            there = int.from_bytes(self.data[at : at + 8], "little", signed=True)
            if there != count or at + 8 + storage.size > len(self.data):
                raise self.budget.refuse(
                    f"storage {key!r} of {count} elements says {there} and has {max(0, len(self.data) - at - 8)} bytes"
                )
            self.places[key] = (at + 8, at + 8 + storage.size)
            at += 8 + storage.size
        return at


def described(said: object) -> tuple[str, str, int, Any]:
    """Type, key, number of elements and part of a persistent identifier of torch.

    Raises:
        ValueError: it is something else.
    """
    if not isinstance(said, tuple) or not 5 <= len(said) <= 6 or said[0] != "storage":
        raise ValueError(f"a reference to {str(said)[:60]}")
    kind = said[1].name.removesuffix("Storage") if isinstance(said[1], Name) and said[1].module == "torch" else ""
    if kind not in DTYPES:
        raise ValueError(f"a storage of type {str(said[1])[:60]}")
    key, count, piece = said[2], said[4], said[5] if len(said) == 6 else None
    if not isinstance(key, str | int) or type(count) is not int or not 0 <= count < 1 << 48:
        raise ValueError(f"storage {str(key)[:40]!r} of {str(count)[:40]} elements")
    if piece is not None and (not isinstance(piece, tuple) or len(piece) != 3):
        raise ValueError("a part of a storage that is not described")
    return kind, str(key), count, piece


def read(data: memoryview, budget: Budget, notes: dict[str, int], nesting: int = 0) -> tuple[object, int]:
    """The object of such a file and how many bytes it takes; nothing is run.

    Args:
        data: begins with the file.
        budget: of the file that it lies in.
        notes: see `Machine.notes`.
        nesting: files that it lies in.

    Raises:
        WeightsError: hostile or damaged.
    """
    if nesting > NESTED:
        raise budget.refuse("files nested inside each other")
    storages = _Storages(data, budget, notes)
    rebuilds = table(nested)
    at = 0

    def take(persistent: Any = None) -> object:  # noqa: ANN401
        nonlocal at
        machine = Machine(data[at:], budget, rebuilds, persistent, nesting, notes)
        value, length = unpickle(machine)
        at += length
        return value

    magic, version, system = take(), take(), take()
    if magic != MAGIC or version != VERSION:
        raise budget.refuse(f"version {str(version)[:20]} of torch's own format")
    if not isinstance(system, dict) or system.get("little_endian", True) is not True:
        raise budget.refuse("numbers in big-endian order")
    value = take(storages)
    keys = take()
    return value, storages.place(keys, at)


def nested(m: Machine, raw: memoryview) -> Storage:
    """The storage that was saved into a pickle.

    Raises:
        WeightsError: anything else stands there.
    """
    if not is_legacy(raw):
        raise m.budget.refuse("a storage inside the pickle that is no file of torch")
    value, end = read(raw, m.budget, m.notes, m.nesting + 1)
    if not isinstance(value, Storage) or end != len(raw):
        raise m.budget.refuse("something else than a storage inside the pickle")
    return value
