"""Arrays of Dask: the same numbers as in memory, computed tile by tile when they are asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import gensr
import gensr.accessor
from gensr.errors import UsageError

da = pytest.importorskip("dask.array")
dask = pytest.importorskip("dask")
pytest.importorskip("rioxarray")
pytestmark = pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")

QUICK: dict[str, Any] = {"factor": 2, "search": "fast", "samples": 1, "tile": 16}
Y, X = np.mgrid[:40, :36]
PICTURE = np.rint(500 + 200 * np.sin(0.4 * X) * np.cos(0.3 * Y) + 9 * np.cos(7.0 * X * Y))
HOLE = (Y > 20) & (Y < 24) & (X == 15)


@pytest.fixture(autouse=True)
def _one_thread():
    with dask.config.set(scheduler="synchronous"):
        yield


def raster(dtype: str = "uint16") -> xr.DataArray:
    values = np.stack([np.where(HOLE, 0, PICTURE), PICTURE + 40]).astype(dtype)
    coords = {"y": 4e6 - 10 * (np.arange(40) + 0.5), "x": 5e5 + 10 * (np.arange(36) + 0.5), "band": ["red", "nir"]}
    array = xr.DataArray(values, dims=("band", "y", "x"), coords=coords, name="scene")
    return array.rio.write_crs("EPSG:32632").rio.write_nodata(0)


def decoded() -> xr.DataArray:
    array = raster().astype(np.float32).where(raster() != 0) * np.float32(0.5)
    array.attrs = {}
    array.encoding = {"dtype": "uint16", "_FillValue": 0, "scale_factor": 0.5, "add_offset": 0.0}
    return array


def times() -> xr.DataArray:
    stack = xr.concat([raster()[0], raster()[0] + 30 * (raster()[0] > 0)], "time")
    return stack.astype(np.uint16).transpose("x", "time", "y").drop_vars("band").assign_coords(time=[1, 2])


def pair() -> xr.Dataset:
    return xr.Dataset({"red": raster()[0].drop_vars("band"), "nir": raster()[1].drop_vars("band")})


CHUNKS = {"y": 17, "x": 13}


@pytest.mark.parametrize("make", [raster, decoded, pair])
def test_lazily_is_the_same_as_at_once(make: Any) -> None:
    """CRS arrays in memory go the way of their GeoTIFF, lazy ones do not: the numbers are equal."""
    array = make()
    eager = gensr.upsample(array, **QUICK).to_xarray()
    lazy = gensr.upsample(array.chunk(CHUNKS), **QUICK)
    assert dask.is_dask_collection(lazy.mean)
    assert dask.is_dask_collection(lazy.samples[0])
    made = lazy.to_xarray()
    assert all(v.chunks is not None for v in made.data_vars.values())
    done = made.compute()
    assert set(done) == set(eager)
    for name in eager.data_vars:
        np.testing.assert_allclose(done[name], eager[name], rtol=1e-6, atol=1e-4, err_msg=str(name))
        assert done[name].dtype == eager[name].dtype
        assert done[name].attrs == eager[name].attrs
    assert done.rio.crs == eager.rio.crs
    for axis in ("x", "y"):
        np.testing.assert_array_equal(done[axis], eager[axis])
    assert "bounded sample" in made.attrs["report"]


def test_planes_and_any_order_of_dimensions() -> None:
    array = times()
    done = gensr.upsample(array.chunk({"y": 17, "x": 13, "time": 1}), noise=9.0, **QUICK).to_xarray().compute()
    assert done["mean"].dims == ("x", "time", "y")
    whole = array.transpose("time", "y", "x").values.astype(float)
    fine = done["mean"].transpose("time", "y", "x").values
    np.testing.assert_array_equal(fine == 0, (whole == 0).repeat(2, 1).repeat(2, 2))
    coarse = np.where(fine == 0, np.nan, fine).reshape(2, 40, 2, 36, 2).mean((2, 4))
    assert np.nanmean(np.abs(coarse - whole)[whole > 0]) < 9


def test_only_what_is_asked_for_is_computed() -> None:
    """A window of the result asks for the blocks of its tiles and their context, and for no others."""
    asked: list[tuple[int, int]] = []

    def block(block_info: Any = None) -> np.ndarray:
        place = block_info[None]["chunk-location"]
        asked.append(place)
        rows, cols = block_info[None]["chunk-shape"]
        y, x = np.mgrid[:rows, :cols] + np.array(place)[:, None, None] * 64
        return (500 + 200 * np.sin(0.4 * x) * np.cos(0.3 * y) + 9 * np.cos(7.0 * x * y)).astype(np.float32)

    source = da.map_blocks(block, chunks=((64,) * 16, (64,) * 16), dtype=np.float32, meta=np.zeros((0, 0), np.float32))
    lazy = gensr.upsample(source, domain="microscopy", noise=9.0, factor=2, search="fast", samples=0, tile=64)
    assert lazy.mean.shape == (2048, 2048)
    asked.clear()
    part = lazy.mean[1024:1040, 1024:1040].compute()
    assert part.shape == (16, 16)
    assert set(asked) <= {(r, c) for r in (7, 8, 9) for c in (7, 8, 9)}
    assert len(asked) == len(set(asked))


def test_there_are_no_seams() -> None:
    array = da.from_array(PICTURE.astype(np.float32), chunks=(11, 13))
    words = {"noise": 9.0, "factor": 2, "search": "fast", "samples": 0}
    whole = gensr.upsample(PICTURE.astype(np.float32), **words).mean
    tiled = gensr.upsample(array, tile=8, **words).mean.compute()
    assert np.abs(tiled - whole).max() < 1e-3 * np.ptp(whole)


def test_a_part_and_some_bands() -> None:
    words = {**QUICK, "noise": 9.0, "srcwin": "4,6,20,24", "bands": "nir"}
    lazy = gensr.upsample(raster().chunk(CHUNKS), **words).to_xarray().compute()
    eager = gensr.upsample(raster(), **words).to_xarray()
    assert lazy["mean"].rio.bounds() == eager["mean"].rio.bounds()
    np.testing.assert_allclose(lazy["mean"], eager["mean"], atol=1)


def test_it_is_written_block_by_block(tmp_path: Path) -> None:
    pytest.importorskip("zarr")
    made = raster().chunk(CHUNKS).gensr.upsample(**{**QUICK, "samples": 0}, noise=9.0)
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zarr and its own format 3
        made.chunk({"y": 32, "x": 32}).to_zarr(tmp_path / "a.zarr")
        back = xr.open_zarr(tmp_path / "a.zarr", decode_coords="all").load()
    assert back.rio.crs == "EPSG:32632"
    assert int(np.isnan(back["mean"]).sum()) == 4 * HOLE.sum()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"output": "out"}, "to_zarr"),
        ({"batch": 3}, "Dask decides"),
        ({"runtime": "dask"}, "the scheduler of Dask"),
        ({"progress": print}, "ProgressBar"),
        ({"labels": "nearest"}, "dask.array.repeat"),
        ({"options": {"nodata": 0}}, "an array has none of them"),
    ],
)
def test_words_that_mean_nothing_are_refused(words: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        gensr.upsample(raster().chunk(CHUNKS), **{**QUICK, **words})


def test_a_decoded_block_that_does_not_fit_its_encoding_is_named() -> None:
    array = decoded()
    array.values[1, 30:, 2:8] += 0.1  # not in the blocks that are looked at first
    array.encoding = dict(decoded().encoding)
    lazy = gensr.upsample(array.chunk(CHUNKS), **{**QUICK, "samples": 0}, noise=9.0, srcwin="14,0,20,20")
    assert lazy.mean.dtype == np.dtype(np.uint16)
    lazy.mean.compute()
    with pytest.raises(UsageError, match=r"no such codes; give array\.drop_encoding"):
        gensr.upsample(array.chunk(CHUNKS), **{**QUICK, "samples": 0}, noise=9.0).mean.compute()
