"""A part of an input in every format: values, geometry and companions, read by the format's own library.

The corner of a part at column c, row r lies at ``corner + c a + r b``; outputs are refined after that, so their corner
is the same and their pixels are half as long.
"""

from __future__ import annotations

import importlib.util
import pickle
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
import rasterio
import tifffile
import xarray as xr
from astropy.io import fits
from astropy.wcs import WCS
from PIL import Image as Pillow
from rasterio.control import GroundControlPoint

import gensr
import gensr.accessor
from gensr.cli.main import main
from gensr.errors import DomainError
from gensr.scenes import installed
from gensr.scenes.area import area_notes, part_of
from gensr.scenes.inputs import guess
from gensr.scenes.names import Names
from gensr.scenes.testing import NearestProduct
from gensr.values.area import Area
from gensr.values.grid import Window

COL, ROW, COLS, ROWS = 3, 5, 7, 6
WORDS = f"{COL},{ROW},{COLS},{ROWS}"
CUT = np.s_[..., ROW : ROW + ROWS, COL : COL + COLS]
RNG = np.random.default_rng(5)


def written(path: Path, folder: Path, area: Area | None = None, **options: object) -> list[Path]:
    """Outputs of a part whose pixels are repeated twice."""
    folder.mkdir()
    domain = guess(path)
    area = area or Area(srcwin=WORDS)
    with gensr.open(path, options=options, srcwin=area.srcwin, bounds=area.bounds) as scene:
        return scene.write(NearestProduct(scene, 2, samples=0), folder, Names(domain.stem(path), 2))


def twice(values: np.ndarray) -> np.ndarray:
    return values.repeat(2, -2).repeat(2, -1)


def geotiff(path: Path, **more: object) -> np.ndarray:
    codes = RNG.integers(1, 4000, (2, 20, 24)).astype(np.uint16)
    codes[0, ROW, COL] = 0
    place = rasterio.Affine(9.0, 2.0, 500000.0, 3.0, -8.0, 4000000.0)
    how = {"driver": "GTiff", "width": 24, "height": 20, "count": 2, "dtype": "uint16", "nodata": 0}
    with rasterio.open(path, "w", **{**how, "crs": "EPSG:32633", "transform": place, **more}) as target:
        target.write(codes)
    return codes


def test_geotiff(tmp_path):
    codes = geotiff(tmp_path / "a.tif")
    (mean, *_) = written(tmp_path / "a.tif", tmp_path / "out")
    with rasterio.open(mean) as found:
        corner = (500000 + COL * 9 + ROW * 2, 4000000 + COL * 3 - ROW * 8)
        assert tuple(found.transform)[:6] == pytest.approx((4.5, 1.0, corner[0], 1.5, -4.0, corner[1]), abs=1e-9)
        assert np.array_equal(found.read(), twice(codes[CUT]))
        assert found.crs.to_epsg() == 32633
        assert found.nodata == 0


def test_ground_control_points_and_polynomials(tmp_path):
    points = [GroundControlPoint(r, c, 10 + c / 10, 40 - r / 10) for r in (0, 20) for c in (0, 24)]
    geotiff(tmp_path / "gcp.tif", gcps=points, transform=None)
    (mean, *_) = written(tmp_path / "gcp.tif", tmp_path / "out")
    with rasterio.open(mean) as found:
        places = [(p.row, p.col, p.x, p.y) for p in found.gcps[0]]
    expected = [((p.row - ROW) * 2, (p.col - COL) * 2, p.x, p.y) for p in points]
    assert np.allclose(places, expected, rtol=0, atol=1e-9)

    names = ("height_off", "height_scale", "lat_off", "lat_scale", "long_off", "long_scale", "line_off", "line_scale")
    numbers = dict(zip(names, (100.0, 50.0, 40.0, 0.1, 10.0, 0.1, 9.5, 10.0), strict=True))
    terms = {f"{n}_{d}_coeff": [0.1] * 20 for n in ("line", "samp") for d in ("num", "den")}
    rpc = rasterio.rpc.RPC(samp_off=11.5, samp_scale=12.0, err_bias=None, err_rand=None, **numbers, **terms)
    geotiff(tmp_path / "rpc.tif", rpcs=rpc, transform=None, crs=None)
    (mean, *_) = written(tmp_path / "rpc.tif", tmp_path / "out2")
    with rasterio.open(mean) as found:
        assert found.rpcs.line_off == pytest.approx((9.5 - ROW + 0.5) * 2 - 0.5)
        assert found.rpcs.samp_off == pytest.approx((11.5 - COL + 0.5) * 2 - 0.5)
        assert (found.rpcs.line_scale, found.rpcs.samp_scale) == (20, 24)


