"""Texts of coordinate systems that name files and addresses, and those that name none."""

from __future__ import annotations

import pytest
import rasterio
import xarray as xr
from rasterio.crs import CRS

import gensr
from gensr.errors import FormatError, GensrError
from gensr.scenes.crs import check_crs, leads_elsewhere

GEOGRAPHIC = 'GEOGCS["x",DATUM["d",SPHEROID["s",6378137,298]{}],PRIMEM["g",0],UNIT["degree",0.0174]]'


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("+proj=longlat +nadgrids=/home/a.gsb +no_defs", "/home/a.gsb"),
        ('+proj=longlat +nadgrids="/home/a.gsb"', "/home/a.gsb"),
        ("+proj=longlat +nadgrids=@null,@/home/a.gsb", "/home/a.gsb"),
        ("+proj=longlat +geoidgrids=../a.gtx", "../a.gtx"),
        ("+proj=pipeline +step +proj=hgridshift +grids=~/a", "~/a"),
        ("+init=/home/list:1", "/home/list:1"),
        ("+proj=deformation +xy_grids = C:\\a", "C:\\a"),
        (GEOGRAPHIC.format(',EXTENSION["PROJ4_GRIDS","/home/a.gsb"]'), "/home/a.gsb"),
        (GEOGRAPHIC.format(',EXTENSION["PROJ4","+proj=longlat +nadgrids=//host/a"]'), "//host/a"),
        ('BOUNDCRS[PARAMETERFILE["Latitude and longitude difference file", "/home/a"]]', "/home/a"),
        ('{"type": "BoundCRS", "parameters": [{"name": "file", "value": "/home/a.gsb"}]}', "/home/a.gsb"),
        ("http://127.0.0.1:9/a", ""),
    ],
)
def test_what_leads_elsewhere(text, named):
    assert leads_elsewhere(text) == named
    with pytest.raises(FormatError, match=r"a\.tif: its coordinate system names"):
        check_crs(text, "a.tif")


@pytest.mark.parametrize("code", [3857, 32633, 4326, 4979, 27700, 5773, 2154, 31370, 7405, 9518])
@pytest.mark.parametrize("version", ["WKT1_GDAL", "WKT2_2019", "WKT1_ESRI"])
def test_real_ones_pass(code, version):
    """Web Mercator names the grid @null, heights name geoids of PROJ."""
    try:
        text = CRS.from_epsg(code).to_wkt(version=version)
    except rasterio.errors.CRSError:
        pytest.skip("has no such form")
    check_crs(text, "a.tif")


def test_other_words_for_real_ones_pass():
    for text in ("EPSG:4326", "epsg:32633+5773"[:10], "+init=epsg:4326", "+proj=utm +zone=33 +nadgrids=ntv2_0.gsb", ""):
        check_crs(text, "a.tif")
    check_crs(CRS.from_epsg(3857).to_string(), "a.tif")
    check_crs(str(CRS.from_epsg(32633).to_dict(projjson=True)).replace("'", '"'), "a.tif")


@pytest.mark.parametrize("text", ["http://127.0.0.1:9/a", "/etc/passwd", "+proj=longlat +nadgrids=/etc/passwd"])
def test_arrays_that_say_so_are_refused(text):
    xs = {"x": ("x", [0.5, 1.5, 2.5, 3.5]), "y": ("y", [3.5, 2.5, 1.5, 0.5])}
    image = xr.DataArray([[1.0, 2, 3, 4]] * 4, xs, ("y", "x"), attrs={"crs": text})
    with pytest.raises(GensrError, match=r"names .*, another file or an address"):
        gensr.upsample(image, factor=2, search="fast", samples=0)
