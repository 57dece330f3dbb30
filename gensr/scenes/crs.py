"""Texts of coordinate systems (WKT, PROJ): their library opens the grids and tables that they name, wherever they lie.

A name of a grid of PROJ's own folder is left alone; a path or an address is refused before the library sees the text.
"""

from __future__ import annotations

import re
from pathlib import Path

from gensr.errors import FormatError

_NAMED = re.compile(
    r"(?i)(?:(?:nad|geoid|xy_|z_)?grids|init|catalog|file)\s*=\s*([^\s\]),]+(?:,[^\s\]),]+)*)"
    r"|PROJ4_GRIDS\"*\s*,\s*\"+([^\"]*)"
    r"|PARAMETERFILE\s*[\[(]\s*\"[^\"]*\"\s*,\s*\"([^\"]*)"
)
"""What follows the words of PROJ and WKT that name files (WKT-CRS 2, section 9.4.3; PROJ, grid shifts)."""
_AUTHORITY = re.compile(r"(?i)[a-z]+[0-9]*:\w+")
_TEXT = re.compile(r"(?i)\s*([a-z][a-z0-9_]*\s*[\[(]|\+|[a-z]+[0-9]*:\w+\s*$|\{|urn:ogc:def:crs:|OGC:CRS|$)")
_JSON_FILE = re.compile(r"(?i)\"(?:value|name)\"\s*:\s*\"([^\"]*[/\\][^\"]*\.\w+|[/~.][^\"]*)\"")


def leads_elsewhere(text: str) -> str:
    """The first path or address that a text of a coordinate system names, "" if there is none.

    >>> leads_elsewhere('GEOGCS["a",EXTENSION["PROJ4_GRIDS","/home/a.gsb"]]')
    '/home/a.gsb'
    >>> leads_elsewhere("+proj=merc +a=6378137 +nadgrids=@null +no_defs")
    ''
    """
    for found in _NAMED.finditer(text):
        for name in re.split(r"[,\s]+", next(group for group in found.groups() if group is not None)):
            name = name.strip("@\"'")
            if re.search(r"[/\\:~]|^\.", name) and not _AUTHORITY.fullmatch(name):
                return name
    found_json = _JSON_FILE.search(text) if text.lstrip().startswith("{") else None
    return found_json[1] if found_json else ""


def check_crs(text: str, path: Path | str) -> None:
    """Refuse a text of a coordinate system that is none, or that leads to another file.

    Args:
        text: WKT, PROJ, PROJJSON, or an authority and a code.
        path: for messages.

    Raises:
        FormatError: a path, an address, or a grid that lies elsewhere.
    """
    named = leads_elsewhere(text)
    if not named and not _TEXT.match(text):
        named = text.strip() if re.search(r"[/\\:~]|^\s*\.", text) else ""
    if not named and not _TEXT.match(text):
        raise FormatError(
            f"{path}: its coordinate system {text.strip()[:80]!r} is not known to GDAL; write it as WKT, PROJ, or an "
            "authority and a code"
        )
    if named:
        raise FormatError(
            f"{path}: its coordinate system names {named[:80]!r}, another file or an address, which is not opened; "
            "write the coordinate system anew without it"
        )
