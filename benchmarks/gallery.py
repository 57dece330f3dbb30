"""Contact sheets of every domain: ``python -m gensr.benchmarks.gallery data=DIR output=docs/gallery``.

Test pictures are evenly spread over the split and cut by a fixed rule (`gensr.benchmarks.crops`); nothing is chosen by
its looks. Every number comes from the seed, so the same weights give the same sheets.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from gensr.errors import UsageError
from gensr.generators.flow.generator import Flow
from gensr.operators.resample import upsample
from gensr.priors import weights
from gensr.priors.generator import Generator
from gensr.values.random import Stream

from . import real_esrgan
from .answers import Answer, How, ask
from .cells import Cell, Fitted
from .crops import SIDE, Crop
from .pictures import LIMIT, Picture, drawn, heat, jpeg, sheet
from .sets import FAMILIES, NETWORKS, SETS, SKY, BenchmarkSet, family_of

SHOWN = ("microscopy", "satellite-rgb", "astronomy", "faces", "chest-xray", "brain-mr")
FACTORS = {"faces": (4, 8)}
"""Sheets of a domain; x4 for the others."""
CASES = 16
FREE, STEPS = 32, 16
"""Unconditional images per generator, and evaluations of a flow for each."""
ACROSS = 8
DEFAULTS = {
    "data": "../shared/data",
    "output": "docs/gallery",
    "cache": "benchmarks/results/.cache",
    "domains": ",".join(SHOWN),
    "cases": str(CASES),
    "seed": "0",
}


@dataclass(frozen=True)
class Gallery:
    """Makes sheets.

    Attributes:
        data: folder of the data packs.
        cache: folder of fitted moments.
        seed: of all random numbers.
        cases: test pictures per sheet.
    """

    data: Path
    cache: Path
    seed: int = 0
    cases: int = CASES

    def contact(self, item: BenchmarkSet, factor: int, generators: Sequence[str]) -> Picture:
        """Input, interpolation, LMMSE, the priors' means, two samples, deviation and truth; one case per row."""
        cell = Cell(item, self.data, factor, 0.0, self.cases, self.cases)
        lmmse = Fitted(self.data, self.cache).lmmse(item, factor, 0.0, cell.peak)
        rows, labels = [], []
        for crop in cell.crops:
            answers = {name: self._answer(cell, crop, name) for name in reversed(generators)}
            columns = _columns(cell, crop, crop.cut(lmmse(cell.lows[crop.index])), answers)
            rows.append(list(columns.values()))
            labels = list(columns)
        title = f"{item.name} x{factor}, no noise: test pictures, evenly spread, seed {self.seed}"
        return sheet(rows, labels, title, SIDE)

    def _answer(self, cell: Cell, crop: Crop, generator: str) -> Answer:
        how = How(generator, seed=self.seed + crop.index)
        samples = 2 if family_of(generator) in NETWORKS else 0
        window, low = crop.coarse(cell.factor), cell.lows[crop.index]
        return ask(cell.item, low, cell.factor, 0.0, cell.peak, how, samples, window, cell.cases[crop.index].name)

    def unconditional(self, item: BenchmarkSet, generators: Sequence[str]) -> Picture:
        """Images out of noise alone, the families beside each other."""
        reference = self._reference(item)
        side = reference.shape[-1]
        blocks = []
        for name in generators:
            made = [physical(item, image) for image in free_images(weights.load(name)[0], side, self.seed)]
            # Priors of flux know every brightness, so each of their images has a grey scale of its own.
            blocks.append([drawn(item, image, image if item.flux else reference) for image in made])
        rows = [
            [picture for block in blocks for picture in block[start : start + ACROSS]]
            for start in range(0, FREE, ACROSS)
        ]
        title = f"{item.name}, no data: {FREE} images out of noise by each prior, seed {self.seed}"
        return sheet(rows, [family_of(name) for name in generators], title, SIDE)

    def _reference(self, item: BenchmarkSet) -> NDArray[np.float64]:
        """Test pictures (1, n, side, side) in the unit in which free images are drawn: they set the grey scale."""
        cell = Cell(item, self.data, 4, 0.0, self.cases, self.cases)
        parts = [crop.cut(cell.cases[crop.index].image) for crop in cell.crops]
        if item.percentiles is None:
            return np.concatenate([np.asarray(part, np.float64) for part in parts])[None]
        low, high = item.percentiles
        levels = [np.percentile(part, (low, high)) for part in parts]
        return np.concatenate([(p - a) / ((b - a) or 1.0) for p, (a, b) in zip(parts, levels, strict=True)])[None]


