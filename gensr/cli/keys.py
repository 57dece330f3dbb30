"""The keys of the command line, each with what it accepts: one table for help, checks, errors and completion."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any

from gensr import registry
from gensr.errors import UsageError, nearest
from gensr.pipeline.request import CALIBRATIONS, CHECKS, EXISTING, FACTORS, Request, parse_factor
from gensr.values import bands as band_words
from gensr.values.area import BOUNDS, SRCWIN, parse_bounds, parse_srcwin
from gensr.values.words import EXPECTED, LABELS, PRECISIONS, parse_noise

OPERATORS = (
    *("area", "bicubic", "lanczos", "gaussian:sigma=", "mtf:", "psf:", "defocus:radius=", "motion:", "kspace"),
    "kspace:window=hamming",
)
"""Beginnings of operators, for completion."""
RUNTIMES = ("local", "dask")
_DEFAULTS = {f.name: f.default for f in fields(Request) if f.default is not MISSING}


@dataclass(frozen=True)
class Key:
    """One key.

    Attributes:
        name: as it is written.
        accepts: what its value may be, in words that follow "expected"; empty if ``choices`` says it all.
        help: what it does.
        good: whether a value of the right type lies in range.
        choices: values to offer, in order; a function because plug-ins add to them.
        optional: "null" and an empty value mean "not given".
        files: its value is a path: "" no, "files" or "dirs".
        default: as help shows it.
    """

    name: str
    accepts: str
    help: str
    good: Callable[[Any], bool] = lambda value: True
    choices: Callable[[], tuple[str, ...]] = tuple
    optional: bool = False
    files: str = ""
    default: str = ""

    def check(self, value: Any) -> None:  # noqa: ANN401
        """Refuse a value out of range.

        Raises:
            UsageError: with key, value and what is accepted.
        """
        if value is None and self.optional:
            return
        if not (self.good(value) if self.accepts else value in self.choices()):
            raise UsageError(self.refusal(value))

    def refusal(self, value: Any) -> str:  # noqa: ANN401
        """The message for a value that is not accepted."""
        advice = "" if self.accepts else nearest(str(value), self.choices()).rstrip("?")
        sweep = "; several values are a sweep: add -m" if "," in str(value) and self.swept(str(value)) else ""
        return f"{self.name}={value}: expected {self.expected}{advice}{sweep}"

    def swept(self, text: str) -> bool:
        """Whether a value is several good ones with commas between them."""
        parts = [part.strip() for part in text.split(",")]
        if not self.accepts:
            return all(part in self.choices() for part in parts)
        try:
            return all(self.good(int(part) if part.isdecimal() else part) for part in parts)
        except TypeError:
            return False

    @property
    def expected(self) -> str:
        """What its value may be."""
        return self.accepts or " or ".join(filter(None, (", ".join(self.choices()[:-1]), *self.choices()[-1:])))


def domain_names() -> tuple[str, ...]:
    """``auto`` and every installed domain."""
    return ("auto", *registry.names("domains"))


def _operators() -> tuple[str, ...]:
    """Ours as they are written, then those of plug-ins by name."""
    ours = {text.partition(":")[0] for text in OPERATORS}
    return (*OPERATORS, *(name for name in registry.names("operators") if name not in ours))


def _read_by(parse: Callable[[str], object]) -> Callable[[Any], bool]:
    """Whether a grammar reads a value."""

    def good(value: Any) -> bool:  # noqa: ANN401
        try:
            parse(value)
        except ValueError:
            return False
        return True

    return good


def _default(name: str) -> str:
    """Default of a field of `Request`, as it is written."""
    value = _DEFAULTS[name]
    return str(value).lower() if isinstance(value, bool) else str(value)


def _truth() -> tuple[str, ...]:
    return ("true", "false")


def _at_least(low: int) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, int) and value >= low


DOMAIN = Key(
    "domain",
    "",
    "field of science; domain.KEY=VALUE sets one of its options",
    choices=domain_names,
    default="auto",
)

_UPSAMPLE = (
    Key(
        "factor",
        FACTORS,
        "refinement of rows and columns",
        good=_read_by(parse_factor),
        choices=lambda: ("2", "3", "4", "8", "2x4"),
        default=_default("factor"),
    ),
    Key(
        "samples",
        "a whole number from 0",
        "posterior samples to draw and write",
        good=_at_least(0),
        default=_default("samples"),
    ),
    Key(
        "search",
        "fast, balanced, best, posterior, pulse or a preset of --config-dir",
        "how hard to search; search.KEY= is one of its numbers",
        choices=lambda: ("fast", "balanced", "best", "posterior", "pulse"),
        default=_default("search"),
    ),
    DOMAIN,
    Key(
        "generator",
        "the name of an installed generator, or a .safetensors file",
        "the prior; see gensr models list",
        optional=True,
        files="files",
        default="the domain's own",
    ),
    Key(
        "operator",
        "area, bicubic, lanczos, gaussian:sigma=S, mtf:V, psf:FILE, defocus:radius=R, motion:L,A or kspace[:window=W]",
        "how the instrument made the pixels",
        choices=_operators,
        optional=True,
        default="the domain's own",
    ),
    Key(
        "noise",
        f"{EXPECTED}; none below 0",
        "noise of the input; 0 means exact data",
        good=_read_by(parse_noise),
        choices=lambda: ("auto", "poisson:gain="),
        optional=True,
        default="from file or data",
    ),
    Key(
        "srcwin",
        SRCWIN,
        "part of the input, in its pixels",
        good=_read_by(parse_srcwin),
        optional=True,
        default="all of it",
    ),
    Key(
        "bounds",
        BOUNDS,
        "part of the input, in its coordinates",
        good=_read_by(parse_bounds),
        optional=True,
        default="all of it",
    ),
    Key(
        "device",
        "auto, cpu, cuda, cuda:N or mps",
        "where to compute",
        good=lambda value: re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", value) is not None,
        choices=lambda: ("auto", "cpu", "cuda"),
        default=_default("device"),
    ),
    Key(
        "precision",
        "",
        "of networks: bfloat16 where that is fast, or float32",
        choices=lambda: PRECISIONS,
        default=_default("precision"),
    ),
    Key(
        "seed",
        "a whole number from 0",
        "the same seed gives the same result",
        good=_at_least(0),
        default=_default("seed"),
    ),
    Key("output", "a folder", "where outputs go", optional=True, files="dirs", default="beside the input"),
    Key(
        "existing",
        "",
        "outputs that exist: refuse, leave if finished, make again",
        choices=lambda: EXISTING,
        default=_default("existing"),
    ),
    Key("overwrite", "true or false", "short for existing=overwrite", choices=_truth, default=_default("overwrite")),
    Key("resume", "true or false", "short for existing=skip", choices=_truth, default=_default("resume")),
    Key("tile", "a whole number from 1", "input pixels along a tile", good=_at_least(1), optional=True, default="auto"),
    Key("batch", "a whole number from 1", "tiles computed together", good=_at_least(1), optional=True, default="auto"),
    Key(
        "bands",
        band_words.EXPECTED,
        "which bands; the others are left out",
        good=_read_by(band_words.parse_bands),
        optional=True,
        default="all",
    ),
    Key(
        "remote",
        "true or false",
        "fetch inputs that are addresses into output=",
        choices=_truth,
        default=_default("remote"),
    ),
    Key(
        "labels",
        "",
        "what becomes of label images and masks",
        choices=lambda: LABELS,
        default=_default("labels"),
    ),
    Key(
        "calibrate",
        "",
        "factor on std: of the card, or of the input itself",
        choices=lambda: CALIBRATIONS,
        default=_default("calibrate"),
    ),
    Key(
        "check",
        "",
        "let the input judge the prior as well; see gensr check",
        choices=lambda: CHECKS,
        default=_default("check"),
    ),
    Key(
        "runtime",
        "local, dask or a runtime of --config-dir",
        "where tiles run; dask takes runtime.address= or .workers=",
        choices=lambda: RUNTIMES,
        default=RUNTIMES[0],
    ),
)
_DEBLUR = (
    Key(
        "blur",
        "gaussian:SIGMA, defocus:RADIUS or motion:LENGTH,ANGLE",
        "the blur to undo, in pixels of the input",
        good=lambda value: re.fullmatch(r"(gaussian|defocus):[^,]+|motion:[^,]+,[^,]+", value) is not None,
        choices=lambda: ("gaussian:", "defocus:", "motion:"),
        optional=True,
        default="none",
    ),
    Key(
        "kernel",
        "an image of a point, or a .npy file",
        "the blur to undo, as it was measured",
        optional=True,
        files="files",
        default="none",
    ),
    Key(
        "motion",
        "",
        "what moved how, found in the data",
        choices=lambda: ("auto", "none", "uniform", "human"),
        optional=True,
        default="auto where no blur is given",
    ),
    Key(
        "mask",
        "an image of the size of the input, 0 where nobody is",
        "where people are, who may move differently",
        optional=True,
        files="files",
        default="from faces",
    ),
)
FORMAT = Key("format", "", "form of what is printed", choices=lambda: ("text", "json"), default="text")
NOT_DEBLURRED = ("factor", "operator", "labels", "check", "calibrate")
"""Keys that mean nothing where pixels are not refined, or that other words say."""
NOT_TRIED = (*("samples", "tile", "batch", "runtime", "calibrate", "check"), "existing", "resume")
"""Keys that mean nothing where a few windows are tried."""
PICTURE = Key("overwrite", "true or false", "make the picture again that exists", choices=_truth, default="false")
BLURRING = tuple(key.name for key in _DEBLUR)
"""Keys that only ``deblur`` has."""
WRITING = ("output", "existing", "overwrite", "resume")
"""Keys that only a run that writes has."""

KEYS: Mapping[str, Mapping[str, Key]] = {
    "upsample": {key.name: key for key in _UPSAMPLE},
    "deblur": {key.name: key for key in (*_DEBLUR, *(k for k in _UPSAMPLE if k.name not in NOT_DEBLURRED))},
    "info": {key.name: key for key in (*(k for k in _UPSAMPLE if k.name not in WRITING), FORMAT)},
    "check": {key.name: key for key in (*(k for k in _UPSAMPLE if k.name not in NOT_TRIED), PICTURE, FORMAT)},
}
"""Keys of every command that composes a configuration."""


def table(command: str) -> str:
    """Help on the keys of a command, two lines or more each."""
    lines = []
    for key in KEYS[command].values():
        lines.append(f"  {key.name + '=':<11} {key.help} [{key.default}]")
        lines += textwrap.wrap(
            key.expected, 78, initial_indent=" " * 14, subsequent_indent=" " * 14, break_on_hyphens=False
        )
    return "\n".join(lines)
