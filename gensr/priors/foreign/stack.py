"""The stack of a machine that reads pickles and runs nothing of them: what a global, a call and an object become.

A global becomes a `Name`, an object an `Inert`, and of the functions that a pickle may call only those of a table have
a meaning, each of them one of ours. Byte strings stay where they are in the file. What is held is counted before.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from sys import getsizeof
from typing import Any

from gensr.errors import WeightsError
from gensr.priors.foreign.arrays import fill
from gensr.priors.foreign.budget import OBJECT, Budget
from gensr.priors.foreign.inert import Array, Inert, Name
from gensr.priors.foreign.names import CALLED, objection

MARK = object()
LONGEST_NUMBER = 64
"""Bytes of a whole number, digits of one in decimal."""
LINE = 4096
"""Bytes that are looked at together for the end of a line."""
SMALL = 1024
"""Bytes of a byte string that may be a key."""
Rebuild = Callable[["Machine", tuple[Any, ...]], object]
"""What a function of a pickle means: from its arguments to a value."""


@dataclass
class Machine:
    """The state while one pickle is read; see `gensr.priors.foreign.machine.unpickle`.

    Attributes:
        data: bytes that begin with the pickle.
        budget: of the file.
        rebuilds: meanings of functions, by ``module.name``.
        persistent: what a persistent identifier stands for; None where there can be none.
        nesting: files inside files that led here.
        notes: what a user should know, collected; shared with the reader of the file.
        encoding: of byte strings that Python 2 wrote.
    """

    data: memoryview
    budget: Budget
    rebuilds: Mapping[str, Rebuild]
    persistent: Callable[[object], object] | None = None
    nesting: int = 0
    notes: dict[str, int] = field(default_factory=dict)
    encoding: str = "latin-1"

    def __post_init__(self) -> None:
        self.at = 0
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def note(self, text: str) -> None:
        """Remember something once, with how often it was seen."""
        if text in self.notes or len(self.notes) < 200:
            self.notes[text] = self.notes.get(text, 0) + 1

    def push(self, value: object) -> None:
        """Put a value on the stack."""
        self.budget.take(OBJECT)
        self.stack.append(value)

    def pop(self) -> Any:  # noqa: ANN401
        """Take the value on top, which is no mark."""
        value = self.stack.pop()
        if value is MARK:
            raise ValueError("a mark where a value should be")
        return value

    def top(self) -> Any:  # noqa: ANN401
        """The value on top."""
        if self.stack[-1] is MARK:
            raise ValueError("a mark where a value should be")
        return self.stack[-1]

    def since_mark(self) -> list[Any]:
        """Take everything above the last mark, and the mark."""
        for i in range(len(self.stack) - 1, -1, -1):
            if self.stack[i] is MARK:
                found = self.stack[i + 1 :]
                del self.stack[i:]
                return found
        raise ValueError("no mark")

    def bytes_of(self, count: int) -> memoryview:
        """The next bytes, a view of the file."""
        if not 0 <= count <= len(self.data) - self.at:
            raise ValueError(f"{count} bytes are claimed, {len(self.data) - self.at} are left")
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, form: str) -> Any:  # noqa: ANN401
        """A number in a fixed form of `struct`."""
        (value,) = struct.unpack(form, self.bytes_of(struct.calcsize(form)))
        return value

    def counted(self, form: str) -> memoryview:
        """Bytes after their count."""
        return self.bytes_of(self.number(form))

    def line(self, encoding: str = "utf-8") -> str:
        """A text up to the end of the line."""
        end = self.at
        while end < len(self.data):
            found = bytes(self.data[end : end + LINE]).find(b"\n")
            if found >= 0:
                raw = self.bytes_of(end + found - self.at)
                self.at += 1
                return self.text(raw, encoding)
            end += LINE
        raise ValueError("a line without an end")

    def text(self, raw: memoryview, encoding: str = "utf-8") -> str:
        """A text of bytes; one of wide characters takes more than its bytes, and is counted as what it takes."""
        self.budget.take(len(raw))
        found = str(raw, encoding, "surrogatepass" if encoding == "utf-8" else "strict")
        self.budget.take(max(0, getsizeof(found) - len(raw)))
        return found

    def mention(self, module: object, name: object) -> Name:
        """A global, checked and never imported.

        Raises:
            WeightsError: see `objection`.
        """
        if not isinstance(module, str) or not isinstance(name, str) or len(module) + len(name) > 500:
            raise ValueError("a global without a name")
        found = Name(module, name)
        if reason := "" if _meaning(self.rebuilds, found) else objection(module, name):
            raise WeightsError(
                f"{self.budget.path}: names {str(found)!r}, which {reason}; a file of weights has no use for it: "
                "refused, nothing of it was run; get the weights as safetensors"
            )
        return found

    def call(self, function: object, args: object) -> object:
        """What a function of the pickle returns, by our own meaning of it.

        Raises:
            WeightsError: it has none.
        """
        if not isinstance(function, Name) or not isinstance(args, tuple):
            raise ValueError("a call of what is no function")
        if meaning := _meaning(self.rebuilds, function):
            return meaning(self, args)
        if str(function) in CALLED:
            self.budget.take(OBJECT)
            return Inert(str(function), args)
        raise WeightsError(
            f"{self.budget.path}: asks to call {str(function)!r}, and gensr runs nothing of a file; it is hostile, or "
            "of a kind that is not known: get the weights as safetensors or as a plain state dict"
        )

    def made(self, kind: object, args: object, keywords: object = None) -> object:
        """An object of a class, never made; dictionaries become plain ones."""
        if not isinstance(kind, Name) or not isinstance(args, tuple):
            raise ValueError("an object of what is no class")
        if _meaning(self.rebuilds, kind) and kind.name != kind.name.lstrip("_"):
            raise ValueError(f"{kind} is no class")
        if str(kind) in PLAIN and not args:
            return {}
        if kind.module.partition(".")[0] not in ("torch", "collections", "argparse", "builtins", "dnnlib"):
            self.note(f"an object of {kind}, kept as a name")
        self.budget.take(OBJECT)
        found = Inert(str(kind), args)
        if isinstance(keywords, dict) and keywords:
            found.items.update(keywords)
        return found

    def build(self, value: object, state: object) -> None:
        """Give an object its state."""
        if isinstance(value, Array):
            fill(self.budget, value, state)
        elif isinstance(value, Inert):
            if isinstance(state, tuple) and len(state) == 2 and isinstance(state[1], dict):
                plain = state[0] if isinstance(state[0], dict) else {}
                self.budget.take(OBJECT * (len(plain) + len(state[1])))
                state = {**plain, **state[1]}
            value.state = state
        elif not isinstance(value, dict):  # of a plain dictionary attributes are left out: it carries versions alone
            raise ValueError(f"a state for {type(value).__name__}")


PLAIN = ("collections.OrderedDict", "dnnlib.util.EasyDict", "dnnlib.EasyDict", "builtins.dict", "__builtin__.dict")
"""Classes of dictionaries."""


def _meaning(rebuilds: Mapping[str, Rebuild], name: Name) -> Rebuild | None:
    """By full name, or for packages that are copied from project to project by the end of it."""
    full = str(name)
    return rebuilds.get(full) or rebuilds.get(".".join(full.split(".")[-3:]))


def key(value: object) -> Any:  # noqa: ANN401
    """A value as a key: texts, numbers, names, flat tuples of them, and objects by identity."""
    if isinstance(value, memoryview) and len(value) <= SMALL:
        return bytes(value)
    if isinstance(value, list | dict | set | memoryview):
        raise ValueError(f"{type(value).__name__} as a key")
    if isinstance(value, tuple):
        if len(value) > 16 or any(isinstance(v, tuple | list | dict | set | memoryview) for v in value):
            raise ValueError("a nested key")
        return value
    return value
