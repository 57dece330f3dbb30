"""Arrays of xarray: the same numbers as their GeoTIFF, and results that NetCDF, Zarr and rioxarray take."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import xarray as xr

import gensr
import gensr.accessor
from gensr.errors import GensrError, UsageError
from gensr.scenes.arrays import ArrayScene
from gensr.scenes.georeference import refined_centres
from gensr.scenes.labelled import labelled
from gensr.values.grid import Affine, Window

rioxarray = pytest.importorskip("rioxarray")
pytestmark = pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")  # rioxarray with affine 3

QUICK: dict[str, Any] = {"factor": 2, "search": "fast", "samples": 0}
Y, X = np.mgrid[:14, :12]
PICTURE = np.rint(500 + 300 * np.exp(-((Y - 7) ** 2 + (X - 6) ** 2) / 9) + 9 * np.cos(7.0 * X * Y)).astype(np.float32)
HOLE = np.zeros(PICTURE.shape, bool)
HOLE[3:5, 7] = True
CORNER = Affine(10.0, 0.0, 500000.0, 0.0, -10.0, 4000000.0)
TURNED = Affine(9.0, 3.0, 500000.0, 3.0, -9.0, 4000000.0)


def tiff(path: Path, bands: Any, transform: Affine = CORNER, crs: str = "EPSG:32632", **more: Any) -> Path:
    """A GeoTIFF written with rasterio alone."""
    bands = np.asarray(bands)
    scales, offsets, names = (more.pop(k, None) for k in ("scales", "offsets", "names"))
    how = {"driver": "GTiff", "count": len(bands), "dtype": str(bands.dtype), "height": 14, "width": 12, **more}
    with rasterio.open(path, "w", crs=crs, transform=rasterio.Affine(*transform), **how) as out:
        out.write(bands)
        if names:
            out.descriptions = names
        if scales:
            out.scales, out.offsets = scales, offsets
    return path


def centres() -> dict[str, Any]:
    return {"y": CORNER.f + CORNER.e * (np.arange(14) + 0.5), "x": CORNER.c + CORNER.a * (np.arange(12) + 0.5)}


def stored(dtype: str = "uint16") -> Any:
    return np.stack([np.where(HOLE, 0, PICTURE), PICTURE + 40]).astype(dtype)


def opened(path: Path, **words: Any) -> xr.DataArray:
    """As rioxarray opens it, in memory and closed."""
    with rioxarray.open_rasterio(path, **words) as array:
        return array.load()


def by_hand(path: Path) -> xr.DataArray:
    array = xr.DataArray(stored(), dims=("band", "y", "x"), coords=centres())
    return array.rio.write_crs("EPSG:32632").rio.write_nodata(0)


def plain_tiff(path: Path) -> Path:
    return tiff(path, stored(), nodata=0)


def scaled_tiff(path: Path) -> Path:
    return tiff(path, stored("int16"), nodata=0, scales=(0.5, 0.5), offsets=(-3, -3), names=("red", "nir"))


def float_tiff(path: Path) -> Path:
    return tiff(path, np.where(HOLE, np.nan, PICTURE)[None].astype(np.float32), nodata=np.nan)


def turned_tiff(path: Path) -> Path:
    return tiff(path, stored(), TURNED, nodata=0)


def degrees_tiff(path: Path) -> Path:
    return tiff(path, PICTURE[None], Affine(0.1, 0, 7.0, 0, -0.1, 50.0), "EPSG:4326")


def degrees(path: Path) -> xr.DataArray:
    """Without any CRS, in single precision, as climate files have it."""
    lat = xr.Variable("lat", (49.95 - 0.1 * np.arange(14)).astype(np.float32), {"units": "degrees_north"})
    lon = xr.Variable("lon", (7.05 + 0.1 * np.arange(12)).astype(np.float32), {"units": "degrees_east"})
    return xr.DataArray(PICTURE.T, dims=("lon", "lat"), coords={"lat": lat, "lon": lon})


def legacy(path: Path) -> xr.DataArray:
    """As xarray's own reader of rasters left it: CRS and transform in attributes."""
    attrs = {"crs": "EPSG:32632", "transform": tuple(CORNER), "_FillValue": 0}
    return xr.DataArray(stored(), dims=("band", "y", "x"), attrs=attrs)


