"""Score the baselines on every test split: ``python -m gensr.benchmarks.floors --root data --out floors.csv``.

x2, x4 and x8, without noise and with 1 % of the peak (astronomy: with its camera's noise). Baselines are interpolation
and patch LMMSE with 16 and 32 pixel patches; 16 pixels are only 2 x 2 observed ones at x8, fewer than Lanczos sees.
"""

import argparse
import csv
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from . import interpolation
from .astronomy import load_fields, photometry
from .datasets import Case, foreground, load, luminance
from .flux_lmmse import fit_flux_lmmse
from .lmmse import Blend, PatchStatistics, cached_statistics, patch_lmmse
from .protocol import mean_squared_error, observe, score

__all__ = ["SETTINGS", "Setting", "astronomy_rows", "main", "setting_rows"]

Array = NDArray[np.float64]
Estimator = Callable[[Array], Array]
Row = Mapping[str, str | int | float]
FACTORS = (2, 4, 8)
COLUMNS = (
    *("domain", "factor", "noise", "method", "cases", "psnr_mean", "psnr_pooled"),
    *("psnr_foreground_mean", "psnr_foreground_pooled", "psnr_y_mean", "psnr_y_pooled"),
    *(f"{kind}_{radius}{mad}" for kind in ("galaxies", "stars") for radius in ("0.25", "0.5") for mad in ("", "_mad")),
)


@dataclass(frozen=True)
class Setting:
    """One block of the table.

    Attributes:
        name: the ``domain`` column.
        domain: the pack that is read.
        clipped: whether answers are clipped to 0..peak.
        grey: whether RGB is turned to luminance before it is observed.
    """

    name: str
    domain: str
    clipped: bool
    grey: bool = False


SETTINGS = (
    Setting("satellite_y", "satellite", clipped=False, grey=True),
    Setting("satellite_rgb", "satellite", clipped=False),
    Setting("microscopy", "microscopy", clipped=True),
    Setting("medical_cxr", "medical_cxr", clipped=True),
    Setting("medical_brain", "medical_brain", clipped=False),
    Setting("faces", "faces", clipped=True),
)


def _cases(root: Path, setting: Setting, split: str, limit: int | None) -> list[Case]:
    cases = load(root, setting.domain, split, limit)
    if setting.grey:
        return [replace(case, image=luminance(case.image).astype(np.float32)) for case in cases]
    return cases


def _patch_estimator(fitted: Sequence[PatchStatistics], factor: int, sigma: float, blend: Blend) -> Estimator:
    each = [patch_lmmse(statistics, factor, sigma, blend=blend).upscale for statistics in fitted]
    return each[0] if len(each) == 1 else partial(_bandwise, each)


def _bandwise(estimators: Sequence[Estimator], low: Array) -> Array:
    return np.concatenate([estimate(low[i : i + 1]) for i, estimate in enumerate(estimators)])


def _moments(root: Path, cache: Path, setting: Setting, bands: int, patch: int) -> dict[str, list[PatchStatistics]]:
    """Fitted moments by method: one entry for a joint estimate, one per band otherwise."""
    kept: list[list[NDArray[np.float32]]] = []

    def train(band: slice) -> list[NDArray[np.float32]]:
        if not kept:
            kept.append([case.image for case in _cases(root, setting, "train", None)])
        return [image[band] for image in kept[0]]

    def fit(name: str, band: slice) -> PatchStatistics:
        return cached_statistics(cache, f"{setting.name}_{name}", partial(train, band), patch)

    if bands == 1:
        return {f"lmmse{patch}": [fit("all", slice(None))]}
    fitted = {f"lmmse{patch} joint": [fit("all", slice(None))]}
    if setting.domain == "satellite":
        fitted[f"lmmse{patch} per band"] = [fit(f"band{i}", slice(i, i + 1)) for i in range(bands)]
    return fitted


def setting_rows(root: Path, cache: Path, setting: Setting, limit: int | None = None) -> Iterator[Row]:
    """The rows of one block.

    Args:
        root: folder of the data packs.
        cache: folder of the fitted moments.
        setting: which block.
        limit: at most so many test pictures.

    Yields:
        One row per factor, noise and method.
    """
    cases = _cases(root, setting, "test", limit)
    peak, bands = cases[0].peak, cases[0].image.shape[0]
    moments: dict[str, list[PatchStatistics]] = {}
    for patch in (16, 32):
        moments |= _moments(root, cache, setting, bands, patch)
    masks = [foreground(case.image) for case in cases] if setting.domain == "microscopy" else []
    for factor in FACTORS:
        for noise in (0.0, 0.01):
            observations = observe(cases, factor, noise)
            estimators: dict[str, Estimator] = {
                method: partial(interpolation.upscale, factor=factor, method=method) for method in interpolation.METHODS
            }
            for method, fitted in moments.items():
                estimators[method] = _patch_estimator(fitted, factor, noise * peak, "uniform")
                if fitted[0].patch > 16:
                    estimators[f"{method} centre"] = _patch_estimator(fitted, factor, noise * peak, "centre")
            for method, estimate in estimators.items():
                answers = [estimate(low) for low in observations]
                if setting.clipped:
                    answers = [np.clip(answer, 0, peak) for answer in answers]
                head: Row = {"domain": setting.name, "factor": factor, "noise": noise, "method": method}
                yield {**head, **_scores(cases, answers, masks)}


