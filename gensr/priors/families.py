"""The generator families that are installed, through the entry points ``gensr.generators``."""

from __future__ import annotations

from gensr import registry
from gensr.priors.generator import Family


def family(name: str) -> Family:
    """The generator family of that name.

    Raises:
        PluginError: see `gensr.registry.load`.
    """
    found: Family = registry.load("generators", name)
    return found
