"""What a page may ask for, and the names of what it shows; nothing heavy is imported here, for the server."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gensr.app.spoil import Spoil
from gensr.errors import UsageError
from gensr.pipeline.request import Request

INPUT, LANCZOS, MEAN, STD, AGREEMENT, FOUND = "input", "Lanczos", "mean", "std", "agreement", "found"
"""Names of pictures; samples are called ``answer 1``, ``answer 2``, ..."""
ASKED = ("factor", "generator", "operator", "search", "samples", "seed", "noise", "tile")
"""Words of the request that a page may say; everything else has its default."""
MOST_SAMPLES = 16
LONGEST_CHOICE = 400
"""Characters in which faces are chosen."""


def requested(order: Mapping[str, Any]) -> Request:
    """The request of an order.

    Args:
        order: ``path``, ``domain`` ("" for a guess), ``output``, ``asked`` and ``spoil``. Where an input was blurred on
            purpose and the factor is 1, that blur is undone. ``face``, if there: which faces of a photo, or boxes;
            ``caption``: whether a photo says below what it is; ``field``: whether a prior answers what is no face.

    Raises:
        UsageError: a word that is impossible, or that a page must not say.
    """
    from gensr.operators.registry import recipe
    from gensr.priors import weights

    asked = {key: value for key, value in order["asked"].items() if value not in (None, "")}
    strange = sorted(set(asked) - set(ASKED))
    if strange:
        raise UsageError(f"{', '.join(strange)}: expected {', '.join(ASKED)}")
    generator = asked.get("generator")
    if generator is not None and generator not in weights.available():
        raise UsageError(f"generator={generator}: expected one of {', '.join(sorted(weights.available()))}")
    for name in ("search", "noise", "operator"):
        if not isinstance(asked.get(name, ""), str):
            raise UsageError(f"{name}={asked[name]}: expected a word")
    if "operator" in asked and recipe(asked["operator"].strip().partition(":")[0]).file:
        raise UsageError(f"operator={asked['operator']}: files of this machine are for the command, not for the page")
    if asked.get("factor") == 1 and "operator" not in asked:
        asked |= {"operator": undone} if (undone := Spoil(**order["spoil"]).operator) else {}
    samples = asked.get("samples", 1)
    if isinstance(samples, int) and samples > MOST_SAMPLES:
        raise UsageError(f"samples={samples}: expected {MOST_SAMPLES} or fewer on the page")
    face = order.get("face") or None
    if face is not None and (not isinstance(face, str) or len(face) > LONGEST_CHOICE):
        raise UsageError(f"face=: expected numbers or boxes of faces in at most {LONGEST_CHOICE} characters")
    source, output = Path(order["path"]), Path(order["output"])
    options: dict[str, Any] = {"face": face} if face else {}
    options |= {"caption": True} if order.get("caption") else {}
    options |= {"background": "field"} if order.get("field") else {}
    return Request(source=source, domain=order.get("domain") or None, output=output, options=options, **asked)
