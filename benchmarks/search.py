"""Latent searches side by side: ``gensr benchmark search data=DIR``; the same generator, data, device and run.

Every method answers the same held-out faces at 16 x 16 pixels through ``style-faces`` (64 px), one at a time, on one
thread, and is judged on ``G(z)`` alone, before any data step. Seconds are of the processor. The ladder of gensr is also
run with a growing number of steps, each run from its beginning: so there is a time at which it first has the residual
that PULSE ends with, and a chi2 that it has when PULSE ends. Rows are kept per face; a run that was stopped goes on.
"""

from __future__ import annotations

import json
import math
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gensr.errors import UsageError
from gensr.metrics import sliced_wasserstein, spectrum_distance, ssim
from gensr.operators import Area
from gensr.priors.generator import Generator
from gensr.priors.mapped import Mapped
from gensr.priors.observation import Observation
from gensr.priors.weights import load
from gensr.search.metric import metric_of
from gensr.search.run import coarse_stage
from gensr.values.random import Stream

from .datasets import Case
from .protocol import block_mean
from .search_methods import GROWING, Method, methods
from .search_posterior import figures as figures_of
from .search_posterior import lines as posterior_lines
from .sets import SETS

PEAK, LOW, NOISE = 255.0, 16, 0.01
TUNED = 5
"""Faces of the test split, its first, on which numbers of the ladder were chosen."""
HELP = """usage: gensr benchmark search [key=value ...]

  data=DIR      data packs (default ../shared/data)     output=DIR   tables (default benchmarks/results)
  generator=    a generator with a mapping network (default style-faces)
  faces=40      test faces; slow=8: how many of them the slow methods get; split=test
  posterior=40  faces whose samples are judged
  seed=0        fresh=true: forget what an earlier run finished"""


@dataclass(frozen=True)
class Found:
    """What a method made of a face: its latents, in a view of the generator, and what it took."""

    image: Tensor
    seconds: float
    memory: float


