"""The table of backgrounds: both answers of one reduced photo, and the order of arguments."""

import numpy as np
import pytest

from gensr.benchmarks import background


def test_a_row_compares_both_answers_with_the_truth(monkeypatch):
    truth = np.random.default_rng(0).integers(0, 255, (16, 24, 3)).astype(np.uint8)
    seen = []

    def answered(codes, factor, ground):
        seen.append((codes.shape, factor, ground))
        fine = np.moveaxis(truth, -1, 0).astype(np.float64)
        return fine + (10.0 if ground == "lanczos" else 1.0) * np.where(fine < 128, 1, -1)

    monkeypatch.setattr(background, "answered", answered)
    row = background.row_of("noise", truth, 4)
    assert seen == [((4, 6, 3), 4, "lanczos"), ((4, 6, 3), 4, "field")]
    assert row["gain"] == pytest.approx(20)
    assert row["lanczos"] == pytest.approx(20 * np.log10(25.5))


def test_squares_lie_inside():
    pytest.importorskip("skimage")
    found = background.photographs()
    assert {picture.shape for picture in found.values()} == {(192, 192, 3)}
