"""Operators by name, as the command line writes them: ``area``, ``gaussian:sigma=0.5``, ``kspace:window=hamming``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gensr import registry
from gensr.errors import PluginError, UsageError
from gensr.operators.base import Operator
from gensr.values.grid import Factor


@dataclass(frozen=True)
class Recipe:
    """How one named operator is made from text.

    Attributes:
        build: from factor, total and the value of ``parameter`` ("" if not given).
        parameter: name of its only parameter, "" if it has none.
        required: whether the parameter must be given.
        usage: how it is written.
        file: whether the parameter is a path.
    """

    build: Callable[[int | Factor, bool, str], Operator]
    parameter: str
    required: bool
    usage: str
    file: bool = False


def operator_names() -> list[str]:
    """Names of installed operators, through the entry points ``gensr.operators``."""
    return registry.names("operators")


def recipe(name: str) -> Recipe:
    """The recipe of an operator.

    Raises:
        UsageError: unknown name; the message shows how each is written.
        PluginError: its plug-in is broken.
    """
    if name not in operator_names():
        known = ", ".join(recipe(other).usage for other in operator_names())
        raise UsageError(f"unknown operator {name!r}; write one of: {known}")
    found: object = registry.load("operators", name)
    if not isinstance(found, Recipe):
        raise PluginError(f"plugin {name!r} ({found}) is no gensr.operators.registry.Recipe; update its package")
    return found


def parse_operator(spec: str, factor: int | Factor, total: bool = False) -> Operator:
    """Make an operator from its text form ``name``, ``name:value`` or ``name:parameter=value``.

    Args:
        spec: for example ``"gaussian:sigma=0.45"``.
        factor: refinement, an integer or (rows, cols).
        total: sum over the block instead of the mean (flux per pixel).

    Raises:
        UsageError: for an unknown name or parameter, or an impossible value; the message shows what is possible.
        GridError: for an impossible factor.

    >>> parse_operator("gaussian:sigma=0.45", 4).describe()
    {'name': 'gaussian', 'factor': [4, 4], 'sigma': 0.45, 'total': False}
    """
    name, colon, text = spec.strip().partition(":")
    known = recipe(name)
    if colon and not known.parameter:
        raise UsageError(f"operator {spec!r}: {name} has no parameter; write {known.usage}")
    value = text.removeprefix(f"{known.parameter}=").strip()
    if (known.required or colon) and not value:
        raise UsageError(f"operator {spec!r} lacks its {known.parameter}; write {known.usage}")
    if "=" in value and not known.file:  # a file name may hold the sign
        raise UsageError(f"operator {spec!r}: {name} only has the parameter {known.parameter}; write {known.usage}")
    try:
        return known.build(factor, total, value)
    except UsageError as error:
        raise UsageError(f"operator {spec!r}: {error}; write {known.usage}") from error


def absolute(spec: str) -> str:
    """The text of an operator with the file that it names, if any, as an absolute path.

    Raises:
        UsageError: unknown operator.

    >>> absolute("gaussian:sigma=0.45")
    'gaussian:sigma=0.45'
    """
    name, _, text = spec.strip().partition(":")
    known = recipe(name)
    value = text.removeprefix(f"{known.parameter}=").strip()
    return f"{name}:{known.parameter}={Path(value).absolute()}" if known.file and value else spec