def as_dataset(path: Path) -> xr.Dataset:
    array = opened(path)
    bands = {name: array[i].drop_vars("band") for i, name in enumerate(("red", "nir"))}
    for band in bands.values():
        band.attrs.pop("long_name", None)
    return xr.Dataset(bands)


KINDS: dict[str, tuple[Callable[[Path], Path], Callable[[Path], Any]]] = {
    "codes with nodata": (plain_tiff, opened),
    "written by hand": (plain_tiff, by_hand),
    "attributes of old": (plain_tiff, legacy),
    "decoded by rioxarray": (plain_tiff, lambda p: opened(p, masked=True)),
    "codes with a scale": (scaled_tiff, opened),
    "decoded with a scale": (scaled_tiff, lambda p: opened(p, mask_and_scale=True)),
    "NaN": (float_tiff, opened),
    "turned": (turned_tiff, opened),
    "bands last": (plain_tiff, lambda p: opened(p).transpose("x", "y", "band")),
    "a Dataset of bands": (scaled_tiff, as_dataset),
    "degrees without a CRS": (degrees_tiff, degrees),
}


def turned_back(kind: str, values: Any) -> Any:
    """A result in the order of a GeoTIFF."""
    return {
        "bands last": values.transpose(2, 1, 0) if values.ndim == 3 else values,
        "degrees without a CRS": values.T,
    }.get(kind, values)


@pytest.mark.parametrize("kind", KINDS)
def test_an_array_is_answered_like_its_geotiff(kind: str, tmp_path: Path) -> None:
    write, make = KINDS[kind]
    path = write(tmp_path / "a.tif")
    array = make(path)
    before = array.copy(deep=True)
    one, other = gensr.upsample(array, **QUICK), gensr.upsample(path, **QUICK)
    xr.testing.assert_identical(array, before)
    assert one.report["input"]["domain"] == other.report["input"]["domain"] == "satellite"
    span = float(np.nanmax(other.mean) - np.nanmin(other.mean))
    for name in ("mean", "std"):
        values = turned_back(kind, getattr(one, name)).reshape(getattr(other, name).shape)
        np.testing.assert_allclose(values, getattr(other, name), rtol=1e-6, atol=1e-6 * span, err_msg=name)
    assert one.mean.dtype == other.mean.dtype
    assert one.report["noise"]["source"] == other.report["noise"]["source"]
    assert one.report["output"]["invalid pixels"] == other.report["output"]["invalid pixels"]
    np.testing.assert_allclose(one.grid.transform, other.grid.transform, rtol=1e-6)
    assert one.grid.shape == other.grid.shape


def physical(array: xr.DataArray) -> Any:
    """Values with NaN where invalid, whichever way they are stored."""
    values = array.values.astype(np.float64)
    if "_FillValue" in array.attrs and array.dtype.kind != "f":
        values = np.where(values == array.attrs["_FillValue"], np.nan, values)
    return values * array.attrs.get("scale_factor", 1) + array.attrs.get("add_offset", 0)


@pytest.mark.parametrize("kind", [k for k in KINDS if k != "degrees without a CRS"])
@pytest.mark.parametrize("how", ["netcdf", "zarr", "geotiff"])
def test_results_travel(kind: str, how: str, tmp_path: Path) -> None:
    """CRS, nodata, corners and values come back from NetCDF, Zarr and GeoTIFF, for masked and raw readers alike."""
    write, make = KINDS[kind]
    array = make(write(tmp_path / "a.tif"))
    result = gensr.upsample(array, noise=9.0, **QUICK).to_xarray()
    name = "red" if kind == "a Dataset of bands" else "mean"
    expected = physical(result[name])
    assert int(np.isnan(expected).sum()) == 4 * HOLE.sum()
    if how == "geotiff":
        raster = result[name] if result[name].ndim == 2 else result[name].transpose("band", "y", "x")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that coordinates do not tell a turned transform
            raster.rio.to_raster(tmp_path / "out.tif")
        back = opened(tmp_path / "out.tif")
        expected = physical(raster)
        bounds = back.rio.bounds()
        found = physical(back)
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # zarr and its own format 3
            if how == "netcdf":
                result.to_netcdf(tmp_path / "out.nc", engine="h5netcdf")
                back = xr.load_dataset(tmp_path / "out.nc", decode_coords="all", engine="h5netcdf")[name]
            else:
                result.to_zarr(tmp_path / "out.zarr")
                back = xr.load_dataset(tmp_path / "out.zarr", decode_coords="all", engine="zarr")[name]
        for axis in ("x", "y"):
            if axis in result.coords:
                np.testing.assert_array_equal(back[axis], result[axis])
        bounds, found = back.rio.bounds(), back.values
    np.testing.assert_allclose(found.reshape(expected.shape), expected, rtol=1e-6)
    assert back.rio.crs == "EPSG:32632"
    if kind == "turned":
        np.testing.assert_allclose(tuple(back.rio.transform())[:6], [4.5, 1.5, 5e5, 1.5, -4.5, 4e6])
    else:
        np.testing.assert_allclose(bounds, (500000, 4000000 - 140, 500120, 4000000))


