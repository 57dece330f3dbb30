"""Panels of photos: the largest answered face, at the same place in every picture, figures behind the names."""

from types import SimpleNamespace

import numpy as np
import pytest

from gensr.benchmarks import photos
from gensr.errors import UsageError


def report(*boxes):
    return {"parts": [{"box": box} for box in boxes]}


def test_the_square_lies_about_the_largest_face_and_inside():
    rows, cols = photos.around(report((5, 5, 4, 4), (60, 40, 20, 16)), (100, 200))
    assert (rows.start, rows.stop, cols.start, cols.stop) == (28, 68, 50, 90)
    rows, cols = photos.around(report((0, 90, 20, 20)), (100, 200))
    assert (rows.start, rows.stop, cols.start, cols.stop) == (60, 100, 0, 40)
    rows, cols = photos.around(report((50, 50, 80, 80)), (300, 300))
    assert rows.stop - rows.start == cols.stop - cols.start == photos.MOST


def test_every_picture_shows_the_same_place_and_its_residual(monkeypatch):
    random, kept = np.random.default_rng(0), {}
    low = random.integers(0, 256, (3, 40, 60)).astype(np.uint8)
    fine = low.repeat(4, 1).repeat(4, 2).astype(np.float64)
    made = photos.Restored(fine, low, fine, fine + 3.0, report((20, 10, 10, 10)))

    def kept_instead(rows, labels, title, side):
        kept.update(zip(labels, rows[0], strict=True))
        return SimpleNamespace(title=title)

    monkeypatch.setattr(photos, "sheet", kept_instead)
    assert "Not for identification" in photos.panel("name", made, None).title
    labels = list(kept)
    assert labels[0] == "reduced x4: 0.00"
    assert labels[1].startswith("Lanczos: ")
    assert labels[2] == "gensr, mean: 0.00"
    assert float(labels[3].removeprefix("gensr, one sample: ")) == pytest.approx(3, abs=0.1)
    assert labels[4] == "photo"
    assert kept["photo"].shape == (80, 80, 3)
    assert (kept["photo"] == kept[labels[0]]).all()
    assert (kept["photo"] == np.moveaxis(fine[:, 20:100, 60:140], 0, -1)).all()


def test_a_word_that_does_not_act_is_refused():
    with pytest.raises(UsageError, match="factor="):
        photos.main(["factor=8"])
