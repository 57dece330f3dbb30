"""The Python of README.md and of docs/getting-started.md runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import tifffile
from astropy.io import fits

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("page", ["README.md", "docs/getting-started.md"])
def test_python_blocks(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    y, x = np.mgrid[:40, :48]
    picture = (2000 + 1500 * np.cos(0.3 * y) * np.cos(0.2 * x)).astype(np.uint16)
    for name in ("image.tif", "nuclei.ome.tif"):
        tifffile.imwrite(tmp_path / name, picture)
    fits.PrimaryHDU(picture.astype(np.float32)).writeto(tmp_path / "field.fits")
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```$", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)
    assert blocks
    names: dict[str, object] = {"array": picture.astype(np.float32)}
    for block in blocks:
        exec(compile(block, page, "exec"), names)
