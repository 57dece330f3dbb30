"""Written files: geometry of every kind, metadata that travels or is dropped, layout of a Cloud Optimized GeoTIFF."""

from __future__ import annotations

import json
import subprocess
import sys
from math import cos, radians, sin
from pathlib import Path

import numpy as np
import pytest

rasterio = pytest.importorskip("rasterio")
import tifffile  # noqa: E402
from rasterio.control import GroundControlPoint  # noqa: E402
from rasterio.rpc import RPC  # noqa: E402

from gensr.domains.satellite import cog  # noqa: E402
from gensr.scenes.names import Names  # noqa: E402
from gensr.scenes.testing import NearestProduct  # noqa: E402
from gensr.values.grid import Window  # noqa: E402

RNG = np.random.default_rng(5)


def noise(bands, dtype=np.uint16, rows=30, cols=44, high=60000):
    return RNG.integers(1, min(high, 120 if np.dtype(dtype) == np.int8 else high), (bands, rows, cols)).astype(dtype)


def corners(dataset):
    t, w, h = dataset.transform, dataset.width, dataset.height
    return np.array([(t.a * x + t.b * y + t.c, t.d * x + t.e * y + t.f) for x, y in ((0, 0), (w, 0), (w, h), (0, h))])


def sheared(angle, shear):
    a, s = radians(angle), radians(shear)
    return rasterio.Affine(10 * cos(a), 10 * sin(a + s), 5e5, 10 * sin(a), -10 * cos(a + s), 4.6e6)


GRIDS = {
    "north up": ("EPSG:32633", rasterio.Affine(10, 0, 5e5, 0, -10, 4.6e6)),
    "rotated and sheared": ("EPSG:32633", sheared(17, 5)),
    "a quarter turn": ("EPSG:32633", rasterio.Affine(0, 10, 5e5, 10, 0, 4.6e6)),
    "south up": ("EPSG:32633", rasterio.Affine(10, 0, 5e5, 0, 10, 4.6e6)),
    "geographic": ("EPSG:4326", rasterio.Affine(1 / 3600, 0, 13.1, 0, -1 / 3600, 52.7)),
    "antimeridian": ("EPSG:4326", rasterio.Affine(0.01, 0, 179.9, 0, -0.01, 10)),
    "compound": ("EPSG:32633+5773", rasterio.Affine(10, 0, 5e5, 0, -10, 4.6e6)),
    "unequal pixels": ("EPSG:3857", rasterio.Affine(3.7, 0, 1e6, 0, -8.9, 6e6)),
}


@pytest.mark.parametrize("word", ["Area", "Point"])
@pytest.mark.parametrize("name", GRIDS)
def test_corners_stay(run, raster, name, word):
    crs, transform = GRIDS[name]
    path = raster(noise(1), crs=crs, transform=transform, edit=lambda d: d.update_tags(AREA_OR_POINT=word))
    _, paths = run(path, 3)
    with rasterio.open(path) as source:
        for p in paths:
            with rasterio.open(p) as written:
                assert np.abs(corners(written) - corners(source)).max() <= 1e-9 * np.ptp(corners(source))
                assert written.crs == source.crs
                assert written.tags()["AREA_OR_POINT"] == word


def test_area_and_point_give_the_same_place(run, raster):
    codes = noise(1)
    places = []
    for word in ("Area", "Point"):
        path = raster(codes, f"{word}.tif", edit=lambda d, w=word: d.update_tags(AREA_OR_POINT=w))
        with rasterio.open(run(path, 2)[1][0]) as written:
            places.append(corners(written))
    assert np.array_equal(*places)


def test_unequal_factors(domain, raster, tmp_path):
    path = raster(noise(2))
    scene = domain.open(path, {})
    paths = scene.write(NearestProduct(scene, (2, 3)), tmp_path, Names("u", 3))
    with rasterio.open(path) as source, rasterio.open(paths[0]) as written:
        assert written.shape == (60, 132)
        assert np.array_equal(corners(written), corners(source))
        assert np.array_equal(written.read(), source.read().repeat(2, 1).repeat(3, 2))


