"""What the package offers in one call each: ``gensr.open`` and ``gensr.upsample``."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gensr.errors import GensrError
from gensr.pipeline.events import Noticed, Settled, Through, TileDone, Written
from gensr.pipeline.lazily import is_lazy, upsample_lazily
from gensr.pipeline.request import Request, Runtime
from gensr.pipeline.result import Result
from gensr.pipeline.settle import open_source, settle
from gensr.runners.base import Runner
from gensr.scenes.scene import Scene
from gensr.values.area import Area, Numbers

if TYPE_CHECKING:
    import numpy.typing as npt
    import xarray as xr

    from gensr.search.presets import Preset
    from gensr.values.bands import Words

Listener = Callable[[int, int], None]
"""Told output pixels done and output pixels in all."""


def open(
    source: str | Path,
    *,
    domain: str | None = None,
    options: Mapping[str, Any] | None = None,
    srcwin: Numbers | None = None,
    bounds: Numbers | None = None,
) -> Scene:
    """Open a file or folder as a scene.

    Args:
        source: path of the input.
        domain: its domain; guessed from the content if not given.
        options: options of the domain.
        srcwin: part of the input, see `upsample`.
        bounds: part of the input, see `upsample`.

    Raises:
        FormatError: unreadable, or no domain recognises it.
        DomainError: the part lies outside.
    """
    return open_source(Path(source), domain, options or {}, area=Area(srcwin, bounds))[0]


def upsample(
    source: str | Path | xr.DataArray | xr.Dataset | npt.NDArray[Any] | object,
    *,
    factor: int | str | tuple[int, int] = 4,
    domain: str | None = None,
    generator: str | None = None,
    operator: str | None = None,
    noise: str | float | None = None,
    search: str | Preset = "balanced",
    samples: int = 1,
    seed: int = 0,
    device: str = "auto",
    precision: str = "auto",
    output: str | Path | None = None,
    existing: str = "error",
    overwrite: bool = False,
    resume: bool = False,
    tile: int | None = None,
    batch: int | None = None,
    bands: Words | None = None,
    remote: bool = False,
    labels: str = "refuse",
    calibrate: str = "card",
    check: str = "auto",
    options: Mapping[str, Any] | None = None,
    runtime: Runtime | str = "local",
    srcwin: Numbers | None = None,
    bounds: Numbers | None = None,
    dims: str | Sequence[str] | None = None,
    progress: Listener | None = None,
) -> Result:
    """Search the high-resolution images that explain a low-resolution one.

    Args:
        source: a file or folder that a domain reads, an array (y, x), (band, y, x), (plane, band, y, x) of NumPy,
            torch or xarray (name the domain where it has no georeference), or an object of astropy (CCDData, NDData,
            HDU, Quantity), nibabel or pydicom.
        factor: whole number from 2 to 64, refinement of rows and columns; "2x4" or (2, 4) where they differ; 1 undoes
            the blur of an operator on the grid of the input.
        domain: domain name; guessed from a file's content, the one that takes arrays for arrays.
        generator: name or .safetensors file; the scene's default if not given.
        operator: forward operator such as "area" or "gaussian:sigma=0.5"; the scene's default if not given.
        noise: "auto", a deviation in image units (or one per band, "2,200"), "1%", "poisson:gain=2,sigma=3", 0 for
            exact data; if not given, the file's own or estimated.
        search: fast, balanced, best, posterior, pulse, or a `gensr.search.presets.Preset`.
        samples: number of posterior samples to keep.
        seed: of all random numbers; results depend on it and on nothing else.
        device: "auto", "cpu", "cuda".
        precision: of networks: "auto", bfloat16 where the device is fast in it; "float32", which is slower.
        output: folder to write into, in the format of the input; nothing is written if not given.
        existing: outputs that exist: "error" refuses them; "skip" leaves inputs alone that are finished and goes on
            with those that are not; "overwrite" makes them again.
        overwrite: the short form of ``existing="overwrite"``.
        resume: the short form of ``existing="skip"``; with ``overwrite`` only outputs that differ are made again.
        tile: side of a tile in input pixels; chosen for the generator if not given.
        batch: tiles computed together, chosen from the memory at hand if not given; does not change results.
        bands: which bands, as numbers from 1, ranges or names ("1-3,8", "red,nir"); all if not given.
        remote: fetch inputs that are addresses (http, https, s3, gs, az); refused by name otherwise.
        labels: what becomes of label images and masks: "refuse" them, repeat their pixels exactly ("nearest"), or take
            them for an "image".
        calibrate: where the factor on the deviation comes from: the "card" of the generator, or the input "self".
        check: whether the input judges the prior beside the run, as ``gensr check`` does: "auto" (images of 64 x 64
            pixels and more, a tenth of the time at most), "on" or "off". Results do not depend on it.
        options: options of the domain.
        runtime: where tiles run: "local", "dask", or a `Runtime` with address or workers.
        srcwin: part of the input, "xoff,yoff,xsize,ysize" in its pixels.
        bounds: part of the input, "left,bottom,right,top" in its coordinates (RA and Dec on the sky), or a centre with
            a size, "150.1,2.2,30arcsec".
        dims: what each axis of an array is, of plane, band, y, x: "y,x,band"; files and objects say it themselves.
        progress: called with (output pixels done, output pixels in all).

    Returns:
        The posterior with report and preview; that of an array of Dask holds lazy arrays, whose tiles are computed
        when they are asked for.

    Raises:
        GensrError: with one line that names the input, what was wrong and what to do.

    >>> import numpy as np
    >>> result = upsample(np.outer(np.hanning(16), np.hanning(16)), factor=2, samples=0)  # doctest: +SKIP
    >>> result.mean.shape  # doctest: +SKIP
    (32, 32)
    """
    request = Request(
        source=source,
        factor=factor,
        domain=domain,
        generator=generator,
        operator=operator,
        noise=noise,
        search=search,
        samples=samples,
        seed=seed,
        device=device,
        precision=precision,
        output=output,
        existing=existing,
        overwrite=overwrite,
        resume=resume,
        tile=tile,
        batch=batch,
        bands=bands,
        remote=remote,
        labels=labels,
        calibrate=calibrate,
        check=check,
        options=options or {},
        runtime=Runtime(runtime) if isinstance(runtime, str) else runtime,
        srcwin=srcwin,
        bounds=bounds,
        dims=dims,
    )
    if is_lazy(source):
        return upsample_lazily(request, progress is not None)
    return drain(request, progress)


def drain(request: Request, progress: Listener | None = None, where: Runner | None = None) -> Result:
    """Settle a request and run it to its end.

    Args:
        request: what is asked.
        progress: called with (output pixels done, output pixels in all).
        where: tiles run; made from the request if not given.

    Raises:
        GensrError: see `upsample`.
    """
    result: Result | None = None
    with settle(request) as plan:
        for event in plan.run(where):
            if progress is not None and isinstance(event, Settled | TileDone | Through):
                progress(event.position.done, event.position.total)
            if isinstance(event, Noticed):
                warnings.warn(event.text, stacklevel=2)
            if isinstance(event, Written):
                result = event.result
    if result is None:
        raise GensrError("the run ended without a result; report this with the input")
    return result
