"""Columns of the benchmark: how far answers are from the truth, and whether they have the texture of real pictures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gensr.metrics import sliced_wasserstein, spectrum_distance, ssim

from .astronomy import photometry, stretch
from .crops import Crop
from .datasets import Case, foreground
from .protocol import mean_squared_error, score
from .sets import BenchmarkSet

Array = NDArray[np.float64]
Row = dict[str, str | int | float]


def seen(item: BenchmarkSet, image: NDArray[np.floating], peak: float) -> Array:
    """An answer as it is scored: flux stretched, others clipped to 0..peak where the set says so."""
    if item.flux:
        return stretch(image)
    return np.asarray(np.clip(image, 0, peak) if item.clipped else image, np.float64)


def distortion(item: BenchmarkSet, cases: Sequence[Case], answers: Sequence[Array]) -> Row:
    """PSNR, SSIM and what the set adds: PSNR of the foreground, photometry (of fields with a catalogue).

    Flux is compared in its stretched unit, whose range is 1.
    """
    peak = cases[0].peak
    final = [np.clip(a, 0, peak) for a in answers] if item.clipped else list(answers)
    errors = [mean_squared_error(c.image, a, stretched=item.flux) for c, a in zip(cases, final, strict=True)]
    whole = score(errors, peak)
    row: Row = {"cases": whole.cases, "psnr_mean": whole.mean, "psnr_pooled": whole.pooled}
    pairs = [(seen(item, c.image, peak), seen(item, a, peak)) for c, a in zip(cases, answers, strict=True)]
    row["ssim"] = float(np.mean([ssim(truth, a, peak) for truth, a in pairs]))
    if item.flux and any(len(case.sources) for case in cases):
        truth = [case.image[0] for case in cases]
        columns = photometry(truth, [a[0] for a in final], [case.sources for case in cases])
        for name, (middle, spread, _) in columns.items():
            row |= {name: middle, f"{name}_mad": spread}
    if item.pack == "microscopy":
        inside = [mean_squared_error(c.image, a, foreground(c.image)) for c, a in zip(cases, final, strict=True)]
        row["psnr_foreground"] = score(inside, peak).mean
    return row


def texture(item: BenchmarkSet, cases: Sequence[Case], answers: Sequence[Array], factor: int) -> Row:
    """Distance of the answers' texture from that of the truths.

    Args:
        item: the set.
        cases: truths, all of one size.
        answers: one per case, same shapes.
        factor: refinement; only detail that the data do not hold is compared.

    Returns:
        ``swd``: sliced Wasserstein distance of patches, mean over the log2(factor) finest levels of a Laplacian
        pyramid, thousandths of the truth's deviation; ``spectrum``: rms difference of the radial power spectra beyond
        the data's Nyquist frequency, dB. Both are 0 for the truth itself.
    """
    peak = cases[0].peak
    truth = np.stack([seen(item, case.image, peak) for case in cases])
    made = np.stack([seen(item, answer, peak) for answer in answers])
    levels = sliced_wasserstein(truth, made)[: max(1, factor.bit_length() - 1)]
    return {
        "swd": float(np.mean(levels)),
        "spectrum": spectrum_distance(truth, made, 0.5 / factor),
    }


def texture_of_crops(
    item: BenchmarkSet, cases: Sequence[Case], answers: Sequence[Array], crops: Sequence[Crop], factor: int
) -> Row:
    """`texture` of parts of whole answers."""
    return texture(item, [c.case(cases) for c in crops], [c.cut(answers[c.index]) for c in crops], factor)
