"""How long an answer takes: ``python -m gensr.benchmarks.speed data=DIR output=DIR``.

``gensr benchmark speed=true`` is the same. Microscopy and faces at x4 with 1 % noise, by the patch LMMSE, both families
of priors, and a plain latent search through the network's map from noise to image. It is stopped when it explains the
data as well as a sample of the network does (chi square per datum), so that times are of equal residual; without noise
the network is exact and no gradient search ever is. Everything runs in one process, with one and with two threads.
"""

from __future__ import annotations

import csv
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gensr.pipeline.plan import Plan
from gensr.pipeline.reconstruct import TileResult, TileWork
from gensr.pipeline.reconstruct import observe as observe_images
from gensr.priors.observation import Observation
from gensr.priors.weights import available
from gensr.search.first_order import Adam
from gensr.search.loop import Solver, solve
from gensr.search.problem import Problem
from gensr.search.pulse import Pulse
from gensr.values.random import Stream

from .answers import Array, How, settled_for, tile_of
from .cells import Fitted
from .crops import busiest
from .protocol import observe
from .scores import Row
from .sets import FAMILIES, NETWORKS, SETS, BenchmarkSet, family_of

SUBJECTS = ("microscopy", "faces")
FACTOR, NOISE = 4, 0.01
TILE = 64
DRAWS = 8
THREADS = (1, 2)
LEAST = 0.5
"""Seconds over which a short call is repeated."""
STEPS = 200
"""Most steps of the latent search."""
RATE = 0.05
COLUMNS = ("domain", "threads", "method", "pixels", "seconds", "s_per_tile", "s_per_Mpx", "ratio", "chi2", "steps")


@dataclass(frozen=True)
class Timed:
    """One observation and everything that was settled about it beforehand.

    Attributes:
        item: its set.
        low: (band, y, x).
        peak: range of the picture.
    """

    item: BenchmarkSet
    low: Array
    peak: float

    @property
    def pixels(self) -> int:
        """Refined pixels, bands not counted."""
        return int(self.low.shape[1] * self.low.shape[2]) * FACTOR**2

    def plan(self, generator: str, samples: int, search: str = "balanced") -> Plan:
        """What is settled for a generator."""
        how = How(generator, search, device="cpu")
        return settled_for(self.item, self.low, FACTOR, NOISE, self.peak, how, samples, self.item.name)[0]

    def data(self, plan: Plan) -> Observation:
        """The observation in generator units, told to be noisy."""
        tile = tile_of(plan, None)
        return replace(observe_images([plan.scene.read(0, tile.read)], plan.task, tile), exact=False)


def subject(name: str, root: Path, side: int = TILE) -> Timed:
    """The observation of one picture: its busiest tile of a side for fields, the whole of an aligned picture."""
    item = next(s for s in SETS if s.name == name)
    case = item.cases(root, "test", 1)[0]
    if item.percentiles is not None:
        row, col, rows, cols = busiest(case.image, side)
        case = replace(case, image=case.image[:, row : row + rows, col : col + cols])
    return Timed(item, observe([case], FACTOR, NOISE)[0], case.peak)


def timed(call: Callable[[], Any], least: float) -> float:
    """Median seconds of a call, after one that is not counted, over at least ``least`` seconds."""
    call()
    spent: list[float] = []
    while sum(spent) < least or len(spent) < 3:
        started = time.perf_counter()
        call()
        spent.append(time.perf_counter() - started)
    return float(np.median(spent))


def _answer(plan: Plan, found: list[TileResult]) -> None:
    found.append(TileWork(plan.scene, plan.task)((tile_of(plan, None),))[0])


def rows_of(
    one: Timed, fitted: Fitted, generators: Sequence[str], threads: int, steps: int = STEPS, least: float = LEAST
) -> Iterator[Row]:
    """Rows of one subject at one number of threads; short calls are repeated over ``least`` seconds."""
    head: Row = {"domain": one.item.name, "threads": threads, "pixels": one.pixels}

    def row(method: str, seconds: float, **more: float | int) -> Row:
        rate = seconds / one.pixels
        return {
            **head,
            "method": method,
            "seconds": seconds,
            "s_per_tile": rate * TILE**2,
            "s_per_Mpx": rate * 1e6,
        } | more

    torch.set_num_threads(threads)
    linear = fitted.lmmse(one.item, FACTOR, NOISE, one.peak)
    yield row("lmmse", timed(lambda: linear(one.low), least))
    for generator in generators:
        family = family_of(generator)
        result: list[TileResult] = []
        seconds = timed(partial(_answer, one.plan(generator, 0), result), least)
        chi2 = result[0].residual["chi2"] / result[0].residual["count"]
        yield row(f"{family} mean and std", seconds, chi2=chi2)
        seconds = timed(partial(_answer, one.plan(generator, DRAWS), []), least)
        yield row(f"{family} mean, std and {DRAWS} samples", seconds)
    network = next((name for name in generators if family_of(name) in NETWORKS), None)
    if network is not None:
        yield from _searches(one, network, row, steps)


