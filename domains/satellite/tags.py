"""Tags: which are carried, which become false and are dropped, which are scaled, and what gensr adds.

A copied profile loses descriptions, units and tags; copied tags keep statistics of pixels that no longer exist.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gensr.scenes.markup import parsed
from gensr.scenes.product import Product
from gensr.scenes.provenance import as_json, mark_of, repeated, sentence, software
from gensr.values.grid import Factor

Namespaces = dict[str, dict[str, str]]
"""Tags per namespace; the default one is called ""."""

ALLOWED = frozenset({"", "IMAGERY", "PRODUCT", "EXIF", "SENSOR", "ACQUISITION", "IMD"})
"""Namespaces that stay namespaces. GDAL reads others as instructions: OVERVIEWS and ProxyOverviewRequest name a file
that it opens with any driver, SUBDATASETS and GEOLOCATION name datasets, ``xml:VRT`` is one."""
_INSTRUCTIONS = re.compile(
    r"(?i)(OVERVIEWS|PROXYOVERVIEWREQUEST|.*SUBDATASETS|GEOLOCATION|GEOLOC_ARRAY|RPC|IMAGE_STRUCTURE|COLOR_PROFILE|"
    r"VRT.*|.*VRT_SOURCES|_.*|.*[^A-Za-z0-9_. -].*)"
)
"""Namespaces that go: what GDAL acts on, what describes the old file, and names with a colon (``xml:XMP``)."""
_DROPPED_PREFIXES = ("STATISTICS_", "HISTOGRAM", "GENSR_", "INTERNAL_MASK_FLAGS")
_DROPPED = {
    "OVR_RESAMPLING_ALG",
    "OVERVIEW_RESAMPLING",
    "OVERVIEW_FILE",
    "TIFFTAG_MINSAMPLEVALUE",
    "TIFFTAG_MAXSAMPLEVALUE",
    "AREA_OR_POINT",  # part of the georeference
}
_OPENING = {"OVERVIEWS", "ProxyOverviewRequest", "xml:VRT"}
_KEY = re.compile(r"[^\x00-\x1f=\x7f]{1,256}")
_ARGUMENTS = {"self", "bidx", "ns"}  # of rasterio's update_tags, which takes keys as keyword arguments
_LONGEST = 2**20
_UNSAID = {"IMAGE_STRUCTURE", "SUBDATASETS", "DERIVED_SUBDATASETS", "RPC", "COLOR_PROFILE"}
_JSON_LIMIT = 2**18
_ESSENTIAL = ("gensr", "generator", "operator", "factor", "seed", "noise", "consistency")


def carried(dataset: Any) -> tuple[Namespaces, tuple[Namespaces, ...], tuple[str, ...]]:  # noqa: ANN401
    """Tags of the dataset and of every band, per namespace, and the names of what is left out.

    Namespaces outside `ALLOWED` come as ``NAMESPACE.key`` of the default one, where GDAL acts on nothing.
    """
    dropped: list[str] = []
    whole = _namespaces(dataset, 0, dropped)
    bands = tuple(_namespaces(dataset, i, dropped) for i in dataset.indexes)
    return whole, bands, tuple(sorted(set(dropped)))


def _namespaces(dataset: Any, band: int, dropped: list[str]) -> Namespaces:  # noqa: ANN401
    found = {"": _kept(dataset.tags(band), dropped)}
    for name in dataset.tag_namespaces(band):
        if name in ALLOWED - {""}:
            found[name] = _kept(dataset.tags(band, ns=name), dropped)
        elif name and _INSTRUCTIONS.fullmatch(name):
            if name not in _UNSAID:
                dropped.append(name)
        elif name:
            found[""] |= {f"{name}.{key}": value for key, value in _kept(dataset.tags(band, ns=name), dropped).items()}
    return {name: tags for name, tags in found.items() if tags}


def _kept(tags: Mapping[str, str], dropped: list[str]) -> dict[str, str]:
    kept = {}
    for key, value in tags.items():
        strange = not _KEY.fullmatch(key) or key in _ARGUMENTS or len(value) > _LONGEST
        if strange or key in _DROPPED or key.startswith(_DROPPED_PREFIXES):
            if key != "AREA_OR_POINT":
                dropped.append(key[:64])
        else:
            kept[key] = value
    return kept


def instructions(text: bytes, path: Path) -> list[str]:
    """Namespaces in GDAL's XML of metadata that make it open other files.

    Args:
        text: of the TIFF tag 42112, or of a box of JPEG 2000.
        path: for messages.

    Raises:
        FormatError: it is no well-formed XML.
    """
    # GDAL writes control characters and bytes of other encodings as they are; they are no reason to refuse a file.
    plain = re.sub(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]", b" ", text).strip()
    try:
        plain.decode()
    except UnicodeDecodeError:
        plain = re.sub(rb"^<\?xml[^>]*\?>", b"", plain).decode("latin-1").encode()
    return sorted({e.get("domain", "") for e in parsed(plain, path).iter()} & _OPENING) if plain else []


def copyable(whole: Namespaces, bands: tuple[Namespaces, ...]) -> tuple[Namespaces, tuple[Namespaces, ...], bool]:
    """Arrange tags so that GDAL's COG driver keeps all of them, and say whether it must copy every namespace.

    The driver copies the default namespace alone, or every namespace but the default one of bands. Where a file
    needs both, other namespaces move into the default one as ``NAMESPACE.key``.
    """
    named = any(set(tags) - {""} for tags in (whole, *bands))
    if not (named and any("" in tags for tags in bands)):
        return whole, bands, named
    return _flat(whole), tuple(_flat(tags) for tags in bands), False


def _flat(tags: Namespaces) -> Namespaces:
    flat = {(f"{name}.{key}" if name else key): value for name, found in tags.items() for key, value in found.items()}
    return {"": flat} if flat else {}


def refined(tags: Mapping[str, str], factor: Factor) -> dict[str, str]:
    """Tags of the default namespace on the refined grid: pixels per unit grow by the factor."""
    result = dict(tags)
    for key, s in (("TIFFTAG_YRESOLUTION", factor[0]), ("TIFFTAG_XRESOLUTION", factor[1])):
        if key in result:
            try:
                result[key] = repr(float(result[key]) * s)
            except ValueError:
                del result[key]
    return result


def provenance(product: Product, source: Mapping[str, str], content: str) -> dict[str, str]:
    """Tags that say what made the file.

    Args:
        product: the finished results.
        source: default-namespace tags of the source.
        content: ``"posterior mean"``, ``"posterior sample 1"`` or ``"posterior standard deviation"``.
    """
    words = sentence(product.report)
    text = as_json(product.report)
    if len(text) > _JSON_LIMIT:
        text = as_json({k: product.report[k] for k in _ESSENTIAL if k in product.report})
    tags = {
        "TIFFTAG_SOFTWARE": software(),
        "GENSR_REPEATED" if repeated(product.report) else "GENSR_GENERATED": mark_of(product.report),
        "GENSR_CONTENT": content,
        "GENSR_PROVENANCE": words,
        "GENSR_REPORT": text,
    }
    if not source.get("TIFFTAG_IMAGEDESCRIPTION", "").strip():
        tags["TIFFTAG_IMAGEDESCRIPTION"] = words
    if source.get("TIFFTAG_SOFTWARE"):
        tags["GENSR_SOURCE_SOFTWARE"] = source["TIFFTAG_SOFTWARE"]
    return tags
