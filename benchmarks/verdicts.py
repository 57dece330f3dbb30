"""Is what a scene says of a prior true? ``python -m gensr.benchmarks.verdicts data=DIR output=DIR``.

Pictures that were never trained on, of kinds that were and of kinds that were not, are averaged over 2 x 2 pixels. Each
of these data is tried on itself (`gensr check`) and refined x2; the verdict is compared with what the refined picture
gains over Lanczos on the truth. Half are blurred before they are averaged and come without noise, where an
interpolation is nearly perfect and a prior may lose.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import skimage
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

import gensr

from . import astronomy
from .datasets import load
from .interpolation import upscale
from .protocol import block_mean, block_sum
from .scores import Row
from .script import words, write

FACTOR, SIDE, LEAST = 2, 256, 128
"""Refinement; most and least side of a truth, pixels."""
NOISE = 0.005
"""Of the data, as a share of the peak."""
BLURS = (1.5, 3.0)
"""Deviations of a Gaussian before pixels are averaged, pixels of the truth; in turn."""
MORE = 5
"""So many times as many fields of sky are blurred: where an interpolation wins is mostly there."""
TIE = 0.1
"""Gains nearer to zero than this many dB are left out."""
PHOTOGRAPHS = ("brick", "camera", "coins", "grass", "gravel", "moon", "page", "text", "cell", "clock_motion")
COLUMNS = ("kind", "seen", "blurred", "cases", "ties", "right", "lanczos wins", "right of these", "unsaid")
PREFACE = (
    "Held-out pictures, averaged over 2 x 2 pixels and refined x2: what `gensr check` says of the data (gain over "
    "Lanczos, above or below 0) against the gain on the truth. ties: within 0.1 dB on the truth, left out; right: the "
    "sign is; lanczos wins: by 0.1 dB and more on the truth; unsaid: noise hides it, counted as wrong. Sharp pictures "
    "have 0.5 % noise that is stated (fields of sky: their camera's), blurred ones none (`noise=0`)."
)
Picture = NDArray[np.float64]


@dataclass(frozen=True)
class Truth:
    """One picture.

    Attributes:
        kind: for the table.
        seen: whether pictures of this kind were trained on.
        image: (y, x), sides that are multiples of four.
        domain: that reads it.
        peak: data range.
        flux: whether pixels hold flux.
        sharp: whether it is tried as it is, too.
    """

    kind: str
    seen: bool
    image: Picture
    domain: str
    peak: float
    flux: bool = False
    sharp: bool = True


def truths(root: Path, cases: int) -> Iterator[Truth]:
    """Pictures of every kind, at most ``cases`` of each."""
    for kind, pack, domain in (("nuclei", "microscopy", "microscopy"), ("brain", "medical_brain", "medical")):
        large = [case for case in load(root, pack, "test") if min(case.image.shape[-2:]) >= LEAST]
        for i in np.unique(np.linspace(0, len(large) - 1, cases).round().astype(int)):
            yield Truth(kind, True, large[i].image[0].astype(np.float64), domain, large[i].peak)
    for i, case in enumerate(load(root, "astronomy", "test", MORE * cases)):
        yield Truth("sky", True, case.image[0].astype(np.float64), "astronomy", 1.0, True, i < cases)
    with zipfile.ZipFile(root / "microscopy" / "brightfield.zip") as archive:
        for member in sorted(archive.namelist())[:cases]:
            pixels = np.asarray(Image.open(BytesIO(archive.read(member))), np.float64)
            yield Truth("brightfield", False, pixels, "microscopy", 255.0)
    folder = Path(skimage.__file__).parent / "data"
    for name in PHOTOGRAPHS[:cases]:
        pixels = np.asarray(Image.open(folder / f"{name}.png").convert("L"), np.float64)
        yield Truth("photograph", False, pixels, "microscopy", 255.0)


def cropped(one: Truth) -> Truth:
    """The middle of a picture."""
    rows, cols = (min(SIDE, n // 4 * 4) for n in one.image.shape)
    top, left = ((n - m) // 2 for n, m in zip(one.image.shape, (rows, cols), strict=True))
    return replace(one, image=one.image[top : top + rows, left : left + cols])


def gains(one: Truth, blur: float, seed: int) -> tuple[float, float]:
    """Gain over Lanczos in dB, as the data say it (NaN where noise hides it) and on the truth."""
    draw = np.random.default_rng(seed)
    truth = ndimage.gaussian_filter(one.image, blur, mode="reflect") if blur else one.image
    data = block_sum(truth, FACTOR) if one.flux else block_mean(truth, FACTOR)
    noise: str | float = 0
    if not blur and one.flux:
        floor = float(astronomy.sigma(0.0, FACTOR**2))
        data = astronomy.add_noise(data, draw, FACTOR**2).astype(np.float64)
        noise = f"poisson:gain={1 / astronomy.EXPOSURE!r},sigma={floor!r}"
    elif not blur:
        data, noise = data + NOISE * one.peak * draw.standard_normal(data.shape), NOISE * one.peak
    how: dict[str, Any] = {
        "noise": noise,
        "samples": 0,
        "seed": seed,
        "device": "cpu",
        "labels": "image",
        "calibrate": "self",
    }
    found = gensr.upsample(_given(data, one.flux), factor=FACTOR, domain=one.domain, **how)
    plain = upscale(data, FACTOR, "lanczos") / (FACTOR**2 if one.flux else 1)
    errors = [float(np.square(made - truth).mean()) for made in (plain, np.asarray(found.mean, np.float64))]
    said = found.report["check"]["gain over Lanczos, dB"]
    return math.nan if said is None else float(said), 10 * math.log10(errors[0] / errors[1])


def _given(data: Picture, flux: bool) -> Any:  # noqa: ANN401
    """As it is handed over: an array, or counts with a unit, which are summed."""
    if not flux:
        return data.astype(np.float32)
    from astropy.nddata import CCDData

    return CCDData(data.astype(np.float32), unit="electron / s")


def summary(kind: str, seen: str, blurred: str, pairs: Sequence[tuple[float, float]]) -> Row:
    """One line of the table."""
    counted = [(said, true) for said, true in pairs if abs(true) >= TIE]
    losing = [(said, true) for said, true in counted if true < 0]
    return {
        "kind": kind,
        "seen": seen,
        "blurred": blurred,
        "cases": len(pairs),
        "ties": len(pairs) - len(counted),
        "right": sum(said * true > 0 for said, true in counted),
        "lanczos wins": len(losing),
        "right of these": sum(said * true > 0 for said, true in losing),
        "unsaid": sum(math.isnan(said) for said, _ in counted),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Write ``verdicts.csv`` and ``verdicts.md``.

    Raises:
        UsageError: an unknown argument.
    """
    given = words(argv, {"data": "../shared/data", "output": "benchmarks/results", "cases": "12"})
    found: dict[tuple[str, str, str], list[tuple[float, float]]] = {}
    for i, one in enumerate(map(cropped, truths(Path(given["data"]), int(given["cases"])))):
        for blurred, blur in ((("no", 0.0),) if one.sharp else ()) + (("yes", BLURS[i % len(BLURS)]),):
            pair = gains(one, blur, i)
            print(one.kind, blur, *(f"{gain:+.2f}" for gain in pair), flush=True)
            found.setdefault((one.kind, "yes" if one.seen else "no", blurred), []).append(pair)
    every = [pair for pairs in found.values() for pair in pairs]
    rows = [summary(*key, pairs) for key, pairs in found.items()] + [summary("all", "", "", every)]
    last = rows[-1]
    share = int(last["right"]) / max(int(last["cases"]) - int(last["ties"]), 1)
    said = f"Right in {share:.0%} of those that are no ties."
    write(Path(given["output"]), "verdicts", ["# What a scene says of a prior", "", PREFACE, "", said], COLUMNS, rows)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
