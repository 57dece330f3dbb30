"""The table of verdicts: what counts as right, and cases that are made."""

import math

import numpy as np
import pytest

from gensr.benchmarks import verdicts
from gensr.benchmarks.verdicts import Truth, cropped, gains, summary
from gensr.errors import UsageError


def test_signs_are_compared_and_ties_left_out():
    pairs = [(0.5, 1.0), (-0.5, 1.0), (-0.4, -0.2), (0.3, -0.2), (3.0, 0.05), (math.nan, 1.0)]
    row = summary("nuclei", "yes", "no", pairs)
    assert (row["cases"], row["ties"], row["right"], row["unsaid"]) == (6, 1, 2, 1)
    assert (row["lanczos wins"], row["right of these"]) == (2, 1)


def test_the_middle_is_kept():
    image = np.arange(270.0 * 301).reshape(270, 301)
    cut = cropped(Truth("nuclei", True, image, "microscopy", 255.0)).image
    assert cut.shape == (256, 256)
    assert cut[0, 0] == image[7, 22]


@pytest.mark.parametrize(("domain", "flux"), [("microscopy", False), ("astronomy", True)])
def test_a_picture_is_judged_by_its_data_and_by_the_truth(domain, flux):
    y, x = np.mgrid[:128, :128]
    spots = sum(
        np.exp(-((y - a) ** 2 + (x - b) ** 2) / 12) for a, b in ((30, 40), (64, 90), (101, 33), (80, 62), (20, 100))
    )
    one = Truth("made", False, 0.5 * spots if flux else 20 + 180 * spots, domain, 1.0 if flux else 255.0, flux)
    said, true = gains(one, 0.0, 1)
    assert true > 1
    assert said > 0


def test_words_that_are_unknown():
    with pytest.raises(UsageError, match="unknown argument"):
        verdicts.main(["case=3"])
