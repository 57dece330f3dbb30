"""``gensr serve``: a page to try everything, on this machine alone unless said otherwise."""

from __future__ import annotations

from collections.abc import Sequence

from gensr.cli.arguments import parse
from gensr.cli.console import DONE, Console
from gensr.errors import UsageError, nearest

HELP = """\
usage: gensr serve [key=value...]

A page in the browser: drop a photograph, GeoTIFF, FITS or microscopy image,
spoil it if you like, choose factor, prior and number of answers, compare with
the input and with Lanczos, see where answers agree, download the result in the
format that came in. Needs pip install 'gensr[app]'.

Works offline: no telemetry, and the page loads nothing from elsewhere. Uploads
are deleted when their page is closed. Not for identification, evidence or
biometrics: a face that explains the data is not the person's face.

keys [default]:
  host      address to listen at; others than 127.0.0.1 let other machines in,
            without a password [127.0.0.1]
  port      to listen at; 0 for any that is free [7860]
  answers   computed at once, 1 to 64 [2]
  upload    largest upload, MiB, 1 to 65536 [256]
  minutes   without a sign of life after which a session is deleted [60]

examples:
  gensr serve
  gensr serve port=8080 answers=1"""

_RANGES = {"port": (0, 65535), "answers": (1, 64), "upload": (1, 65536), "minutes": (1, 10080)}


def main(argv: Sequence[str]) -> int:
    """Run the command as a plug-in of the command line.

    Args:
        argv: arguments after ``serve``.

    Returns:
        The exit code.

    Raises:
        UsageError: an impossible key, a port that is taken, or Gradio is not installed.
    """
    console = Console()
    arguments = parse(argv, keys=("host", *_RANGES))
    if "--help" in arguments.switches:
        console.say(HELP)
        return DONE
    if arguments.inputs:
        raise UsageError(f"{arguments.inputs[0]!r} is no key=value; drop images on the page")
    from gensr.app.server import LOOPBACK, Settings, serve

    host, numbers = _read(arguments.pairs)
    settings = Settings(host, **numbers)
    if settings.host not in LOOPBACK:
        console.note(f"host={settings.host}: every machine that reaches this one can use the page, without a password")
    serve(settings, lambda address: console.say(f"the page is at {address}; Ctrl-C ends it and deletes every upload"))
    console.note("ended; every upload and answer of the page is deleted")
    return DONE


def _read(pairs: dict[str, str]) -> tuple[str, dict[str, int]]:
    """The host, and the numbers that were given.

    Raises:
        UsageError: an unknown key or impossible value.
    """
    host, found = pairs.get("host", "127.0.0.1"), {}
    if not host:
        raise UsageError("host=: expected an address such as 127.0.0.1")
    for key, text in pairs.items():
        if key == "host":
            continue
        if key not in _RANGES:
            known = ("host", *_RANGES)
            raise UsageError(f"unknown key {key!r}{nearest(key, known) or ';'} keys: {', '.join(known)}")
        low, high = _RANGES[key]
        if not (text.isascii() and text.isdigit() and low <= int(text) <= high):
            raise UsageError(f"{key}={text}: expected a whole number from {low} to {high}")
        found[key] = int(text)
    return host, found
