"""A YAML file beside the outputs that asks for them again: ``gensr upsample --config NAME_run.yaml output=DIR``."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from gensr.pipeline.instrument import absolute_words
from gensr.pipeline.record import ASIDE, recipe_name
from gensr.pipeline.request import Request
from gensr.scenes.door import at_home
from gensr.scenes.names import Names
from gensr.scenes.provenance import software
from gensr.search.presets import Preset

HEAD = "# Made by gensr"
INPUTS = "inputs"
_AGAIN = "gensr upsample --config {name} output=DIR"


def recipe_text(name: str, entries: Mapping[str, Any], more: str = "") -> str:
    """A file of keys: every value is JSON, which YAML reads.

    Args:
        name: of the file.
        entries: key to value.
        more: a comment, in one line.
    """
    lines = [f"{HEAD} ({software()}). Again: {_AGAIN.format(name=name)}"]
    lines += [f"# {more}"] if more else []
    return "\n".join([*lines, *(f"{key}: {json.dumps(value)}" for key, value in entries.items())]) + "\n"


def recipe(request: Request, domain: str, names: Names, report: Mapping[str, Any]) -> str:
    """What asks for the same again.

    Args:
        request: what was asked; its source is a path, its output the folder where the file will lie.
        domain: that read it.
        names: of the outputs.
        report: says which generator answered.
    """
    folder = Path(str(request.output))
    entries: dict[str, Any] = {
        INPUTS: [beside(str(request.source), folder)],
        "domain": domain,
        "factor": request.factor,
    }
    for f in fields(request):
        value = getattr(request, f.name)
        default = None if f.default is MISSING else f.default
        if f.name in (*ASIDE, "factor", "domain", "search", "options") or (value == default and f.name != "seed"):
            continue
        entries[f.name] = ",".join(map(str, value)) if isinstance(value, tuple | list) else value
    if request.noise is not None:
        entries["noise"] = str(request.noise)  # numbers of Python and words of the command say the same
    if request.generator is not None and Path(request.generator).is_file():
        entries["generator"] = beside(request.generator, folder)
    if request.operator is not None:
        head, sign, path = absolute_words(request.operator).partition("=")
        found = bool(sign) and Path(path).is_file()
        entries["operator"] = f"{head}={beside(path, folder)}" if found else request.operator
    entries |= _search(request.search)
    entries |= {f"domain.{key}": value for key, value in request.options.items()}
    made = report["generator"]
    digest = str(made.get("sha256", ""))[:16]
    return recipe_text(recipe_name(names), entries, f"Answered by {made['name']}, digest {digest or 'unknown'}")


def _search(search: str | Preset) -> dict[str, Any]:
    """A preset as keys; numbers that differ from it stand in its name."""
    name = search.name if isinstance(search, Preset) else search
    base, _, numbers = name.partition(" with ")
    found: dict[str, Any] = {"search": base}
    for part in numbers.split(", ") if numbers else []:
        key, _, value = part.partition("=")
        found[f"search.{key}"] = None if value == "None" else value
    return found


def beside(text: str, folder: Path) -> str:
    """A path as seen from a folder; it begins with ``./`` or ``../``."""
    path = os.path.relpath(at_home(text), folder)
    return path if path.startswith("..") else f"./{path}"
