"""Real files: what the reader reports against published facts, and what the writer leaves against rasterio alone."""

from __future__ import annotations

import hashlib
import json
import math
import os
import warnings
from pathlib import Path

import numpy as np
import pytest

rasterio = pytest.importorskip("rasterio")
from rasterio.transform import GCPTransformer, RPCTransformer  # noqa: E402

from gensr.values.grid import Window  # noqa: E402


def _samples() -> Path | None:
    if given := os.environ.get("GENSR_SHARED"):
        return Path(given) / "samples"
    for parent in Path(__file__).resolve().parents:
        for place in (parent, parent.parent):
            if (place / "shared" / "samples" / "satellite" / "facts.json").is_file():
                return place / "shared" / "samples"
    return None


SAMPLES = _samples()
FACTS = json.loads((SAMPLES / "satellite" / "facts.json").read_text())["samples"] if SAMPLES else []
BY_NAME = {Path(f["file"]).name: f for f in FACTS}
NAMES = sorted(BY_NAME) or [pytest.param("none", marks=pytest.mark.skip(reason="shared/samples is not here"))]
SMALL = [n for n in NAMES if isinstance(n, str) and BY_NAME[n]["width"] * BY_NAME[n]["height"] < 150_000] or NAMES


def _open(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        return rasterio.open(path)


def _corners(dataset):
    t, w, h = dataset.transform, dataset.width, dataset.height
    return np.array([(t.a * x + t.b * y + t.c, t.d * x + t.e * y + t.f) for x, y in ((0, 0), (w, 0), (w, h), (0, h))])


def _validity(dataset, bands):
    """Mask AND not nodata AND finite, from rasterio alone."""
    codes = dataset.read(bands)
    valid = dataset.read_masks(bands) != 0
    if dataset.nodata is not None and not math.isnan(dataset.nodata):
        valid &= codes != codes.dtype.type(dataset.nodata)
    if codes.dtype.kind == "f":
        valid &= np.isfinite(codes)
    return codes, valid


def test_the_samples_are_the_ones_described():
    if not FACTS:
        pytest.skip("shared/samples is not here")
    assert len(FACTS) == 17


@pytest.mark.parametrize("name", NAMES)
def test_reader_reports_the_published_facts(domain, name):
    facts = BY_NAME[name]
    path = SAMPLES / facts["file"]
    scene = domain.open(path, {})
    alpha = [i for i, c in enumerate(facts["colorinterp"]) if c == "alpha"]
    data = [i for i in range(facts["count"]) if i not in alpha]
    assert scene.grid.shape == (facts["height"], facts["width"])
    assert len(scene.bands) == len(data)
    assert str(scene.dtype) == facts["dtypes"][0]
    assert tuple(scene.grid.transform) == tuple(facts["transform"])
    assert len(scene.georeference.gcps) == facts["gcps"]
    assert (scene.georeference.rpcs is not None) == facts["rpcs"]
    image = scene.read(0, Window(0, 0, *scene.grid.shape))
    for k, band in enumerate(data):
        stats = facts["band_stats"][band]
        good = image.values[k][image.valid[k]]
        assert good.size == stats["valid_finite"]
        if good.size:
            scale, offset = facts["scales"][band], facts["offsets"][band]
            assert good.min() == pytest.approx(stats["min"] * scale + offset, rel=1e-6)
            assert good.max() == pytest.approx(stats["max"] * scale + offset, rel=1e-6)
    if not alpha and facts["scales"] == [1.0] * facts["count"] and not any(facts["offsets"]):
        stored = image.values.astype(np.dtype(facts["dtypes"][0]).newbyteorder("<"))
        assert hashlib.sha256(stored.tobytes()).hexdigest() == facts["pixel_sha256"]
    json.dumps(scene.metadata(), allow_nan=False)
    scene.close()


@pytest.mark.parametrize("name", NAMES)
def test_output_of_factor_two(run, name):
    _check_output(run, name, 2)


@pytest.mark.parametrize("name", SMALL)
def test_output_of_an_odd_factor(run, name):
    _check_output(run, name, 3)


def _check_output(run, name, s):
    facts = BY_NAME[name]
    _, (mean, std, sample) = run(SAMPLES / facts["file"], s)
    with _open(SAMPLES / facts["file"]) as source, _open(mean) as target, _open(std) as deviation:
        _check_geometry(source, target, s)
        _check_geometry(source, deviation, s)
        _check_bands(source, target)
        _check_tags(source, target, s)
        _check_pixels(source, target, deviation, s)
        assert target.driver == "GTiff"
        assert target.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
    with _open(sample) as target, _open(mean) as same:
        assert target.tags()["GENSR_CONTENT"] == "posterior sample 1"
        assert np.array_equal(target.read(), same.read(), equal_nan=same.dtypes[0].startswith("float"))


def _check_geometry(source, target, s):
    assert (target.height, target.width) == (source.height * s, source.width * s)
    assert target.crs == source.crs
    assert (target.crs.to_wkt() if target.crs else "") == (source.crs.to_wkt() if source.crs else "")
    if source.gcps[0]:
        assert target.gcps[1] == source.gcps[1]
        for new, old in zip(target.gcps[0], source.gcps[0], strict=True):
            assert (new.row, new.col) == pytest.approx((s * old.row, s * old.col), abs=1e-6)
            assert (new.x, new.y, new.z) == (old.x, old.y, old.z)
        with GCPTransformer(source.gcps[0]) as coarse, GCPTransformer(target.gcps[0]) as fine:
            _same_ground(coarse, fine, source, s)
    elif source.rpcs:
        with RPCTransformer(source.rpcs) as coarse, RPCTransformer(target.rpcs) as fine:
            _same_ground(coarse, fine, source, s)
    elif not source.transform.is_identity:
        extent = np.ptp(_corners(source), axis=0).max()
        assert np.abs(_corners(target) - _corners(source)).max() <= 1e-9 * extent
        t, u = source.transform, target.transform
        assert (u.a * s, u.b * s, u.d * s, u.e * s) == pytest.approx((t.a, t.b, t.d, t.e), rel=1e-12)
    else:
        assert target.transform.is_identity
    if source.gcps[0]:
        assert target.tags()["AREA_OR_POINT"] == "Area"
    elif source.driver == "GTiff" and not source.rpcs:
        assert target.tags()["AREA_OR_POINT"] == source.tags()["AREA_OR_POINT"]


def _same_ground(coarse, fine, source, s):
    """50 places of the image, sent to the ground by the source and back by the output."""
    rng = np.random.default_rng(0)
    rows, cols = rng.uniform(0, source.height, 50), rng.uniform(0, source.width, 50)
    height = np.full(50, source.rpcs.height_off if source.rpcs else 0.0)
    x, y = coarse.xy(rows, cols, height, offset="ul")
    back = [np.array(t.rowcol(x, y, height, op=lambda v: v)) for t in (coarse, fine)]
    assert np.abs(back[1] - s * back[0]).max() < 1e-6 * s


def _check_bands(source, target):
    assert target.count == source.count
    assert target.dtypes == source.dtypes
    assert target.colorinterp == source.colorinterp
    assert target.descriptions == source.descriptions
    assert target.units == source.units
    assert target.scales == source.scales
    assert target.offsets == source.offsets
    assert [np.float64(n) for n in target.nodatavals if n is not None] == pytest.approx(
        [np.float64(n) for n in source.nodatavals if n is not None], nan_ok=True
    )
    assert target.mask_flag_enums == source.mask_flag_enums
    assert target.overviews(1) == [2**k for k in range(1, 20) if max(target.shape) > 512 * 2 ** (k - 1)]


def _check_tags(source, target, s):
    new, old = target.tags(), source.tags()
    assert "Contains generated detail" in new["GENSR_GENERATED"]
    assert "Contains generated detail" in new["GENSR_PROVENANCE"]
    assert json.loads(new["GENSR_REPORT"])["generator"]["name"] == "nearest"
    assert new["TIFFTAG_SOFTWARE"].startswith("gensr ")
    false = {k for tags in (new, target.tags(1)) for k in tags if k.startswith("STATISTICS_") or "RESAMPLING" in k}
    assert false <= {"OVERVIEW_RESAMPLING"}  # said by the COG driver of its own overviews
    for key, value in old.items():
        if key in ("TIFFTAG_XRESOLUTION", "TIFFTAG_YRESOLUTION"):
            assert float(new[key]) == pytest.approx(s * float(value))
        elif key == "TIFFTAG_SOFTWARE":
            assert new["GENSR_SOURCE_SOFTWARE"] == value
        elif "RESAMPLING" not in key and key != "AREA_OR_POINT":
            assert new[key] == value


def _check_pixels(source, target, deviation, s):
    alpha = [c.name for c in source.colorinterp].index("alpha") + 1 if "alpha" in str(source.colorinterp) else None
    bands = [i for i in source.indexes if i != alpha]
    codes, valid = (np.repeat(np.repeat(a, s, 1), s, 2) for a in _validity(source, bands))
    new_codes, new_valid = _validity(target, bands)
    assert np.array_equal(new_valid, valid)
    assert np.array_equal(new_codes[valid], codes[valid])
    if alpha:
        assert np.array_equal(target.read(alpha), np.repeat(np.repeat(source.read(alpha), s, 0), s, 1))
    assert deviation.count == len(bands)
    assert set(deviation.dtypes) == {"float64" if source.dtypes[0] == "float64" or max(source.offsets) else "float32"}
    assert math.isnan(deviation.nodata)
    assert all(d.startswith("std of ") for d in deviation.descriptions)
    assert deviation.scales == (1.0,) * len(bands)
    spread = deviation.read()
    assert (spread[valid] == 0.5).all()
    assert np.isnan(spread[~valid]).all()


def test_an_undeclared_fill_can_be_named(run):
    if not SAMPLES:
        pytest.skip("shared/samples is not here")
    path = SAMPLES / "satellite" / "landsat8_cog_antimeridian.tif"
    from gensr.domains.satellite import Satellite

    scene = Satellite().open(path, {"nodata": 1})
    image = scene.read(0, Window(0, 0, 600, 600))
    with rasterio.open(path) as source:
        assert np.array_equal(image.valid[0], source.read(1, window=((0, 600), (0, 600))) != 1)
    assert scene.carried.nodata == 1
    scene.close()
