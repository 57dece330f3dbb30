"""Fill the cards of the shipped generators: ``python -m gensr.benchmarks.cards data=DIR results=DIR weights=DIR``.

Scores and conformal factors come from a finished benchmark, the nearest-neighbour audit is computed here, and what is
known of bias is stated where the card does not say it yet. ``generators=a,b`` names those to fill; all that are in the
folder if not given. The card goes into the weights file's header and beside it as Markdown.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from gensr.errors import UsageError
from gensr.making import cards
from gensr.making.audit import SEEN, draws, nearest, seen, windows_of
from gensr.priors import weights
from gensr.priors.generator import Generator

from .command import conformal_table, first_set
from .datasets import load
from .journal import Journal
from .sets import SETS, BenchmarkSet, family_of

DRAWS = 200
COMPARED = 4000
BIAS = {
    "gaussian-microscopy": (
        "nuclei in fluorescence only; other stains, brightfield, membranes and sizes far from 10-50 px are out of its "
        "data and fall back to smooth structure"
    ),
    "gaussian-satellite": (
        "European Sentinel-2 scenes at 10 m, nearly cloud-free, top of atmosphere; no desert, tropics or snow; other "
        "sensors and pixel sizes only through its scale-free windows"
    ),
    "gaussian-astronomy": (
        "simulated Sersic galaxies and stars of one PSF: no spikes, saturation, mergers or lenses; bright simulated "
        "galaxies are a little too compact; with noise, flux of faint wings is shrunk by about half a per cent at x4"
    ),
    "gaussian-faces": (
        "two thirds legislators: mostly white, male, 40-75 years, studio light, smiling; most variety comes from "
        "synthetic faces. Not for identification: a super-resolved face is an invention that fits the input. Samples "
        "carry stationary noise instead of skin and hair"
    ),
    "gaussian-chest-xray": (
        "frontal chest radiographs of one source, 64 px, JPEG traces; no lateral, portable or children's images known. "
        "Research use only, not a medical device"
    ),
    "gaussian-brain-mr": (
        "six patients with multiple sclerosis, T1, T2 and FLAIR: anatomy is thin, it knows texture of windows, not "
        "brains. Also the default for CT and other modalities. Research use only, not a medical device"
    ),
}
"""For cards that say nothing themselves."""


def audit(item: BenchmarkSet, data: Path, generator: Generator) -> str:
    """Nearest-neighbour audit in words and figures."""
    train = [case.image for case in load(data, item.pack, "train", COMPARED)]
    held = [case.image for case in load(data, item.pack, "test", 500)]
    if generator.card.aligned:
        peak = load(data, item.pack, "test", 1)[0].peak
        pool, queries = seen(np.stack(train) / peak), seen(np.stack(held) / peak)
        own = seen(draws(generator, (held[0].shape[1], held[0].shape[2]), DRAWS))
        what = f"pictures at {SEEN} px, share of full scale"
    else:
        side = 24
        pool, queries = windows_of(train, side, COMPARED, 0), windows_of(held, side, DRAWS, 1)
        own = windows_of(list(draws(generator, (side, side), DRAWS)), side, DRAWS, 2)
        what = f"{side} px windows of unit contrast"
    mine, theirs = nearest(own, pool), nearest(queries, pool)
    return (
        f"root mean square distance to the nearest of {len(pool)} training {what}: {len(own)} unconditional samples "
        f"median {np.median(mine):.3f}, least {mine.min():.3f}; {len(queries)} held-out median "
        f"{np.median(theirs):.3f}, least {theirs.min():.3f}"
    )


def metrics(journal: Journal, item: BenchmarkSet, generator: str) -> dict[str, float]:
    """Scores of a set: mean PSNR of the generator's rows, the patch LMMSE and Lanczos."""
    found: dict[str, float] = {}
    for entry in journal.entries.values():
        for row in entry["rows"] if "part" in entry else ():
            own = str(row["method"]).split(" ", 1)[0] == family_of(generator)
            if row["domain"] == item.name and (own or row["method"] in ("lmmse", "lanczos")):
                name = f"x{row['factor']} noise {row['noise']} {row['method']} PSNR"
                found[name] = round(float(row["psnr_mean"]), 2)
    return found


def shared(generator: str) -> bool:
    """Whether several fields have it as their own."""
    return len({item.pack for item in SETS if generator in item.generators}) > 1


def main(argv: Sequence[str] | None = None) -> None:
    """Rewrite the weights files with filled cards.

    Args:
        argv: ``data=``, ``results=``, ``weights=``, ``generators=``; those of the process if None.

    Raises:
        UsageError: a generator that is in no set of the benchmark or in those of several fields, or whose bias nobody
            stated.
    """
    given = {"data": "../shared/data", "results": "benchmarks/results", "weights": "generators/weights"}
    given |= dict(word.split("=", 1) for word in (argv if argv is not None else sys.argv[1:]))
    journal = Journal(Path(given["results"]) / "benchmark.jsonl", fresh=False)
    folder = Path(given["weights"])
    names = [n for n in given.get("generators", "").split(",") if n]
    names = names or [
        p.stem for p in sorted(folder.glob(f"*{weights.SUFFIX}")) if first_set(p.stem) and not shared(p.stem)
    ]
    for name in names:
        path, item = folder / f"{name}{weights.SUFFIX}", first_set(name)
        if item is None:
            raise UsageError(f"generators={name}: no set of the benchmark is answered by it")
        if shared(name):
            raise UsageError(
                f"generators={name}: answers several fields, of which a set tells one; use gensr calibrate"
            )
        generator, stored = weights.load(str(path))
        bias = stored.card.bias or BIAS.get(name, "")
        if not bias:
            raise UsageError(f"{path.name}: its card states no bias; train it with bias=...")
        card = replace(
            stored.card,
            bias=bias,
            audit=audit(item, Path(given["data"]), generator),
            metrics=metrics(journal, item, name),
            conformal=conformal_table(journal, name),
        )
        digest = weights.save(path, stored.tensors, stored.config, card)
        cards.write(path, card, digest)
        print(f"{path.name}: {card.audit}", flush=True)


if __name__ == "__main__":
    main()
