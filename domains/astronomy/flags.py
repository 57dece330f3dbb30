"""What the bits of a flag map mean: which pixels are invalid and which only say nothing about the scene.

Bits follow the handbooks: JWST (jwst.datamodels.dqflags), HST (ACS and WFC3 data handbooks), LSST and HSC (``MP_*``
cards of the mask header). A flag map of unknown origin excludes every pixel with any bit set.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gensr.errors import DomainError

ANY = -1

JWST_INVALID = 1  # DO_NOT_USE
JWST_SATURATED = 2
HST_INVALID = 1 | 2 | 4 | 8 | 16 | 4096 | 8192  # lost, filled, bad pixel, masked, hot, cosmic rays
HST_SATURATED = 256 | 2048  # full well; A-to-D saturation (ACS, UVIS) or signal in the zero read (IR)


@dataclass(frozen=True)
class FlagRule:
    """Bits that make a pixel invalid, and bits that keep it out of the likelihood only.

    Attributes:
        invalid: bit mask, `ANY` for every bit.
        unusable: bit mask.
        origin: where the rule comes from.
    """

    invalid: int
    unusable: int
    origin: str

    def apply(self, codes: npt.NDArray[Any]) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Masks (invalid, unusable) of integer codes, which may be unsigned or beyond 32 bits."""
        wide = codes.astype(np.int64)
        bad = wide != 0 if self.invalid == ANY else (wide & self.invalid) != 0
        return bad, (wide & self.unusable) != 0


def flag_rule(name: str, header: Any, primary: Any, option: int | None) -> FlagRule:  # noqa: ANN401
    """Rule for a flag map.

    Args:
        name: its EXTNAME.
        header: its header.
        primary: the primary header, which names the telescope.
        option: bits given by the user (0 excludes nothing, -1 everything flagged), None for the table.

    Raises:
        DomainError: for an option that is no bit mask.
    """
    if option is not None:
        if isinstance(option, bool) or not isinstance(option, int) or option < ANY:
            raise DomainError(
                f"dq_bits={option!r} is no bit mask; give 0 (exclude nothing), -1 (any flag) or a sum of bits"
            )
        return FlagRule(option, 0, f"option dq_bits={option}")
    planes = {str(k)[3:].upper(): header[k] for k in header if str(k).upper().startswith("MP_")}
    planes = {k: int(v) for k, v in planes.items() if isinstance(v, int) and 0 <= v < 63}
    if planes:
        return FlagRule(
            _bits(planes, "BAD", "NO_DATA", "CR"), _bits(planes, "SAT", "SUSPECT"), "mask planes of the header"
        )
    telescope = str(header.get("TELESCOP", primary.get("TELESCOP", ""))).strip().upper()
    if name == "DQ" and telescope == "JWST":
        return FlagRule(JWST_INVALID, JWST_SATURATED, "JWST data quality flags")
    if name == "DQ" and telescope == "HST":
        return FlagRule(HST_INVALID, HST_SATURATED, "HST data quality flags")
    return FlagRule(ANY, 0, "any flag excludes; choose bits with dq_bits")


def _bits(planes: dict[str, int], *names: str) -> int:
    return sum(1 << planes[n] for n in names if n in planes)
