"""What counts as measured, on reading and in the output: nodata, masks, sidecars, alpha, NaN, saturation."""

from __future__ import annotations

import numpy as np
import pytest

rasterio = pytest.importorskip("rasterio")
from gensr.domains.satellite import gdal  # noqa: E402
from gensr.errors import DomainError, OutputError  # noqa: E402
from gensr.values.grid import Window  # noqa: E402

RNG = np.random.default_rng(0)
ALL = Window(0, 0, 40, 50)


def noise(bands, dtype=np.uint8, low=1, high=250):
    return RNG.integers(low, high, (bands, 40, 50)).astype(dtype)


def wedge():
    """A swath edge at 45 degrees."""
    return np.add.outer(np.arange(40), np.arange(50)) > 30


def enlarged(array, s=2):
    return np.repeat(np.repeat(array, s, -2), s, -1)


def test_nodata_and_a_mask_at_once(domain, raster, run):
    """GDAL tells of the mask alone; a nodata row outside it is invalid all the same, also in the output."""
    codes = noise(3, np.uint16)
    codes[:, 35] = 0
    path = raster(codes, mask=wedge().astype(np.uint8) * 255, nodata=0)
    truth = wedge() & (np.arange(40) != 35)[:, None]
    image = domain.open(path, {}).read(0, ALL)
    assert np.array_equal(image.valid, np.broadcast_to(truth, image.valid.shape))
    _, (mean, std, _) = run(path)
    with rasterio.open(mean) as written:
        assert written.nodata == 0
        assert [f.name for f in written.mask_flag_enums[0]] == ["per_dataset"]
        assert np.array_equal(written.dataset_mask() != 0, enlarged(truth))
        assert not written.read()[:, ~enlarged(truth)].any()
    with rasterio.open(std) as written:
        assert np.array_equal(np.isfinite(written.read(2)), enlarged(truth))


def test_nodata_in_one_band_only(domain, raster, run):
    codes = noise(3, np.int16)
    codes[1, :5] = -1
    path = raster(codes, nodata=-1)
    image = domain.open(path, {}).read(0, ALL)
    assert image.valid[0].all()
    assert not image.valid[1, :5].any()
    _, (mean, _, _) = run(path)
    with rasterio.open(mean) as written:
        assert np.array_equal(written.read(), enlarged(codes))


@pytest.mark.parametrize("nodata", [-9999.1, np.nan, -3.4028234663852886e38, None])
def test_floats_with_nodata_and_stray_nan(domain, raster, run, nodata):
    codes = noise(2, np.float32)
    codes[:, 3, 4] = np.nan
    codes[0, 5, 6] = np.inf
    if nodata is not None:
        codes[:, ~wedge()] = nodata
    path = raster(codes, **({} if nodata is None else {"nodata": nodata}))
    image = domain.open(path, {}).read(0, ALL)
    good = np.isfinite(codes) & (codes != np.float32(nodata) if nodata is not None else True)
    assert np.array_equal(image.valid, good)
    _, (mean, _, _) = run(path)
    with rasterio.open(mean) as written:
        again = written.read()
        assert np.array_equal(again[enlarged(good)], enlarged(codes)[enlarged(good)])
        bad = again[~enlarged(good)]
        fill = np.float32(np.nan if nodata is None else nodata)
        assert np.array_equal(bad, np.full_like(bad, fill), equal_nan=True)
        assert (written.nodata is None) == (nodata is None)


def test_sidecar_mask_is_seen_whatever_the_environment_says(domain, raster, run):
    path = raster(noise(3), mask=wedge().astype(np.uint8) * 255, env={"GDAL_TIFF_INTERNAL_MASK": False})
    assert path.with_name("in.tif.msk").is_file()
    with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"):
        with rasterio.open(path) as source:
            assert source.dataset_mask().all()  # the speed-up of the cloud hides the sidecar
        assert np.array_equal(domain.open(path, {}).read(0, ALL).valid[0], wedge())
    _, (mean, _, _) = run(path)
    with rasterio.open(mean) as written:
        assert np.array_equal(written.dataset_mask() != 0, enlarged(wedge()))
    assert domain.sniff(path.with_name("in.tif.msk")) == 0
    assert domain.expand(path.parent) == [path]


def _band_masks(raster, dtype):
    """One mask per band, as a ``.msk`` whose bands are not shared."""
    path = raster(noise(2, dtype, low=0))
    masks = np.stack([wedge(), ~wedge()]).astype(np.uint8) * 255
    raster(masks, "in.tif.msk", edit=lambda d: d.update_tags(INTERNAL_MASK_FLAGS_1="0", INTERNAL_MASK_FLAGS_2="0"))
    return path, masks != 0


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_one_mask_per_band(domain, raster, run, dtype):
    path, masks = _band_masks(raster, dtype)
    with rasterio.open(path) as source:
        assert source.mask_flag_enums == ([], [])
        codes = source.read()
    scene = domain.open(path, {})
    image = scene.read(0, ALL)
    assert np.array_equal(image.valid, masks)
    moved = scene.encode(0, image.values, image.valid)[1]
    assert moved == (0 if dtype is np.float32 else ((codes == 0) & masks).sum())
    _, (mean, _, _) = run(path)
    with rasterio.open(mean) as written:
        assert np.array_equal(written.read_masks() != 0, enlarged(masks))
        assert written.nodata == 0 if dtype is np.uint8 else np.isnan(written.nodata)


