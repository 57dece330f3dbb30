"""Faces from 16 x 16 pixels by every way there is: ``python -m gensr.benchmarks.faces_search data=DIR``.

Draws of the flow and of the principal components to 128 px; latent search through the flow's map to 128 px and through
the style generator to 64 px, as randomised optima (adam) and as published (pulse). Every way gives eight answers per
face. Data are rounded codes, which draws explain exactly and searches to their rounding. A way whose weights are not
installed is left out, and said so.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gensr.metrics import sliced_wasserstein, spectrum_distance
from gensr.operators import Area
from gensr.pipeline.task import QUANTISATION
from gensr.priors.generator import Generator
from gensr.priors.observation import Observation
from gensr.priors.weights import available, load
from gensr.search.presets import PRESETS, preset
from gensr.search.run import search
from gensr.values.random import Stream

from .datasets import Case
from .gallery import write
from .pictures import Picture, enlarged, sheet
from .protocol import block_mean
from .scores import Row
from .sets import SETS

DEFAULT = "engression-faces"
PEAK = 255.0
LOW = 16
ANSWERS = 8
FACES = 8
"""Faces that are drawn; searches take the first few of them."""
SEARCHED = 1
STEPS = 100
THREADS = 2
SHOWN = 128
"""Side of one picture in the panel."""
COLUMNS = ("faces", "side", "seconds", "residual", "swd", "spectrum", "diversity")

Answers = Callable[[Generator, Observation, int], Tensor]
"""From a generator, one face's data and a seed to eight images (8, 3, side, side)."""


@dataclass(frozen=True)
class Way:
    """One way to eight answers.

    Attributes:
        name: in the table.
        generator: name of its weights.
        side: of the answers, pixels.
        answers: makes them.
        faces: on how many faces it is tried.
    """

    name: str
    generator: str
    side: int
    answers: Answers
    faces: int


def draws(generator: Generator, data: Observation, seed: int, count: int | None = None) -> Tensor:
    """Draws of the generator's own sampler, all together; `ANSWERS` of them unless told."""
    count = ANSWERS if count is None else count
    y, variance, usable = (t.expand(count, -1, -1, -1) for t in (data.y, data.variance, data.usable))
    shape = (y.shape[1], *data.shape)

    def noise(step: int) -> Tensor:
        return torch.stack([Stream(seed).child("draw", k, "step", step).normal(shape) for k in range(count)])

    with torch.no_grad():
        return generator.draw(
            replace(data, y=y, variance=variance, usable=usable), noise, preset("balanced").generator_options
        )


def searched(solver: str, steps: int) -> Answers:
    """A latent search with a solver of `gensr.search.solvers`."""

    def run(generator: Generator, data: Observation, seed: int) -> Tensor:
        chosen = replace(PRESETS["pulse"], solver=solver, solver_options={"steps": steps})
        return search(generator, data, chosen, [Stream(seed)], ANSWERS).images

    return run


