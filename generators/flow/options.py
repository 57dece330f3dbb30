"""Options of ``gensr train generator=flow``: texts checked and turned into settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gensr.errors import UsageError
from gensr.making.options import Reader
from gensr.priors import weights

ALIGNED_DOMAINS = ("faces",)
FLUX_DOMAINS = ("astronomy",)
PERCENTILES = {"microscopy": (1.0, 99.9), "satellite": (2.0, 98.0), "medical": (0.5, 99.9)}
"""What each domain's own normaliser does; see their `Domain.normaliser`."""


@dataclass(frozen=True)
class Options:
    """Parsed options; see `FlowFamily.train_options`."""

    domains: tuple[str, ...]
    data: tuple[tuple[Path, ...], ...]
    init: str
    name: str
    output: Path
    minutes: float
    steps: int
    batch: int
    rate: float
    aligned: bool
    bands: int
    side: int
    patch: int
    widths: tuple[int, ...]
    low: float | None
    high: float | None
    unit: float | None
    jitter: float | None
    flux: bool | None
    softening: float | None
    top: float | None
    fallback: str
    sheet: float
    device: str
    licence: str
    source: str
    pixel: str
    bias: str
    seed: int


def parse(options: Mapping[str, str]) -> Options:
    """Check and convert options.

    Raises:
        UsageError: one is missing, or impossible.
    """
    read = Reader(options)
    for key in ("domain", "data"):
        if not read.text(key):
            raise UsageError(f"{key}= is missing; try gensr train generator=flow domain=microscopy data=DIR")
    domains = tuple(word.strip() for word in read.text("domain").split(",") if word.strip())
    groups = tuple(read.paths(group) for group in read.text("data").split(";") if group.strip())
    if len(groups) != len(domains):
        raise UsageError(
            f"data={read.text('data')}: {len(groups)} group(s) for {len(domains)} domain(s); separate the data of each "
            "domain with ;"
        )
    aligned = read.switch("aligned")
    widths = read.text("widths")
    try:
        channels = tuple(int(w) for w in widths.split(",")) if widths else ()
    except ValueError as error:
        raise UsageError(f"widths={widths}: expected whole numbers with commas, for example 48,72,112") from error
    if any(not 8 <= w <= 1024 or w % 4 for w in channels) or len(channels) > 6:
        raise UsageError(f"widths={widths}: expected up to 6 multiples of 4 from 8 to 1024")
    init = read.text("init")
    low, high = read.number("low", 0, 100), read.number("high", 0, 100)
    if low is not None and high is not None and low >= high:
        raise UsageError(f"low={low:g} high={high:g}: expected percentiles with low below high")
    fixed = [key for key in ("aligned", "bands", "patch", "widths", "softening", "top") if init and read.text(key)]
    if fixed:
        raise UsageError(f"{fixed[0]}={read.text(fixed[0])}: {init} settles it; leave it out, or train without init=")
    return Options(
        domains=domains,
        data=groups,
        init=init,
        name=read.text("name", f"flow-{domains[0]}-own"),
        output=Path(read.text("output")) if read.text("output") else weights.user_folder(),
        minutes=read.number("minutes", 0.01, 1e5) or 60.0,
        steps=read.whole("steps", 10**9, 1, 10**9),
        batch=read.whole("batch", 16, 1, 4096),
        rate=read.number("rate", 1e-7, 1.0) or (3e-4 if init else 1e-3),
        aligned=domains[0] in ALIGNED_DOMAINS if aligned is None else aligned,
        bands=read.whole("bands", 0, 1, 64),
        side=read.whole("side", 0, 16, 512),
        patch=read.whole("patch", 0, 1, 8),
        widths=channels,
        low=low,
        high=high,
        unit=read.number("unit", 1e-30, 1e30),
        jitter=read.number("jitter", 0, 3),
        flux=read.switch("flux"),
        softening=read.number("softening", 1e-12, 1e12),
        top=read.number("top", 1e-12, 1e12),
        fallback=read.text("companion"),
        sheet=10.0 if read.text("sheet") == "" else float(read.number("sheet", 0, 1e5) or 0.0),
        device=read.text("device", "auto"),
        licence=read.text("licence", "not stated"),
        source=read.text("source", "images of the user"),
        pixel=read.text("pixel", "not stated"),
        bias=read.text("bias", "not examined: knows what its training images show, and nothing else"),
        seed=read.whole("seed", 0, 0, 2**31),
    )


def lasting(options: Mapping[str, str]) -> dict[str, str]:
    """The options that may not change when a run goes on."""
    free = ("name", "output", "minutes", "steps", "rate", "sheet", "device", "licence", "source", "pixel", "bias")
    return {key: text.strip() for key, text in options.items() if key not in free and text.strip()}
