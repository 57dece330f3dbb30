"""``bands=`` chooses bands of a file; everything of the chosen ones stays theirs."""

from __future__ import annotations

import numpy as np
import pytest
from rasterio.enums import ColorInterp

import gensr
from gensr.errors import DomainError, UsageError
from gensr.values.grid import Window

rasterio = pytest.importorskip("rasterio")
CODES = np.random.default_rng(0).integers(1, 200, (4, 24, 20), np.uint8)


def describe(target):
    target.descriptions = ("B02", "B03", "B04", "SCL")
    target.scales, target.offsets = (1.0, 0.5, 0.25, 1.0), (0.0, 1.0, 2.0, 0.0)
    target.update_tags(3, wavelength="665")


@pytest.mark.parametrize(
    ("bands", "numbers"), [("1-3", [1, 2, 3]), ("b04,B02", [3, 1]), ([2], [2]), ("3,1-2", [3, 1, 2])]
)
def test_chosen_bands_and_their_words(raster, domain, run, bands, numbers):
    path = raster(CODES, edit=describe)
    scene, (mean, std, _) = run(path, bands=bands)
    names = [("B02", "B03", "B04")[n - 1] for n in numbers]
    assert list(scene.bands) == names
    with rasterio.open(mean) as written:
        index = [n - 1 for n in numbers]
        assert np.array_equal(written.read(), CODES[index].repeat(2, 1).repeat(2, 2))
        assert list(written.descriptions) == names
        assert list(written.scales) == [(1.0, 0.5, 0.25)[i] for i in index]
        assert list(written.offsets) == [(0.0, 1.0, 2.0)[i] for i in index]
        for place, number in enumerate(numbers, 1):
            assert written.tags(place).get("wavelength") == ("665" if number == 3 else None)
    with rasterio.open(std) as written:
        assert list(written.descriptions) == [f"std of {name}" for name in names]


def test_physical_values_are_those_of_the_chosen_band(raster, domain):
    with domain.open(raster(CODES, edit=describe), {"bands": "B04"}) as scene:
        assert np.allclose(scene.read(0, Window(0, 0, 24, 20)).values[0], CODES[2] * 0.25 + 2)


def test_transparency_that_is_left_out_still_tells_invalid_pixels(raster, run):
    codes = CODES.copy()
    codes[3] = 255
    codes[3, :5, :7] = 0
    path = raster(codes, photometric="RGB", alpha="YES")
    with rasterio.open(path) as source:
        assert source.colorinterp[3] == ColorInterp.alpha
    _, (mean, _, _) = run(path, bands="green")
    with rasterio.open(mean) as written:
        assert written.count == 1
        valid = written.read_masks(1) != 0
        assert not valid[:10, :14].any()
        assert valid.sum() == valid.size - 140


def test_near_infrared_that_is_called_alpha_is_no_mask(raster, run):
    codes = CODES.copy()
    codes[3, 2, 2] = 0
    path = raster(codes, photometric="RGB", alpha="YES")
    _, (mean, _, _) = run(path, bands="1-3")
    with rasterio.open(mean) as written:
        assert written.count == 3
        assert (written.read_masks(1) != 0).all()


@pytest.mark.parametrize("bands", ["5", "B99", "1,B02", "B02,B03,B04,B02x,B05"])
def test_bands_that_there_are_not(raster, domain, bands):
    with pytest.raises(DomainError, match=r"in\.tif: bands="):
        domain.open(raster(CODES, edit=describe), {"bands": bands})


def test_the_key_reaches_files_and_arrays(raster):
    path = raster(CODES, edit=describe)
    request = gensr.Request(path, domain="satellite", bands="B03,1", samples=0, search="fast", factor=2)
    with gensr.settle(request) as plan:
        assert plan.scene.bands == ("B03", "B02")
    request = gensr.Request(CODES.astype(np.float32), bands="4,2", samples=0, search="fast", factor=2)
    with gensr.settle(request) as plan:
        assert plan.scene.bands == ("4", "2")
        assert np.array_equal(plan.scene.read(0, Window(0, 0, 24, 20)).values, CODES[[3, 1]])
    with pytest.raises(UsageError, match="no band 5"):
        gensr.settle(gensr.Request(CODES, bands="5"))


def test_bands_are_refused_where_there_is_no_choice(tmp_path):
    from PIL import Image

    Image.fromarray(CODES[0, :16, :16]).save(tmp_path / "a.png")
    with pytest.raises(UsageError, match=r"a\.png: bands=1: faces has no choice of bands"):
        gensr.settle(gensr.Request(tmp_path / "a.png", bands="1"))
    with pytest.raises(UsageError, match="say the same"):
        gensr.Request("a.tif", bands="1", options={"bands": "2"})
    with pytest.raises(UsageError, match="bands=0"):
        gensr.Request("a.tif", bands="0")
