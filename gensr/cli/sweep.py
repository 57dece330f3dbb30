"""Several values of a key in one command: ``-m factor=2,4 seed=1,2`` is four runs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

from gensr.errors import UsageError

SWITCHES = ("-m", "--multirun")
MOST = 1000
"""Runs of one sweep."""
_OPENING, _CLOSING = "([{", ")]}"
_UNSAFE = re.compile(r"[^\w.=,+-]")


@dataclass(frozen=True)
class Job:
    """One run of a sweep.

    Attributes:
        pairs: ``key=value``, one value each.
        folder: below the folder of the outputs, where outputs of several runs would have one name; "" for none.
    """

    pairs: Mapping[str, str]
    folder: str = ""


def jobs(pairs: Mapping[str, str]) -> list[Job]:
    """Every combination of the values, the last key changing fastest.

    Outputs that differ in the factor have names that differ. Values of other keys get a folder each.

    Raises:
        UsageError: no key has several values, or there are too many runs.

    >>> [(dict(job.pairs), job.folder) for job in jobs({"factor": "2,4", "noise": "'1,2'"})]
    [({'factor': '2', 'noise': '1,2'}, ''), ({'factor': '4', 'noise': '1,2'}, '')]
    >>> [job.folder for job in jobs({"seed": "1,2", "output": "fine"})]
    ['seed=1', 'seed=2']
    """
    values = {name: split(text) for name, text in pairs.items()}
    swept = [name for name, texts in values.items() if len(texts) > 1]
    if not swept:
        raise UsageError("-m needs a key with several values, such as factor=2,4 (unequal factors are written 2x4)")
    for name in ("output", "domain", "runtime"):
        if name in swept:
            raise UsageError(f"{name}={pairs[name]}: one for the whole sweep; a value with a comma is quoted twice")
    count = 1
    for texts in values.values():
        count *= len(texts)
    if count > MOST:
        raise UsageError(f"-m: {count} runs; at most {MOST} go into one command")
    apart = [name for name in swept if name != "factor"]
    found = []
    for chosen in product(*values.values()):
        one = dict(zip(values, chosen, strict=True))
        found.append(Job(one, ",".join(_UNSAFE.sub("_", f"{name}={one[name]}") for name in apart)))
    folders = {job.folder for job in found}
    if len(folders) * len(values.get("factor", [""])) != len(found):
        raise UsageError("-m: values of two runs differ only in signs that no folder can be named after")
    return found


def split(text: str) -> list[str]:
    """Parts between commas that stand in no brackets and no quotes; a part that is quoted loses its quotes.

    >>> split("2, 4"), split("[1,2],[3]"), split("'2,200'"), split("")
    (['2', '4'], ['[1,2]', '[3]'], ['2,200'], [''])
    """
    parts, depth, quote = [""], 0, ""
    for sign in text:
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "'\"":
            quote = sign
        elif sign in _OPENING:
            depth += 1
        elif sign in _CLOSING:
            depth -= 1
        elif sign == "," and depth <= 0:
            parts.append("")
            continue
        parts[-1] += sign
    stripped = [part.strip() for part in parts]
    return [part[1:-1] if len(part) > 1 and part[0] == part[-1] in "'\"" else part for part in stripped]
