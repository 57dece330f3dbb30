"""A run as a YAML file: what ``--config FILE`` reads, and what a batch writes beside its outputs.

Values are what the command line would say, so a file can ask for nothing else. Paths that begin with ``./`` or ``../``
are those seen from the file.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gensr.cli.arguments import Arguments
from gensr.cli.keys import KEYS
from gensr.errors import UsageError
from gensr.pipeline.recipe import HEAD, INPUTS, beside, recipe_text
from gensr.scenes.door import at_home

LARGEST = 1 << 20
"""Bytes of a file that is read."""
SWEEP = "multirun"
_HERE = ("./", "../")


def with_file(arguments: Arguments, name: str) -> Arguments:
    """Arguments with those of a file before them: a key that is given in both has the value of the command line.

    Args:
        arguments: of the command line; inputs that it names take the place of those of the file.
        name: of the file.

    Raises:
        UsageError: no such file, or not a mapping of keys to values.
    """
    found = _read(name)
    inputs = found.pop(INPUTS, [])
    sweep = found.pop(SWEEP, False)
    if isinstance(inputs, str):
        inputs = [inputs]
    if not isinstance(inputs, list) or not all(isinstance(text, str) for text in inputs):
        raise UsageError(f"--config {name}: {INPUTS} is no list of paths")
    folder = at_home(name).absolute().parent
    pairs = {key: _seen_from(folder, key, text) for key, text in _flat(found, name).items()}
    return Arguments(
        arguments.inputs or [_path(folder, text) for text in inputs],
        {**pairs, **arguments.pairs},
        arguments.switches | ({"-m"} if sweep is True else set()),
        arguments.valued,
    )


def _read(name: str) -> dict[str, Any]:
    import yaml  # type: ignore[import-untyped]  # comes with omegaconf, without types

    path = at_home(name)
    try:
        if not path.is_file():
            raise UsageError(f"--config {name}: no such file; give the _run.yaml of an output, or one like it")
        if path.stat().st_size > LARGEST:
            raise UsageError(f"--config {name}: more than {LARGEST} bytes; this is no file of keys")
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, OSError, RecursionError, ValueError) as error:
        raise UsageError(f"--config {name}: cannot be read as YAML ({' '.join(str(error).split())})") from error
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise UsageError(f"--config {name}: expected lines 'key: value'; see the _run.yaml of any output")
    return found


def _flat(found: Mapping[str, Any], name: str) -> dict[str, str]:
    """Keys and texts; ``domain: {name: faces, aligned: true}`` is ``domain=faces domain.aligned=true``."""
    pairs: dict[str, str] = {}
    for key, value in found.items():
        if isinstance(value, dict):
            for inner, text in value.items():
                pairs[key if inner == "name" else f"{key}.{inner}"] = _text(text, f"{key}.{inner}", name)
        else:
            pairs[key] = _text(value, key, name)
    return pairs


def _text(value: Any, key: str, name: str) -> str:  # noqa: ANN401
    """A value as the command line writes it.

    Raises:
        UsageError: a mapping, a date or the like.
    """
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list):
        return f"[{', '.join(_text(part, key, name) for part in value)}]"
    if not isinstance(value, str | int | float):
        raise UsageError(f"--config {name}: {key} is neither text nor number; put it in quotes")
    return str(value)


def _seen_from(folder: Path, key: str, text: str) -> str:
    """A value whose path is one for the current folder."""
    head, sign, tail = text.partition("=")
    if key == "operator" and tail.startswith(_HERE):
        return f"{head}{sign}{_path(folder, tail)}"
    known = KEYS["upsample"].get(key)
    return _path(folder, text) if known is not None and known.files else text


def _path(folder: Path, text: str) -> str:
    return os.path.normpath(folder / text) if text.startswith(_HERE) or text in (".", "..") else text


def write_batch(arguments: Arguments, folders: Sequence[Path], name: str) -> list[str]:
    """Write what was typed beside the outputs, so that ``--config`` does it again.

    Args:
        arguments: of the command line.
        folders: of the outputs.
        name: of the file.

    Returns:
        Why it could not be written, a line each.
    """
    notes = []
    for folder in folders:
        path = folder / name
        pairs = {key: _kept(key, text, folder) for key, text in arguments.pairs.items() if key != "output"}
        inputs = [beside(text, folder) for text in arguments.inputs]
        sweep = {SWEEP: True} if arguments.switches & {"-m", "--multirun"} else {}
        try:
            if os.path.lexists(path) and not _ours(path):
                notes.append(f"{path}: not written (a file of that name stands there that gensr did not write)")
                continue
            partial = folder / f".{name}.partial"
            partial.write_text(recipe_text(name, {INPUTS: inputs, **sweep, **pairs, "output": "./"}), encoding="utf-8")
            partial.replace(path)
        except OSError as error:
            notes.append(f"{path}: not written ({error.strerror})")
    return notes


def _kept(key: str, text: str, folder: Path) -> str:
    known = KEYS["upsample"].get(key)
    path = known is not None and known.files and (key != "generator" or Path(text).exists())
    return beside(text, folder) if path else text


def _ours(path: Path) -> bool:
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as stream:
        return stream.read(len(HEAD)) == HEAD.encode()
