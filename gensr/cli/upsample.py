"""``gensr upsample``: every input through the one flow, each failure on its own line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from gensr.cli import sweep
from gensr.cli.arguments import Arguments, parse, said
from gensr.cli.console import DONE, Console
from gensr.cli.domains import domain_help, named_domain
from gensr.cli.keys import KEYS, WRITING, table
from gensr.errors import OutputError, UsageError
from gensr.scenes.door import at_home

if TYPE_CHECKING:
    from gensr.cli.config import UpsampleConfig
    from gensr.pipeline.request import Request
    from gensr.scenes.inputs import Input
    from gensr.search.presets import Preset

UNDERSTOOD = "--i-understand"
CONFIG_DIR, CONFIG, SHOW = "--config-dir", "--config", "--cfg"

HELP = """\
usage: gensr upsample INPUT... [key=value...]

Inputs are files, folders (every image in it) or globs (quoted or not; ** enters
sub-folders). What holds "=" before the first path separator is a key; a file of
that name that exists is an input, and so is everything after --.

keys [default]:
{keys}

options of domains, as domain.KEY=VALUE:
{domains}

  -m                 a sweep: -m factor=2,4 seed=1,2 is four runs; quote a comma
                     that belongs to a value twice: noise="'2,200'"
  --config FILE      the keys and inputs of a file, such as the _run.yaml that
                     lies beside every output; the command line goes before it
  --cfg job          show the keys of the run, and do nothing
  {config} DIR   presets of your own: DIR/search/mine.yaml is search=mine
  {understood}     domain.understood=true: large factors on medical images,
                     for research only

Faces: not for identification, evidence or biometrics. A generated face is an
invention that explains the data; it is not the face of a particular person.

examples:
  gensr upsample scene.tif output=fine
  gensr upsample a.nii.gz b.nii.gz factor=2 samples=16 search=posterior
  gensr upsample field.fits operator=gaussian:sigma=0.8 noise=0.02 seed=7
  gensr upsample stack.ome.tif domain.series=1 overwrite=true
  gensr upsample -m a.tif factor=2,4 output=both
  gensr upsample spectrum.fits factor=1x4
  gensr upsample --config fine/a_x4_generated_run.yaml output=again"""


def run(argv: Sequence[str], console: Console) -> int:
    """Run the command.

    Args:
        argv: arguments after ``upsample``.
        console: where to speak.

    Returns:
        The exit code.
    """
    arguments = parse(argv, [UNDERSTOOD, *sweep.SWITCHES], [CONFIG_DIR, CONFIG, SHOW], KEYS["upsample"])
    if "--help" in arguments.switches:
        console.say(
            HELP.format(keys=table("upsample"), domains=domain_help(), config=CONFIG_DIR, understood=UNDERSTOOD)
        )
        return DONE
    if CONFIG in arguments.valued:
        from gensr.cli.runfile import with_file

        arguments = with_file(arguments, arguments.valued[CONFIG])
    return answer("upsample", arguments, console)


def answer(command: str, arguments: Arguments, console: Console) -> int:
    """Answer every input of a command line whose words are those of ``upsample``.

    Args:
        command: as the user called it.
        arguments: of the command line.
        console: where to speak.

    Returns:
        The exit code.
    """
    from gensr.cli.config import UpsampleConfig, as_yaml, compose

    many = bool(arguments.switches.intersection(sweep.SWITCHES))
    jobs = sweep.jobs(arguments.pairs) if many else [sweep.Job(arguments.pairs)]
    configs = [compose("upsample", UpsampleConfig, job.pairs, arguments.valued.get(CONFIG_DIR)) for job in jobs]
    if SHOW in arguments.valued:
        if arguments.valued[SHOW] != "job":
            raise UsageError(f"{SHOW} {arguments.valued[SHOW]}: expected job, the keys of this run")
        console.say("---\n".join(map(as_yaml, configs)).rstrip())
        return DONE
    if not arguments.inputs:
        raise UsageError(f"no input given; write gensr {command} INPUT... [key=value...]")
    return _all(arguments, list(zip(jobs, configs, strict=True)), console)


def _all(arguments: Arguments, jobs: list[tuple[sweep.Job, UpsampleConfig]], console: Console) -> int:
    from gensr.cli.asked import check_once, runtime_of
    from gensr.cli.batch import Batch
    from gensr.cli.presets import chosen_preset
    from gensr.scenes.inputs import expand

    searches = []
    for _, config in jobs:
        check_once(config, console)
        searches.append(chosen_preset(config.search, said(arguments.pairs)))
    batch, first = Batch(console, arguments), jobs[0][1]
    runtime = runtime_of(first.runtime)
    here = Path(first.output or ".").expanduser()
    with console.warnings():
        found = expand(arguments.inputs, named_domain(first.domain), remote=here if first.remote else None)
    for note in found.notes:
        console.note(note)
    for text, error in found.failed:
        batch.fail(error, text)
    names: dict[Path, Path] = {}
    for (job, config), search in zip(jobs, searches, strict=True):
        for item in found.inputs:
            try:
                request = _request(item, config, search, UNDERSTOOD in arguments.switches)
                request = replace(request, output=Path(str(request.output)) / job.folder)
                _claim_name(item, request, names)
                batch.asked.append((item.path, request))
                batch.doubts[item.path] = item.doubt
            except Exception as error:  # one failed input never stops the others
                batch.fail(error, item.path)
    return batch.run(runtime)


def _claim_name(item: Input, request: Request, names: dict[Path, Path]) -> None:
    """Refuse two inputs whose outputs would have one name."""
    from gensr.scenes.names import Names

    name = Path(str(request.output)).absolute() / Names(item.domain.stem(item.path), request.times).mean("")
    if name in names:
        raise OutputError(
            f"its outputs would have the names of those of {names[name]}; give another output= for one of them"
        )
    names[name] = item.path


def _request(item: Input, config: UpsampleConfig, search: Preset, understood: bool) -> Request:
    from gensr.cli.asked import request_of

    output = at_home(config.output) if config.output else item.path.absolute().parent
    asked = {name: getattr(config, name) for name in WRITING if name != "output"}
    request = request_of(item, config, search, output=output, **asked)
    if understood and "understood" in item.domain.defaults:
        return replace(request, options={**request.options, "understood": True})
    return request
