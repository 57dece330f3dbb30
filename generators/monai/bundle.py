"""The configuration of a bundle as data: literals and references to them. An expression is never evaluated.

In a bundle ``"@name::part"`` refers to another value and ``"$..."`` is Python. Of the latter only a lone reference
(``"$@name"``) and a plain literal (``"$(2, 2)"``) are understood; any other is refused where its value is needed.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gensr.errors import WeightsError
from gensr.priors.foreign.checkpoint import Checkpoint

TARGET = "_target_"
NAMES = {
    "Generator": "Generator",
    "AutoencoderKL": "AutoencoderKL",
    "DiffusionModelUNet": "DiffusionModelUNet",
    "DDPMScheduler": "scheduler",
    "DDIMScheduler": "scheduler",
    "PNDMScheduler": "scheduler",
}
"""Classes that are understood, and what they are here."""
CLASS = re.compile(rf"(monai|generative)\.networks\.(nets|schedulers)(\.[a-z_]+)?\.(?P<name>{'|'.join(NAMES)})")
REFERENCE = re.compile(r"\$?@(?P<path>[A-Za-z_]\w*((::|#)\w+)*)")
LITERAL, DEPTH, MOST = 200, 16, 20_000
"""Characters of a literal; references after each other; values that are looked at."""
ORDER = ("inference", "generate", "train", "metadata")
"""Documents are asked in this order, by the beginnings of their names; others come last."""


@dataclass(frozen=True)
class Definition:
    """A network or schedule as a bundle defines it.

    Attributes:
        kind: see `NAMES`.
        place: document and path, for messages.
        words: its arguments, literals only; what is an expression is an `Expression`.
    """

    kind: str
    place: str
    words: Mapping[str, Any]


@dataclass(frozen=True)
class Expression:
    """Code that stands where a value should be."""

    text: str


def documents(checkpoint: Checkpoint) -> dict[str, Mapping[str, Any]]:
    """The documents in ``configs``, in the order in which they are asked."""
    found = {
        name: document
        for name, document in checkpoint.documents.items()
        if re.fullmatch(r"(.*/)?configs/[^/]*\.json", name) and isinstance(document, Mapping)
    }

    def rank(name: str) -> tuple[int, str]:
        stem = name.rpartition("/")[2]
        return next((i for i, begin in enumerate(ORDER) if stem.startswith(begin)), len(ORDER)), name

    return {name: found[name] for name in sorted(found, key=rank)}


def definitions(checkpoint: Checkpoint) -> dict[str, Definition]:
    """What is defined, by kind; the first of a kind counts.

    Raises:
        WeightsError: references in a circle, or a configuration beyond all measure.
    """
    found: dict[str, Definition] = {}
    for name, document in documents(checkpoint).items():
        for path, words in _tables(document, "", 0, [MOST]):
            target = words.get(TARGET)
            known = CLASS.fullmatch(target) if isinstance(target, str) else None
            if known is None or NAMES[known["name"]] in found:
                continue
            place = f"{checkpoint.path}: {name}: {path}"
            said = {k: resolved(v, document, place) for k, v in words.items() if not k.startswith("_")}
            found[NAMES[known["name"]]] = Definition(NAMES[known["name"]], place, said)
    return found


def _tables(value: object, path: str, depth: int, left: list[int]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    left[0] -= 1
    if depth > DEPTH or left[0] < 0:
        raise WeightsError(f"{path[:60]}: a configuration that is deeper or longer than any bundle's")
    if isinstance(value, Mapping):
        yield path, value
        for key, item in value.items():
            yield from _tables(item, f"{path}::{key}".lstrip(":"), depth + 1, left)
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from _tables(item, f"{path}::{i}", depth + 1, left)


def resolved(value: object, document: Mapping[str, Any], place: str, depth: int = 0) -> Any:  # noqa: ANN401
    """A value with its references followed; expressions stay what they are, text.

    Raises:
        WeightsError: references in a circle, or to nothing.
    """
    if depth > DEPTH:
        raise WeightsError(f"{place}: references in a circle, or too many of them")
    if isinstance(value, Mapping):
        return {k: resolved(v, document, place, depth + 1) for k, v in list(value.items())[:1000]}
    if isinstance(value, list):
        return [resolved(v, document, place, depth + 1) for v in value[:1000]]
    if not isinstance(value, str):
        return value
    reference = REFERENCE.fullmatch(value.strip())
    if reference is not None:
        return resolved(_followed(reference["path"], document, place), document, place, depth + 1)
    if value.startswith("$"):
        return _literal(value)
    return value


def _followed(path: str, document: Mapping[str, Any], place: str) -> object:
    found: object = document
    for part in re.split("::|#", path):
        if isinstance(found, Mapping) and part in found:
            found = found[part]
        elif isinstance(found, list) and part.isdecimal() and int(part) < len(found):
            found = found[int(part)]
        else:
            raise WeightsError(f"{place}: refers to @{path[:60]}, which is not defined there")
    return found


def _literal(text: str) -> Any:  # noqa: ANN401
    """A number, text or list that is written as Python; what is more than that stays an expression."""
    if len(text) <= LITERAL:
        try:
            found = ast.literal_eval(text[1:].strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return Expression(text)
        return list(found) if isinstance(found, tuple | set) else found
    return Expression(text)


def refuse_expressions(definition: Definition, known: Mapping[str, object]) -> None:
    """Refuse code where a value is needed.

    Raises:
        WeightsError: names the key and the beginning of the code.
    """
    for key in known:
        for value in _leaves(definition.words.get(key)):
            if isinstance(value, Expression):
                raise WeightsError(
                    f"{definition.place}: {key} = {value.text[:60]!r} is code and never evaluated; write its value"
                )


def _leaves(value: object) -> Iterator[object]:
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _leaves(item)
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item)
    else:
        yield value


def texts(checkpoint: Checkpoint) -> Iterator[str]:
    """Every text of the configuration, to be looked at."""
    for document in documents(checkpoint).values():
        for _, words in _tables(document, "", 0, [MOST]):
            for value in words.values():
                yield from (item for item in (value if isinstance(value, list) else [value]) if isinstance(item, str))


def value_of(checkpoint: Checkpoint, key: str) -> Any:  # noqa: ANN401
    """A literal at the top of a document; None where there is none, or code."""
    for name, document in documents(checkpoint).items():
        if key in document:
            found = resolved(document[key], document, f"{checkpoint.path}: {name}: {key}")
            if not isinstance(found, Expression):
                return found
    return None


def value_range(checkpoint: Checkpoint) -> tuple[float, float] | None:
    """The range of images that the metadata state."""
    for document in documents(checkpoint).values():
        for path, words in _tables(document, "", 0, [MOST]):
            said = words.get("value_range")
            image = re.search(r"(outputs?|image|autoencoder)", path) is not None
            if image and isinstance(said, list) and len(said) == 2 and all(type(x) in (int, float) for x in said):
                low, high = float(said[0]), float(said[1])
                if low != high:
                    return low, high
    return None
