import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gensr.domains.medical.codec import Codec

INT16 = np.dtype(np.int16)


def encode(codec, *values):
    v = np.array(values, np.float32)
    return codec.encode(v, np.ones(v.shape, np.bool_))


@given(
    codes=hnp.arrays(np.int16, (3, 5)),
    slope=st.sampled_from([1.0, 0.5, -2.0, 0.0371]),
    intercept=st.sampled_from([0.0, -1024.0, 3.25]),
    inverted=st.booleans(),
)
def test_decode_then_encode_gives_the_same_codes(codes, slope, intercept, inverted):
    codec = Codec(INT16, slope, intercept, -32768, 32767, None, inverted)
    values, valid, _ = codec.decode(codes)
    again, moved = codec.encode(values, valid)
    assert again.dtype == INT16
    np.testing.assert_array_equal(again, codes)
    assert moved == 0


@given(codes=hnp.arrays(np.int16, (20,), elements=st.integers(-5, 5)))
def test_padding_round_trips_and_is_invalid(codes):
    codec = Codec(INT16, 1.0, 0.0, -32768, 32767, (-1, 1))
    values, valid, usable = codec.decode(codes)
    np.testing.assert_array_equal(valid, np.abs(codes) > 1)
    np.testing.assert_array_equal(usable, valid)
    again, moved = codec.encode(values, valid)
    np.testing.assert_array_equal(again[valid], codes[valid])
    assert (again[~valid] == -1).all()
    assert moved == 0


def test_half_codes_round_to_even_and_overflow_is_clipped_and_counted():
    codes, moved = encode(Codec(np.dtype(np.uint8), low=0, high=255), 0.5, 1.5, 2.5, 255.4, 256.0, -3.0)
    assert codes.tolist() == [0, 2, 2, 255, 255, 0]
    assert moved == 2


@pytest.mark.parametrize(("value", "code"), [(9.6, 9), (10.4, 9), (10.6, 12), (11.4, 12)])
def test_valid_values_move_off_a_padding_range_to_the_nearer_side(value, code):
    codec = Codec(INT16, 1.0, 0.0, -100, 100, (10, 11))
    codes, moved = encode(codec, value)
    assert codes.tolist() == [code]
    assert moved == 1


def test_padding_at_the_end_of_the_range_is_left_towards_the_inside():
    low = Codec(np.dtype(np.uint8), low=0, high=255, padding=(0, 0))
    high = Codec(np.dtype(np.uint8), low=0, high=255, padding=(255, 255))
    assert encode(low, 0.0)[0].tolist() == [1]
    assert encode(high, 300.0)[0].tolist() == [254]


def test_inverted_codes_are_mirrored_within_the_stored_bits():
    codec = Codec(np.dtype(np.uint16), 2.0, 5.0, 0, 4095, inverted=True)
    values, _, _ = codec.decode(np.array([0, 4095], np.uint16))
    assert values.tolist() == [2 * 4095 + 5, 5]
    assert codec.mirror - (2.0 * 0 + 5.0) == values[0]


def test_saturated_codes_are_valid_but_not_usable():
    codec = Codec(np.dtype(np.uint16), low=0, high=4095, saturates=True)
    _, valid, usable = codec.decode(np.array([4094, 4095], np.uint16))
    assert valid.tolist() == [True, True]
    assert usable.tolist() == [True, False]


def test_float_keeps_values_and_nan():
    codec = Codec(np.dtype(np.float64), 2.0, 1.0)
    values, valid, _ = codec.decode(np.array([0.25, np.nan, np.inf]))
    assert values[0] == 1.5
    assert valid.tolist() == [True, False, False]
    codes, moved = codec.encode(values, valid)
    assert codes[0] == 0.25
    assert np.isnan(codes[1:]).all()
    assert moved == 0


@pytest.mark.parametrize("kind", [np.int64, np.uint64, np.int32, np.uint32])
def test_wide_integers_clip_without_wrapping(kind):
    info = np.iinfo(kind)
    codes, moved = encode(Codec(np.dtype(kind), low=int(info.min), high=int(info.max)), 1e30, -1e30)
    assert int(codes[0]) > 0.99 * info.max
    assert int(codes[1]) == info.min
    assert moved == 2


def test_a_valid_nan_becomes_the_padding_not_garbage():
    codes, _ = encode(Codec(INT16, low=-32768, high=32767, padding=(-2000, -2000)), np.nan)
    assert codes.tolist() == [-2000]


@pytest.mark.parametrize("slope", [1e99, 4e300, 1e308])
def test_scaled_codes_beyond_all_measures_are_invalid(slope):
    """1000 times the slope is larger than any measure, or infinite; 0 is a number at any slope."""
    values, valid, usable = Codec(INT16, slope, 0.0, -32768, 32767, None).decode(np.array([0, 1000, -1000], np.int16))
    assert valid.tolist() == usable.tolist() == [True, False, False]
    assert values[0] == 0
