"""A portrait as one plane: red, green and blue, or grey; alpha travels beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from gensr.errors import DomainError
from gensr.scenes.scene import Scene
from gensr.values.grid import PixelGrid, Window
from gensr.values.image import Image
from gensr.values.precision import Real

from .looks import GENERATED, INTERPOLATED
from .marks import describes_pixels, exif_is_sound
from .photo import INKS, Codes, Photo


class OpenedPhoto(Scene):
    """An opened portrait.

    Attributes:
        photo: the decoded picture.
        options: options of the domain.
        peak: largest code.
    """

    def __init__(self, photo: Photo, options: Mapping[str, Any]) -> None:
        self.photo, self.options, self.path = photo, options, photo.path
        self.planes, self.unit, self.quantum = 1, "", 1.0
        self.bands = ("grey",) if len(photo.codes) == 1 else ("red", "green", "blue")
        rows, cols = (int(n) for n in photo.codes.shape[1:])
        self.grid = PixelGrid((rows, cols))
        self.dtype = photo.codes.dtype
        self.peak = int(np.iinfo(self.dtype).max)

    def read(self, plane: int, window: Window) -> Image:
        """See `Scene.read`; every pixel is valid, transparent ones too."""
        row, col, rows, cols = window
        values = self.photo.codes[:, row : row + rows, col : col + cols].astype(np.float32)
        good = np.ones(values.shape, np.bool_)
        return Image(values, self.grid.crop(window), good, good, self.bands)

    def crop(self, window: Window) -> Scene:
        """See `Scene.crop`: a part of a portrait is no portrait.

        Raises:
            DomainError: always.
        """
        raise DomainError(
            f"{self.path}: srcwin= and bounds= would leave a part of a face, and the prior knows whole, aligned faces "
            "only; crop and align the picture beforehand"
        )

    def stored(self, plane: int, window: Window) -> tuple[Codes, npt.NDArray[np.bool_]]:
        """See `Scene.stored`."""
        row, col, rows, cols = window
        codes = self.photo.codes[:, row : row + rows, col : col + cols]
        return codes, np.ones(codes.shape, np.bool_)

    def encode(self, plane: int, values: Real, valid: npt.NDArray[np.bool_]) -> tuple[Codes, int]:
        """See `Scene.encode`; pictures have no invalid code, so 0 stands for it."""
        keep = valid & np.isfinite(values)
        rounded = np.rint(np.where(keep, values, np.float32(0)).astype(np.float64))
        clipped = np.clip(rounded, 0, self.peak)
        return clipped.astype(self.dtype), int(np.count_nonzero(clipped != rounded))

    @property
    def output_format(self) -> str:
        """Format of the output: that of the input; PNG for BMP and GIF, and a JPEG of labels or with ``lossless=true``.

        BMP has no place for the mark of a generated picture, GIF none for its colours.
        """
        exact = bool(self.options["lossless"] or self.repeated)
        known = self.photo.format
        return "PNG" if known in ("BMP", "GIF") or (known == "JPEG" and exact) else known

    def cautions(self) -> list[str]:
        """See `Scene.cautions`."""
        return [f"{INKS} became sRGB: colours of print go out as colours of screens"] if self.photo.mode == INKS else []

    def metadata(self) -> dict[str, Any]:
        """See `Scene.metadata`."""
        photo = self.photo
        exact = (
            "exact" if self.output_format != "JPEG" else "JPEG quality 100, 4:4:4: codes move by a few; lossless=true"
        )
        return {
            "kind": photo.format,
            "shape": list(self.grid.shape),
            "bands": list(self.bands),
            "mode_in_file": photo.mode,
            "alpha": photo.alpha is not None,
            "dtype": self.dtype.name,
            "orientation_undone": photo.orientation,
            "icc_profile": bool(photo.info.get("icc_profile")),
            "nodata": None,
            "noise": "estimated from the data",
            "operator": "area (pixel integration)",
            "output": f"{self.output_format}, {exact}",
            **({"caption below the picture": self.options["caption"]} if self.options["caption"] else {}),
            "not_carried": self._not_carried(),
            "use": "not for identification, evidence or biometrics: a consistent face is not the person's face",
        }

    def caption(self, interpolated: bool) -> str:
        """Words that are burned in below the picture, "" for none.

        Args:
            interpolated: whether nothing was generated.
        """
        wanted = self.options["caption"]
        return wanted if isinstance(wanted, str) else (INTERPOLATED if interpolated else GENERATED) if wanted else ""

    def _not_carried(self) -> list[str]:
        left = []
        if self.photo.frames > 1:
            left.append(f"{self.photo.frames - 1} further pictures of a multi-picture JPEG")
        if self.photo.mode in ("P", "PA"):
            left.append("the palette (the picture becomes true colour)")
        if self.photo.mode == INKS:
            how = (
                "a plain formula: its profile is damaged"
                if self.photo.info.get("icc_damaged")
                else "its profile, if any"
            )
            left.append(f"the colours of print ({INKS}): converted to sRGB by {how}")
        if describes_pixels(self.photo):
            left.append("the description, which says how the old pixels lie in the file")
        if not exif_is_sound(self.photo):
            left.append("EXIF (damaged or too long)")
        return left
