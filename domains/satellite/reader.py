"""Opening a file: one named driver, everything hostile or meaningless refused in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from gensr.errors import DomainError
from gensr.scenes.scene import Scene
from gensr.values.bands import spans
from gensr.values.coding import EXACT, Coding, holds

from . import gdal, georeference, tags
from .checks import check_file, check_structure
from .kinds import kind_of
from .opened import PALETTE, Carried, Layout
from .options import Options
from .safe import Folder, is_safe, stack
from .scene import SatelliteScene
from .signature import driver_of
from .stacked import Stacked
from .subset import Choice, Subset, names_of, resolve


def open_scene(path: Path, options: Options) -> Scene:
    """Open a raster file.

    Raises:
        FormatError: damaged, unsafe or unsupported.
        DomainError: values that are no image, or options that do not fit.
    """
    if is_safe(path):
        return _open_safe(path, options)
    if kind_of(path):
        from .cube import open_cube

        return open_cube(path, options)
    if options.variable is not None:
        raise DomainError(f"{path}: variable={','.join(options.variable)} is for NetCDF and Zarr; leave it out")
    if options.resolution is not None:
        raise DomainError(
            f"{path}: resolution={options.resolution} chooses bands of a Sentinel-2 product; leave it out"
        )
    driver = driver_of(path)
    dataset = gdal.opened(path, driver, check_file(path, driver))
    try:
        with gdal.reading(path):
            choice = resolve(path, dataset, options.bands)
            seen = dataset if choice.numbers is None else Subset(dataset, choice.numbers, not _nir(dataset))
            check_structure(path, seen)
            return _understand(path, seen, options, choice)
    except BaseException:
        dataset.close()
        raise


def _open_safe(path: Path, options: Options) -> SatelliteScene:
    """Bands of one resolution of a Sentinel-2 product."""
    folder = Folder(path)
    try:
        found = stack(folder, options.resolution, options.bands)
        dataset = Stacked(found, folder)
    except BaseException:
        folder.close()
        raise
    try:
        with gdal.reading(path):
            scene = _understand(path, dataset, options, Choice())
    except BaseException:
        dataset.close()
        raise
    scene.notes += (found.note,)
    return scene


def _understand(path: Path, dataset: Any, options: Options, choice: Choice) -> SatelliteScene:  # noqa: ANN401
    geo = georeference.read(dataset, path, options.georeference)
    layout = _layout(path, dataset, choice)
    bands = _names(dataset, layout, choice)
    coding, carried, notes = _values(path, dataset, layout, options, choice)
    scene = SatelliteScene(
        path, dataset, bands, geo, layout, coding, carried, options.noise_floor, (*geo.notes, *notes)
    )
    colors = dataset.colorinterp
    scene.proofs = tuple(_proof(dataset, i, colors[i - 1].name) for i in layout.data)
    return scene


def _layout(path: Path, dataset: Any, choice: Choice) -> Layout:  # noqa: ANN401
    colors = [c.name for c in dataset.colorinterp]
    alphas = [i for i in dataset.indexes if colors[i - 1] == "alpha"]
    named = choice.names
    if len(alphas) > 1:
        raise DomainError(f"{path}: bands {alphas} are all called alpha; say what they are with bands=")
    alpha = alphas[0] if alphas else None
    if alpha is not None and named is not None and named[alpha - 1].lower() != "alpha":
        alpha = None
    elif alpha is not None and not choice.alpha and _looks_like_data(dataset, alpha):
        raise DomainError(
            f"{path}: band {alpha} is tagged alpha but varies like the image, so it is probably near infrared; "
            "give bands=red,green,blue,nir, or bands=...,alpha if it is transparency, or leave it out with "
            f"bands={spans([i for i in dataset.indexes if i != alpha])}"
        )
    data = tuple(i for i in dataset.indexes if i != alpha)
    if not data:
        raise DomainError(f"{path}: has no band but alpha")
    enums = dataset.mask_flag_enums
    flags = [{f.name for f in enums[i - 1]} for i in data]
    mask = "none"
    if alpha is None and not any("alpha" in f for f in flags):
        if all("per_dataset" in f for f in flags):
            mask = "dataset"
        elif any(not f for f in flags):
            mask = "band"
    return Layout(data, alpha, mask, dataset.count)


def _looks_like_data(dataset: Any, alpha: int) -> bool:  # noqa: ANN401
    """Whether a band called alpha has many levels between its ends and the spread of the other bands."""
    if dataset.count < 4:
        return False
    side = 256
    spread, between, total = [], 0, 0
    for row in {0, max(0, (dataset.height - side) // 2), max(0, dataset.height - side)}:
        for col in {0, max(0, (dataset.width - side) // 2), max(0, dataset.width - side)}:
            place = ((row, min(row + side, dataset.height)), (col, min(col + side, dataset.width)))
            codes = dataset.read(window=place).reshape(dataset.count, -1)
            between += int(((codes[alpha - 1] != 0) & (codes[alpha - 1] != codes.max())).sum())
            total += codes.shape[1]
            spread.append(codes.astype(np.float64).std(1))
    widths = np.mean(spread, 0)
    others = np.delete(widths, alpha - 1)
    similar = int(((others < 4 * widths[alpha - 1]) & (others > widths[alpha - 1] / 4)).sum())
    return between > 0.5 * total and similar >= 3


def _nir(dataset: Any) -> bool:  # noqa: ANN401
    """Whether a band called alpha is none: it holds data, and says nothing about what is valid."""
    colors = [c.name for c in dataset.colorinterp]
    return colors.count("alpha") == 1 and _looks_like_data(dataset, colors.index("alpha") + 1)


def _names(dataset: Any, layout: Layout, choice: Choice) -> tuple[str, ...]:  # noqa: ANN401
    names = choice.names or names_of(dataset)
    return tuple(names[i - 1] for i in layout.data)


def _values(
    path: Path,
    dataset: Any,  # noqa: ANN401
    layout: Layout,
    options: Options,
    choice: Choice,
) -> tuple[Coding, Carried, list[str]]:
    notes: list[str] = []
    dtype = np.dtype(dataset.dtypes[0])
    nodata = _nodata(path, dataset, layout, options, dtype, notes)
    fill, avoid, declared = _marker(dtype, layout, nodata, notes)
    kept, band_tags, dropped = tags.carried(dataset)
    scales, offsets = _calibration(dataset, options)
    saturated = options.saturated
    if saturated == "auto":
        saturated = 65535.0 if dtype == np.uint16 and 65535.0 not in nodata else None
    if isinstance(saturated, float) and not holds(dtype, saturated):
        raise DomainError(f"{path}: saturated={saturated} is no value of {dtype}")
    try:
        coding = Coding(
            dtype=dtype,
            scales=tuple(scales[i - 1] for i in layout.data),
            offsets=tuple(offsets[i - 1] for i in layout.data),
            nodata=nodata,
            fill=fill,
            avoid=avoid,
            saturated=saturated if isinstance(saturated, float) else None,
        )
    except DomainError as error:
        raise DomainError(f"{path}: {error}") from error
    photometric = dataset.photometric.name if dataset.photometric is not None else ""
    if photometric == "ycbcr" or dataset.driver == "JPEG":
        notes.append("JPEG compression: its block artefacts are in the data")
    untagged = all(s == 1 for s in dataset.scales) and not any(dataset.offsets)
    carried = Carried(
        colors=_colors(dataset, layout),
        descriptions=tuple(dataset.descriptions) if choice.names is None else choice.names,
        units=tuple(u or None for u in dataset.units),
        scales=scales if untagged else tuple(dataset.scales),
        offsets=offsets if untagged else tuple(dataset.offsets),
        nodata=declared,
        tags=kept,
        band_tags=band_tags,
        dropped=dropped,
        photometric=photometric,
        palettes=tuple(
            dataset.colormap(i) if _proof(dataset, i, color.name) == PALETTE else None
            for i, color in zip(dataset.indexes, dataset.colorinterp, strict=True)
        ),
        white=dataset.tags(ns="IMAGE_STRUCTURE").get("MINISWHITE") == "YES",
    )
    return coding, carried, notes


def _colors(dataset: Any, layout: Layout) -> tuple[Any, ...]:  # noqa: ANN401
    """Colour interpretation per file band; a band that is not transparency after all is not called alpha again."""
    interp = gdal.load().enums.ColorInterp
    return tuple(
        interp.undefined if c == interp.palette or (c == interp.alpha and i != layout.alpha) else c
        for i, c in zip(dataset.indexes, dataset.colorinterp, strict=True)
    )


def _calibration(dataset: Any, options: Options) -> tuple[tuple[float, ...], tuple[float, ...]]:  # noqa: ANN401
    """Scale and offset per file band; what the user gives comes before what the file says."""
    scales = tuple(float(s) if options.scale is None else options.scale for s in dataset.scales)
    offsets = tuple(float(o) if options.offset is None else options.offset for o in dataset.offsets)
    return scales, offsets


def _nodata(
    path: Path,
    dataset: Any,  # noqa: ANN401
    layout: Layout,
    options: Options,
    dtype: np.dtype[Any],
    notes: list[str],
) -> tuple[float | None, ...]:
    found: list[float | None] = []
    declared = dataset.nodatavals
    for i in layout.data:
        value = declared[i - 1] if options.nodata is None else options.nodata
        if value is None:
            found.append(None)
        elif holds(dtype, value) and not (dtype.itemsize == 8 and dtype.kind in "iu" and abs(value) > EXACT):
            found.append(float(value))
        elif options.nodata is not None:
            raise DomainError(f"{path}: nodata={value} is no value of {dtype}; give a code of that type")
        else:
            notes.append(f"declared nodata {value} is no value of {dtype}: no pixel has it, it is dropped")
            found.append(None)
    return tuple(found)


def _marker(
    dtype: np.dtype[Any], layout: Layout, nodata: tuple[float | None, ...], notes: list[str]
) -> tuple[float, float | None, float | None]:
    """Code for invalid pixels, code that valid pixels avoid, and the nodata to declare."""
    declared = next((n for n in nodata if n is not None), None)
    if declared is not None:
        if len({repr(n) for n in nodata}) > 1:
            notes.append(f"bands declare different nodata {nodata}; GeoTIFF holds one: {declared}")
        return declared, declared, declared
    if layout.mask == "band" and dtype.kind == "f":
        return float("nan"), None, float("nan")
    if layout.mask == "band":
        notes.append("per-band masks become nodata 0: GeoTIFF has one mask for all bands; valid zeros are moved by one")
        return 0.0, 0.0, 0.0
    return (float("nan") if dtype.kind == "f" else 0.0), None, None


def _one_bit(dataset: Any, i: int) -> bool:  # noqa: ANN401
    """Whether a band has one bit per pixel, which GDAL dresses in a palette of black and white."""
    return bool(dataset.tags(i, ns="IMAGE_STRUCTURE").get("NBITS") == "1")


def _proof(dataset: Any, i: int, color: str) -> str:  # noqa: ANN401
    """What of a band's own words proves classes or bits, "" if nothing does."""
    if _one_bit(dataset, i):
        return "one bit per pixel"
    white = "MINISWHITE" in dataset.tags(ns="IMAGE_STRUCTURE")  # GDAL makes up a colour table that turns grey over
    if color == "palette" and not white:
        return PALETTE
    if dataset.tags(i).get("LAYER_TYPE") == "thematic":
        return "its LAYER_TYPE is thematic"
    return ""
