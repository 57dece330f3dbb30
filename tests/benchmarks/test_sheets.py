"""Galleries, seams, speed and faces by every way, on small packs."""

import csv
import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gensr.benchmarks import faces_search, gallery, pictures, seams, speed
from gensr.benchmarks.cells import Fitted
from gensr.benchmarks.datasets import Case
from gensr.benchmarks.faces_search import Way
from gensr.benchmarks.sets import SETS
from gensr.errors import UsageError
from gensr.priors.weights import available

SET = {item.name: item for item in SETS}
NO_SOURCES = np.zeros((0, 4), np.float32)
needs_microscopy = pytest.mark.skipif(
    not {"engression-field", "gaussian-microscopy"} <= available().keys(), reason="priors of microscopy not installed"
)
needs_faces = pytest.mark.skipif(
    not {"engression-faces", "gaussian-faces"} <= available().keys(), reason="priors of faces not installed"
)


def _noise(rows: int, cols: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (rows, cols, 3)).astype(np.uint8)


def _size(path: Path) -> tuple[int, int]:
    with Image.open(path) as picture:
        return picture.size


def test_a_sheet_has_a_head_and_all_its_pictures() -> None:
    made = pictures.sheet([[_noise(32, 32)] * 3] * 2, ["a", "b", "c"], "title", 64)
    assert made.shape == (42 + 2 * (64 + pictures.GAP), 3 * (64 + pictures.GAP), 3)
    assert (made[:42] < 100).any(), "words are drawn"
    np.testing.assert_array_equal(made[42:106:2, 0:64:2], _noise(32, 32))


