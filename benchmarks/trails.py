"""Motion found and undone outside photographs: ``python -m gensr.benchmarks.trails tile=FILE output=DIR``.

Stars that trailed while the telescope did not follow (a FITS image made here: stars of two pixels on a sky with shot
noise and read noise), and a tile of a satellite (the middle of a GeoTIFF) that was blurred by a straight motion, with
noise of 1 % of its contrast. Both go through ``gensr deblur`` without a word about the motion or, for the tile, the
noise; headers are read again afterwards.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from astropy.io import fits

from gensr import Request, settle
from gensr.operators.blurs import line
from gensr.pipeline.events import Written
from gensr.search.motion.order import kernel_of
from gensr.search.motion.paths import correlation

from .deblur import blurred
from .scores import Row
from .script import words, write

Array = npt.NDArray[np.float64]
USUAL = {"tile": "", "output": ".", "side": "192"}
TRAIL, DRIFT = (14.0, 35.0), (9.0, 120.0)
"""Length, pixels, and angle, degrees, of the trail of the stars and of the drift of the satellite."""
STARS, WIDTH, SKY, READ = 160, 0.9, 60.0, 4.0
"""Stars, the standard deviation of one, pixels, electrons of the sky in a pixel, and of the read noise."""
TEXT = (
    "# Trails undone",
    "",
    "Made by `python -m gensr.benchmarks.trails`: a FITS image of stars that trailed, and the middle of a GeoTIFF",
    "that a motion blurred; both through `gensr deblur` that is told nothing. `blurred`, `gensr`: RMSE against the",
    "sharp image as a share of its contrast; `header`: whether the output says the same of its place.",
)
COLUMNS = ("what", "found", "length", "angle", "correlation", "blurred", "gensr", "header")


def stars(side: int, draw: np.random.Generator) -> Array:
    """Electrons of a field of stars without noise, (side, side)."""
    y, x = np.mgrid[:side, :side]
    out = np.full((side, side), SKY)
    for row, col, bright in zip(*draw.uniform(0, side, (2, STARS)), 300 * draw.pareto(1.1, STARS) + 300, strict=True):
        out += min(bright, 2e5) * np.exp(-((y - row) ** 2 + (x - col) ** 2) / (2 * WIDTH**2)) / (2 * math.pi * WIDTH**2)
    return out


def sky(folder: Path, side: int) -> tuple[Path, Array, Array]:
    """A FITS file of trailed stars, the sharp and the blurred image."""
    draw = np.random.default_rng(0)
    sharp = stars(side, draw)
    seen = draw.poisson(blurred(sharp, line(*TRAIL)).clip(0)) + draw.normal(0, READ, sharp.shape)
    header = fits.Header()
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
    header["CRPIX1"] = header["CRPIX2"] = side / 2
    header["CRVAL1"], header["CRVAL2"], header["CDELT1"], header["CDELT2"] = 83.8, -5.4, -1e-4, 1e-4
    header["BUNIT"], header["GAIN"], header["RDNOISE"] = "electron", 1.0, READ
    fits.PrimaryHDU(seen.astype(np.float32), header).writeto(folder / "trail.fits")
    return folder / "trail.fits", sharp[None], seen[None]


def land(folder: Path, tile: Path, side: int) -> tuple[Path, Array, Array]:
    """A GeoTIFF that a motion blurred, the sharp and the blurred image, (bands, side, side)."""
    import rasterio
    from rasterio.windows import Window

    with rasterio.open(tile) as source:
        place = Window((source.width - side) // 2, (source.height - side) // 2, side, side)
        sharp = source.read([1, 2, 3], window=place).astype(np.float64)
        profile = {"crs": source.crs, "transform": source.window_transform(place), "dtype": source.dtypes[0]}
    draw = np.random.default_rng(1)
    seen = np.moveaxis(blurred(np.moveaxis(sharp, 0, -1), line(*DRIFT)), -1, 0)
    seen = seen + draw.normal(0, 0.01 * (sharp.max() - sharp.min()), seen.shape)
    kind = np.iinfo(profile["dtype"])
    seen = seen.round().clip(kind.min, kind.max)
    path = folder / "drift.tif"
    with rasterio.open(path, "w", driver="GTiff", width=side, height=side, count=3, **profile) as target:
        target.write(seen.astype(profile["dtype"]))
    return path, sharp, seen


def error(x: Array, sharp: Array) -> float:
    """RMSE as a share of the contrast."""
    return float(np.sqrt(((x - sharp) ** 2).mean()) / sharp.std())


def row(what: str, path: Path, sharp: Array, seen: Array, motion: tuple[float, float]) -> Row:
    """What came of an image."""
    request = Request(path, 1, operator="moving", samples=0, check="off", output=path.parent / what)
    out: Row = {"what": what}
    with settle(request) as plan:
        motion_found = plan.moved.found  # type: ignore[union-attr]
        fit = motion_found.background
        out["found"] = motion_found.order if fit is None else fit.kind
        if fit is not None and fit.path is not None:
            out["length"] = f"{fit.path.length:.1f} of {motion[0]:.1f}"
            out["angle"] = f"{fit.path.angle % 180:.1f} of {motion[1]:.1f}"
        out["correlation"] = correlation(line(*motion), kernel_of(fit))
        for event in plan.run():
            if isinstance(event, Written):
                found = np.asarray(event.result.mean, np.float64)
                out["blurred"], out["gensr"] = error(seen, sharp), error(found.reshape(sharp.shape), sharp)
    written = next(f for f in sorted((path.parent / what).iterdir()) if f.suffix == path.suffix)
    out["header"] = "same" if _where(written) == _where(path) else "other"
    return out


def _where(path: Path) -> tuple[object, ...]:
    """What a file says of its place."""
    if path.suffix == ".tif":
        import rasterio

        with rasterio.open(path) as source:
            return source.crs, source.transform, source.shape
    with fits.open(path) as opened:
        image = next(h for h in opened if h.data is not None)
        return tuple(image.header.get(k) for k in ("CTYPE1", "CRPIX1", "CRVAL1", "CDELT1", "CRVAL2", "CDELT2", "BUNIT"))


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    given = words(argv, USUAL)
    side = int(given["side"])
    with tempfile.TemporaryDirectory() as folder:
        rows = [row("stars", *sky(Path(folder), side), TRAIL)]
        if given["tile"]:
            rows.append(row("satellite", *land(Path(folder), Path(given["tile"]), side), DRIFT))
    write(Path(given["output"]), "deblur_trails", TEXT, COLUMNS, rows)


if __name__ == "__main__":
    main()
