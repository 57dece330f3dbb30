"""Writing NetCDF and Zarr: variables of the input refined, with its coordinates, CRS, attributes and packing."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from gensr.errors import OutputError
from gensr.scenes.labelled import Labelled
from gensr.scenes.names import Names
from gensr.scenes.product import Codes, Product
from gensr.scenes.provenance import as_json, mark_of, sentence, software
from gensr.scenes.relabel import relabelled
from gensr.scenes.scene import Scene
from gensr.values.grid import Window

SIDE = 512
LEVEL = 4


def write_cube(scene: Scene, labels: Labelled, version: int, product: Product, folder: Path, names: Names) -> Path:
    """Write mean, standard deviation and samples into one file, window by window; returns it.

    Args:
        scene: an array with labels.
        labels: what they say.
        version: of Zarr; 0 for netCDF-4.
        product: finished results.
        folder: staging folder.
        names: of the outputs.

    Raises:
        OutputError: it cannot be written.
    """
    import dask

    path = folder / names.mean(".zarr" if version else ".nc")
    arrays = {"mean": _lazy(scene, product, product.mean, scene.dtype)}

    def std(plane: int, window: Window) -> Codes:
        return product.std(plane, window).astype(np.float32)

    arrays["std"] = _lazy(scene, product, std, np.dtype(np.float32))
    for k in range(product.samples):

        def sample(plane: int, window: Window, k: int = k) -> Codes:
            return product.sample(k, plane, window)

        arrays[f"sample{k + 1}"] = _lazy(scene, product, sample, scene.dtype)
    form, window = labels.form, Window(*scene.origin, *scene.grid.shape)
    shaped = {name: form.back(array) for name, array in arrays.items()}
    try:
        found = relabelled(labels, shaped, product.factor, window)
        found.attrs = {**labels.source.attrs, **_provenance(product, labels.source.attrs)}
        with warnings.catch_warnings(), dask.config.set(scheduler="synchronous"):
            warnings.simplefilter("ignore")  # about attributes of the input that are carried
            _save(version, found, path)
    except (ValueError, TypeError, OSError, RuntimeError) as error:
        text = " ".join(str(error).split())[:200]
        raise OutputError(f"{path.name}: cannot be written ({text})") from error
    return path


def _lazy(scene: Scene, product: Product, read: Callable[[int, Window], Codes], dtype: np.dtype[Any]) -> Any:  # noqa: ANN401
    """Results as a Dask array (plane, band, y, x) whose blocks are read when they are written."""
    import dask.array

    blocks: Any = dask.array
    rows, cols = scene.grid.refine(product.factor).shape
    shape = (scene.planes, len(scene.bands), rows, cols)
    chunks = blocks.core.normalize_chunks((1, len(scene.bands), SIDE, SIDE), shape=shape)

    def block(block_info: Any = None) -> Codes:  # noqa: ANN401
        (plane, _), _, (row, bottom), (col, right) = block_info[None]["array-location"]
        return read(plane, Window(row, col, bottom - row, right - col))[None]

    return blocks.map_blocks(block, chunks=chunks, dtype=dtype, meta=np.empty((0,) * 4, dtype))


def _save(version: int, found: Any, path: Path) -> None:  # noqa: ANN401
    for variable in found.variables.values():
        if "_FillValue" not in variable.attrs:
            variable.encoding.setdefault("_FillValue", None)  # xarray would call NaN one
    if version:
        found.to_zarr(path, mode="w", zarr_format=version, consolidated=version == 2)
        return
    for variable in found.variables.values():
        if variable.ndim >= 2 and variable.dtype.kind in "uif":
            sizes = [min(n, SIDE if n > 1 else 1) for n in variable.shape]
            sizes[:-2] = [1] * (variable.ndim - 2)
            variable.encoding |= {"zlib": True, "complevel": LEVEL, "shuffle": True, "chunksizes": tuple(sizes)}
    found.to_netcdf(path, engine="h5netcdf")


def _provenance(product: Product, old: Any) -> dict[str, str]:  # noqa: ANN401
    """Global attributes; ``history`` is CF's place for what was done, the newest line first."""
    words = sentence(product.report)
    history = str(old.get("history", "")).strip()
    return {
        "history": f"{software()}: {words}" + (f"\n{history}" if history else ""),
        "gensr_generated": mark_of(product.report),
        "gensr_report": as_json(product.report),
    }