def test_jpeg_stays_below_its_limit() -> None:
    picture = _noise(300, 300)
    free = pictures.jpeg(picture)
    assert len(pictures.jpeg(picture, limit=len(free) // 2)) < len(free) // 2
    assert Image.open(io.BytesIO(free)).size == (300, 300)
    with pytest.raises(ValueError, match="does not fit into 100 bytes"):
        pictures.jpeg(picture, limit=100)


def test_flux_is_drawn_in_asinh() -> None:
    flux = np.array([[[0.0, 0.1, 10.0]]])
    faint = pictures.drawn(SET["astronomy"], flux, flux)[0, :, 0]
    linear = pictures.drawn(SET["satellite"], flux, flux)[0, :, 0]
    assert faint[1] > 50 > 10 > linear[1]
    assert faint[2] == linear[2] == 255


@pytest.mark.slow
@needs_microscopy
def test_sheets_are_the_same_every_time(
    small_packs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gallery.real_esrgan, "weights", lambda: None)
    monkeypatch.setattr(gallery, "FREE", 4)
    monkeypatch.setattr(gallery, "ACROSS", 2)
    words = [f"data={small_packs}", f"cache={tmp_path}", "domains=microscopy", "cases=2"]
    folders = [tmp_path / name for name in ("first", "second")]
    for folder in folders:
        assert gallery.main([*words, f"output={folder}"]) == 0
    assert "microscopy-x4.jpg" in capsys.readouterr().out
    for name in ("microscopy-x4.jpg", "microscopy-unconditional.jpg"):
        first, second = ((folder / name).read_bytes() for folder in folders)
        assert first == second
        assert len(first) < pictures.LIMIT
    # input, Lanczos, LMMSE, two means, two samples, deviation, truth; 96 px are not enlarged
    assert _size(folders[0] / "microscopy-x4.jpg") == (9 * 100, 42 + 2 * 100)
    assert _size(folders[0] / "microscopy-unconditional.jpg") == (4 * 100, 42 + 2 * 100)


def test_a_gallery_of_nothing_is_refused(small_packs: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="domains=mars"):
        gallery.main([f"data={small_packs}", f"output={tmp_path}", "domains=mars"])
    with pytest.raises(UsageError, match="domains=faces"):
        seams.main([f"data={small_packs}", f"output={tmp_path}", "domains=faces"])


def test_a_step_at_tile_borders_is_seen_and_content_is_not() -> None:
    rng = np.random.default_rng(1)
    smooth = rng.normal(size=(1, 256, 256)).cumsum(1).cumsum(2)
    clean = seams.compare(smooth, smooth, 24, 32)
    assert clean["against no border"] == 1
    assert clean["largest difference"] == 0
    lifted = smooth.copy()
    for start in seams.borders(256, 24):
        lifted[:, :, start:] += 20 * seams.steps(smooth, None)
    found = seams.compare(lifted, smooth, 24, 32)
    assert found["against no border"] > 3
    assert found["against elsewhere"] > 3
    assert found["largest difference"] > 0


def test_scenes_have_no_border_where_tiles_have_one() -> None:
    large = Case("large", np.random.default_rng(2).normal(size=(1, 264, 304)).astype(np.float32), 1, "", 0, NO_SOURCES)
    small = [dataclasses.replace(large, name=f"small{k}", image=np.full((1, 64, 64), k, np.float32)) for k in range(5)]
    field = seams.scene([small[0], large], 512).image
    assert field.shape == (1, 512, 512)
    np.testing.assert_array_equal(field[:, 264:300], field[:, 228:264][:, ::-1])
    mosaic = seams.scene(small, 512).image
    jumps = np.flatnonzero(np.diff(mosaic[0, 60]) != 0) + 1
    assert set(jumps % 64) == {seams.SHIFT}
    assert not set(jumps) & set(seams.borders(512, 16))


@pytest.mark.slow
@needs_microscopy
def test_tiles_leave_no_seam(small_packs: Path, tmp_path: Path) -> None:
    setup = seams.Setup(256, (24, 40))
    words = [f"data={small_packs}", f"output={tmp_path}", "domains=microscopy"]
    assert seams.main(words, setup) == 0
    rows = [line.split("|")[1:-1] for line in (tmp_path / "seams.md").read_text().splitlines() if "microscopy" in line]
    assert [row[2].strip() for row in rows] == ["mean", "std", "sample"]
    for row in rows:
        assert 0.95 < float(row[4]) < 1.05
        assert float(row[5]) < 0.1


@pytest.mark.slow
@needs_microscopy
def test_speed_has_a_row_for_every_method(small_packs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "DRAWS", 2)
    one = speed.subject("microscopy", small_packs)
    assert one.pixels == 64 * 64
    rows = list(speed.rows_of(one, Fitted(small_packs, tmp_path), list(one.item.generators), 1, 1, 0.0))
    methods = [row["method"] for row in rows]
    assert methods == [
        "lmmse",
        "engression mean and std",
        "engression mean, std and 2 samples",
        "gaussian mean and std",
        "gaussian mean, std and 2 samples",
        "engression, one latent search, adam",
        "engression, one latent search, pulse",
    ]
    assert all(float(row["seconds"]) > 0 for row in rows)
    assert all(float(row["s_per_Mpx"]) == pytest.approx(float(row["seconds"]) / 4096 * 1e6) for row in rows)
    assert {row["steps"] for row in rows[-2:]} == {1}


def test_speed_is_written_with_ratios(small_packs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def rows_of(
        one: speed.Timed, fitted: Fitted, names: list[str], threads: int, steps: int
    ) -> list[dict[str, object]]:
        head = {"domain": one.item.name, "threads": threads, "pixels": one.pixels, "s_per_tile": 1.0, "s_per_Mpx": 1.0}
        return [
            {**head, "method": "lmmse", "seconds": 0.5},
            {**head, "method": "flow mean and std", "seconds": 2.0 / threads, "chi2": 1.0},
        ]

    monkeypatch.setattr(speed, "rows_of", rows_of)
    threads = torch.get_num_threads()
    assert speed.run(small_packs, tmp_path, tmp_path) == 0
    assert torch.get_num_threads() == threads
    with (tmp_path / "speed.csv").open(newline="") as stream:
        table = list(csv.DictReader(stream))
    assert [(r["domain"], r["threads"], r["ratio"]) for r in table if r["method"] == "lmmse"] == [
        (name, threads, ratio) for name in ("microscopy", "faces") for threads, ratio in (("1", "0.25"), ("2", "0.5"))
    ]
    assert (tmp_path / "speed.md").read_text().count("\n| ") == 9


@pytest.mark.slow
@needs_faces
def test_faces_by_every_way(
    small_packs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(faces_search, "ANSWERS", 2)
    monkeypatch.setattr(faces_search, "THREADS", 1)
    ways = [w for w in faces_search.ways(2, 1, 1) if not w.generator.startswith("style")]
    absent = Way("nobody", "nobody-faces", 128, faces_search.draws, 1)
    words = [f"data={small_packs}", f"output={tmp_path}", f"gallery={tmp_path}"]
    assert faces_search.main(words, [*ways, absent]) == 0
    assert "nobody-faces not installed" in capsys.readouterr().err
    text = (tmp_path / "faces.md").read_text()
    assert "Left out: nobody-faces is not installed." in text
    cells = [line.split("|")[1:-1] for line in text.splitlines() if line.startswith(("| engression", "| gaussian"))]
    rows = {r[0].strip(): [float(v) for v in r[1:]] for r in cells}
    assert list(rows) == [way.name for way in ways]
    for name, (count, side, seconds, residual, swd, spectrum, diversity) in rows.items():
        assert (count, side) == (1 if "search" in name else 2, 128)
        assert min(seconds, swd, spectrum, diversity) > 0
        assert residual < 0.5 or "search" in name
    assert _size(tmp_path / "faces-16-to-128.jpg") == (4 * 132, 42 + 2 * 132)
