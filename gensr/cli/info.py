"""``gensr info``: what was understood of a file and what a run would do, before anything is computed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gensr.cli.console import Console
from gensr.cli.inquiry import inquire
from gensr.errors import GensrError

if TYPE_CHECKING:
    from gensr.cli.config import InfoConfig
    from gensr.scenes.inputs import Input
    from gensr.search.presets import Preset

HELP = """\
usage: gensr info INPUT... [key=value...]

Prints what gensr understands of files, folders or globs: format, grid, bands,
units, invalid values; and exactly what upsample would do with them: prior,
operator, noise and where it comes from, tiles, memory and time.

keys [default]:
{keys}

options of domains, as domain.KEY=VALUE:
{domains}

examples:
  gensr info scene.tif
  gensr info scene.tif factor=2 noise=2.5 samples=8
  gensr info 'night/*.fits' format=json"""


def run(argv: Sequence[str], console: Console) -> int:
    """Run the command.

    Args:
        argv: arguments after ``info``.
        console: where to speak.

    Returns:
        The exit code.
    """

    def answer(item: Input, config: InfoConfig, search: Preset) -> dict[str, Any]:
        found = _understand(item, config, search)
        if config.format == "text":
            console.say(page(found))
        return found

    return inquire("info", HELP, _schema, answer, argv, console)


def _schema() -> type[InfoConfig]:
    from gensr.cli.config import InfoConfig

    return InfoConfig


def _understand(item: Input, config: InfoConfig, search: Preset) -> dict[str, Any]:
    """What a file holds, and what a run would do with it; a refusal of the run is a fact as well."""
    from gensr.cli.asked import request_of
    from gensr.pipeline.settle import settle_scene
    from gensr.scenes.area import area_words
    from gensr.scenes.inputs import open_scene

    request = request_of(item, config, search)
    scene = open_scene(item.domain, item.path, request.options, request.bands, request.area)
    try:
        rows, cols = scene.grid.shape
        size = f"{rows} x {cols} pixels, {scene.planes} plane(s), {len(scene.bands)} band(s)"
        area = area_words(scene, request.area)
        domain = f"{item.domain.name}: {item.doubt}" if item.doubt else item.domain.name
        head = {"file": str(item.path), "domain": domain, "size": size, **area, **scene.metadata()}
        try:
            plan = settle_scene(scene, item.domain.name, item.domain.stem(item.path), request)
            plan.rehearse()
        except GensrError as error:
            return {**head, "upsample": {"refused": str(error)}}
        return {**head, f"upsample x{config.factor}": plan.describe()}
    finally:
        scene.close()


def page(facts: Mapping[str, Any]) -> str:
    """Facts of one input as indented lines; empty ones are left out.

    >>> print(page({"file": "a.tif", "shape": [2, 3], "crs": None, "wcs": {"kind": "TAN"}}))
    a.tif
      shape  2, 3
      wcs
        kind  TAN
    """
    rest = {key: value for key, value in facts.items() if key != "file"}
    return "\n".join([str(facts.get("file", "")), *_rows(rest, "  ")])


def _rows(facts: Mapping[str, Any], pad: str) -> list[str]:
    shown = {key: value for key, value in facts.items() if value not in (None, "", [], {}, ())}
    width = max((len(key) for key, value in shown.items() if not isinstance(value, Mapping)), default=0)
    lines = []
    for key, value in shown.items():
        if isinstance(value, Mapping):
            lines += [f"{pad}{key}", *_rows(value, f"{pad}  ")]
        else:
            lines.append(f"{pad}{key:<{width}}  {_flat(value)}")
    return lines


def _flat(value: Any) -> str:  # noqa: ANN401
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.10g}"
    if isinstance(value, list | tuple):
        nested = any(isinstance(v, list | tuple | Mapping) for v in value)
        return json.dumps(value, default=str) if nested else ", ".join(_flat(v) for v in value)
    return str(value)
