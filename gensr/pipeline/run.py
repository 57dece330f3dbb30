"""The one place where the flow is written down.

file -> Domain.open -> Scene -> tiles -> operator and generator -> search -> posterior -> merge -> refined grid ->
Domain.write -> file, std, report, preview.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gensr import registry
from gensr.errors import OutputError
from gensr.pipeline import preview, reconstruct, through_plane
from gensr.pipeline.plan import Job, Request, prepare
from gensr.pipeline.report import build, job_facts
from gensr.pipeline.result import Result, StoredProduct, load_arrays
from gensr.pipeline.store import Store
from gensr.pipeline.tiles import Tile, batches
from gensr.scenes import arrays, inputs
from gensr.scenes.domain import Domain, Names, Scene
from gensr.scenes.provenance import as_json, fingerprint
from gensr.values.grid import Window
from gensr.values.image import Image

if TYPE_CHECKING:
    import numpy.typing as npt
    import xarray as xr

    from gensr.search.presets import Preset

Progress = Callable[[int, int], None]


def open(source: str | Path, *, domain: str | None = None, options: Mapping[str, Any] | None = None) -> Scene:
    """Open a file or folder as a scene.

    Args:
        source: path of the input.
        domain: its domain; guessed from the content if not given.
        options: options of the domain.

    Raises:
        FormatError: unreadable, or no domain recognises it.
    """
    path = Path(source)
    chosen = registry.domain(domain) if domain else inputs.guess(path)
    return chosen.open(path, options or {})


def upsample(
    source: str | Path | xr.DataArray | npt.NDArray[Any],
    *,
    factor: int = 4,
    domain: str | None = None,
    generator: str | None = None,
    operator: str | None = None,
    noise: str | float | None = None,
    search: str | Preset = "balanced",
    samples: int = 1,
    seed: int = 0,
    device: str = "auto",
    output: str | Path | None = None,
    overwrite: bool = False,
    resume: bool = False,
    tile: int | None = None,
    batch: int | None = None,
    options: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Result:
    """Search the high-resolution images that explain a low-resolution one.

    Args:
        source: a file or folder that a domain reads, or an array (y, x), (band, y, x); for arrays name the domain.
        factor: whole number from 2 to 64, refinement of rows and columns.
        domain: domain name; guessed from a file's content, "microscopy" for arrays.
        generator: name or .safetensors file; the domain's default if not given.
        operator: forward operator such as "area" or "gaussian:sigma=0.5"; the domain's default if not given.
        noise: "auto", a deviation in image units, "1%", "poisson:gain=2,sigma=3", 0 for exact data; if not given,
            the file's own or estimated.
        search: fast, balanced, best, posterior, pulse, or a `Preset`.
        samples: number of posterior samples to keep.
        seed: of all random numbers; results depend on it and on nothing else.
        device: "auto", "cpu", "cuda".
        output: folder to write into, in the format of the input; nothing is written if not given.
        overwrite: replace an earlier output.
        resume: continue a run that was killed (needs ``output``).
        tile: side of a tile in input pixels; chosen for the generator if not given.
        batch: tiles computed together; does not change results.
        options: options of the domain.
        progress: called with (output pixels done, output pixels in all).

    Returns:
        The posterior with report and preview.

    Raises:
        GensrError: with one line that names the input, what was wrong and what to do.

    >>> import numpy as np
    >>> result = upsample(np.outer(np.hanning(16), np.hanning(16)), factor=2, samples=0)  # doctest: +SKIP
    >>> result.mean.shape  # doctest: +SKIP
    (32, 32)
    """
    request = Request(factor, generator, operator, noise, search, samples, seed, device)
    with contextlib.ExitStack() as stack:
        scene, chosen = _opened(source, domain, options or {})
        stack.callback(scene.close)
        names = Names(chosen.stem(scene.path), factor)
        folder = _work_folder(stack, output, names, overwrite, resume)
        job = prepare(scene, chosen, request)
        started = time.monotonic()
        store = stack.enter_context(_store(folder, scene, job, tile, options or {}, resume))
        finished = stack.enter_context(_dropped_when_finished(store))
        clipped = _run(scene, job, store, tile, batch or 1, progress)
        report = build(scene, chosen.name, job, store, time.monotonic() - started, clipped)
        slices = 1 if job.across is None else job.across.factor
        product = StoredProduct(store, job.factor, request.samples, report, slices)
        picture = _preview(scene, chosen, job, store, request.samples)
        held = load_arrays(store, arrays.kept_dims(scene), output is not None)
        files = _write(scene, chosen, product, picture, Path(output), folder, names) if output is not None else []
        finished.append(True)
        return Result(report, files, scene.grid.refine(factor), scene.bands, scene.unit, picture, held)


def _opened(source: Any, domain: str | None, options: Mapping[str, Any]) -> tuple[Scene, Domain]:  # noqa: ANN401
    if isinstance(source, str | Path):
        path = Path(source)
        chosen = registry.domain(domain) if domain else inputs.guess(path)
        return chosen.open(path, options), chosen
    array_domain = arrays.ArrayDomain(registry.domain(domain or "microscopy"))
    return arrays.ArrayScene(source), array_domain


def _work_folder(
    stack: contextlib.ExitStack, output: str | Path | None, names: Names, overwrite: bool, resume: bool
) -> Path:
    """Folder of the store; a stale one is removed, and an output that exists stops the run before it starts."""
    if output is None:
        return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gensr-")))
    target = Path(output)
    try:
        target.mkdir(parents=True, exist_ok=True)
        probe = target / f".gensr-probe-{names.stem}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise OutputError(f"{target}: cannot write there ({error.strerror}); choose another output=DIR") from error
    existing = sorted(p.name for p in target.glob(f"{_escaped(names.mean(''))}*"))
    if existing and not overwrite:
        raise OutputError(f"{target / existing[0]}: exists already; give overwrite=true or another output=DIR")
    folder = target / f".{names.mean('')}.work"
    if folder.exists() and not resume:
        shutil.rmtree(folder)
    return folder


@contextlib.contextmanager
def _dropped_when_finished(store: Store) -> Iterator[list[bool]]:
    """Delete the store's folder if the run appended to the list; a run that failed keeps it for ``resume``."""
    finished: list[bool] = []
    yield finished
    if finished:
        store.close()
        shutil.rmtree(store.folder)


