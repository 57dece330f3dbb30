"""What the header of a weights file may say: kinds of values, checked before anything is built or allocated.

A card and a configuration are JSON of unknown origin. Each family writes down what its own may hold as a `Record`; what
does not fit is refused with its place in the header.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from gensr.errors import WeightsError

MOST_TEXT = 100_000
MOST_ENTRIES = 10_000
DEPTH = 32
"""Levels of nested JSON."""
CONFORMAL = (0.01, 100.0)
"""Factors on the deviation that a calibration can have fitted."""


class Kind(ABC):
    """A kind of value."""

    @abstractmethod
    def check(self, value: Any, place: str) -> None:  # noqa: ANN401
        """Refuse another kind of value.

        Args:
            value: from JSON.
            place: where it stands, such as ``config.shape.bands``.

        Raises:
            WeightsError: names the place, the value, and what is expected.
        """

    def refuse(self, value: object, place: str, expected: str) -> WeightsError:
        """The error for a value that does not fit."""
        text = repr(value)
        return WeightsError(f"{place} = {text[:60]}{'...' if len(text) > 60 else ''}: expected {expected}")


@dataclass(frozen=True)
class Number(Kind):
    """A finite number in a range."""

    low: float = -1e30
    high: float = 1e30

    def check(self, value: Any, place: str) -> None:  # noqa: ANN401
        """See `Kind.check`."""
        real = isinstance(value, int | float) and not isinstance(value, bool)
        if not real or not self.low <= value <= self.high:  # NaN is in no range, and whole numbers may be endless
            raise self.refuse(value, place, f"a number from {self.low:g} to {self.high:g}")


@dataclass(frozen=True)
class Whole(Kind):
    """A whole number in a range."""

    low: int
    high: int

    def check(self, value: Any, place: str) -> None:  # noqa: ANN401
        """See `Kind.check`."""
        if type(value) is not int or not self.low <= value <= self.high:
            raise self.refuse(value, place, f"a whole number from {self.low} to {self.high}")


@dataclass(frozen=True)
class Flag(Kind):
    """True or false."""

    def check(self, value: Any, place: str) -> None:  # noqa: ANN401
        """See `Kind.check`."""
        if type(value) is not bool:
            raise self.refuse(value, place, "true or false")


@dataclass(frozen=True)
class Text(Kind):
    """A text, of a form if one is given."""

    most: int = MOST_TEXT
    form: str = r"(?s).*"

    def check(self, value: Any, place: str) -> None:  # noqa: ANN401
        """See `Kind.check`."""
        if type(value) is not str or len(value) > self.most or not re.fullmatch(self.form, value):
            form = "" if self.form == Text.form else f" of the form {self.form}"
            raise self.refuse(value, place, f"a text of at most {self.most} characters{form}")


@dataclass(frozen=True)
class Optional(Kind):
    """Nothing, or a value of a kind."""

    kind: Kind

    def check(self, value: Any, place: str) -> None:  # noqa: ANN401
        """See `Kind.check`."""
        if value is not None:
            self.kind.check(value, place)


@dataclass(frozen=True)
class List(Kind):
    """A list of values of one kind."""

    kind: Kind
    low: int
    high: int

    def check(self, value: Any, place: str) -> None:  # noqa: ANN401
        """See `Kind.check`."""
        if not isinstance(value, list | tuple) or not self.low <= len(value) <= self.high:
            raise self.refuse(value, place, f"a list of {self.low} to {self.high} values")
        for i, item in enumerate(value):
            self.kind.check(item, f"{place}[{i}]")


@dataclass(frozen=True)
class Table(Kind):
    """Values of one kind by keys of one form."""

    kind: Kind
    form: str = r"(?s).{1,300}"
    most: int = MOST_ENTRIES

    def check(self, value: Any, place: str) -> None:  # noqa: ANN401
        """See `Kind.check`."""
        if not isinstance(value, Mapping) or len(value) > self.most:
            raise self.refuse(value, place, f"a table of at most {self.most} values")
        for key, item in value.items():
            if type(key) is not str or not re.fullmatch(self.form, key):
                raise self.refuse(key, f"{place}, key", f"a key of the form {self.form}")
            self.kind.check(item, f"{place}.{key}")


@dataclass(frozen=True)
class Record(Kind):
    """Values with names of their own.

    Attributes:
        needed: those that must be there.
        free: those that may be left out; other names are left to later versions.
    """

    needed: Mapping[str, Kind]
    free: Mapping[str, Kind] = field(default_factory=dict)

    def check(self, value: Any, place: str) -> None:  # noqa: ANN401
        """See `Kind.check`."""
        if not isinstance(value, Mapping):
            raise self.refuse(value, place, "a table")
        for name, kind in {**self.needed, **self.free}.items():
            if name in value:
                kind.check(value[name], f"{place}.{name}")
            elif name in self.needed:
                raise WeightsError(f"{place}: {name!r} is missing")


NAME = Text(200, r"[A-Za-z0-9][A-Za-z0-9_. -]*")
COMPANION = Text(200, r"|(?!.*\.safetensors$)[A-Za-z0-9][A-Za-z0-9_. -]*")
"""The name of an installed generator, or nothing: never a path, so that one weights file does not open another."""
CARD = Record(
    needed={
        **dict.fromkeys(("name", "family", "domain"), NAME),
        **dict.fromkeys(("unit", "pixel", "licence", "data", "split", "recipe", "bias", "audit"), Text()),
        "bands": Whole(1, 4096),
        "aligned": Flag(),
        "value_range": List(Number(), 2, 2),
        "discrepancy": Number(0.0, 1e6),
    },
    free={
        "metrics": Table(Number()),
        "conformal": Table(Number(*CONFORMAL), r"x[1-9]\d{0,3} noise \d{1,9}(\.\d{1,20})?(e[+-]?\d{1,2})?"),
        "version": Text(200),
        "alignment": Text(200),
        "side": Whole(0, 1 << 20),
        "source": Text(1000),
    },
)
"""See `gensr.priors.card.GeneratorCard`."""


def check_depth(text: str) -> None:
    """Refuse JSON that is nested deeper than any header, before it is parsed: a parser may not survive it.

    Raises:
        ValueError: deeper than `DEPTH`.
    """
    depth = 0
    for found in re.finditer(r'"(?:[^"\\]|\\.)*"|[\[{\]}]', text):
        mark = found[0]
        depth += (mark in "[{") - (mark in "]}") if len(mark) == 1 else 0
        if depth > DEPTH:
            raise ValueError(f"nested more than {DEPTH} deep")


def check_config(schema: Record, config: object, name: str) -> None:
    """Refuse a configuration that a family cannot have written.

    Args:
        schema: of the family.
        config: from the header.
        name: of the generator, for the message.

    Raises:
        WeightsError: see `Kind.check`.
    """
    try:
        schema.check(config, "config")
    except WeightsError as error:
        raise WeightsError(f"{name}: {error}; fetch the file again") from None


def check_shapes(tensors: Mapping[str, Tensor], shapes: Mapping[str, Sequence[int | None]], name: str) -> None:
    """Refuse tensors of other shapes, before anything is made of them.

    Args:
        tensors: from the file.
        shapes: by name; None stands for any length of at least 1.
        name: of the generator, for the message.

    Raises:
        WeightsError: a tensor is missing or of another shape.
    """
    for key, shape in shapes.items():
        if key not in tensors:
            raise WeightsError(f"{name}: tensor {key!r} is missing; fetch the file again")
        found = tuple(tensors[key].shape)
        if len(found) != len(shape) or any(
            n < 1 or (s is not None and n != s) for n, s in zip(found, shape, strict=True)
        ):
            words = ", ".join("any" if s is None else str(s) for s in shape)
            raise WeightsError(f"{name}: tensor {key!r} is of shape {found}, expected ({words}); fetch the file again")


def doubling_sides(tensors: Iterable[str], pattern: str, largest: int, name: str) -> list[int]:
    """Sides of a network's levels, as names of its tensors tell them.

    Args:
        tensors: names.
        pattern: regular expression of the beginning of a name; its first group is a side.
        largest: side.
        name: of the generator, for the message.

    Raises:
        WeightsError: not 4, 8, ... without gaps, two of them at least.
    """
    form = re.compile(pattern)
    sides = sorted({int(m[1]) for key in tensors if (m := form.match(key))})
    if len(sides) < 2 or sides != [4 << i for i in range(len(sides))] or sides[-1] > largest:
        raise WeightsError(f"{name}: levels {sides}, expected 4, 8, ... up to {largest} without gaps")
    return sides