def test_bounds_of_a_map(tmp_path):
    place = rasterio.Affine(10.0, 0.0, 500000.0, 0.0, -10.0, 4000000.0)
    codes = geotiff(tmp_path / "a.tif", transform=place)
    box = (500030, 4000000 - 10 * (ROW + ROWS), 500000 + 10 * (COL + COLS), 4000000 - 10 * ROW)
    with gensr.open(tmp_path / "a.tif", bounds=box) as scene:
        assert (scene.origin, scene.grid.shape) == ((ROW, COL), (ROWS, COLS))  # edges take no pixel beside them
        assert np.array_equal(scene.read(0, Window(0, 0, ROWS, COLS)).values[1], codes[1][CUT])
    with gensr.open(tmp_path / "a.tif", bounds="500032,3999885,500098,3999945") as scene:
        assert (scene.origin, scene.grid.shape) == ((5, 3), (7, 7))  # pixels that the box touches
    with gensr.open(tmp_path / "a.tif", bounds="500050,3999900,20") as scene:
        assert (scene.origin, scene.grid.shape) == ((9, 4), (2, 2))  # a square of 20 m about a place
    asked = Area(bounds="499000,3999950,500030,4001000")
    with gensr.open(tmp_path / "a.tif", bounds=asked.bounds) as scene:
        assert (scene.origin, scene.grid.shape) == ((0, 0), (5, 3))
        assert "reaches beyond the image" in area_notes(scene, asked)[0]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"srcwin": "20,0,5,5"}, "leaves the image of 24 x 20 pixels"),
        ({"bounds": "0,0,10,10"}, "lies outside the image"),
        ({"bounds": "500100,3999900,500050,3999950"}, "left is not below right"),
        ({"bounds": "500100,3999900,3arcsec"}, "arcsec, arcmin and deg are for the sky"),
    ],
)
def test_refused_by_name(words, said, tmp_path):
    geotiff(tmp_path / "a.tif", transform=rasterio.Affine(10.0, 0.0, 500000.0, 0.0, -10.0, 4000000.0))
    with pytest.raises(DomainError, match=said):
        gensr.open(tmp_path / "a.tif", **words)


def sip_image(path: Path) -> np.ndarray:
    values = RNG.normal(100, 5, (20, 24)).astype(np.float32)
    values[ROW + 1, COL + 1] = np.nan
    cards = {"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP", "CRVAL1": 0.001, "CRVAL2": 40.0, "BUNIT": "electron"}
    cards |= {"CRPIX1": 10.5, "CRPIX2": 8.25, "CD1_1": -1e-4, "CD1_2": 2e-5, "CD2_1": 2e-5, "CD2_2": 1e-4}
    cards |= {"A_ORDER": 2, "B_ORDER": 2, "A_2_0": 1e-4, "B_1_1": -2e-4, "DATASEC": "[2:20,1:20]"}
    cards |= {
        "CTYPE1A": "LINEAR",
        "CTYPE2A": "LINEAR",
        "CRVAL1A": 5.0,
        "CDELT1A": 2.0,
        "LTV1": 1.0,
        "LTM1_1": 0.5,
        "CCDSEC": "[1:24,1:20]",
    }
    cards |= {"TRIMSEC": "[1:2,1:2]", "CCDSEC": "[1:24,1:20]"}
    first = fits.PrimaryHDU(values)
    first.header.update(cards)
    error = fits.ImageHDU(np.abs(values) + 1, name="ERR")
    flags = fits.ImageHDU((values > 105).astype(np.int16) * 4, name="DQ")
    for hdu in (error, flags):
        hdu.header.update({k: v for k, v in cards.items() if k.startswith(("C", "A_", "B_")) and k != "CCDSEC"})
    fits.HDUList([first, error, flags]).writeto(path)
    return values


