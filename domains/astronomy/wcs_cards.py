"""World coordinates on a refined grid: the cards of a FITS header are edited in place, never rebuilt.

Building a header from ``astropy.wcs.WCS`` loses SIP terms and turns CD into PC. So every card that counts pixels is
re-expressed: with ``p`` a 1-based pixel coordinate and ``s`` the refinement of its axis, ``p' = (p - 0.5) s + 0.5``.

* linear part: ``CD_ij / s_j``; with PC, ``CDELT_i / s_i`` and ``PC_ij s_i / s_j``, whose product is the same;
* SIP (Shupe et al. 2005): ``u' + A'(u', v') = s_x (u + A(u, v))`` gives ``A'_pq = A_pq s_x^(1-p) s_y^-q``;
* plate solutions (DSS) count micrometres from a plate corner: ``CNPIX s``, ``XPIXELSZ / s``;
* TPV, TNX, ZPX and projection parameters act on world-plane degrees and stay.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gensr.errors import FormatError
from gensr.values.grid import refine_reference

from .headers import number

_AXIS_CARD = re.compile(r"^(CTYPE|CRPIX|CRVAL|CDELT|CUNIT|CROTA)(\d{1,2})([A-Z]?)$")
_MATRIX = re.compile(r"^(PC|CD)(\d{1,2})_(\d{1,2})([A-Z]?)$")
_OLD_MATRIX = re.compile(r"^(PC|CD)(\d{3})(\d{3})()$")
_SIP = re.compile(r"^(A|B|AP|BP)_(\d)_(\d)$")
_WCS_CARD = re.compile(
    r"^(WCSAXES|WCSNAME|(CTYPE|CRPIX|CRVAL|CDELT|CUNIT|CROTA|CRDER|CSYER|CNAME)\d{1,2}|(PC|CD|PV|PS)\d{1,2}_\d{1,2}"
    r"|LONPOLE|LATPOLE|RADESYS|RADECSYS|EQUINOX|EPOCH|MJDREF|SPECSYS|RESTFRQ|RESTFREQ|RESTWAV|VELREF|VELOSYS)[A-Z]?$"
    r"|^(A|B|AP|BP)_(ORDER|DMAX|\d_\d)$|^(CPDIS|D2IMDIS|CPERR|D2IMERR|DP|D2IM)\d$|^(PC|CD)\d{6}$|^WAT\d_\d{3}$"
    r"|^(AMD[XY]|PPO|PLT|CNPIX|[XY]PIXELSZ|LT[MV]\d)"
)


@dataclass
class Edit:
    """A header being refined.

    Attributes:
        header: the copy that is edited.
        scale: refinement of every FITS axis that is refined, by 1-based axis number.
        notes: what a user should know.
    """

    header: Any
    scale: Mapping[int, int]
    notes: list[str] = field(default_factory=list)

    def factor(self, axis: int) -> int:
        """Refinement of a FITS axis, 1 if it is not refined."""
        return self.scale.get(axis, 1)

    def multiply(self, key: str, ratio: float, default: float | None = None) -> None:
        """Scale a numeric card; an absent card is written only if it has a default."""
        if key in self.header or default is not None:
            self.header[key] = number(self.header, key, default or 0.0) * ratio

    def move(self, key: str, s: int, default: float | None = None) -> None:
        """Refine a 1-based pixel coordinate; an absent card is written only if it has a default."""
        if key in self.header or default is not None:
            self.header[key] = refine_reference(number(self.header, key, default or 0.0), s)


def is_wcs_card(key: str) -> bool:
    """True for cards that belong to a coordinate system (copied to the mask and the uncertainty)."""
    return bool(_WCS_CARD.match(key))


def refuse_unknown(header: Any, file: str) -> None:  # noqa: ANN401
    """Refuse distortions whose refinement is not defined here.

    Raises:
        FormatError: for polynomial or TPD distortions, CQDIS, and the D2IM convention before 2012.
    """
    for key in header:
        if re.match(r"^CPDIS\d", key) and str(header[key]).strip().upper() != "LOOKUP":
            raise FormatError(
                f"{file}: {key} = {header[key]!r} distortion is not supported, only LOOKUP; resample it first"
            )
        if re.match(r"^(CQDIS\d|AXISCORR$)", key):
            raise FormatError(
                f"{file}: {key} distortion is not supported; convert it to SIP or resample the image first"
            )
        if re.match(r"^CTYPE\d", key) and str(header[key]).strip().upper().endswith("-TPD"):
            raise FormatError(
                f"{file}: {key} = {header[key]!r}: TPD distortion is not supported; convert it to TPV first"
            )


def refine_wcs(edit: Edit) -> None:
    """Re-express every coordinate system of the header on the refined grid.

    Raises:
        FormatError: if a card holds no number, or a rotation cannot be expressed.
    """
    keys = list(edit.header)
    for alternate in sorted(
        {m[3] for m in map(_AXIS_CARD.match, keys) if m} | {m[4] for m in map(_any_matrix, keys) if m}
    ):
        _linear(edit, alternate)
    _sip(edit, keys)
    _plate(edit)
    for axis, s in edit.scale.items():
        for key in (f"CPERR{axis}", f"D2IMERR{axis}"):
            edit.multiply(key, s)


def _any_matrix(key: str) -> re.Match[str] | None:
    return _MATRIX.match(key) or _OLD_MATRIX.match(key)


def _linear(edit: Edit, alternate: str) -> None:
    matrix = [m for m in map(_any_matrix, list(edit.header)) if m and m[4] == alternate]
    has_cd = any(m[1] == "CD" for m in matrix)
    has_pc = any(m[1] == "PC" for m in matrix)
    if not has_cd and not has_pc:
        has_cd = _rotation(edit, alternate)
    for m in matrix:
        row, column = int(m[2]), int(m[3])
        gain = 1.0 if m[1] == "CD" else edit.factor(row)
        ratio = gain / edit.factor(column)
        if ratio != 1.0:
            edit.multiply(m[0], ratio)
    for axis, s in edit.scale.items():
        # Absent CRPIX is 0 and absent CDELT is 1: after refining they are no longer the default.
        edit.move(f"CRPIX{axis}{alternate}", s, default=0.0)
        edit.multiply(f"CDELT{axis}{alternate}", 1 / s, default=None if has_cd else 1.0)


def _rotation(edit: Edit, alternate: str) -> bool:
    """Turn CROTA into CD if the two sky axes are refined unequally; True if it did.

    With equal factors CROTA stays: a rotation commutes with a uniform scale.
    """
    header = edit.header
    turned = [m for m in map(_AXIS_CARD.match, list(header)) if m and m[1] == "CROTA" and m[3] == alternate]
    angles = {int(m[2]): number(header, m[0], 0.0) for m in turned}
    angle = next((a for a in angles.values() if a != 0.0), 0.0)
    axes = sorted(edit.scale)
    if angle == 0.0 or len(axes) != 2 or edit.factor(axes[0]) == edit.factor(axes[1]):
        return False
    first = str(header.get(f"CTYPE{axes[0]}{alternate}", "")).upper()
    lon, lat = axes[::-1] if first.startswith("DEC") or first[1:4] == "LAT" else axes
    cos, sin = float(np.cos(np.deg2rad(angle))), float(np.sin(np.deg2rad(angle)))
    count = max([int(number(header, "NAXIS", 2)), *(int(m[2]) for m in map(_AXIS_CARD.match, list(header)) if m)])
    step = {i: number(header, f"CDELT{i}{alternate}", 1.0) for i in range(1, count + 1)}
    entries = {(i, i): step[i] for i in step if i not in (lon, lat)}
    entries |= {(lon, lon): step[lon] * cos, (lon, lat): -step[lat] * sin}
    entries |= {(lat, lon): step[lon] * sin, (lat, lat): step[lat] * cos}
    for m in turned:
        del header[m[0]]
    for i in step:
        header.remove(f"CDELT{i}{alternate}", ignore_missing=True)
    for (i, j), value in entries.items():
        header[f"CD{i}_{j}{alternate}"] = value / edit.factor(j)
    edit.notes.append(f"CROTA became a CD matrix: the axes are refined {edit.scale}")
    return True


def _sip(edit: Edit, keys: list[str]) -> None:
    sx, sy = float(edit.factor(1)), float(edit.factor(2))
    found = False
    for m in filter(None, map(_SIP.match, keys)):
        p, q = int(m[2]), int(m[3])
        lead = sx if m[1].startswith("A") else sy
        edit.multiply(m[0], lead * sx**-p * sy**-q)
        found = True
    edit.multiply("A_DMAX", sx)
    edit.multiply("B_DMAX", sy)
    if found and "-SIP" not in str(edit.header.get("CTYPE1", "")):
        edit.notes.append("SIP terms without -SIP in CTYPE1: left over from an earlier image; scaled all the same")


def _plate(edit: Edit) -> None:
    if "XPIXELSZ" not in edit.header and "CNPIX1" not in edit.header:
        return
    for axis, letter in ((1, "X"), (2, "Y")):
        s = edit.factor(axis)
        edit.multiply(f"CNPIX{axis}", s)
        edit.multiply(f"{letter}PIXELSZ", 1 / s)
