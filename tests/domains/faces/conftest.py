"""Small synthetic portraits written with Pillow alone."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gensr.domains.faces import Faces
from gensr.scenes.names import Names
from gensr.scenes.testing import NearestProduct


@pytest.fixture
def upscale(tmp_path: Path) -> Callable[..., dict[str, Path]]:
    """Open, replicate and write a picture; returns the paths of mean, std and sample."""

    def run(path: Path, factor: Any = 2, **options: Any) -> dict[str, Path]:
        domain, folder = Faces(), tmp_path / "out"
        folder.mkdir(exist_ok=True)
        scene = domain.open(path, options)
        product = NearestProduct(scene, factor, std=2.5)
        files = scene.write(product, folder, Names(domain.stem(path), product.factor[0]))
        assert all(f.parent == folder and f.is_file() for f in files)
        return dict(zip(("mean", "std", "sample"), files, strict=True))

    return run


@pytest.fixture
def corpus(shared_faces: Path) -> Path:
    """Folder of the shared faces."""
    return shared_faces


@pytest.fixture(scope="session")
def shared_faces() -> Path:
    """Folder of the shared faces, and of photos with facts."""
    roots = [Path(os.environ["GENSR_SHARED"])] if "GENSR_SHARED" in os.environ else []
    roots += [p / "shared" for p in Path(__file__).parents]
    found = next((r / "data" / "faces" for r in roots if (r / "data" / "faces" / "test.zip").is_file()), None)
    if found is None:
        pytest.skip("the shared faces are not beside the repository (set GENSR_SHARED)")
    return found
