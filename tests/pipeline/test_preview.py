"""The preview: the middle of the middle plane, drawn by the scene, unknown pixels hidden."""

import io

import numpy as np
import pytest
from PIL import Image

from gensr.operators.resample import upsample
from gensr.pipeline import preview
from gensr.pipeline.reconstruct import TileResult
from gensr.pipeline.store import Store
from gensr.pipeline.tiles import Tile
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


class Painter(ArrayScene):
    """Renders a constant colour, one for each call: the number of the picture times 20."""

    def __init__(self, image):
        super().__init__(image)
        self.shown = []

    def render(self, values, reference):
        self.shown.append((values.copy(), reference.copy()))
        return np.full((*values.shape[1:], 3), 20 * len(self.shown), np.uint8)


def parts(image, factor=(2, 2), std=None, residual=None, sample=True):
    fine = np.repeat(np.repeat(image, factor[0], 1), factor[1], 2)
    made = {
        "mean": fine + 1,
        "std": np.ones_like(fine) if std is None else std,
        "residual": np.zeros_like(image) if residual is None else residual,
        "sample0": fine + 2,
    }
    return made if sample else {k: v for k, v in made.items() if k != "sample0"}


def drawn(image, factor=(2, 2), scene=None, **changes):
    scene = scene or Painter(image)
    read = scene.read(0, Window(0, 0, *scene.grid.shape))
    return scene, picture(preview.panel(scene, "title", factor, read, parts(read.values, factor, **changes)))


def test_pictures_stand_in_rows_of_three_below_their_names():
    """8 x 6 pixels, refined 16 x 12, drawn 24 times as large: 384 x 288, with gaps of 8 and titles of 18."""
    image = np.random.default_rng(0).uniform(0, 1, (1, 8, 6)).astype(np.float32)
    _, sheet = drawn(image)
    assert sheet.shape == (2 * (384 + 18 + 8) + 8 + 18, 3 * (288 + 8) + 8, 3)
    colours = [(20,) * 3, (40,) * 3, (60,) * 3, (255,) * 3, (255,) * 3, (80,) * 3]
    for i, colour in enumerate(colours):
        x, y = 8 + i % 3 * 296, 26 + i // 3 * 410 + 18
        own = sheet[y : y + 384, x : x + 288]
        assert (own == colour).all(), i
        assert (sheet[y : y + 384, x - 1] == 255).all()
        assert (sheet[y : y + 384, x + 288] == 255).all()
        assert (sheet[y + 384 : y + 392, x : x + 288] == 255).all()
        assert (sheet[y - 18 : y, x : x + 100] != 255).any()  # its name
    assert (sheet[:18, :60] != 255).any()  # the title
    _, fewer = drawn(image, sample=False)
    assert (fewer[26 + 410 + 18 :, 8 + 2 * 296 :] == 255).all()


def test_wide_names_keep_narrow_pictures_apart():
    _, sheet = drawn(np.zeros((1, 40, 2), np.float32))
    assert sheet.shape == (2 * (80 * 5 + 18 + 8) + 8 + 18, 3 * (150 + 8) + 8, 3)


def test_large_pictures_are_not_enlarged():
    _, sheet = drawn(np.zeros((1, 150, 150), np.float32))
    assert sheet.shape == (2 * (300 + 18 + 8) + 8 + 18, 3 * (300 + 8) + 8, 3)


def test_the_scene_renders_what_is_known_on_one_stretch():
    image = np.random.default_rng(0).uniform(0, 1, (2, 4, 5)).astype(np.float32)
    image[1, 2, 3] = np.nan
    scene, _ = drawn(image, (3, 2))
    assert len(scene.shown) == 4
    for values, reference in scene.shown:
        np.testing.assert_array_equal(reference, image)
        hole = np.zeros((2, 12, 10), bool)
        hole[1, 6:9, 6:8] = True
        np.testing.assert_array_equal(np.isnan(values), hole)
    shown, lanczos, mean, sample = (values for values, _ in scene.shown)
    fine = np.repeat(np.repeat(image, 3, 1), 2, 2)
    np.testing.assert_array_equal(shown, fine)
    np.testing.assert_array_equal(mean[0], fine[0] + 1)
    np.testing.assert_array_equal(sample[0], fine[0] + 2)
    np.testing.assert_allclose(lanczos[0], upsample(image[:1], (3, 2), "lanczos")[0], rtol=1e-5)
    filled = np.where(np.isnan(image), np.nanmedian(image), image).astype(np.float32)
    np.testing.assert_allclose(lanczos[1][~hole[1]], upsample(filled, (3, 2), "lanczos")[1][~hole[1]], rtol=1e-5)