def _escaped(name: str) -> str:
    import glob

    return glob.escape(name)


def _store(folder: Path, scene: Scene, job: Job, side: int | None, options: Mapping[str, Any], resume: bool) -> Store:
    rows, cols = scene.grid.refine(job.factor).shape
    full = (scene.planes, len(scene.bands), rows, cols)
    names = ["mean", "std", *(f"sample{k}" for k in range(job.request.samples))]
    _, window = preview.window_of(scene, job.factor)
    fine, coarse = window.refine(job.factor), window
    shown = (1, len(scene.bands), fine.rows, fine.cols)
    single = np.dtype(np.float32)
    layout = {} if job.across is None else through_plane.layout(job.across, names, full)
    final = full if job.across is None else layout["second"][0]
    layout |= {name: (final, single if name == "std" else scene.dtype) for name in names}
    layout |= {"preview_mean": (shown, single), "preview_std": (shown, single)}
    layout["preview_residual"] = ((1, len(scene.bands), coarse.rows, coarse.cols), single)
    if job.request.samples:
        layout["preview_sample0"] = (shown, single)
    facts = {"input": fingerprint(scene.path), "tile": side, "options": dict(options), **job_facts(job)}
    return Store(folder, facts, layout, resume)


def _run(scene: Scene, job: Job, store: Store, side: int | None, size: int, progress: Progress | None) -> int | None:
    """Compute all tiles that are not in the store, then refine across planes if the job says so.

    Returns:
        How many codes of the second pass were clipped; None without one.
    """
    todo = reconstruct.tiles(scene, job, side)
    pixels = job.factor[0] * job.factor[1] * len(scene.bands)
    first = sum(t.core.rows * t.core.cols for t in todo) * pixels
    total = first * (1 + through_plane.passes(job) * (job.across.factor if job.across else 1))
    done = sum(t.core.rows * t.core.cols for t in todo if t.index in store.done) * pixels

    def advance(count: int) -> None:
        nonlocal done
        done += count
        if progress is not None:
            progress(done, total)

    advance(0)
    for group in batches([t for t in todo if t.index not in store.done], size):
        for tile, result in zip(group, reconstruct.in_place(scene, job, group), strict=True):
            store.finish(tile.index, _keep(scene, job, store, tile, result))
            advance(tile.core.rows * tile.core.cols * pixels)
    if job.across is None:
        return None
    return through_plane.refine(scene, job, store, lambda count: advance(count * len(scene.bands)))


