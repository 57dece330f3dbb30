"""The preview: the middle of the middle plane, drawn by the scene, unknown pixels hidden."""

import io

import numpy as np
import pytest
from PIL import Image

from gensr.pipeline import preview
from gensr.scenes.arrays import ArrayScene
from gensr.values.grid import Window


def picture(data):
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (1000, 700), (5000, 1)])
@pytest.mark.parametrize("factor", [(2, 2), (4, 4), (64, 64)])
def test_the_window_is_the_middle_and_never_large(shape, factor):
    scene = ArrayScene(np.broadcast_to(np.float32(0), (5, 1, *shape)))
    plane, window = preview.window_of(scene, factor)
    assert plane == 2
    scene.grid.crop(window)
    assert window.rows * factor[0] <= max(preview.SIDE, factor[0])
    assert abs(window.row - (shape[0] - window.row - window.rows)) <= 1
    assert abs(window.col - (shape[1] - window.col - window.cols)) <= 1


def panel(image, **changes):
    scene = ArrayScene(image)
    read = scene.read(0, Window(0, 0, *scene.grid.shape))
    fine = np.repeat(np.repeat(read.values, 2, 1), 2, 2)
    parts = {
        "mean": fine,
        "std": np.ones_like(fine),
        "residual": np.zeros_like(read.values),
        "sample0": fine,
        **changes,
    }
    return picture(preview.panel(scene, "title", (2, 2), read, {k: v for k, v in parts.items() if v is not None}))


def test_a_picture_more_with_a_sample():
    image = np.random.default_rng(0).uniform(0, 1, (8, 90))
    with_sample, without = panel(image), panel(image, sample0=None)
    assert with_sample.shape == without.shape
    difference = (with_sample != without).any(-1)
    assert difference[:, : 2 * difference.shape[1] // 3 - 20].sum() == 0
    assert difference.any()


def test_unknown_pixels_are_grey_in_every_picture():
    image = np.random.default_rng(0).uniform(0, 1, (40, 40))
    image[:20] = np.nan
    grey = (panel(image) == 128).all(-1) | (panel(image) == 127).all(-1)
    full = (panel(np.nan_to_num(image)) == 128).all(-1)
    assert grey.sum() - full.sum() > 3 * (grey.size / 6) / 2 * 0.7


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_flat_and_empty_images_are_drawn(value):
    image = np.full((6, 6), value)
    shape = (1, 12, 12)
    drawn = panel(image, std=np.full(shape, value, np.float32), residual=np.full((1, 6, 6), np.nan, np.float32))
    assert drawn.shape[0] > 100
