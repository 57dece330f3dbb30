"""The words of ``gensr benchmark``."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gensr.errors import UsageError
from gensr.priors.device import choose_device
from gensr.search.presets import PRESETS

from .sets import FAMILIES, SETS, BenchmarkSet

HELP = """usage: gensr benchmark [key=value ...]
       gensr benchmark search [key=value ...]   latent searches side by side, see gensr benchmark search --help

  data=DIR         data packs (default ../shared/data)
  output=DIR       tables and page (default benchmarks/results)
  cache=DIR        fitted moments of the competitors (default OUTPUT/.cache)
  domains=a,b      of {sets}
  generators=a,b   families, of {families} (default: those that are installed)
  factors=4,8      of {factors}; noise=0,0.01 (share of the peak; astronomy: its camera)
  search=balanced  presets; samples are drawn with the first one
  cases=100        most test pictures per cell      validation=40    most pictures behind the conformal factor
  draws=40         most pictures per cell on which samples are drawn and texture is compared
  seed=0           of random numbers      device=auto    cpu, cuda
  fresh=true       forget what an earlier run finished
  speed=true       time x4 instead, see benchmarks/speed.py

Parts of cells that are finished are kept in OUTPUT/benchmark.jsonl, so a run that was stopped goes on; those that were
made with other weights or another number of pictures are computed again, and only those."""
FACTORS = (2, 4, 8)
"""Factors that divide the windows of the competitors."""
DEFAULTS = {
    "data": "../shared/data",
    "output": "benchmarks/results",
    "cache": "",
    "domains": ",".join(s.name for s in SETS),
    "generators": ",".join(FAMILIES),
    "factors": "4,8",
    "noise": "0,0.01",
    "search": "balanced",
    "cases": "100",
    "validation": "40",
    "draws": "40",
    "seed": "0",
    "device": "auto",
    "fresh": "false",
    "speed": "false",
}


@dataclass(frozen=True)
class Schedule:
    """Parsed arguments."""

    data: Path
    output: Path
    cache: Path
    sets: Sequence[BenchmarkSet]
    families: Sequence[str]
    factors: Sequence[int]
    noises: Sequence[float]
    searches: Sequence[str]
    cases: int
    validation: int
    draws: int
    seed: int
    device: str
    fresh: bool
    speed: bool


def parse(argv: Sequence[str]) -> Schedule:
    """Arguments of the command.

    Raises:
        UsageError: unknown key or impossible value.
    """
    given = dict(DEFAULTS)
    for word in argv:
        key, separator, value = word.partition("=")
        if not separator or key not in DEFAULTS:
            raise UsageError(f"unknown argument {word!r}; keys: {', '.join(DEFAULTS)}")
        given[key] = value
    known = {s.name: s for s in SETS}
    data, output = Path(given["data"]), Path(given["output"])
    if not data.is_dir():
        raise UsageError(f"data={data}: no such folder; give the folder that holds the data packs")
    return Schedule(
        data,
        output,
        Path(given["cache"]) if given["cache"] else output / ".cache",
        [known[name] for name in _words(given, "domains", known)],
        _words(given, "generators", FAMILIES),
        [int(word) for word in _words(given, "factors", [str(f) for f in FACTORS])],
        [_number(given, "noise", word) for word in _words(given, "noise")],
        _words(given, "search", PRESETS),
        int(_number(given, "cases", whole=True)),
        int(_number(given, "validation", whole=True)),
        int(_number(given, "draws", whole=True)),
        int(_number(given, "seed", whole=True, least=0)),
        choose_device(given["device"]),
        _flag(given, "fresh"),
        _flag(given, "speed"),
    )


def _flag(given: Mapping[str, str], key: str) -> bool:
    if given[key] not in ("true", "false"):
        raise UsageError(f"{key}={given[key]}: expected true or false")
    return given[key] == "true"


def _words(given: Mapping[str, str], key: str, known: Collection[str] = ()) -> list[str]:
    """The words of a list, each once, all known."""
    words = list(dict.fromkeys(word.strip() for word in given[key].split(",") if word.strip()))
    wrong = [word for word in words if known and word not in known]
    if wrong or not words:
        raise UsageError(
            f"{key}={given[key]}: {(wrong or ['nothing'])[0]!r} is none of {', '.join(known) or 'numbers'}"
        )
    return words


def _number(given: Mapping[str, str], key: str, word: str = "", whole: bool = False, least: int = 1) -> float:
    text = word or given[key]
    low = least if whole else 0
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (low <= value < 1e9) or (whole and value != int(value)):
        raise UsageError(f"{key}={given[key]}: expected {'a whole number' if whole else 'numbers'} from {low}")
    return value
