"""The aligned square of a face: geometry written again for the test, there and back, and the mask."""

import math

import numpy as np
import pytest

from gensr.domains.faces.align import CONVENTIONS, MEAN_LANDMARKS, Crop, Face, convention, of_box
from gensr.errors import DomainError
from gensr.values.grid import Window

MARKS = ((120.0, 80.0), (180.0, 95.0), (146.0, 120.0), (116.0, 140.0), (164.0, 152.0))


def square(marks):
    """Corners of the FFHQ square: upper left, upper right, lower left (arXiv:1812.04948, appendix C)."""
    left, right, _, a, b = (complex(*m) for m in marks)
    eyes, down = right - left, (a + b) / 2 - (left + right) / 2
    x = eyes + (-1j) * down  # the mouth's direction turned back by a quarter
    x *= max(2 * abs(eyes), 1.8 * abs(down)) / abs(x)
    c, y = (left + right) / 2 + 0.1 * down, x * 1j
    return [c - x - y, c + x - y, c - x + y]


def corners(crop):
    places = np.array([[0, 0], [crop.side, 0], [0, crop.side]])
    return [complex(*p) for p in places @ crop.matrix[:, :2].T + crop.matrix[:, 2]]


def test_the_crop_is_the_square_of_its_convention():
    face = Face((0, 0, 1, 1), MARKS, 1.0)
    full = square(MARKS)
    assert np.allclose(corners(face.crop(128, convention("ffhq"))), full)
    x, y = (full[1] - full[0]) / 2, (full[2] - full[0]) / 2
    middle = full[0] + x + y + 0.08 * y
    expected = [middle + 0.72 * (a * x + b * y) for a, b in ((-1, -1), (1, -1), (-1, 1))]
    assert np.allclose(corners(face.crop(128, convention(""))), expected)
    assert face.size == pytest.approx(abs(x))
    with pytest.raises(DomainError, match=r"tight0\.72"):
        convention("loose")


def test_the_mean_face_fills_the_crop_it_is_the_mean_of():
    crop = Face((0, 0, 1, 1), MEAN_LANDMARKS, 1.0).crop(128)
    assert math.isclose(crop.length, 128, rel_tol=0.02)
    assert np.allclose(crop.centre, 64, atol=1.5)
    assert np.allclose(of_box((16, 4, 96, 126)).landmarks, MEAN_LANDMARKS)


def test_there_and_back_is_the_identity():
    crop = Face((0, 0, 1, 1), MARKS, 1.0).crop(32)
    both = crop.inverse[:, :2] @ crop.matrix
    both[:, 2] += crop.inverse[:, 2]
    assert np.allclose(both, [[1, 0, 0], [0, 1, 0]])
    fine = crop.refined((4, 4))
    assert np.allclose(fine.matrix, crop.matrix * 4)
    with pytest.raises(DomainError, match="one factor for both axes"):
        crop.refined((2, 4))


def ramp(shape, of):
    y, x = np.mgrid[: shape[0], : shape[1]] + 0.5
    return of(x, y)[None].astype(np.float32)


def test_a_ramp_is_cut_and_laid_back_exactly():
    def of(x, y):
        return 2 * x - y + 3

    photo = ramp((320, 340), of)
    for side in (16, 32, 400):
        crop = Face((0, 0, 1, 1), tuple((x + 40, y + 40) for x, y in MARKS), 1.0).crop(side)
        upright = crop.cut(photo)
        v, u = np.mgrid[:side, :side] + 0.5
        x, y = np.tensordot(crop.matrix[:, :2], np.stack([u, v]), 1) + crop.matrix[:, 2].reshape(2, 1, 1)
        assert np.abs(upright[0] - of(x, y)).max() < 0.2
        window = crop.window(photo.shape[1:])
        back, mask = crop.lay(upright, window), crop.mask(window)
        there = photo[0, window.row : window.row + window.rows, window.col : window.col + window.cols]
        assert np.abs((back[0] - there) * (mask > 0.5)).max() < 0.2 * max(1, crop.length / side)  # of a step
        part = crop.cut(photo[:, window.row :, window.col :], (window.row, window.col))
        assert np.abs(part - upright).max() < 0.5


def test_fine_photos_are_averaged_not_sampled():
    checks = ramp((260, 300), lambda x, y: 100.0 * ((x + y) % 2 > 0.9))
    upright = Face((0, 0, 1, 1), MARKS, 1.0).crop(8).cut(checks)
    assert np.abs(upright - 50).max() < 3


def test_the_mask_is_whole_inside_soft_and_nothing_outside():
    crop = Crop((50.0, 40.0), (30.0, 0.0), 64)
    window = crop.window((90, 100), margin=3)
    assert window == Window(7, 17, 66, 66)
    mask = crop.mask(window)
    assert mask[33, 33] == 1
    assert mask.min() == 0
    assert (mask[[0, -1]] == 0).all()
    assert (mask[:, [0, -1]] == 0).all()
    assert np.abs(np.diff(mask, axis=1)).max() < 0.25
    assert np.allclose(mask, mask[::-1])
    assert crop.window((20, 10)).cols == 0
    assert CONVENTIONS["ffhq"].size == 1
