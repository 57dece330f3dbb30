"""The small parts: recognising files, names, noise, normaliser, previews and scores."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

import gensr
from gensr.domains.satellite import preview
from gensr.errors import PluginError
from gensr.values.grid import Window
from gensr.values.noise import GaussianNoise

CODES = np.random.default_rng(0).integers(1, 250, (3, 30, 40)).astype(np.uint8)


def test_listing_domains_does_not_import_rasterio():
    code = "import sys, gensr.domains.satellite as s; s.Satellite(); sys.exit('rasterio' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_how_sure_it_is(domain, raster, tmp_path):
    assert domain.sniff(raster(CODES)) == 3
    assert domain.sniff(raster(CODES, "big.tif", bigtiff="YES")) == 3
    assert domain.sniff(raster(CODES, "swapped.tif", ENDIANNESS="BIG")) == 3
    assert domain.sniff(raster(CODES, "plain.tif", crs=None)) == 1
    assert domain.sniff(raster(CODES, "nodata.tif", crs=None, nodata=0)) == 2
    assert domain.sniff(raster(CODES, "geo.jp2", driver="JP2OpenJPEG")) == 3
    assert domain.sniff(raster(CODES, "plain.jp2", driver="JP2OpenJPEG", crs=None)) == 1
    jpeg = raster(CODES, "photo.jpg", driver="JPEG", crs=None)
    assert domain.sniff(jpeg) == 0
    assert domain.open(jpeg, {}).georeference.kind == "none"
    jpeg.with_suffix(".jgw").write_text("1\n0\n0\n-1\n100.5\n199.5\n")
    assert domain.sniff(jpeg) == 3
    assert tuple(domain.open(jpeg, {}).grid.transform) == (1, 0, 100, 0, -1, 200)
    assert domain.sniff(tmp_path / "missing.tif") == 0


def test_stems(domain, tmp_path):
    for name, stem in (("a.b.tif", "a.b"), ("A.TIFF", "A"), ("T32.jp2", "T32"), ("noext", "noext"), (".tif", ".tif")):
        assert domain.stem(tmp_path / name) == stem


def test_operator_noise_and_generator(domain, raster):
    scene = domain.open(raster(CODES, photometric="MINISBLACK"), {})
    assert scene.operator((4, 4)).describe()["name"] == "area"
    assert scene.noise() is None
    assert scene.generator() == "engression-field"
    assert domain.open(raster(CODES), {"noise_floor": 2.5}).noise() == GaussianNoise(2.5)
    assert scene.quantum == 1


def test_colours_that_belong_together_have_a_prior_of_their_own(domain, raster):
    colour = raster(CODES, photometric="RGB", name="rgb.tif")
    assert domain.open(colour, {}).generator() == "engression-land-rgb"
    assert domain.open(colour, {"bands": "1,2"}).generator() == "engression-field"
    assert domain.open(colour, {"bands": "2"}).generator() == "engression-field"
    labelled = domain.open(colour, {})
    labelled.repeated = frozenset({(0, 1)})
    assert labelled.generator() == "engression-field"  # labels are no colour
    clear = np.full_like(CODES[:1], 255)
    four = raster(np.concatenate([CODES, clear]), photometric="RGB", alpha="YES", name="a.tif")
    assert domain.open(four, {}).generator() == "engression-land-rgb"  # transparency is no band
    found = gensr.upsample(colour, factor=2, domain="satellite", samples=1, noise=1)
    assert found.report["generator"]["name"] == "engression-land-rgb"
    assert found.mean.shape == found.samples[0].shape == (3, *(2 * n for n in CODES.shape[1:]))


def test_normaliser_is_per_band(domain, raster):
    codes = np.stack([CODES[0], CODES[1] // 2, CODES[2] // 4 + 100])
    scene = domain.open(raster(codes, nodata=0), {})
    found = scene.normaliser().describe()
    for band in range(3):
        low, high = np.percentile(codes[band][codes[band] != 0], [2, 98])
        assert found["offset"][band] == pytest.approx(low)
        assert found["gain"][band] == pytest.approx(high - low)


def test_facts_are_plain_json(domain, raster):
    facts = domain.open(raster(CODES, nodata=0), {"bands": "a,b,c"}).metadata()
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts
    assert facts["crs"] == "EPSG:32633"
    assert facts["pixel_size"] == [10, 10]
    assert facts["bands"] == ["a", "b", "c"]
    assert facts["nodata"] == "0.0"


def test_image_carries_its_place(domain, raster):
    image = domain.open(raster(CODES), {}).read(0, Window(5, 7, 4, 6))
    assert image.grid.to_frame(0, 0) == (500070, 4599950)
    assert image.grid.frame.startswith("PROJCS")


@pytest.mark.parametrize(
    ("bands", "shown"),
    [
        (("red", "green", "blue", "nir"), (0, 1, 2)),
        (("B02", "B03", "B04", "B08"), (2, 1, 0)),
        (("nir", "Blue", "Green", "Red"), (3, 2, 1)),
        (("band 1", "band 2", "band 3", "band 4"), (0, 1, 2)),
        (("VV", "VH"), (0,)),
        (("Green",), (0,)),
    ],
)
def test_bands_to_show(bands, shown):
    assert preview.display_bands(bands) == shown


def test_panels_share_one_stretch_and_gaps_are_grey(domain, raster):
    scene = domain.open(raster(CODES), {})
    values = scene.read(0, Window(0, 0, 30, 40)).values.copy()
    whole = scene.render(values, values)
    assert whole.shape == (30, 40, 3)
    assert whole.dtype == np.uint8
    assert (whole.min(), whole.max()) == (0, 255)
    part = scene.render(values[:, :10, :10], values)
    assert np.array_equal(part, whole[:10, :10])
    values[1, 3, 4] = np.nan
    assert scene.render(values, values)[3, 4].tolist() == [128] * 3
    constant = np.full_like(values, 5)
    assert np.isin(scene.render(constant, constant), (127, 128)).all()


def test_without_rasterio_the_message_names_the_package(domain, raster, monkeypatch):
    path = raster(CODES)
    monkeypatch.setitem(sys.modules, "rasterio", None)
    with pytest.raises(PluginError, match="pip install rasterio"):
        domain.open(path, {})
