"""The keys of ``gensr calibrate`` and what they become; nothing heavy is imported, for help and completion."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from gensr.cli.keys import KEYS as COMMON
from gensr.cli.keys import Key
from gensr.errors import UsageError, nearest


def _numbers(low: float, high: float, whole: bool = False) -> Callable[[str], bool]:
    """Whether a text holds numbers of a range between commas."""

    def good(text: str) -> bool:
        try:
            values = [float(word) for word in text.split(",")]
        except ValueError:
            return False
        return all(low <= v <= high and (not whole or v == int(v)) for v in values)

    return good


def _number(low: float, high: float, whole: bool = False) -> Callable[[str], bool]:
    good = _numbers(low, high, whole)
    return lambda text: "," not in text and good(text)


_TABLE = (
    Key(
        "generator",
        "the name of an installed generator, or a .safetensors file",
        "the prior to calibrate",
        good=bool,
        files="files",
        default="required",
    ),
    Key(
        "data",
        "folders, .zip, .npz or images, with commas between them",
        "images that were held out from training",
        good=bool,
        files="files",
        default="required",
    ),
    Key(
        "train",
        "as data=",
        "the training images, for the nearest-neighbour audit",
        good=bool,
        files="files",
        default="no audit",
    ),
    Key(
        "factors",
        "whole numbers from 2 to 64 with commas",
        "refinements to measure; x2 without noise always is",
        good=_numbers(2, 64, whole=True),
        default="2,4,8",
    ),
    Key(
        "noise",
        "numbers from 0 to 1 with commas",
        "deviations in generator units; for fluxes 1 means that of the camera",
        good=_numbers(0, 1),
        default="0,0.01,0.03; for fluxes 0,1",
    ),
    Key(
        "images",
        "a whole number from 4",
        "held-out images to use, chosen at random",
        good=_number(4, 1e6, whole=True),
        default="40; 12 where every answer is a search",
    ),
    Key(
        "output",
        "a .safetensors file in a folder that exists",
        "where to write",
        good=bool,
        files="files",
        default="the generator's own file",
    ),
    Key("unit", "a number above 0", "the value of images that is 1", good=_number(1e-30, 1e30), default="as trained"),
    Key("low", "a number from 0 to 100", "the percentile that is 0", good=_number(0, 100), default="as trained"),
    Key("high", "a number from 0 to 100", "the percentile that is 1", good=_number(0, 100), default="as trained"),
    Key(
        "flux",
        "",
        "whether instruments sum values instead of averaging them",
        choices=lambda: ("true", "false"),
        default="as trained",
    ),
    Key(
        "photon",
        "a number above 0",
        "for fluxes: the value of one photo-electron in images",
        good=_number(1e-30, 1e30),
        default="none",
    ),
    Key(
        "sky",
        "a number from 0",
        "for fluxes: noise of an empty pixel of images",
        good=_number(0, 1e30),
        default="1/16 of unit",
    ),
    Key("seed", "a whole number from 0", "of all random choices", good=_number(0, 2**31, whole=True), default="0"),
    COMMON["upsample"]["device"],
)
KEYS: Mapping[str, Key] = {key.name: key for key in _TABLE}
"""Keys of this command."""


@dataclass(frozen=True)
class CalibrateRequest:
    """Parsed keys; None means "as the generator was trained"."""

    generator: str
    data: tuple[Path, ...]
    train: tuple[Path, ...]
    factors: tuple[int, ...]
    noises: tuple[float, ...] | None
    images: int | None
    output: Path | None
    unit: float | None
    low: float | None
    high: float | None
    flux: bool | None
    photon: float | None
    sky: float | None
    seed: int
    device: str


def table() -> str:
    """Help on the keys, two lines or more each."""
    lines, pad = [], " " * 14
    for key in _TABLE:
        first = f"  {f'{key.name}=':<11} "
        lines += textwrap.wrap(f"{key.help} [{key.default}]", 78, initial_indent=first, subsequent_indent=pad)
        lines += textwrap.wrap(key.expected, 78, initial_indent=pad, subsequent_indent=pad)
    return "\n".join(lines)


def read(pairs: Mapping[str, str]) -> CalibrateRequest:
    """Check and convert keys.

    Raises:
        UsageError: one is unknown, missing or impossible.
    """
    for name, value in pairs.items():
        if name not in KEYS:
            raise UsageError(f"unknown key {name!r}{nearest(name, KEYS) or ';'} keys: {', '.join(KEYS)}")
        KEYS[name].check(value)
    for name in ("generator", "data"):
        if name not in pairs:
            raise UsageError(f"{name}= is missing; write gensr calibrate generator=NAME data=IMAGES")

    def paths(name: str) -> tuple[Path, ...]:
        return tuple(Path(word.strip()) for word in pairs.get(name, "").split(",") if word.strip())

    def number(name: str) -> float | None:
        return float(pairs[name]) if name in pairs else None

    return CalibrateRequest(
        generator=pairs["generator"],
        data=paths("data"),
        train=paths("train"),
        factors=tuple(int(float(word)) for word in pairs.get("factors", "2,4,8").split(",")),
        noises=tuple(float(word) for word in pairs["noise"].split(",")) if "noise" in pairs else None,
        images=int(float(pairs["images"])) if "images" in pairs else None,
        output=Path(pairs["output"]) if "output" in pairs else None,
        unit=number("unit"),
        low=number("low"),
        high=number("high"),
        flux=pairs["flux"] == "true" if "flux" in pairs else None,
        photon=number("photon"),
        sky=number("sky"),
        seed=int(number("seed") or 0),
        device=pairs.get("device", "auto"),
    )
