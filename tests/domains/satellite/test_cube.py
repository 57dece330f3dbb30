"""NetCDF and Zarr rasters: what h5py, GDAL, zarr and xarray read of the outputs, and what is refused.

Coordinates are centres: with the corner ``c`` and step ``a`` of the input, refined centre ``i`` lies at
``c + a (i + 0.5) / 2``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import xarray as xr

import gensr
from gensr.cli.main import main
from gensr.domains.satellite import Satellite
from gensr.errors import DomainError, FormatError
from gensr.scenes.inputs import guess
from gensr.scenes.names import Names
from gensr.scenes.testing import NearestProduct
from gensr.values.grid import Window

h5py = pytest.importorskip("h5py", reason="the extra netcdf is not installed")
pytest.importorskip("h5netcdf", reason="the extra netcdf is not installed")
pytest.importorskip("dask", reason="the extra netcdf is not installed")

ROWS, COLS = 20, 26
X0, Y0, STEP = 500000.0, 4100000.0, 30.0
CRS = rasterio.crs.CRS.from_epsg(32633).to_wkt()


def cube(times: int = 0, dtype: Any = np.int16, **attrs: Any) -> xr.Dataset:
    rng = np.random.default_rng(2)
    shape = (times, ROWS, COLS) if times else (ROWS, COLS)
    codes = rng.integers(100, 3000, shape).astype(dtype)
    codes[..., :2, :3] = -999 if np.dtype(dtype).kind == "i" else 9999
    dims = ("time", "y", "x") if times else ("y", "x")
    said = {"_FillValue": codes.dtype.type(codes[..., 0, 0].flat[0]), "scale_factor": 0.1, "add_offset": 5.0}
    said |= {"units": "K", "long_name": "brightness", "grid_mapping": "crs", **attrs}
    coords: dict[str, Any] = {
        "y": ("y", Y0 - STEP * (np.arange(ROWS) + 0.5), {"units": "m", "standard_name": "projection_y_coordinate"}),
        "x": ("x", X0 + STEP * (np.arange(COLS) + 0.5), {"units": "m", "standard_name": "projection_x_coordinate"}),
    }
    if times:
        coords["time"] = ("time", 6.0 * np.arange(times), {"units": "hours since 2026-01-01", "calendar": "standard"})
    place = {"crs_wkt": CRS, "grid_mapping_name": "transverse_mercator"}
    place["GeoTransform"] = f"{X0} {STEP} 0 {Y0} 0 -{STEP}"
    data = {"tb": (dims, codes, said), "crs": ((), np.int32(0), place)}
    return xr.Dataset(data, coords, {"title": "a scene", "history": "made", "Conventions": "CF-1.8"})


def save(dataset: xr.Dataset, path: Path) -> Path:
    if path.suffix == ".zarr":
        pytest.importorskip("zarr", reason="the extra zarr is not installed")
        dataset.to_zarr(path, zarr_format=2 if "two" in path.name else 3, consolidated=False)
    else:
        dataset.to_netcdf(path, engine="scipy" if "classic" in path.name else "h5netcdf")
    return path


def written(path: Path, area: str | None = None, **options: Any) -> Path:
    out = path.parent / "out"
    out.mkdir(exist_ok=True)
    with gensr.open(path, options=options, srcwin=area) as scene:
        files = scene.write(NearestProduct(scene, 2, std=0.5), out, Names(Satellite().stem(path), 2))
    assert len(files) == 1
    return files[0]


def raw(path: Path) -> xr.Dataset:
    how: dict[str, Any] = {"decode_cf": False}
    return xr.open_zarr(path, consolidated=False, **how) if path.suffix == ".zarr" else xr.open_dataset(path, **how)


def twice(values: np.ndarray) -> np.ndarray:
    return values.repeat(2, -2).repeat(2, -1)


@pytest.mark.parametrize("name", ["a.nc", "classic.nc", "two.zarr", "three.zarr"])
@pytest.mark.parametrize("times", [0, 3])
def test_round_trip(name, times, tmp_path):
    source = cube(times)
    source = source if name == "three.zarr" else source.assign_coords(name="granule 7")  # 3 has no texts yet
    path = save(source, tmp_path / name)
    assert guess(path).name == "satellite"
    result = written(path)
    assert result.name == f"{path.stem}_x2_generated{path.suffix}"
    found = raw(result)
    assert np.array_equal(found.tb.values, twice(source.tb.values))
    for key in ("_FillValue", "scale_factor", "add_offset", "units", "long_name", "grid_mapping"):
        assert found.tb.attrs[key] == source.tb.attrs[key], key
    assert found.tb.dtype == np.int16
    assert found.x.values == pytest.approx(X0 + STEP * (np.arange(2 * COLS) + 0.5) / 2, abs=1e-9)
    assert found.y.values == pytest.approx(Y0 - STEP * (np.arange(2 * ROWS) + 0.5) / 2, abs=1e-9)
    assert found.crs.attrs["crs_wkt"] == CRS
    assert [float(v) for v in found.crs.attrs["GeoTransform"].split()] == [X0, STEP / 2, 0, Y0, 0, -STEP / 2]
    if times:
        assert np.array_equal(found.time, source.time)
        assert str(sorted(found.time.attrs.items())) == str(sorted(raw(path).time.attrs.items()))
    deviation = found.tb_std
    assert deviation.dtype == np.float32
    assert "scale_factor" not in deviation.attrs
    valid = twice(source.tb.values != -999)
    assert np.array_equal(np.isnan(deviation.values), ~valid)
    assert (deviation.values[valid] == 0.5).all()
    assert found.tb_sample1.attrs["scale_factor"] == 0.1
    if "name" in source.coords:
        assert np.array_equal(found["name"], raw(path)["name"])
    assert found.attrs["title"] == "a scene"
    assert found.attrs["history"].endswith("\nmade")
    assert "generated detail" in found.attrs["gensr_generated"]
    decoded = xr.open_zarr(result, consolidated=False) if path.suffix == ".zarr" else xr.open_dataset(result)
    assert float(decoded.tb[..., 9, 11].values.flat[0]) == pytest.approx(source.tb.values[..., 4, 5].flat[0] * 0.1 + 5)


def test_a_part_is_placed_and_read_by_gdal(tmp_path):
    source = cube()
    result = written(save(source, tmp_path / "a.nc"), "4,6,10,8")
    with rasterio.open(f"NETCDF:{result}:tb") as found:
        corner = (X0 + 4 * STEP, Y0 - 6 * STEP)
        assert tuple(found.transform)[:6] == pytest.approx((STEP / 2, 0, corner[0], 0, -STEP / 2, corner[1]))
        assert found.crs.to_epsg() == 32633
        assert found.nodata == -999
        assert (found.scales[0], found.offsets[0]) == (0.1, 5.0)
        assert np.array_equal(found.read(1), twice(source.tb.values[6:14, 4:14]))
    with h5py.File(result) as file:
        assert file["tb"].chunks == (16, 20)
        assert file["tb"].compression == "gzip"
        assert file["tb"].dims[0].label or [s.name for s in file["tb"].dims[0].values()] == ["/y"]


def test_values_and_bounds(tmp_path):
    source = cube()
    path = save(source, tmp_path / "a.nc")
    box = f"{X0 + 60},{Y0 - 150},{X0 + 120},{Y0 - 90}"
    with gensr.open(path, bounds=box) as scene:
        assert (scene.origin, scene.grid.shape) == ((3, 2), (2, 2))
        image = scene.read(0, gensr.values.grid.Window(0, 0, 2, 2))
        assert image.values[0] == pytest.approx(source.tb.values[3:5, 2:4] * 0.1 + 5, rel=1e-6)
        assert scene.unit == "K"
        assert scene.quantum == pytest.approx(0.1)


def test_variables_alike_are_bands_flags_and_bounds_are_left_out(tmp_path):
    source = cube()
    source["b2"] = source.tb * np.int16(1) + np.int16(1)
    source["b2"].attrs = dict(source.tb.attrs)
    source["qa"] = (("y", "x"), np.ones((ROWS, COLS), np.int8), {"flag_values": np.array([0, 1], np.int8)})
    source["x_bnds"] = (("x", "nv"), np.zeros((COLS, 2)))
    source.x.attrs["bounds"] = "x_bnds"
    path = save(source, tmp_path / "a.nc")
    with gensr.open(path) as scene:
        assert scene.bands == ("tb", "b2")
        assert scene.metadata()["not_carried"] == ["x_bnds (cell bounds)", "qa (flags)"]
    found = raw(written(path))
    assert {"tb", "b2", "tb_std", "b2_std"} <= set(found.data_vars)
    assert "x_bnds" not in found.variables
    assert "bounds" not in found.x.attrs
    with gensr.open(path, options={"variable": "b2"}) as scene:
        assert scene.bands == ("b2",)
    with gensr.open(path, options={"bands": "b2"}) as scene:
        assert scene.bands == ("b2",)


def test_unsigned_codes_of_netcdf_3(tmp_path):
    source = cube(dtype=np.uint16)
    path = save(source, tmp_path / "a.nc")
    with gensr.open(path) as scene:
        plain = scene.read(0, gensr.values.grid.Window(0, 0, ROWS, COLS))
    signed = source.copy()
    attrs = dict(source.tb.attrs) | {"_Unsigned": "true", "_FillValue": np.uint16(9999).astype(np.int16)}
    signed["tb"] = (("y", "x"), source.tb.values.astype(np.int16), attrs)
    with gensr.open(save(signed, tmp_path / "classic.nc")) as scene:
        found = scene.read(0, gensr.values.grid.Window(0, 0, ROWS, COLS))
        assert scene.dtype == np.uint16
    assert np.array_equal(found.values, plain.values)
    assert np.array_equal(found.valid, plain.valid)


def test_uneven_coordinates_stay_coordinates(tmp_path):
    source = cube().drop_vars("crs")
    source.tb.attrs.pop("grid_mapping")
    latitude = 40 + np.cumsum(np.linspace(0.1, 0.3, ROWS))
    source = source.assign_coords(y=("y", latitude, {"units": "degrees_north"}))
    found = raw(written(save(source, tmp_path / "a.nc")))
    assert found.y.values[1::2][:-1] == pytest.approx(latitude[:-1] + 0.25 * np.diff(latitude), abs=1e-12)


@pytest.mark.parametrize(
    ("change", "options", "kind", "said"),
    [
        (lambda d: d, {"variable": "other"}, FormatError, "variable=other: there is none"),
        (lambda d: d, {"scale": 2.0}, DomainError, "scale= is not for NetCDF"),
        (lambda d: d.drop_vars("tb"), {}, FormatError, "no variable has rows and columns"),
        (
            lambda d: d.assign(b=(("y2", "x2"), np.ones((4, 5)))).rename({"y2": "lat", "x2": "lon"}),
            {},
            FormatError,
            "variable=NAME chooses one",
        ),
    ],
)
def test_refused(change, options, kind, said, tmp_path):
    path = save(change(cube()), tmp_path / "a.nc")
    with pytest.raises(kind, match=said):
        gensr.open(path, options=options)


def test_hdf5_that_points_elsewhere(tmp_path):
    save(cube(), tmp_path / "b.nc")
    for name, make in {
        "link.nc": lambda f: f.__setitem__("tb", h5py.ExternalLink("b.nc", "/tb")),
        "external.nc": lambda f: f.create_dataset("tb", (4, 4), "i2", external=[("/etc/passwd", 0, 32)]),
        "bomb.nc": lambda f: f.create_dataset("tb", (60000, 60000), "f4", chunks=(512, 512), compression="gzip"),
        "chunk.nc": lambda f: f.create_dataset("tb", (40000, 20000), "f4", chunks=(40000, 20000), compression="gzip"),
    }.items():
        with h5py.File(tmp_path / name, "w") as file:
            make(file)
        said = "another file" if name in ("link.nc", "external.nc") else "claims"
        with pytest.raises(FormatError, match=said):
            gensr.open(tmp_path / name)


@pytest.mark.parametrize("name", ["a.nc", "three.zarr"])
def test_images_are_unpacked_in_the_child_alone(name, tmp_path, monkeypatch):
    path = save(cube(2), tmp_path / name)
    zarr = pytest.importorskip("zarr", reason="the extra zarr is not installed")
    for library in (h5py.Dataset, zarr.Array):
        inner = library.__getitem__

        def read(self: Any, *index: Any, inner: Any = inner) -> Any:
            assert self.ndim < 2, f"{self} is unpacked here"
            return inner(self, *index)

        monkeypatch.setattr(library, "__getitem__", read)
    with gensr.open(path) as scene:
        assert np.array_equal(scene.codes(1, Window(0, 0, ROWS, COLS)), cube(2).tb[1:].values)


def test_damaged_chunks_end_in_one_line(tmp_path):
    source = cube(dtype=np.int32)
    source.tb.encoding = {"zlib": True, "chunksizes": (ROWS, COLS)}
    path = save(source, tmp_path / "a.nc")
    with h5py.File(path) as file:
        info = file["tb"].id.get_chunk_info(0)
    raw = bytearray(path.read_bytes())
    raw[info.byte_offset + 20 : info.byte_offset + info.size] = b"\xff" * (info.size - 20)
    path.write_bytes(raw)
    with gensr.open(path) as scene, pytest.raises(FormatError, match=r"a\.nc: pixels cannot be read") as caught:
        scene.codes(0, Window(0, 0, ROWS, COLS))
    assert len(str(caught.value).splitlines()) == 1


def test_how_coordinates_were_packed_is_not_carried(tmp_path):
    """A Zarr whose coordinate names a compressor that no writer can run has an output all the same."""
    pytest.importorskip("zarr", reason="the extra zarr is not installed")
    folder = tmp_path / "a.zarr"
    cube(2).to_zarr(folder, zarr_format=2, consolidated=False)
    stated = json.loads((folder / "x" / ".zarray").read_text())
    stated["compressor"] = {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1, "blocksize": 1 << 70}
    (folder / "x" / ".zarray").write_text(json.dumps(stated))
    out = tmp_path / "out"
    gensr.upsample(folder, factor=2, search="fast", samples=0, output=out)
    made = xr.open_zarr(out / "a_x2_generated.zarr", consolidated=False)
    assert made.tb.shape == (2, 2 * ROWS, 2 * COLS)
    assert (made.x.values[1] - made.x.values[0]) * 2 == pytest.approx(float(cube(2).x[1] - cube(2).x[0]))


def test_damaged(tmp_path):
    path = save(cube(), tmp_path / "a.nc")
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(FormatError, match="no readable HDF5 or netCDF-4"):
        gensr.open(path)


def test_command(tmp_path, capsys):
    path = save(cube(2), tmp_path / "a.nc")
    words = ["factor=2", "search=fast", "samples=0", f"output={tmp_path / 'out'}"]
    assert main(["upsample", str(path), *words]) == 0
    assert raw(tmp_path / "out" / "a_x2_generated.nc").tb.shape == (2, 2 * ROWS, 2 * COLS)
    assert main(["info", str(path)]) == 0
    assert "netCDF-4" in capsys.readouterr().out
