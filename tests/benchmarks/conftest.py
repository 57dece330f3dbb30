"""Small data packs made here: nuclei and faces of a kind."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage


def _png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).round().astype(np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def _discs(rng: np.random.Generator, rows: int, cols: int, count: int) -> np.ndarray:
    """Soft discs on a dark ground, (rows, cols)."""
    y, x = np.mgrid[:rows, :cols]
    image = np.full((rows, cols), 20.0)
    for _ in range(count):
        cy, cx, r = rng.uniform(0, rows), rng.uniform(0, cols), rng.uniform(4, 8)
        image += rng.uniform(40, 90) / (1 + np.exp((np.hypot(y - cy, x - cx) - r) * 1.5))
    return ndimage.gaussian_filter(image, 0.7)


def _oval(rng: np.random.Generator) -> np.ndarray:
    """An oval with two eyes, (128, 128, 3)."""
    y, x = np.mgrid[:128, :128]
    image = np.ones((128, 128, 3)) * rng.uniform(40, 200, 3)
    skin = rng.uniform(100, 220, 3)
    inside = 1 / (1 + np.exp(4 * (np.hypot((x - 64) / 40, (y - 66) / 52) - 1) * 10))
    image += inside[..., None] * (skin - image)
    for cx in (46, 82):
        image -= 70 * np.exp(-(((x - cx) / 6) ** 2) - ((y - 56) / 4) ** 2)[..., None]
    return image


@pytest.fixture(scope="session")
def small_packs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a microscopy pack (96 x 104 pixels) and a faces pack (128 x 128), a few pictures per split."""
    root, rng = tmp_path_factory.mktemp("packs"), np.random.default_rng(7)
    for name, column in (("microscopy", "acquisition"), ("faces", "source")):
        folder = root / name
        folder.mkdir()
        rows = [f"file,split,{column}"]
        for split, count in (("train", 12), ("val", 3), ("test", 3)):
            with zipfile.ZipFile(folder / f"{split}.zip", "w") as archive:
                for i in range(count):
                    pixels = _discs(rng, 96, 104, 25) if name == "microscopy" else _oval(rng)
                    archive.writestr(f"{split}{i}.png", _png(pixels))
                    rows.append(f"{split}.zip/{split}{i}.png,{split},made")
        (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
    return root
