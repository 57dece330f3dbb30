"""Scores of a reconstruction, in the order in which they should be read.

1. `consistency`: does it explain the data? Needs no truth.
2. `distortion`: how far from the truth is it?
3. `calibration`: is the stated uncertainty true?
4. `realism`: does it have the texture of real images?
5. `diversity`: how much do answers differ, and what have they in common?

Distances that need a network come from plug-ins (`plugged`). Images are numpy arrays (..., y, x) in physical units
unless said otherwise; sums are in float64.
"""

from gensr.metrics.calibration import (
    LEVELS,
    conformal_scale,
    coverage_gaussian,
    coverage_samples,
    spread_correlation,
)
from gensr.metrics.consistency import chi_square, consistency_rms
from gensr.metrics.distortion import (
    affine_fit,
    ergas,
    foreground,
    nrmse_affine,
    psnr,
    rmse,
    spectral_angle,
    ssim,
    ssim_map,
)
from gensr.metrics.diversity import agreement, diversity, pairwise
from gensr.metrics.multiscale import frechet, frechet_pyramid, ms_ssim
from gensr.metrics.realism import (
    frc_crossing,
    radial_power,
    ring_correlation,
    sliced_wasserstein,
    spectrum_distance,
)

__all__ = [
    "LEVELS",
    "affine_fit",
    "agreement",
    "chi_square",
    "conformal_scale",
    "consistency_rms",
    "coverage_gaussian",
    "coverage_samples",
    "diversity",
    "ergas",
    "foreground",
    "frc_crossing",
    "frechet",
    "frechet_pyramid",
    "ms_ssim",
    "nrmse_affine",
    "pairwise",
    "psnr",
    "radial_power",
    "ring_correlation",
    "rmse",
    "sliced_wasserstein",
    "spectral_angle",
    "spectrum_distance",
    "spread_correlation",
    "ssim",
    "ssim_map",
]