def test_fits(tmp_path):
    values = sip_image(tmp_path / "a.fits")
    (mean, *_) = written(tmp_path / "a.fits", tmp_path / "out", values="brightness", dq_bits=0)
    with fits.open(mean) as found, fits.open(tmp_path / "a.fits") as source:
        assert np.array_equal(found[0].data, twice(values[CUT]), equal_nan=True)
        new, old = WCS(found[0].header), WCS(source[0].header)
        corners = np.array([[-0.5, -0.5], [2 * COLS - 0.5, -0.5], [-0.5, 2 * ROWS - 0.5], [5.5, 3.5]])
        coarse = (corners + 0.5) / 2 - 0.5 + [COL, ROW]
        assert np.abs(new.all_pix2world(corners, 0) - old.all_pix2world(coarse, 0)).max() < 1e-10
        header = found[0].header
        # the alternate system: CRVAL + CDELT (p - CRPIX) of the left edge, whose CRPIX the source leaves at 0
        edge = header["CRVAL1A"] + header["CDELT1A"] * (0.5 - header["CRPIX1A"])
        assert edge == pytest.approx(5.0 + 2.0 * (0.5 + COL))
        # physical = (logical - LTV) / LTM of the left edge, 0.5 + COL in the source
        assert (0.5 - header["LTV1"]) / header["LTM1_1"] == pytest.approx((0.5 + COL - 1.0) / 0.5)
        assert header["DATASEC"] == f"[1:{2 * COLS},1:{2 * ROWS}]"
        assert "TRIMSEC" not in header
        assert "CCDSEC" not in header
        assert "CCDSEC" in str(header["HISTORY"])
        assert np.array_equal(found["DQ"].data, twice(source["DQ"].data[CUT]))
        assert np.array_equal(found["ERR_LR"].data, source["ERR"].data[CUT], equal_nan=True)
        own = WCS(found["ERR_LR"].header).all_pix2world([[0, 0]], 0)
        assert np.abs(own - WCS(source["ERR"].header).all_pix2world([[COL, ROW]], 0)).max() < 1e-10


def test_lookup_distortion(tmp_path):
    """A table of shifts is anchored in pixels of the image."""
    sip_image(tmp_path / "a.fits")
    with fits.open(tmp_path / "a.fits") as hdus:
        first = fits.PrimaryHDU(hdus[0].data)
        first.header.update({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 10.0, "CRVAL2": 5.0, "BUNIT": "Jy"})
        first.header.update({"CRPIX1": 10.5, "CRPIX2": 8.25, "CDELT1": -1e-4, "CDELT2": 1e-4})
        for axis in (1, 2):
            first.header[f"CPDIS{axis}"] = "LOOKUP"
            for record in ("EXTVER: 1", "NAXES: 2", "AXIS.1: 1", "AXIS.2: 2"):
                first.header.append((f"DP{axis}", record))
        shifts = np.add.outer(np.arange(4), 2 * np.arange(5)).astype(np.float32) / 7
        table = fits.ImageHDU(shifts, name="WCSDVARR", ver=1)
        table.header.update({"CRPIX1": 1.0, "CRVAL1": 1.0, "CDELT1": 6.0, "CRPIX2": 1.0, "CRVAL2": 1.0, "CDELT2": 7.0})
        fits.HDUList([first, table]).writeto(tmp_path / "b.fits")
    (mean, *_) = written(tmp_path / "b.fits", tmp_path / "out")
    with fits.open(mean) as found, fits.open(tmp_path / "b.fits") as source:
        corners = np.array([[-0.5, -0.5], [2 * COLS - 0.5, 2 * ROWS - 0.5], [5.5, 3.5]])
        coarse = (corners + 0.5) / 2 - 0.5 + [COL, ROW]
        new, old = WCS(found[0].header, fobj=found), WCS(source[0].header, fobj=source)
        assert old.cpdis1 is not None
        assert np.abs(new.all_pix2world(corners, 0) - old.all_pix2world(coarse, 0)).max() < 1e-10


