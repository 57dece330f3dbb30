"""What an ONNX file says of itself, read as plain protobuf; nothing is run, and nothing beside it is opened."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from gensr.errors import WeightsError
from gensr.priors.foreign.budget import OBJECT, Budget

Message = Literal["model", "graph", "node", "attribute", "tensor", "value", "entry", "opset"]
FIELDS: dict[Message, dict[int, Message]] = {
    "model": {7: "graph", 8: "opset"},
    "graph": {1: "node", 5: "tensor", 11: "value", 12: "value"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph"},
    "tensor": {13: "entry"},
    "value": {},
    "entry": {},
    "opset": {},
}
"""Which fields of a message are messages that are followed (onnx.proto)."""
TEXTS: dict[tuple[Message, int], str] = {
    ("model", 2): "producer",
    ("model", 3): "producer version",
    ("graph", 2): "graph",
}
TOP = {1, 2, 3, 4, 5, 6, 7, 8, 14, 20, 25, 26}
"""Fields that a model has."""
DEPTH = 16
LONGEST = 200


@dataclass
class Found:
    """What was seen on the way.

    Attributes:
        texts: of the model, by name.
        operators: how often each is used.
        tensors: number of constants.
        inputs: names.
        outputs: names.
        outside: files that hold constants.
    """

    texts: dict[str, str] = field(default_factory=dict)
    operators: Counter[str] = field(default_factory=Counter)
    tensors: int = 0
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    outside: set[str] = field(default_factory=set)


def is_onnx(data: memoryview) -> bool:
    """Whether bytes are a message with the fields of a model, a graph among them."""
    if data[0] != 0x08:  # the version of the format stands first
        return False
    seen = set()
    try:
        for number, _, _ in fields(data):
            seen.add(number)
            if number not in TOP:
                return False
    except ValueError:
        return 7 in seen or {1, 2, 3} <= seen  # cut off, but meant to be one
    return 7 in seen


def fields(data: memoryview) -> Iterator[tuple[int, int | None, memoryview]]:
    """Number, whole value (None for bytes) and bytes of every field of a message.

    Raises:
        ValueError: no message, or one that is cut off.
    """
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield number, value, data[:0]
            continue
        if wire == 2:
            length, at = _varint(data, at)
        elif wire in (1, 5):
            length = 8 if wire == 1 else 4
        else:
            raise ValueError(f"a field of kind {wire}")
        if number == 0 or at + length > len(data):
            raise ValueError(f"a field of {length} bytes where {len(data) - at} are left")
        yield number, None, data[at : at + length]
        at += length


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for i in range(10):
        if at + i >= len(data):
            raise ValueError("it is cut off")
        value |= (data[at + i] & 127) << (7 * i)
        if data[at + i] < 128:
            return value, at + i + 1
    raise ValueError("a number of more than 64 bits")


def inspect(data: memoryview, budget: Budget) -> Found:
    """What a model holds.

    Raises:
        WeightsError: damaged, nested without end, or with constants in files outside its folder.
    """
    found = Found()
    try:
        _walk(data, "model", budget, found, 0)
    except (ValueError, UnicodeError) as error:
        raise budget.refuse(f"unreadable ONNX ({str(error)[:80]})") from None
    for name in found.outside:
        parts = name.replace("\\", "/").split("/")
        if name.startswith(("/", "\\")) or ".." in parts or ":" in parts[0] or "\0" in name:
            raise WeightsError(
                f"{budget.path}: keeps constants in {name[:80]!r}, outside its own folder; it is hostile: refused"
            )
    return found


def _walk(data: memoryview, kind: Message, budget: Budget, found: Found, depth: int) -> None:
    if depth > DEPTH:
        raise ValueError(f"messages nested more than {DEPTH} deep")
    pair = {}
    for number, _, raw in fields(data):
        inner = FIELDS[kind].get(number)
        if inner is not None:
            budget.take(OBJECT // 4)
            found.tensors += inner == "tensor"
            if inner == "value":
                _value(raw, found.inputs if number == 11 else found.outputs, budget)
            else:
                _walk(raw, inner, budget, found, depth + 1)
        elif (kind, number) in TEXTS:
            found.texts[TEXTS[kind, number]] = _text(raw)
        elif kind == "node" and number == 4:
            budget.take(OBJECT)
            found.operators[_text(raw)] += 1
        elif kind == "entry" and number in (1, 2):
            pair[number] = _text(raw)
    if pair.get(1) == "location":
        budget.take(OBJECT)
        found.outside.add(pair.get(2, ""))


def _value(data: memoryview, names: list[str], budget: Budget) -> None:
    for number, _, raw in fields(data):
        if number == 1:
            budget.take(OBJECT)
            names.append(_text(raw))


def _text(raw: memoryview) -> str:
    if len(raw) > 4096:
        raise ValueError(f"a name of {len(raw)} bytes")
    return bytes(raw).decode("utf-8")[:LONGEST]
