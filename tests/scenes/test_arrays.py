"""Arrays as inputs: shapes, dtypes, coordinates, and stored codes that hold every value as well as they can."""

import pickle

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gensr.errors import DomainError, UsageError
from gensr.scenes import installed
from gensr.scenes.arrays import ArrayScene, array_domain
from gensr.scenes.names import Names
from gensr.scenes.testing import NearestProduct
from gensr.values.grid import Affine, PixelGrid, Window

KINDS = [np.uint8, np.int16, np.uint16, np.float32]


@given(
    hnp.arrays(
        st.sampled_from(KINDS),
        hnp.array_shapes(min_dims=2, max_dims=4, max_side=5),
        elements={"allow_nan": True, "allow_infinity": True},
    )
)
def test_reading_and_encoding_gives_the_array_back(array):
    scene = ArrayScene(array)
    whole = Window(0, 0, *scene.grid.shape)
    planes = []
    for plane in range(scene.planes):
        image = scene.read(plane, whole)
        codes, moved = scene.encode(plane, image.values, image.valid)
        assert moved == 0
        assert codes.dtype == scene.dtype == array.dtype
        planes.append(codes)
    expected = array
    if array.dtype.kind == "f":
        expected = np.where(np.isfinite(array), array, np.nan)
    np.testing.assert_array_equal(np.stack(planes).reshape(array.shape), expected)


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=20), st.sampled_from(KINDS[:3]))
def test_integers_are_rounded_clipped_and_counted(numbers, kind):
    scene = ArrayScene(np.zeros((1, len(numbers)), kind))
    values = np.array(numbers, np.float32).reshape(1, 1, -1)
    codes, moved = scene.encode(0, values, np.ones_like(values, bool))
    limits = np.iinfo(kind)
    exact = np.rint(values.astype(np.float64))
    np.testing.assert_array_equal(codes, np.clip(exact, limits.min, limits.max))
    assert moved == np.count_nonzero((exact < limits.min) | (exact > limits.max))


@pytest.mark.parametrize(
    ("shape", "kept"), [((4, 5), (False, False)), ((2, 4, 5), (False, True)), ((3, 2, 4, 5), (True, True))]
)
def test_axes_are_plane_band_row_column(shape, kept):
    scene = ArrayScene(np.arange(np.prod(shape)).reshape(shape))
    assert (scene.planes, len(scene.bands), *scene.grid.shape) == (1,) * (4 - len(shape)) + shape
    assert scene.kept_dims == kept
    part = scene.read(scene.planes - 1, Window(1, 2, 2, 3))
    np.testing.assert_array_equal(part.values[-1], np.arange(np.prod(shape)).reshape(-1, 4, 5)[-1, 1:3, 2:5])
    assert part.grid.to_frame(0, 0) == (2, 1)


@pytest.mark.parametrize(
    "bad",
    [np.zeros(3), np.zeros((1, 1, 1, 1, 1)), np.zeros((0, 4)), np.array([["a"]]), np.zeros((2, 2), complex), [[None]]],
)  # fmt: skip
def test_what_is_no_image_is_refused(bad):
    with pytest.raises(UsageError, match="expected numbers of shape"):
        ArrayScene(bad)


def test_xarray_brings_grid_bands_and_unit():
    array = xr.DataArray(
        np.zeros((2, 3, 4)),
        dims=("band", "y", "x"),
        coords={"band": ["red", "nir"], "y": [45.0, 35.0, 25.0], "x": [105.0, 115.0, 125.0, 135.0]},
        attrs={"units": "mW"},
    )
    scene = ArrayScene(array)
    assert scene.bands == ("red", "nir")
    assert scene.unit == "mW"
    assert scene.grid == PixelGrid((3, 4), Affine(10, 0, 100, 0, -10, 50), "coordinates")


def test_xarray_of_an_image_gives_the_grid_back():
    grid = PixelGrid((3, 4), Affine(1, 0.5, 7, -0.5, 1, 8), "um")
    array = xr.DataArray(np.zeros((3, 4)), dims=("y", "x"), attrs={"grid": grid})
    assert ArrayScene(array).grid == grid


@pytest.mark.parametrize("x", [[0.0, 1.0, 3.0], ["a", "b", "c"]])
def test_coordinates_that_are_no_raster_are_not_believed(x):
    array = xr.DataArray(np.zeros((2, 3)), dims=("y", "x"), coords={"y": [0.0, 1.0], "x": x})
    assert ArrayScene(array).grid == PixelGrid((2, 3))


def test_arrays_borrow_the_generator_of_a_domain():
    assert ArrayScene(np.zeros((4, 4))).generator() == "engression-field"
    assert ArrayScene(np.zeros((4, 4)), installed.domain("satellite")).generator() == "engression-field"
    assert array_domain(None).takes_arrays
    assert array_domain("faces").name == "faces"


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_an_array_travels_as_a_file(tmp_path, kind):
    """Spilled once, it pickles in a few hundred bytes and comes back with everything that it said of itself."""
    source = xr.DataArray(
        np.arange(24).reshape(2, 3, 4).astype(kind),
        dims=("band", "y", "x"),
        coords={"band": ["red", "nir"], "y": [45.0, 35.0, 25.0], "x": [105.0, 115.0, 125.0, 135.0]},
        attrs={"units": "mW"},
    )
    scene = ArrayScene(source, installed.domain("satellite"))
    with pytest.raises(DomainError, match=r"without gensr\.open"):
        pickle.dumps(scene)
    scene.spill(tmp_path)
    packed = pickle.dumps(scene)
    assert len(packed) < 1000
    again = pickle.loads(packed)
    whole = Window(0, 0, 3, 4)
    np.testing.assert_array_equal(again.read(0, whole).values, scene.read(0, whole).values)
    for name in ("bands", "unit", "grid", "dtype", "planes", "quantum", "kept_dims"):
        assert getattr(again, name) == getattr(scene, name), name
    assert again.generator() == "engression-field"


def test_written_arrays_have_every_plane(tmp_path):
    data = np.arange(24, dtype=np.int16).reshape(2, 1, 3, 4)
    scene = ArrayScene(data)
    (path,) = scene.write(NearestProduct(scene, 2, samples=2), tmp_path, Names("array", 2))
    with np.load(path) as stored:
        assert set(stored) == {"mean", "std", "sample1", "sample2"}
        np.testing.assert_array_equal(stored["mean"], data.repeat(2, 2).repeat(2, 3))


def test_rendering_marks_the_unknown():
    scene = ArrayScene(np.zeros((2, 2)))
    values = np.array([[[0.0, 1.0], [np.nan, 0.5]]], np.float32)
    picture = scene.render(values, values)
    assert picture.shape == (2, 2, 3)
    assert picture.dtype == np.uint8
    assert picture[..., 0].tolist()[0] == [0, 255]
    assert picture[1, 0].tolist() == [128, 128, 128]
