"""How good is it: figures of held-out images by several instruments, and panels to look at.

A draw is right if it is as far from the truth as truths are from each other given the data: the variance of draws is
the squared error of their mean, truths rank evenly among draws, and residuals of draws are noise at every block size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

from gensr.operators import Area, GaussianPSF, Operator
from gensr.operators.resample import upsample
from gensr.priors.observation import Observation
from gensr.priors.stretch import NOISE_UNIT, Stretch
from gensr.values.random import Stream

from .generator import Engression
from .model import IDENTITY

DRAWS = 8
BLOCKS = (1, 2, 4, 8)
GAP = 2
SHOWN = 4
"""Images of a panel."""


@dataclass(frozen=True)
class Case:
    """One instrument and noise level.

    Attributes:
        name: for tables.
        operator: the instrument.
        noise: standard deviation, generator units; 0 for exact data.
    """

    name: str
    operator: Operator
    noise: float


def cases(flux: bool = False) -> list[Case]:
    """Block means by 2, 4 and 8 and a Gaussian PSF, without noise and with 2 %; of fluxes means with the sky's."""
    operators: dict[str, Operator] = {f"x{f}": Area(f) for f in (2, 4, 8)}
    if flux:
        return [Case(name, operator, noise) for name, operator in operators.items() for noise in (0.0, 1 / NOISE_UNIT)]
    operators["psf x4"] = GaussianPSF(4, 0.6)
    return [Case(name, operator, noise) for name, operator in operators.items() for noise in (0.0, 0.02)]


def pictured(x: Tensor, case: Case, generator: Engression) -> Tensor:
    """Truths of a case, generator units: fluxes as priors of them are scaled."""
    return x * math.sqrt(math.prod(case.operator.factor)) if generator.flux else x


COLUMNS = (
    "lanczos", "linear", "mean", "draws", "spread", "rank_low", "rank_middle", "rank_high",
    *(f"chi2_{side}" for side in BLOCKS), "rest",
)  # fmt: skip
"""PSNR in dB of interpolation, linear mean, mean head, and mean of draws without the share of their number; variance of
draws over squared error of their mean, corrected; share of truths below, amid and above all draws over that expected;
squared residual of a draw in blocks of data, units of their noise (0 for exact data); rms residual of a draw.
Of fluxes all but residuals in network units."""


@dataclass(frozen=True)
class Answer:
    """What a generator makes of one case; all (n, band, rows, cols), ``draws`` (DRAWS, ...)."""

    data: Observation
    lanczos: Tensor
    linear: Tensor
    mean: Tensor
    deviation: Tensor
    draws: Tensor


def observed(x: Tensor, case: Case, seed: int) -> Observation:
    """Data of truths (n, band, rows, cols)."""
    draw = torch.Generator().manual_seed(seed)
    y = case.operator.forward(x)
    y = y + case.noise * torch.randn(y.shape, generator=draw)
    usable = torch.ones_like(y, dtype=torch.bool)
    return Observation(y, case.operator, torch.full_like(y, case.noise**2), usable, exact=case.noise == 0)


def answer(generator: Engression, x: Tensor, case: Case, seed: int = 0) -> Answer:
    """Everything a generator says of data of truths ``x``."""
    data = observed(x, case, seed)
    with torch.no_grad():
        found = generator.posterior(data)
        drawn = []
        for k in range(DRAWS):
            drawn.append(generator.draw(data, lambda step, k=k: _normal(x, (seed, k, step))))  # type: ignore[misc]
        linear = generator.model.stretch.inverse(generator.model.told(data).mean)
    smooth = torch.from_numpy(upsample(data.y.numpy(), case.operator.factor))
    return Answer(data, smooth, linear, found.mean, found.variance.sqrt(), torch.stack(drawn))


def _normal(like: Tensor, path: tuple[int, ...]) -> Tensor:
    return Stream(0).child("validation", *path).normal(tuple(like.shape))


def figures(x: Tensor, found: Answer, stretch: Stretch = IDENTITY) -> dict[str, float]:
    """See `COLUMNS`; ``x`` are the truths, ``stretch`` leads to network units."""
    rest = found.data.y - found.data.operator.forward(found.draws[0])
    x, draws, lanczos, linear, mean = map(stretch.forward, (x, found.draws, found.lanczos, found.linear, found.mean))
    count = len(draws)
    centre, variance = draws.mean(0), draws.var(0, unbiased=True)
    error = float((centre - x).square().mean())
    fair = max(error - float(variance.mean()) / count, 1e-12)
    noise = torch.rand(x.shape, generator=torch.Generator().manual_seed(0))
    below = (draws < x).sum(0) + (noise * ((draws == x).sum(0) + 1)).floor()
    share = torch.bincount(below.long().flatten(), minlength=count + 1)[: count + 1] / below.numel() * (count + 1)
    out = {
        "lanczos": psnr(lanczos, x),
        "linear": psnr(linear, x),
        "mean": psnr(mean, x),
        "draws": -10 * float(np.log10(fair)),
        "spread": float(variance.mean()) / fair,
        "rank_low": float(share[0]),
        "rank_middle": float(share[1:-1].mean()),
        "rank_high": float(share[-1]),
    }
    for side in BLOCKS:
        fits = min(rest.shape[-2:]) >= 2 * side and not found.data.exact
        unit = found.data.variance.mean() / side**2
        out[f"chi2_{side}"] = float((avg_pool2d(rest, side).square() / unit).mean()) if fits else 0.0
    return out | {"rest": float(rest.square().mean().sqrt())}


def psnr(estimated: Tensor, x: Tensor) -> float:
    """Of all pixels together; the range is one generator unit."""
    return -10 * float((estimated - x).square().mean().clamp(min=1e-12).log10())


def table(generator: Engression, held: dict[str, Tensor]) -> list[tuple[str, str, float, dict[str, float]]]:
    """(set, case, noise, figures) of every set of held-out images and every case."""
    out = []
    for name, images in held.items():
        for case in cases(generator.flux):
            x = pictured(images, case, generator)
            found = figures(x, answer(generator, x, case), generator.model.stretch)
            out.append((name, case.name, case.noise, found))
    return out


def panel(path: Path, generator: Engression, sets: Sequence[Tensor], case: Case) -> None:
    """One PNG: per row data, linear mean, mean, two draws, deviation (to its largest), truth; some rows of each set."""
    from PIL import Image

    rows = []
    for x in sets:
        x = pictured(x[:SHOWN], case, generator)
        found = answer(generator, x, case)
        fy, fx = case.operator.factor
        seen = generator.model.stretch.forward
        coarse = found.data.y.repeat_interleave(fy, -2).repeat_interleave(fx, -1)
        doubt = found.deviation / found.deviation.amax((-2, -1), True)
        columns = (*map(seen, (coarse, found.linear, found.mean, found.draws[0], found.draws[1])), doubt, seen(x))
        shown = [pad(c[:, :3].clamp(0, 1), (0, GAP, 0, GAP), value=1.0).expand(-1, 3, -1, -1) for c in columns]
        rows.append(torch.cat(shown, -1))
    sheet = torch.cat([row.movedim(1, -1).flatten(0, 1) for row in rows])
    partial = path.with_name(f".{path.name}.partial")
    Image.fromarray(_bytes(sheet.repeat_interleave(2, 0).repeat_interleave(2, 1))).save(partial, "PNG")
    partial.replace(path)


def _bytes(x: Tensor) -> npt.NDArray[np.uint8]:
    return np.asarray((255 * x).round().byte().numpy())