def _scores(cases: Sequence[Case], answers: Sequence[Array], masks: Sequence[NDArray[np.bool_]]) -> Row:
    peak = cases[0].peak
    whole = score([mean_squared_error(c.image, a) for c, a in zip(cases, answers, strict=True)], peak)
    row = {"cases": whole.cases, "psnr_mean": whole.mean, "psnr_pooled": whole.pooled}
    if masks:
        inside = score([mean_squared_error(c.image, a, m) for c, a, m in zip(cases, answers, masks, strict=True)], peak)
        row |= {"psnr_foreground_mean": inside.mean, "psnr_foreground_pooled": inside.pooled}
    if cases[0].image.shape[0] == 3:
        grey = [mean_squared_error(luminance(c.image), luminance(a)) for c, a in zip(cases, answers, strict=True)]
        row |= {"psnr_y_mean": score(grey, peak).mean, "psnr_y_pooled": score(grey, peak).pooled}
    return row


def _flux_interpolation(method: str, factor: int, low: Array) -> Array:
    return interpolation.upscale(low, factor, method, "repeat") / factor**2


def astronomy_rows(root: Path, limit: int | None = None) -> Iterator[Row]:
    """The astronomy block: PSNR of the stretched value, photometry in per cent, each also clipped at 0.

    Args:
        root: folder of the data packs.
        limit: at most so many test fields.

    Yields:
        One row per factor, noise and method. Estimators are fitted on the first 3,000 training fields.
    """
    training = load_fields(root / "astronomy" / "train.npz", 3000).flux
    cases = load(root, "astronomy", "test", limit)
    truth = [case.image[0] for case in cases]
    for factor in FACTORS:
        for noisy in (False, True):
            observations = observe(cases, factor, float(noisy), flux=True)
            estimators: dict[str, Estimator] = {
                method: partial(_flux_interpolation, method, factor) for method in interpolation.METHODS
            }
            estimators["lmmse flux"] = fit_flux_lmmse(training, factor, noisy=noisy).upscale
            estimators["lmmse stretched"] = fit_flux_lmmse(training, factor, noisy=noisy, space="stretched").upscale
            for method, estimate in estimators.items():
                answers = [estimate(low) for low in observations]
                for name, final in ((method, answers), (f"{method} clipped", [np.maximum(a, 0) for a in answers])):
                    errors = [mean_squared_error(c.image, a, stretched=True) for c, a in zip(cases, final, strict=True)]
                    psnr = score(errors, 1.0)
                    row: dict[str, str | int | float] = {
                        "domain": "astronomy",
                        "factor": factor,
                        "noise": "camera" if noisy else 0.0,
                        "method": name,
                        "cases": psnr.cases,
                        "psnr_mean": psnr.mean,
                        "psnr_pooled": psnr.pooled,
                    }
                    columns = photometry(truth, [a[0] for a in final], [case.sources for case in cases])
                    for column, (middle, spread, _) in columns.items():
                        row |= {column: middle, f"{column}_mad": spread}
                    yield row


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the table.

    Args:
        arguments: command line; None for that of the process.
    """
    parser = argparse.ArgumentParser(prog="python -m gensr.benchmarks.floors", description=__doc__)
    parser.add_argument("--root", type=Path, required=True, help="folder of the data packs")
    parser.add_argument("--cache", type=Path, required=True, help="folder for fitted moments")
    parser.add_argument("--out", type=Path, required=True, help="the table to write")
    parser.add_argument("--limit", type=int, help="at most so many test pictures per domain")
    options = parser.parse_args(arguments)
    blocks = [astronomy_rows(options.root, options.limit)]
    blocks += [setting_rows(options.root, options.cache, setting, options.limit) for setting in SETTINGS]
    start = time.perf_counter()
    with options.out.open("w", newline="", encoding="utf-8") as handle:
        table = csv.DictWriter(handle, COLUMNS, lineterminator="\n")
        table.writeheader()
        for block in blocks:
            for row in block:
                table.writerow({k: f"{v:.3f}" if isinstance(v, float) and k != "noise" else v for k, v in row.items()})
                handle.flush()
                head = " ".join(str(row[column]) for column in COLUMNS[:4])
                print(f"{time.perf_counter() - start:7.1f} s  {head}: {row['psnr_mean']:.2f} dB", flush=True)


if __name__ == "__main__":
    main()
