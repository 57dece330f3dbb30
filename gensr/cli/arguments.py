"""Splitting a command line into inputs, ``key=value`` pairs and switches."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from gensr.errors import UsageError, nearest

SWITCHES = {
    "--traceback": "show the trace of every error (also GENSR_TRACEBACK=1)",
    "--help": "show help and leave (also -h)",
}
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z0-9_]+)*")


@dataclass
class Arguments:
    """What stood on the command line after the name of the command.

    Attributes:
        inputs: everything that is neither pair nor switch, in order.
        pairs: ``key=value``; the last of a doubled key counts.
        switches: switches that were given, without value.
        valued: switches that were given with a value.
    """

    inputs: list[str] = field(default_factory=list)
    pairs: dict[str, str] = field(default_factory=dict)
    switches: set[str] = field(default_factory=set)
    valued: dict[str, str] = field(default_factory=dict)


def said(pairs: Mapping[str, str]) -> list[str]:
    """Numbers of a search that were given on the command line, without their group."""
    return [name.removeprefix("search.") for name in pairs if name.startswith("search.")]


def is_pair(text: str) -> bool:
    """Whether an argument is ``key=value``: no file of that name, and a key before the first ``=``.

    >>> is_pair("factor=4"), is_pair("folder/a=b.tif"), is_pair("scan_*=1.tif")
    (True, False, False)
    """
    key, sign, _ = text.partition("=")
    return bool(sign) and _KEY.fullmatch(key) is not None and not os.path.lexists(text)


def parse(
    argv: Sequence[str], switches: Iterable[str] = (), valued: Iterable[str] = (), keys: Iterable[str] = ()
) -> Arguments:
    """Split arguments; after ``--`` everything is an input.

    Args:
        argv: arguments after the command's name.
        switches: switches of this command besides `SWITCHES`.
        valued: switches that take a value, as ``--name VALUE`` or ``--name=VALUE``.
        keys: keys of this command, for the advice on ``--key``.

    Raises:
        UsageError: an unknown switch, or one that lacks its value.
    """
    found = Arguments()
    plain, taking, keys = {*SWITCHES, *switches}, set(valued), tuple(keys)
    words = iter(argv)
    for word in words:
        name, sign, value = word.partition("=")
        if word == "--":
            found.inputs.extend(words)
        elif word in ("-h", *plain):
            found.switches.add("--help" if word == "-h" else word)
        elif name in taking:
            text = value if sign else next(words, "")
            if not text:
                raise UsageError(f"{name} lacks its value; write {name} VALUE")
            found.valued[name] = text
        elif word.startswith("-") and not os.path.lexists(word):
            raise UsageError(_unknown_switch(word, name, value, sorted(plain | taking), keys))
        elif is_pair(word):
            found.pairs[name] = value
        else:
            found.inputs.append(word)
    return found


def _unknown_switch(word: str, name: str, value: str, known: list[str], keys: tuple[str, ...]) -> str:
    key = name.lstrip("-").replace("-", "_")
    if key in keys:
        return f"unknown option {word!r}; write {key}={value or 'VALUE'}"
    return (
        f"unknown option {word!r}{nearest(name, known)}; options: {', '.join(known)}; a file of that name goes after --"
    )
