"""What ``gensr models`` can do, and the keys of each of its actions."""

from __future__ import annotations

from collections.abc import Mapping

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
DOWNLOADS = Key("downloads", "", "delete every fetched file, too", choices=_truth, default="false")

ACTIONS: Mapping[str, tuple[Key, ...]] = {
    "list": (FORMAT,),
    "info": (FORMAT,),
    "verify": (FORMAT,),
    "add": (NAME, TAKEN),
    "pull": (SHA256, NAME, TAKEN, OFFLINE, SECONDS),
    "remove": (DOWNLOADS,),
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