def ways(faces: int = FACES, tried: int = SEARCHED, steps: int = STEPS) -> tuple[Way, ...]:
    """Every way there is; a step of a search through the default's network costs more, so it gets a fifth of them."""
    brief = max(1, steps // 5)
    return (
        Way("engression, draws", DEFAULT, 128, draws, faces),
        Way("gaussian, draws", "gaussian-faces", 128, draws, faces),
        *(
            Way(f"engression, latent search, {solver}, {brief} steps", DEFAULT, 128, searched(solver, brief), tried)
            for solver in ("adam", "pulse")
        ),
        Way(f"style, latent search, adam, {steps} steps", "style-faces", 64, searched("adam", steps), faces),
        Way(f"style, latent search, pulse, {steps} steps", "style-faces", 64, searched("pulse", steps), faces),
    )


def observation(case: Case, side: int) -> Observation:
    """What 16 x 16 rounded means of a face say about an image of a side, generator units."""
    low = np.round(block_mean(case.image, case.image.shape[-1] // LOW)) / PEAK
    y = torch.from_numpy(low.astype(np.float32))[None]
    operator = Area((side // LOW, side // LOW))
    variance = torch.full_like(y, (QUANTISATION / PEAK) ** 2)
    return Observation(y, operator, variance, torch.ones_like(y, dtype=torch.bool), exact=True)


def judged(way: Way, cases: Sequence[Case], made: Sequence[Tensor], seconds: float) -> Row:
    """The row of a way.

    Args:
        way: which.
        cases: the faces.
        made: per face (8, 3, side, side), generator units.
        seconds: mean over the faces, for eight answers.
    """
    images = np.stack([np.asarray(x, np.float64) * PEAK for x in made])  # (faces, 8, 3, side, side)
    rest = [
        block_mean(x, way.side // LOW) - np.round(block_mean(case.image, case.image.shape[-1] // LOW))
        for x, case in zip(images, cases, strict=True)
    ]
    truth = np.stack([block_mean(case.image, case.image.shape[-1] // way.side) for case in cases])
    flat = images.reshape(-1, *images.shape[2:]).clip(0, PEAK)
    levels = sliced_wasserstein(truth, flat)[: (way.side // LOW).bit_length() - 1]
    return {
        "way": way.name,
        "faces": len(cases),
        "side": way.side,
        "seconds": seconds,
        "residual": float(np.sqrt(np.mean(np.square(rest)))),
        "swd": float(np.mean(levels)),
        "spectrum": spectrum_distance(truth, flat, 0.5 * LOW / way.side),
        "diversity": float(np.sqrt(images.var(1, ddof=1).mean())),
    }


def tried(way: Way, cases: Sequence[Case], seed: int) -> tuple[Row, list[Tensor]]:
    """Row and answers of a way on its faces."""
    generator, _ = load(way.generator)
    some = cases[: way.faces]
    data = [observation(case, way.side) for case in some]
    way.answers(generator, data[0], seed)  # the first call of a network is slower
    started = time.perf_counter()
    made = [way.answers(generator, d, seed + i).detach() for i, d in enumerate(data)]
    return judged(way, some, made, (time.perf_counter() - started) / len(some)), made


def panel(cases: Sequence[Case], made: Sequence[Tensor]) -> Picture:
    """Per face its 16 x 16 pixels, eight answers and the truth."""
    rows = []
    for case, answers in zip(cases, made, strict=True):
        low = block_mean(case.image, case.image.shape[-1] // LOW)
        shown: list[NDArray[Any]] = [low, *(np.asarray(x) * PEAK for x in answers), case.image]
        rows.append([enlarged(np.asarray(x.clip(0, PEAK).transpose(1, 2, 0).round(), np.uint8), SHOWN) for x in shown])
    labels = [f"{LOW} x {LOW}", *(f"answer {k + 1}" for k in range(ANSWERS)), "truth"]
    return sheet(rows, labels, f"faces from {LOW} x {LOW} pixels: {ANSWERS} draws of the default each", SHOWN)


def document(rows: Sequence[Mapping[str, Any]], absent: Sequence[str], threads: int) -> str:
    """The table."""
    lines = [
        f"# Faces from {LOW} x {LOW} pixels",
        "",
        f"Made by `python -m gensr.benchmarks.faces_search`: test faces, evenly spread; `seconds` for {ANSWERS}",
        f"answers to one face on {threads} threads; `residual`: rms of what is left of the data, which are rounded, in",
        "codes; `swd` and `spectrum`: distance of detail finer than the data from that of the true faces; `diversity`:",
        "rms deviation between answers to one face, codes. Rows of fewer faces have less certain distances.",
        "",
        "| way | " + " | ".join(COLUMNS) + " |",
        "|" + "---|" * (len(COLUMNS) + 1),
    ]
    for row in rows:
        lines.append("| " + " | ".join([row["way"], *(f"{row[c]:.3g}" for c in COLUMNS)]) + " |")
    return "\n".join([*lines, *(f"\nLeft out: {name} is not installed." for name in absent)]) + "\n"


def main(argv: Sequence[str] | None = None, chosen: Sequence[Way] | None = None) -> int:
    """Write ``faces.md`` and the panel ``faces-16-to-128.jpg``.

    Args:
        argv: ``data=``, ``output=``, ``gallery=``, ``seed=``; those of the process if None.
        chosen: the ways; all if None.
    """
    given = {"data": "../shared/data", "output": "benchmarks/results", "gallery": "docs/gallery", "seed": "0"}
    given |= dict(word.split("=", 1) for word in (argv if argv is not None else sys.argv[1:]))
    output, gallery, seed = Path(given["output"]), Path(given["gallery"]), int(given["seed"])
    every = chosen or ways()
    cases = next(s for s in SETS if s.name == "faces").cases(Path(given["data"]), "test", max(w.faces for w in every))
    absent = sorted({way.generator for way in every} - available().keys())
    kept = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    rows = []
    output.mkdir(parents=True, exist_ok=True)
    gallery.mkdir(parents=True, exist_ok=True)
    for way in every:
        if way.generator in absent:
            print(f"gensr: {way.name}: {way.generator} not installed; left out", file=sys.stderr)
            continue
        row, made = tried(way, cases, seed)
        rows.append(row)
        print(row, file=sys.stderr, flush=True)
        if way.name == "engression, draws":
            write(gallery / "faces-16-to-128.jpg", panel(cases[: way.faces], made))
    torch.set_num_threads(kept)
    (output / "faces.md").write_text(document(rows, absent, THREADS), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
