"""``gensr upsample``: every input through the one flow, each failure on its own line."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gensr.cli.arguments import Arguments, nearest, parse
from gensr.cli.console import DONE, FAILED, USAGE, Console
from gensr.cli.domains import domain_help, given_options, named_domain
from gensr.cli.keys import KEYS, MARKED, table
from gensr.cli.progress import Progress
from gensr.errors import OutputError, SearchError, UsageError

if TYPE_CHECKING:
    from gensr.cli.config import UpsampleConfig
    from gensr.pipeline.result import Result
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
    from gensr.cli.config import UpsampleConfig, compose

    config = compose("upsample", UpsampleConfig, arguments.pairs, arguments.valued.get(CONFIG_DIR))
    if not arguments.inputs:
        raise UsageError("no input given; write gensr upsample INPUT... [key=value...]")
    _check_once(config)
    return _all(arguments, config, chosen_preset(config.search), console)


def chosen_preset(node: Mapping[str, Any]) -> Preset:
    """The preset of the configuration node ``search``; one that the user changed says so in its name.

    Raises:
        UsageError: unknown key, or a value of the wrong type or out of range.
    """
    from gensr.cli.structure import build, changes
    from gensr.search.presets import PRESETS, Preset

    try:
        preset = build(Preset, node, "search")
    except SearchError as error:
        raise UsageError(f"search: {error}") from error
    known = PRESETS.get(preset.name, preset)
    changed = changes(known, preset)
    return replace(preset, name=f"{preset.name} with {', '.join(changed)}") if changed else known


def _check_once(config: UpsampleConfig) -> None:
    """Find what is wrong for every input before the first is opened; a weights file gets its full path."""
    from gensr.operators import parse_operator
    from gensr.priors import weights

    if config.operator is not None:
        parse_operator(config.operator, config.factor)
    if config.generator is None:
        return
    known = weights.available()
    if config.generator not in known and not Path(config.generator).exists():
        advice = nearest(config.generator, known) or ";"
        raise UsageError(
            f"generator={config.generator}: no such generator or file{advice} installed: {', '.join(known)}"
        )
    path = known.get(config.generator, Path(config.generator).absolute())
    weights.read(path)
    config.generator = config.generator if config.generator in known else str(path)


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
    for number, item in enumerate(found.inputs, 1):
        label = item.path.name if len(found.inputs) == 1 else f"[{number}/{len(found.inputs)}] {item.path.name}"
        with console.warnings(item.path):
            try:
                _claim_name(item, config, names)
                options = _options(item, config, UNDERSTOOD in arguments.switches)
                started_one = time.monotonic()
                result = _one(item, config, search, options, Progress(label, console.err))
                console.say(_line(item.path, result, time.monotonic() - started_one))
                for text in result.report.get("warnings", []):
                    console.note(f"{item.path}: warning: {text}")
                tally.done += 1
            except Exception as error:  # one failed input never stops the others
                _failed(tally, console, error, item.path)
    console.say(f"{tally.done} done, {tally.failed} failed, {time.monotonic() - started:.1f} s")
    return tally.code()


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


def _options(item: Input, config: UpsampleConfig, understood: bool) -> dict[str, Any]:
    options = given_options(config.domain, item.domain)
    return {**options, "understood": True} if understood and "understood" in item.domain.defaults else options


def _one(item: Input, config: UpsampleConfig, search: Preset, options: Mapping[str, Any], progress: Progress) -> Result:
    from gensr.pipeline.run import upsample

    with progress:
        return upsample(
            item.path,
            factor=config.factor,
            domain=item.domain.name,
            generator=config.generator,
            operator=config.operator,
            noise=config.noise,
            search=search,
            samples=config.samples,
            seed=config.seed,
            device=config.device,
            output=Path(config.output).expanduser() if config.output else item.path.absolute().parent,
            overwrite=config.overwrite,
            resume=config.resume,
            tile=config.tile,
            batch=config.batch,
            options=options,
            progress=progress,
        )


def _line(path: Path, result: Result, seconds: float) -> str:
    """What came out of one input, in one line."""
    consistency: Mapping[str, Any] = result.report.get("consistency", {})
    chi2, codes = consistency.get("chi2 per datum"), consistency.get("rms in codes")
    facts = [f"{seconds:.1f} s"]
    if chi2 is not None:
        facts.insert(0, f"residual {math.sqrt(chi2):.2f} sigma")
    elif codes is not None:
        facts.insert(0, f"residual {codes:.2g} codes rms")
    return f"{path} -> {_named(result.files)} ({', '.join(facts)})"


def _named(files: Sequence[Path]) -> str:
    """The first file in full, its relatives by what they add to its name."""
    if not files:
        return "nothing written"
    first, *others = files
    stem = first.name.partition(MARKED)[0] + MARKED
    return " + ".join([str(first), ", ".join(f.name.removeprefix(stem).lstrip("_") for f in others)]).removesuffix(
        " + "
    )
