"""What a header can say of colours, polarity and heights is written as it came, and tried out before a tile."""

from __future__ import annotations

import numpy as np
import pytest

rasterio = pytest.importorskip("rasterio")
import tifffile  # noqa: E402
from rasterio.enums import ColorInterp  # noqa: E402

import gensr  # noqa: E402
from gensr.domains.satellite import cog  # noqa: E402
from gensr.errors import OutputError  # noqa: E402

UTM = rasterio.CRS.from_epsg(32633).to_wkt()
VERTICAL = {
    "unknown": 'VERT_CS["unknown",VERT_DATUM["unknown",2005],UNIT["metre",1],AXIS["Up",UP]]',
    "of a survey": 'VERT_CS["mine",VERT_DATUM["my datum",2005],UNIT["metre",1],AXIS["Gravity-related height",UP]]',
    "in feet": 'VERT_CS["h",VERT_DATUM["my datum",2005],UNIT["US survey foot",0.304800609601219],AXIS["Up",UP]]',
}


def fine(shape=(1, 20, 24), seed=1):
    return np.random.default_rng(seed).integers(40, 200, shape).astype(np.uint8)


def pages(path):
    with tifffile.TiffFile(path) as file:
        return [(int(p.tags[262].value), 320 in p.tags) for p in file.pages]


@pytest.mark.parametrize("count", [1, 3, 4])
def test_bands_without_a_colour_stay_so(run, raster, count):
    path = raster(fine((count, 20, 24)), photometric="RGB" if count > 2 else "MINISBLACK", alpha="NO")
    with rasterio.open(path, "r+") as target:
        target.colorinterp = (ColorInterp.undefined,) * count
    _, paths = run(path)
    with rasterio.open(paths[0]) as written:
        assert not {c.name for c in written.colorinterp} - {"undefined", "gray"}
        assert [f.name for f in written.mask_flag_enums[count - 1]] == ["all_valid"]


def test_white_stays_white(run, raster):
    codes = fine()
    path = raster(codes, photometric="MINISWHITE")
    scene, paths = run(path)
    with rasterio.open(paths[0]) as written:
        assert written.tags(ns="IMAGE_STRUCTURE")["MINISWHITE"] == "YES"
        assert written.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert (written.read()[:, ::2, ::2] == codes).all()
    assert pages(paths[0]) == [(0, False)]  # no colour table, which would make classes of it
    assert pages(paths[1]) == [(1, False)]  # of a deviation the largest is not black
    low, high = np.full((1, 4, 4), 40, np.float32), np.full((1, 4, 4), 200, np.float32)
    both = np.concatenate([low, high], 1)
    shown = scene.render(both, both)
    assert shown[0, 0, 0] == 255
    assert shown[7, 0, 0] == 0


def test_white_without_a_word_of_gdal(run, tmp_path):
    """GDAL makes up a colour table for it, which is no palette of classes."""
    path, codes = tmp_path / "plain.tif", fine()
    tifffile.imwrite(path, codes[0], photometric="miniswhite")
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning), rasterio.open(path) as source:
        assert source.colorinterp[0] == ColorInterp.palette
    scene, paths = run(path)
    assert scene.bands == ("band 1",)
    assert pages(paths[0]) == [(0, False)]


def test_overviews_of_white_are_white(run, raster):
    _, paths = run(raster(fine((1, 300, 300)), photometric="MINISWHITE", tiled=True), 4, samples=0)
    found = pages(paths[0])
    assert len(found) > 1
    assert set(found) == {(0, False)}


@pytest.mark.parametrize("name", VERTICAL)
def test_heights_of_an_unlisted_datum(run, raster, name):
    crs = rasterio.CRS.from_wkt(f'COMPD_CS["both",{UTM},{VERTICAL[name]}]')
    path = raster(fine(), crs=crs)
    aux = path.with_name(path.name + ".aux.xml")
    if not aux.exists():  # what this GDAL cannot put into the file; the source says it in its sidecar
        cog._keep_crs(aux, crs)
    with rasterio.open(path) as source:
        assert source.crs == crs
    _, paths = run(path)
    images = [p for p in paths if p.suffix == ".tif"]
    assert len(images) == 3
    for p in images:
        with rasterio.open(p) as written:
            assert written.crs == crs


def test_a_projection_without_keys_travels_with_its_sidecar(raster, tmp_path):
    crs = rasterio.CRS.from_string("+proj=ob_tran +o_proj=longlat +o_lat_p=39.25 +lon_0=18 +R=6371229")
    path = raster(fine(), crs=crs, transform=rasterio.Affine(0.1, 0, 3, 0, -0.1, 9))
    out = tmp_path / "out"
    gensr.upsample(path, factor=2, search="fast", samples=0, output=out, domain="satellite", noise=3)
    (written,) = out.glob("*generated.tif")
    with rasterio.open(written) as dataset:
        assert dataset.crs == crs
    assert (out / f"{written.name}.aux.xml").exists()


def test_what_cannot_be_written_is_known_before_a_tile(raster, tmp_path, monkeypatch):
    def never(*_):
        raise OutputError("reads back with another crs")

    monkeypatch.setattr(cog, "_check", never)
    request = gensr.Request(raster(fine()), factor=2, search="fast", samples=0, output=tmp_path / "out", noise=3)
    with pytest.raises(OutputError, match="another crs"):
        gensr.settle(request)
    assert not (tmp_path / "out").exists()


def test_many_bands_make_small_blocks(run, raster):
    codes = np.random.default_rng(2).integers(0, 4000, (60, 12, 10)).astype(np.uint16)
    _, paths = run(raster(codes), samples=0)
    for path in paths:
        with rasterio.open(path) as written:
            side = written.block_shapes[0][0]
            assert side * side * 60 * np.dtype(written.dtypes[0]).itemsize <= cog.BLOCK_BYTES
    with rasterio.open(paths[0]) as written:
        assert (written.read()[:, ::2, ::2] == codes).all()