def test_a_dataset_of_bands_stays_one(tmp_path: Path) -> None:
    data = as_dataset(scaled_tiff(tmp_path / "a.tif")).assign_attrs(title="two bands")
    data["red"].attrs["long_name"] = "red light"
    result = gensr.upsample(data, noise=9.0, **{**QUICK, "samples": 1}).to_xarray()
    assert set(result.data_vars) == {"red", "nir", "red_std", "nir_std", "red_sample1", "nir_sample1"}
    assert result["red"].attrs["long_name"] == "red light"
    assert result.attrs["title"] == "two bands"
    assert result["red"].dtype == np.int16
    assert result["red"].attrs["scale_factor"] == 0.5
    assert "scale_factor" not in result["red_std"].attrs
    only = gensr.upsample(data, noise=9.0, bands="nir", **QUICK).to_xarray()
    assert set(only.data_vars) == {"nir", "nir_std"}
    np.testing.assert_allclose(only["nir"], result["nir"], atol=2)  # contrast is that of all bands


def test_a_part_has_the_coordinates_of_the_part(tmp_path: Path) -> None:
    array = by_hand(tmp_path)
    words = {"noise": 9.0, **QUICK}
    result = gensr.upsample(array, srcwin="2,3,6,8", **words).to_xarray()["mean"]
    assert result.rio.bounds() == (500020, 4000000 - 110, 500080, 4000000 - 30)
    by_coordinates = gensr.upsample(array, bounds=(500020, 4000000 - 110, 500080, 4000000 - 30), **words).to_xarray()
    np.testing.assert_array_equal(by_coordinates["mean"], result)
    cut = gensr.upsample(array[:, 3:11, 2:8], **words).to_xarray()["mean"]
    xr.testing.assert_allclose(cut, result)


def stack() -> xr.DataArray:
    times = np.array(["2020-01-01", "2020-02-01", "2020-03-01"], "datetime64[ns]")
    values = np.stack([np.where(HOLE, 0, PICTURE) + 50 * t * (~HOLE) for t in range(3)]).astype(np.uint16)
    array = xr.DataArray(values, dims=("time", "y", "x"), coords={"time": times, **centres()}, name="ndvi")
    array["season"] = ("time", ["a", "b", "c"])
    return array.rio.write_crs("EPSG:32632").rio.write_nodata(0)


def test_times_are_planes(tmp_path: Path) -> None:
    array = stack()
    result = gensr.upsample(array, noise=9.0, **QUICK)
    data = result.to_xarray()
    assert data["mean"].dims == ("time", "y", "x")
    np.testing.assert_array_equal(data["time"], array["time"])
    np.testing.assert_array_equal(data["season"], array["season"])
    assert result.report["output"]["planes"] == 3
    assert result.report["output"]["invalid pixels"] == 3 * 4 * HOLE.sum()
    for plane in range(3):
        coarse = np.where(data["mean"][plane] == 0, np.nan, data["mean"][plane]).reshape(14, 2, 12, 2).mean((1, 3))
        assert np.nanmean(np.abs(coarse - array[plane])) < 9
    files = gensr.upsample(array, noise=9.0, output=tmp_path, **QUICK).files
    assert [p.name for p in files[:3:2]] == ["array-1_x2_generated.tif", "array-2_x2_generated.tif"]
    with rasterio.open(files[2]) as written:
        np.testing.assert_array_equal(written.read(1), data["mean"][1])
        assert written.crs == "EPSG:32632"


