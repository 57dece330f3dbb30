"""Parts of pictures, what is drawn on them, and the columns of texture."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from gensr.benchmarks import cells
from gensr.benchmarks.answers import Answer, How, ask
from gensr.benchmarks.crops import SIDE, Crop, busiest, spread
from gensr.benchmarks.datasets import Case
from gensr.benchmarks.protocol import block_mean
from gensr.benchmarks.scores import distortion, seen, texture
from gensr.benchmarks.sets import FAMILIES, NETWORKS, SETS, family_of
from gensr.priors.weights import available
from gensr.values.grid import Window

NO_SOURCES = np.zeros((0, 4), np.float32)
SET = {item.name: item for item in SETS}


def _case(image: np.ndarray, peak: float = 255.0) -> Case:
    return Case("picture", np.asarray(image, np.float32), peak, "", 1.0, NO_SOURCES)


def _field(rng: np.random.Generator, rows: int, cols: int) -> np.ndarray:
    """Soft discs on a dark ground, 0..255."""
    y, x = np.mgrid[:rows, :cols]
    image = np.full((rows, cols), 20.0)
    for _ in range(rows * cols // 400):
        cy, cx, r = rng.uniform(0, rows), rng.uniform(0, cols), rng.uniform(4, 8)
        image += rng.uniform(40, 90) / (1 + np.exp((np.hypot(y - cy, x - cx) - r) * 1.5))
    return image.clip(0, 255)[None]


def test_the_busiest_square_holds_the_only_object() -> None:
    image = np.zeros((1, 256, 200), np.float32)
    image[:, 150:170, 100:120] = 200.0
    row, col, rows, cols = busiest(image, SIDE)
    assert (rows, cols) == (SIDE, SIDE)
    assert row <= 150 < 170 <= row + SIDE
    assert col <= 100 < 120 <= col + SIDE
    assert row % 8 == col % 8 == 0
    assert busiest(image[:, :SIDE, :SIDE], SIDE) == Window(0, 0, SIDE, SIDE)


def test_crops_are_of_one_size_and_evenly_spread() -> None:
    rng = np.random.default_rng(0)
    cases = [_case(rng.normal(size=(1, *shape))) for shape in [(64, 72)] + [(160, 128)] * 8]
    crops = spread(cases, 3)
    assert [crop.index for crop in crops] == [0, 4, 8]
    assert {crop.window[2:] for crop in crops} == {(64, 64)}
    assert len(spread(cases, 100)) == len(cases)


def test_fine_and_coarse_cuts_show_the_same_part() -> None:
    image = np.random.default_rng(1).normal(size=(2, 64, 96))
    crop = Crop(0, Window(16, 40, 32, 32))
    for factor in (2, 4, 8):
        low = block_mean(image, factor)
        np.testing.assert_allclose(crop.cut_low(low, factor), block_mean(crop.cut(image), factor))
    case = dataclasses.replace(_case(image), sources=np.ones((3, 4), np.float32))
    assert crop.case([case]).image.shape == (2, 32, 32)
    assert crop.case([case]).sources.shape == (0, 4)


def test_texture_is_nought_for_the_truth_and_grows_with_blur() -> None:
    rng = np.random.default_rng(2)
    item = SET["satellite"]
    cases = [_case(rng.normal(100, 20, (1, 64, 64))) for _ in range(3)]
    truth = [case.image.astype(np.float64) for case in cases]
    assert texture(item, cases, truth, 4) == {"swd": 0.0, "spectrum": 0.0}
    half, coarse = (texture(item, cases, [100 + share * (image - 100) for image in truth], 4) for share in (0.5, 0.25))
    assert half["spectrum"] == pytest.approx(6.02, abs=0.05)
    assert coarse["spectrum"] == pytest.approx(12.04, abs=0.05)
    assert 0 < float(half["swd"]) < float(coarse["swd"])


def test_flux_is_scored_stretched() -> None:
    item = SET["astronomy"]
    case = _case(np.abs(np.random.default_rng(3).normal(0, 1, (1, 64, 64))), peak=1.0)
    row = distortion(item, [case], [case.image + 0.01])
    assert 0.5 < float(row["ssim"]) < 1
    assert "galaxies_0.5" not in row, "there is no catalogue"
    assert float(seen(item, np.array([200.0]), 1.0)[0]) == pytest.approx(1)
    assert seen(SET["faces"], np.array([-3.0, 300.0]), 255.0).tolist() == [0, 255]


@pytest.mark.parametrize("generator", [name for name in available() if name.endswith("-microscopy")])
def test_a_window_is_answered_as_in_the_whole_picture(generator: str) -> None:
    item, image = SET["microscopy"], _field(np.random.default_rng(4), 320, 192)
    low, window = block_mean(image, 4), Window(40, 16, 16, 16)
    cut = np.s_[:, 160:224, 64:128]
    for noise in (0.0, 0.01):
        whole = ask(item, low, 4, noise, 255.0, How(generator), 1)
        part = ask(item, low, 4, noise, 255.0, How(generator), 1, window)
        assert part.mean.shape == (1, 64, 64)
        assert float(np.abs(part.mean - whole.mean[cut]).max()) < 1.5
        assert float(np.abs(part.samples[0] - whole.samples[0][cut]).max()) < 6
        assert part.misfits[0]["count"] == 16 * 16
    assert part.misfits[0]["square"] == pytest.approx(part.misfits[0]["chi2"] * 2.55**2, rel=1e-3)


@pytest.mark.parametrize("generator", [name for name in available() if name.endswith("-faces") and "style" not in name])
def test_aligned_pictures_are_answered_whole_and_cut(generator: str) -> None:
    item = SET["faces"]
    low = block_mean(np.repeat(_field(np.random.default_rng(5), 128, 128), 3, 0), 8)
    whole = ask(item, low, 8, 0.0, 255.0, How(generator), 1)
    part = ask(item, low, 8, 0.0, 255.0, How(generator), 1, Window(0, 8, 8, 8))
    np.testing.assert_allclose(part.mean, whole.mean[:, :64, 64:], atol=1e-3)
    np.testing.assert_allclose(part.samples[0], whole.samples[0][:, :64, 64:], atol=1e-3)
    assert part.misfits[0]["square"] < 1


def test_methods_are_named_by_family_and_search() -> None:
    assert How("flow-chest-xray", "fast").method == "flow fast"
    for item in SETS:
        first, second = (family_of(name) for name in item.generators)
        assert first in NETWORKS
        assert second == "gaussian"
        assert item.of(["gaussian"], item.generators) == [item.generators[1]]
        assert item.of(FAMILIES, []) == []


def test_only_some_pictures_have_several_samples(small_packs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng, seeds = np.random.default_rng(6), []

    def answered(item, low, factor, noise, peak, how, samples, window, name):
        seeds.append(how.seed)
        shape = (1, window.rows * factor, window.cols * factor)
        drawn = [100 + rng.normal(size=shape) for _ in range(samples)]
        misfit = {"square": 4.0, "chi2": 2.0, "count": 1.0}
        return Answer(
            np.full(shape, 100.0), np.ones(shape), np.ones((1, 1, 1)), drawn, {}, [misfit] * samples, 0.0, 1.0
        )

    monkeypatch.setattr(cells, "ask", answered)
    monkeypatch.setattr(cells, "MANY_ON", 2)
    cell = cells.Cell(SET["microscopy"], small_packs, 4, 0.01, 3, 3)
    how, ticks = How("engression-field", seed=5), []
    answers = cells.drawn(cell, how, lambda: ticks.append(1))
    assert [len(a.samples) for a in answers] == [8, 1, 8]
    assert (seeds, len(ticks)) == ([5, 6, 7], 3)
    sample, mean = cells.draw_rows(cell, how, answers)
    assert (sample["method"], sample["cases"], sample["chi2"]) == ("engression sample", 3, 2)
    assert sample["consistency_rms_codes"] == 2
    assert (mean["method"], mean["cases"]) == ("engression mean of 8", 2)
    assert abs(float(mean["psnr_over_mean"])) < 0.1
    (only,) = cells.draw_rows(
        cell, How("gaussian-microscopy"), [dataclasses.replace(a, samples=a.samples[:1]) for a in answers]
    )
    assert only["method"] == "gaussian sample"