def _columns(cell: Cell, crop: Crop, linear: NDArray[np.float64], answers: dict[str, Answer]) -> dict[str, Picture]:
    """Pictures of one case by the label of their column."""
    item, factor, low = cell.item, cell.factor, cell.lows[crop.index]
    scale = factor**2 if item.flux else 1
    truth = crop.cut(cell.cases[crop.index].image) * scale
    coarse = np.asarray(low, np.float32)
    shown = {
        "LR": crop.cut(np.repeat(np.repeat(low, factor, 1), factor, 2)),
        "Lanczos": crop.cut(upsample(coarse, (factor, factor), "lanczos")),
        "LMMSE": linear * scale,
    }
    model = real_esrgan.weights()
    if model is not None and not item.flux:
        shown["Real-ESRGAN"] = crop.cut(real_esrgan.upscale(model, cell.peak, factor, low))
    shown |= {f"{family_of(name)} mean": answer.mean * scale for name, answer in answers.items()}
    for name, answer in answers.items():
        shown |= {f"{family_of(name)} sample {k + 1}": s * scale for k, s in enumerate(answer.samples)}
    columns = {label: drawn(item, values, truth) for label, values in shown.items()}
    first = list(answers)[-1]
    return {**columns, f"{family_of(first)} std": heat(answers[first].std), "truth": drawn(item, truth, truth)}


def free_images(generator: Generator, side: int, seed: int) -> NDArray[np.float32]:
    """Unconditional images (n, band, side, side), generator units."""
    made = []
    for k in range(FREE):
        latents = generator.latents((side, side)).sample([Stream(seed).child("gallery", k)])
        with torch.no_grad():
            if isinstance(generator, Flow):
                made.append(generator.generate(latents["noise"], STEPS))
            else:
                made.append(generator.synthesize(latents, (side, side)))
    return np.asarray(torch.cat(made).numpy(), np.float32)


def physical(item: BenchmarkSet, image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Generator units in those of the set's pictures; of sets that are scaled by percentiles they stay as they are."""
    if item.flux:
        return image * np.float32(16 * SKY)
    return image * np.float32(255) if item.percentiles is None else image


def write(path: Path, picture: Picture) -> None:
    """A JPEG of quality 85, or lower where it would not stay below 400 kB."""
    path.write_bytes(jpeg(picture, limit=LIMIT))
    print(f"{path.name}: {picture.shape[1]} x {picture.shape[0]}, {path.stat().st_size // 1000} kB", flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Make all sheets.

    Args:
        argv: ``data=``, ``output=``, ``cache=``, ``domains=``, ``cases=``, ``seed=``; those of the process if None.

    Raises:
        UsageError: a domain that has no sheet.
    """
    given = DEFAULTS | dict(word.split("=", 1) for word in (argv if argv is not None else sys.argv[1:]))
    output = Path(given["output"])
    output.mkdir(parents=True, exist_ok=True)
    gallery = Gallery(Path(given["data"]), Path(given["cache"]), int(given["seed"]), int(given["cases"]))
    sets = {item.name: item for item in SETS}
    for name in given["domains"].split(","):
        if name not in SHOWN:
            raise UsageError(f"domains={name}: expected some of {', '.join(SHOWN)}")
        item = sets[name]
        generators = item.of(FAMILIES, weights.available())
        for absent in [n for n in item.generators if n not in generators]:
            print(f"gensr: {name}: {absent} not installed; left out", file=sys.stderr)
        if not generators:
            continue
        for factor in FACTORS.get(name, (4,)):
            write(output / f"{name}-x{factor}.jpg", gallery.contact(item, factor, generators))
        write(output / f"{name}-unconditional.jpg", gallery.unconditional(item, generators))
    return 0


if __name__ == "__main__":
    sys.exit(main())
