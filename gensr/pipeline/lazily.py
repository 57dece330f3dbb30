"""Arrays of Dask are answered lazily: a graph of tiles, of which each is computed when somebody asks for it.

The tiles are those of an ordinary run, so the numbers are the same and there are no seams: the block of a tile is its
core with the context that the generator looks at. What must be known beforehand (contrast, noise, whether the array
holds labels) is taken from a bounded sample of windows, so only the blocks under those are computed at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from gensr.errors import UsageError
from gensr.pipeline.plan import Plan
from gensr.pipeline.reconstruct import in_memory
from gensr.pipeline.report import planned
from gensr.pipeline.request import Request
from gensr.pipeline.result import Result
from gensr.pipeline.settle import settle
from gensr.pipeline.store import MEAN, STD, sample_name
from gensr.pipeline.task import Task
from gensr.pipeline.tiles import Tile
from gensr.scenes.arrays import ArrayScene
from gensr.scenes.coded import Decoder
from gensr.scenes.objects import kind_of
from gensr.scenes.product import Codes
from gensr.scenes.provenance import as_json, mark_of
from gensr.scenes.relabel import relabelled
from gensr.values.grid import PixelGrid, Window
from gensr.values.image import Image

SAMPLED = "contrast and noise are from a bounded sample of the array's windows; pixels are computed when asked for"
_NOT_HERE = {
    "output": "write what comes back, for example with to_xarray().to_zarr(path)",
    "resume": "nothing is written",
    "overwrite": "nothing is written",
    "existing": "nothing is written",
    "batch": "Dask decides how many tiles are computed together",
    "runtime": "the scheduler of Dask that is active computes it",
}


def is_lazy(source: object) -> bool:
    """Whether an array is one of Dask, or one of xarray over Dask. Nothing is imported for others."""
    kind, made = kind_of(source), source
    if kind == "dask.Array":
        return True
    if kind == "xarray.DataArray":
        return getattr(made, "chunks", None) is not None
    if kind == "xarray.Dataset":
        return any(v.chunks is not None for v in made.data_vars.values())  # type: ignore[attr-defined]
    return False


def upsample_lazily(request: Request, listened: bool = False) -> Result:
    """The graph of a request for an array of Dask.

    Args:
        request: what is asked.
        listened: whether somebody wants to be told how far it is.

    Raises:
        GensrError: see `gensr.pipeline.settle.settle`; words that mean nothing here.
    """
    blank = Request(source="")
    said = [name for name in _NOT_HERE if getattr(request, name) != getattr(blank, name)]
    if said:
        raise UsageError(f"{said[0]}= with an array of Dask: {_NOT_HERE[said[0]]}; leave it out")
    if request.labels == "nearest":
        raise UsageError("labels=nearest with an array of Dask: repeat its blocks, for example with dask.array.repeat")
    if listened:
        raise UsageError("progress= with an array of Dask: use dask.diagnostics.ProgressBar; leave it out")
    with settle(request) as plan:
        scene = plan.scene
        if not isinstance(plan, Plan) or not isinstance(scene, ArrayScene) or scene.labels is None:
            raise UsageError("the array is not answered by blocks; load it first, array.compute()")
        wholes = _graph(plan, scene, scene.labels.packed.codes)
        wholes = {name: scene.form.back(whole) for name, whole in wholes.items()}
        report = planned(plan)
        report["warnings"] = [*report["warnings"], SAMPLED]
        window = Window(*scene.origin, *scene.grid.shape)
        made = relabelled(scene.labels, wholes, plan.task.factor, window)
        made = made.assign_attrs(gensr=mark_of(report), report=as_json(report))
        arrays = {name if name in (MEAN, STD) else sample_name(int(name[6:]) - 1): w for name, w in wholes.items()}
        grid = scene.grid.refine(plan.task.factor)
        return Result(report, [], grid, scene.bands, scene.unit, b"", arrays, lazy=made)


def _graph(plan: Plan, scene: ArrayScene, codes: Any) -> dict[str, Any]:  # noqa: ANN401
    """Mean, deviation and samples as Dask arrays (plane, band, y, x): one task for each tile."""
    import dask.array as da
    from dask.base import tokenize
    from dask.delayed import delayed

    task, (top, left) = plan.task, scene.origin
    token = tokenize(codes.name, scene.origin, scene.grid.shape, repr(planned(plan)))
    names = [MEAN, STD, *(f"sample{k + 1}" for k in range(task.samples))]
    bands, dtypes = len(scene.bands), dict.fromkeys(names, scene.dtype) | {STD: np.dtype(np.float32)}
    rows: dict[str, dict[int, dict[int, list[Any]]]] = {name: {} for name in names}
    for tile in plan.tiles:
        read = tile.read
        block = codes[
            tile.plane, :, top + read.row : top + read.row + read.rows, left + read.col : left + read.col + read.cols
        ]
        work = partial(_answer, decoder=scene.decoder, task=task, tile=tile, grid=scene.grid.crop(read))
        lazy = delayed(work, traverse=False, nout=len(names))
        found = lazy(block.rechunk(-1).to_delayed().item(), dask_key_name=f"gensr-{token}-{tile.index}")
        area = tile.core.refine(task.factor)
        for number, name in enumerate(names):
            part = da.from_delayed(found[number], (bands, area.rows, area.cols), dtypes[name])
            rows[name].setdefault(tile.plane, {}).setdefault(area.row, []).append(part)
    return {
        name: da.stack([da.block([strip for _, strip in sorted(planes[p].items())]) for p in sorted(planes)])
        for name, planes in rows.items()
    }


def _answer(codes: Codes, decoder: Decoder, task: Task, tile: Tile, grid: PixelGrid) -> tuple[Codes, ...]:
    """Mean, deviation and samples of the core of a tile, from the codes of what it reads."""

    def read(plane: int, window: Window) -> Image:
        return decoder.image(np.asarray(codes), grid)

    (found,) = in_memory("array", read, task, [tile])
    coded: Sequence[Codes] = [decoder.coding.encode(values, found.valid)[0] for values in (found.mean, *found.samples)]
    return coded[0], found.std.astype(np.float32), *coded[1:]
