"""Images carry grid and masks, and nobody changes them in place."""

import numpy as np
import pytest

from gensr.errors import GridError
from gensr.values.grid import Affine, PixelGrid
from gensr.values.image import Image

GRID = PixelGrid((2, 3), Affine(10, 0, 100, 0, -10, 50), "EPSG:32633")


def image(grid=GRID, **changes):
    values = np.arange(6, dtype=np.float32).reshape(1, 2, 3)
    valid = values != 4
    parts = {"values": values, "grid": grid, "valid": valid, "usable": valid & (values != 5), "bands": ("red",)}
    return Image(**{**parts, **changes})


def test_arrays_cannot_be_written():
    for name in ("values", "valid", "usable"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(image(), name)[0, 0, 0] = 1


def test_the_callers_array_stays_writable():
    values = np.zeros((1, 2, 3), np.float32)
    image(values=values)
    values[0, 0, 0] = 1


@pytest.mark.parametrize("name", ["values", "valid", "usable"])
@pytest.mark.parametrize("shape", [(2, 3), (2, 2, 3), (1, 3, 2)])
def test_arrays_that_do_not_fit_are_refused(name, shape):
    with pytest.raises(GridError, match=f"{name} of shape"):
        image(**{name: np.zeros(shape, np.float32 if name == "values" else bool)})


def test_xarray_has_centres_units_and_nan():
    array = image(unit="K").to_xarray()
    assert array.dims == ("band", "y", "x")
    assert array.x.values.tolist() == [105, 115, 125]
    assert array.y.values.tolist() == [45, 35]
    assert array.attrs["units"] == "K"
    assert np.isnan(array.values).sum() == 1
    assert np.isnan(array.sel(band="red", x=115, y=35))


def test_xarray_of_a_rotated_grid_has_two_dimensional_coordinates():
    turned = PixelGrid((2, 3), Affine(3, 1, 0, -1, 3, 0))
    array = image(turned).to_xarray()
    assert "x" not in array.coords
    assert (array.xc[1, 2], array.yc[1, 2]) == turned.to_frame(2.5, 1.5)


def test_xarray_is_a_copy():
    one = image()
    one.to_xarray().values[:] = 9
    assert one.values[0, 0, 1] == 1
