"""What ``torch.save`` writes: a zip with one pickle and a file for every storage."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from gensr.priors.foreign.budget import Budget
from gensr.priors.foreign.machine import unpickle
from gensr.priors.foreign.rebuild import table
from gensr.priors.foreign.stack import Machine
from gensr.priors.foreign.torch_legacy import described, nested
from gensr.priors.foreign.views import DTYPES, Storage

ENTRY = 500
"""Bytes that an entry of a zip is counted as."""
STORED, DEFLATED = 0, 8
LONGEST_NAME = 400


@dataclass(frozen=True, slots=True)
class Entry:
    """A file in a zip.

    Attributes:
        name: without the folder that all files of torch lie in.
        start: of its bytes.
        packed: bytes in the zip.
        size: bytes unpacked.
        method: `STORED` or `DEFLATED`.
    """

    name: str
    start: int
    packed: int
    size: int
    method: int


def entries(data: memoryview, budget: Budget) -> dict[str, Entry]:
    """The files of a zip by name, checked: each lies in the zip, none over another, no name leads out of it.

    Raises:
        WeightsError: damaged, encrypted, overlapping, or more than the zip may unpack to.
    """
    try:
        found = _directory(data, budget)
    except (struct.error, ValueError, UnicodeError) as error:
        raise budget.refuse(f"unreadable zip ({str(error)[:80]})") from None
    last = 0
    for entry in sorted(found, key=lambda e: e.start):
        if entry.start < last:
            raise budget.refuse(f"{entry.name!r} lies over another file of the zip")
        last = entry.start + entry.packed
    tops = {entry.name.partition("/")[0] for entry in found}
    top = f"{tops.pop()}/" if len(tops) == 1 else ""
    named: dict[str, Entry] = {}
    for entry in found:
        name = entry.name.removeprefix(top)
        if name in named:
            raise budget.refuse(f"{name!r} is there twice in the zip")
        named[name] = Entry(name, entry.start, entry.packed, entry.size, entry.method)
    return named


def _directory(data: memoryview, budget: Budget) -> list[Entry]:
    count, size, start = _end(data)
    if start + size > len(data):
        raise ValueError("its directory is not in it")
    found, at, end = [], start, start + size
    while at < end:
        (mark, _, _, flags, method, _, _, _, packed, plain, name, extra, note, disk, _, _, head) = struct.unpack_from(
            "<IHHHHHHIIIHHHHHII", data[:end], at
        )
        if mark != 0x02014B50 or flags & 1 or disk or method not in (STORED, DEFLATED) or name > LONGEST_NAME:
            raise ValueError(f"an entry at byte {at} that is encrypted, on another disk or packed in an unusual way")
        budget.take(ENTRY + name)
        text = bytes(data[at + 46 : at + 46 + name]).decode("utf-8")
        plain, packed, head = _wide(data[at + 46 + name : at + 46 + name + extra], (plain, packed, head))
        at += 46 + name + extra + note
        _refuse_tricks(text)
        if text.endswith("/"):
            continue
        if head > start:
            raise ValueError(f"{text!r} is not in it")
        local = struct.unpack_from("<IHHHHHIIIHH", data[:start], head)
        begin = head + 30 + local[9] + local[10]
        if local[0] != 0x04034B50 or begin + packed > start or (method == STORED and packed != plain):
            raise ValueError(f"{text!r} is not in it")
        budget.unpack(plain if method == DEFLATED else 0)
        found.append(Entry(text, begin, packed, plain, method))
    if len(found) > count:
        raise ValueError("more entries than it says")
    return found


def _end(data: memoryview) -> tuple[int, int, int]:
    """Number of entries, bytes and start of the directory."""
    tail = bytes(data[max(0, len(data) - 65_557) :])
    at = tail.rfind(b"PK\x05\x06")
    if at < 0:
        raise ValueError("it has no end, or is cut off")
    _, disk, other, _, count, size, start, _ = struct.unpack_from("<IHHHHIIH", tail, at)
    if disk or other:
        raise ValueError("it is in several parts")
    if at >= 20 and tail[at - 20 : at - 16] == b"PK\x06\x07":
        (where,) = struct.unpack_from("<Q", tail, at - 12)
        if where > len(data):  # a place of 64 bits may be none that Python can count to
            raise ValueError("its wide end is not in it")
        mark, _, _, _, _, _, _, count, size, start = struct.unpack_from("<IQHHIIQQQQ", data, where)
        if mark != 0x06064B50:
            raise ValueError("its wide end is not where it says")
    return count, size, start


def _wide(extra: memoryview, small: tuple[int, int, int]) -> tuple[int, int, int]:
    """Sizes and place in 64 bits, where 32 do not hold them."""
    at, values = 0, list(small)
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        if kind == 1:
            place = at + 4
            for i, value in enumerate(values):
                if value == 0xFFFFFFFF:
                    (values[i],) = struct.unpack_from("<Q", extra, place)
                    place += 8
        at += 4 + length
    return values[0], values[1], values[2]


def _refuse_tricks(name: str) -> None:
    parts = name.split("/")
    if not name or name.startswith("/") or ".." in parts or "\\" in name or "\0" in name or ":" in parts[0]:
        raise ValueError(f"{name[:60]!r} leads out of it")


def content(data: memoryview, entry: Entry, budget: Budget) -> memoryview:
    """Bytes of an entry; a view of the zip where they are not packed.

    Raises:
        WeightsError: they are not what the directory says.
    """
    raw = data[entry.start : entry.start + entry.packed]
    if entry.method == STORED:
        return raw
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        found = inflate.decompress(raw, entry.size + 1)
    except zlib.error as error:
        raise budget.refuse(f"{entry.name!r} cannot be unpacked ({error})") from None
    if len(found) != entry.size:
        raise budget.refuse(f"{entry.name!r} unpacks to other than the {entry.size} bytes that it claims")
    return memoryview(found)


def read(data: memoryview, budget: Budget, notes: dict[str, int], files: dict[str, Entry]) -> object:
    """The object of ``data.pkl``; nothing is run.

    Args:
        data: the zip.
        budget: of the file.
        notes: see `Machine.notes`.
        files: see `entries`.

    Raises:
        WeightsError: hostile or damaged.
    """
    if "byteorder" in files and bytes(content(data, files["byteorder"], budget)) != b"little":
        raise budget.refuse("numbers in big-endian order")
    known: dict[str, tuple[Storage, str, int]] = {}

    def storage(said: object) -> object:
        kind, key, count, piece = described(said)
        entry = files.get(f"data/{key}")
        size = count * DTYPES[kind].itemsize
        if entry is None or piece is not None:
            raise ValueError(f"storage {key!r} is not in the zip")
        if entry.size != size:
            raise ValueError(f"storage {key!r} of {size} bytes is {entry.size} bytes in the zip")
        if key not in known:
            budget.take(400)
            known[key] = (Storage(DTYPES[kind], size, lambda: content(data, entry, budget)), kind, count)
        if known[key][1:] != (kind, count):
            raise ValueError(f"storage {key!r} is described in two ways")
        return known[key][0]

    pickle = files["data.pkl"]
    if pickle.method == DEFLATED:
        budget.take(pickle.size)
    machine = Machine(content(data, pickle, budget), budget, table(nested), storage, 0, notes)
    value, _ = unpickle(machine)
    return value
