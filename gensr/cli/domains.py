"""What the commands share about domains and their options."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from gensr import registry
from gensr.errors import UsageError, nearest

if TYPE_CHECKING:
    from gensr.scenes.domain import Domain


def option_names() -> dict[str, list[str]]:
    """Options of every domain that ships a configuration file, read without importing the domain."""
    found = {}
    for name in registry.names("conf"):
        folder = files(registry.load("conf", name)).joinpath("domain")
        if not folder.is_dir():
            continue
        for entry in sorted(folder.iterdir(), key=lambda e: e.name):
            if entry.name.endswith(".yaml") and entry.name != "auto.yaml":
                keys = re.findall(r"(?m)^(\w+):", entry.read_text(encoding="utf-8"))
                found[entry.name.removesuffix(".yaml")] = [k for k in keys if k not in ("name", "defaults")]
    return found


def domain_help() -> str:
    """Options of the domains, one domain a line."""
    lines = []
    for name, keys in option_names().items():
        first = f"  {name:<11} "
        lines += textwrap.wrap(", ".join(keys) or "none", 78, initial_indent=first, subsequent_indent=" " * 14)
    return "\n".join(lines)


def named_domain(node: Mapping[str, Any]) -> Domain | None:
    """The domain that the configuration names, or None for ``auto``; options are checked if it does.

    Raises:
        PluginError: the domain cannot be loaded.
        UsageError: it has no such option.
    """
    if node["name"] == "auto":
        return None
    from gensr.scenes import installed

    domain = installed.domain(str(node["name"]))
    options(node, domain.defaults)
    return domain


def given_options(node: Mapping[str, Any], domain: Domain) -> dict[str, Any]:
    """Options for the domain of one input.

    Raises:
        UsageError: it has no such option.
    """
    return options(node, domain.defaults)


def options_given(node: Mapping[str, Any]) -> dict[str, Any]:
    """What stands in the configuration node ``domain`` beside the name of the domain."""
    return {name: value for name, value in node.items() if name != "name"}


def options(node: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a domain that the user changed, checked by name.

    Args:
        node: the configuration node ``domain``.
        defaults: options of the domain that reads the file.

    Raises:
        UsageError: an option that this domain does not have.
    """
    given = options_given(node)
    for name in given:
        if name not in defaults:
            known = ", ".join(f"domain.{n}" for n in defaults) or "none"
            raise UsageError(f"unknown key 'domain.{name}'{nearest(name, defaults)} options of this domain: {known}")
    return {name: value for name, value in given.items() if value != defaults[name]}
