"""Options of ``gensr train generator=engression``: texts checked and turned into settings."""

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
OTHERWISE = (1.0, 99.9)


@dataclass(frozen=True)
class Options:
    """Parsed options; see `EngressionFamily.train_options`."""

    domains: tuple[str, ...]
    data: tuple[tuple[Path, ...], ...]
    held: tuple[tuple[Path, ...], ...]
    aligned: bool
    grey: bool
    joint: bool
    init: str
    name: str
    output: Path
    minutes: float
    steps: int
    batch: int
    rate: float
    side: int
    patch: int
    widths: tuple[int, ...]
    low: float | None
    high: float | None
    unit: float | None
    fallback: str
    validate: float
    device: str
    licence: str
    source: str
    pixel: str
    bias: str
    seed: int

    def percentiles(self, domain: str) -> tuple[float, float]:
        """Percentiles of an image that become 0 and 1.

        Raises:
            UsageError: the lower one is not below the higher one.
        """
        low, high = PERCENTILES.get(domain, OTHERWISE)
        low, high = low if self.low is None else self.low, high if self.high is None else self.high
        if low >= high:
            raise UsageError(f"percentiles {low:g} and {high:g}: give low= below high=")
        return low, high

    def refuse_mixture(self) -> None:
        """Aligned pictures of several domains have no network in common.

        Raises:
            UsageError: more than one domain.
        """
        if self.aligned and len(self.domains) > 1:
            raise UsageError(f"domain={','.join(self.domains)}: aligned pictures share no network; give one domain")


def parse(options: Mapping[str, str]) -> Options:
    """Check and convert options.

    Raises:
        UsageError: one is missing, or impossible.
    """
    read = Reader(options)
    for key in ("domain", "data"):
        if not read.text(key):
            raise UsageError(f"{key}= is missing; try gensr train generator=engression domain=microscopy data=DIR")
    domains = tuple(word.strip() for word in read.text("domain").split(",") if word.strip())
    data, held = (_groups(read, key, domains) for key in ("data", "held"))
    switch = read.switch("aligned")
    aligned = domains[0] in ALIGNED_DOMAINS if switch is None else switch
    init = read.text("init")
    fixed = [key for key in ("patch", "widths", "aligned") if init and read.text(key)]
    if fixed:
        raise UsageError(f"{fixed[0]}={read.text(fixed[0])}: {init} settles it; leave it out, or train without init=")
    return Options(
        domains=domains,
        data=data,
        held=held,
        aligned=aligned,
        grey=read.switch("grey") or False,
        joint=_joint(read, aligned),
        init=init,
        name=read.text("name", f"engression-{domains[0]}-own"),
        output=Path(read.text("output")) if read.text("output") else weights.user_folder(),
        minutes=read.value("minutes", 90.0, 0.001, 1e5),
        steps=read.whole("steps", 10**9, 1, 10**9),
        batch=read.whole("batch", 24, 1, 4096),
        rate=read.value("rate", 6e-4, 1e-7, 1.0),
        side=read.whole("side", 0, 16, 512),
        patch=read.whole("patch", 0, 1, 8),
        widths=_widths(read.text("widths")),
        low=read.number("low", 0, 100),
        high=read.number("high", 0, 100),
        unit=_unit(read, domains),
        fallback=read.text("companion"),
        validate=read.value("validate", 10.0, 0.001, 1e5),
        device=read.text("device", "auto"),
        licence=read.text("licence", "not stated"),
        source=read.text("source", "images of the user"),
        pixel=read.text("pixel", "not stated"),
        bias=read.text("bias", "not examined: knows what its training images show, and nothing else"),
        seed=read.whole("seed", 0, 0, 2**31),
    )


def _groups(read: Reader, key: str, domains: tuple[str, ...]) -> tuple[tuple[Path, ...], ...]:
    groups = tuple(read.paths(group) for group in read.text(key).split(";") if group.strip())
    if key == "held" and not groups:
        return ()
    if len(groups) != len(domains):
        raise UsageError(
            f"{key}={read.text(key)}: {len(groups)} group(s) for {len(domains)} domain(s); separate the data of each "
            "domain with ;"
        )
    return groups


def _unit(read: Reader, domains: tuple[str, ...]) -> float | None:
    unit = read.number("unit", 1e-30, 1e30)
    flux = [domain for domain in domains if domain in FLUX_DOMAINS]
    if flux and unit is None:
        raise UsageError(
            f"unit= is missing: {flux[0]} values are fluxes; give 16 times the noise of an empty pixel of the images"
        )
    if unit is not None and len(domains) > 1:
        raise UsageError(f"unit={unit:g}: fluxes share no network with other domains; give one domain")
    return unit


def _joint(read: Reader, aligned: bool) -> bool:
    """Whether the bands of fields stay together; those of aligned pictures always do."""
    joint = read.switch("joint") or False
    others = {"aligned": aligned, "grey": read.switch("grey"), "unit": bool(read.text("unit"))}
    if joint and any(others.values()):
        other = next(key for key, given in others.items() if given)
        raise UsageError(f"joint=true goes with fields of several bands, and {other}= makes something else of them")
    return joint


def _widths(text: str) -> tuple[int, ...]:
    try:
        channels = tuple(int(w) for w in text.split(",")) if text else ()
    except ValueError as error:
        raise UsageError(f"widths={text}: expected whole numbers with commas, for example 48,72,112") from error
    if any(not 8 <= w <= 1024 or w % 4 for w in channels) or len(channels) > 6:
        raise UsageError(f"widths={text}: expected up to 6 multiples of 4 from 8 to 1024")
    return channels


def lasting(options: Mapping[str, str]) -> dict[str, str]:
    """The options that may not change when a run goes on."""
    free = ("name", "output", "minutes", "steps", "rate", "validate", "held", "device", "companion")
    words = ("licence", "source", "pixel", "bias")
    return {key: text.strip() for key, text in options.items() if key not in (*free, *words) and text.strip()}
