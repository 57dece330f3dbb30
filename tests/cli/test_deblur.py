"""``gensr deblur``: its words become those of upsample; files of every domain come out sharper, on their own grid."""

import json

import numpy as np
import pytest
import rasterio
import tifffile
import torch
import yaml
from astropy.io import fits
from PIL import Image

from gensr.operators import Defocus, GaussianPSF, Layered, MeasuredPSF, Motion

QUICK = ("samples=0", "search=fast")


def picture(side=48, seed=0):
    """Discs and bars of many grey levels, 0 to 200."""
    draw = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    out = np.full((side, side), 60.0)
    for _ in range(14):
        row, col, radius = draw.uniform(0, side), draw.uniform(0, side), draw.uniform(2, 9)
        out[np.hypot(y - row, x - col) < radius] = draw.uniform(0, 200)
    return out


def blurred(x, operator, sigma=1.0):
    noise = np.random.default_rng(1).normal(0, sigma, x.shape)
    return operator.forward(torch.from_numpy(x)).numpy() + noise


def error(a, b):
    return float(np.sqrt(np.mean((np.asarray(a, float) - b) ** 2)))


def test_words_become_those_of_upsample(run, tmp_path):
    said = run("deblur", tmp_path / "a.tif", "blur=motion:9,30", "noise=2", "seed=3", "--cfg", "job")
    assert said.code == 0
    keys = yaml.safe_load(said.out)
    assert (str(keys["factor"]), keys["operator"], keys["noise"], keys["seed"]) == ("1", "motion:9,30", "2", 3)
    np.save(tmp_path / "k.npy", np.eye(3))
    said = run("deblur", tmp_path / "a.tif", f"kernel={tmp_path / 'k.npy'}", "--cfg", "job")
    assert yaml.safe_load(said.out)["operator"] == f"psf:file={tmp_path / 'k.npy'}"


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (["factor=2", "blur=gaussian:1"], "factor= is for gensr upsample; deblur keeps the pixels"),
        (["operator=area"], "operator= is for gensr upsample"),
        (["blr=gaussian:1"], "unknown key 'blr'; did you mean 'blur'"),
        (["blur=motion:9"], "blur=motion:9: expected gaussian:SIGMA"),
        (["blur=lens:9"], "blur=lens:9: expected gaussian:SIGMA"),
        (["blur=gaussian:x"], "'x' is not a number"),
        (["blur=defocus:-2"], "radius=-2.0 is not above 0"),
        (["blur=gaussian:1", "kernel=k.npy"], "all say what the blur was; give one of them"),
        (["blur=gaussian:1", "motion=uniform"], "blur=gaussian:1 and motion=uniform all say what the blur was"),
        (["blur=gaussian:1", "mask=m.png"], "mask=m.png is for motion that is found in the data"),
        (["motion=uniform", "mask=m.png"], "motion=uniform does not look at them"),
        (["motion=humane"], "motion=humane: expected auto, none, uniform or human"),
        (["kernel=nowhere.png"], "nowhere.png: no such file"),
    ],
)
def test_what_makes_no_sense_is_one_line(run, tmp_path, words, advice):
    tifffile.imwrite(tmp_path / "a.tif", picture().astype(np.uint8), photometric="minisblack")
    said = run("deblur", tmp_path / "a.tif", *words)
    assert (said.code, len(said.lines)) == (2, 1)
    assert advice in said.err
    assert [p.name for p in tmp_path.iterdir()] == ["a.tif"]


@pytest.mark.parametrize(
    ("word", "advice"), [("motion=human", "give mask=FILE"), ("mask=nobody.png", "nobody.png: no such file")]
)
def test_people_that_nobody_shows_are_one_line(run, tmp_path, word, advice):
    tifffile.imwrite(
        tmp_path / "a.tif", blurred(picture(), GaussianPSF(1, 1.0), 3.0).astype(np.uint8), photometric="minisblack"
    )
    said = run("deblur", tmp_path / "a.tif", word)
    assert said.code != 0
    assert len(said.lines) == 1
    assert advice in said.err


def test_no_input_is_refused_by_the_name_of_the_command(run):
    said = run("deblur", "blur=gaussian:1")
    assert said.code == 2
    assert "write gensr deblur INPUT..." in said.err


