"""The report of a finished store: sums, shares and warnings by hand."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from gensr.operators import Area
from gensr.pipeline.contrast import Contrast
from gensr.pipeline.report import build, identity, merged, timeless
from gensr.scenes.arrays import ArrayScene
from gensr.scenes.product import ThroughPlane
from gensr.values.area import WHOLE


class Kept:
    """A store that remembers statistics alone."""

    def __init__(self, parts):
        self.done = parts

    def statistics(self, prefix):
        return [entry for part, entry in self.done.items() if part.startswith(prefix)]


def tile(**changes):
    return {"count": 10, "square": 40.0, "chi2": 12.0, "largest": 3.0, "observed": 100.0, "explained": 99.0,
            "clipped": 2, "valid": 30, **changes}  # fmt: skip


TWO = {"tile 0": tile(), "tile 1": tile(count=6, square=24.0, chi2=20.0, largest=5.0, clipped=1, valid=33)}


@pytest.fixture
def settled(make_task):
    def make(through=None, contrast=None, domain="array", quantum=4.0, **changes):
        scene = ArrayScene(np.zeros((6, 2, 4, 5), np.uint16))
        scene.unit, scene.quantum = "counts", quantum
        task = make_task(gain=(1.0, 1.0), offset=(0.0, 0.0), **changes)
        warnings = [] if domain == "array" else ["said before"]
        return SimpleNamespace(
            scene=scene, task=task, domain=domain, through_plane=through, slices=through.factor if through else 1,
            request=SimpleNamespace(factor=2, area=WHOLE), warnings=warnings, calibration="card",
            moved=None,
            level=SimpleNamespace(source="given", contrast=contrast),
        )  # fmt: skip

    return make


def test_sums_over_tiles(settled):
    report = build(settled(), Kept({**TWO, "codes mean 0": {"clipped": 50}}), 2.0)
    assert report["consistency"] == {
        "rms": 2.0,  # sqrt(64 / 16)
        "largest": 5.0,
        "rms in codes": 0.5,
        "chi2 per datum": 2.0,
        "sum of data": 200.0,
        "sum of explained data": 198.0,
        "data": 16,
    }
    assert report["output"] == {
        "rows": 8,
        "cols": 10,
        "planes": 6,
        "bands": ["1", "2"],
        "unit": "counts",
        "dtype": "uint16",
        "invalid pixels": 6 * 2 * 8 * 10 - 63,
        "clipped or moved values": 3,
    }
    assert report["seconds"] == 2.0
    assert report["megapixels per second"] == round(960 / 1e6 / 2, 4)
    assert report["input"]["name"] == "array"
    assert report["input"]["domain"] == "array"
    assert report["warnings"] == []
    assert report["latent search"] is None
    assert report["contrast"] is None


def test_the_clip_count_of_the_second_pass_replaces_the_first(settled):
    through = ThroughPlane(slices=3, factor=4)
    store = Kept({**TWO, "codes mean 0": {"clipped": 50}, "codes sample0 0": {"clipped": 0}, "slab mean 0 0 0": {}})
    report = build(settled(through), store, 2.0)
    assert report["output"]["clipped or moved values"] == 50
    assert report["output"]["planes"] == 24
    assert report["output"]["invalid pixels"] == (6 * 2 * 8 * 10 - 63) * 4
    assert report["through_plane"] == {"slices": 3, "factor": 4, "generator": "white"}


def test_no_usable_pixel_is_warned_of(settled):
    report = build(settled(), Kept({"tile 0": tile(count=0, square=0.0, chi2=0.0, largest=0.0)}), 0.0)
    assert report["consistency"]["rms"] == 0.0
    assert report["consistency"]["chi2 per datum"] is None
    assert report["warnings"] == ["no usable pixel in the input: the output is invalid everywhere"]
    assert report["megapixels per second"] is None


@pytest.mark.parametrize(("chi2", "warned"), [(32.0, False), (32.1, True), (144.0, True)])
def test_data_that_are_not_explained_are_warned_of(settled, chi2, warned):
    report = build(settled(domain="faces"), Kept({"tile 0": tile(count=16, chi2=chi2)}), 1.0)
    assert report["warnings"][0] == "said before"
    assert len(report["warnings"]) == 1 + warned
    if chi2 == 144.0:
        assert "explained to 3.0 deviations of the noise only (chi2 per datum 9)" in report["warnings"][1]


def test_exact_data_have_no_chi_square(settled):
    report = build(settled(exact=True), Kept({"tile 0": tile(chi2=1e9)}), 1.0)
    assert report["consistency"]["chi2 per datum"] is None
    assert report["warnings"] == []


def test_floating_point_files_have_no_codes(settled):
    assert build(settled(quantum=0.0), Kept(TWO), 1.0)["consistency"]["rms in codes"] is None


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ([(2.0, -1.0)], {"gain": 2.0, "evidence": -1.0}),
        ([(1.0, -1.0)] * 2, {"gain": 1.0, "evidence": -1.0}),
        ([(1.0, -1.0), (1.0, -2.0)], {"gain": 1.0, "evidence": [-1.0, -2.0]}),
    ],
)
def test_what_the_evidence_said(settled, found, said):
    contrast = tuple(Contrast(*numbers) for numbers in found)
    assert build(settled(contrast=contrast), Kept(TWO), 1.0)["contrast"] == said


def test_bands_of_which_nothing_is_known_agree(settled):
    contrast = (Contrast(1.0, float("nan")),) * 2
    assert np.isnan(build(settled(contrast=contrast), Kept(TWO), 1.0)["contrast"]["evidence"])


def searched(**changes):
    return {"solver": "adam", "candidates": 4, "verdicts": {"done": 3, "steps": 1}, "best chi2 per datum": 0.9,
            "worst chi2 per datum": 1.5, "most steps": 30, "seconds": 0.2501, **changes}  # fmt: skip


def test_searches_of_tiles_are_put_together(settled):
    second = searched(candidates=2, verdicts={"done": 2}, seconds=0.5,
                      **{"best chi2 per datum": 0.8, "worst chi2 per datum": 1.1, "most steps": 40})  # fmt: skip
    expected = {
        "solver": "adam",
        "candidates": 6,
        "verdicts": {"done": 5, "steps": 1},
        "best chi2 per datum": 0.8,
        "worst chi2 per datum": 1.5,
        "most steps": 40,
        "seconds": 0.75,
    }
    assert merged([searched(), second]) == expected
    assert merged([]) is None
    parts = {"tile 0": tile(search=searched()), "tile 1": tile(search=None), "tile 2": tile(search=second)}
    assert build(settled(), Kept(parts), 1.0)["latent search"] == expected


def test_headers_hold_nothing_that_the_clock_said(settled):
    """Two equal runs of another speed make equal files; the report beside them keeps the times."""
    slow, quick = (build(settled(), Kept({"tile 0": tile(search=searched(seconds=s))}), s) for s in (3.0, 0.5))
    assert slow != quick
    assert timeless(slow) == timeless(quick)
    assert timeless(slow)["latent search"]["most steps"] == 30
    assert timeless(build(settled(), Kept(TWO), 1.0))["latent search"] is None
    assert slow["seconds"] == 3.0


def test_the_identity_is_what_decides_the_numbers(settled):
    plan = settled(conformal=(1.5, 1.5), seed=3, samples=2, operator=Area(2, total=True))
    said = identity(plan)
    assert said["std scale"] == 1.5
    assert (said["seed"], said["samples"], said["factor"]) == (3, 2, 2)
    assert said["generator"]["sha256"] == ""
    assert (said["generator"]["name"], said["generator"]["domain"]) == ("white", "microscopy")
    assert said["operator"]["gain"] == 4.0
    assert said["noise"] == {"model": "gaussian", "sigma": 0.05, "source": "given", "exact": False}
    assert said["search"]["mean and std"] == said["search"]["samples"] == "of the generator itself"
    assert said["search"]["preset"] == "balanced"
    assert said["search"]["numbers"]["draws"] == 8
    assert said["through_plane"] is None
    task = replace(
        plan.task, conformal=(1.0, 2.0), prior=replace(plan.task.prior, reference=SimpleNamespace(digest="d"))
    )
    plan.task = task
    assert identity(plan)["std scale"] == [1.0, 2.0]
    assert identity(plan)["generator"]["sha256"] == "d"
