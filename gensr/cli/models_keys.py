"""What ``gensr models`` can do, and the keys of each of its actions."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gensr.cli.keys import FORMAT, Key
from gensr.errors import UsageError, nearest


def _truth() -> tuple[str, ...]:
    return ("true", "false")


NAME = Key("name", "the name alone", "to install under", default="that of its card")
TAKEN = Key(
    "existing", "", "what to do where the name is taken", choices=lambda: ("error", "overwrite"), default="error"
)
SHA256 = Key("sha256", "64 hexadecimal digits", "of the file, as its publisher states it")
OFFLINE = Key("offline", "", "take only what was fetched before", choices=_truth, default="false")
SECONDS = Key(
    "seconds",
    "a number above 0",
    "of silence, after which a server is given up",
    good=lambda text: 0 < float(text) < float("inf"),
    default="30",
)
TRUST = Key("trust", "", "a generator that is a program may run here", choices=_truth, default="false")
DOWNLOADS = Key("downloads", "", "delete every fetched file, too", choices=_truth, default="false")

OUT = Key("out", "a .safetensors file to write", "the converted generator")
EXISTING = Key(
    "existing", "", "what to do where the file exists", choices=lambda: ("error", "overwrite"), default="error"
)


def _number(low: float = -float("inf")) -> Callable[[str], bool]:
    return lambda text: low <= float(text) < float("inf")


def _whole(text: str) -> bool:
    return int(text) >= 0


CARD = (
    Key("domain", "a field of science, or several with spaces", "that it serves", default="faces"),
    Key("licence", "words", "of the weights, for the card", default="not stated"),
    Key("unit", "words", "meaning of its values, for the card"),
    Key("pixel", "words", "pixel size of its training images, for the card"),
    Key("data", "words", "its training data, for the card"),
    Key("bias", "words", "known bias and failure, for the card"),
    Key("alignment", "words", "how content must be aligned, for the card"),
    Key("low", "a number", "value that the network makes of black", good=_number(), default="of the family"),
    Key("high", "a number", "value that the network makes of white", good=_number(), default="of the family"),
    Key("bands", "a whole number from 0", "bands that it makes", good=_whole, default="of the file"),
    Key("label", "a whole number from 0", "class of a conditional network", good=_whole, default="all classes"),
    Key("latent", "a length or shape such as 512 or 4x8x8", "of the latents of a program", default="of the file"),
    Key(
        "distribution",
        "",
        "of the latents of a program",
        choices=lambda: ("normal", "uniform", "truncated"),
        default="normal",
    ),
    TRUST,
    Key("discrepancy", "a number from 0", "deviation that it cannot express, 0..1", good=_number(0.0), default="0.05"),
)
"""What the card of a converted generator says that its file does not know."""

ACTIONS: Mapping[str, tuple[Key, ...]] = {
    "list": (FORMAT,),
    "info": (FORMAT,),
    "verify": (FORMAT,),
    "add": (NAME, TAKEN, TRUST),
    "pull": (SHA256, NAME, TAKEN, OFFLINE, SECONDS),
    "remove": (DOWNLOADS,),
    "inspect": (FORMAT,),
    "convert": (OUT, EXISTING, NAME, *CARD),
}
"""Keys by action."""


def checked(action: str, pairs: Mapping[str, str]) -> dict[str, str]:
    """The pairs of an action.

    Raises:
        UsageError: a key that it does not have, or an impossible value.
    """
    known = {key.name: key for key in ACTIONS[action]}
    for name, value in pairs.items():
        if name not in known:
            raise UsageError(
                f"unknown key {name!r}{nearest(name, known) or ';'} keys of models {action}: {', '.join(known)}"
            )
        try:
            known[name].check(value)
        except ValueError:
            raise UsageError(known[name].refusal(value)) from None
    return dict(pairs)