def _searches(one: Timed, network: str, row: Callable[..., Row], steps: int) -> Iterator[Row]:
    """Latent searches stopped at the residual of the network's own samples."""
    plan = one.plan(network, 0)
    data, generator = one.data(plan), plan.task.generator
    shape = (*data.y.shape[:2], *data.shape)
    with torch.no_grad():
        sample = generator.draw(data, lambda k: Stream(0).child("speed", k).normal(shape))
        target = float(Problem(generator, data, {}).chi2(data.operator.forward(sample)).mean())
    aim = replace(data, variance=data.variance * target)  # chi square 1 there is the network's residual
    solvers: tuple[tuple[str, Solver[Any]], ...] = (
        ("adam", Adam(steps, RATE)),
        ("pulse", Pulse(min(steps, 100), eps=1e-9)),
    )
    for name, solver in solvers:
        problem = Problem(generator, aim, {})
        keys = [Stream(0).child("start", k) for k in range(len(aim.y))]
        start = problem.spec.flatten(problem.spec.sample(keys))
        started = time.perf_counter()
        found = solve(solver, problem, start, discrepancy_stop=True)
        seconds = time.perf_counter() - started
        used = int(found.steps.max())
        yield row(
            f"{family_of(network)}, one latent search, {name}",
            seconds,
            chi2=target * float(found.chi2.max()),
            steps=used,
        )


def run(root: Path, output: Path, cache: Path, steps: int = STEPS) -> int:
    """Time everything that is installed and write ``speed.csv`` and ``speed.md``; the exit code of the command."""
    rows: list[Row] = []
    kept = torch.get_num_threads()
    for name in SUBJECTS:
        one = subject(name, root)
        generators = one.item.of(FAMILIES, available())
        for absent in set(one.item.generators) - set(generators):
            print(f"gensr: {name}: {absent} not installed; left out", file=sys.stderr)
        for threads in THREADS:
            for found in rows_of(one, Fitted(root, cache), generators, threads, steps):
                rows.append(found)
                print(f"{name} {threads} {found['method']}: {found['seconds']:.3g} s", file=sys.stderr, flush=True)
    torch.set_num_threads(kept)
    for row in rows:
        row["ratio"] = float(row["seconds"]) / _reference(rows, row)
    output.mkdir(parents=True, exist_ok=True)
    with (output / "speed.csv").open("w", newline="", encoding="utf-8") as stream:
        table = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows({k: f"{v:.4g}" if isinstance(v, float) else v for k, v in row.items()} for row in rows)
    (output / "speed.md").write_text(document(rows), encoding="utf-8")
    print(f"wrote speed.csv and speed.md in {output}")
    return 0


def _reference(rows: Sequence[Row], row: Row) -> float:
    """Seconds of the network's mean and deviation (of the LMMSE without one) of the same subject and threads."""
    same = [r for r in rows if (r["domain"], r["threads"]) == (row["domain"], row["threads"])]
    first = [f"{family} mean and std" for family in NETWORKS]
    return float(next((r for r in same if r["method"] in first), same[0])["seconds"])


def document(rows: Sequence[Row]) -> str:
    """The table for people."""
    lines = [
        "# Speed",
        "",
        "Made by `python -m gensr.benchmarks.speed`: x4 with 1 % noise, one 64 px tile of microscopy (grey) and one",
        "128 px face (three bands), one process. `s / tile` is per 64 x 64 pixels; `ratio` is to the network's mean",
        "and deviation. The latent searches run through its map from noise to image and stop where they explain",
        "the data as well as a sample of it (`chi2` per datum), or after all steps; they give one answer. LMMSE:",
        "its filter alone, on the threads that the BLAS of numpy takes. Reading weights, fitting and scaling are not",
        "timed.",
        "",
        "| domain | threads | method | s / tile | s / Mpx | ratio | chi2 | steps |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        cells = [row["domain"], row["threads"], row["method"]]
        cells += [f"{row[k]:.3g}" if k in row else "" for k in ("s_per_tile", "s_per_Mpx", "ratio", "chi2", "steps")]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Run as a module.

    Args:
        argv: ``data=``, ``output=``, ``cache=``; those of the process if None.
    """
    given = {"data": "../shared/data", "output": "benchmarks/results", "cache": "benchmarks/results/.cache"}
    given |= dict(word.split("=", 1) for word in (argv if argv is not None else sys.argv[1:]))
    return run(Path(given["data"]), Path(given["output"]), Path(given["cache"]))


if __name__ == "__main__":
    sys.exit(main())
