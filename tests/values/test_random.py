"""Random streams: numbers depend on what they are for, never on when or in which pieces they are drawn."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gensr.values.random import BLOCK, Stream


@settings(max_examples=30)
@given(st.integers(0, 200), st.integers(0, 200), st.integers(1, 150), st.integers(1, 150), st.integers(1, 3))
def test_every_window_sees_the_same_field(row, col, rows, cols, bands):
    stream = Stream(4).child("sample", 1)
    whole = stream.field(0, 0, 352, 352, bands)
    part = stream.field(row, col, rows, cols, bands)
    assert part.shape == (bands, rows, cols)
    assert torch.equal(part, whole[:, row : row + rows, col : col + cols])


def test_field_is_standard_normal_and_uncorrelated_across_blocks():
    field = Stream(0).field(0, 0, 8 * BLOCK, 8 * BLOCK)[0].double()
    n = field.numel()
    assert abs(field.mean()) < 4 / n**0.5
    assert abs(field.square().mean() - 1) < 4 * (2 / n) ** 0.5
    edge = (field[BLOCK - 1 :: BLOCK][:-1] * field[BLOCK::BLOCK]).mean()
    assert abs(edge) < 4 / (7 * 8 * BLOCK) ** 0.5


def test_streams_of_other_names_or_seeds_differ():
    streams = [
        Stream(0),
        Stream(1),
        Stream(0).child("a"),
        Stream(0).child("b"),
        Stream(0).child("a", 1),
        Stream(0).child("a", "1"),
        Stream(0).child("a1"),
        Stream(10).child(1),
        Stream(1).child(0, 1),
    ]
    firsts = {float(s.normal((1,))) for s in streams}
    assert len(firsts) == len(streams)


def test_asking_twice_or_in_another_order_changes_nothing():
    a, b = Stream(3).child("a"), Stream(3).child("b")
    first = a.normal((5,))
    b.uniform((7,))
    assert torch.equal(first, a.normal((5,)))
    np.random.default_rng(0)
    torch.manual_seed(5)
    assert torch.equal(first, Stream(3).child("a").normal((5,)))


def test_the_global_generators_are_left_alone():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    Stream(0).normal((10,))
    assert torch.equal(before, torch.get_rng_state())


def test_another_process_gets_the_same_numbers():
    code = "from gensr.values.random import Stream; print(Stream(0).child('tile', 3).normal((3,)).tolist())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(Stream(0).child("tile", 3).normal((3,)).tolist())


def test_uniform_lies_in_the_half_open_unit_interval():
    numbers = Stream(0).uniform((10000,))
    assert 0 <= float(numbers.min()) < 0.01
    assert 0.99 < float(numbers.max()) < 1
    assert numbers.dtype == torch.float32
    assert float(numbers.mean()) == pytest.approx(0.5, abs=0.02)
