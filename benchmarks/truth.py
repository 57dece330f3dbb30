"""Are solvers and samplers true? Where the posterior is known: ``python -m gensr.benchmarks.truth``.

Images of one window of a small Gaussian mixture, several operators, noise. Posterior mean, deviation, weights of the
modes and coverage of every method beside the exact ones, in ``benchmarks/results/truth.csv`` and ``truth.md``.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path

import torch
from torch import Tensor

from gensr.metrics.calibration import LEVELS, coverage_gaussian, coverage_samples
from gensr.search.closed_form import ClosedForm
from gensr.search.gauss_newton import GaussNewton
from gensr.search.guided import Guided, guided_samples
from gensr.search.loop import solve
from gensr.search.problem import Problem
from gensr.search.randomise import choose, log_evidence, randomised

from .exact import SIDE, Case, Truth, cases, simulate

Row = Mapping[str, str | int | float]
Draw = Callable[[Case, Tensor, torch.Generator], Tensor]
"""From a case, data (n, 1, h, w) and random numbers to one posterior sample per row."""


def guided(settings: Guided) -> Draw:
    """Guided samples as a method."""

    def draw(case: Case, y: Tensor, numbers: torch.Generator) -> Tensor:
        def noise(step: int) -> Tensor:
            return torch.randn(len(y), 1, SIDE, SIDE, generator=numbers, dtype=torch.float64)

        return guided_samples(case.generator, case.observe(y), noise, settings)

    return draw


def randomise(case: Case, y: Tensor, numbers: torch.Generator) -> Tensor:
    """Randomise-then-optimise as a method; modes are chosen by their evidence, the same for equal rows."""
    spec = case.generator.latents((SIDE, SIDE))
    zeros = {t.name: y.new_zeros(len(y), *t.shape) for t in spec.tensors}
    edges = torch.cat([y.new_zeros(1), case.generator.parameters.weight.double().cumsum(0)])
    middle = torch.special.ndtri((0.5 * (edges[1:] + edges[:-1])).clamp(1e-9, 1 - 1e-9))  # latent of each component
    k = len(middle)
    if k > 1:
        fixed = {**{n: t[:k] for n, t in zeros.items()}, "component": middle.view(k, 1, 1)}
        problem = Problem(case.generator, case.observe(y[:1].expand(k, -1, -1, -1)), fixed)
        best = solve(GaussNewton(steps=50), problem)
        score = log_evidence(problem, spec.flatten(best.latents)) + case.generator.prior(SIDE).weight.log()
        chosen = choose(score, len(y), float(torch.rand((), generator=numbers)))
        zeros["component"] = middle[chosen].view(-1, 1, 1)
    problem = Problem(case.generator, case.observe(y), zeros)
    e, z = (torch.randn(shape, generator=numbers, dtype=torch.float64) for shape in (y.shape, (len(y), spec.dimension)))
    return randomised(ClosedForm() if k == 1 else GaussNewton(steps=50), problem, e, z).images


METHODS: Mapping[str, Draw] = {
    "randomise-then-optimise": randomise,
    "guided tweedie 32 steps": guided(Guided(32)),
    "guided tweedie 16 steps": guided(Guided(16)),
    "guided tweedie 8 steps": guided(Guided(8)),
    "guided pigdm 32 steps": guided(Guided(32, "pigdm")),
    "guided pigdm 8 steps": guided(Guided(8, "pigdm")),
    "guided ddnm 32 steps": guided(Guided(32, "ddnm")),
    "guided ddnm 8 steps": guided(Guided(8, "ddnm")),
}


def score(truth: Truth, samples: Tensor, modes: Tensor) -> Row:
    """Errors of samples (k, 1, rows, cols), with what ``k`` exact samples would show on average taken off.

    ``mean`` and ``std`` are rms over pixels in units of the posterior deviation, ``width`` the mean ratio of
    deviations, ``weight`` the largest error of a mode's share in points (with its Monte Carlo error).
    """
    k, flat = len(samples), samples.flatten(1).double()
    mean = ((flat.mean(0) - truth.mean) / truth.std).square().mean() - 1 / k
    ratio = flat.std(0) / truth.std
    spread = (ratio - 1).square().mean() - 1 / (2 * k)
    share = torch.bincount(modes, minlength=len(truth.weight)) / k
    return {
        "mean": round(float(mean.clamp(min=0).sqrt()), 4),
        "std": round(float(spread.clamp(min=0).sqrt()), 4),
        "width": round(float(ratio.mean()), 4),
        "weight": round(100 * float((share - truth.weight).abs().max()), 2),
    }


def ambiguous(case: Case) -> Tensor:
    """Data (1, 1, h, w) of a two-mode case under which neither mode is sure, or the least sure of 40."""
    _, y = simulate(case, 40, seed=5)
    sure = torch.stack([case.truth(v).weight.max() for v in y])
    row = int(sure.argmin())
    return y[row : row + 1]


def moment_rows(samples: int) -> Iterator[Row]:
    """Mean, deviation and weights of every method on every case."""
    for components in (1, 2):
        for case in cases(components):
            y = ambiguous(case)
            truth = case.truth(y)
            for name, draw in METHODS.items():
                numbers, began = torch.Generator().manual_seed(1), time.perf_counter()
                drawn = draw(case, y.expand(samples, -1, -1, -1), numbers)
                seconds = time.perf_counter() - began
                head = {"modes": components, "case": case.name, "method": name}
                yield {**head, **score(truth, drawn, case.modes(drawn)), "seconds": round(seconds, 2)}


def coverage_closed(case: Case, truths: int, seed: int) -> Mapping[float, float]:
    """Coverage of the closed form over images drawn from the prior (one component)."""
    x, y = simulate(case, truths, seed)
    exact = case.truth(y[0])
    gain = torch.linalg.lstsq((y - y[0]).flatten(1), torch.stack([case.truth(v).mean for v in y]) - exact.mean).solution
    mean = exact.mean + (y - y[0]).flatten(1) @ gain
    return coverage_gaussian(x.flatten(1).numpy(), mean.numpy(), exact.std.numpy())


def coverage_drawn(case: Case, draw: Draw, truths: int, draws: int, seed: int) -> Mapping[float, float]:
    """Coverage of intervals from samples over images drawn from the prior."""
    x, y = simulate(case, truths, seed)
    numbers = torch.Generator().manual_seed(seed + 1)
    parts = [draw(case, part.repeat_interleave(draws, 0), numbers) for part in torch.split(y, 100, 0)]
    stack = torch.cat(parts).view(truths, draws, -1).transpose(0, 1)
    return coverage_samples(x.flatten(1).numpy(), stack.numpy())


def coverage_rows(truths: int, draws: int) -> Iterator[Row]:
    """Coverage of 50, 90 and 95 % intervals of every method on the one-mode cases."""
    for case in cases(1):
        found = {"closed form": coverage_closed(case, truths, 11)}
        for name in (
            "randomise-then-optimise",
            "guided tweedie 16 steps",
            "guided pigdm 8 steps",
            "guided ddnm 8 steps",
        ):
            found[name] = coverage_drawn(case, METHODS[name], truths, draws, 11)
        for name, cover in found.items():
            head: dict[str, str | int | float] = {"modes": 1, "case": case.name, "method": name}
            yield head | {f"cover{100 * level:.0f}": round(100 * cover[level], 2) for level in LEVELS}


COLUMNS = ("modes", "case", "method", "mean", "std", "width", "weight", "cover50", "cover90", "cover95", "seconds")


def main(arguments: Sequence[str] | None = None) -> None:
    """Write ``truth.csv`` and ``truth.md``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--samples", type=int, default=1024, help="samples per method for mean and deviation")
    parser.add_argument("--truths", type=int, default=1000, help="images for coverage")
    parser.add_argument("--draws", type=int, default=39, help="samples per image for coverage; 95 %% needs 39")
    options = parser.parse_args(arguments)
    rows = []
    for row in chain(moment_rows(options.samples), coverage_rows(options.truths, options.draws)):
        print(row, flush=True)
        rows.append(row)
    options.out.mkdir(parents=True, exist_ok=True)
    with (options.out / "truth.csv").open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    (options.out / "truth.md").write_text(document(rows, options), encoding="utf-8")


