"""An opened FITS image or cube: windows of planes in physical units, with what is invalid and what is unusable."""

from __future__ import annotations

import math
from collections.abc import Mapping
from copy import copy
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from gensr.errors import DomainError, FormatError, GensrError
from gensr.scenes.product import Codes
from gensr.scenes.scene import Part, Scene
from gensr.scenes.statistics import SIDE, WINDOWS, places
from gensr.values.area import Bounds
from gensr.values.grid import PixelGrid, Window
from gensr.values.image import Image
from gensr.values.precision import Real

from .container import Container, Layer
from .crop import crop_header, sky_extent
from .flags import FlagRule, flag_rule
from .frame import find_frame
from .hdus import choose, companions
from .headers import number
from .lookup import needed
from .pixel_cards import refine_header
from .pixels import Index
from .psf import Psf, find_psf
from .refusals import refuse_mosaic, refuse_spectra
from .roles import deviation
from .units import Values, decide
from .wcs_cards import refuse_unknown


class OpenedFits(Scene):
    """One image HDU with its companions.

    Args:
        path: the file.
        options: every option of the domain.

    Raises:
        FormatError: damaged, unsafe or unsupported file.
        DomainError: values or options that are refused.
    """

    def __init__(self, path: Path, options: Mapping[str, Any]) -> None:
        self.path = path
        self.container = Container(path)
        try:
            self._understand(options)
        except GensrError as error:
            self.container.close()
            named = str(error) if str(error).startswith(path.name) else f"{path.name}: {error}"
            raise type(error)(named) from None
        except Exception:
            self.container.close()
            raise

    def _understand(self, options: Mapping[str, Any]) -> None:
        layers, file = self.container.layers, self.path.name
        self.layer: Layer = choose(layers, options["hdu"], file)
        self.header = inherit(self.layer.header, layers[0].header)
        self.companions = companions(layers, self.layer)
        for layer in (*self.companions.kept, *self.companions.lookup):
            self.container.pixels(layer)
        for layer in self.companions.tables:
            self.container.check_whole(layer)
        refuse_mosaic(self.header, self.layer.shape)
        refuse_spectra(layers, self.layer, self.header)
        refuse_unknown(self.header, file)
        needed(self.header, self.companions.lookup, file)
        self.pixels = self.container.pixels(self.layer)
        self.frame = find_frame(self.container, self.header, self.layer.shape)
        self.notes = [*self.container.notes, *self.frame.notes]
        shape, count = self.layer.shape, len(self.layer.shape)
        self._row_axis, self._column_axis = count - self.frame.rows, count - self.frame.columns
        self._others = tuple(n for i, n in enumerate(shape) if i not in (self._row_axis, self._column_axis))
        self.planes = math.prod(self._others)
        self.grid = PixelGrid(
            (shape[self._row_axis], shape[self._column_axis]), frame="wcs" if self.frame.sky else "pixel"
        )
        self.bands = ("intensity",)
        self.dtype = self.precision = self.pixels.precision
        self.quantum = abs(self.pixels.scaling.scale) if self.pixels.bitpix > 0 else 0.0
        self.unit = _text(self.header.get("BUNIT"))
        self.values, self.values_origin = decide(self.unit, str(options["values"]))
        if self.values_origin.startswith("assumed"):
            self.notes.append(self.assumption)
        # Cards that cannot be refined must stop the run here, not after an hour of search.
        refine_header(self.header, {self.frame.columns: 2, self.frame.rows: 2}, self.values is Values.FLUX)
        self.flags = self._flags(options["dq_bits"])
        self._full = self._saturation()
        self.psf: Psf | None = find_psf(self.container, self.companions.psf, self.frame, options)

    @property
    def assumption(self) -> str:
        """What the values are taken for where the unit does not tell, "" where it does."""
        if not self.values_origin.startswith("assumed"):
            return ""
        seen = f"BUNIT {self.unit!r} does not tell" if self.unit else "no BUNIT"
        return (
            f"{seen}: values were taken for surface brightness, which new pixels keep; domain.values=flux keeps sums "
            "(counts, ADU), domain.values=brightness says that this is right"
        )

    def cautions(self) -> list[str]:
        """See `Scene.cautions`."""
        return [*super().cautions(), *([self.assumption] if self.assumption else [])]

    def _flags(self, option: int | None) -> FlagRule | None:
        layer = self.companions.flags
        if layer is None:
            return None
        if len(layer.shape) < len(self.layer.shape) and self._column_axis != len(self.layer.shape) - 1:
            raise FormatError(
                f"{self.path.name}: {layer.label} is one plane, but image rows and columns are not the last axes"
            )
        self.container.pixels(layer)
        return flag_rule(layer.name, layer.header, self.container.layers[0].header, option)

    def _saturation(self) -> float:
        """Lowest saturated value, infinite if unknown."""
        level = math.inf
        if self.values is Values.FLUX and isinstance(self.header.get("SATURATE"), int | float):
            level = number(self.header, "SATURATE", math.inf)
        scaling = self.pixels.scaling
        if self.pixels.bitpix == 16 and scaling.scale == 1 and scaling.zero == 32768:
            level = min(level, 65535.0)  # the ceiling of a 16-bit converter
        return level if level > 0 else math.inf

    def crop(self, window: Window) -> Scene:
        """See `Scene.crop`."""
        return self.cut(window)

    def cut(self, window: Window) -> Self:
        """See `Scene.crop`."""
        part = copy(self)
        for measured in ("sky", "states_noise"):  # of the whole image
            part.__dict__.pop(measured, None)
        part.origin, part.grid = (window.row, window.col), self.grid.crop(window)
        shape = list(self.layer.shape)
        shape[self._row_axis], shape[self._column_axis] = window.rows, window.cols
        part.layer = replace(self.layer, shape=tuple(shape))
        part.header = crop_header(self.header, window, self.frame.rows, self.frame.columns)
        part.frame = self.frame.crop(window)
        return part

    def cover(self, bounds: Bounds) -> tuple[float, float, float, float]:
        """See `Scene.cover`: longitude and latitude of the header's own system, in degrees."""
        if self.frame.celestial is None:
            raise DomainError(
                f"{self.path.name}: has no sky coordinates that bounds= could mean; srcwin= counts pixels"
            )
        return sky_extent(self.frame.celestial, bounds, self.grid)

    @property
    def whole(self) -> bool:
        """Whether the scene is all of its HDU."""
        return self.container.layers[self.layer.index].shape == self.layer.shape

    def source(self, plane: int, window: Window) -> Index:
        """NumPy index of a window of one plane in the array of the HDU, of which this may be a part."""
        return self.index(plane, window.shift(self.origin))

    def index(self, plane: int, window: Window) -> Index:
        """NumPy index of a window of one plane in an array of the scene."""
        places = list(np.unravel_index(plane, self._others)) if self._others else []
        index: list[slice | int] = []
        for axis in range(len(self.layer.shape)):
            if axis == self._row_axis:
                index.append(slice(window.row, window.row + window.rows))
            elif axis == self._column_axis:
                index.append(slice(window.col, window.col + window.cols))
            else:
                index.append(int(places.pop(0)))
        return tuple(index)

    def read(self, plane: int, window: Window) -> Image:
        """See `Scene.read`."""
        grid = self.grid.crop(window)
        values, valid = self.pixels.physical(self.source(plane, window))
        usable = values < self._full
        if self.flags is not None and self.companions.flags is not None:
            index = self.source(plane, window)[-len(self.companions.flags.shape) :]
            bad, silent = self.flags.apply(self.container.pixels(self.companions.flags).raw(index))
            valid &= ~bad
            usable &= ~silent
        values = np.where(valid, values, values.dtype.type(0))
        variance = self._variance(plane, window)
        if variance is not None:
            usable &= np.isfinite(variance)
            variance = np.where(np.isfinite(variance), variance, 0.0)[None]
        return Image(values[None], grid, valid[None], (usable & valid)[None], self.bands, self.unit, variance)

    def _variance(self, plane: int, window: Window) -> npt.NDArray[np.float64] | None:
        """Variance that the file states for every pixel, NaN where it states none; None without a credible map."""
        if self.companions.noise is None or not self.states_noise:
            return None
        return np.square(self.stated_deviation(plane, window))

    def stated_deviation(self, plane: int, window: Window) -> npt.NDArray[np.float64]:
        """Standard deviations of the file's noise map, NaN where it says nothing.

        Raises:
            FormatError: the file has no such map, or it cannot be read.
        """
        layer = self.companions.noise
        if layer is None:
            raise FormatError(f"{self.path.name}: has no map of its noise")
        stored, finite = self.container.pixels(layer).physical(self.source(plane, window))
        return np.where(finite, deviation(self.companions.noise_role, stored), np.nan)

    @cached_property
    def states_noise(self) -> bool:
        """Whether a noise map says something of most valid pixels; maps of zeros are common, and are none."""
        if self.companions.noise is None:
            return False
        said = asked = 0
        for plane, window in places(self.planes, self.grid.shape, WINDOWS, SIDE):
            valid = self.pixels.physical(self.source(plane, window))[1]
            asked += int(valid.sum())
            said += int((np.isfinite(self.stated_deviation(plane, window)) & valid).sum())
        return said > asked / 2

    def stored(self, plane: int, window: Window) -> tuple[Codes, npt.NDArray[np.bool_]]:
        """See `Scene.stored`."""
        index = self.source(plane, window)
        return self.pixels.raw(index)[None], self.pixels.physical(index)[1][None]

    def parts(self) -> tuple[Part, ...]:
        """See `Scene.parts`: the chosen HDU."""
        return (Part(self.layer.label, 0, range(self.planes), (self.path.name, self.layer.name)),)

    def encode(self, plane: int, values: Real, valid: npt.NDArray[np.bool_]) -> tuple[Codes, int]:
        """See `Scene.encode`: floating point, NaN where invalid."""
        if bool(np.isnan(values[valid]).any()):
            raise DomainError(f"{self.path.name}: the reconstruction is NaN at valid pixels of plane {plane}")
        limit = np.finfo(self.dtype).max
        clipped = np.clip(values, -limit, limit)
        moved = int(np.count_nonzero((clipped != values) & valid))
        return np.where(valid, clipped, np.nan).astype(self.dtype), moved

    def close(self) -> None:
        """See `Scene.close`."""
        self.container.close()


_OWN = ("SIMPLE", "XTENSION", "BITPIX", "NAXIS", "EXTEND", "PCOUNT", "GCOUNT", "GROUPS", "EXTNAME", "EXTVER", "NEXTEND")


def inherit(header: Any, primary: Any) -> Any:  # noqa: ANN401
    """Header of an extension with the primary's general cards (telescope, filter, exposure) that it lacks.

    A primary header without pixels says nothing about coordinates, sections or units of an image, so those stay out.
    """
    from .wcs_cards import is_wcs_card

    merged = header.copy()
    if header is primary or "XTENSION" not in header:
        return merged
    own = (*_OWN, "CHECKSUM", "DATASUM", "BSCALE", "BZERO", "BLANK", "DATASEC", "TRIMSEC", "BIASSEC", "FILENAME")
    comments = [card for card in primary.cards if card.keyword in ("COMMENT", "HISTORY")]
    for card in primary.cards:
        key = card.keyword
        if key and key not in merged and key not in ("COMMENT", "HISTORY") and key not in own and not is_wcs_card(key):
            merged.append(card, end=True)
    for card in comments:
        merged.append(card, end=True)
    return merged


def _text(value: Any) -> str:  # noqa: ANN401
    return value.strip() if isinstance(value, str) else ""
