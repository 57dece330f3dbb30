"""``gensr benchmark``: every set, factor, noise level and search by every method; resumable; CSV, Markdown, HTML."""

from __future__ import annotations

import csv
import math
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gensr.errors import UsageError
from gensr.plan import choose_device
from gensr.progress import Progress
from gensr.search.presets import PRESETS
from gensr.weights import available, find, read

from . import page, runner
from .datasets import Case
from .journal import Journal
from .protocol import observe
from .sets import SETS, BenchmarkSet

HELP = """usage: gensr benchmark [key=value ...]

  data=DIR         data packs (default ../shared/data)
  output=DIR       tables and page (default benchmarks/results)
  cache=DIR        fitted moments of the competitors (default OUTPUT/.cache)
  domains=a,b      of {sets}
  factors=2,4,8    noise=0,0.01 (share of the peak; astronomy: its camera)    search=balanced,fast
  cases=100        most test pictures per cell      validation=40    most pictures behind the conformal factor
  seed=0           of random numbers      device=auto    cpu, cuda
  fresh=true       forget what an earlier run finished

Cells that are finished are kept in OUTPUT/benchmark.jsonl, so a run that was stopped goes on; cells that were made with
other weights or another number of pictures are computed again."""
FACTORS = (2, 4, 8)
"""Factors that divide the windows of the competitors."""
DEFAULTS = {
    "data": "../shared/data",
    "output": "benchmarks/results",
    "cache": "",
    "domains": ",".join(s.name for s in SETS),
    "factors": "2,4,8",
    "noise": "0,0.01",
    "search": "balanced",
    "cases": "100",
    "validation": "40",
    "seed": "0",
    "device": "auto",
    "fresh": "false",
}
HEAD = ("domain", "factor", "noise", "method", "cases")


@dataclass(frozen=True)
class Plan:
    """Parsed arguments."""

    data: Path
    output: Path
    cache: Path
    sets: Sequence[BenchmarkSet]
    factors: Sequence[int]
    noises: Sequence[float]
    searches: Sequence[str]
    cases: int
    validation: int
    seed: int
    device: str
    fresh: bool


def parse(argv: Sequence[str]) -> Plan:
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
    if given["fresh"] not in ("true", "false"):
        raise UsageError(f"fresh={given['fresh']}: expected true or false")
    return Plan(
        data,
        output,
        Path(given["cache"]) if given["cache"] else output / ".cache",
        [known[name] for name in _words(given, "domains", known)],
        [int(word) for word in _words(given, "factors", [str(f) for f in FACTORS])],
        [_number(given, "noise", word) for word in _words(given, "noise")],
        _words(given, "search", PRESETS),
        int(_number(given, "cases", whole=True)),
        int(_number(given, "validation", whole=True)),
        int(_number(given, "seed", whole=True, least=0)),
        choose_device(given["device"]),
        given["fresh"] == "true",
    )


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


def main(argv: Sequence[str]) -> int:
    """Run the command.

    Returns:
        0, or 1 if a generator of a set is missing.

    Raises:
        UsageError: see `parse`.
    """
    if any(word in ("-h", "--help") for word in argv):
        print(HELP.format(sets=", ".join(s.name for s in SETS)))
        return 0
    plan = parse(argv)
    plan.output.mkdir(parents=True, exist_ok=True)
    plan.cache.mkdir(parents=True, exist_ok=True)
    journal = Journal(plan.output / "benchmark.jsonl", plan.fresh)
    installed = available()
    missing = [s.name for s in plan.sets if s.generator not in installed]
    cells = [(s, f, n) for s in plan.sets if s.name not in missing for f in plan.factors for n in plan.noises]
    with Progress("benchmark", sys.stderr, unit="steps") as progress:
        counter = Counter(progress, len(cells) * len(plan.searches) * (plan.cases + plan.validation))
        for done, (item, factor, noise) in enumerate(cells, 1):
            run_cell(plan, journal, item, factor, noise, counter)
            counter.reach(done / len(cells))
            write(plan, journal)
    for name in missing:
        print(f"gensr: {name}: its generator is not installed; train it first", file=sys.stderr)
    print(f"wrote benchmark.csv, benchmark.md and benchmark.html in {plan.output}")
    return 1 if missing else 0


