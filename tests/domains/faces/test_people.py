"""People in a photo, grown from their faces."""

import numpy as np
import pytest

from gensr.domains.faces.align import of_box
from gensr.domains.faces.people import people

pytest.importorskip("cv2")


def photo():
    """Two people, a bright and a dark one, before a green wall."""
    draw = np.random.default_rng(0)
    out = np.full((240, 320, 3), (60, 140, 70), np.float64)
    y, x = np.mgrid[:240, :320]
    masks = []
    for left, tone in ((90, (220, 180, 160)), (220, (120, 60, 50))):
        head = np.hypot((y - 80) / 34, (x - left) / 26) < 1
        body = (y > 105) & (abs(x - left) < 38)
        masks.append(head | body)
        out[masks[-1]] = tone
    return (out + draw.normal(0, 6, out.shape)).clip(0, 255).astype(np.uint8), masks


def test_each_person_is_grown_from_the_face():
    picture, masks = photo()
    found = people(picture, [of_box((68, 52, 44, 56)), of_box((198, 52, 44, 56))])
    assert len(found) == 2
    for mask, true in zip(found[::-1], masks, strict=True):  # the first is in front, which comes last
        assert (mask & true).sum() / (mask | true).sum() > 0.8
    assert not (found[0] & found[1]).any()


def test_faces_that_are_tiny_or_fill_the_picture_are_nobody():
    picture, _ = photo()
    assert people(picture, []) == []
    assert people(picture, [of_box((68, 52, 9, 12))]) == []
    assert people(picture[30:130, 50:130], [of_box((2, 2, 76, 96))]) == []