@pytest.mark.parametrize("turned", [False, True])
def test_a_box_on_the_sky_through_right_ascension_0(turned, tmp_path):
    """Pixels of 0.01 degree about RA 0, Dec 0 (north up, east left): columns 20 to 29 hold RA 0.05 to -0.05."""
    header = {"CTYPE1": "RA---CAR", "CTYPE2": "DEC--CAR", "CRVAL1": 0.0, "CRVAL2": 0.0, "BUNIT": "Jy/beam"}
    header |= {"CRPIX1": 25.5, "CRPIX2": 20.5, "CDELT1": -0.01, "CDELT2": 0.01}
    hdu = fits.PrimaryHDU(RNG.normal(0, 1, (40, 50)).astype(np.float32))
    hdu.header.update(header)
    if turned:  # latitude along the columns of the array
        hdu = fits.PrimaryHDU(np.ascontiguousarray(hdu.data.T))
        hdu.header.update({k[:-1] + {"1": "2", "2": "1"}[k[-1]] if k[-1] in "12" else k: v for k, v in header.items()})
    hdu.writeto(tmp_path / "a.fits")
    with gensr.open(tmp_path / "a.fits", bounds="359.95,-0.08,0.05,0.02") as scene:
        found = (*scene.origin, *scene.grid.shape)
    assert found == ((20, 12, 10, 10) if turned else (12, 20, 10, 10))
    with gensr.open(tmp_path / "a.fits", bounds="0,0,6arcmin") as scene:
        assert (*scene.origin, *scene.grid.shape) == ((20, 15, 10, 10) if turned else (15, 20, 10, 10))
        longitude, latitude = scene.metadata()["wcs"]["centre_deg"]
        assert (longitude % 360, latitude) == pytest.approx((0, 0), abs=1e-9)
    for far in ("180,-1,181,1", "0,80,1arcmin"):
        with pytest.raises(DomainError, match="lies outside the image"):
            gensr.open(tmp_path / "a.fits", bounds=far)


def test_behind_the_tangent_plane_is_outside(tmp_path):
    hdu = fits.PrimaryHDU(np.ones((40, 50), np.float32))
    hdu.header.update({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 10.0, "CRVAL2": 20.0, "BUNIT": "Jy/beam"})
    hdu.header.update({"CRPIX1": 25.0, "CRPIX2": 20.0, "CDELT1": -1e-3, "CDELT2": 1e-3})
    hdu.writeto(tmp_path / "a.fits")
    with pytest.raises(DomainError, match="lies outside"):
        gensr.open(tmp_path / "a.fits", bounds="190,-20,10arcsec")


def test_a_square_at_the_pole_is_a_square(tmp_path):
    hdu = fits.PrimaryHDU(np.ones((60, 60), np.float32))
    hdu.header.update({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 0.0, "CRVAL2": 90.0, "BUNIT": "Jy/beam"})
    hdu.header.update({"CRPIX1": 30.5, "CRPIX2": 30.5, "CDELT1": -0.001, "CDELT2": 0.001})
    hdu.writeto(tmp_path / "a.fits")
    with gensr.open(tmp_path / "a.fits", bounds="0,90,0.01") as scene:
        assert (*scene.origin, *scene.grid.shape) == (25, 25, 10, 10)
    with gensr.open(tmp_path / "a.fits", bounds="0,89.995,359.9999999,90") as scene:  # all longitudes
        assert (*scene.origin, *scene.grid.shape) == (25, 25, 10, 10)


