"""Another process opens the same scene from a few hundred bytes, whatever the format, with the options it had."""

from __future__ import annotations

import pickle
import subprocess
import sys
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import rasterio
import tifffile
from astropy.io import fits
from PIL import Image as Pillow

import gensr
from gensr.errors import DomainError, FormatError
from gensr.scenes import installed
from gensr.scenes.inputs import guess, open_scene
from gensr.values.grid import Window

VALUES = (np.add.outer(7 * np.arange(12), 3 * np.arange(16)) + 10).astype(np.uint8)
SAMPLES = Path(__file__).parents[3] / "shared" / "samples"
READ = """
import pickle, sys, zlib
from gensr.values.grid import Window
scene = pickle.loads(sys.stdin.buffer.read())
image = scene.read(scene.planes - 1, Window(2, 3, 4, 5))
print(zlib.crc32(image.values.tobytes()), zlib.crc32(image.usable.tobytes()), *image.bands, image.unit)
"""


def _geotiff(path: Path) -> None:
    how = {"driver": "GTiff", "count": 1, "dtype": "uint8", "height": 12, "width": 16, "nodata": 10}
    with rasterio.open(path, "w", crs="EPSG:32632", transform=rasterio.Affine(10, 0, 5e5, 0, -10, 4e6), **how) as out:
        out.write(VALUES, 1)


def _nifti(path: Path) -> None:
    volume = np.repeat(VALUES.T[..., None], 3, axis=2).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(volume, np.diag([2.0, 2.0, 2.0, 1.0])), path)


WRITERS: Mapping[str, tuple[str, Callable[[Path], Any], Mapping[str, Any]]] = {
    "satellite": ("a.tif", _geotiff, {"nodata": 13}),
    "microscopy": ("a.ome.tif", lambda path: tifffile.imwrite(path, VALUES, metadata={"axes": "YX"}), {}),
    "astronomy": ("a.fits", lambda path: fits.PrimaryHDU(VALUES.astype(np.float32)).writeto(path), {}),
    "medical": ("a.nii", _nifti, {"modality": "MR"}),
    "faces": ("a.png", lambda path: Pillow.fromarray(np.repeat(VALUES[:, :12, None], 3, 2)).save(path), {}),
}


def seen(scene: gensr.Scene) -> str:
    """What another process reads of a scene that it was sent."""
    sent = pickle.dumps(scene)
    assert len(sent) < 1000
    done = subprocess.run([sys.executable, "-c", READ], input=sent, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def read_here(scene: gensr.Scene) -> str:
    image = scene.read(scene.planes - 1, Window(2, 3, 4, 5))
    sums = (zlib.crc32(image.values.tobytes()), zlib.crc32(image.usable.tobytes()))
    return " ".join(map(str, (*sums, *image.bands, image.unit))) + "\n"


@pytest.mark.parametrize("name", WRITERS)
def test_every_domain(name: str, tmp_path: Path) -> None:
    file, write, options = WRITERS[name]
    write(tmp_path / file)
    with open_scene(installed.domain(name), tmp_path / file, options) as scene:
        assert seen(scene) == read_here(scene)
        with pickle.loads(pickle.dumps(scene)) as again:
            assert type(again) is type(scene)
            assert again.metadata() == scene.metadata()
            assert again.reference == scene.reference


def test_options_travel(tmp_path: Path) -> None:
    _geotiff(tmp_path / "a.tif")
    satellite = installed.domain("satellite")
    whole = Window(0, 0, 12, 16)
    for code in (13, 17):
        with (
            open_scene(satellite, tmp_path / "a.tif", {"nodata": code}) as scene,
            pickle.loads(pickle.dumps(scene)) as again,
        ):
            assert ((again.read(0, whole).valid[0] == 0) == (code == VALUES)).all()


def test_a_file_that_is_gone_or_another(tmp_path: Path) -> None:
    write = WRITERS["microscopy"][1]
    path = tmp_path / "a.ome.tif"
    write(path)
    with open_scene(installed.domain("microscopy"), path, {}) as scene:
        sent = pickle.dumps(scene)
    path.rename(tmp_path / "b.tif")
    with pytest.raises(FormatError, match=r"a\.ome\.tif: cannot be opened again .* moved or removed"):
        pickle.loads(sent)
    with (
        installed.domain("microscopy").open(tmp_path / "b.tif", {}) as scene,
        pytest.raises(DomainError, match=r"opened without gensr\.open"),
    ):
        pickle.dumps(scene)


def _samples() -> list[Path]:
    return sorted(p for p in SAMPLES.glob("*/*") if p.suffix not in (".md", ".json", ".txt", ".msk"))


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="real files lie in ../shared/samples, which is not here")
def test_real_files() -> None:
    count = 0
    for path in _samples():
        try:
            scene = open_scene(guess(path), path, {})
        except (FormatError, DomainError):
            continue  # some are there to be refused
        with scene, pickle.loads(pickle.dumps(scene)) as again:
            assert again.metadata() == scene.metadata(), path
            assert again.generator() == scene.generator(), path
        count += 1
    assert count > 30