class Counter:
    """Counts pictures for the progress bar; a set with fewer than asked for jumps ahead at its end."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0
        progress(0, total)

    def tick(self) -> None:
        """One more picture."""
        self._done = min(self._done + 1, self._total)
        self._progress(self._done, self._total)

    def reach(self, share: float) -> None:
        """A share of everything is finished."""
        self._done = round(share * self._total)
        self._progress(self._done, self._total)


def run_cell(plan: Plan, journal: Journal, item: BenchmarkSet, factor: int, noise: float, counter: Counter) -> None:
    """Compute what is missing of one cell."""
    given: dict[str, Any] = {"cases": plan.cases}
    own = {**given, "validation": plan.validation, "seed": plan.seed, "weights": read(find(item.generator)).digest}
    keys = [_key(item, factor, noise, name) for name in ("competitors", *plan.searches)]
    if journal.has(keys[0], given) and all(journal.has(key, own) for key in keys[1:]):
        return
    cases = item.cases(plan.data, "test", plan.cases)
    fitted = runner.Fitted(plan.data, plan.cache)
    head = {"domain": item.name, "factor": factor, "noise": "camera" if item.flux and noise else noise}
    pairs = list(runner.competitor_rows(fitted, item, cases, factor, noise))
    journal.add(keys[0], given, {"rows": [{**head, **row} for row, _ in pairs]})
    for search, key in zip(plan.searches, keys[1:], strict=True):
        if journal.has(key, own):
            continue
        how = runner.How(search, plan.seed, plan.device)
        scale, level = runner.calibration(item, plan.data, factor, noise, how, plan.validation, counter.tick)
        row, _ = runner.gensr_row(item, cases, factor, noise, how, scale, counter.tick)
        entry: dict[str, Any] = {
            "rows": [{**head, **row}],
            "conformal": {f"x{factor} noise {level:.3g}": scale},
            "generator": item.generator,
        }
        if search == plan.searches[0] and noise == plan.noises[0]:
            entry["pictures"] = dict(_pictures(item, cases, pairs[-1][1], factor, noise, how))
        journal.add(key, own, entry)


def _pictures(
    item: BenchmarkSet, cases: Sequence[Case], lmmse: Sequence[runner.Array], factor: int, noise: float, how: runner.How
) -> Iterator[tuple[str, str]]:
    lows = observe(cases, factor, noise, flux=item.flux)
    for i in (len(cases) // 3, 2 * len(cases) // 3):
        case = cases[i]
        full = runner.answer(item, lows[i], factor, noise, case.peak, how, 1, case.name)
        yield f"{item.name} x{factor} {case.name}", page.panel(item, case, lows[i], lmmse[i], full, factor)


def _key(item: BenchmarkSet, factor: int, noise: float, name: str) -> str:
    return f"{item.name} x{factor} noise {noise:g} {name}"


def conformal_table(journal: Journal, generator: str) -> dict[str, float]:
    """Conformal factors of a generator's card, in the words of `gensr.plan.conformal_factor`."""
    found: dict[str, float] = {}
    for entry in journal.entries.values():
        if entry.get("generator") == generator and "conformal" in entry:
            for name, scale in entry["conformal"].items():
                found.setdefault(str(name), float(scale))
    return found


def write(plan: Plan, journal: Journal) -> None:
    """Write CSV, Markdown and HTML of all finished cells, in the order of the sets."""
    rows: list[runner.Row] = []
    pictures: dict[str, str] = {}
    for item in SETS:
        entries = [e for key, e in journal.entries.items() if key.startswith(f"{item.name} x")]
        for entry in entries:
            rows += entry["rows"]
            pictures |= entry.get("pictures", {})
    order = {s.name: i for i, s in enumerate(SETS)}
    rows.sort(key=lambda r: (order[str(r["domain"])], int(r["factor"]), r["noise"] not in (0, 0.0)))
    extra = list(dict.fromkeys(key for row in rows for key in row if key not in HEAD))
    with (plan.output / "benchmark.csv").open("w", newline="", encoding="utf-8") as stream:
        table = csv.DictWriter(stream, [*HEAD, *extra], lineterminator="\n")
        table.writeheader()
        table.writerows({k: f"{v:.5g}" if isinstance(v, float) else v for k, v in row.items()} for row in rows)
    preface = (
        "Held-out test splits. PSNR in dB, mean over pictures and pooled; astronomy in its stretched unit, photometry "
        "in per cent. lmmse: full-covariance patch LMMSE of 16 px (astronomy: flux LMMSE in 12 classes), fitted on the "
        "same training split. Coverage of nominal 90 % intervals before and after conformal scaling on other pictures."
    )
    (plan.output / "benchmark.md").write_text(page.markdown(rows, preface), encoding="utf-8")
    (plan.output / "benchmark.html").write_text(page.page(rows, pictures, preface), encoding="utf-8")
