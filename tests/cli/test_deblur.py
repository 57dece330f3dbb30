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

from gensr.operators import Defocus, GaussianPSF, Motion

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
        (["blur=gaussian:1", "kernel=k.npy"], "both say what the blur was"),
        (["kernel=nowhere.png"], "nowhere.png: no such file"),
        ([], "nothing to do"),
    ],
)
def test_what_makes_no_sense_is_one_line(run, tmp_path, words, advice):
    tifffile.imwrite(tmp_path / "a.tif", picture().astype(np.uint8), photometric="minisblack")
    said = run("deblur", tmp_path / "a.tif", *words)
    assert (said.code, len(said.lines)) == (2, 1)
    assert advice in said.err
    assert [p.name for p in tmp_path.iterdir()] == ["a.tif"]


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
