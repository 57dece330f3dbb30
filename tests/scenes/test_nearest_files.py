"""``labels=nearest`` repeats stored codes to the last bit, in the format that came in, with nothing generated."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
import xarray as xr

import gensr
from gensr.cli.batch import line
from gensr.errors import UsageError
from gensr.pipeline.many import Outcome
from gensr.scenes.provenance import MARK, REPEATED
from tests.kinds import nuclei
from tests.scenes.test_label_files import CELLS, COVER, DARK, PHOTO, fits, geotiff, nifti, png, tiff, volume


def twice(codes: np.ndarray) -> np.ndarray:
    return codes.repeat(2, -1).repeat(2, -2)


def run(source, tmp_path, **more) -> gensr.Result:
    return gensr.upsample(source, factor=2, labels="nearest", output=tmp_path / "out", **more)


def check(result: gensr.Result) -> None:
    """No deviation, no sample, no word of anything generated; the report and the line say what was done."""
    names = [path.name for path in result.files]
    assert not [name for name in names if "_std" in name or "_sample" in name or "_generated" in name]
    assert all("_repeated" in name for name in names)
    report = json.loads(next(p for p in result.files if p.name.endswith("_report.json")).read_text())
    assert (report["mark"], report["samples"]) == (REPEATED, 0)
    assert "std" not in result.arrays
    with pytest.raises(UsageError, match="no deviation"):
        _ = result.std
    assert "pixels are repeated" in line(result.files[0], Outcome(tuple(result.files), report, 1.0))
    for path in result.files:
        assert MARK.encode() not in path.read_bytes()


def test_geotiff_keeps_palette_nodata_and_place(tmp_path):
    rasterio = pytest.importorskip("rasterio")
    colours = {10: (0, 99, 0, 255), 20: (200, 0, 0, 255)}
    path = geotiff(COVER, colours=colours, profile={"nodata": 90})(tmp_path)
    result = run(path, tmp_path)
    check(result)
    with rasterio.open(result.files[0]) as written:
        assert np.array_equal(written.read(1), twice(COVER))
        assert written.nodata == 90
        assert {k: v for k, v in written.colormap(1).items() if k in colours} == colours
        assert tuple(written.transform)[:6] == (5, 0, 5e5, 0, -5, 46e5)
        assert written.crs.to_epsg() == 32633
        assert "GENSR_GENERATED" not in written.tags()


def test_geotiff_of_wide_codes(tmp_path):
    rasterio = pytest.importorskip("rasterio")
    codes = (nuclei(64, 20, 1) * 100_000_007).astype(np.uint32)
    result = run(geotiff(codes)(tmp_path), tmp_path)
    with rasterio.open(result.files[0]) as written:
        assert written.dtypes[0] == "uint32"
        assert np.array_equal(written.read(1), twice(codes))


def test_one_band_among_others_is_repeated_and_the_others_are_refined(tmp_path):
    rasterio = pytest.importorskip("rasterio")
    path = geotiff(PHOTO, DARK, PHOTO[::-1].copy(), names=["B02", "QA_PIXEL", "B03"])(tmp_path)
    result = gensr.upsample(path, factor=2, search="fast", samples=1, labels="nearest", output=tmp_path / "out")
    assert any("pixels of QA_PIXEL are repeated" in text for text in result.report["warnings"])
    mean, std, sample = (rasterio.open(path).read() for path in result.files[:3])
    for codes in (mean, sample):
        assert np.array_equal(codes[1], twice(DARK))
        assert not np.array_equal(codes[0], twice(PHOTO))
    assert np.isnan(std[1]).all()
    assert np.isfinite(std[0]).all()


@pytest.mark.parametrize("kind", ["plain", "imagej", "ome"])
def test_micrographs(tmp_path, kind):
    tifffile = pytest.importorskip("tifffile")
    how = {"plain": {}, "imagej": {"imagej": True}, "ome": {"ome": True}}[kind]
    path = tiff(CELLS, "cells.ome.tif" if kind == "ome" else "cells.tif", **how)(tmp_path)
    result = run(path, tmp_path)
    check(result)
    with tifffile.TiffFile(result.files[0]) as written:
        assert np.array_equal(written.asarray(), twice(CELLS))
        assert written.asarray().dtype == CELLS.dtype


def test_one_channel_among_others(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    meta = {"axes": "CYX", "Channel": {"Name": ["DAPI", "nuclei mask"]}}
    path = tiff(np.stack([PHOTO, DARK]), "a.ome.tif", ome=True, metadata=meta)(tmp_path)
    result = gensr.upsample(path, factor=2, search="fast", samples=0, labels="nearest", output=tmp_path / "out")
    mean, std = (tifffile.imread(path) for path in result.files[:2])
    assert np.array_equal(mean[1], twice(DARK))
    assert not np.array_equal(mean[0], twice(PHOTO))
    assert np.isnan(std[1]).all()
    assert np.isfinite(std[0]).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.uint16, np.float32])
def test_fits_keeps_its_type(tmp_path, dtype):
    module = pytest.importorskip("astropy.io.fits")
    codes = (CELLS.astype(np.int64) * (70_000 if np.dtype(dtype) == np.int32 else 3)).astype(dtype)
    result = run(fits(codes, extname="SEGMAP")(tmp_path), tmp_path)
    check(result)
    with module.open(result.files[0]) as written:
        assert [hdu.name for hdu in written] == ["SEGMAP", "PROVENANCE"]
        assert written[0].data.dtype.newbyteorder("=") == np.dtype(dtype)
        assert np.array_equal(written[0].data, twice(codes))
        assert "GENERATD" not in written[0].header


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.int32])
def test_nifti_keeps_type_intent_and_affine(tmp_path, dtype):
    nib = pytest.importorskip("nibabel")
    codes = volume(CELLS).astype(dtype)
    path = nifti(codes, "sub-01_dseg.nii.gz", intent="label")(tmp_path)
    result = run(path, tmp_path, options={"through_plane": "off"})
    check(result)
    written = nib.load(result.files[0])
    assert written.get_data_dtype() == np.dtype(dtype)
    assert np.array_equal(np.asanyarray(written.dataobj), codes.repeat(2, 0).repeat(2, 1))
    assert written.header.get_intent()[0] == "label"
    assert np.allclose(np.diag(written.affine), [0.5, 0.5, 3, 1])
    assert "SyntheticData" not in json.loads(result.files[1].read_text())


def test_slices_are_repeated_as_those_of_an_image_would_be_refined(tmp_path):
    nib = pytest.importorskip("nibabel")
    result = run(nifti(volume(CELLS), "seg.nii")(tmp_path), tmp_path)
    assert result.report["through_plane"]["factor"] == 3
    written = np.asanyarray(nib.load(result.files[0]).dataobj)
    assert np.array_equal(written, volume(CELLS).repeat(2, 0).repeat(2, 1).repeat(3, 2))


@pytest.mark.parametrize("name", ["mask.png", "mask.tif"])
def test_pictures_keep_their_palette(tmp_path, name):
    pillow = pytest.importorskip("PIL.Image")
    picture = pillow.fromarray((CELLS % 7).astype(np.uint8), "L").convert("P")
    picture.putdata((CELLS % 7).ravel().tolist())
    picture.putpalette([0, 0, 0, 200, 0, 0, 0, 200, 0, 0, 0, 200, 99, 0, 0, 0, 99, 0, 0, 0, 99])
    picture.save(tmp_path / name)
    result = run(tmp_path / name, tmp_path, domain="faces")
    check(result)
    with warnings.catch_warnings(), pillow.open(result.files[0]) as written:
        assert written.mode == "P"
        assert np.array_equal(np.asarray(written), twice(CELLS % 7))
        assert written.getpalette()[:21] == picture.getpalette()[:21]


def test_a_jpeg_of_labels_goes_out_without_loss(tmp_path):
    pillow = pytest.importorskip("PIL.Image")
    path = png(np.repeat((CELLS > 0).astype(np.uint8)[..., None] * 255, 3, -1), "mask.jpg")(tmp_path)
    result = run(path, tmp_path, domain="faces")
    assert result.files[0].suffix == ".png"
    with pillow.open(path) as source, pillow.open(result.files[0]) as written:
        assert np.array_equal(np.asarray(written), np.asarray(source).repeat(2, 0).repeat(2, 1))


@pytest.mark.parametrize("codes", [CELLS, CELLS.astype(np.int64) * 2**40, CELLS > 0, CELLS.astype(np.float64)])
def test_arrays(codes):
    result = gensr.upsample(codes, factor=2, labels="nearest")
    assert np.array_equal(result.mean, twice(codes.astype(np.uint8) if codes.dtype == bool else codes))
    assert result.report["mark"] == REPEATED
    assert "labels repeated" in repr(result)
    array = xr.DataArray(codes, dims=("y", "x"), name="classes")
    found = gensr.upsample(array, factor=2, labels="nearest").to_xarray()
    assert set(found) == {"mean"}


def test_what_looks_like_an_image_is_repeated_with_a_word(tmp_path):
    result = gensr.upsample(PHOTO, factor=2, labels="nearest")
    assert np.array_equal(result.mean, twice(PHOTO))
    assert result.report["warnings"] == [
        "nothing in it looks like labels; its pixels are repeated because labels=nearest says so"
    ]


REFUSED = [{"generator": "engression-faces"}, {"noise": 2}, {"operator": "bicubic"}, {"calibrate": "self"}]


@pytest.mark.parametrize("word", REFUSED)
def test_words_about_computing_are_refused(word):
    with pytest.raises(UsageError, match=f"{next(iter(word))}=.*computes nothing"):
        gensr.upsample(CELLS, factor=2, labels="nearest", **word)


def test_no_prior_is_loaded(monkeypatch):
    from gensr.priors import weights

    monkeypatch.setattr(weights, "load", lambda name: pytest.fail(f"{name} was loaded"))
    gensr.upsample(CELLS, factor=4, labels="nearest")


def test_a_finished_input_is_left_alone(tmp_path):
    path = tiff(CELLS)(tmp_path)
    first = run(path, tmp_path)
    stamp = first.files[0].stat().st_mtime_ns
    again = run(path, tmp_path, resume=True)
    assert again.files[0].stat().st_mtime_ns == stamp
    assert {p.name for p in again.files} == {p.name for p in first.files}


def test_bands_that_are_answered_in_groups_keep_their_places(tmp_path, monkeypatch):
    from gensr.pipeline import settle

    monkeypatch.setattr(settle, "band_group", lambda task, tile, bands: 1)
    rasterio = pytest.importorskip("rasterio")
    path = geotiff(PHOTO, DARK, PHOTO[::-1].copy(), names=["B02", "QA_PIXEL", "B03"])(tmp_path)
    request = gensr.Request(path, factor=2, search="fast", samples=0, labels="nearest", output=tmp_path / "out")
    with gensr.settle(request) as plan:
        assert {tile.bands for tile in plan.tiles} == {(0, 1), (1, 2), (2, 3)}
        files = list(plan.run())[-1].files
    mean, std = (rasterio.open(path).read() for path in files[:2])
    assert np.array_equal(mean[1], twice(DARK))
    assert not np.array_equal(mean[2], twice(PHOTO[::-1]))
    assert [bool(np.isfinite(band).all()) for band in std] == [True, False, True]
