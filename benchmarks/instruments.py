"""Other instruments than block means: ``python -m gensr.benchmarks.instruments data=DIR output=DIR``.

One network for any linear instrument, beside the best linear estimator that is told the same instrument and noise, and
where an image is only blurred beside Richardson-Lucy and the unsupervised Wiener filter of scikit-image with the true
kernel. Richardson-Lucy gets the number of iterations that suits each picture best.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gensr.generators.engression.generator import Engression
from gensr.generators.engression.instruments import kernel
from gensr.generators.engression.linear import estimate
from gensr.operators import Area, Bicubic, GaussianPSF, KSpaceCrop, Lanczos, MeasuredPSF, Operator
from gensr.priors import weights
from gensr.priors.observation import Observation
from gensr.values.grid import Factor
from gensr.values.random import Stream

from .scores import Row
from .script import words, write
from .sets import SETS, BenchmarkSet

PRIORS = {
    "microscopy": "engression-field",
    "satellite": "engression-field",
    "brain-mr": "engression-field",
    "faces": "engression-faces",
    "chest-xray": "engression-chest-xray",
}
LARGEST = 128
"""Side of the middle of a picture that is looked at, pixels."""
FACTORS: tuple[Factor, ...] = ((1, 1), (2, 2), (4, 4), (2, 4))
NOISES = (0.0, 0.01, 0.05)
SAMPLES = 8
ITERATIONS = (2, 5, 10, 20, 40)
"""Of Richardson-Lucy; the best one counts."""
COLUMNS = (
    "domain", "instrument", "factor", "noise", "linear", "network", "gain", "richardson_lucy", "wiener", "spread",
    "chi2", "cover90",
)  # fmt: skip
PREFACE = (
    "PSNR in dB of the range, mean over pictures: of the linear estimator (posterior mean of a stationary Gaussian "
    "prior under the same instrument), of the network's mean, and where there is only a blur of two deconvolutions of "
    "scikit-image; gain: network above linear. spread: variance of samples over the squared error of their mean, "
    "corrected for their number; chi2: of a sample (empty without noise); cover90: of 90 % intervals, before conformal "
    "factors."
)


@dataclass(frozen=True)
class Instrument:
    """One operator with its name; ``psf`` is the kernel on the image's pixels where it is nothing but a blur."""

    name: str
    operator: Operator
    psf: NDArray[np.float64] | None = None


def instruments(factor: Factor) -> Iterator[Instrument]:
    """Optics, motion, resampling and k-space at a factor; with factor 1 all but what would leave the image as it is."""
    alone = factor == (1, 1)
    widths = {"gaussian": 1.2, "mtf": 0.1} if alone else {"gaussian": 0.6, "mtf": 0.25}
    yield _blur("gaussian", GaussianPSF(factor, widths["gaussian"]), alone)
    yield _blur("mtf", GaussianPSF.from_mtf(factor, widths["mtf"]), alone)
    for number, kind in enumerate(("moffat", "airy", "line", "curve")):
        draw = torch.Generator().manual_seed(3 + number)
        yield _blur(kind, MeasuredPSF(factor, kernel(kind, factor, draw)), alone)
    if alone:
        yield Instrument("noise alone", Area(1))
        return
    yield Instrument("area", Area(factor))
    yield Instrument("bicubic", Bicubic(factor))
    yield Instrument("lanczos", Lanczos(factor))
    yield Instrument("kspace", KSpaceCrop(factor, "hamming"))


def _blur(name: str, operator: Operator, alone: bool) -> Instrument:
    return Instrument(name, operator, response(operator) if alone else None)


