"""Latent solvers by name, through the entry points ``gensr.solvers``: first-party and a stranger's alike.

The one that every preset names (`gensr.search.staged`) is always there.

A solver is a frozen dataclass; its numeric fields are its options, reachable from presets and as ``search.NAME=``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from gensr import registry
from gensr.errors import PluginError, UsageError, nearest
from gensr.search.loop import Solver
from gensr.search.staged import Staged


def solver_class(name: str) -> type[Solver[Any]]:
    """The class of a solver.

    Raises:
        UsageError: unknown name; the message lists the known ones.
        PluginError: it cannot be imported, or is no solver.
    """
    if name == Staged.name:
        return Staged
    known = sorted({*registry.names("solvers"), Staged.name})
    if name not in known:
        raise UsageError(f"solver {name!r} is unknown{nearest(name, known).rstrip('?')}; expected {', '.join(known)}")
    found = registry.load("solvers", name)
    if not (isinstance(found, type) and issubclass(found, Solver)):
        raise PluginError(f"plugin {name!r} ({found}) is no subclass of gensr.search.loop.Solver; update its package")
    return found


def solver_options(name: str) -> dict[str, type]:
    """Names and types of a solver's numbers."""
    found = {}
    for field in fields(solver_class(name)):  # type: ignore[arg-type]  # every solver is a dataclass
        kind = {"int": int, "float": float, int: int, float: float}.get(field.type)
        if kind is not None:
            found[field.name] = kind
    return found


def solver(name: str, options: Mapping[str, float]) -> Solver[Any]:
    """A solver by name.

    Args:
        name: as it is registered.
        options: numbers that differ from its defaults; those that it does not have are an error.

    Raises:
        UsageError: unknown name or option; the message lists the known ones.
    """
    made, known = solver_class(name), solver_options(name)
    for key in options:
        if key not in known:
            advice = nearest(key, known) or ";"
            raise UsageError(f"search.{key}: the solver {name} has no such number{advice} it has {', '.join(known)}")
    return made(**{key: known[key](value) for key, value in options.items()})
