"""Physical values and stored codes: exact round trips, clipping, and the nodata code that no valid pixel takes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gensr.errors import DomainError
from gensr.values.coding import Coding, holds

INTEGERS = ["int8", "uint8", "int16", "uint16"]


def coding(dtype, scale=1.0, offset=0.0, nodata=None, fill=0.0, avoid=None, **more):
    return Coding(np.dtype(dtype), (scale,), (offset,), (nodata,), fill, avoid, **more)


def encode(code, values, valid=None):
    values = np.array(values, np.float32).reshape(1, 1, -1)
    valid = np.ones(values.shape, bool) if valid is None else np.array(valid).reshape(values.shape)
    codes, moved = code.encode(values, valid)
    assert codes.dtype == code.dtype
    return codes.ravel().tolist(), moved


@given(
    st.data(), st.sampled_from(INTEGERS), st.sampled_from([1.0, -0.5, 1e-4, 2.75e-5]), st.sampled_from([0.0, -0.2, 5.0])
)
def test_integers_survive_decode_and_encode(data, dtype, scale, offset):
    code = coding(dtype, scale, offset)
    stored = data.draw(hnp.arrays(dtype, (1, 3, 4)))
    again, moved = code.encode(code.decode(stored), np.ones(stored.shape, bool))
    assert np.array_equal(again, stored)
    assert moved == 0


@given(st.sampled_from(INTEGERS), st.data())
def test_a_valid_value_is_never_nodata(dtype, data):
    info = np.iinfo(dtype)
    nodata = float(data.draw(st.integers(info.min, info.max)))
    values = data.draw(hnp.arrays(np.float32, (1, 1, 9), elements=st.floats(-1e5, 1e5, width=32)))
    code = coding(dtype, nodata=nodata, fill=nodata, avoid=nodata)
    codes, moved = code.encode(values, np.ones(values.shape, bool))
    assert not (codes == nodata).any()
    expected = np.clip(np.rint(values), info.min, info.max)
    assert np.abs(codes - expected).max() <= 1
    touched = (expected == nodata) | (np.rint(values) != expected)
    assert moved == touched.sum()


@given(hnp.arrays(np.float32, (1, 2, 5), elements=st.floats(-(2.0**100), 2.0**100, width=32)))
def test_floats_survive(values):
    code = coding("float32", nodata=-9999.1, fill=-9999.1, avoid=-9999.1)
    codes, moved = code.encode(values, np.ones(values.shape, bool))
    assert np.array_equal(codes, values)
    assert moved == 0


def test_rounding_is_half_to_even_and_clipping_is_counted():
    assert encode(coding("uint8"), [0.5, 1.5, 2.5, 300.7, -5.0, 255.4, -0.4]) == ([0, 2, 2, 255, 0, 255, 0], 2)
    assert encode(coding("uint16"), [65535.0, 65536.0, -5.0]) == ([65535, 65535, 0], 2)


def test_invalid_becomes_the_fill_whatever_it_holds():
    values, valid = [np.nan, np.inf, 7.0, 1e9], [False, False, True, False]
    assert encode(coding("uint16", nodata=0.0, fill=0.0, avoid=0.0), values, valid) == ([0, 0, 7, 0], 0)
    codes, moved = encode(coding("float32", fill=np.nan), values, valid)
    assert np.isnan(codes[0])
    assert codes[2] == 7
    assert moved == 0


def test_moving_off_nodata_takes_the_nearer_side_with_room():
    assert encode(coding("uint8", nodata=0.0, avoid=0.0), [0.0, 0.3, -4.0, 1.0]) == ([1, 1, 1, 1], 3)
    assert encode(coding("uint8", nodata=255.0, avoid=255.0), [255.0, 300.0]) == ([254, 254], 2)
    assert encode(coding("int16", nodata=10.0, avoid=10.0), [9.8, 10.2]) == ([9, 11], 2)
    codes, moved = encode(coding("float32", nodata=0.0, avoid=0.0), [0.0, -0.0, 1.0])
    assert moved == 2
    assert 0 < codes[0] < 1e-40
    assert codes[2] == 1


def test_sentinel_2_reflectance_of_minus_a_tenth_is_not_nodata():
    code = coding("uint16", 1e-4, -0.1, nodata=0.0, avoid=0.0)
    assert encode(code, [-0.1, 0.0]) == ([1, 1000], 1)


def test_a_valid_pixel_must_have_a_value():
    with pytest.raises(DomainError, match="no finite value"):
        encode(coding("uint8"), [np.nan])


@pytest.mark.parametrize(("scale", "offset"), [(0.0, 0.0), (np.nan, 0.0), (1.0, np.inf), (1e-9, 1e8)])
def test_unusable_calibrations(scale, offset):
    with pytest.raises(DomainError, match="scale="):
        coding("int16", scale, offset)


def test_nodata_is_compared_in_the_dtype_of_the_file():
    stored = np.array([[[-9999.1, 5.0, np.nan, np.inf]]], np.float32)
    assert coding("float32", nodata=-9999.1).declared_valid(stored).tolist() == [[[False, True, False, False]]]
    low = np.array([[[-3.4028234663852886e38, 1.0]]], np.float32)
    assert coding("float32", nodata=-3.4028234663852886e38).declared_valid(low).tolist() == [[[False, True]]]


@pytest.mark.parametrize(
    ("dtype", "value", "answer"),
    [("uint8", -9999, False), ("uint8", 255, True), ("uint16", np.nan, False), ("int16", 0.5, False),
     ("float32", np.nan, True), ("float32", -1e300, False), ("float64", -1e300, True)],
)  # fmt: skip
def test_which_numbers_a_dtype_holds(dtype, value, answer):
    assert holds(np.dtype(dtype), value) is answer


@pytest.mark.parametrize("dtype", ["int16", "float32"])
@pytest.mark.parametrize("scale", [1e99, 1e308, -1e99])
def test_scaled_codes_beyond_all_measures_are_invalid(dtype, scale):
    stored = np.array([0, 1000, -1000], dtype).reshape(1, 1, 3)
    assert coding(dtype, scale).declared_valid(stored).ravel().tolist() == [True, False, False]
    assert coding(dtype).declared_valid(stored).all()