def response(operator: Operator) -> NDArray[np.float64]:
    """Kernel of a blur with factor 1, odd sides."""
    side = 2 * operator.reach + 1
    unit = torch.zeros(3 * side, 3 * side, dtype=torch.float64)
    unit[3 * side // 2, 3 * side // 2] = 1.0
    middle = slice(side, 2 * side)
    return np.asarray(operator.forward(unit)[middle, middle].numpy())


def observed(x: Tensor, operator: Operator, noise: float) -> Observation:
    """Data of pictures (n, band, rows, cols) in generator units."""
    rows, cols = (n // s * s for n, s in zip(x.shape[-2:], operator.factor, strict=True))
    y = operator.forward(x[..., :rows, :cols])
    y = y + noise * torch.randn(y.shape, generator=torch.Generator().manual_seed(7))
    usable = torch.ones_like(y, dtype=torch.bool)
    return Observation(y, operator, torch.full_like(y, noise**2), usable, exact=noise == 0)


def pictures(item: BenchmarkSet, root: Path, limit: int, split: str) -> Tensor:
    """Middles of pictures of a split in generator units, (n, band, side, side)."""
    found = []
    for case in item.cases(root, split, limit):
        image = case.image.astype(np.float32)
        if item.percentiles is None:
            image = image / np.float32(case.peak)
        else:
            low, high = np.percentile(image, item.percentiles)
            image = (image - np.float32(low)) / np.float32(high - low)
        side = min(LARGEST, *image.shape[1:]) // 16 * 16
        top, left = ((n - side) // 2 for n in image.shape[1:])
        found.append(torch.from_numpy(np.ascontiguousarray(image[:, top : top + side, left : left + side])))
    side = min(image.shape[-1] for image in found)
    return torch.stack([image[:, :side, :side] for image in found])


def psnr(found: Tensor, x: Tensor) -> float:
    """Mean over pictures, dB of one generator unit."""
    return float(-10 * (found - x).square().mean((1, 2, 3)).clamp(min=1e-12).log10().mean())


def deconvolved(data: Observation, psf: NDArray[np.float64], x: Tensor) -> Row:
    """The deconvolutions of scikit-image with the true kernel."""
    restoration: Any = importlib.import_module("skimage.restoration")  # without types, and only of the tests' extra
    filtered, iterated = [], []
    for image, truth in zip(data.y.double().numpy(), x.double().numpy(), strict=True):
        planes = [restoration.unsupervised_wiener(plane, psf, clip=False, rng=0)[0] for plane in image]
        filtered.append(np.square(planes - truth).mean())
        least = image.min()  # Richardson-Lucy wants positive values
        tries = [
            [
                restoration.richardson_lucy(plane - least + 1e-3, psf, count, clip=False) + least - 1e-3
                for plane in image
            ]
            for count in ITERATIONS
        ]
        iterated.append(min(np.square(one - truth).mean() for one in tries))
    return {
        "richardson_lucy": float(-10 * np.log10(iterated).mean()),
        "wiener": float(-10 * np.log10(filtered).mean()),
    }


def row(domain: str, generator: Engression, x: Tensor, one: Instrument, noise: float) -> Row:
    """Figures of an instrument at a noise level."""
    data = observed(x, one.operator, noise)
    x = x[..., : data.shape[0], : data.shape[1]]
    with torch.no_grad():
        linear, found = estimate(data, generator.model.prior).mean, generator.posterior(data)
        draws = torch.stack(
            [
                generator.draw(data, lambda step, k=k: Stream(0).child("instruments", k, step).normal(tuple(x.shape)))  # type: ignore[misc]
                for k in range(SAMPLES)
            ]
        )
    fy, fx = one.operator.factor
    known, own = psnr(linear, x), psnr(found.mean, x)
    out: Row = {"domain": domain, "instrument": one.name, "factor": f"{fy}x{fx}", "noise": noise}
    out |= {"linear": known, "network": own, "gain": own - known}
    if one.psf is not None:
        out |= deconvolved(data, one.psf, x)
    variance = float(draws.var(0, unbiased=True).mean())
    fair = float((draws.mean(0) - x).square().mean()) - variance / SAMPLES
    out["spread"] = variance / max(fair, 1e-12)
    if noise:
        rest = data.y - one.operator.forward(draws[0])
        out["chi2"] = float(rest.square().mean()) / noise**2
    inside = (found.mean - x).abs() <= 1.6449 * found.variance.sqrt()
    return out | {"cover90": float(inside.float().mean())}


def main(argv: Sequence[str] | None = None) -> int:
    """Write ``instruments.csv`` and ``instruments.md``; sets whose network is not installed are left out.

    Raises:
        UsageError: an unknown argument.
    """
    given = words(argv, {"data": "../shared/data", "output": "benchmarks/results", "cases": "16", "sets": ""})
    torch.set_num_threads(1)
    chosen = [name for name in given["sets"].split(",") if name]
    rows: list[Row] = []
    for item in SETS:
        name = PRIORS.get(item.name, "")
        if name not in weights.available() or (chosen and item.name not in chosen):
            continue
        generator, _ = weights.load(name)
        assert isinstance(generator, Engression)
        x = pictures(item, Path(given["data"]), int(given["cases"]), "test")
        for factor in FACTORS:
            for one in instruments(factor):
                for noise in NOISES[1:] if one.name == "noise alone" else NOISES:
                    rows.append(row(item.name, generator, x, one, noise))
                    print(rows[-1], flush=True)
        _written(Path(given["output"]), rows)
    return 0


def _written(output: Path, rows: Sequence[Row]) -> None:
    gains = [float(one["gain"]) for one in rows]
    rivals = [one for one in rows if "wiener" in one]
    ahead = sum(float(one["network"]) > max(float(one["richardson_lucy"]), float(one["wiener"])) for one in rivals)
    said = (
        f"Of {len(rows)} cells the network is above the linear estimator in {sum(gain > 0 for gain in gains)} (least "
        f"{min(gains):.2f} dB); of {len(rivals)} blurs above both deconvolutions in {ahead}."
    )
    write(output, "instruments", ["# Other instruments", "", PREFACE, "", said], COLUMNS, rows)


if __name__ == "__main__":
    raise SystemExit(main())
