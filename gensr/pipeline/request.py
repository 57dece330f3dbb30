"""What a user asks for, in one value: every way in makes one, and everything else follows from it.

Nothing heavy is imported here: the command line reads names, defaults and limits from this class before it needs torch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gensr.errors import UsageError
from gensr.values import bands as band_words
from gensr.values.area import Area, Numbers
from gensr.values.words import EXPECTED, LABELS, PRECISIONS, parse_noise

if TYPE_CHECKING:
    import numpy.typing as npt
    import xarray as xr

    from gensr.search.presets import Preset
    from gensr.values.grid import Factor

SMALLEST_FACTOR, LARGEST_FACTOR = 2, 64
"""Of a refinement; 1 is for a blur that is undone on the grid of the input."""
ADDRESS = re.compile(r"((tcp|tls|ucx|ws|wss)://)?([\w.-]+|\[[\da-fA-F:.]+\]):\d+(/\S*)?")
"""What the address of a Dask scheduler looks like."""
EXISTING = ("error", "skip", "overwrite")
"""What may be done with outputs that exist."""
CALIBRATIONS, CHECKS = ("card", "self"), ("auto", "on", "off")
"""Where factors on the deviation come from; when an input judges the prior."""
FACTORS = f"a whole number from {SMALLEST_FACTOR} to {LARGEST_FACTOR}, or rows x columns such as 2x4"
NOTHING = f"nothing to do; expected {FACTORS}, or a blur to undo on the grid of the input (gensr deblur)"
"""What is said of a factor of 1 without an instrument."""


def parse_factor(value: object) -> Factor:
    """Refinement of rows and of columns, from a number, a pair, or a text such as ``4`` or ``2x4``.

    Raises:
        ValueError: neither, or out of range.

    >>> parse_factor(4), parse_factor("2x4"), parse_factor((1, 3)), parse_factor(1)
    ((4, 4), (2, 4), (1, 3), (1, 1))
    """
    if isinstance(value, str):
        found = re.fullmatch(r"(\d{1,4})(?:x(\d{1,4}))?", value)
        value = (int(found[1]), int(found[2] or found[1])) if found else ()
    pair = (value, value) if _whole(value, 1) else value
    if not isinstance(pair, tuple | list) or len(pair) != 2 or not all(_whole(f, 1, LARGEST_FACTOR) for f in pair):
        raise ValueError(f"{value!r} is no factor")
    return pair[0], pair[1]


@dataclass(frozen=True)
class Runtime:
    """Where tiles run.

    Attributes:
        name: "local", this process; "dask", a cluster.
        address: of a Dask scheduler such as ``tcp://host:8786``; "" starts a cluster on this machine.
        workers: processes of a cluster that is started; 0 is one per processor.
    """

    name: str = "local"
    address: str = ""
    workers: int = 0

    def __post_init__(self) -> None:
        if self.name not in ("local", "dask"):
            raise UsageError(f"runtime={self.name}: expected local or dask")
        if not isinstance(self.address, str) or (self.address and not ADDRESS.fullmatch(self.address)):
            raise UsageError(
                f"runtime.address={self.address}: expected that of a Dask scheduler, such as tcp://host:8786"
            )
        if isinstance(self.workers, bool) or not isinstance(self.workers, int) or self.workers < 0:
            raise UsageError(f"runtime.workers={self.workers}: expected a whole number from 0")
        if self.name == "local" and (self.address or self.workers):
            said = f"runtime.address={self.address}" if self.address else f"runtime.workers={self.workers}"
            raise UsageError(f"{said} is for runtime=dask; runtime=local is this process alone")
        if self.address and self.workers:
            raise UsageError(
                f"runtime.workers={self.workers}: the cluster at {self.address} has workers of its own; leave it out"
            )


@dataclass(frozen=True)
class Request:
    """What the user asked for; None means "what the scene says".

    Attributes:
        source: a file or folder that a domain reads, an array (y, x), (band, y, x), (plane, band, y, x) of NumPy,
            torch or xarray, or an object of astropy, nibabel or pydicom.
        factor: whole number from 2 to 64, refinement of rows and columns; "2x4" or (2, 4) where they differ; 1 undoes
            the blur of an operator on the grid of the input.
        domain: domain name; guessed from a file's content, the one that takes arrays for arrays.
        generator: name or .safetensors file.
        operator: forward operator such as "area" or "gaussian:sigma=0.5".
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
        batch: tiles computed together; chosen from the memory at hand if not given. Results do not depend on it.
        bands: which bands, as numbers from 1, ranges or names ("1-3,8", "red,nir"); all if not given.
        remote: fetch inputs that are addresses (http, https, s3, gs, az); refused by name otherwise.
        labels: what becomes of label images and masks: "refuse" them, repeat their pixels exactly ("nearest"), or take
            them for an "image".
        calibrate: where the factor on the deviation comes from: the "card" of the generator, or the input "self".
        check: whether the input judges the prior beside the run, as ``gensr check`` does: "auto" (images of 64 x 64
            pixels and more, a tenth of the time at most), "on" or "off". Results do not depend on it.
        options: options of the domain.
        runtime: where tiles run.
        srcwin: part of the input, "xoff,yoff,xsize,ysize" in its pixels.
        bounds: part of the input, "left,bottom,right,top" in its coordinates (RA and Dec on the sky), or a centre with
            a size, "150.1,2.2,30arcsec".
        dims: what each axis of an array is, of plane, band, y, x: "y,x,band"; files and objects say it themselves.
    """

    source: str | Path | npt.NDArray[Any] | xr.DataArray | xr.Dataset | object
    factor: int | str | Factor = 4
    domain: str | None = None
    generator: str | None = None
    operator: str | None = None
    noise: str | float | None = None
    search: str | Preset = "balanced"
    samples: int = 1
    seed: int = 0
    device: str = "auto"
    precision: str = "auto"
    output: str | Path | None = None
    existing: str = "error"
    overwrite: bool = False
    resume: bool = False
    tile: int | None = None
    batch: int | None = None
    bands: band_words.Words | None = None
    remote: bool = False
    labels: str = "refuse"
    calibrate: str = "card"
    check: str = "auto"
    options: Mapping[str, Any] = field(default_factory=dict)
    runtime: Runtime = field(default_factory=Runtime)
    srcwin: Numbers | None = None
    bounds: Numbers | None = None
    dims: str | Sequence[str] | None = None

    def __post_init__(self) -> None:
        try:
            parse_factor(self.factor)
        except ValueError as error:
            raise UsageError(f"factor={self.factor}: expected {FACTORS}, for example factor=4") from error
        object.__setattr__(self, "factor", self.times)
        check_task(self.factor, self.operator, self.options)
        if self.factors == (1, 1) and self.labels == "nearest":
            raise UsageError("labels=nearest: with a factor of 1 labels are what they are; leave them out with bands=")
        if not _whole(self.samples, 0):
            raise UsageError(f"samples={self.samples}: expected 0 or more")
        if not _whole(self.seed, 0):
            raise UsageError(f"seed={self.seed}: expected a whole number from 0")
        for name in ("tile", "batch"):
            value = getattr(self, name)
            if value is not None and not _whole(value, 1):
                raise UsageError(f"{name}={value}: expected a whole number from 1")
        if self.existing not in EXISTING:
            raise UsageError(f"existing={self.existing}: expected {', '.join(EXISTING)}")
        if self.goes_on and self.output is None:
            word = "resume=true" if self.resume else "existing=skip"
            raise UsageError(f"{word} needs output=, the folder of the run that was interrupted")
        if self.labels not in LABELS:
            raise UsageError(f"labels={self.labels}: expected {' or '.join(LABELS)}")
        for name, words in (("precision", PRECISIONS), ("calibrate", CALIBRATIONS), ("check", CHECKS)):
            if (said := getattr(self, name)) not in words:
                raise UsageError(f"{name}={said}: expected {', '.join(words[:-1])} or {words[-1]}")
        if self.bands is not None:
            self._check_bands(self.bands)
        if self.noise is not None:
            try:
                parse_noise(self.noise)
            except ValueError as error:
                raise UsageError(f"noise={self.noise}: expected {EXPECTED}") from error
        Area(self.srcwin, self.bounds)  # it refuses words that say nothing

    @property
    def area(self) -> Area:
        """The part of the input that is asked for."""
        return Area(self.srcwin, self.bounds)

    def _check_bands(self, words: band_words.Words) -> None:
        try:
            band_words.parse_bands(words)
        except ValueError as error:
            raise UsageError(f"bands={words}: {error}; expected {band_words.EXPECTED}") from error
        if self.options.get("bands") is not None:
            raise UsageError("bands= and domain.bands= say the same; give one of them")

    @property
    def factors(self) -> Factor:
        """Refinement of rows and of columns."""
        return parse_factor(self.factor)

    @property
    def times(self) -> int | str:
        """The factor as names and texts have it: a number, or rows and columns."""
        rows, cols = self.factors
        return rows if rows == cols else f"{rows}x{cols}"

    @property
    def goes_on(self) -> bool:
        """Whether what is finished is left alone, and what is begun is gone on with."""
        return self.resume or self.existing == "skip"

    @property
    def replaces(self) -> bool:
        """Whether outputs that exist are made again."""
        return self.overwrite or self.existing == "overwrite"


def check_task(factor: int | str | Factor, operator: str | None, options: Mapping[str, Any]) -> None:
    """Refuse a factor of 1 where nothing names a blur: neither the operator nor an option of the domain.

    Raises:
        UsageError: nothing to do.
    """
    if parse_factor(factor) == (1, 1) and operator is None and not options:
        raise UsageError(f"factor={factor}: {NOTHING}")


def _whole(value: object, low: int, high: int | None = None) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value and (high is None or value <= high)