def test_a_photograph_of_any_shape(run, tmp_path):
    x = np.stack([picture(seed=s)[:40] for s in (0, 1, 2)], -1)
    y = np.stack([blurred(x[..., c], Motion(1, 7.0, 20.0)) for c in range(3)], -1)
    given = y.round().clip(0, 255).astype(np.uint8)
    Image.fromarray(given).save(tmp_path / "a.png", dpi=(200, 200))
    said = run("deblur", tmp_path / "a.png", "blur=motion:7,20", *QUICK)
    assert said.code == 0, said.err
    with Image.open(tmp_path / "a_deblurred_generated.png") as after:
        assert (after.size, after.mode) == ((48, 40), "RGB")
        assert after.info["dpi"] == pytest.approx((200, 200), abs=0.1)
        assert "deblurred by gensr" in " ".join(str(v) for v in after.info.values())
        assert error(np.asarray(after), x) < 0.65 * error(given, x)
    report = json.loads((tmp_path / "a_deblurred_generated_report.json").read_text())
    assert report["operator"]["name"] == "motion"
    assert 0.5 < report["consistency"]["chi2 per datum"] < 1.5
    again = yaml.safe_load((tmp_path / "a_deblurred_generated_run.yaml").read_text())
    assert (again["factor"], again["operator"]) == (1, "motion:7,20")


def test_a_micrograph_keeps_its_grid_and_says_how_sure_it_is(run, tmp_path):
    x = picture()
    y = blurred(x, Defocus(1, 2.0))
    tifffile.imwrite(tmp_path / "a.ome.tif", y.astype(np.float32), metadata={"axes": "YX", "PhysicalSizeX": 0.5})
    said = run("deblur", tmp_path / "a.ome.tif", "blur=defocus:2", "noise=1", *QUICK)
    assert said.code == 0, said.err
    with tifffile.TiffFile(tmp_path / "a_deblurred_generated.ome.tif") as after:
        mean = after.asarray()
        assert 'PhysicalSizeX="0.5"' in after.ome_metadata
    std = tifffile.imread(tmp_path / "a_deblurred_generated_std.ome.tif")
    assert error(mean, x) < 0.7 * error(y, x)
    assert 0.5 < np.sqrt((std**2).mean()) / error(mean, x) < 2.0


def leaves(seed, side=200):
    """Discs of all sizes that cover each other."""
    draw = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    out = np.full((side, side), 120.0)
    for _ in range(1500):
        row, col = draw.uniform(-9, side + 9, 2)
        out[np.hypot(y - row, x - col) < 2 / draw.uniform(0.02, 1) ** 0.6] = draw.uniform(20, 230)
    return out


def moved(tmp_path, ahead, behind):
    """A person over a background, each blurred by its own motion, as a PNG with its mask, and the sharp picture."""
    y, x = np.mgrid[:200, :200]
    share = (np.hypot((y - 105) / 56, (x - 80) / 48) < 1).astype(float)
    layers = Layered(behind, [(share, ahead)])
    person, back = torch.from_numpy(leaves(1)), torch.from_numpy(leaves(2))
    seen = layers.over(back, [person]).numpy() + np.random.default_rng(0).normal(0, 2.5, (200, 200))
    Image.fromarray(seen.round().clip(0, 255).astype(np.uint8)).save(tmp_path / "a.png")
    Image.fromarray((255 * share).astype(np.uint8)).save(tmp_path / "mask.png")
    return np.where(share > 0, person, back), share > 0


STILL = MeasuredPSF(1, np.ones((1, 1)))


def outcome(tmp_path):
    report = json.loads((tmp_path / "a_deblurred_generated_report.json").read_text())
    return np.asarray(Image.open(tmp_path / "a_deblurred_generated.png")), report


def test_people_and_background_are_freed_of_their_own_motion(run, tmp_path):
    sharp, inside = moved(tmp_path, Motion(1, 11.0, 60.0), Motion(1, 8.0, 150.0))
    said = run("deblur", tmp_path / "a.png", f"mask={tmp_path / 'mask.png'}", *QUICK)
    assert said.code == 0, said.err
    assert "motion found: human" in said.err
    after, report = outcome(tmp_path)
    found = report["motion"]
    assert (found["order"], found["people from"]) == ("human", "the mask")
    assert found["people"][0]["length"] == pytest.approx(11, rel=0.1)
    assert found["people"][0]["angle"] == pytest.approx(60, abs=5)
    assert found["background"]["angle"] == pytest.approx(150, abs=5)
    before = np.asarray(Image.open(tmp_path / "a.png"))
    for where in (inside, ~inside):
        assert error(after[where], sharp[where]) < 0.8 * error(before[where], sharp[where])
    again = yaml.safe_load((tmp_path / "a_deblurred_generated_run.yaml").read_text())
    assert again["operator"] == "moving:auto,mask=./mask.png"
    said = run("upsample", "--config", tmp_path / "a_deblurred_generated_run.yaml", f"output={tmp_path / 'b'}")
    assert said.code == 0, said.err
    np.testing.assert_array_equal(after, np.asarray(Image.open(tmp_path / "b" / "a_deblurred_generated.png")))


