"""XML of unknown origin: no declarations, no entities, a limit on its size and on its elements."""

from __future__ import annotations

import xml.etree.ElementTree as Xml
from pathlib import Path
from xml.parsers import expat

from gensr.errors import FormatError
from gensr.values.limits import within


def parsed(text: bytes, file: Path) -> Xml.Element:
    """XML without declarations of types or entities.

    Args:
        text: the whole document.
        file: for messages.

    Raises:
        FormatError: not well-formed, or more than a limit allows.
    """
    within("xml", len(text), file)
    count = depth = 0
    builder = Xml.TreeBuilder()

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal count, depth
        count, depth = count + 1, depth + 1
        within("elements", count, file)
        within("depth", depth, file)
        builder.start(name, attributes)

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(name)

    def refuse(*_: object) -> None:
        raise FormatError(f"{file}: its XML declares a document type or entities; refused, remove the declaration")

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = refuse
    try:
        parser.Parse(text, True)
        return builder.close()
    except (expat.ExpatError, AssertionError, ValueError, LookupError) as error:
        raise FormatError(f"{file}: holds damaged XML ({error}); repair or remove it") from error
