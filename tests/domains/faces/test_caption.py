"""The caption below a picture: in files alone, above it everything is as without."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

import gensr
from gensr.domains.faces import Faces, centre
from gensr.domains.faces.looks import GENERATED, INTERPOLATED, caption_of, strip
from gensr.errors import DomainError, UsageError

BOX = "10,5,16,20"


@pytest.fixture(autouse=True)
def nothing_is_looked_for(monkeypatch):
    monkeypatch.setattr(centre, "installed", lambda: False)


def photo(path: Path, bands: int = 3) -> Path:
    y, x = np.mgrid[:30, :44]
    planes = [120 + 50 * np.sin(x / 6 + k) + 40 * np.cos(y / 5) for k in range(3)]
    codes = np.stack([*planes, 4 * x + y], -1)[..., :bands].astype(np.uint8)
    Image.fromarray(codes if bands > 1 else codes[..., 0]).save(path)
    return path


def read(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def written(path: Path, folder: Path, **words):
    options = {"face": BOX, **words}
    return gensr.upsample(path, factor=4, search="fast", samples=1, domain="faces", output=folder, options=options)


@pytest.mark.parametrize("name", ["a.png", "grey.png", "alpha.png", "a.tif", "a.webp"])
def test_a_caption_lies_below_and_changes_nothing_above(tmp_path, name):
    path = photo(tmp_path / name, {"grey.png": 1, "alpha.png": 4}.get(name, 3))
    plain = written(path, tmp_path / "plain")
    said = written(path, tmp_path / "said", caption=True)
    assert (said.mean == plain.mean).all()
    assert [file.name for file in said.files] == [file.name for file in plain.files]
    for one, two in zip(plain.files, said.files, strict=True):
        if one.suffix != path.suffix or "std" in one.name or "answers" in one.name or "preview" in one.name:
            continue
        above, whole = read(one), read(two)
        assert above.shape[:2] == (120, 176)
        assert (whole[:120] == above).all()
        below = whole[120:]
        words = strip(GENERATED, 176)
        assert below.shape[:2] == words.shape
        colours = below[..., None] if below.ndim == 2 else below[..., :3]
        assert (colours == words[..., None]).all()
        if name == "alpha.png":
            assert (below[..., 3] == 255).all()
    report = json.loads((tmp_path / "said" / f"{path.stem}_x4_generated_report.json").read_text())
    assert report["input"]["caption below the picture"] is True
    assert "caption below the picture" not in plain.report["input"]


def test_16_bits_are_written_white(tmp_path):
    deep_tiff = tmp_path / "a.tif"
    y, x = np.mgrid[:30, :44]
    tifffile.imwrite(deep_tiff, np.stack([900 * y + 300 * x] * 3, -1).astype(np.uint16), photometric="rgb")
    made = tifffile.imread(written(deep_tiff, tmp_path / "out", caption="Simulated").files[0])
    assert made.dtype == np.uint16
    assert (made[120:] == strip("Simulated", 176)[..., None].astype(int) * 257).all()


def test_what_is_interpolated_says_so(tmp_path):
    path = photo(tmp_path / "a.jpg")
    result = gensr.upsample(
        path, factor=4, domain="faces", output=tmp_path / "out", options={"caption": "true", "lossless": True}
    )
    assert "_interpolated" in result.files[0].name
    assert (read(result.files[0])[120:, :, 0] == strip(INTERPOLATED, 176)).all()


def test_words_are_broken_where_the_line_ends():
    short, wide = strip(GENERATED, 100), strip(GENERATED, 2000)
    assert short.shape[1] == 100
    assert wide.shape[0] < short.shape[0] * 3
    for made in (short, strip("W" * 90, 80)):
        assert made.max() > 200
        assert not made[:, -3:].any()  # nothing runs out of the picture
    one, three = strip("a", 80), strip("www " * 8, 80)
    assert three.shape[0] > one.shape[0]
    with pytest.raises(DomainError, match="40 pixels across, a caption needs 64"):
        strip(GENERATED, 40)


def test_captions_that_cannot_be_written_are_refused(tmp_path):
    assert caption_of("Tom\xe9") == "Tom\xe9"
    for bad in ("", "x" * 201, "two\nlines", "\u5b57", 7):
        with pytest.raises(UsageError, match="caption="):
            caption_of(bad)
    path = photo(tmp_path / "a.png")
    with pytest.raises(UsageError, match="caption=True: labels are repeated"):
        gensr.upsample(
            path, factor=2, labels="nearest", domain="faces", output=tmp_path / "out", options={"caption": True}
        )
    tiny = tmp_path / "tiny.png"
    Image.fromarray(np.full((20, 12, 3), 90, np.uint8)).save(tiny)
    with pytest.raises(DomainError, match="24 pixels across"):
        Faces().open(tiny, {"caption": "Simulated"}).operator((2, 2))