def test_an_array_that_lies_nowhere_keeps_its_labels() -> None:
    values = np.where(HOLE, -99, PICTURE).astype(np.int16)
    array = xr.DataArray(
        np.stack([values, values])[:, None],
        dims=("Z", "C", "Y", "X"),
        coords={"Z": [0.0, 2.5], "C": ["dapi"], "X": 0.5 * np.arange(12), "row": ("Y", [f"r{i}" for i in range(14)])},
        attrs={"units": "counts", "_FillValue": np.int16(-99), "scale_factor": 2.0, "valid_range": [0, 790]},
        name="cells",
    )
    result = gensr.upsample(array, noise=20.0, **QUICK)
    assert result.report["input"]["domain"] == "array"
    data = result.to_xarray()["mean"]
    assert data.dims == ("Z", "C", "Y", "X")
    assert data.dtype == np.int16
    np.testing.assert_array_equal(data["X"][:2], [-0.125, 0.125])
    assert list(data["row"].values[:3]) == ["r0", "r0", "r1"]
    assert data.attrs["units"] == "counts"
    beyond = (values == -99) | (values > 790)
    assert HOLE.sum() < beyond.sum() < 40
    np.testing.assert_array_equal(data.values[0, 0] == -99, beyond.repeat(2, 0).repeat(2, 1))
    assert data.values.max() <= 790
    assert result.to_xarray()["std"].attrs == {"units": "counts"}
    holed = np.where(beyond, np.nan, values * 2.0).astype(np.float32)
    plain = gensr.upsample(np.stack([holed, holed]), dims="plane,y,x", noise=20.0, **QUICK).mean[0]
    np.testing.assert_allclose(data.values[0, 0][~np.isnan(plain)] * 2.0, plain[~np.isnan(plain)], atol=1.01)


def test_coordinates_that_are_no_raster_are_refined_as_they_are() -> None:
    lat = np.cumsum(1 + 0.1 * np.arange(14))
    two = lat[:, None] + 0.3 * np.arange(12) ** 2
    array = xr.DataArray(PICTURE, dims=("y", "x"), coords={"lat": ("y", lat), "height": (("y", "x"), two)})
    data = gensr.upsample(array, noise=9.0, **QUICK).to_xarray()
    assert data.height.shape == (28, 24)
    np.testing.assert_allclose(data.lat[1:-1], np.interp(np.arange(1, 27) / 2 - 0.25, np.arange(14), lat))
    # Bilinear: the mean over the four fine pixels about an inner coarse corner is that corner's own mean.
    np.testing.assert_allclose(data.height[1:3, 1:3].mean(), two[:2, :2].mean())
    np.testing.assert_allclose(
        data.height[0, 0], two[0, 0] - 0.25 * (two[1, 0] - two[0, 0]) - 0.25 * (two[0, 1] - two[0, 0])
    )


def test_longitudes_across_the_date_line_are_refused() -> None:
    lon = np.broadcast_to((np.arange(12) * 5 + 155.0 + 180) % 360 - 180, (14, 12))
    array = xr.DataArray(PICTURE, dims=("y", "x"), coords={"lon": (("y", "x"), lon, {"units": "degrees_east"})})
    result = gensr.upsample(array, noise=9.0, **QUICK)
    with pytest.raises(UsageError, match="jumps by more than 180"):
        result.to_xarray()


def test_refined_centres_by_hand() -> None:
    np.testing.assert_allclose(
        refined_centres(np.array([1.0, 4.0, 5.0]), 0, 3), [0, 1, 2, 3, 4, 13 / 3, 14 / 3, 5, 16 / 3]
    )
    assert refined_centres(np.array([[7.0]]), 1, 2).tolist() == [[7.0, 7.0]]


def test_the_names_of_axes_decide() -> None:
    made = labelled(xr.DataArray(np.zeros((2, 3, 4, 5)), dims=("lon", "time", "lat", "bands")))
    assert made.form.roles == ("x", "plane", "y", "band")
    axis = xr.Variable("i", np.arange(3.0), {"axis": "Y"})
    other = xr.Variable("j", np.arange(4.0), {"standard_name": "longitude"})
    assert labelled(xr.DataArray(np.zeros((3, 4)), dims=("i", "j"), coords={"i": axis, "j": other})).form.roles == (
        "y",
        "x",
    )
    assert labelled(xr.DataArray(np.zeros((3, 4)), dims=("a", "b")), "y,x").form.roles == ("y", "x")
    assert labelled(xr.DataArray(np.zeros((3, 4)))).form.roles == ("y", "x")


