import numpy as np
import pytest
import xarray as xr

import gensr.accessor
from gensr.errors import UsageError


@pytest.fixture
def blob():
    y, x = np.mgrid[:16, :16]
    values = 100 * np.exp(-((y - 8) ** 2 + (x - 7) ** 2) / 12).astype(np.float32) + 5
    return xr.DataArray(values, coords={"y": 10 + 0.5 * np.arange(16), "x": 0.5 * np.arange(16)}, dims=("y", "x"))


def test_the_accessor_refines_values_and_coordinates(blob):
    fine = blob.gensr.upsample(factor=2, search="fast", samples=1, noise=0)
    assert set(fine) == {"mean", "std", "sample1"}
    assert fine["mean"].sizes == {"y": 32, "x": 32}
    np.testing.assert_allclose(fine["x"].values[:2], [-0.125, 0.125])
    np.testing.assert_allclose(fine["mean"].coarsen(y=2, x=2).mean().values, blob.values, atol=1e-3)
    assert (fine["std"] > 0).all()


def test_the_grid_is_that_of_the_coordinates(blob):
    assert blob.gensr.grid.pixel_size == pytest.approx((0.5, 0.5))
    assert isinstance(blob.gensr, gensr.accessor.GensrAccessor)


def test_text_is_refused_by_name():
    with pytest.raises(UsageError, match="expected numbers"):
        xr.DataArray(np.array([["a"]])).gensr.upsample()
