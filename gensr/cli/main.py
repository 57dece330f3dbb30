"""The command ``gensr``: finds the sub-command and turns every outcome into one line and an exit code.

Neither torch nor hydra is imported here, so that help, version and completion come at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version

from gensr.cli.commands import COMMANDS, PLUGINS, Command
from gensr.cli.console import FAILED, INTERRUPTED, USAGE, Console
from gensr.errors import PluginError, UsageError, nearest

NO_MEMORY = b"gensr: out of memory; use a smaller tile= or batch=, or close other programs\n"
HELP = """\
gensr {version}: generative super-resolution for scientific images,
with uncertainty and exact metadata

usage: gensr COMMAND [INPUT...] [key=value...]

commands:
{commands}

examples:
  gensr info scene.tif                        read it before you trust it
  gensr check scene.tif factor=2              can the prior be trusted on it?
  gensr upsample scene.tif                    x4, the rest is understood
  gensr upsample scans/ output=fine factor=2 samples=8
                                              a folder, with 8 samples
  gensr upsample 'night/**/*.fits' search=best seed=1
                                              a glob; ** enters sub-folders
  gensr upsample a.tif domain=satellite domain.nodata=0
                                              a domain, and an option of it
  gensr models list                           which priors there are

Outputs are named <input>_x<factor>_generated and carry that mark inside too.
Each comes with a standard deviation, a report and a preview.
Exit codes: 0 all done, 1 some inputs failed, 2 wrong usage.

  gensr COMMAND --help   keys and values of a command
  --version              the version
  --traceback            traces of errors (also GENSR_TRACEBACK=1)
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: arguments without the program's name; ``sys.argv[1:]`` if None.

    Returns:
        0 all done, 1 some inputs failed, 2 wrong usage, 130 interrupted.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    asked = "--traceback" in words[: words.index("--") if "--" in words else None]
    console = Console(asked or os.environ.get("GENSR_TRACEBACK", "") not in ("", "0"))
    kept = [w for i, w in enumerate(words) if w != "--traceback" or i > _first(words)]
    try:
        with console.listening():
            return _told(kept, console)
    except KeyboardInterrupt as stop:
        console.note(str(stop) or "interrupted")
        return INTERRUPTED


def _told(words: list[str], console: Console) -> int:
    """Exit code of a command whose errors have been told."""
    try:
        with console.warnings():
            return _dispatch(words, console)
    except BrokenPipeError:
        # The reader of a pipe left; without this Python complains again while it closes standard output.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        try:
            return console.fail(error)
        except MemoryError:  # not even a line can be made
            os.write(2, NO_MEMORY)
            return FAILED


def _first(words: Sequence[str]) -> int:
    """Position of the command's name."""
    return next((i for i, w in enumerate(words) if not w.startswith("-")), len(words))


def _dispatch(words: list[str], console: Console) -> int:
    name, rest = (words[0], words[1:]) if words else ("", [])
    if name == "help" and rest:
        name, rest = rest[0], ["--help"]
    if name in ("", "-h", "--help", "help"):
        console.say(_help())
        return 0 if name else USAGE
    if name in ("-V", "--version"):
        console.say(f"gensr {version('gensr')}")
        return 0
    if name == "__complete":
        from gensr.cli.completion import answer

        return answer(rest, console)
    if name in COMMANDS:
        command: Command = import_module(f"gensr.cli.{name}").run
        return command(rest, console)
    return _plugin(name, rest)


def _plugin(name: str, rest: list[str]) -> int:
    from gensr import registry

    known = registry.names("commands")
    if name not in known:
        every = [*COMMANDS, *known]
        raise UsageError(f"unknown command {name!r}{nearest(name, every) or ';'} commands: {', '.join(every)}")
    code = registry.load("commands", name)(rest)
    if not isinstance(code, int):
        raise PluginError(
            f"command {name!r} returned {type(code).__name__} instead of an exit code; update its package"
        )
    return code


def _help() -> str:
    from gensr import registry

    others = {n: PLUGINS.get(n, "from a plug-in") for n in registry.names("commands") if n not in COMMANDS}
    every = {**COMMANDS, **others}
    lines = "\n".join(f"  {name:<11} {text}" for name, text in every.items())
    return HELP.format(version=version("gensr"), commands=lines).rstrip()
