"""The faces domain."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from gensr.errors import UsageError
from gensr.scenes.domain import Domain
from gensr.scenes.scene import Scene

from .chosen import parse_choice
from .photo import format_of, is_plain_colour, read_photo, size_of
from .whole import PhotoScene

TYPICAL_SIDE = 1024
_FLAGS = {"true": True, "false": False, "auto": "auto"}


class Faces(Domain):
    """Photos with faces, and aligned portraits.

    Options of `open`:
        aligned: True takes a square picture for one aligned face as it is; False looks for faces; "auto" takes a square
            for an aligned face up to 64 pixels, and beyond that where a face fills it.
        face: which faces of a photo are restored, see `gensr.domains.faces.chosen.Choice`.
        lossless: a JPEG goes out as PNG, so that the output is exactly consistent.
    """

    name: ClassVar[str] = "faces"
    description: ClassVar[str] = "photos with faces and portraits in PNG, JPEG, WebP, TIFF, BMP and GIF"
    suffixes: ClassVar[tuple[str, ...]] = (".jpeg", ".jpg", ".png", ".webp", ".tiff", ".tif", ".bmp", ".gif")
    prior: ClassVar[str] = "engression-faces"
    defaults: ClassVar[Mapping[str, Any]] = {"aligned": "auto", "face": "all", "lossless": False}

    def sniff(self, path: Path) -> int:
        """See `Domain.sniff`: a square picture is likely a face, nothing proves it.

        Square pictures up to 1024 pixels 2, others 1. TIFF must be asked for, but a plain picture in colour is as
        likely a face as a micrograph: 2.
        """
        kind = format_of(path)
        size = size_of(path) if kind else None
        if size is None:
            return 0
        square = size[0] == size[1] <= TYPICAL_SIDE
        if kind == "TIFF":
            return 2 if square and is_plain_colour(path) else 0
        return 2 if square else 1

    def open(self, path: Path, options: Mapping[str, Any]) -> Scene:
        """See `Domain.open`."""
        return PhotoScene(read_photo(path), self._checked(options))

    def stem(self, path: Path) -> str:
        """See `Domain.stem`."""
        return path.stem if path.suffix.lower() in self.suffixes else path.name

    def _checked(self, options: Mapping[str, Any]) -> dict[str, Any]:
        unknown = sorted(set(options) - set(self.defaults))
        if unknown:
            raise UsageError(f"faces has no option {', '.join(unknown)}; known: {', '.join(self.defaults)}")
        chosen = {**self.defaults, **options}
        for name, allowed in (("aligned", ("auto", "true", "false")), ("lossless", ("true", "false"))):
            text = str(chosen[name]).lower()
            if text not in allowed:
                raise UsageError(f"{name}={chosen[name]!r} is not one of {', '.join(allowed)}")
            chosen[name] = _FLAGS[text]
        parse_choice(chosen["face"])
        return chosen
