"""``gensr upsample``: every input through the one flow, each failure on its own line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from gensr.cli.arguments import Arguments, parse, said
from gensr.cli.console import DONE, Console
from gensr.cli.domains import domain_help, named_domain
from gensr.cli.keys import KEYS, WRITING, table
from gensr.errors import OutputError, UsageError

if TYPE_CHECKING:
    from gensr.cli.config import UpsampleConfig
    from gensr.pipeline.request import Request
    from gensr.scenes.inputs import Input
    from gensr.search.presets import Preset

UNDERSTOOD = "--i-understand"
CONFIG_DIR = "--config-dir"

HELP = """\
usage: gensr upsample INPUT... [key=value...]

Inputs are files, folders (every image in it) or globs (quoted or not; ** enters
sub-folders). What holds "=" before the first path separator is a key; a file of
that name that exists is an input, and so is everything after --.

keys [default]:
{keys}

options of domains, as domain.KEY=VALUE:
{domains}

  {config} DIR   presets of your own: DIR/search/mine.yaml is search=mine
  {understood}     domain.understood=true: large factors on medical images,
                     for research only

examples:
  gensr upsample scene.tif output=fine
  gensr upsample a.nii.gz b.nii.gz factor=2 samples=16 search=posterior
  gensr upsample field.fits operator=gaussian:sigma=0.8 noise=0.02 seed=7
  gensr upsample stack.ome.tif domain.series=1 overwrite=true"""


def run(argv: Sequence[str], console: Console) -> int:
    """Run the command.

    Args:
        argv: arguments after ``upsample``.
        console: where to speak.

    Returns:
        The exit code.
    """
    arguments = parse(argv, [UNDERSTOOD], [CONFIG_DIR], KEYS["upsample"])
    if "--help" in arguments.switches:
        console.say(
            HELP.format(keys=table("upsample"), domains=domain_help(), config=CONFIG_DIR, understood=UNDERSTOOD)
        )
        return DONE
    from gensr.cli.asked import check_once
    from gensr.cli.config import UpsampleConfig, compose
    from gensr.cli.presets import chosen_preset

    config = compose("upsample", UpsampleConfig, arguments.pairs, arguments.valued.get(CONFIG_DIR))
    if not arguments.inputs:
        raise UsageError("no input given; write gensr upsample INPUT... [key=value...]")
    check_once(config)
    return _all(arguments, config, chosen_preset(config.search, said(arguments.pairs)), console)


def _all(arguments: Arguments, config: UpsampleConfig, search: Preset, console: Console) -> int:
    from gensr.cli.asked import runtime_of
    from gensr.cli.batch import Batch
    from gensr.scenes.inputs import expand

    batch = Batch(console)
    with console.warnings():
        found = expand(arguments.inputs, named_domain(config.domain))
    for note in found.notes:
        console.note(note)
    for text, error in found.failed:
        batch.fail(error, text)
    names: dict[Path, Path] = {}
    for item in found.inputs:
        try:
            _claim_name(item, config, names)
            batch.asked.append((item.path, _request(item, config, search, UNDERSTOOD in arguments.switches)))
            batch.doubts[item.path] = item.doubt
        except Exception as error:  # one failed input never stops the others
            batch.fail(error, item.path)
    return batch.run(runtime_of(config.runtime))


def _claim_name(item: Input, config: UpsampleConfig, names: dict[Path, Path]) -> None:
    """Refuse two inputs whose outputs would have one name."""
    folder = Path(config.output) if config.output else item.path.parent
    name = folder.absolute() / item.domain.stem(item.path)
    if name in names:
        raise OutputError(
            f"its outputs would have the names of those of {names[name]}; give another output= for one of them"
        )
    names[name] = item.path


def _request(item: Input, config: UpsampleConfig, search: Preset, understood: bool) -> Request:
    from gensr.cli.asked import request_of

    output = Path(config.output).expanduser() if config.output else item.path.absolute().parent
    asked = {name: getattr(config, name) for name in WRITING if name != "output"}
    request = request_of(item, config, search, output=output, **asked)
    if understood and "understood" in item.domain.defaults:
        return replace(request, options={**request.options, "understood": True})
    return request
