"""Reading: planes, windows, physical sizes, ranges, masks."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile

from gensr.domains.microscopy import Microscopy
from gensr.errors import DomainError, FormatError, UsageError
from gensr.values.grid import Window

DOMAIN = Microscopy()


def planes_of(path: Path) -> np.ndarray:
    """All planes (n, y, x) in the order of the file, through tifffile; colour samples count fastest."""
    with tifffile.TiffFile(path) as tif:
        series = tif.series[0]
        data, axes = series.asarray(), series.axes
    if axes.endswith("YXS"):
        data = np.moveaxis(data, -1, -3)
    return data.reshape(-1, *data.shape[-2:])


def test_windows_hold_the_codes_of_every_plane(kind: SimpleNamespace) -> None:
    truth = planes_of(kind.path)
    scene = DOMAIN.open(kind.path, {})
    rows, cols = scene.grid.shape
    assert (scene.planes, rows, cols) == truth.shape
    for window in (Window(0, 0, rows, cols), Window(5, 3, 9, 11), Window(rows - 1, cols - 1, 1, 1)):
        cut = np.s_[window.row : window.row + window.rows, window.col : window.col + window.cols]
        for plane in range(scene.planes):
            image = scene.read(plane, window)
            np.testing.assert_array_equal(image.values[0], truth[plane][cut])
            np.testing.assert_array_equal(image.valid[0], np.isfinite(truth[plane][cut]))
    scene.close()


def test_encode_undoes_read(kind: SimpleNamespace) -> None:
    scene = DOMAIN.open(kind.path, {})
    rows, cols = scene.grid.shape
    truth = planes_of(kind.path)
    for plane in range(scene.planes):
        image = scene.read(plane, Window(0, 0, rows, cols))
        codes, moved = scene.encode(plane, image.values, image.valid)
        assert (codes.dtype, moved) == (scene.dtype, 0)
        np.testing.assert_array_equal(codes[0], truth[plane])
    scene.close()


@pytest.mark.parametrize(
    ("kind_name", "size", "z", "interval"),
    [
        ("M1 bigtiff", (0.5, 0.25), None, None),
        ("M3 shifted", (0.065, 0.065), None, 2.5),
        ("M4 stack", (0.1, 0.1), 0.3, None),
        ("M5 hyperstack", (0.2, 0.25), 0.5, None),
        ("M7 composite", (0.5, 0.5), None, None),
        ("M9 movie", (1 / 3.3, 1 / 3.3), None, 60.0),
        ("M13 nanometres", (0.004, 0.004), None, None),
        ("M14 no spacing", (0.125, 0.125), None, None),
        ("M10 saturated", (0.25, 0.25), None, None),
        ("pages", (25400 / 150, 25400 / 300), None, None),
    ],
)
def test_physical_sizes(
    make, kind_name: str, size: tuple[float, float], z: float | None, interval: float | None
) -> None:
    scene = DOMAIN.open(make(kind_name), {})
    facts = scene.metadata()
    assert scene.grid.frame == "um"
    assert scene.grid.pixel_size == pytest.approx(size, rel=1e-6)
    assert facts["z_step_um"] == (None if z is None else pytest.approx(z, rel=1e-9))
    assert facts["frame_interval_s"] == interval
    json.dumps(facts, allow_nan=False)
    scene.close()


@pytest.mark.parametrize("kind_name", ["M11 offset", "planar", "double", "M12 rgb48"])
def test_no_pixel_size_is_invented(make, kind_name: str) -> None:
    scene = DOMAIN.open(make(kind_name), {})
    assert (scene.grid.frame, scene.grid.pixel_size, scene.metadata()["pixel_size_um"]) == ("pixel", (1.0, 1.0), None)
    scene.close()


@pytest.mark.parametrize(
    ("kind_name", "low", "high", "step"),
    [
        ("M3 shifted", 0, 65520, 16),
        ("M10 saturated", 0, 4095, 1),
        ("M11 offset", 32768, 36863, 1),
        ("M1 bigtiff", 0, 65535, 1),
        ("pages", -32768, 32767, 1),
    ],
)
def test_code_ranges(make, kind_name: str, low: int, high: int, step: int) -> None:
    scene = DOMAIN.open(make(kind_name), {})
    facts = scene.metadata()
    assert (facts["code_range"], facts["code_step"], scene.quantum) == ([low, high], step, step)
    values = np.array([[[low - 999.0, high + 999.0, low + 2.4 * step]]], np.float32)
    codes, clipped = scene.encode(0, values, np.ones(values.shape, bool))
    assert codes.ravel().tolist() == [low, high, low + 2 * step]
    assert clipped == 2
    scene.close()


def test_integers_are_rounded_half_to_even(make) -> None:
    scene = DOMAIN.open(make("M1 bigtiff"), {})
    codes, _ = scene.encode(0, np.array([[[0.5, 1.5, 2.5, 3.5]]], np.float32), np.ones((1, 1, 4), bool))
    assert codes.ravel().tolist() == [0, 2, 2, 4]
    scene.close()


def test_saturated_pixels_are_valid_but_not_usable(make) -> None:
    path = make("M10 saturated")
    scene = DOMAIN.open(path, {})
    image = scene.read(0, Window(0, 0, 64, 64))
    np.testing.assert_array_equal(~image.usable[0], planes_of(path)[0] == 4095)
    assert image.valid.all()
    assert scene.metadata()["saturation_code"] == {"C0": 4095}
    scene.close()


def test_a_few_full_scale_pixels_are_no_saturation(tmp_path: Path) -> None:
    data = np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8)
    data[0, :4] = 255
    tifffile.imwrite(tmp_path / "a.tif", data)
    scene = DOMAIN.open(tmp_path / "a.tif", {})
    assert scene.read(0, Window(0, 0, 64, 64)).usable.all()
    scene.close()


@pytest.mark.parametrize("dtype", [np.uint64, np.complex64])
def test_types_that_float32_cannot_hold_are_refused(tmp_path: Path, dtype: type) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.ones((20, 20), dtype))
    with pytest.raises(DomainError, match=np.dtype(dtype).name):
        DOMAIN.open(tmp_path / "a.tif", {})


def test_options_are_checked(make) -> None:
    path = make("M1 bigtiff")
    with pytest.raises(UsageError, match="no option sereis; known: bands, series"):
        DOMAIN.open(path, {"sereis": 1})
    with pytest.raises(UsageError, match="container='maybe'"):
        DOMAIN.open(path, {"container": "maybe"})
    with pytest.raises(UsageError, match="series=4 does not exist"):
        DOMAIN.open(path, {"series": 4})
    with pytest.raises(UsageError, match="not a number"):
        DOMAIN.open(path, {"series": "first"})


def test_several_images_need_a_choice(tmp_path: Path, upscale) -> None:
    path = tmp_path / "two.ome.tif"
    rng = np.random.default_rng(3)
    data = [rng.integers(0, 60000, shape, dtype=np.uint16) for shape in ((20, 24), (3, 16, 12))]
    with tifffile.TiffWriter(path, ome=True) as tif:
        tif.write(data[0], metadata={"axes": "YX", "Name": "overview"}, photometric="minisblack")
        tif.write(data[1], metadata={"axes": "ZYX", "Name": "detail"}, photometric="minisblack")
    with pytest.raises(FormatError, match=r"holds 2 images .*series=0, 1"):
        DOMAIN.open(path, {})
    scene = DOMAIN.open(path, {"series": "1"})
    assert scene.planes == 3
    assert scene.metadata()["not_carried"] == ["1 other images of the file"]
    scene.close()
    with tifffile.TiffFile(upscale(path, 2, series=1)["mean"]) as tif:
        assert [s.name for s in tif.series] == ["detail"]
        np.testing.assert_array_equal(tif.asarray(), data[1].repeat(2, 1).repeat(2, 2))


def test_sniff(make, tmp_path: Path) -> None:
    assert DOMAIN.sniff(make("M1 bigtiff")) == 3
    assert DOMAIN.sniff(make("M5 hyperstack")) == 3
    assert DOMAIN.sniff(make("planar")) == 2
    geo = tmp_path / "geo.tif"
    tifffile.imwrite(geo, np.ones((9, 9)), extratags=[(33550, 12, 3, (1.0, 1.0, 0.0), True)], metadata=None)
    text = tmp_path / "text.tif"
    text.write_text("not a TIFF")
    assert [DOMAIN.sniff(p) for p in (geo, text, tmp_path, tmp_path / "none")] == [0, 0, 0, 0]
    with pytest.raises(FormatError, match=r"georeferenced.*domain=satellite"):
        DOMAIN.open(geo, {})


def test_real_samples_report_the_published_facts(sample: Path) -> None:
    published = json.loads((sample.parents[1] / "facts.json").read_text())["samples"]
    wanted = next(s for s in published if s["file"] == f"microscopy/{sample.name}")
    scene = DOMAIN.open(sample, {})
    facts = scene.metadata()
    assert (facts["axes"], facts["shape"], facts["dtype"]) == (wanted["axes"], wanted["shape"], wanted["dtype"])
    assert (facts["byte_order"], facts["bigtiff"]) == (wanted["byte_order"], wanted["bigtiff"])
    size = wanted.get("physical_size_x")
    assert facts["pixel_size_um"] == (None if size is None else [size, wanted["physical_size_y"]])
    if "channel_names" in wanted:
        assert facts["channels"] == wanted["channel_names"]
        assert facts["saturation_code"] == {"AF568": 16383}
    rows, cols = scene.grid.shape
    blocks = [scene.read(p, Window(0, 0, rows, cols)).values for p in range(scene.planes)]
    assert [min(b.min() for b in blocks), max(b.max() for b in blocks)] == [wanted["value_min"], wanted["value_max"]]
    assert np.mean(blocks, dtype=np.float64) == pytest.approx(wanted["mean"], rel=1e-9)
    scene.close()
