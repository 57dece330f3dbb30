"""Who is drawn, and for whom it works: ``python -m gensr.benchmarks.fairness data=DIR``.

Three tables: conditional proportional representation on a generator whose two kinds have known shares; what every face
generator makes of an input that says nothing; and how well each explains and restores the faces of every source. The
groups are the sources of the face corpus: nothing else is labelled, and sources are no stand-in for people.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gensr.operators import Area
from gensr.priors.observation import Observation
from gensr.priors.weights import available, load
from gensr.search.guided import guided_samples
from gensr.search.presets import PRESETS, preset
from gensr.search.run import candidates, search
from gensr.values.random import Stream

from .datasets import Case
from .datasets import load as load_cases
from .faces_search import PEAK, draws, observation
from .protocol import block_mean
from .two_classes import Kind, TwoClasses, grey

SIDE = 8
RARE, COMMON, SHARE = "sfhq-t2i", "ukparliament", 0.2
SAMPLES = 1000
ALLOWED = 0.03
"""How far the share of samples may be from the exact one where the input says nothing."""
ANSWERS = 64
"""Answers of every generator to the input that says nothing."""
PER_GROUP, TWICE = 8, 2
"""Faces of every source, and answers to each."""
FEATURES = 16
"""Side of the pictures that sources are told apart on."""
GENERATORS = ("engression-faces", "gaussian-faces", "style-faces")
STEPS = 60
Row = dict[str, Any]


REPRESENTATION = """\
# Fairness

Made by `python -m gensr.benchmarks.fairness`. Groups are sources of the face corpus; nothing else is labelled, and a
source is no stand-in for people. Nothing here is a licence to identify anybody.

## Conditional proportional representation

A generator of two kinds, 20 % like `{rare}`, 80 % like `{common}` ({side} x {side} grey, a Gaussian each). Share of
the rarer kind among {samples} answers, %; `exact` is its posterior probability given the input. Where the input says
nothing, `posterior` is {off:.1f} points off ({allowed:.0f} are allowed; one standard error is 1.3).
"""
READING = """
MAP always answers with the commoner kind: the bias that PULSE was criticised for. PULSE as published moves little
where the data ask for little, so it keeps the shares of its random starts, whatever the data say. Guided draws and
randomised searches have the right shares where the input says nothing; where it says something, `posterior` is up to
{most:.0f} points off: it takes what the denoiser leaves open for one Gaussian, and two kinds are none.
"""
SILENT = """\
## An input that says nothing

8 x 8 grey pixels under noise of a fifth of the range: a face without contrast, which is no average of the corpus, so
shares need not be those of the training faces; they say who is made of nothing. Share of answers that look like each
source, %, by a ridge regression on {features} x {features} pixels that is right for {accuracy:.0f} % of the test faces;
above them what it says of the training faces themselves. `diversity`: rms deviation between answers, codes.
"""
SERVED = """
## Faces of every source