def test_one_motion_of_everything_is_found_without_a_mask(run, tmp_path):
    sharp, _ = moved(tmp_path, Motion(1, 10.0, 20.0), Motion(1, 10.0, 20.0))
    said = run("deblur", tmp_path / "a.png", *QUICK)
    assert said.code == 0, said.err
    after, report = outcome(tmp_path)
    assert report["motion"]["order"] == "uniform"
    assert report["operator"]["name"] == "motion"
    assert error(after, sharp) < 0.8 * error(np.asarray(Image.open(tmp_path / "a.png")), sharp)


def test_nothing_that_moved_is_nothing_to_undo(run, tmp_path):
    sharp, _ = moved(tmp_path, STILL, STILL)
    said = run("deblur", tmp_path / "a.png", f"mask={tmp_path / 'mask.png'}", *QUICK)
    assert said.code == 0, said.err
    assert "no motion was found, so the data stay as they are" in said.err
    after, report = outcome(tmp_path)
    assert report["motion"]["order"] == "none"
    assert report["operator"]["name"] == "area"
    assert error(after, sharp) < 1.01 * error(np.asarray(Image.open(tmp_path / "a.png")), sharp)


@pytest.mark.parametrize(
    ("values", "advice"),
    [
        (np.zeros((200, 200)), "mask.png is 0 everywhere"),
        (np.full((200, 200), 255), "above 0 everywhere, so there is no background; use motion=uniform"),
        (np.full((200, 100), 255), "100 x 200 pixels, not one of 200 x 200"),
    ],
)
def test_a_mask_that_says_nothing_is_refused(run, tmp_path, values, advice):
    moved(tmp_path, STILL, STILL)
    Image.fromarray(values.astype(np.uint8)).save(tmp_path / "mask.png")
    said = run("deblur", tmp_path / "a.png", f"mask={tmp_path / 'mask.png'}")
    assert said.code != 0
    assert len(said.lines) == 1
    assert advice in said.err


def test_a_scene_keeps_its_affine_and_its_nodata(run, tmp_path):
    x = picture()
    y = blurred(x, GaussianPSF(1, 1.2)).round().clip(1, 255)
    y[:6, :9] = 0
    profile = {"driver": "GTiff", "width": 48, "height": 48, "count": 1, "dtype": "uint8", "nodata": 0,
               "crs": "EPSG:32633", "transform": rasterio.Affine(10, 0, 4e5, 0, -10, 5e6)}  # fmt: skip
    with rasterio.open(tmp_path / "a.tif", "w", **profile) as made:
        made.write(y.astype(np.uint8), 1)
    said = run("deblur", tmp_path / "a.tif", "blur=gaussian:1.2", "noise=1", *QUICK)
    assert said.code == 0, said.err
    with rasterio.open(tmp_path / "a_deblurred_generated.tif") as after:
        assert (after.transform, after.crs, after.nodata) == (profile["transform"], "EPSG:32633", 0)
        mean, known = after.read(1), after.read_masks(1) > 0
    assert (known == (y > 0)).all()
    far = np.s_[14:, 16:]
    assert error(mean[far], x[far]) < 0.8 * error(y[far], x[far])


def test_a_field_of_stars_keeps_its_coordinates_and_its_flux(run, tmp_path):
    draw = np.random.default_rng(2)
    x = np.full((40, 48), 50.0)
    for _ in range(8):
        x[draw.integers(6, 34), draw.integers(6, 42)] += 2000.0
    y = blurred(x, GaussianPSF(1, 1.5))
    header = fits.Header({"BUNIT": "adu", "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRPIX1": 24.5, "CRPIX2": 20.5,
                          "CRVAL1": 150.0, "CRVAL2": 2.0, "CDELT1": -1e-4, "CDELT2": 1e-4})  # fmt: skip
    fits.PrimaryHDU(y.astype(np.float32), header).writeto(tmp_path / "a.fits")
    grid = np.exp(-0.5 * (np.arange(-6, 7) / 1.5) ** 2)
    fits.PrimaryHDU(np.outer(grid, grid).astype(np.float32)).writeto(tmp_path / "star.fits")
    said = run("deblur", tmp_path / "a.fits", f"kernel={tmp_path / 'star.fits'}", "noise=1", *QUICK)
    assert said.code == 0, said.err
    with fits.open(tmp_path / "a_deblurred_generated.fits") as after:
        assert (after[0].header["CRPIX1"], after[0].header["CRPIX2"]) == (24.5, 20.5)
        assert after[0].header["CDELT1"] == pytest.approx(-1e-4)
        mean = after[0].data
    assert error(mean, x) < 0.9 * error(y, x)
    assert mean.max() > 2 * y.max()
    assert mean.sum() == pytest.approx(y.sum(), rel=1e-3)
    said = run("deblur", tmp_path / "a.fits", f"domain.psf={tmp_path / 'star.fits'}", *QUICK, "overwrite=true")
    assert said.code == 0, said.err
