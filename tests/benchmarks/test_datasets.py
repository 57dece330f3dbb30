"""Readers, masks, flux arithmetic and scoring, on small packs made here."""

import csv
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gensr.benchmarks import astronomy
from gensr.benchmarks.datasets import DOMAINS, Case, foreground, load, luminance
from gensr.benchmarks.protocol import block_mean, block_sum, mean_squared_error, observe, score


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A microscopy and an astronomy pack of a few pictures."""
    folder = tmp_path / "microscopy"
    folder.mkdir()
    with (
        zipfile.ZipFile(folder / "test.zip", "w") as archive,
        (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as handle,
    ):
        table = csv.writer(handle)
        table.writerow(["file", "split", "acquisition"])
        for i in range(5):
            buffer = BytesIO()
            Image.fromarray(np.full((19, 26), 10 * i, np.uint8)).save(buffer, "PNG")
            archive.writestr(f"m{i}.png", buffer.getvalue())
            table.writerow([f"test.zip/m{i}.png", "test", "look-a"])
    folder = tmp_path / "astronomy"
    folder.mkdir()
    code = np.zeros((3, 64, 64), np.int16)
    code[:, 32, 32] = 20_000
    sources = np.array([[1, 20, 32, 32], [0, 21, 32, 32], [0, 26, 32, 32], [1, 20, 2, 2]], np.float32)
    np.savez(
        folder / "test.npz",
        code=code,
        kind=np.array([0, 3, 4], np.int8),
        source_count=np.array([1, 0, 3], np.int16),
        sources=sources,
    )
    return tmp_path


@pytest.mark.parametrize("domain", DOMAINS)
def test_missing_pack_is_named(domain: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=str(tmp_path / domain.split("_")[0])):
        load(tmp_path, domain, "test")


def test_unknown_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown domain 'radar'"):
        load(tmp_path, "radar", "test")
    with pytest.raises(ValueError, match="unknown split 'dev'"):
        load(tmp_path, "faces", "dev")


def test_grey_pictures_are_cropped_and_keep_their_order(root: Path) -> None:
    cases = load(root, "microscopy", "test")
    assert [case.name for case in cases] == ["m0", "m1", "m2", "m3", "m4"]
    assert cases[3].image.shape == (1, 16, 24)
    assert float(cases[3].image[0, 0, 0]) == 30
    assert (cases[0].peak, cases[0].code, cases[0].group) == (255, 1, "look-a")
    assert [case.name for case in load(root, "microscopy", "test", 3)] == ["m0", "m2", "m4"]
    assert [case.name for case in load(root, "microscopy", "test", 1)] == ["m0"]


def test_fields_keep_their_catalogues(root: Path) -> None:
    cases = load(root, "astronomy", "test")
    assert [len(case.sources) for case in cases] == [1, 0, 3]
    assert [case.group for case in cases] == ["galaxy", "stars", "mixed"]
    assert [case.name for case in load(root, "astronomy", "test", 2)] == ["test0000", "test0001"]
    star = cases[0].image[0]
    assert np.count_nonzero(star) == 1
    doubled = astronomy.photometry([star], [2 * star], [cases[0].sources])
    assert doubled["stars_0.25"] == pytest.approx((100, 0, 1))
    assert doubled["galaxies_0.25"][2] == 0
    counted = astronomy.photometry([star], [star], [cases[2].sources])
    assert (counted["galaxies_0.5"][2], counted["stars_0.5"][2]) == (1, 0), "faint and border sources do not count"


def test_foreground_is_the_nucleus_and_its_rim() -> None:
    image = np.full((1, 40, 40), 10.0) + np.random.default_rng(0).normal(0, 1, (1, 40, 40))
    image[:, 10:20, 12:22] += 80
    core = foreground(image, margin=0)
    assert core.sum() == 100
    assert core[10:20, 12:22].all()
    assert foreground(image)[15, 9]
    assert not foreground(image)[15, 8]
    assert foreground(np.zeros((5, 5))).all()


def test_luminance_keeps_grey() -> None:
    np.testing.assert_allclose(luminance(np.full((3, 2, 2), 7.0)), 7.0)
    assert luminance(np.ones((3, 4, 5))).shape == (1, 4, 5)


def test_camera_noise_has_the_stated_variance() -> None:
    flux = np.full((400, 400), 1.5)
    seen = astronomy.add_noise(flux, np.random.default_rng(1), 16)
    assert float(seen.mean()) == pytest.approx(1.5, abs=1e-3)
    assert float(seen.std()) == pytest.approx(float(astronomy.sigma(1.5, 16)), rel=0.01)


def test_stretch_and_its_inverse() -> None:
    flux = np.array([-0.05, 0.0, 1e-3, 1.0, 200.0])
    np.testing.assert_allclose(astronomy.unstretch(astronomy.stretch(flux)), flux, rtol=1e-10)
    assert float(astronomy.stretch(np.array(200.0))) == pytest.approx(1)


def test_observations_are_seeded_and_in_order() -> None:
    sources = np.zeros((0, 4), np.float32)
    cases = [Case(str(i), np.full((1, 64, 64), 100.0, np.float32), 255.0, "", 1.0, sources) for i in range(3)]
    noisy = observe(cases, 2, 0.01)
    np.testing.assert_array_equal(noisy[0], observe(cases[:1], 2, 0.01)[0])
    assert not np.array_equal(noisy[0], noisy[1])
    assert float(np.std(noisy)) == pytest.approx(2.55, rel=0.05)
    np.testing.assert_array_equal(observe(cases, 4)[0], np.full((1, 16, 16), 100.0))
    np.testing.assert_allclose(observe(cases, 4, flux=True)[0], 1600.0)
    assert float(observe(cases, 4, 1.0, flux=True)[0].std()) == pytest.approx(float(astronomy.sigma(1600.0)), rel=0.2)


def test_blocks_and_scores() -> None:
    image = np.arange(16.0).reshape(1, 4, 4)
    assert block_mean(image, 2).tolist() == [[[2.5, 4.5], [10.5, 12.5]]]
    assert block_sum(image, 2).sum() == image.sum()
    with pytest.raises(ValueError, match="no whole 3 x 3 blocks"):
        block_mean(image, 3)
    mask = np.zeros((4, 4), bool)
    mask[0, 0] = True
    assert mean_squared_error(image, image + np.where(mask, 2, 0), mask) == 4
    assert score([0.0], 1.0).mean == np.inf
