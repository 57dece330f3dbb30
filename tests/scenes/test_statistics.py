"""Statistics of a scene: bounded in cost, repeatable, blind to unusable pixels."""

import numpy as np
import pytest
import torch

from gensr.scenes.arrays import ArrayScene
from gensr.scenes.statistics import percentile_normaliser, sample_images, sample_values
from gensr.values.grid import Window
from gensr.values.image import Image

RNG = np.random.default_rng(0)


class Counting(ArrayScene):
    """A scene that remembers what was read, and whose brightest pixels are saturated."""

    def __init__(self, source, saturated=np.inf):
        super().__init__(source)
        self.windows, self.saturated = [], saturated

    def read(self, plane, window):
        self.windows.append((plane, window))
        image = super().read(plane, window)
        return Image(image.values, image.grid, image.valid, image.valid & (image.values < self.saturated), image.bands)


def test_huge_scenes_cost_the_same_as_large_ones():
    scene = Counting(np.broadcast_to(np.float32(1), (3, 1, 20000, 20000)))
    assert sum(1 for _ in sample_images(scene)) == 24
    assert all(w.rows <= 256 and w.cols <= 256 for _, w in scene.windows)
    rows = [w.row for _, w in scene.windows]
    assert {plane for plane, _ in scene.windows} == {0, 1, 2}
    assert max(rows) > 15000 > 5000 > min(rows)


def test_the_same_windows_every_time():
    first, second = (Counting(np.zeros((2, 1, 700, 900))) for _ in range(2))
    for scene in (first, second):
        list(sample_images(scene))
    assert first.windows == second.windows
    assert len(set(first.windows)) == len(first.windows)


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (256, 256), (257, 3)])
def test_small_scenes_are_covered_whole(shape):
    scene = Counting(np.zeros(shape))
    seen = np.zeros(shape, bool)
    for _ in sample_images(scene):
        row, col, rows, cols = scene.windows[-1][1]
        seen[row : row + rows, col : col + cols] = True
    assert seen.all()


def test_unusable_values_do_not_count():
    image = RNG.uniform(0, 1, (1, 50, 50))
    image[0, :5] = 1000.0
    image[0, 5] = np.nan
    (values,) = sample_values(Counting(image, saturated=900))
    assert values.size == 44 * 50
    assert values.max() <= 1


def test_percentiles_go_to_zero_and_one_in_every_band():
    image = np.stack([RNG.normal(100, 5, (80, 80)), RNG.normal(-3, 0.1, (80, 80))])
    normaliser = percentile_normaliser(ArrayScene(image), 1, 99)
    u = normaliser.forward(torch.from_numpy(image)[None]).numpy()[0]
    np.testing.assert_allclose(np.percentile(u, [1, 99], axis=(1, 2)), [[0, 0], [1, 1]], atol=1e-4)
    joint = percentile_normaliser(ArrayScene(image), 1, 99, joint=True)
    assert joint.gain[0] == joint.gain[1] > 90


def test_rare_values_set_the_scale_where_percentiles_agree():
    image = np.zeros((100, 100))
    image[3, 3] = 50.0
    assert percentile_normaliser(ArrayScene(image), 1, 99).gain == (50.0,)


@pytest.mark.parametrize(
    ("image", "gain"),
    [
        (np.full((9, 9), 7.5), 7.5),
        (np.zeros((9, 9)), 1.0),
        (np.full((9, 9), 7, np.uint16), 1.0),
        (np.full((9, 9), np.nan), 1.0),
    ],
)
def test_constant_and_empty_scenes_stay_invertible(image, gain):
    normaliser = percentile_normaliser(ArrayScene(image), 1, 99)
    assert normaliser.gain == (gain,)
    assert np.isfinite(normaliser.offset).all()


def test_windows_lie_inside():
    scene = Counting(np.zeros((300, 513)))
    list(sample_images(scene))
    for _, window in scene.windows:
        scene.grid.crop(Window(*window))


def test_windows_follow_a_golden_ratio_walk_over_planes_rows_and_columns():
    """Two planes of 3 x 2 places of 4 x 5 pixels: with twelve places all of them, with five those of the walk."""
    image = np.zeros((2, 1, 10, 9))
    everything = Counting(image)
    list(sample_images(everything, windows=50, side=5))
    places = [(r, c) for r in (0, 5) for c in (0, 4)]
    visited = [(plane, Window(r, c, 5, 5)) for plane in range(2) for r, c in places]
    assert set(everything.windows) <= set(visited)
    some = Counting(image)
    list(sample_images(some, windows=3, side=5))
    # 8 (0.5 + 0.618 i mod 1) is 4, 0.94, 5.9: places 0, 4, 5.
    assert some.windows == [visited[0], visited[4], visited[5]]


@pytest.mark.parametrize(
    ("size", "starts"), [(256, [0]), (257, [0, 1]), (513, [0, 128, 257]), (100, [0]), (768, [0, 256, 512])]
)
def test_windows_begin_evenly_from_one_border_to_the_other(size, starts):
    scene = Counting(np.zeros((1, size)))
    list(sample_images(scene))
    assert [w.col for _, w in scene.windows] == starts
    assert all((w.row, w.rows, w.cols) == (0, 1, min(size, 256)) for _, w in scene.windows)
    tall = Counting(np.zeros((size, 1)))
    list(sample_images(tall))
    assert [w.row for _, w in tall.windows] == starts


def test_no_more_windows_than_were_asked_for():
    scene = Counting(np.zeros((40, 1, 300, 300)))
    list(sample_images(scene))
    assert len(scene.windows) == 24
    list(sample_images(scene, windows=7, side=100))
    assert len(scene.windows) == 31
    assert scene.windows[-1][1].rows == 100


def test_a_normaliser_is_a_gain_and_an_offset_of_percentiles():
    ramp = np.linspace(0, 1000, 1001).reshape(7, 143)
    assert percentile_normaliser(ArrayScene(ramp), 10, 60).gain[0] == pytest.approx(500)
    assert percentile_normaliser(ArrayScene(ramp), 10, 60).offset[0] == pytest.approx(100)
    both = ArrayScene(np.stack([ramp, ramp + 1000]))
    joint = percentile_normaliser(both, 0, 100, joint=True)
    assert (joint.gain, joint.offset) == ((2000.0, 2000.0), (0.0, 0.0))
    codes = ArrayScene(np.full((9, 9), 7, np.uint16))
    codes.quantum = 4.0
    assert percentile_normaliser(codes, 1, 99).gain == (4.0,)
    assert percentile_normaliser(codes, 1, 99).offset == (7.0,)
    assert percentile_normaliser(ArrayScene(np.full((9, 9), np.nan)), 1, 99).offset == (0.0,)
    negative = ArrayScene(np.where(np.arange(100).reshape(10, 10) == 5, -50.0, 0.0))
    assert (percentile_normaliser(negative, 5, 99).gain, percentile_normaliser(negative, 5, 99).offset) == (
        (50.0,),
        (-50.0,),
    )