def test_ome_tiff(tmp_path):
    codes = RNG.integers(100, 60000, (2, 20, 24)).astype(np.uint16)
    meta = {"axes": "CYX", "PhysicalSizeX": 0.25, "PhysicalSizeY": 0.5, "Channel": {"Name": ["a", "b"]}}
    meta["Plane"] = {"PositionX": [10.0] * 2, "PositionXUnit": ["mm"] * 2, "PositionY": [7.0] * 2}
    meta["Plane"]["PositionYUnit"] = ["µm"] * 2
    tifffile.imwrite(tmp_path / "a.ome.tif", codes, ome=True, photometric="minisblack", tile=(16, 16), metadata=meta)
    (mean, *_) = written(tmp_path / "a.ome.tif", tmp_path / "out")
    with tifffile.TiffFile(mean) as tif:
        assert np.array_equal(tif.asarray(), twice(codes[CUT]))
        pixels = tifffile.xml2dict(tif.ome_metadata)["OME"]["Image"]["Pixels"]
    assert (pixels["SizeX"], pixels["SizeY"]) == (2 * COLS, 2 * ROWS)
    assert (pixels["PhysicalSizeX"], pixels["PhysicalSizeY"]) == (0.125, 0.25)
    # first centre of the source + the offset - a quarter pixel, for halves
    assert pixels["Plane"][0]["PositionX"] == pytest.approx(10.0 + (COL - 0.25) * 0.25e-3, abs=1e-12)
    assert pixels["Plane"][1]["PositionY"] == pytest.approx(7.0 + (ROW - 0.25) * 0.5, abs=1e-12)


def test_regions_of_ome(tmp_path):
    from gensr.domains.microscopy.cropped import cropped_xml

    xml = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">'
        '<Pixels SizeX="24" SizeY="20"/></Image><ROI ID="ROI:0"><Union>'
        '<Rectangle ID="Shape:0" X="4" Y="6" Width="2" Height="3"/>'
        '<Polygon ID="Shape:1" Points="4,6 5.5,7"/><Line ID="Shape:2" X1="4" Y1="6" X2="1" Y2="2">'
        '<Transform A00="0" A01="1" A02="8" A10="1" A11="0" A12="9"/></Line></Union></ROI></OME>'
    )
    found = tifffile.xml2dict(cropped_xml(xml, 0, Window(ROW, COL, ROWS, COLS), "keep"))["OME"]["ROI"]["Union"]
    assert found["Rectangle"] == {"ID": "Shape:0", "X": 1.0, "Y": 1.0, "Width": 2, "Height": 3}
    assert found["Polygon"]["Points"] == "1.0,1.0 2.5,2.0"
    assert [found["Line"][k] for k in ("X1", "Y1", "X2", "Y2")] == [4, 6, 1, 2]
    assert (found["Line"]["Transform"]["A02"], found["Line"]["Transform"]["A12"]) == (8 - COL, 9 - ROW)


def test_imagej(tmp_path):
    codes = RNG.integers(100, 60000, (3, 20, 24)).astype(np.uint16)
    meta = {"axes": "ZYX", "unit": "um", "spacing": 0.5, "xorigin": 9.0, "yorigin": 2.0}
    tifffile.imwrite(tmp_path / "a.tif", codes, imagej=True, resolution=((4, 1), (5, 1)), metadata=meta)
    (mean, *_) = written(tmp_path / "a.tif", tmp_path / "out")
    with tifffile.TiffFile(mean) as tif:
        assert np.array_equal(tif.asarray(), twice(codes[CUT]))
        assert tif.imagej_metadata["xorigin"] == pytest.approx((9 - COL + 0.5) * 2 - 0.5)
        assert tif.imagej_metadata["yorigin"] == pytest.approx((2 - ROW + 0.5) * 2 - 0.5)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_nifti(axis, tmp_path):
    turn = nib.eulerangles.euler2mat(0.1, 0.05, 0.2)
    affine = nib.affines.from_matvec(turn @ np.diag([-1.0, 1.2, 0.9]), [10, -20, 30])
    codes = RNG.integers(0, 900, (20, 22, 24)).astype(np.int16)
    image = nib.Nifti1Image(codes, affine)
    image.set_qform(affine, 2)
    image.set_sform(affine, 1)
    image.header.set_xyzt_units("mm", "sec")
    nib.save(image, tmp_path / "a.nii")
    (mean, *_) = written(tmp_path / "a.nii", tmp_path / "out", axis=axis, through_plane="off")
    column, row = (n for n in range(3) if n != axis)
    index, scale, cut = np.zeros(3), np.ones(3), [slice(None)] * 3
    for a, first, size in ((row, ROW, ROWS), (column, COL, COLS)):
        # centre of the first half-size voxel of the part
        index[a], scale[a], cut[a] = first - 0.25, 2, slice(first, first + size)
    found = nib.load(mean)
    expected = codes[tuple(cut)]
    for a in (row, column):
        expected = expected.repeat(2, a)
    assert np.array_equal(np.asarray(found.dataobj), expected)
    for form in (found.get_qform(), found.get_sform()):
        assert form[:3, 3] == pytest.approx((affine @ [*index, 1])[:3], abs=1e-5)
        assert form[:3, :3] * scale == pytest.approx(affine[:3, :3], abs=1e-6)


