"""Which domain an input goes to: what a file proves beats what it looks like, and ties ask. Add rows for new kinds."""

from __future__ import annotations

import json
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import gensr
from gensr.cli.main import main
from gensr.errors import DomainError
from gensr.scenes.arrays import array_domain
from gensr.scenes.inputs import Guessed, guess, guess_told
from tests.kinds import levels, smooth

PHOTO = np.stack([levels(smooth(32, 2, k), 256) for k in range(3)], -1).astype(np.uint8)
PLACE = "10\n0\n0\n-10\n500005\n4599995\n"
SRS = "<PAMDataset><SRS>EPSG:32633</SRS><GeoTransform>500000,10,0,4600000,0,-10</GeoTransform></PAMDataset>"
STATISTICS = "<PAMDataset><PAMRasterBand band='1'><Histograms/></PAMRasterBand></PAMDataset>"
Made = Callable[[Path], Path]


def picture(name: str, data: np.ndarray = PHOTO, **beside: str) -> Made:
    def make(folder):
        pytest.importorskip("PIL.Image").fromarray(data).save(folder / name)
        for end, text in beside.items():
            stem = name if end == "aux.xml" else name.partition(".")[0]
            (folder / f"{stem}.{end}").write_text(text)
        return folder / name

    return make


def tiff(name: str, data: np.ndarray, beside: dict[str, str] | None = None, **how) -> Made:
    def make(folder):
        pytest.importorskip("tifffile").imwrite(folder / name, data, **how)
        for end, text in (beside or {}).items():
            (folder / f"{name if end == 'aux.xml' else name.partition('.')[0]}.{end}").write_text(text)
        return folder / name

    return make


GREY = PHOTO[..., 0]
CHOSEN: dict[str, tuple[Made, str, str]] = {
    "square PNG": (picture("a.png"), "faces", ""),
    "wide PNG": (picture("a.png", PHOTO[:20]), "faces", ""),
    "PNG with a world file": (picture("a.png", pgw=PLACE), "satellite", ""),
    "PNG with a world file in capitals": (picture("a.png", WLD=PLACE), "satellite", ""),
    "JPEG with a world file": (picture("a.jpg", jgw=PLACE), "satellite", ""),
    "PNG with a place in .aux.xml": (picture("a.png", **{"aux.xml": SRS}), "satellite", ""),
    "PNG with statistics in .aux.xml": (picture("a.png", **{"aux.xml": STATISTICS}), "faces", ""),
    "PNG with a broken world file": (picture("a.png", pgw="10\nx"), "satellite", ""),
    "plain TIFF": (tiff("a.tif", GREY), "microscopy", "satellite"),
    "TIFF with a world file": (tiff("a.tif", GREY, {"tfw": PLACE}), "satellite", ""),
    "TIFF with a place in .aux.xml": (tiff("a.tif", GREY, {"aux.xml": SRS}), "satellite", ""),
    "TIFF with statistics in .aux.xml": (tiff("a.tif", GREY, {"aux.xml": STATISTICS}), "microscopy", "satellite"),
    "ImageJ": (tiff("a.tif", GREY, imagej=True), "microscopy", ""),
    "OME-TIFF in colour": (tiff("a.ome.tif", PHOTO, photometric="rgb", ome=True), "microscopy", ""),
    "wide TIFF in colour": (tiff("a.tif", PHOTO[:20], photometric="rgb"), "microscopy", "satellite"),
}  # fmt: skip
ASKED: dict[str, Made] = {
    "square TIFF in colour": tiff("a.tif", PHOTO, photometric="rgb"),
    "16-bit portrait": tiff("a.tif", PHOTO.astype(np.uint16) * 257, photometric="rgb"),
}


@pytest.mark.parametrize("row", CHOSEN)
def test_the_domain_and_its_doubt(tmp_path, row):
    make, name, other = CHOSEN[row]
    domain, doubt = guess_told(make(tmp_path))
    assert (domain.name, doubt) == (name, f"a guess; domain={other} reads it too" if other else "")


@pytest.mark.parametrize("row", ASKED)
def test_ties_ask(tmp_path, row):
    path = ASKED[row](tmp_path)
    with pytest.raises(DomainError, match=r"a\.tif: faces and microscopy both read it; say which: domain=faces or"):
        guess(path)


def test_georeference_beside_a_picture_is_kept(tmp_path):
    rasterio = pytest.importorskip("rasterio")
    path = picture("a.png", pgw=PLACE)(tmp_path)
    result = gensr.upsample(path, factor=2, search="fast", samples=0, output=tmp_path / "out")
    with warnings.catch_warnings(), rasterio.open(result.files[0]) as written:
        assert tuple(written.transform)[:6] == (5, 0, 500000, 0, -5, 4600000)


def mapped(**attrs) -> xr.DataArray:
    return xr.DataArray(GREY, dims=("y", "x"), attrs=attrs)


@pytest.mark.parametrize(
    ("array", "name"),
    [
        (GREY, "microscopy"),
        (mapped(), "microscopy"),
        (mapped(crs="EPSG:32633"), "satellite"),
        (mapped().assign_coords(spatial_ref=((), 0, {"crs_wkt": 'PROJCS["UTM"]'})), "satellite"),
        (mapped().assign_coords(x=("x", np.arange(32.0), {"standard_name": "projection_x_coordinate"})), "satellite"),
        (mapped().assign_coords(x=("x", np.arange(32.0), {"units": "um"})), "microscopy"),
    ],
)
def test_arrays_go_where_their_words_say(array, name):
    assert array_domain(None, array).name == name
    assert array_domain("astronomy", array).name == "astronomy"


def test_the_doubt_of_a_name_travels_and_is_no_part_of_it():
    name = Guessed("microscopy", "a guess")
    again = pickle.loads(pickle.dumps(name))
    assert (again, again.doubt, type(str(again))) == ("microscopy", "a guess", str)
    assert json.dumps([name]) == '["microscopy"]'


def test_the_doubt_is_in_the_report_and_on_the_result_line(tmp_path):
    from gensr.cli.batch import line
    from gensr.pipeline.many import Outcome

    path = tiff("a.tif", GREY)(tmp_path)
    result = gensr.upsample(path, factor=2, search="fast", samples=0)
    doubt = "a guess; domain=satellite reads it too"
    assert result.report["input"]["domain was guessed"] == doubt
    assert f"(microscopy: {doubt}, engression-field;" in line(path, Outcome((), result.report, 1.0), doubt)
    words = ["factor=2", "search=fast", "samples=0"]
    for number, more in enumerate(([], ["domain=microscopy"])):
        assert main(["upsample", str(path), *words, *more, f"output={tmp_path / str(number)}"]) == 0
        told = json.loads((tmp_path / str(number) / "a_x2_generated_report.json").read_text())["input"]
        assert told.get("domain was guessed", "") == ("" if more else doubt)
    named = gensr.upsample(path, domain="microscopy", factor=2, search="fast", samples=0)
    assert "domain was guessed" not in named.report["input"]