Test faces at 16 x 16 pixels, {answers} answers each (style: to 64 pixels, others to 128). `residual`: the largest rms
of what an answer leaves of its data, codes; `explained`: answers that leave at most one code; `error`: rms to the
truth, codes, which depends on how much there is to be known of a picture.
"""


@dataclass(frozen=True)
class Input:
    """One input to the two-class generator.

    Attributes:
        name: in the table.
        value: of every datum, 0 to 1.
        side: of the input, pixels.
        noise: deviation, 0 to 1 is the range.
    """

    name: str
    value: float
    side: int
    noise: float

    def data(self, rows: int) -> Observation:
        """The same data as often as asked for."""
        y = torch.full((rows, 1, self.side, self.side), self.value)
        variance, usable = torch.full_like(y, self.noise**2), torch.ones_like(y, dtype=torch.bool)
        return Observation(y, Area(SIDE // self.side), variance, usable)


INPUTS = (
    Input("nothing (1 x 1, noise 10 ranges)", 0.5, 1, 10.0),
    Input("2 x 2 grey, noise 50 %", 0.45, 2, 0.5),
    Input("2 x 2 grey, noise 10 %", 0.45, 2, 0.1),
    Input("1 x 1 grey, noise 1 %", 0.45, 1, 0.01),
)


def two_classes(faces: Sequence[Case], decoder: bool = False) -> TwoClasses:
    """The generator of 20 % and 80 %, fitted on two sources."""
    kinds = [
        Kind.of(share, grey([case.image for case in faces if case.group == source], SIDE))
        for source, share in ((RARE, SHARE), (COMMON, 1 - SHARE))
    ]
    return TwoClasses((kinds[0], kinds[1]), SIDE, decoder)


def guided(exact: TwoClasses, data: Observation, name: str) -> Tensor:
    """Guided draws through the denoiser, as a preset makes them."""
    rows = len(data.y)

    def noise(number: int) -> Tensor:
        return torch.stack([Stream(0).child("draw", k, number).normal((1, SIDE, SIDE)) for k in range(rows)])

    return guided_samples(exact, data, noise, preset(name).guided)


def latent(plain: TwoClasses, data: Observation, solver: str, best: bool) -> Tensor:
    """A latent search for every row: its best candidate, or one randomised sample."""
    chosen = PRESETS["pulse"] if solver == "pulse" else PRESETS["best"]
    found = candidates(plain, data, chosen, [Stream(k) for k in range(len(data.y))], 1)
    return found.best if best else found.others[0]


Way = Callable[[TwoClasses, TwoClasses, Observation], Tensor]
WAYS: Mapping[str, Way] = {
    "posterior": lambda exact, plain, data: guided(exact, data, "posterior"),
    "balanced": lambda exact, plain, data: guided(exact, data, "balanced"),
    "randomised latent search": lambda exact, plain, data: latent(plain, data, "adam", best=False),
    "MAP": lambda exact, plain, data: latent(plain, data, "adam", best=True),
    "PULSE": lambda exact, plain, data: latent(plain, data, "pulse", best=True),
}
"""By name: from the generator with a denoiser, the same as a plain decoder, and data to one answer per row."""


def representation(faces: Sequence[Case], samples: int = SAMPLES, inputs: Sequence[Input] = INPUTS) -> list[Row]:
    """Share of the rarer kind among answers, per input: exact and by every way."""
    exact, plain = two_classes(faces), two_classes(faces, decoder=True)
    rows = []
    for item in inputs:
        data = item.data(samples)
        row: Row = {"input": item.name, "exact": float(exact.share(item.data(1)))}
        for name, way in WAYS.items():
            row[name] = float(exact.rare(way(exact, plain, data)).double().mean())
        rows.append(row)
    return rows


class Sources:
    """Tells the sources of faces apart, as far as that goes: ridge regression on small pictures.

    Args:
        faces: to learn from.
    """

    def __init__(self, faces: Sequence[Case]) -> None:
        self.names = sorted({case.group for case in faces})
        features = self._features([case.image for case in faces])
        self._mean = features.mean(0)
        centred = features - self._mean
        wanted = np.array([[case.group == name for name in self.names] for case in faces], np.float64)
        self._offset = wanted.mean(0)
        ridge = 0.05 * np.trace(centred.T @ centred) / centred.shape[1] * np.eye(centred.shape[1])
        self._weights = np.linalg.solve(centred.T @ centred + ridge, centred.T @ (wanted - self._offset))

    def _features(self, images: Sequence[npt.NDArray[Any]]) -> npt.NDArray[np.float64]:
        small = [block_mean(np.asarray(x, np.float64), x.shape[-1] // FEATURES).ravel() / PEAK for x in images]
        return np.stack(small)

    def of(self, images: Sequence[npt.NDArray[Any]]) -> list[str]:
        """The likeliest source of every picture (3, y, x), 0 to 255."""
        scores = self._offset + (self._features(images) - self._mean) @ self._weights
        return [self.names[k] for k in scores.argmax(1)]

    def shares(self, images: Sequence[npt.NDArray[Any]]) -> dict[str, float]:
        """Share of every source among pictures."""
        found = self.of(images)
        return {name: found.count(name) / len(found) for name in self.names}


def answers(name: str, data: Observation, seed: int, count: int) -> Tensor:
    """Draws of a generator, or samples of a latent search where it has none, (count, 3, side, side)."""
    generator, _ = load(name)
    if "draw" in generator.capabilities:
        return draws(generator, data, seed, count)
    chosen = {**PRESETS["best"].solver_options, "steps": STEPS}
    found = search(generator, data, replace(PRESETS["best"], solver_options=chosen), [Stream(seed)], count + 1)
    return found.images[1:].detach()


def side_of(name: str) -> int:
    """Side of a face generator's pictures, pixels."""
    return 64 if name.startswith("style") else 128


