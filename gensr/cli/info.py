"""``gensr info``: what was understood of a file and what a run would do, before anything is computed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gensr.cli.arguments import parse, said
from gensr.cli.console import DONE, FAILED, USAGE, Console
from gensr.cli.domains import domain_help, named_domain
from gensr.cli.keys import KEYS, table
from gensr.errors import GensrError, UsageError, ordinary

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
    arguments = parse(argv, valued=["--config-dir"], keys=KEYS["info"])
    if "--help" in arguments.switches:
        console.say(HELP.format(keys=table("info"), domains=domain_help()))
        return DONE
    from gensr.cli.asked import check_once
    from gensr.cli.config import InfoConfig, compose
    from gensr.cli.presets import chosen_preset
    from gensr.scenes.inputs import expand
    from gensr.scenes.scene import Folder

    config = compose("info", InfoConfig, arguments.pairs, arguments.valued.get("--config-dir"))
    if not arguments.inputs:
        raise UsageError("no input given; write gensr info INPUT... [key=value...]")
    check_once(config)
    search = chosen_preset(config.search, said(arguments.pairs))
    kept = Folder() if config.remote else None
    found = expand(arguments.inputs, named_domain(config.domain), remote=None if kept is None else kept.path)
    for note in found.notes:
        console.note(note)
    codes = [console.fail(error, text) for text, error in found.failed]
    pages: list[dict[str, Any]] = []
    for item in found.inputs:
        with console.warnings(item.path):
            try:
                with ordinary(item.path):
                    pages.append(_understand(item, config, search))
            except Exception as error:  # one failed input never stops the others
                codes.append(console.fail(error, item.path))
                continue
        if config.format == "text":
            console.say(page(pages[-1]))
    if config.format == "json":
        from gensr.scenes.provenance import as_json

        console.say(as_json({"inputs": pages}, indent=2))
    if not codes:
        return DONE
    return USAGE if not pages and set(codes) == {USAGE} else FAILED


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
