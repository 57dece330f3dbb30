"""What ``info`` and ``check`` have in common: inputs one after the other, a page of facts of each, as text or JSON."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from gensr.cli.arguments import parse, said
from gensr.cli.console import DONE, FAILED, USAGE, Console
from gensr.cli.domains import domain_help, named_domain
from gensr.cli.keys import KEYS, table
from gensr.errors import UsageError, ordinary

if TYPE_CHECKING:
    from gensr.cli.config import CheckConfig, InfoConfig
    from gensr.scenes.inputs import Input
    from gensr.search.presets import Preset

Config = TypeVar("Config", "InfoConfig", "CheckConfig")


def inquire(
    command: str,
    words: str,
    schema: Callable[[], type[Config]],
    answer: Callable[[Input, Config, Preset], dict[str, Any]],
    argv: Sequence[str],
    console: Console,
) -> int:
    """Run such a command.

    Args:
        command: its name.
        words: its help, with places for ``keys`` and ``domains``.
        schema: the class of its configuration, which help does without.
        answer: the page of one input; as text it prints it, too.
        argv: arguments after the command.
        console: where to speak.

    Returns:
        The exit code: whether every input got its page.

    Raises:
        UsageError: impossible words, or no input.
    """
    arguments = parse(argv, valued=["--config-dir"], keys=KEYS[command])
    if "--help" in arguments.switches:
        console.say(words.format(keys=table(command), domains=domain_help()))
        return DONE
    from gensr.cli.asked import check_once
    from gensr.cli.config import compose
    from gensr.cli.presets import chosen_preset
    from gensr.scenes.inputs import expand
    from gensr.scenes.scene import Folder

    config = compose(command, schema(), arguments.pairs, arguments.valued.get("--config-dir"))
    if not arguments.inputs:
        raise UsageError(f"no input given; write gensr {command} INPUT... [key=value...]")
    check_once(config, console)
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
                    pages.append(answer(item, config, search))
            except Exception as error:  # one failed input never stops the others
                codes.append(console.fail(error, item.path))
    if config.format == "json":
        from gensr.scenes.provenance import as_json

        console.say(as_json({"inputs": pages}, indent=2))
    if not codes:
        return DONE
    return USAGE if not pages and set(codes) == {USAGE} else FAILED
