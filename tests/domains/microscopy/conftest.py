"""Small synthetic micrographs of the kinds seen in the field, written with tifffile alone."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tifffile

from gensr.domains.microscopy import Microscopy
from gensr.scenes.names import Names
from gensr.scenes.testing import NearestProduct

RAMP = np.stack([np.arange(256, dtype=np.uint8), np.zeros(256, np.uint8), np.zeros(256, np.uint8)])


def noise(shape: tuple[int, ...], dtype: Any = np.uint16, low: int = 100, high: int = 60000) -> np.ndarray:
    rng = np.random.default_rng(7)
    if np.dtype(dtype).kind == "f":
        return rng.normal(50, 20, shape).astype(dtype)
    return rng.integers(low, high, shape, dtype=dtype)


def ome_bigtiff(path: Path) -> np.ndarray:
    data = noise((3, 40, 30))
    meta = {"axes": "CYX", "PhysicalSizeX": 0.25, "PhysicalSizeY": 0.5, "Channel": {"Name": ["DAPI", "GFP", "Cy5"]}}
    with tifffile.TiffWriter(path, bigtiff=True, ome=True) as tif:
        tif.write(data, compression="zlib", predictor=True, photometric="minisblack", metadata=meta)
    return data


def ome_shifted(path: Path) -> np.ndarray:
    data = noise((2, 2, 24, 20), low=1, high=4096) << 4
    meta = {"axes": "TCYX", "SignificantBits": 12, "TimeIncrement": 2.5, "TimeIncrementUnit": "s"}
    meta |= {"PhysicalSizeX": 65.0, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 65.0, "PhysicalSizeYUnit": "nm"}
    tifffile.imwrite(path, data, ome=True, photometric="minisblack", metadata=meta)
    return data


def ome_stack(path: Path) -> np.ndarray:
    data = noise((2, 5, 33, 21), np.uint8, 1, 255)
    meta: dict[str, Any] = {"axes": "CZYX", "PhysicalSizeX": 0.1, "PhysicalSizeY": 0.1, "PhysicalSizeZ": 0.3}
    meta["Plane"] = {"PositionX": [10.0] * 10, "PositionXUnit": ["mm"] * 10, "PositionY": [7.0] * 10}
    tifffile.imwrite(path, data, ome=True, photometric="minisblack", tile=(16, 16), metadata=meta)
    return data


def ome_rgb48(path: Path) -> np.ndarray:
    data = noise((25, 31, 3))
    tifffile.imwrite(path, data, ome=True, photometric="rgb", metadata={"axes": "YXS", "PhysicalSizeX": 1.5})
    return data


def imagej_hyperstack(path: Path) -> np.ndarray:
    data = noise((4, 2, 20, 26))
    meta = {"axes": "ZCYX", "unit": "\\u00B5m", "spacing": 0.5, "mode": "composite", "min": 5.0, "max": 900.0}
    meta |= {"Labels": [f"z{z} c{c}" for z in range(4) for c in range(2)], "Info": "objective 63x", "xorigin": 3.0}
    meta |= {"LUTs": [RAMP, RAMP[::-1]], "Ranges": (5.0, 900.0, 6.0, 800.0), "cf": 0, "ROI": b"Iout"}
    tifffile.imwrite(path, data, imagej=True, byteorder=">", resolution=((4, 1), (5, 1)), metadata=meta)
    return data


def imagej_composite(path: Path) -> np.ndarray:
    data = noise((3, 18, 24), np.uint8, 0, 256)
    meta = {"axes": "CYX", "unit": "micron", "mode": "composite"}
    tifffile.imwrite(path, data, imagej=True, resolution=(2.0, 2.0), metadata=meta)
    return data


def imagej_movie(path: Path) -> np.ndarray:
    data = noise((6, 16, 20), np.float32)
    data[2, 3, 4] = np.nan
    meta = {"axes": "TYX", "unit": "um", "finterval": 60.0}
    tifffile.imwrite(path, data, imagej=True, resolution=(3.3, 3.3), metadata=meta)
    return data


def imagej_nanometres(path: Path) -> np.ndarray:
    data = noise((40, 48), np.uint8, 0, 255)
    tifffile.imwrite(path, data, imagej=True, resolution=(0.25, 0.25), metadata={"axes": "YX", "unit": "nm"})
    return data


def imagej_no_spacing(path: Path) -> np.ndarray:
    data = noise((5, 20, 20))
    tifffile.imwrite(path, data, imagej=True, resolution=(8.0, 8.0), metadata={"axes": "ZYX", "unit": "um"})
    return data


def imagej_rgb(path: Path) -> np.ndarray:
    data = noise((2, 18, 20, 3), np.uint8, 0, 256)
    tifffile.imwrite(path, data, imagej=True, photometric="rgb", metadata={"axes": "ZYXS", "unit": "um"})
    return data


def plain_saturated(path: Path) -> np.ndarray:
    data = noise((64, 64), low=100, high=3000)
    data[10:16, 10:16] = 4095
    tifffile.imwrite(
        path, data, resolution=(40000, 40000), resolutionunit="CENTIMETER", compression="lzw", metadata=None
    )
    return data


def plain_offset(path: Path) -> np.ndarray:
    data = noise((30, 30), low=32768, high=32768 + 4096)
    tifffile.imwrite(path, data, description="acquired at 20 C", byteorder=">", metadata=None)
    return data


def plain_pages(path: Path) -> np.ndarray:
    data = noise((4, 22, 18), np.int16, -3000, 3000)
    with tifffile.TiffWriter(path) as tif:
        for page in data:
            tif.write(page, rowsperstrip=5, compression="zlib", metadata=None, resolution=(300, 150))
    return data


def plain_planar(path: Path) -> np.ndarray:
    data = noise((3, 40, 28), np.uint8, 0, 256)
    tifffile.imwrite(path, data, photometric="rgb", planarconfig="separate", rowsperstrip=7, compression="zlib")
    return data


def plain_double(path: Path) -> np.ndarray:
    data = noise((20, 34), np.float64)
    tifffile.imwrite(path, data, photometric="miniswhite", metadata=None)
    return data


KINDS: dict[str, tuple[str, Callable[[Path], np.ndarray]]] = {
    "M1 bigtiff": ("m1.ome.tif", ome_bigtiff),
    "M3 shifted": ("m3.ome.tiff", ome_shifted),
    "M4 stack": ("m4.ome.tif", ome_stack),
    "M12 rgb48": ("m12.ome.tif", ome_rgb48),
    "M5 hyperstack": ("m5.tif", imagej_hyperstack),
    "M7 composite": ("m7.tif", imagej_composite),
    "M9 movie": ("m9.tif", imagej_movie),
    "M13 nanometres": ("m13.tif", imagej_nanometres),
    "M14 no spacing": ("m14.tif", imagej_no_spacing),
    "rgb imagej": ("rgb.tif", imagej_rgb),
    "M10 saturated": ("m10.tif", plain_saturated),
    "M11 offset": ("m11.TIF", plain_offset),
    "pages": ("pages.tif", plain_pages),
    "planar": ("planar.tif", plain_planar),
    "double": ("double.tif", plain_double),
}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest, tmp_path: Path) -> SimpleNamespace:
    """A synthetic file: name of the kind, path, and the array tifffile wrote."""
    name, build = KINDS[request.param]
    return SimpleNamespace(name=request.param, path=tmp_path / name, data=build(tmp_path / name))


@pytest.fixture
def make(tmp_path: Path) -> Callable[[str], Path]:
    """Write the synthetic file of a kind and return its path."""

    def build(kind: str) -> Path:
        name, function = KINDS[kind]
        function(tmp_path / name)
        return tmp_path / name

    return build


@pytest.fixture
def upscale(tmp_path: Path) -> Callable[..., dict[str, Path]]:
    """Open, replicate and write a file; returns the paths of mean, std and sample."""

    def run(path: Path, factor: Any = 2, **options: Any) -> dict[str, Path]:
        domain, folder = Microscopy(), tmp_path / f"out{factor}"
        folder.mkdir(exist_ok=True)
        scene = domain.open(path, options)
        try:
            product = NearestProduct(scene, factor, std=3.5)
            files = scene.write(product, folder, Names(domain.stem(path), product.factor[0]))
        finally:
            scene.close()
        assert all(f.parent == folder and f.is_file() for f in files)
        return dict(zip(("mean", "std", "sample"), files, strict=True))

    return run


def shared_samples() -> Path | None:
    """The folder of real samples beside the repository, if there is one."""
    if "GENSR_SHARED" in os.environ:
        return Path(os.environ["GENSR_SHARED"]) / "samples"
    return next((p / "shared" / "samples" for p in Path(__file__).parents if (p / "shared" / "samples").is_dir()), None)


SAMPLES = ("neuron-4Ch.ome.tiff", "xyzc_16bit__spots.tif", "img2d.tif", "xy_16bit__nuclei_high_dynamic_range.tif")


@pytest.fixture(params=SAMPLES)
def sample(request: pytest.FixtureRequest) -> Path:
    """A real file."""
    folder = shared_samples()
    if folder is None or not (folder / "microscopy" / request.param).is_file():
        pytest.skip("the real samples are not beside the repository (set GENSR_SHARED)")
    return folder / "microscopy" / str(request.param)
