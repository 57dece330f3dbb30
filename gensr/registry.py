"""Finding plug-ins of every kind through entry points.

First-party plugins register exactly as a stranger's do. A broken plugin is named in a warning and skipped; a doubled
name keeps the first and warns; an unknown name lists what is installed. Model: xarray's backend registry.
"""

from __future__ import annotations

import warnings
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from gensr.errors import PluginError

GROUPS = ("domains", "generators", "foreign", "weights", "solvers", "operators", "metrics", "commands", "conf")


@cache
def _group(group: str) -> dict[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=f"gensr.{group}"):
        if point.name in found and point.value != found[point.name].value:
            warnings.warn(
                f"gensr.{group} {point.name!r} is registered twice ({found[point.name].value} and {point.value}); "
                "the first is used, uninstall one of the packages",
                stacklevel=2,
            )
        found.setdefault(point.name, point)
    return found


def refresh() -> None:
    """Forget what was found; call it after installing a plugin in a running session."""
    _group.cache_clear()


def names(group: str) -> list[str]:
    """Names registered in a group, sorted."""
    return sorted(_group(group))


def load(group: str, name: str) -> Any:  # noqa: ANN401
    """Import one plugin object.

    Raises:
        PluginError: unknown name, missing dependency of the plugin, or a plugin that fails to import.
    """
    points = _group(group)
    if name not in points:
        known = ", ".join(sorted(points)) or "none: reinstall gensr"
        raise PluginError(
            f"{group[:-1] if group.endswith('s') else group} {name!r} is not installed; installed: {known}"
        )
    try:
        return points[name].load()
    except Exception as error:
        package = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
        if package and package not in ("gensr", points[name].module.partition(".")[0]):
            raise PluginError(f"{name!r} needs the package {package!r}; pip install {package}") from error
        raise PluginError(f"plugin {name!r} ({points[name].value}) fails to import: {error}") from error


def weight_folders() -> list[Path]:
    """Folders that hold shipped weights, first-party first; a broken plugin is warned about and left out."""
    folders: list[Path] = []
    for name in sorted(names("weights"), key=lambda n: (n != "gensr", n)):
        try:
            folders += [Path(p) for p in load("weights", name).__path__]
        except PluginError as error:
            warnings.warn(str(error), stacklevel=2)
    return folders
