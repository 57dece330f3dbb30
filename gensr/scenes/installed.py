"""The domains that are installed, through the entry points ``gensr.domains``."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache

from gensr import registry
from gensr.errors import PluginError
from gensr.scenes.domain import Domain


def domain(name: str) -> Domain:
    """The domain of that name.

    Raises:
        PluginError: see `gensr.registry.load`; or it cannot be used.
    """
    made = registry.load("domains", name)
    try:
        return _instance(made)
    except Exception as error:
        raise PluginError(f"plugin {name!r} ({made}) cannot be used: {error}") from error


@cache
def _instance(made: Callable[[], Domain]) -> Domain:
    """One instance of a class: domains have no state."""
    return made()


def domains() -> list[Domain]:
    """All domains that can be imported; a broken one is warned about and left out."""
    return usable()[0]


def usable() -> tuple[list[Domain], list[PluginError]]:
    """Domains that can be loaded, and why others cannot; each of these is warned about."""
    found, broken = [], []
    for name in registry.names("domains"):
        try:
            found.append(domain(name))
        except PluginError as error:
            broken.append(error)
            warnings.warn(str(error), stacklevel=3)
    return found, broken
