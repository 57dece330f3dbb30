"""Names, defaults, scores and previews."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

from gensr.domains.microscopy import Microscopy
from gensr.domains.microscopy.units import escape, micrometres, unescape
from gensr.scenes import installed
from gensr.values.grid import Window

DOMAIN = Microscopy()


def test_registered() -> None:
    assert isinstance(installed.domain("microscopy"), Microscopy)


@pytest.mark.parametrize(
    ("name", "stem"),
    [("a.ome.tif", "a"), ("b.c.OME.TIFF", "b.c"), ("d.tif", "d"), ("e.btf", "e"), (".tif", ".tif"), ("f", "f")],
)
def test_stem(name: str, stem: str) -> None:
    assert DOMAIN.stem(Path(name)) == stem


def test_defaults_of_a_scene(make) -> None:
    scene = DOMAIN.open(make("M1 bigtiff"), {})
    assert scene.noise() is None
    assert scene.generator() == "engression-field"
    assert scene.operator((2, 3)).describe()["name"] == "area"
    normaliser = scene.normaliser()
    values = torch.linspace(0, 65535, 50).view(1, 1, 5, 10)
    torch.testing.assert_close(normaliser.inverse(normaliser.forward(values)), values, rtol=1e-6, atol=1e-2)
    rows, cols = scene.grid.shape
    codes = np.concatenate([scene.read(p, Window(0, 0, rows, cols)).values.ravel() for p in range(3)])
    low, high = np.percentile(codes, [1, 99.9])
    mapped = normaliser.forward(torch.tensor([[[[low, high]]]], dtype=torch.float64))
    torch.testing.assert_close(mapped.ravel(), torch.tensor([0.0, 1.0], dtype=torch.float64), rtol=0, atol=1e-6)
    scene.close()


@pytest.mark.parametrize("unit", ["um", "µm", "\u03bcm", "micron", "micrometer", "\\u00B5m", " MICRON\0"])
def test_micrometre_spellings(unit: str) -> None:
    assert micrometres(unit) == 1.0


def test_other_units() -> None:
    assert [micrometres(u) for u in ("nm", "mm", "millimeter", "inch", "cm")] == [1e-3, 1e3, 1e3, 25.4e3, 1e4]
    assert [micrometres(u) for u in ("", "px", "pixel", "reference frame")] == [None] * 4
    assert unescape(escape("µm Å")) == "µm Å"


def test_preview(make) -> None:
    scene = DOMAIN.open(make("M13 nanometres"), {})
    values = scene.read(0, Window(0, 0, 40, 48)).values.copy()
    reference = values.copy()
    values[0, 0, 0] = np.nan
    shown = scene.render(values, reference)
    assert (shown.shape, shown.dtype, shown[0, 0].tolist()) == ((40, 48, 3), np.uint8, [128, 128, 128])
    low, high = np.percentile(reference, [1, 99.9])
    assert shown[values[0] <= low].max() == 0
    assert shown[values[0] >= high].min() == 255
    scene.close()


def test_importing_the_domain_loads_no_format_library() -> None:
    code = "import sys, gensr.domains.microscopy, gensr.domains.faces; print(*{'tifffile', 'PIL'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_reading_a_window_of_a_large_file_costs_a_window(tmp_path: Path) -> None:
    import tracemalloc

    path = tmp_path / "big.tif"
    big = tifffile.memmap(path, shape=(9000, 9000), dtype=np.uint16)
    big[::7] = np.arange(9000, dtype=np.uint16)
    big.flush()
    tracemalloc.start()
    scene = DOMAIN.open(path, {})
    values = scene.read(0, Window(7, 100, 64, 64)).values
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    scene.close()
    np.testing.assert_array_equal(values[0, 0], np.arange(100, 164))
    assert peak < 60e6  # the plane has 162 MB