def medical_helpers():
    """The builders of the medical tests, whatever else is called conftest."""
    place = Path(__file__).parents[1] / "domains" / "medical" / "conftest.py"
    spec = importlib.util.spec_from_file_location("medical_helpers", place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def dicom(path: Path) -> np.ndarray:
    medical = medical_helpers()
    dataset, put_pixels, put_place, save = (
        getattr(medical, name) for name in ("dataset", "put_pixels", "put_place", "save")
    )

    codes = RNG.integers(0, 2000, (20, 24)).astype(np.int16)
    cos, sin = np.cos(0.3), np.sin(0.3)
    image = put_place(dataset("MR"), (1.0, 2.0, 3.0), (0.8, 0.5), (cos, sin, 0), (-sin, cos, 0))
    image.ShutterShape, image.ShutterLeftVerticalEdge, image.ShutterLowerHorizontalEdge = "RECTANGULAR", 6, 9
    image.FieldOfViewDimensions = [12, 16]
    save(put_pixels(image, codes), path)
    return codes


def test_dicom(tmp_path):
    codes = dicom(tmp_path / "a.dcm")
    (mean, *_) = written(tmp_path / "a.dcm", tmp_path / "out")
    found = pydicom.dcmread(mean)
    assert np.array_equal(found.pixel_array, twice(codes[CUT]))
    x, y = np.array([np.cos(0.3), np.sin(0.3), 0]), np.array([-np.sin(0.3), np.cos(0.3), 0])
    place = np.array([1.0, 2.0, 3.0]) + (COL - 0.25) * 0.5 * x + (ROW - 0.25) * 0.8 * y
    assert np.array(found.ImagePositionPatient, float) == pytest.approx(place, abs=1e-8)
    assert [float(v) for v in found.PixelSpacing] == [0.4, 0.25]
    assert found.ShutterLeftVerticalEdge == (6 - COL - 1) * 2 + 1
    assert found.ShutterLowerHorizontalEdge == (9 - ROW) * 2
    assert "FieldOfViewDimensions" not in found


def test_dataarray():
    values = RNG.normal(0, 1, (20, 24))
    places = {"y": 100 - 2 * (np.arange(20) + 0.5), "x": 50 + 4 * (np.arange(24) + 0.5)}
    array = xr.DataArray(values, coords=places, dims=("y", "x"))
    found = array.gensr.upsample(2, search="fast", samples=0, srcwin=WORDS)
    assert found["mean"].shape == (2 * ROWS, 2 * COLS)
    assert float(found["x"][0]) == pytest.approx(50 + 4 * COL + 1)
    assert float(found["y"][0]) == pytest.approx(100 - 2 * ROW - 0.5)
    box = f"{50 + 4 * COL},{100 - 2 * (ROW + ROWS)},{50 + 4 * (COL + COLS)},{100 - 2 * ROW}"
    same = array.gensr.upsample(2, search="fast", samples=0, bounds=box)
    assert np.array_equal(same["mean"], found["mean"])
    assert np.abs(found["mean"].values.reshape(ROWS, 2, COLS, 2).mean((1, 3)) - values[CUT]).max() < 1


def test_faces_refuse(tmp_path):
    Pillow.fromarray(RNG.integers(0, 255, (32, 32, 3)).astype(np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(DomainError, match="part of a face"):
        gensr.open(tmp_path / "a.png", domain="faces", srcwin="0,0,8,8")


def test_domains_without_coordinates_refuse_bounds(tmp_path):
    dicom(tmp_path / "a.dcm")
    tifffile.imwrite(tmp_path / "a.tif", RNG.integers(0, 255, (20, 24)).astype(np.uint8), metadata=None)
    fits.PrimaryHDU(np.ones((20, 24), np.float32)).writeto(tmp_path / "a.fits")
    for name, domain in (("a.dcm", "medical"), ("a.tif", "microscopy"), ("a.fits", "astronomy")):
        with pytest.raises(DomainError, match=r"srcwin=,? (which )?counts pixels"):
            gensr.open(tmp_path / name, domain=domain, bounds="0,0,1,1")


def test_another_process_opens_the_same_part(tmp_path):
    geotiff(tmp_path / "a.tif")
    with gensr.open(tmp_path / "a.tif", srcwin=[COL, ROW, COLS, ROWS]) as scene:
        code = "import pickle, sys; s = pickle.loads(sys.stdin.buffer.read()); print(s.origin, s.grid.shape)"
        run = subprocess.run([sys.executable, "-c", code], input=pickle.dumps(scene), capture_output=True, check=True)
    assert run.stdout.decode().strip() == f"({ROW}, {COL}) ({ROWS}, {COLS})"


def test_all_of_it_is_no_part(tmp_path):
    geotiff(tmp_path / "a.tif")
    with installed.domain("satellite").open(tmp_path / "a.tif", {}) as scene:
        assert part_of(scene, Area(srcwin="0,0,24,20")) is scene
        assert part_of(scene, Area()) is scene


def test_command_reads_only_the_part(tmp_path, capsys):
    """Pixels outside the part hold values that would move every statistic."""
    codes = geotiff(tmp_path / "a.tif", transform=rasterio.Affine(10.0, 0.0, 500000.0, 0.0, -10.0, 4000000.0))
    loud = codes.copy()
    loud[:] = 60000
    loud[CUT] = codes[CUT]
    with rasterio.open(tmp_path / "a.tif", "r+") as target:
        target.write(loud)
    with rasterio.open(tmp_path / "a.tif") as source:
        profile = source.profile | {"width": COLS, "height": ROWS}
        profile["transform"] = rasterio.Affine(10, 0, 500000 + 10 * COL, 0, -10, 4000000 - 10 * ROW)
    with rasterio.open(tmp_path / "cut.tif", "w", **profile) as target:
        target.write(codes[CUT])
    words = ["factor=2", "search=fast", "samples=0", "noise=2"]
    assert main(["upsample", str(tmp_path / "a.tif"), *words, f"srcwin={WORDS}", f"output={tmp_path / 'part'}"]) == 0
    assert main(["upsample", str(tmp_path / "cut.tif"), *words, f"output={tmp_path / 'cut'}"]) == 0
    with (
        rasterio.open(tmp_path / "part" / "a_x2_generated.tif") as a,
        rasterio.open(tmp_path / "cut" / "cut_x2_generated.tif") as b,
    ):
        assert a.transform == b.transform
        assert np.array_equal(a.read(), b.read())
    assert main(["info", str(tmp_path / "a.tif"), f"srcwin={WORDS}"]) == 0
    assert f"srcwin  {COL}, {ROW}, {COLS}, {ROWS}" in capsys.readouterr().out
    assert main(["upsample", str(tmp_path / "a.tif"), "srcwin=1,2,3"]) == 2
    assert "srcwin=1,2,3: expected xoff,yoff,xsize,ysize" in capsys.readouterr().err