def colours(sheet, place, shape, scale):
    """Colours of the fine pixels of picture ``place``."""
    x, y = 8 + place % 3 * (max(shape[1] * scale, 150) + 8), 26 + place // 3 * (shape[0] * scale + 26) + 18
    own = sheet[y : y + shape[0] * scale, x : x + shape[1] * scale]
    return own[scale // 2 :: scale, scale // 2 :: scale]


def test_a_deviation_goes_from_black_over_red_and_yellow_to_white():
    """0, 1/6, 1/3, 1/2, 2/3, 5/6 and all of the brightest; grey where unknown."""
    std = np.full((1, 2, 8), 6.0, np.float32)
    std[0, 0] = [0, 1, 2, 3, 4, 5, 6, np.nan]
    _, sheet = drawn(np.zeros((1, 1, 4), np.float32), std=std)
    top = [c.tolist() for c in colours(sheet, 3, (2, 8), 48)[0]]
    expected = [
        [0, 0, 0],
        [127, 0, 0],
        [255, 0, 0],
        [255, 127, 0],
        [255, 255, 0],
        [255, 255, 127],
        [255] * 3,
        [127] * 3,
    ]
    np.testing.assert_allclose(top, expected, atol=1)


def test_the_brightest_is_a_percentile_over_the_mean_of_the_bands():
    std = np.full((2, 2, 200), 2.0, np.float32)
    std[0], std[1, 0, 0] = 4.0, 1000.0  # the mean is 3 but for one of 400 pixels
    std[:, 1, 5] = 1.0
    _, sheet = drawn(np.zeros((2, 1, 100), np.float32), std=std)
    own = colours(sheet, 3, (2, 200), 2)
    assert own[0, 50].tolist() == [255, 255, 255]
    assert own[1, 5].tolist() == [255, 0, 0]


def test_a_residual_goes_from_blue_over_white_to_red():
    residual = np.array([[[-9, -3, -1.5, 0, 1.5, 3, 9, np.nan]]], np.float32)
    _, sheet = drawn(np.zeros((1, 1, 8), np.float32), residual=residual)
    row = [c.tolist() for c in colours(sheet, 4, (2, 16), 24)[0, ::2]]
    blue, red, white = [0, 0, 255], [255, 0, 0], [255] * 3
    expected = [blue, blue, [127, 127, 255], white, [255, 127, 127], red, red, [127] * 3]
    np.testing.assert_allclose(row, expected, atol=1)


def test_a_residual_is_the_mean_over_the_bands():
    residual = np.stack([np.full((1, 4), 3.0), np.full((1, 4), -1.0)]).astype(np.float32)  # 1 of 3: a third of the way
    _, sheet = drawn(np.zeros((2, 1, 4), np.float32), residual=residual)
    np.testing.assert_allclose(colours(sheet, 4, (2, 8), 48)[0, 0], [255, 170, 170], atol=1)


def result(image, factor=2, samples=1):
    fine = np.repeat(np.repeat(image, factor, 1), factor, 2)
    return TileResult(fine, fine + 100, [fine + 200] * samples, fine > -1, image + 300, {})


def test_a_tile_leaves_its_part_in_the_window(tmp_path, monkeypatch):
    """A window of 4 x 6 at (3, 2) of 10 x 10: tiles of 5 x 4 paint it together, those of other planes nothing."""
    monkeypatch.setattr(preview, "SIDE", 8)
    scene = ArrayScene(np.zeros((3, 2, 10, 10), np.float32))
    monkeypatch.setattr(preview, "window_of", lambda *a: (1, Window(3, 2, 4, 6)))
    layout = preview.layout(scene, (2, 2), 1)
    assert {name: shape for name, (shape, _) in layout.items()} == {
        **{f"preview_{name}": (1, 2, 8, 12) for name in ("mean", "std", "sample0")}, "preview_residual": (1, 2, 4, 6),
    }  # fmt: skip
    assert "preview_sample0" not in preview.layout(scene, (2, 2), 0)
    image = np.arange(200, dtype=np.float32).reshape(2, 10, 10)
    with Store(tmp_path, {}, layout, False) as store:
        for plane in (1, 0, 2):
            for index, (r, c) in enumerate((r, c) for r in (0, 5) for c in (0, 4, 8)):
                core = Window(r, c, 5, min(4, 10 - c))
                cut = image[:, r : r + 5, c : c + core.cols] + 1000 * (plane != 1)
                tile = Tile(index, plane, core, core, (False, False))
                preview.keep(store, scene, (2, 2), 10.0, tile, result(cut))
        part = image[:, 3:7, 2:8]
        fine = np.repeat(np.repeat(part, 2, 1), 2, 2)
        whole = Window(0, 0, 8, 12)
        np.testing.assert_array_equal(store.rasters["preview_mean"].read(0, whole), 10 * fine)
        np.testing.assert_array_equal(store.rasters["preview_std"].read(0, whole), 10 * (fine + 100))
        np.testing.assert_array_equal(store.rasters["preview_sample0"].read(0, whole), 10 * (fine + 200))
        np.testing.assert_array_equal(store.rasters["preview_residual"].read(0, Window(0, 0, 4, 6)), part + 300)


@pytest.mark.parametrize(
    ("shape", "factor", "window"),
    [
        ((1000, 700), (4, 4), Window(452, 302, 96, 96)),
        ((1000, 700), (4, 2), Window(452, 254, 96, 192)),
        ((50, 700), (4, 4), Window(0, 302, 50, 96)),
        ((101, 99), (64, 64), Window(47, 46, 6, 6)),
        ((9, 9), (500, 500), Window(4, 4, 1, 1)),
    ],
)
def test_the_window_by_hand(shape, factor, window):
    scene = ArrayScene(np.broadcast_to(np.float32(0), (4, 1, *shape)))
    assert preview.window_of(scene, factor) == (2, window)


def test_letters_that_no_memory_is_left_for_are_no_other_letters(monkeypatch):
    """Pillow falls back to another font without a word where it cannot load its library of letters."""
    import builtins

    load = builtins.__import__

    def failing(name, *words, **more):
        if name == "PIL" and "_imagingft" in (words[2] or ()):
            raise ImportError(text)
        return load(name, *words, **more)

    monkeypatch.setattr(builtins, "__import__", failing)
    text = "_imagingft.so: failed to map segment from shared object"
    with pytest.raises(ImportError, match="failed to map segment"):
        preview._load_letters()
    text = "No module named 'PIL._imagingft'"
    preview._load_letters()