def test_alpha_is_carried_not_reconstructed(domain, raster, run):
    codes = np.concatenate([noise(3), wedge()[None].astype(np.uint8) * 255])
    codes[3, 0, 49] = 100  # a feathered edge
    path = raster(codes, photometric="RGB", alpha="YES")
    scene = domain.open(path, {})
    assert scene.bands == ("red", "green", "blue")
    assert np.array_equal(scene.read(0, ALL).valid[0], codes[3] != 0)
    _, (mean, std, _) = run(path, 3)
    with rasterio.open(mean) as written:
        assert [c.name for c in written.colorinterp] == ["red", "green", "blue", "alpha"]
        assert np.array_equal(written.read(4), enlarged(codes[3], 3))
        assert np.array_equal(
            written.read()[:, enlarged(codes[3], 3) != 0], enlarged(codes, 3)[:, enlarged(codes[3], 3) != 0]
        )
    with rasterio.open(std) as written:
        assert written.count == 3


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_grey_with_alpha(run, raster, dtype):
    codes = np.concatenate([noise(1), wedge()[None] * 255]).astype(dtype)
    _, (mean, _, _) = run(raster(codes, alpha="YES"))
    with rasterio.open(mean) as written:
        assert [c.name for c in written.colorinterp] == ["gray", "alpha"]
        assert np.array_equal(written.read(2), enlarged(codes[1]))


def test_near_infrared_does_not_become_alpha(raster, run):
    """The trap in the first direction: four bytes per pixel without a word are taken for RGBA."""
    codes = noise(4)
    codes[3, :3] = 0
    path = raster(codes, photometric="RGB", alpha="NO")
    _, (mean, _, _) = run(path)
    with rasterio.open(mean) as written:
        assert [c.name for c in written.colorinterp] == ["red", "green", "blue", "undefined"]
        assert [f.name for flags in written.mask_flag_enums for f in flags] == ["all_valid"] * 4
        assert written.dataset_mask().all()
        assert np.array_equal(written.read(), enlarged(codes))


def test_near_infrared_that_was_tagged_alpha(domain, raster, run):
    """The trap in the other direction: a file whose NIR is called alpha is questioned, and the user may say."""
    codes = noise(4, low=0)
    path = raster(codes, photometric="RGB", alpha="YES")
    with pytest.raises(DomainError, match="bands=red,green,blue,nir"):
        domain.open(path, {})
    scene = domain.open(path, {"bands": "red,green,blue,alpha"})
    assert scene.layout.alpha == 4
    scene, (mean, _, _) = run(path, bands=["red", "green", "blue", "nir"])
    assert scene.bands == ("red", "green", "blue", "nir")
    with rasterio.open(mean) as written:
        assert [c.name for c in written.colorinterp] == ["red", "green", "blue", "undefined"]
        assert written.descriptions == ("red", "green", "blue", "nir")
        assert written.dataset_mask().all()
        assert np.array_equal(written.read(), enlarged(codes))


def test_saturated_pixels_are_valid_but_no_data(domain, raster, run):
    codes = noise(2, np.uint16)
    codes[0, 2, 3] = 65535
    path = raster(codes)
    image = domain.open(path, {}).read(0, ALL)
    assert image.valid.all()
    assert np.argwhere(~image.usable).tolist() == [[0, 2, 3]]
    _, (mean, _, _) = run(path)
    with rasterio.open(mean) as written:
        assert (written.read(1)[4:6, 6:8] == 65535).all()
    assert domain.open(path, {"saturated": "none"}).read(0, ALL).usable.all()
    assert not domain.open(path, {"nodata": 65535}).read(0, ALL).valid[0, 2, 3]
    assert domain.open(raster(noise(1, high=256), "b.tif"), {}).read(0, ALL).usable.all()
    assert domain.open(path, {"saturated": int(codes[1, 0, 0])}).read(0, ALL).usable[1, 0, 0] == np.False_


def test_all_invalid(domain, raster, run):
    scene, (mean, std, _) = run(raster(np.zeros((2, 40, 50), np.uint16), nodata=0))
    with rasterio.open(mean) as written, rasterio.open(std) as deviation:
        assert not written.read().any()
        assert not written.dataset_mask().any()
        assert np.isnan(deviation.read()).all()
    scene = domain.open(raster(np.zeros((2, 40, 50), np.uint16), nodata=0), {})
    normaliser = scene.normaliser().describe()
    assert np.isfinite(normaliser["gain"]).all()
    values = np.full((2, 40, 50), np.nan, np.float32)
    assert (scene.render(values, values) == 128).all()


def test_nodata_outside_the_dtype_is_dropped_with_a_note(domain, tmp_path):
    import tifffile

    path = tmp_path / "odd.tif"
    tifffile.imwrite(path, noise(1)[0], extratags=[(42113, 2, 0, "-9999", True)])
    scene = domain.open(path, {})
    assert scene.carried.nodata is None
    assert scene.read(0, ALL).valid.all()


def test_a_wrong_product_is_an_error(domain, raster, tmp_path):
    from gensr.scenes.names import Names
    from gensr.scenes.testing import NearestProduct

    class Wrong(NearestProduct):
        def mean(self, plane, window):
            return super().mean(plane, window).astype(np.int32)

    scene = domain.open(raster(noise(1)), {})
    folder = tmp_path / "out"
    folder.mkdir()
    with pytest.raises(OutputError, match="expected uint8"):
        scene.write(Wrong(scene, 2), folder, Names("a", 2))
    assert list(folder.iterdir()) == []
    with pytest.raises(OutputError, match="cannot be written"):
        scene.write(NearestProduct(scene, 2), tmp_path / "missing", Names("a", 2))


def test_the_cache_is_bounded(raster, tmp_path):
    for context in (gdal.reading, gdal.writing):
        with context(tmp_path):
            assert rasterio._env.get_gdal_config("GDAL_CACHEMAX") == gdal.CACHE_BYTES == 2**26
