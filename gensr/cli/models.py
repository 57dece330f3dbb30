"""``gensr models``: which generators are installed, what their cards say, whether files are whole; adding some."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gensr.cli.arguments import parse
from gensr.cli.console import DONE, FAILED, Console
from gensr.cli.info import page
from gensr.cli.models_foreign import convert, inspect
from gensr.cli.models_keys import ACTIONS, checked
from gensr.cli.models_store import add, pull, remove
from gensr.errors import UsageError, nearest, ordinary

if TYPE_CHECKING:
    from gensr.priors.weights import Weights

CHANGING: Mapping[str, Callable[[Sequence[str], Mapping[str, str], Console], int]] = {
    "add": add,
    "pull": pull,
    "remove": remove,
    "inspect": inspect,
    "convert": convert,
}
"""Actions on other things than installed generators."""
HELP = """\
usage: gensr models list                     installed generators
       gensr models info NAME...             cards: units, data, licence, bias
       gensr models verify [NAME|FILE...]    check files against their digest;
                                             all that are installed if none
       gensr models add FILE... [name=]      install files under a name
       gensr models pull https://... sha256=HEX
       gensr models pull hf://OWNER/NAME[@REVISION][/PATH]
                                             fetch once, go on after a break,
                                             install what gensr wrote
       gensr models remove NAME...           delete what you installed
       gensr models inspect FILE             what a checkpoint of another
                                             program is, and what is unsafe
       gensr models convert FILE out=X.safetensors [licence=] [domain=] ...
                                             make a generator of it, once

A NAME may also be a .safetensors file. format=json prints JSON.
add and pull: existing=overwrite replaces a generator of the same name.
pull: offline=true takes only what was fetched before, seconds= is the patience
with a silent server. remove: downloads=true deletes every fetched file, too.
inspect and convert run nothing of a file, whatever it is called; several files
that belong together may be given. convert: name=, domain=, licence=, unit=,
pixel=, data=, bias=, alignment= are words for the card; low= and high= are what
the network makes of black and white, label= is a class of a conditional one."""


def run(argv: Sequence[str], console: Console) -> int:
    """Run the command.

    Args:
        argv: arguments after ``models``.
        console: where to speak.

    Returns:
        The exit code.
    """
    arguments = parse(argv, valued=["--out"], keys={key.name for keys in ACTIONS.values() for key in keys})
    if "--help" in arguments.switches:
        console.say(HELP)
        return DONE
    action, *names = arguments.inputs or ["list"]
    if action not in ACTIONS:
        raise UsageError(
            f"unknown action {action!r}{nearest(action, ACTIONS) or ';'} write gensr models {'|'.join(ACTIONS)}"
        )
    out = {"out": arguments.valued["--out"]} if "--out" in arguments.valued else {}
    pairs = checked(action, {**arguments.pairs, **out})
    if action in CHANGING:
        return CHANGING[action](names, pairs, console)
    return _show(action, names, pairs.get("format", "text"), console)


def _show(action: str, names: Sequence[str], form: str, console: Console) -> int:
    from gensr.priors import weights

    if not names and action == "info":
        raise UsageError(f"gensr models info needs a name; installed: {', '.join(sorted(weights.available()))}")
    if names and action == "list":
        raise UsageError(f"gensr models list takes no name; write gensr models info {names[0]}")
    read, failed = _read(names or sorted(weights.available()), console)
    if form == "json":
        from gensr.scenes.provenance import as_json

        console.say(as_json({"generators": [_summary(w) for w in read]}, indent=2))
    elif action == "list":
        console.say(_list(read))
    else:
        for found in read:
            console.say(f"{found.path}: whole, sha256 {found.digest}" if action == "verify" else page(_summary(found)))
    return FAILED if failed else DONE


def _read(names: Sequence[str], console: Console) -> tuple[list[Weights], int]:
    """Weights by name or path; a damaged file is one line, the others go on."""
    from gensr.priors import weights

    read, failed = [], 0
    for name in names:
        try:
            with ordinary(name):
                read.append(weights.read(weights.find(name)))
        except Exception as error:  # one damaged file never hides the others
            console.fail(error, name)
            failed += 1
    return read, failed


def _summary(found: Weights) -> dict[str, object]:
    size = Path(found.path).stat().st_size
    return {"file": str(found.path), **found.card.to_dict(), "sha256": found.digest, "bytes": size}


def _list(read: Sequence[Weights]) -> str:
    if not read:
        return "no generator is installed"
    rows = [("name", "family", "domain", "bands", "MB", "licence")]
    for found in read:
        card, size = found.card, Path(found.path).stat().st_size / 1e6
        rows.append((card.name, card.family, card.domain, str(card.bands), f"{size:.1f}", card.licence))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]) - 1)]
    return "\n".join("  ".join([*(f"{c:<{w}}" for c, w in zip(row, widths, strict=False)), row[-1]]) for row in rows)