def test_codes_that_are_no_codes_any_more_are_numbers(tmp_path: Path) -> None:
    array = opened(scaled_tiff(tmp_path / "a.tif"), mask_and_scale=True)
    assert labelled(array).packed.codes.dtype == np.int16
    touched = array.copy(data=array.values + 0.1)
    touched.encoding = dict(array.encoding)
    assert labelled(touched).packed.codes.dtype == np.float32
    holed = xr.DataArray(np.where(HOLE, np.nan, PICTURE), dims=("y", "x"))
    holed.encoding = {"dtype": "uint16"}  # no code for what is missing
    assert labelled(holed).packed.codes.dtype.kind == "f"
    full = labelled(holed.fillna(3.0).assign_attrs()).packed
    assert full.codes.dtype.kind == "f"  # arithmetic drops the encoding


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: xr.DataArray(np.zeros((9, 9)), dims=("a", "y")), "nothing says what a is"),
        (lambda: xr.DataArray(np.zeros((9, 9)), dims=("time", "y")), "they look like plane, y"),
        (lambda: xr.DataArray(np.zeros((32, 32, 4))), "the last axis looks like bands"),
        (lambda: xr.DataArray(np.full((9, 9), "a"), dims=("y", "x")), "expected numbers"),
        (lambda: xr.Dataset({"a": ("t", [1])}), "no variable has rows and columns"),
        (
            lambda: xr.Dataset({"a": (("y", "x"), np.zeros((9, 9))), "b": (("y", "x"), np.zeros((9, 9), np.uint8))}),
            r"a and b are no bands of one image \(dtype\)",
        ),
        (
            lambda: by_hand(Path()).assign_coords(spatial_ref=xr.Variable((), 0, {"crs_wkt": "nonsense"})),
            "not known to GDAL",
        ),
        (lambda: stack()[0].rename("SCL"), "class"),
    ],
)  # fmt: skip
def test_what_is_no_image_is_refused_by_name(make: Callable[[], Any], words: str) -> None:
    with pytest.raises(GensrError, match=words):
        gensr.upsample(make(), **QUICK)


@pytest.mark.parametrize("georeferenced", [True, False])
@pytest.mark.parametrize(
    ("attrs", "name", "words"),
    [
        ({"flag_values": [0, 1]}, None, "flag_values"),
        ({}, "landcover", "label image or mask"),
        ("bool", None, "truth values"),
    ],
)
def test_labels_are_told_from_what_the_array_says(
    georeferenced: bool, attrs: Any, name: str | None, words: str
) -> None:
    classes = np.kron(np.arange(6).reshape(2, 3), np.ones((7, 4))).astype(np.uint8)
    array = xr.DataArray(classes > 2 if attrs == "bool" else classes, dims=("y", "x"), coords=centres(), name=name)
    array = array.rio.write_crs("EPSG:32632") if georeferenced else array
    array.attrs |= {} if attrs == "bool" else attrs
    with pytest.raises(GensrError, match=words):
        gensr.upsample(array, **QUICK)


def test_options_of_the_domain_act(tmp_path: Path) -> None:
    array = xr.DataArray(stored()[0], dims=("y", "x"), coords=centres())
    result = gensr.upsample(array, domain="satellite", options={"nodata": 0}, noise=9.0, **QUICK)
    assert result.report["output"]["invalid pixels"] == 4 * HOLE.sum()
    with pytest.raises(UsageError, match="nodata: options are of files"):
        gensr.upsample(array, options={"nodata": 0}, **QUICK)


def test_the_accessor_serves_datasets_too(tmp_path: Path) -> None:
    data = as_dataset(scaled_tiff(tmp_path / "a.tif"))
    assert data.gensr.grid.transform == CORNER
    assert set(data.gensr.upsample(noise=9.0, **QUICK)) == {"red", "nir", "red_std", "nir_std"}


def test_labels_of_an_array_scene_do_not_change_its_numbers() -> None:
    array = xr.DataArray(PICTURE, dims=("y", "x"), coords={"x": 2.0 * np.arange(12), "y": np.arange(14)})
    one, other = ArrayScene(array), ArrayScene(PICTURE)
    window = Window(2, 3, 4, 5)
    np.testing.assert_array_equal(one.read(0, window).values, other.read(0, window).values)
    assert one.content() != other.content()
