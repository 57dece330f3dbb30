"""``gensr train``: hands ``key=value`` pairs to a generator family that can train."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from gensr import registry
from gensr.cli.arguments import parse
from gensr.cli.console import DONE, Console
from gensr.cli.progress import Progress
from gensr.errors import UsageError, nearest
from gensr.priors import families

HELP = """\
usage: gensr train generator=FAMILY key=value...

Trains a generator and writes a .safetensors file with its card.

families that train, and their keys:
{families}

example:
  gensr train generator=gaussian domain=microscopy data=crops/"""


@runtime_checkable
class Trainer(Protocol):
    """A generator family that trains.

    Attributes:
        train_options: name to help of every option of `train`.
    """

    train_options: Mapping[str, str]

    def train(self, options: Mapping[str, str], progress: Callable[[int, int], None] | None) -> Path:
        """Train and write a weights file.

        Args:
            options: texts by name, names already checked.
            progress: called with steps done and steps in all.

        Raises:
            UsageError: a missing option or an impossible value.
        """


def run(argv: Sequence[str], console: Console) -> int:
    """Run the command.

    Args:
        argv: arguments after ``train``.
        console: where to speak.

    Returns:
        The exit code.
    """
    arguments = parse(argv)
    if "--help" in arguments.switches:
        console.say(HELP.format(families=_families()))
        return DONE
    if arguments.inputs:
        raise UsageError(f"{arguments.inputs[0]!r} is no key=value; write for example data={arguments.inputs[0]}")
    options = dict(arguments.pairs)
    name = options.pop("generator", "")
    if not name:
        raise UsageError(f"generator= is missing; families: {', '.join(registry.names('generators'))}")
    family = trainer(name)
    for key in options:
        if key not in family.train_options:
            advice = nearest(key, family.train_options) or ";"
            raise UsageError(f"unknown key {key!r}{advice} keys: generator, {', '.join(family.train_options)}")
    with Progress(name, console.err, unit="share") as progress:
        path = family.train(options, progress)
    console.say(f"wrote {path}; try gensr upsample INPUT generator={path}")
    return DONE


def trainer(name: str) -> Trainer:
    """The family of a name, if it trains.

    Raises:
        UsageError: no such family, or one that does not train.
    """
    known = registry.names("generators")
    if name not in known:
        raise UsageError(
            f"generator={name}: expected a family{nearest(name, known) or ';'} families: {', '.join(known)}"
        )
    family: object = families.family(name)
    if not isinstance(family, Trainer):
        raise UsageError(f"generator={name}: this family cannot be trained with gensr; see its documentation")
    return family


def _families() -> str:
    lines = []
    for name in registry.names("generators"):
        family: object = families.family(name)
        if isinstance(family, Trainer):
            lines.append(f"  {name}")
            for key, text in family.train_options.items():
                first = f"    {f'{key}=':<12} "
                lines += textwrap.wrap(text, 78, initial_indent=first, subsequent_indent=" " * len(first))
    return "\n".join(lines) or "  none is installed"
