"""The table of whole photos: what is left of the data, what moved outside faces, and the border of a face."""

import numpy as np
import pytest
from PIL import Image

from gensr.benchmarks import whole_photos
from gensr.domains.faces import centre, whole
from gensr.domains.faces.align import of_box
from gensr.domains.faces.finder import number


def test_a_face_moves_nothing_outside_and_little_at_its_border(tmp_path, monkeypatch):
    y, x = np.mgrid[:48, :64]
    codes = np.stack([120 + 50 * np.sin(x / 7 + k) + 40 * np.cos(y / 6) for k in range(3)], -1).astype(np.uint8)
    path = tmp_path / "a.png"
    Image.fromarray(codes).save(path)
    monkeypatch.setattr(centre, "installed", lambda: True)
    monkeypatch.setattr(whole, "find_faces", lambda photo: number([of_box((20.0, 10.0, 20.0, 26.0))]))
    row = whole_photos.row_of(path, 2, tmp_path)
    assert (row["found"], row["restored"], row["moved outside"]) == (1, 1, 0)
    assert 0 < row["rms"] < row["largest"] <= 0.5
    assert 0 <= row["border"] < 1
    real = whole_photos.made

    def brighter(source, factor, folder):
        answer, known, report = real(source, factor, folder)
        return answer + np.uint8(folder.name == "answer"), known, report

    monkeypatch.setattr(whole_photos, "made", brighter)
    again = whole_photos.row_of(path, 2, tmp_path / "again")
    assert again["moved outside"] > 5000
    assert again["rms"] > 0.9
    assert again["border"] > 0.8


def test_a_photo_is_reduced_by_means(tmp_path):
    codes = np.random.default_rng(0).integers(0, 255, (13, 10, 3), dtype=np.uint8)
    Image.fromarray(codes).save(tmp_path / "b.png")
    (tmp_path / "low").mkdir()
    low = whole_photos.codes(whole_photos.reduced(tmp_path / "b.png", tmp_path / "low"))
    wanted = codes[:12, :8].reshape(3, 4, 2, 4, 3).astype(float).mean((1, 3))
    assert low == pytest.approx(wanted, abs=0.5)


def test_a_run_that_was_stopped_goes_on(tmp_path, monkeypatch):
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in ("a", "b"):
        Image.fromarray(np.full((16, 16, 3), 100, np.uint8)).save(photos / f"{name}.jpg")
    asked = []

    def row_of(path, factor, folder):
        asked.append((path.stem, factor))
        if len(asked) == 3:
            raise KeyboardInterrupt
        return dict.fromkeys(whole_photos.COLUMNS, 1.0) | {"photo": path.stem, "factor": factor}

    monkeypatch.setattr(whole_photos, "row_of", row_of)
    words = [f"photos={photos}", f"output={tmp_path / 'out'}"]
    with pytest.raises(KeyboardInterrupt):
        whole_photos.main(words)
    assert whole_photos.main(words) == 0
    assert asked == [("a", 4), ("b", 4), ("a", 2), ("a", 2), ("b", 2)]
    table = (tmp_path / "out" / "whole_photos.csv").read_text().splitlines()
    assert len(table) == 5
    whole_photos.main([*words, "fresh=true"])
    assert len(asked) == 9
