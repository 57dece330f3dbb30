"""Plans of tiles: every pixel is written once, with enough around it."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gensr.pipeline.tiles import batches, cut

PLANS = st.tuples(
    st.integers(1, 3), st.tuples(st.integers(1, 60), st.integers(1, 60)), st.integers(1, 40), st.integers(0, 20),
    st.integers(1, 5),
)  # fmt: skip


@given(PLANS)
def test_cores_cover_every_pixel_once(arguments):
    planes, shape, side, context, align = arguments
    count = np.zeros((planes, *shape), int)
    for tile in cut(planes, shape, side, context, align):
        row, col, rows, cols = tile.core
        count[tile.plane, row : row + rows, col : col + cols] += 1
    assert (count == 1).all()


@given(PLANS)
def test_context_is_whole_inside_and_clipped_at_borders(arguments):
    planes, shape, side, context, align = arguments
    for tile in cut(planes, shape, side, context, align):
        core, read = tile.core, tile.read
        assert read.row >= 0
        assert read.col >= 0
        assert read.row + read.rows <= shape[0]
        assert read.col + read.cols <= shape[1]
        for start, size, first, length, end in (
            (core.row, core.rows, read.row, read.rows, shape[0]),
            (core.col, core.cols, read.col, read.cols, shape[1]),
        ):
            assert first == 0 or start - first >= context
            assert first + length == end or first + length - start - size >= context
        assert tile.at_end == (read.row + read.rows == shape[0], read.col + read.cols == shape[1])
        assert core == (tile.inner.row + read.row, tile.inner.col + read.col, tile.inner.rows, tile.inner.cols)


@given(PLANS)
def test_cores_and_contexts_start_on_the_raster_of_windows(arguments):
    planes, shape, side, context, align = arguments
    for tile in cut(planes, shape, side, context, align):
        assert all(n % align == 0 for n in (*tile.core[:2], *tile.read[:2]))


@given(PLANS, st.integers(1, 7))
def test_batches_keep_order_and_join_only_equal_shapes(arguments, size):
    tiles = cut(*arguments)
    groups = list(batches(tiles, size))
    assert [t for group in groups for t in group] == tiles
    assert [t.index for t in tiles] == list(range(len(tiles)))
    for group in groups:
        assert 1 <= len(group) <= size
        assert len({t.shape_key for t in group}) == 1