@pytest.mark.parametrize("word", ["Area", "Point"])
def test_ground_control_points_do_not_drift(run, raster, word):
    points = [
        GroundControlPoint(r, c, 13 + c / 1e3, 52 - r / 1e3, 7.5, id=f"p{r}{c}") for r in (0, 12.5, 30) for c in (0, 44)
    ]
    path = raster(
        noise(1), crs="EPSG:4326", transform=None, gcps=points, edit=lambda d: d.update_tags(AREA_OR_POINT=word)
    )
    expected, scale = None, 1
    for generation in range(3):
        with rasterio.open(path) as source:
            expected = expected or sorted((p.row, p.col, p.x, p.y, p.z) for p in source.gcps[0])
        path = run(path, 2)[1][0].rename(path.with_name(f"copy{generation}.tif"))
        scale *= 2
        with rasterio.open(path) as written:
            found = sorted((p.row / scale, p.col / scale, p.x, p.y, p.z) for p in written.gcps[0])
            assert np.abs(np.subtract(found, expected)).max() < 1e-9
            assert written.tags()["AREA_OR_POINT"] == "Area"
            assert written.gcps[1].to_epsg() == 4326
            if generation == 0:
                assert written.tags().get("GENSR_SOURCE_AREA_OR_POINT") == (word if word == "Point" else None)


def rpc():
    ones = [1.0] + [0.0] * 19
    return RPC(
        100,
        200,
        52,
        0.1,
        ones,
        [0, 0, 1] + [0.001] * 17,
        14.5,
        15.5,
        13,
        0.1,
        ones,
        [0, 1] + [0.002] * 18,
        21.5,
        22.5,
        0.5,
        0.25,
    )


def test_rational_polynomials_count_from_pixel_centres(run, raster):
    for name, place in (("only.tif", {"crs": None}), ("both.tif", {})):
        _, paths = run(raster(noise(1), name, rpcs=rpc(), **place), 4)
        for path in paths:
            with rasterio.open(path) as written:
                new = written.rpcs.to_dict()
        old = rpc().to_dict()
        assert new["line_off"] == (14.5 + 0.5) * 4 - 0.5
        assert new["samp_off"] == (21.5 + 0.5) * 4 - 0.5
        assert new["line_scale"] == 62
        assert new["samp_scale"] == 90
        for key in set(old) - {"line_off", "samp_off", "line_scale", "samp_scale"}:
            assert np.allclose(new[key], old[key], rtol=1e-12), key


@pytest.mark.parametrize(
    "dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "float32", "float64"]
)
@pytest.mark.parametrize("scaled", [False, True])
def test_dtypes_with_scale_and_offset_per_band(domain, run, raster, dtype, scaled):
    codes = noise(3, dtype, high=120 if "8" in dtype else 30000)
    scales, offsets = ((0.5, -2.0, 1e-3), (0.0, 10.0, -0.1)) if scaled else ((1.0,) * 3, (0.0,) * 3)

    def edit(d):
        if scaled:
            d.scales, d.offsets = scales, offsets

    path = raster(codes, edit=edit)
    scene = domain.open(path, {})
    expected = codes * np.reshape(scales, (3, 1, 1)) + np.reshape(offsets, (3, 1, 1))
    assert np.allclose(scene.read(0, Window(0, 0, 30, 44)).values, expected, rtol=1e-6)
    _, (mean, std, _) = run(path, 2)
    with rasterio.open(mean) as written, rasterio.open(std) as deviation:
        assert set(written.dtypes) == {dtype}
        assert written.scales == pytest.approx(scales)
        assert written.offsets == pytest.approx(offsets)
        again = written.read() if np.dtype(dtype).kind != "f" else written.read().astype(np.float32)
        repeated = codes.repeat(2, 1).repeat(2, 2)
        assert np.allclose(again, repeated, rtol=0 if np.dtype(dtype).kind != "f" else 1e-6, atol=0)
        assert deviation.scales == (1.0,) * 3
        assert (deviation.read() == 0.5).all()


def test_the_same_scene_with_and_without_offset(domain, raster):
    """Sentinel-2 before and after processing baseline 04.00: equal reflectance."""
    dark = noise(1, high=9000)
    old = domain.open(raster(dark, "old.tif"), {"scale": 1e-4})
    new = domain.open(raster(dark + 1000, "new.tif"), {"scale": 1e-4, "offset": -0.1})
    window = Window(0, 0, 30, 44)
    assert np.abs(old.read(0, window).values - new.read(0, window).values).max() < 1e-6
    assert new.carried.offsets == (-0.1,)


def test_a_user_calibration_does_not_replace_the_one_of_the_file(domain, raster):
    path = raster(noise(1), edit=lambda d: setattr(d, "scales", (0.5,)))
    scene = domain.open(path, {"scale": 1, "offset": 0})
    assert scene.coding.scales == (1.0,)
    assert scene.carried.scales == (0.5,)


