"""Sentinel-2 products through rasterio and a search in the text of their metadata."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from .findings import Findings, few
from .raster import opened


def check(source: Path, written: list[Path], factor: int) -> Findings:
    """Compare the 10 m bands of a product with the refined output and its standard deviation."""
    found = Findings(source.name, "rasterio")
    files = sorted(source.glob("GRANULE/*/IMG_DATA/**/*_B*_10m.jp2"))
    names = tuple(re.search(r"_(B\d\d)_", f.name)[1] for f in files)  # type: ignore[index]
    text = next(source.glob("MTD_MSIL*.xml")).read_text()
    steps = float(re.search(r"QUANTIFICATION_VALUE[^>]*>([\d.]+)<", text)[1])  # type: ignore[index]
    ids = [int(n[1:]) - 1 for n in names]
    offsets = [float(re.search(rf'ADD_OFFSET band_id="{i}">(-?[\d.]+)<', text)[1]) for i in ids]  # type: ignore[index]
    with opened(files[0]) as a, opened(written[0]) as b, opened(written[1]) as std:
        corners = [np.array([*d.bounds]) for d in (a, b, std)]
        error = float(max(np.abs(c - corners[0]).max() for c in corners) / a.transform.a)
        found.error("field of view", error, 1e-6, "px")
        size = b.transform.a * factor == a.transform.a, -b.transform.e * factor == -a.transform.e
        found.say("pixel size", f"{a.transform.a:g} to {b.transform.a:g} m", *size)
        found.say("dtype", f"{a.dtypes[0]}; std float32", b.dtypes[0] == a.dtypes[0], std.dtypes[0] == "float32")
        found.say("bands", f"{len(names)}, {few(list(names))}", b.descriptions == names, std.count == len(names))
        scaled = (
            np.allclose(b.scales, 1 / steps, rtol=1e-12),
            np.allclose(b.offsets, np.array(offsets) / steps, rtol=1e-9),
        )
        found.say("units", f"reflectance, scale 1/{steps:g}, offset {offsets[0]:g}/{steps:g}", *scaled)
        holes = [np.array_equal(b.read(i + 1) == 0, np.kron(opened(f).read(1) == 0, np.ones((factor, factor))))
                 for i, f in enumerate(files)]  # fmt: skip
        found.say("nodata, mask", f"{b.nodata:g}", b.nodata == 0, *holes)
        baseline = re.search(r"PROCESSING_BASELINE>([^<]+)<", text)[1]  # type: ignore[index]
        marked = "generated detail" in b.tags()["GENSR_GENERATED"]
        found.say("tags", f"baseline {baseline}; marked", b.tags()["PROCESSING_BASELINE"] == baseline, marked)
        found.say("orientation", f"north-up, {a.crs}", b.crs == a.crs, b.transform.e < 0)
    return found
