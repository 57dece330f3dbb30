"""What holds no contrast stays as it is, what holds nothing is refused, whatever the units."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import rasterio
import tifffile
from astropy.io import fits

import gensr
from gensr.errors import DomainError
from gensr.pipeline.flat import flat_bands, flat_plane
from gensr.values.grid import PixelGrid
from gensr.values.image import Image

LIKE = {"factor": 2, "search": "fast", "samples": 1}


def image(values, usable=None):
    values = np.asarray(values, np.float64)
    usable = np.ones(values.shape, bool) if usable is None else usable
    return Image(values, PixelGrid(values.shape[1:]), usable, usable, tuple(map(str, range(len(values)))))


def test_bands_without_contrast():
    values = np.stack([np.full((4, 5), 7.0), np.arange(20.0).reshape(4, 5), np.full((4, 5), 3.0)])
    usable = np.ones(values.shape, bool)
    usable[2] = False
    values[0, 1, 1], usable[0, 1, 1] = 9.0, False  # saturated: says nothing of contrast
    assert flat_bands(image(values, usable)).tolist() == [True, False, False]


def test_planes_are_read_until_every_band_shows_a_contrast(monkeypatch):
    monkeypatch.setattr("gensr.pipeline.flat.BLOCK", 10)
    values, seen = np.zeros((1, 8, 5)), []
    values[0, 3, 4] = 1e-9

    def read(plane, window):
        seen.append((plane, window.row))
        return image(values[:, window.row : window.row + window.rows])

    assert flat_plane(read, 4, (8, 5)).tolist() == [False]
    assert seen == [(4, 0), (4, 2)]
    values[0, 3, 4] = 0
    assert flat_plane(read, 4, (8, 5)).tolist() == [True]


@pytest.mark.parametrize("value", [0.0, 1.0, -3e21, 1e-22, 2450000.5, 7e-60])
def test_constant_arrays_stay_constant(value):
    found = gensr.upsample(np.full((12, 14), value), **LIKE)
    for made in (found.mean, found.samples[0]):
        assert np.array_equal(made, np.full((24, 28), value))
    assert np.array_equal(found.std, np.zeros((24, 28)))
    assert found.report["consistency"]["rms"] == 0.0


def test_a_constant_band_beside_another_stays_constant():
    values = np.random.default_rng(0).normal(size=(2, 12, 14))
    values[1] = 5.0
    found = gensr.upsample(values, **LIKE)
    assert (found.mean[1] == 5.0).all()
    assert (found.samples[0][1] == 5.0).all()
    assert found.mean[0].std() > 0.1


def test_zeros_of_a_telescope_stay_zero_and_sums_stay(tmp_path):
    for value in (0.0, 8.0):
        hdu = fits.PrimaryHDU(np.full((12, 14), value, np.float32))
        hdu.header["BUNIT"] = "adu"
        hdu.writeto(tmp_path / "flat.fits", overwrite=True)
        found = gensr.upsample(tmp_path / "flat.fits", **LIKE)
        assert (found.mean == value / 4).all()
        assert (found.samples[0] == value / 4).all()


def void(kind, path):
    if kind == "fits":
        fits.PrimaryHDU(np.full((8, 9), np.nan, np.float32)).writeto(path / "a.fits")
        return path / "a.fits"
    if kind == "nifti":
        nib.save(nib.Nifti1Image(np.full((8, 9, 2), np.nan, np.float32), np.eye(4)), path / "a.nii")
        return path / "a.nii"
    if kind == "microscopy":
        tifffile.imwrite(path / "a.ome.tif", np.full((8, 9), np.nan, np.float32), ome=True)
        return path / "a.ome.tif"
    if kind == "satellite":
        profile = {"driver": "GTiff", "height": 8, "width": 9, "count": 1, "dtype": "uint16", "nodata": 0}
        with rasterio.open(
            path / "a.tif", "w", crs="EPSG:32631", transform=rasterio.Affine(9, 0, 0, 0, -9, 0), **profile
        ) as out:
            out.write(np.zeros((1, 8, 9), np.uint16))
        return path / "a.tif"
    return np.full((8, 9), np.nan)


@pytest.mark.parametrize("kind", ["fits", "nifti", "microscopy", "satellite", "array"])
def test_what_holds_nothing_is_refused_before_anything_is_computed(kind, tmp_path):
    with pytest.raises(DomainError, match="no pixel has a value"):
        gensr.settle(gensr.Request(void(kind, tmp_path), factor=2))


def test_one_pixel_is_enough():
    values = np.full((40, 50), np.nan)
    values[31, 7] = 4.0
    found = gensr.upsample(values, **LIKE)
    assert np.isfinite(found.mean).sum() == 4
    assert np.nanmax(found.mean) == 4.0


def test_contrasts_below_the_digits_of_the_type_are_refused():
    ramp = np.arange(80.0).reshape(8, 10)
    with pytest.raises(DomainError, match=r"differ by .* float32"):
        gensr.settle(gensr.Request((1e-40 * ramp).astype(np.float32), factor=2))
    with pytest.raises(DomainError, match=r"differ by .* float64"):
        gensr.settle(gensr.Request(1e-200 * ramp, factor=2))
