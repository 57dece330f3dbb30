"""How medical images are shown and scored: windows, body mask, masked scores."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gensr.scenes.domain import Codes

SOFT_TISSUE = (-160.0, 240.0)
GREY = 128
AIR = 0.1


def limits(
    modality: str, display: tuple[float, float] | None, reference: npt.NDArray[np.float32]
) -> tuple[float, float]:
    """Lowest and highest physical value to show.

    The window of the file where it meets the data, the soft-tissue window for CT, percentiles 0.5 and 99.9 else and
    for MR, whose units mean nothing.
    """
    finite = reference[np.isfinite(reference)]
    low, high = (float(q) for q in np.percentile(finite, [0.5, 99.9])) if finite.size else (0.0, 1.0)
    if modality == "MR":
        return (low, high) if high > low else (low, low + 1.0)
    for window in (display, SOFT_TISSUE if modality == "CT" else None):
        if window is not None and window[0] < high and window[1] > low:
            return window
    return (low, high) if high > low else (low, low + 1.0)


def grey(values: npt.NDArray[np.float32], low: float, high: float) -> Codes:
    """Values (y, x) as uint8 RGB (y, x, 3); NaN is flat grey with a blue tint, which no value has."""
    scaled = np.clip((values.astype(np.float64) - low) / (high - low), 0.0, 1.0)
    picture = np.repeat(np.rint(np.nan_to_num(scaled) * 255.0).astype(np.uint8)[..., None], 3, -1)
    picture[~np.isfinite(values)] = (GREY, GREY, GREY + 32)
    return picture


def body(truth: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """Body mask (y, x) of an image (y, x): above a tenth of the p0.1 to p99.9 range, holes filled.

    Everything finite where that leaves nothing (a constant image).
    """
    from scipy import ndimage

    finite = np.isfinite(truth)
    low, high = value_range(truth)
    above = finite & (np.nan_to_num(truth, nan=low) > low + AIR * (high - low))
    filled = np.asarray(ndimage.binary_fill_holes(above), np.bool_) & finite
    return filled if filled.any() else finite


def value_range(truth: npt.NDArray[np.float32]) -> tuple[float, float]:
    """Percentiles 0.1 and 99.9 of the finite values."""
    finite = truth[np.isfinite(truth)]
    if not finite.size:
        return 0.0, 0.0
    low, high = np.percentile(finite, [0.1, 99.9])
    return float(low), float(high)


def scores(truth: npt.NDArray[np.float32], estimate: npt.NDArray[np.float32]) -> dict[str, float]:
    """PSNR and NRMSE inside the body, and the high-frequency error norm (HFEN) of the whole picture.

    Whole-image PSNR is inflated by air; the range is p0.1 to p99.9 of the truth.

    Args:
        truth: (band, y, x) physical values.
        estimate: the same shape.
    """
    from scipy import ndimage

    mask = np.stack([body(band) for band in truth]) & np.isfinite(estimate)
    low, high = value_range(truth)
    if not mask.any() or high <= low:
        return {}
    error = (estimate - truth)[mask].astype(np.float64)
    rms = float(np.sqrt(np.mean(error**2)))
    nrmse = rms / (high - low)
    found = {"nrmse_body": nrmse, "psnr_body": -20.0 * float(np.log10(max(nrmse, 1e-10)))}
    edges = [ndimage.gaussian_laplace(np.nan_to_num(b.astype(np.float64)), 1.5) for b in truth]
    wrong = [ndimage.gaussian_laplace(np.nan_to_num(b.astype(np.float64)), 1.5) for b in estimate]
    norm = float(np.linalg.norm(np.stack(edges)))
    if norm > 0:
        found["hfen"] = float(np.linalg.norm(np.stack(wrong) - np.stack(edges))) / norm
    return found