def _keep(scene: Scene, job: Job, store: Store, tile: Tile, result: reconstruct.TileResult) -> dict[str, Any]:
    area = tile.core.refine(job.factor)
    clipped = 0
    named = {"mean": result.mean, **{f"sample{k}": sample for k, sample in enumerate(result.samples)}}
    for name, values in named.items():
        if job.across is None:
            codes, moved = scene.encode(tile.plane, values, result.valid)
            store.rasters[name].write(tile.plane, area, codes)
            clipped += moved if name == "mean" else 0
        else:
            store.rasters[f"first_{name}"].write(tile.plane, area, np.where(result.valid, values, np.float32(np.nan)))
    store.rasters["std" if job.across is None else "first_std"].write(tile.plane, area, result.std)
    plane, window = preview.window_of(scene, job.factor)
    if tile.plane == plane:
        gain = np.float32(job.operator.gain)
        fine = {"preview_mean": result.mean * gain, "preview_std": result.std * gain}
        if result.samples:
            fine["preview_sample0"] = result.samples[0] * gain
        for name, values in fine.items():
            _paint(store, name, window.refine(job.factor), area, values)
        _paint(store, "preview_residual", window, tile.core, result.whitened)
    return {"clipped": clipped, "valid": int(result.valid.sum()), **result.residual}


def _paint(store: Store, name: str, shown: Window, area: Window, values: npt.NDArray[np.float32]) -> None:
    """Write the part of a tile that lies in the preview window."""
    top, left = max(area.row, shown.row), max(area.col, shown.col)
    bottom = min(area.row + area.rows, shown.row + shown.rows)
    right = min(area.col + area.cols, shown.col + shown.cols)
    if bottom > top and right > left:
        part = values[:, top - area.row : bottom - area.row, left - area.col : right - area.col]
        place = Window(top - shown.row, left - shown.col, bottom - top, right - left)
        store.rasters[name].write(0, place, part)


def _preview(scene: Scene, domain: Domain, job: Job, store: Store, samples: int) -> bytes:
    plane, window = preview.window_of(scene, job.factor)
    image: Image = scene.read(plane, window)
    names = ["mean", "std", "residual"] + (["sample0"] if samples else [])
    rasters = {name: store.rasters[f"preview_{name}"] for name in names}
    fine = {name: raster.read(0, Window(0, 0, *raster.shape[2:])) for name, raster in rasters.items()}
    return preview.panel(scene, domain, job.factor, image, fine)


def _write(
    scene: Scene,
    domain: Domain,
    product: StoredProduct,
    picture: bytes,
    output: Path,
    folder: Path,
    names: Names,
) -> list[Path]:
    """Let the domain write into a staging folder, then rename everything into place."""
    staging = folder / "staging"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir()
    written = domain.write(scene, product, staging, names)
    report = staging / f"{names.mean('')}_report.json"
    report.write_text(as_json(product.report, indent=2) + "\n", encoding="ascii")
    panel = staging / f"{names.mean('')}_preview.png"
    panel.write_bytes(picture)
    final = []
    for path in [*written, report, panel]:
        target = output / path.relative_to(staging)
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)
        path.replace(target)
        final.append(target)
    return final