def silent(side: int) -> Observation:
    """8 x 8 grey pixels under noise of a fifth of the range."""
    y = torch.full((1, 3, 8, 8), 0.45)
    return Observation(y, Area(side // 8), torch.full_like(y, 0.2**2), torch.ones_like(y, dtype=torch.bool))


def uninformed(name: str, sources: Sources, count: int = ANSWERS) -> Row:
    """Sources that the answers to an input that says nothing look like, and how much they differ."""
    started = time.perf_counter()
    made = np.asarray(answers(name, silent(side_of(name)), 0, count), np.float64).clip(0, 1) * PEAK
    spread = float(np.sqrt(made.var(0, ddof=1).mean()))
    seconds = time.perf_counter() - started
    return {"pictures": name, "count": count, "diversity": spread, "seconds": seconds, **sources.shares(list(made))}


def served(name: str, faces: Sequence[Case], per_group: int = PER_GROUP) -> list[Row]:
    """Per source: what is left of the data, and the error of answers, codes."""
    rows = []
    side = side_of(name)
    for group in sorted({case.group for case in faces}):
        some = [case for case in faces if case.group == group][:per_group]
        rests, errors = [], []
        for k, case in enumerate(some):
            made = np.asarray(answers(name, observation(case, side), k, TWICE), np.float64) * PEAK
            low = np.round(block_mean(case.image, case.image.shape[-1] // 16))
            truth = block_mean(np.asarray(case.image, np.float64), case.image.shape[-1] // side)
            rests += [float(np.sqrt(np.square(block_mean(x, side // 16) - low).mean())) for x in made]
            errors += [float(np.sqrt(np.square(x.clip(0, PEAK) - truth).mean())) for x in made]
        good = float(np.mean([rest <= 1 for rest in rests]))
        figures = {"residual": max(rests), "good": good, "error": float(np.mean(errors))}
        rows.append({"generator": name, "source": group, "faces": len(some), **figures})
    return rows


def document(found: Mapping[str, Any]) -> str:
    """The page of results."""
    rows = found["representation"]
    names = list(WAYS)
    percent = [[f"{100 * row[k]:.1f}" for k in ("exact", *names)] for row in rows]
    spread = [abs(row["posterior"] - row["exact"]) for row in rows]
    sources = found["sources"]
    lines = [
        REPRESENTATION.format(
            rare=RARE,
            common=COMMON,
            side=SIDE,
            samples=f"{found['samples']:,}",
            off=100 * spread[0],
            allowed=100 * ALLOWED,
        ),
        "| input | exact | " + " | ".join(names) + " |",
        "|" + "---|" * (len(names) + 2),
        *(f"| {row['input']} | " + " | ".join(cells) + " |" for row, cells in zip(rows, percent, strict=True)),
        READING.format(most=100 * max(spread)),
        SILENT.format(features=FEATURES, accuracy=100 * found["accuracy"]),
        "| pictures | count | diversity | " + " | ".join(sources) + " |",
        "|" + "---|" * (len(sources) + 3),
    ]
    for row in found["silent"]:
        shares = " | ".join(f"{100 * row[s]:.0f}" for s in sources)
        differ = "" if row["diversity"] is None else f"{row['diversity']:.1f}"
        lines.append(f"| {row['pictures']} | {row['count']} | {differ} | {shares} |")
    lines += [SERVED.format(answers=TWICE), "| generator | source | faces | residual | explained, % | error |"]
    lines.append("|" + "---|" * 6)
    for row in found["served"]:
        figures = f"{row['residual']:.2f} | {100 * row['good']:.0f} | {row['error']:.1f}"
        lines.append(f"| {row['generator']} | {row['source']} | {row['faces']} | {figures} |")
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Write ``fairness.md``, and ``fairness.json`` with every figure; one that is there already is gone on with.

    Args:
        argv: ``data=``, ``output=``, ``parts=`` and ``generators=`` with commas; those of the process if None.
    """
    given = {"data": "../shared/data", "output": "benchmarks/results", "generators": ",".join(GENERATORS)}
    given |= {"parts": "representation,silent,served"}
    given |= dict(word.split("=", 1) for word in (argv if argv is not None else sys.argv[1:]))
    root, output, parts = Path(given["data"]), Path(given["output"]), given["parts"].split(",")
    names = [name for name in given["generators"].split(",") if name in available()]
    train, test = load_cases(root, "faces", "train", None), load_cases(root, "faces", "test", None)
    sources = Sources(train)
    right = [a == case.group for a, case in zip(sources.of([c.image for c in test]), test, strict=True)]
    reference = {"pictures": "training faces", "count": len(train), "diversity": None}
    kept = output / "fairness.json"
    found: Row = json.loads(kept.read_text()) if kept.exists() else {"representation": [], "silent": [], "served": []}
    found |= {"samples": SAMPLES, "accuracy": float(np.mean(right)), "sources": sources.names}
    if "representation" in parts:
        found["representation"] = representation(train)
        _keep(found, output)
    for name in names:
        if "silent" in parts:
            others = [row for row in found["silent"] if row["pictures"] not in (name, reference["pictures"])]
            own = {**reference, **sources.shares([case.image for case in train])}
            found["silent"] = [own, *others, uninformed(name, sources)]
        if "served" in parts:
            found["served"] = [row for row in found["served"] if row["generator"] != name] + served(name, test)
        _keep(found, output)
    return 0


def _keep(found: Row, output: Path) -> None:
    """Put down what there is so far."""
    output.mkdir(parents=True, exist_ok=True)
    (output / "fairness.json").write_text(json.dumps(found, indent=1) + "\n", encoding="ascii")
    if found["representation"]:
        (output / "fairness.md").write_text(document(found), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
