"""From plain configuration to frozen dataclasses, with errors that name the key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from gensr.errors import UsageError, nearest

Kind = TypeVar("Kind")
_WORDS = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}


def build(kind: type[Kind], values: Mapping[str, Any], where: str) -> Kind:
    """Make a dataclass from a mapping; nested dataclasses from nested mappings, left-out fields from defaults.

    Args:
        kind: a dataclass with fields of int, float, str, bool, Literal, one of these or None, or such dataclasses.
        values: field name to value.
        where: key of the mapping, for errors.

    Raises:
        UsageError: unknown or missing key, or a value of the wrong type.
    """
    types = get_type_hints(kind)
    known = {f.name: f for f in fields(kind)}  # type: ignore[arg-type]  # a dataclass, which type[] cannot say
    for name in values:
        if name not in known:
            advice = nearest(name, known) or ";"
            raise UsageError(f"unknown key '{where}.{name}'{advice} keys: {', '.join(f'{where}.{k}' for k in known)}")
    for name, found in known.items():
        if name not in values and found.default is MISSING and found.default_factory is MISSING:
            raise UsageError(f"{where}.{name} is missing; give it, or start the preset with 'defaults: [balanced]'")
    return kind(**{name: _value(types[name], value, f"{where}.{name}") for name, value in values.items()})


def changes(old: object, new: object, prefix: str = "") -> list[str]:
    """Fields of two dataclasses of one kind that differ, as ``name=new value``."""
    found = []
    for f in fields(old):  # type: ignore[arg-type]  # a dataclass, which object cannot say
        before, after = getattr(old, f.name), getattr(new, f.name)
        if before != after:
            nested = is_dataclass(before) and is_dataclass(after)
            name = f"{prefix}{f.name}"
            found += changes(before, after, f"{name}.") if nested else [f"{name}={after}"]
    return found


def _value(kind: Any, value: Any, where: str) -> Any:  # noqa: ANN401
    if get_origin(kind) in (Union, UnionType):
        if value is None:
            return None
        kind = next(part for part in get_args(kind) if part is not NoneType)
    if is_dataclass(kind) and isinstance(kind, type):
        if not isinstance(value, Mapping):
            raise UsageError(f"{where}={value}: expected keys below it, such as {where}.{fields(kind)[0].name}=")
        return build(kind, value, where)
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise UsageError(f"{where}={value}: expected {', '.join(map(str, get_args(kind)))}")
        return value
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind is float and number:
        return float(value)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise UsageError(f"{where}={value}: expected {_WORDS.get(kind, kind.__name__)}")
    return value
