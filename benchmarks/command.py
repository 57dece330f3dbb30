"""``gensr benchmark``: every set, factor, noise level, prior and search; resumable; CSV, Markdown, HTML."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gensr.cli.progress import Progress
from gensr.priors import weights
from gensr.priors.weights import available

from . import cells, page, speed
from . import search as latent
from .answers import Answer, How
from .cells import Cell
from .journal import Journal, substance
from .options import FACTORS, HELP, Schedule, parse
from .sets import FAMILIES, SETS, BenchmarkSet
from .tables import write

SHOWN = 2
"""Pictures per set, factor and generator on the page."""


def main(argv: Sequence[str]) -> int:
    """Run the command.

    Returns:
        0, or 1 if a set has none of the generators that were asked for.

    Raises:
        UsageError: see `gensr.benchmarks.options.parse`.
    """
    if argv and argv[0] == "search":
        return latent.main(argv[1:])
    if any(word in ("-h", "--help") for word in argv):
        factors = ",".join(map(str, FACTORS))
        print(HELP.format(sets=", ".join(s.name for s in SETS), families=", ".join(FAMILIES), factors=factors))
        return 0
    plan = parse(argv)
    plan.output.mkdir(parents=True, exist_ok=True)
    plan.cache.mkdir(parents=True, exist_ok=True)
    if plan.speed:
        return speed.run(plan.data, plan.output, plan.cache)
    journal = Journal(plan.output / "benchmark.jsonl", plan.fresh)
    installed = available()
    asked = {item.name: item.of(plan.families, installed) for item in plan.sets}
    cells = [
        Cell(item, plan.data, factor, noise, plan.cases, plan.draws)
        for item in plan.sets
        if asked[item.name]
        for factor in plan.factors
        for noise in plan.noises
    ]
    with Progress("benchmark", sys.stderr, unit="steps") as progress:
        steps = sum(len(asked[cell.item.name]) for cell in cells) * (plan.cases + plan.validation + plan.draws)
        counter = Counter(progress, steps)
        for done, cell in enumerate(cells, 1):
            run_cell(plan, journal, cell, asked[cell.item.name], counter)
            counter.reach(done / len(cells))
            write(plan.output, journal)
    return _missing(plan, asked)


def _missing(plan: Schedule, asked: Mapping[str, Sequence[str]]) -> int:
    """Say which generators are not installed, and where the tables are; the command's exit code."""
    for item in plan.sets:
        absent = [name for name in item.of(plan.families, item.generators) if name not in asked[item.name]]
        if absent:
            left = "" if asked[item.name] else "; nothing was computed"
            print(f"gensr: {item.name}: {', '.join(absent)} not installed; train it first{left}", file=sys.stderr)
    print(f"wrote benchmark.csv, benchmark.md and benchmark.html in {plan.output}")
    return 0 if all(asked.values()) else 1


class Counter:
    """Counts pictures for the progress bar; a cell with fewer than asked for jumps ahead at its end."""

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


def run_cell(plan: Schedule, journal: Journal, cell: Cell, generators: Sequence[str], counter: Counter) -> None:
    """Compute the parts of one cell that are missing: the competitors, and of every generator the mean and the draws.

    A part depends on nothing of the others, so new weights cost only what they change.
    """
    item, factor, noise = cell.item, cell.factor, cell.noise
    name = f"{item.name} x{factor} noise {noise:g}"
    head = {"domain": item.name, "factor": factor, "noise": "camera" if item.flux and noise else noise}
    fitted = cells.Fitted(plan.data, plan.cache)
    given: dict[str, Any] = {"cases": plan.cases, "draws": plan.draws}
    if not journal.has(f"{name} competitors", given):
        rows = [{**head, **row} for row in cells.competitor_rows(fitted, cell)]
        journal.add(f"{name} competitors", given, {"part": "competitors", "rows": rows})
    for generator in generators:
        own = {**given, "seed": plan.seed, "generator": generator, "weights": substance(weights.load(generator)[1])}
        for search in plan.searches:
            how = How(generator, search, plan.seed, plan.device)
            key, wanted = f"{name} {generator} {search}", {**own, "validation": plan.validation}
            if not journal.has(key, wanted):
                scale, level = cells.calibration(cell, how, plan.validation, counter.tick)
                row = cells.mean_row(cell, how, scale, counter.tick)
                factors = {f"x{factor} noise {level:.3g}": scale}
                entry = {"rows": [{**head, **row}], "conformal": factors, "generator": generator}
                journal.add(key, wanted, {"part": "mean", **entry})
        how = How(generator, plan.searches[0], plan.seed, plan.device)
        key = f"{name} {generator} {how.search} draws"
        if not journal.has(key, own):
            answers = cells.drawn(cell, how, counter.tick)
            rows = [{**head, **row} for row in cells.draw_rows(cell, how, answers)]
            pictures = dict(Pictures(cell, how, fitted)(answers)) if noise == plan.noises[0] else {}
            entry = {"rows": rows, "pictures": pictures, "generator": generator}
            journal.add(key, own, {"part": "draws", **entry})


@dataclass(frozen=True)
class Pictures:
    """Panels of a cell for the page."""

    cell: Cell
    how: How
    fitted: cells.Fitted

    def __call__(self, answers: Sequence[Answer]) -> Iterator[tuple[str, str]]:
        """Name and base64 JPEG of evenly spread cases."""
        cell = self.cell
        lmmse = self.fitted.lmmse(cell.item, cell.factor, cell.noise, cell.peak)
        for k in sorted({(i + 1) * len(answers) // (SHOWN + 1) for i in range(SHOWN)}):
            crop = cell.crops[k]
            low = cell.lows[crop.index]
            case = cell.cases[crop.index]
            linear = crop.cut(lmmse(low))
            title = f"{cell.item.name} x{cell.factor} {self.how.method} {case.name}"
            yield title, page.panel(cell, crop, linear, answers[k])


def conformal_table(journal: Journal, generator: str) -> dict[str, float]:
    """Conformal factors of a generator's card, in the words of `gensr.pipeline.plan.conformal_factor`."""
    found: dict[str, float] = {}
    for entry in journal.entries.values():
        if entry.get("generator") == generator and "conformal" in entry:
            for name, scale in entry["conformal"].items():
                found.setdefault(str(name), float(scale))
    return found


def first_set(generator: str) -> BenchmarkSet | None:
    """The first set that a generator answers for: the one its card speaks of."""
    return next((item for item in SETS if generator in item.generators), None)
