"""``gensr upsample``: every input through the one flow, each failure on its own line."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gensr.cli.arguments import Arguments, parse, said
from gensr.cli.console import DONE, FAILED, USAGE, Console
from gensr.cli.domains import domain_help, named_domain
from gensr.cli.keys import KEYS, WRITING, table
from gensr.cli.progress import Progress
from gensr.errors import GensrError, OutputError, UsageError
from gensr.scenes.names import MARKED

if TYPE_CHECKING:
    from gensr.cli.config import UpsampleConfig
    from gensr.pipeline.many import Outcome
    from gensr.pipeline.request import Request
    from gensr.runners.base import Runner
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


@dataclass
class Tally:
    """Counts of a run."""

    done: int = 0
    failed: int = 0
    usage: int = 0

    def code(self) -> int:
        """Exit code: wrong usage only if nothing else happened."""
        if not self.failed:
            return DONE
        return USAGE if self.usage == self.failed and not self.done else FAILED


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
    from gensr.scenes.inputs import expand

    started, tally = time.monotonic(), Tally()
    domain = named_domain(config.domain)
    with console.warnings():
        found = expand(arguments.inputs, domain)
    for note in found.notes:
        console.note(note)
    for text, error in found.failed:
        _failed(tally, console, error, text)
    names: dict[Path, Path] = {}
    asked: list[tuple[Path, Request]] = []
    for item in found.inputs:
        try:
            _claim_name(item, config, names)
            asked.append((item.path, _request(item, config, search, UNDERSTOOD in arguments.switches)))
        except Exception as error:  # one failed input never stops the others
            _failed(tally, console, error, item.path)
    _answer(asked, config, tally, console)
    console.say(f"{tally.done} done, {tally.failed} failed, {time.monotonic() - started:.1f} s")
    return tally.code()


def _answer(asked: list[tuple[Path, Request]], config: UpsampleConfig, tally: Tally, console: Console) -> None:
    """Every input in turn; on a cluster small files are spread first, like tiles."""
    from gensr.cli.asked import runtime_of
    from gensr.pipeline.many import outcome
    from gensr.runners.choose import runner

    if not asked:
        return
    runtime = runtime_of(config.runtime)
    with runner(runtime.name, runtime.address, runtime.workers) as where:
        rest = _spread(asked, where, tally, console) if where.remote else asked
        for number, (path, request) in enumerate(rest, 1):
            if where.lost:
                left = len(rest) - number + 1
                console.note(f"{left} more {'input has' if left == 1 else 'inputs have'} no answer")
                tally.failed += left
                return
            label = path.name if len(rest) == 1 else f"[{number}/{len(rest)}] {path.name}"
            with console.warnings(path):
                with Progress(label, console.err) as progress:
                    found = outcome(request, progress, where)
                _tell(path, found, tally, console)


def _spread(
    asked: list[tuple[Path, Request]], where: Runner, tally: Tally, console: Console
) -> list[tuple[Path, Request]]:
    """Answer small files whole, if there are several; what is left comes back."""
    from gensr.pipeline.many import is_small, spread

    small = [k for k, (_, request) in enumerate(asked) if is_small(request)]
    if len(small) < 2:
        return asked
    left = set(range(len(asked)))
    with console.warnings(), Progress(f"{len(small)} files", console.err, unit="files") as progress:
        progress(0, len(small))
        try:
            for done, (k, found) in enumerate(spread([asked[k][1] for k in small], where), 1):
                progress(done, len(small))
                if found is not None:
                    left.discard(small[k])
                    _tell(asked[small[k]][0], found, tally, console)
        except GensrError as error:
            console.fail(error)
            if not where.lost:
                tally.failed += len(left.intersection(small))
                left.difference_update(small)
    return [asked[k] for k in sorted(left)]


def _tell(path: Path, found: Outcome, tally: Tally, console: Console) -> None:
    if found.error is None:
        console.say(_line(path, found))
    for text in found.notes:
        console.note(f"{path}: warning: {text}")
    if found.error is not None:
        _failed(tally, console, found.error, path)
        return
    for text in found.report.get("warnings", []):
        console.note(f"{path}: warning: {text}")
    tally.done += 1


def _failed(tally: Tally, console: Console, error: Exception, where: str | Path) -> None:
    tally.failed += 1
    tally.usage += console.fail(error, where) == USAGE


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


def _line(path: Path, found: Outcome) -> str:
    """What came out of one input, in one line."""
    report = found.report
    consistency: Mapping[str, Any] = report.get("consistency", {})
    chi2, codes = consistency.get("chi2 per datum"), consistency.get("rms in codes")
    facts = [f"{found.seconds:.1f} s"]
    if chi2 is not None:
        facts.insert(0, f"residual {math.sqrt(chi2):.2f} sigma")
    elif codes is not None:
        facts.insert(0, f"residual {codes:.2g} codes rms")
    by = ", ".join(filter(None, (report.get("input", {}).get("domain"), report.get("generator", {}).get("name"))))
    return f"{path} -> {_named(found.files)} ({'; '.join(filter(None, (by, ', '.join(facts))))})"


def _named(files: Sequence[Path]) -> str:
    """The first file in full, its relatives by what they add to its name."""
    if not files:
        return "nothing written"
    first, *others = files
    stem = first.name.partition(MARKED)[0] + MARKED
    return " + ".join([str(first), ", ".join(f.name.removeprefix(stem).lstrip("_") for f in others)]).removesuffix(
        " + "
    )
