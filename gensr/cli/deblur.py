"""``gensr deblur``: an upsampling by a factor of 1, with words of its own for the blur that is undone."""

from __future__ import annotations

from collections.abc import Sequence

from gensr.cli.arguments import Arguments, parse
from gensr.cli.console import DONE, Console
from gensr.cli.domains import domain_help
from gensr.cli.keys import BLURRING, KEYS, table
from gensr.cli.upsample import CONFIG_DIR, SHOW, answer
from gensr.errors import UsageError, nearest

HELP = """\
usage: gensr deblur INPUT... [motion=ORDER|blur=KIND:NUMBERS|kernel=FILE]
                   [key=value...]

Undoes a blur on the grid of the input: every format that upsample takes, with
the same outputs. Where nothing (and no domain.psf=) says what the blur was, it
is motion that is found in the data:

  motion=auto                   nothing, everything, or people by themselves:
                                what the evidence of the data says
  motion=none|uniform|human     what you know to be so
  mask=FILE                     where people are: an image of the size of the
                                input, 0 where nobody is
  blur=gaussian:SIGMA           standard deviation, pixels
  blur=defocus:RADIUS           a lens out of focus: a disc, pixels
  blur=motion:LENGTH,ANGLE      a straight motion: pixels, and degrees counter-
                                clockwise from the right
  kernel=FILE                   an image of a point in any format that is read
                                or a .npy file; the point was in its middle

keys [default]:
{keys}

options of domains, as domain.KEY=VALUE:
{domains}

  --cfg job          show the keys of upsample that do the same, and do nothing
  {config} DIR   presets of your own: DIR/search/mine.yaml is search=mine

examples:
  gensr deblur photo.jpg
  gensr deblur photo.jpg motion=human mask=people.png
  gensr deblur photo.jpg blur=motion:12,30 output=sharp
  gensr deblur cells.ome.tif blur=defocus:2.5 samples=8
  gensr deblur scene.tif blur=gaussian:1.2 noise=1%
  gensr deblur night.fits kernel=star.fits"""


def run(argv: Sequence[str], console: Console) -> int:
    """Run the command.

    Args:
        argv: arguments after ``deblur``.
        console: where to speak.

    Returns:
        The exit code.
    """
    arguments = parse(argv, (), [CONFIG_DIR, SHOW], KEYS["deblur"])
    if "--help" in arguments.switches:
        console.say(HELP.format(keys=table("deblur"), domains=domain_help(), config=CONFIG_DIR))
        return DONE
    return answer("deblur", translated(arguments), console)


def translated(arguments: Arguments) -> Arguments:
    """The same as arguments of ``upsample``.

    Raises:
        UsageError: a key that this command does not have, or an impossible blur.
    """
    keys = KEYS["deblur"]
    for name in arguments.pairs:
        if name in KEYS["upsample"] and name not in keys:
            raise UsageError(
                f"{name}= is for gensr upsample; deblur keeps the pixels and takes {'=, '.join(BLURRING)}="
            )
        if name.partition(".")[0] not in keys:
            raise UsageError(f"unknown key {name!r}{nearest(name, keys) or ';'} keys: {', '.join(keys)}")
    said = {name: arguments.pairs.get(name) or None for name in BLURRING}
    for name, value in said.items():
        keys[name].check(value)
    from gensr.pipeline.instrument import blur_words

    own = any(name.startswith("domain.psf") for name in arguments.pairs)
    words = blur_words(**said) or (None if own else blur_words(motion="auto"))
    pairs = {name: text for name, text in arguments.pairs.items() if name not in BLURRING}
    operator = {} if words is None else {"operator": words}
    return Arguments(arguments.inputs, {"factor": "1", **operator, **pairs}, arguments.switches, arguments.valued)