def test_metadata_travels_and_false_statements_do_not(run, raster):
    def edit(d):
        d.update_tags(TIFFTAG_DATETIME="2020:01:02 03:04:05", TIFFTAG_XRESOLUTION="200", TIFFTAG_YRESOLUTION="100")
        d.update_tags(
            TIFFTAG_SOFTWARE="maker", TIFFTAG_IMAGEDESCRIPTION="a scene", MISSION="S2", TIFFTAG_MAXSAMPLEVALUE="9"
        )
        d.update_tags(2, STATISTICS_MEAN="7", STATISTICS_HISTOBINVALUES="1|2", wavelength="665")
        d.set_band_description(2, "B04")
        d.set_band_unit(2, "W m-2 sr-1")
        d.update_tags(GENSR_GENERATED="an older run")

    path = raster(noise(2), edit=edit)
    scene, (mean, std, sample) = run(path, 4)
    assert scene.bands == ("band 1", "B04")
    with rasterio.open(mean) as written:
        tags = written.tags()
        assert tags["TIFFTAG_DATETIME"] == "2020:01:02 03:04:05"
        assert (float(tags["TIFFTAG_XRESOLUTION"]), float(tags["TIFFTAG_YRESOLUTION"])) == (800, 400)
        assert tags["MISSION"] == "S2"
        assert tags["TIFFTAG_IMAGEDESCRIPTION"] == "a scene"
        assert tags["GENSR_SOURCE_SOFTWARE"] == "maker"
        assert tags["TIFFTAG_SOFTWARE"].startswith("gensr ")
        assert "not a measurement" in tags["GENSR_GENERATED"]
        assert json.loads(tags["GENSR_REPORT"])["seed"] == 0
        assert "TIFFTAG_MAXSAMPLEVALUE" not in tags
        assert written.tags(2) == {"wavelength": "665"}
        assert written.descriptions == (None, "B04")
        assert written.units[1] == "W m-2 sr-1"
    with rasterio.open(std) as written:
        assert written.tags()["GENSR_CONTENT"] == "posterior standard deviation"
        assert written.descriptions == ("std of band 1", "std of B04")
        assert written.units[1] == "W m-2 sr-1"
        assert written.tags(2) == {}
    assert sample.name == "o_x4_generated_sample1.tif"
    assert "STATISTICS_MEAN" in scene.metadata()["tags_dropped"]


@pytest.mark.parametrize("both", [False, True])
def test_other_namespaces_arrive(run, raster, both):
    def edit(d):
        d.update_tags(ns="PRODUCT", cloud="12")
        d.update_tags(2, ns="IMAGERY", CENTRAL_WAVELENGTH_UM="0.665")
        if both:
            d.update_tags(1, key="value")

    with rasterio.open(run(raster(noise(2), edit=edit))[1][0]) as written:
        assert "GENSR_GENERATED" in written.tags()
        if both:
            assert written.tags()["PRODUCT.cloud"] == "12"
            assert written.tags(1) == {"key": "value"}
            assert written.tags(2) == {"IMAGERY.CENTRAL_WAVELENGTH_UM": "0.665"}
        else:
            assert written.tags(ns="PRODUCT") == {"cloud": "12"}
            assert written.tags(2, ns="IMAGERY") == {"CENTRAL_WAVELENGTH_UM": "0.665"}


def test_the_description_is_used_when_it_is_free(run, raster):
    with rasterio.open(run(raster(noise(1)))[1][0]) as written:
        assert written.tags()["TIFFTAG_IMAGEDESCRIPTION"] == written.tags()["GENSR_PROVENANCE"]


def test_jpeg_2000_becomes_geotiff_without_loss(run, raster):
    codes = noise(1, high=4000)
    path = raster(codes, "band.jp2", driver="JP2OpenJPEG", QUALITY="100", REVERSIBLE="YES")
    with rasterio.open(run(path)[1][0]) as written:
        assert written.driver == "GTiff"
        assert np.array_equal(written.read(), codes.repeat(2, 1).repeat(2, 2))


def test_many_bands_and_planar_input(run, raster):
    codes = noise(37, np.int16)
    with rasterio.open(run(raster(codes, interleave="band", bigtiff="YES"))[1][0]) as written:
        assert np.array_equal(written.read(), codes.repeat(2, 1).repeat(2, 2))


