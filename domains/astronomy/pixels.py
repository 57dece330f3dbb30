"""Pixels of one image HDU on the disk: windows of raw codes, and their physical values."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gensr.errors import FormatError
from gensr.values.precision import Real, held, precision

BITPIX = {8: "u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}
Index = tuple[slice | int, ...]


@dataclass(frozen=True)
class Scaling:
    """``physical = zero + scale * code``; ``blank`` is the invalid code of integers."""

    scale: float = 1.0
    zero: float = 0.0
    blank: int | None = None

    @property
    def trivial(self) -> bool:
        """True if codes are values."""
        return self.scale == 1.0 and self.zero == 0.0


@dataclass(frozen=True)
class Pixels:
    """An uncompressed big-endian array inside a file, read window by window and never as a whole.

    Attributes:
        path: the file.
        offset: first byte of the array.
        shape: NumPy order, the last axis is FITS axis 1.
        bitpix: FITS code of the stored type.
        scaling: codes to physical values.
    """

    path: Path
    offset: int
    shape: tuple[int, ...]
    bitpix: int
    scaling: Scaling

    @property
    def dtype(self) -> np.dtype[Any]:
        """Stored, big-endian type."""
        return np.dtype(BITPIX[self.bitpix])

    @property
    def precision(self) -> np.dtype[Any]:
        """Dtype of physical values, see `gensr.scenes.scene.Scene.precision`."""
        return precision(self.dtype.newbyteorder("="), (self.scaling.scale,), (self.scaling.zero,))

    def raw(self, index: Index) -> npt.NDArray[Any]:
        """Codes of a window in the machine's byte order."""
        try:
            codes = np.memmap(self.path, self.dtype, "r", self.offset, self.shape)[index]
        except (OSError, ValueError) as error:
            raise FormatError(
                f"{self.path.name}: pixels cannot be read ({error}); the file changed or is damaged"
            ) from None
        return np.asarray(codes).astype(self.dtype.newbyteorder("="))

    def physical(self, index: Index) -> tuple[Real, npt.NDArray[np.bool_]]:
        """Values of a window and which of them are finite and not BLANK.

        Scaling is done in float64; what is not finite, or larger than anything measured, is invalid.
        """
        codes = self.raw(index)
        scaling = self.scaling
        with np.errstate(over="ignore", invalid="ignore"):
            wide = codes if scaling.trivial else codes.astype(np.float64) * scaling.scale + scaling.zero
            values = wide.astype(self.precision)
        valid = held(values)
        if scaling.blank is not None and self.bitpix > 0:
            valid &= codes != scaling.blank
        return values, valid
