"""Plans of tiles: every pixel is written once, with enough around it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gensr.errors import SearchError
from gensr.operators import Area, Bicubic, KSpaceCrop
from gensr.pipeline.tiles import Tile, around, batches, context_of, cut, default_side, pixels, scene_tiles, strip
from gensr.search.posterior import Method
from gensr.values.grid import Window

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


def test_tiles_by_hand():
    """11 x 7 in cores of 5, rounded up to 6 for windows of 3; context 2 is rounded up to 3."""
    tiles = cut(2, (11, 7), 5, 2, 3)
    assert [t.core for t in tiles[:4]] == [
        Window(0, 0, 6, 6),
        Window(0, 6, 6, 1),
        Window(6, 0, 5, 6),
        Window(6, 6, 5, 1),
    ]
    assert [t.read for t in tiles[:4]] == [
        Window(0, 0, 9, 7),
        Window(0, 3, 9, 4),
        Window(3, 0, 8, 7),
        Window(3, 3, 8, 4),
    ]
    assert [t.at_end for t in tiles[:4]] == [(False, True), (False, True), (True, True), (True, True)]
    assert [(t.index, t.plane) for t in tiles] == [(i, i // 4) for i in range(8)]
    assert tiles[3].inner == Window(3, 3, 5, 1)
    assert pixels(tiles) == 2 * 11 * 7
    assert pixels([]) == 0
    assert cut(1, (4, 4), 4, 0) == [Tile(0, 0, Window(0, 0, 4, 4), Window(0, 0, 4, 4), (True, True))]


def test_the_context_begins_on_the_raster_even_if_the_core_does_not():
    tile = around(5, 2, Window(7, 8, 2, 2), (40, 40), 4, 3)
    assert tile == Tile(5, 2, Window(7, 8, 2, 2), Window(0, 0, 15, 16), (False, False))
    tile = around(0, 0, Window(20, 10, 2, 2), (22, 40), 5, 4)
    assert tile.read == Window(12, 0, 10, 20)
    assert tile.at_end == (True, False)


@pytest.mark.parametrize(
    ("operator", "samples", "exact", "method", "context"),
    [
        (Area(2), 0, False, Method("closed", "own"), 8 + 8),
        (Area(2), 0, True, Method("closed", "own"), 8 + 6),
        (Area(2), 1, False, Method("closed", "own"), 8 + 8 + 16),
        (Area(2), 0, False, Method("draws", "guided"), 8 + 8 + 16),
        (Area((8, 4)), 2, True, Method("closed", "own"), 8 + 6 + 8),
        (Bicubic(2), 0, False, Method("closed", "own"), 8 + 8 + 2 * Bicubic(2).reach),
    ],
)
def test_context_is_what_the_generator_says_and_twice_the_reach_and_more(
    make_task, operator, samples, exact, method, context
):
    assert Bicubic(2).reach == 2
    assert context_of(make_task(operator=operator, samples=samples, exact=exact, method=method)) == context


@pytest.mark.parametrize(("factor", "side"), [(2, 384), (4, 192), (8, 96), (16, 64), ((2, 16), 384), ((16, 3), 256)])
def test_a_tile_is_as_large_as_context_asks_for(make_task, factor, side):
    assert default_side(make_task(operator=Area(factor))) == side


def test_a_scene_is_cut_as_the_task_needs(make_task, white):
    class Windows(white):
        def alignment(self, operator, options=None):
            return 4 if options["spacing"] == 2 else 1

        def context(self, operator):
            return 5

    task = make_task(Windows())
    assert scene_tiles(2, (20, 30), task, 10) == cut(2, (20, 30), 10, 5 + 8, 4)
    assert scene_tiles(1, (500, 30), task, None) == cut(1, (500, 30), 384, 5 + 8, 4)


@pytest.mark.parametrize("whole", [{"operator": KSpaceCrop(2, "none")}, {"aligned": True}])
def test_what_needs_the_whole_image_is_not_cut(make_task, white, whole):
    operator = whole.pop("operator", Area(2))
    task = make_task(white(**whole), operator=operator, method=Method("closed", "own"))
    expected = [Tile(i, i, Window(0, 0, 9, 20), Window(0, 0, 9, 20), (True, True)) for i in range(2)]
    for side in (None, 20, 50):
        assert scene_tiles(2, (9, 20), task, side) == expected
    with pytest.raises(SearchError, match="tile=19: white with this operator needs the whole image at once"):
        scene_tiles(2, (9, 20), task, 19)


def test_lines_of_planes_are_numbered_like_tiles_of_many():
    one = cut(1, (9, 9), 5, 2)
    assert strip(one, 3) == cut(4, (9, 9), 5, 2)[12:]
    assert strip(one, 0) == one


def test_batches_by_hand():
    tiles = cut(3, (9, 4), 4, 0)
    assert [[t.index for t in group] for group in batches(tiles, 2)] == [[0, 1], [2], [3, 4], [5], [6, 7], [8]]
    alike = cut(5, (4, 4), 4, 0)
    assert [[t.index for t in group] for group in batches(alike, 2)] == [[0, 1], [2, 3], [4]]
    assert list(batches([], 3)) == []