@pytest.mark.parametrize(("dtype", "predictor"), [(np.uint16, 2), (np.float32, 3)])
def test_layout_is_cloud_optimized(run, raster, dtype, predictor):
    """Small structures first, overviews before the full image, 512-pixel tiles, by tifffile alone."""
    codes = noise(2, dtype, rows=400, cols=700)
    _, (mean, _, _) = run(raster(codes), 2)
    assert mean.read_bytes()[:300].count(b"LAYOUT=IFDS_BEFORE_DATA") == 1
    with tifffile.TiffFile(mean) as tif:
        pages = list(tif.pages)
        assert [p.shape[:2] for p in pages] == [(800, 1400), (400, 700), (200, 350)]
        assert [bool(p.subfiletype & 1) for p in pages] == [False, True, True]
        for page in pages:
            assert page.is_tiled
            assert (page.tilewidth, page.tilelength) == (512, 512)
            assert page.compression.name == "ADOBE_DEFLATE"
            assert page.predictor == predictor
        first = [min(page.dataoffsets) for page in pages]
        assert first == sorted(first, reverse=True)
        assert max(page.offset for page in pages) < min(first)
        half = pages[1].asarray()
    blocks = codes.repeat(2, 1).repeat(2, 2).reshape(2, 400, 2, 700, 2).mean((2, 4))
    assert np.abs(np.moveaxis(half, -1, 0).astype(float) - blocks).max() <= 0.5


def test_overviews_of_the_deviation_are_root_mean_squares(domain, raster, tmp_path):
    class Product(NearestProduct):
        def std(self, plane, window):
            rows = np.arange(window.row, window.row + window.rows)[:, None]
            return np.broadcast_to((rows % 2 * 6.0 + 1).astype(np.float32), (1, window.rows, window.cols))

    scene = domain.open(raster(noise(1, rows=300, cols=300)), {})
    paths = scene.write(Product(scene, 2), tmp_path, Names("d", 2))
    with rasterio.open(paths[1]) as written:
        half = written.read(1, out_shape=(300, 300))
    assert half == pytest.approx(5.0)  # sqrt((1 + 49) / 2)


def test_blocks_cover_the_image_once():
    for shape in ((1, 1), (512, 4096), (513, 4097), (1500, 9000)):
        seen = np.zeros(shape, np.uint8)
        for row, col, rows, cols in cog.blocks(shape):
            assert row % cog.BLOCK == 0
            assert col % cog.BLOCK == 0
            seen[row : row + rows, col : col + cols] += 1
        assert (seen == 1).all()


def test_memory_is_set_by_the_block_not_by_the_image(domain, tmp_path):
    """A 4096 x 4096 x 4 product with its deviation (134 + 268 MB) is written with far less than its size on top."""
    import subprocess
    import sys

    script = tmp_path / "run.py"
    script.write_text(
        """
import resource, sys
from pathlib import Path
import numpy as np, rasterio
from gensr.scenes.names import Names
from gensr.domains.satellite import Satellite
folder = Path(sys.argv[1]); source = folder / "big.tif"
with rasterio.open(source, "w", driver="GTiff", width=1024, height=1024, count=4, dtype="uint16",
                   crs="EPSG:32633", transform=rasterio.Affine(10, 0, 5e5, 0, -10, 4.6e6), tiled=True) as d:
    d.write(np.ones((4, 1024, 1024), np.uint16))
class Product:
    factor, samples, report = (4, 4), 0, {}
    def mean(self, plane, w): return np.full((4, w.rows, w.cols), 7, np.uint16)
    def std(self, plane, w): return np.zeros((4, w.rows, w.cols), np.float32)
domain = Satellite(); scene = domain.open(source, {})
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
scene.write(Product(), folder, Names("big", 4))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""
    )
    out = subprocess.run([sys.executable, script, tmp_path], capture_output=True, text=True, check=True)
    assert float(out.stdout) < 300


LITTLE = """
import os, resource, sys
from pathlib import Path
from gensr.domains.satellite import Satellite
from gensr.scenes.names import Names
from gensr.scenes.testing import NearestProduct

scene = Satellite().open(Path(sys.argv[1]), {})
ended = {}
for more in (*range(1 << 18, 24 << 20, 1 << 18), 240 << 20):
    child = os.fork()
    if not child:
        size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() + more
        resource.setrlimit(resource.RLIMIT_AS, (size, size))
        try:
            scene.write(NearestProduct(scene, 2), Path(sys.argv[2]), Names(f"o{more}", 2))
        except MemoryError:
            os._exit(3)
        os._exit(0)
    ended.setdefault(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), []).append(more >> 20)
print(ended)
sys.exit(set(ended) != {0, 3})
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux")
def test_little_memory_is_an_error_and_not_the_end_of_the_process(raster, tmp_path):
    """GDAL aborts where an allocation of its own fails; nobody can catch that."""
    path = raster(noise(2, rows=200, cols=200))
    asked = [sys.executable, "-c", LITTLE, str(path), str(tmp_path)]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
