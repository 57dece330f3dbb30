"""The built-in commands by name; nothing of them is imported here."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gensr.cli.console import Console

Command = Callable[[Sequence[str], Console], int]

COMMANDS = {
    "upsample": "super-resolve files, folders or globs",
    "deblur": "undo a blur on the grid of the input",
    "info": "what is understood of files, and what upsample would do with them",
    "check": "let an input judge the prior: gain, and whether intervals hold",
    "models": "list, describe, verify, add and remove generators",
    "train": "train a generator of your own",
    "completion": "print the completion script of bash, zsh or fish",
}
"""Each is the function ``run`` of ``gensr.cli.<name>``."""
PLUGINS = {
    "benchmark": "measure quality and speed beside other methods",
    "calibrate": "try a generator on held-out images and fill its card",
    "serve": "a page in the browser to try everything; needs gensr[app]",
}
"""Our own among the commands that come through entry points."""