def observation(case: Case, side: int, stream: Stream) -> tuple[Observation, Tensor]:
    """Noisy 16 x 16 means of a face, and its picture of a side, generator units."""
    truth = torch.from_numpy(block_mean(case.image, case.image.shape[-1] // side).astype(np.float32) / PEAK)[None]
    operator = Area(side // LOW)
    y = operator.forward(truth)
    y = y + NOISE * stream.child("noise").normal(tuple(y.shape)).to(y)
    return Observation(y, operator, torch.full_like(y, NOISE**2), torch.ones_like(y, dtype=torch.bool)), truth


def picture_side(generator: Generator) -> int:
    """Side of an aligned generator's pictures, pixels.

    Raises:
        UsageError: none from 32 to 1024 that the data can be compared at.
    """
    for side in (32, 64, 128):
        if generator.serves(Area(side // LOW), (side, side)):
            return side
    raise UsageError(f"{generator.card.name} makes no pictures of 32, 64 or 128 pixels, which is what the faces have")


def measured(method: Method, generator: Generator, data: Observation, stream: Stream) -> Found:
    """A run with its seconds of the processor and the most memory that it took beyond what was there, MiB."""
    page, peak, done = 4096 / 2**20, 0.0, threading.Event()

    def resident() -> float:
        return int(Path("/proc/self/statm").read_text().split()[1]) * page if sys.platform == "linux" else 0.0

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.02):
            peak = max(peak, resident())

    before, watcher = resident(), threading.Thread(target=watch)
    watcher.start()
    began = time.process_time()
    picture = method(generator, data, stream)
    seconds = time.process_time() - began
    done.set()
    watcher.join()
    return Found(picture(), seconds, max(0.0, peak - before))


def judged(found: Found, data: Observation, truth: Tensor, discrepancy: float) -> dict[str, Any]:
    """Figures of one face."""
    low = data.operator.forward(found.image)
    square = float((low - data.y).square().mean())
    chi2 = square / (NOISE**2 + discrepancy**2 * float(data.operator.row_energy(data.y)))
    error = float((found.image - truth).square().mean())
    made, true = (np.asarray(x[0], np.float64).clip(0, 1) for x in (found.image, truth))
    return {
        "seconds": found.seconds,
        "memory": found.memory,
        "residual": square**0.5 * PEAK,
        "mse": square,
        "chi2": chi2,
        "success": chi2 <= 1 + 2 * math.sqrt(2 / data.y.numel()),
        "psnr": -10 * math.log10(max(error, 1e-12)),
        "ssim": float(ssim(true, made, 1.0)),
        "image": (found.image[0].clamp(0, 1) * PEAK).round().to(torch.uint8).tolist(),
    }


def main(argv: Sequence[str]) -> int:
    """Run the command.

    Raises:
        UsageError: an unknown key, or a generator without a mapping network.
    """
    given = {"data": "../shared/data", "output": "benchmarks/results", "generator": "style-faces", "faces": "40"}
    given |= {"slow": "8", "posterior": "40", "split": "test", "seed": "0", "fresh": "false"}
    if any(word in ("-h", "--help") for word in argv):
        print(HELP)
        return 0
    for word in argv:
        key, separator, value = word.partition("=")
        if not separator or key not in given:
            raise UsageError(f"unknown argument {word!r}; keys: {', '.join(given)}")
        given[key] = value
    generator, stored = load(given["generator"])
    if not isinstance(generator, Mapped):
        raise UsageError(f"generator={given['generator']}: has no mapping network; give one of the style families")
    output = Path(given["output"])
    output.mkdir(parents=True, exist_ok=True)
    journal = output / ".search.jsonl"
    if given["fresh"] == "true":
        journal.unlink(missing_ok=True)
    faces, slow = int(given["faces"]), int(given["slow"])
    pack = next(s for s in SETS if s.name == "faces")
    cases = pack.cases(Path(given["data"]), given["split"], faces)
    kept = torch.get_num_threads()
    torch.set_num_threads(1)
    rows = [json.loads(line) for line in journal.read_text().splitlines()] if journal.exists() else []
    have = {(row["method"], row["face"]) for row in rows if row["weights"] == stored.digest}
    rows = [row for row in rows if row["weights"] == stored.digest]
    side = picture_side(generator)
    root = Stream(int(given["seed"])).child("benchmark search")
    first, _ = observation(cases[0], side, root)
    metric_of(generator, first.shape, coarse_stage(generator, first))  # once per generator, not per face
    with journal.open("a") as log:

        def keep(name: str, number: int, figures: Mapping[str, Any]) -> None:
            row = {"method": name, "face": number, "weights": stored.digest, **figures}
            rows.append(row)
            log.write(json.dumps(row) + "\n")
            log.flush()
            told = ", ".join(f"{k} {v:.3g}" for k, v in figures.items() if isinstance(v, float))
            print(f"face {number}: {name}: {told}", file=sys.stderr)

        for number, case in enumerate(cases):
            data, truth = observation(case, side, root.child(number))
            for name, (method, is_slow) in methods().items():
                if not ((is_slow and number >= slow) or (name, number) in have):
                    found = measured(method, generator, data, root.child(number, "run"))
                    keep(name, number, judged(found, data, truth, generator.card.discrepancy))
        # Faces are spread evenly over the split: those of another number are others, and have rows of their own.
        wanted = int(given["posterior"])
        told = {row["face"] for row in rows if row["method"] == "posterior" and row.get("of", faces) == wanted}
        for number, case in enumerate(pack.cases(Path(given["data"]), given["split"], wanted)):
            if number not in told:
                data, truth = observation(case, side, root.child(number))
                found_of = figures_of(generator, data, truth, root.child(number, "posterior"))
                keep("posterior", number, {**found_of, "of": wanted})
    torch.set_num_threads(kept)
    truths = [np.asarray(observation(case, side, root)[1][0], np.float64) * PEAK for case in cases]
    rows = [row for row in rows if row["method"] != "posterior" or row.get("of", faces) == wanted]
    (output / "search.md").write_text(document(rows, truths, generator), encoding="utf-8")
    print(f"wrote {output / 'search.md'}")
    return 0


def document(rows: Sequence[Mapping[str, Any]], truths: Sequence[Any], generator: Generator) -> str:
    """The tables."""
    by: dict[str, dict[int, Mapping[str, Any]]] = {}
    for row in rows:
        by.setdefault(row["method"], {})[row["face"]] = row
    lines = [
        f"# Latent searches through {generator.card.name}",
        "",
        "Made by `gensr benchmark search`: held-out test faces at 16 x 16 pixels (means of blocks, noise 0.01 of the",
        "range), one at a time, on one thread of a processor, the same data and seeds for all. Everything is judged on",
        "`G(z)`, before any data step; `chi2` in units of noise and of the generator's discrepancy; success: chi2 at",
        "most `1 + 2 sqrt(2 / m)`. `residual` in codes of 255; `swd`, `spectrum`: distance of detail from that of the",
        "true faces. Seconds of the processor; memory beyond what was resident, MiB. Slow methods got fewer faces.",
        "The metric of the generator and its bank of small pictures are measured once, before, and are not in the",
        "seconds; neither is making the picture of what was found. The eps of PULSE is a mean squared error of 0.002:",
        "below it its loss does not look at the data any more. The rows of the ladder have one candidate.",
        "",
        "| method | faces | seconds | memory | residual | chi2 | success | PSNR | SSIM | swd | spectrum |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name in (n for n in methods() if n in by):
        found = by[name]
        lines.append(f"| {name} | {len(found)} | " + " | ".join(_figures(found, truths)) + " |")
    return "\n".join([*lines, "", *_against(by), *posterior_lines([*by.get("posterior", {}).values()])]) + "\n"


def _figures(found: Mapping[int, Mapping[str, Any]], truths: Sequence[Any]) -> list[str]:
    def mean(key: str) -> float:
        return float(np.mean([row[key] for row in found.values()]))

    pictures = np.asarray([row["image"] for row in found.values()], np.float64)
    true = np.stack([truths[face] for face in found])
    levels = sliced_wasserstein(true, pictures)[: (pictures.shape[-1] // LOW).bit_length() - 1]
    realism = [float(np.mean(levels)), spectrum_distance(true, pictures, 0.5 * LOW / pictures.shape[-1])]
    first = [f"{mean(key):.3g}" for key in ("seconds", "memory", "residual", "chi2")]
    return [*first, f"{100 * mean('success'):.0f} %", *(f"{v:.3g}" for v in (mean("psnr"), mean("ssim"), *realism))]


def _against(by: Mapping[str, Mapping[int, Mapping[str, Any]]]) -> list[str]:
    """The ladder against PULSE, face by face: time to its residual, and chi2 at its time."""
    faces = sorted(by.get("PULSE as published", {}))
    faster, closer, never = _ratios(by, faces)
    if not faster or not closer:
        return []
    return [
        "## The ladder against PULSE, face by face",
        "",
        f"* Time to PULSE's own residual: {np.median(faster):.1f} times less (median of {len(faster)} faces; a tenth",
        f"  below {np.quantile(faster, 0.1):.1f}; {never} never reached it).",
        f"* chi2 in PULSE's time: {np.median(closer):.1f} times lower (median; a tenth below",
        f"  {np.quantile(closer, 0.1):.1f}).",
        *_unseen(by, [face for face in faces if face >= TUNED]),
    ]


def _ratios(
    by: Mapping[str, Mapping[int, Mapping[str, Any]]], faces: Sequence[int]
) -> tuple[list[float], list[float], int]:
    """PULSE's time over the ladder's, its chi2 over the ladder's, per face, and how many the ladder never explained."""
    faster, closer, never = [], [], 0
    for face in faces:
        theirs = by["PULSE as published"][face]
        mine = [by[f"ladder, {s} steps"][face] for s in GROWING if face in by.get(f"ladder, {s} steps", {})]
        reached = [row["seconds"] for row in mine if row["mse"] <= theirs["mse"]]
        within = [row["chi2"] for row in mine if row["seconds"] <= theirs["seconds"]]
        never += not reached
        if reached:
            faster.append(theirs["seconds"] / min(reached))
        if within:
            closer.append(theirs["chi2"] / min(within))
    return faster, closer, never


def _unseen(by: Mapping[str, Mapping[int, Mapping[str, Any]]], faces: Sequence[int]) -> list[str]:
    """The same, and the rates of success, of faces on which nothing was chosen."""
    faster, closer, _ = _ratios(by, faces)
    if not faster or not closer:
        return []
    rates = []
    for name in (n for n in by if n.startswith("gensr search=")):
        known = [bool(by[name][face]["success"]) for face in faces if face in by[name]]
        if known:
            rates.append(f"`{name.removeprefix('gensr ')}` {100 * float(np.mean(known)):.0f} % of {len(known)}")
    return [
        "",
        f"Numbers of the ladder were chosen on the first {TUNED} of these faces, later ones on validation faces.",
        f"Without those {TUNED}: {np.median(faster):.1f} times less time, chi2 {np.median(closer):.1f} times lower",
        f"(medians of {len(faster)} faces); success:",
        f"{', '.join(rates)}.",
    ]
