"""Bands that differ in scale alone have answers that differ in scale alone, whatever their order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr

import gensr
from gensr.priors.unet import fast_half

SCALE = 100.0
# A difference in the seventh digit may turn the rounding of a network in bfloat16, which is 5e-4 of the range.
PRIORS = {"gaussian-satellite": 1e-4, "engression-field": 2e-3 if fast_half("cpu") else 1e-4}


def band() -> np.ndarray:
    """Blobs of height 200 on 50, noise 2, 24 x 32."""
    random = np.random.default_rng(7)
    y, x = np.mgrid[:24, :32]
    values = 50 + 0.8 * y
    for row, col in random.uniform(4, 22, (8, 2)):
        values = values + 200 * np.exp(-((y - row) ** 2 + (x - col) ** 2) / 6)
    return (values + random.normal(0, 2, values.shape)).astype(np.float32)


def answers(values: np.ndarray, way: str, tmp_path: Path, noise: str | None, generator: str) -> gensr.Result:
    """The result for bands (band, y, x), from a file or from an array."""
    how = {"factor": 2, "domain": "satellite", "generator": generator, "search": "fast", "samples": 1, "noise": noise}
    if way == "array":
        image = xr.DataArray(values, dims=("band", "y", "x"))
        return gensr.upsample(image, **how)
    path = tmp_path / f"{values[0].max():.0f}.tif"
    profile = {"driver": "GTiff", "count": len(values), "dtype": "float32", "height": 24, "width": 32}
    transform = rasterio.Affine(10, 0, 500_000, 0, -10, 4_000_000)
    with rasterio.open(path, "w", crs="EPSG:32632", transform=transform, **profile) as out:
        out.write(values)
    return gensr.upsample(path, **how)


@pytest.mark.parametrize("way", ["array", "file"])
@pytest.mark.parametrize("noise", [None, "in proportion"])
@pytest.mark.parametrize("generator", PRIORS)
def test_a_and_a_hundred_a(way: str, noise: str | None, generator: str, tmp_path: Path) -> None:
    a = band()
    words = (None, None) if noise is None else ("2,200", "200,2")
    one = answers(np.stack([a, SCALE * a]), way, tmp_path, words[0], generator)
    two = answers(np.stack([SCALE * a, a]), way, tmp_path, words[1], generator)
    for name in ("mean", "std"):
        first, second = (np.asarray(getattr(found, name), np.float64) for found in (one, two))
        reference = first[0]
        tolerance = PRIORS[generator] * np.ptp(a)
        np.testing.assert_allclose(first[1] / SCALE, reference, rtol=0, atol=tolerance)
        np.testing.assert_allclose(second[0] / SCALE, reference, rtol=0, atol=tolerance)
        np.testing.assert_allclose(second[1], reference, rtol=0, atol=tolerance)
    for found, small in ((one, 0), (two, 1)):
        sigma = found.report["noise"]["sigma"]
        assert sigma[1 - small] == pytest.approx(SCALE * sigma[small], rel=1e-3)
        means = np.asarray(found.mean, np.float64).reshape(2, 24, 2, 32, 2).mean((2, 4))
        residual = [np.std(means[small] - a), np.std(means[1 - small] / SCALE - a)]
        assert residual[1] == pytest.approx(residual[0], rel=0.02, abs=1e-4)
        assert residual[0] < 3  # of a noise of 2