def document(rows: Sequence[Row], options: argparse.Namespace) -> str:
    """The table for people: the worst of all operators and noise levels per method."""
    lines = [
        "# Truth: solvers and samplers where the posterior is known",
        "",
        f"Made by `python -m gensr.benchmarks.truth` ({options.samples} samples per method and case; coverage over "
        f"{options.truths} images with {options.draws} samples each). All cases are in `truth.csv`.",
        "",
        "The image is one 8 x 8 window of a Gaussian mixture; operators are area x2, area x4 and a Gaussian PSF x2,",
        "noise 0.02 and 0.1. `mean` and `std` are rms errors over pixels in units of the posterior deviation, less",
        "what exact samples of that number would show; `width` is the mean ratio of deviations; `weight` the error of",
        "the modes' shares in points. `modes` is the number of components of the prior; the data are those of 40",
        "images that leave most doubt.",
        "",
        "| modes | method | worst mean | worst std | width | worst weight |",
        "|---|---|---|---|---|---|",
    ]
    for modes in (1, 2):
        for name in METHODS:
            some = [r for r in rows if r["modes"] == modes and r["method"] == name and "mean" in r]
            worst = {key: max(float(r[key]) for r in some) for key in ("mean", "std", "weight")}
            width = sorted(float(r["width"]) for r in some)
            lines.append(
                f"| {modes} | {name} | {worst['mean']:.3f} | {worst['std']:.3f} | {width[0]:.2f} to {width[-1]:.2f} "
                f"| {worst['weight']:.1f} |"
            )
    lines += ["", "| method | 50 % covers | 90 % covers | 95 % covers |", "|---|---|---|---|"]
    for covered in dict.fromkeys(str(r["method"]) for r in rows if "cover50" in r):
        some = [r for r in rows if r["method"] == covered and "cover50" in r]
        cells = []
        for key in ("cover50", "cover90", "cover95"):
            values = sorted(float(r[key]) for r in some)
            cells.append(f"{values[0]:.1f} to {values[-1]:.1f}")
        lines.append(f"| {covered} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", READING])


READING = """Reading

* Randomise-then-optimise is exact here, weights of modes included (by their evidence).
* The guided step with the denoiser's own covariance ("tweedie") is exact for one mode up to its step size. With two
  modes it treats the denoiser's posterior as one Gaussian while both are possible, which leaves weight on a mode that
  the data rule out; more steps do not repair that.
* "pigdm" and "ddnm" put one number for that covariance: their mean is off by a fraction of the deviation at any number
  of steps. "ddnm" needs no derivative of the denoiser and is the cheapest.
"""


if __name__ == "__main__":
    main()
