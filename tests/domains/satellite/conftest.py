"""Synthetic rasters, written with rasterio alone."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

rasterio = pytest.importorskip("rasterio")
from rasterio.errors import NotGeoreferencedWarning  # noqa: E402

from gensr.domains.satellite import Satellite  # noqa: E402

UTM = {"crs": "EPSG:32633", "transform": rasterio.Affine(10, 0, 500000, 0, -10, 4600000)}


@pytest.fixture
def domain():
    return Satellite()


@pytest.fixture
def raster(tmp_path):
    """Factory: write codes (band, y, x) and return the path."""

    def write(codes, name="in.tif", mask=None, edit=None, env=None, **profile):
        codes = np.asarray(codes)
        path = tmp_path / name
        settings = {**UTM, **profile}
        if settings.get("crs", 0) is None:
            settings = {k: v for k, v in settings.items() if k not in ("crs", "transform")}
        with warnings.catch_warnings(), rasterio.Env(**{"GDAL_TIFF_INTERNAL_MASK": True, **(env or {})}):
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(
                path,
                "w",
                driver=settings.pop("driver", "GTiff"),
                width=codes.shape[2],
                height=codes.shape[1],
                count=codes.shape[0],
                dtype=codes.dtype,
                **settings,
            ) as target:
                target.write(codes)
                if mask is not None:
                    target.write_mask(mask)
                if edit is not None:
                    edit(target)
        return path

    return write


@pytest.fixture
def run(domain, tmp_path):
    """Factory: open, write with pixels replicated, close; returns the scene and the paths of mean, std and samples."""
    from gensr.scenes.names import Names
    from gensr.scenes.testing import NearestProduct

    def go(path, factor=2, samples=1, **options):
        scene = domain.open(path, options)
        folder = tmp_path / f"out_{path.name}_{factor}"
        folder.mkdir(exist_ok=True)
        paths = scene.write(NearestProduct(scene, factor, std=0.5, samples=samples), folder, Names("o", factor))
        assert sorted(p.name for p in folder.iterdir()) == sorted(p.name for p in paths)
        scene.close()
        return scene, paths

    return go
