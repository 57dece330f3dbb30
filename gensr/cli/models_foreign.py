"""``gensr models inspect`` and ``convert``: checkpoints of other programs, read without running a word of them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gensr.cli.console import DONE, Console
from gensr.cli.info import page
from gensr.errors import OutputError, UsageError
from gensr.scenes.door import at_home

if TYPE_CHECKING:
    from gensr.priors.foreign.checkpoint import Checkpoint, Part
    from gensr.priors.foreign.plugin import Words

SHOWN = 12
"""Parts of a checkpoint, tensors of one, that are printed."""
OWN = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)
"""``module:attribute`` of Python code."""
TEXTS = ("domain", "unit", "pixel", "licence", "data", "bias", "alignment", "latent", "distribution")
"""Keys that go into the card as they are."""


def inspect(files: Sequence[str], pairs: Mapping[str, str], console: Console) -> int:
    """Say what a checkpoint is: family, arguments, licence if it states one, what is unsafe.

    Args:
        files: one file or folder, or several that belong together.
        pairs: ``format``.
        console: where to speak.

    Raises:
        UsageError: no file.
        WeightsError: hostile or damaged.
    """
    facts = _facts(_read("inspect", files))
    if pairs.get("format") == "json":
        from gensr.scenes.provenance import as_json

        console.say(as_json(facts, indent=2))
    else:
        console.say(page(facts))
    return DONE


def convert(files: Sequence[str], pairs: Mapping[str, str], console: Console) -> int:
    """Write a weights file of ours of a checkpoint, once.

    Args:
        files: see `inspect`.
        pairs: what the card should say, and ``out``.
        console: where to speak.

    Raises:
        UsageError: no file, or no name for the result.
        OutputError: it exists.
        WeightsError: hostile, damaged, or of no known family.
    """
    from gensr.priors.foreign import plugin
    from gensr.priors.weights import SUFFIX

    out = at_home(pairs.get("out", ""))
    if not pairs.get("out") or out.suffix != SUFFIX:
        raise UsageError(
            f"out={pairs.get('out', '')}: expected the {SUFFIX} file to write, for example out=own{SUFFIX}"
        )
    if out.exists() and pairs.get("existing", "error") != "overwrite":
        raise OutputError(f"{out}: exists; add existing=overwrite, or give another out=")
    if not out.parent.is_dir():
        raise OutputError(f"{out.parent}: no such folder; make it first")
    checkpoint = _own_code(files, pairs) or _read("convert", files)
    words = _words(out.name.removesuffix(SUFFIX), pairs)
    digest, made, match = plugin.convert(checkpoint, words, out)
    console.say(f"{out}: {match.words or made.card.recipe}; sha256 {digest}")
    for note in (*checkpoint.notes, *made.notes):
        console.note(f"{checkpoint.path}: {note}")
    console.note(f"licence of the weights: {made.card.licence}")
    return DONE


def _read(action: str, files: Sequence[str]) -> Checkpoint:
    from gensr.priors.foreign.reading import read_foreign

    if not files:
        raise UsageError(f"gensr models {action} needs a file or folder of weights")
    return read_foreign(*(at_home(name) for name in files))


def _own_code(files: Sequence[str], pairs: Mapping[str, str]) -> Checkpoint | None:
    """Code of the user's own that ``module:attribute`` names; None for anything else.

    Raises:
        UsageError: without ``trust=true``; nothing is imported then.
        WeightsError: no such module.
    """
    if len(files) != 1 or not OWN.fullmatch(files[0]) or Path(files[0]).exists():
        return None
    if pairs.get("trust") != "true":
        raise UsageError(f"{files[0]}: code is run to convert it; if it is yours, or you trust it, add trust=true")
    from gensr.priors.foreign.reading import read_module

    return read_module(files[0])


def _words(name: str, pairs: Mapping[str, str]) -> Words:
    from gensr.priors.foreign.plugin import Words

    said: dict[str, Any] = {key: pairs[key] for key in TEXTS if key in pairs}
    said |= {"trust": pairs.get("trust") == "true"}
    said |= {key: float(pairs[key]) for key in ("low", "high", "discrepancy") if key in pairs}
    said |= {key: int(pairs[key]) for key in ("bands", "label") if key in pairs}
    return Words(pairs.get("name", re.sub(r"[^A-Za-z0-9_. -]", "-", name)), **said)


def _facts(checkpoint: Checkpoint) -> dict[str, object]:
    from gensr.priors.foreign import plugin
    from gensr.priors.foreign.checkpoint import OPAQUE

    near = plugin.candidates(checkpoint)
    fits = [(family, match) for family, match in near if match.fits]
    match = fits[0][1] if fits else None
    part = match.part if match else next(iter(checkpoint.parts), None)
    size = sum(p.stat().st_size for p in checkpoint.files.values()) or Path(checkpoint.path).stat().st_size
    return {
        "file": str(checkpoint.path),
        "kind": checkpoint.kind,
        "bytes": size,
        "sha256": checkpoint.sha256,
        "family": fits[0][0].name if fits else "none that is known",
        "is": match.words if match else "",
        "nearest": "" if fits else {f.name: f"misses {', '.join(m.missing[:3])}" for f, m in near[:3]},
        "generator at": part.place if match and part else "",
        "arguments": _arguments(part) if part else {},
        "tensors": _tensors(part) if part else {},
        "parts": _parts(checkpoint),
        "licence": _licence(checkpoint),
        "header": {k: v[:200] for k, v in list(checkpoint.metadata.items())[:SHOWN]},
        "unsafe": list(checkpoint.notes)[:SHOWN],
        "to run it": "as a black box, with trust=true" if checkpoint.kind in OPAQUE else "",
    }


def _arguments(part: Part) -> dict[str, object]:
    return {k: v for k, v in part.kwargs.items() if "." not in k and k != "training" and v not in (None, {}, [])}


def _tensors(part: Part) -> dict[str, object]:
    shown = {
        name: f"{str(t.dtype).removeprefix('torch.')} {' x '.join(map(str, t.shape)) or 'number'}"
        for name, t in list(part.tensors.items())[:SHOWN]
    }
    left = len(part.tensors) - len(shown)
    return {**shown, **({"and": f"{left} more"} if left else {})}


def _parts(checkpoint: Checkpoint) -> dict[str, object]:
    whole = [p for p in checkpoint.parts if "(" not in p.place]
    return {
        p.place or "the file itself": f"{len(p.tensors)} tensors{f' of {p.class_name}' if p.class_name else ''}"
        for p in whole[:SHOWN]
    }


def _licence(checkpoint: Checkpoint) -> str:
    """As the file or folder states it."""
    for key, value in checkpoint.metadata.items():
        if "licen" in key.lower():
            return value[:200]
    names = [name for name in checkpoint.files if re.match(r"(?i)(.*/)?licen[cs]e", name)]
    return f"see {', '.join(names[:3])}" if names else "not stated"
