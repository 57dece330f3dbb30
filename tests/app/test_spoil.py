"""Scenes that are spoiled on purpose: the right pixels, the right operator, the right place in the end."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from gensr.app.spoil import KINDS, Spoil
from gensr.app.spoiled import Blurred, Pixelated
from gensr.app.spoiling import spoiled
from gensr.errors import DomainError, UsageError
from gensr.operators import Area, MeasuredPSF, SeparableOperator, parse_operator
from gensr.scenes.inputs import guess, open_scene
from gensr.values.grid import Window


@pytest.fixture
def opened(images):
    found = []

    def open_one(name):
        scene = open_scene(guess(images[name]), images[name], {})
        found.append(scene)
        return scene

    yield open_one
    for scene in found:
        scene.close()


def whole(scene):
    return scene.read(0, Window(0, 0, *scene.grid.shape))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"kind": "shake"}, "none, blur, pixelate, motion"),
        ({"kind": "blur", "amount": 9.0}, "0.1 to 8 pixels"),
        ({"kind": "blur", "amount": float("nan")}, "numbers"),
        ({"kind": "blur", "amount": 10**400}, "numbers"),
        ({"kind": "blur", "amount": True}, "numbers"),
        ({"kind": "motion", "amount": 5.0, "angle": "up"}, "numbers"),
        ({"kind": "pixelate", "amount": 2.5}, "whole number"),
        ({"kind": "pixelate", "amount": 1}, "2 to 64"),
        ({"kind": "blur", "amount": 1.0, "noise": 50.0}, "0 to 20 percent"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(words, said):
    with pytest.raises(UsageError, match=said):
        Spoil(**words)


def test_every_kind_says_what_it_did():
    assert {k: Spoil(k, 4.0).words != "" for k in KINDS} == {k: k != "none" for k in KINDS}
    assert "noise of 2 %" in Spoil("blur", 1.0, noise=2.0).words
    assert "was not told" in Spoil("blur", 1.0, told=False).words


@pytest.mark.parametrize(("kind", "amount"), [("blur", 1.3), ("motion", 5.0)])
def test_what_was_done_is_undone_by_its_own_operator(opened, kind, amount):
    """On the grid of the input, the operator of `Spoil.operator` is the blur that was made."""
    scene = Blurred(opened("sky.fits"), Spoil(kind, amount, 25.0))
    sharp = torch.from_numpy(whole(scene.inner).values.astype(np.float64))
    made = parse_operator(scene.spoiling.operator, 1).forward(sharp)
    np.testing.assert_allclose(made.numpy(), whole(scene).values, rtol=1e-5)
    assert Spoil(kind, amount, told=False).operator == ""
    assert Spoil("pixelate", 4).operator == ""


def test_blur_is_that_of_the_library(opened):
    scene = opened("sky.fits")
    before = whole(scene).values[0].astype(np.float64)
    after = whole(Blurred(scene, Spoil("blur", 1.5))).values[0]
    np.testing.assert_allclose(after, ndimage.gaussian_filter(before, 1.5, truncate=4.0), rtol=2e-3)


def test_windows_of_a_spoiled_scene_agree(opened):
    """Noise and blur belong to a pixel, whatever window it is read in."""
    for words in ({"kind": "motion", "amount": 7.0, "angle": 20.0}, {"kind": "pixelate", "amount": 2}):
        scene = spoiled(opened("map.tif"), Spoil(**words, noise=2.0))
        full = whole(scene).values
        part = scene.read(0, Window(3, 5, 9, 8)).values
        np.testing.assert_array_equal(part, full[:, 3:12, 5:13])


def test_noise_has_its_level_and_is_known_where_it_was_told(opened):
    quiet, loud = (whole(spoiled(opened("map.tif"), Spoil("blur", 1.0, noise=n))).values for n in (0.0, 5.0))
    scene = spoiled(opened("map.tif"), Spoil("blur", 1.0, noise=5.0))
    ranges = np.ptp(quiet.reshape(3, -1), axis=1)
    np.testing.assert_allclose((loud - quiet).std((1, 2)), 0.05 * ranges, rtol=0.12)
    known = scene.noise()
    np.testing.assert_allclose([known.level(b) for b in range(3)], 0.05 * ranges, rtol=0.05)
    assert spoiled(opened("map.tif"), Spoil("blur", 1.0, noise=5.0, told=False)).noise() is None


def test_gaps_stay_gaps_and_lend_nothing(opened, monkeypatch):
    scene = opened("sky.fits")
    read = type(scene).read

    def gapped(self, plane, window):
        image = read(self, plane, window)
        from dataclasses import replace

        rows = np.arange(window.row, window.row + window.rows)[:, None]
        cols = np.arange(window.col, window.col + window.cols)
        hole = ((rows == 10) & (cols == 11))[None]
        return replace(image, values=np.where(hole, 1e9, image.values), valid=image.valid & ~hole)

    monkeypatch.setattr(type(scene), "read", gapped)
    image = whole(Blurred(scene, Spoil("blur", 1.0)))
    assert not image.valid[0, 10, 11]
    assert image.values[image.valid].max() < 10
    blocks = whole(Pixelated(scene, Spoil("pixelate", 4)))
    assert not blocks.valid[0, 2, 2]
    assert blocks.valid.sum() == blocks.valid.size - 1


@pytest.mark.parametrize(("kind", "amount"), [("blur", 0.7), ("motion", 5.0)])
@pytest.mark.parametrize("factor", [(2, 2), (1, 3)])
def test_the_operator_is_what_was_done(opened, kind, amount, factor):
    """The operator on a fine image is the blur of its block means, at the borders too."""
    scene = Blurred(opened("sky.fits"), Spoil(kind, amount, 25.0))
    operator = scene.operator(factor)
    assert isinstance(operator, MeasuredPSF if kind == "motion" else SeparableOperator)
    fine = torch.from_numpy(np.random.default_rng(0).random((1, 12 * factor[0], 14 * factor[1])))
    coarse = Area(factor).forward(fine)[0].numpy()
    expected = ndimage.convolve(coarse, scene.spoiling.kernel(), mode="reflect")
    np.testing.assert_allclose(operator.forward(fine)[0].numpy(), expected, atol=1e-10)
    silent = Blurred(opened("sky.fits"), Spoil(kind, amount, told=False))
    assert type(silent.operator(factor)) is Area


def test_blocks_are_means_on_the_right_grid(opened):
    scene = opened("map.tif")
    coarse = spoiled(scene, Spoil("pixelate", 4))
    values = whole(scene).values.astype(np.float64)
    np.testing.assert_allclose(whole(coarse).values, values.reshape(3, 8, 4, 12, 4).mean((2, 4)), rtol=1e-6)
    assert coarse.grid.transform[:3] == (40.0, 0.0, 600000.0)
    assert coarse.grid.refine(4) == scene.grid


def test_blocks_are_undone_by_a_multiple_of_their_side(opened):
    coarse = spoiled(opened("map.tif"), Spoil("pixelate", 4))
    assert type(coarse.operator((8, 8))) is Area
    with pytest.raises(DomainError, match="give 4 or a multiple"):
        coarse.operator((6, 6))


def test_what_does_not_fill_a_block_is_cut(opened):
    coarse = spoiled(opened("map.tif"), Spoil("pixelate", 5))
    assert coarse.grid.shape == (6, 9)
    with pytest.raises(DomainError, match="smaller than a block"):
        spoiled(opened("map.tif"), Spoil("pixelate", 64))


def test_equal_spoils_are_equal_content(opened):
    scene = opened("map.tif")
    one, two = (Blurred(scene, Spoil("blur", s)).content() for s in (1.0, 2.0))
    assert one != two
    assert one == Blurred(scene, Spoil("blur", 1.0)).content()
    assert scene.content() not in (one, two)
