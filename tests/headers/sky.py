"""FITS files through astropy alone."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.wcs import WCS

from .findings import Findings, differing, few

WCS_ERROR = 1e-9
LOST = {"XTENSION", "SIMPLE", "BITPIX", "EXTEND", "PCOUNT", "GCOUNT", "BSCALE", "BZERO", "BLANK", "CHECKSUM", "DATASUM"}
"""Cards that describe the bytes of the input or are written anew."""
RENEWED = {"EXTNAME", "EXTVER", "DATE", "ORIGIN", "BUNIT", "HISTORY", "COMMENT", "", "DATAMIN", "DATAMAX", "FILENAME"}
PER_PIXEL = {"SATURATE", "SKYLEVEL", "BACKGROUND", "MDRIZSKY", "AVSKY", "SKYBRITE"}
PER_PIXEL |= {"GOODMIN", "GOODMAX", "GOODMEAN", "MEANDARK"}
INVERSE_SQUARE = PER_PIXEL | {"PIXAR_SR", "PIXAR_A2"}
NOISE = {"AVSIG", "SKYSIGMA"}
"""Noise of a source pixel, which a refined one does not have."""
GRID = ("CRPIX", "CDELT", "CD1_", "CD2_", "CD3_", "CD4_", "PC", "A_", "B_", "AP_", "BP_", "LTM", "LTV", "NAXIS", "PIX")
LOOKUP = (
    "CPDIS",
    "CPERR",
    "CQERR",
    "DP",
    "DQ",
    "D2IM",
    "AXISCORR",
    "WCSDVARR",
    "IDCSCALE",
    "D001SCAL",
    "SECPIX",
    "WCSAXES",
)
HALVED = {"XPIXSZ", "YPIXSZ", "PIXSCALE", "PIXSIZE"}
"""Sizes of a pixel in words of their own."""
COUNTED = {"NEXTEND", "INHERIT"}
"""Cards about the HDUs of the file, which are others now."""
SECTIONS = {"DATASEC", "TRIMSEC", "BIASSEC", "CCDSUM", "IMAGEH", "IMAGEW"}
OTHERS = LOST | RENEWED | INVERSE_SQUARE | HALVED | COUNTED | SECTIONS | NOISE


def same_sky(
    before: Any,
    after: Any,
    shape: tuple[int, ...],
    scale: dict[int, int],
    hdus_before: Any = None,
    hdus_after: Any = None,
    key: str = " ",
) -> float:
    """Compare two world coordinate systems at random pixels and at the corners: returns the largest error.

    The error is in degrees (or the unit of the axis), relative for axes whose values are large, for example velocities.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        w0 = WCS(before, fobj=hdus_before, key=key)
        w1 = WCS(after, fobj=hdus_after, key=key)
    assert w0.naxis == w1.naxis
    size = np.array([*shape[::-1], *[1] * w0.naxis][: w0.naxis])
    rng = np.random.default_rng(5)
    coarse = rng.uniform(-0.5, size - 0.5, (64, w0.naxis))
    coarse[:4, :2] = [(-0.5, -0.5), (size[0] - 0.5, -0.5), (size[0] - 0.5, size[1] - 0.5), (-0.5, size[1] - 0.5)]
    s = np.array([scale.get(axis + 1, 1) for axis in range(w0.naxis)])
    fine = (coarse + 0.5) * s - 0.5
    with np.errstate(all="ignore"):
        sky0, sky1 = w0.all_pix2world(coarse, 0), w1.all_pix2world(fine, 0)
    assert np.array_equal(np.isnan(sky0), np.isnan(sky1))
    assert np.isfinite(sky0).any()
    return float(np.nanmax(np.abs(sky0 - sky1) / np.maximum(1.0, np.abs(sky0) / 360)))


def first_image(hdus: Any) -> int:
    """Index of the first HDU with pixels in two or more axes that is no lookup table."""
    return next(
        i
        for i, h in enumerate(hdus)
        if getattr(h, "shape", None) and len(h.shape) > 1 and h.name not in ("WCSDVARR", "D2IMARR")
    )


def check(source: Path, written: list[Path], factor: int, flux: bool) -> Findings:
    """Compare a FITS input with its refined output.

    Args:
        source: the input.
        written: outputs, the mean first.
        factor: refinement.
        flux: the input holds flux per pixel, which is shared among new pixels.
    """
    found = Findings(source.name, "astropy")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with fits.open(source) as a, fits.open(written[0], checksum=True) as b:
            index = first_image(a)
            a[index].data  # noqa: B018 - compressed headers settle when the data are read
            _geometry(found, a, b, index, factor)
            _values(found, a, b, index, factor, flux)
            _cards(found, a, b, index, factor, flux)
    return found


def _geometry(found: Findings, a: Any, b: Any, index: int, s: int) -> None:
    old, new, shape = a[index].header, b[0].header, a[index].shape
    fine = (*shape[:-2], shape[-2] * s, shape[-1] * s)
    found.say("bands", f"{' x '.join(map(str, shape[:-2])) or '1 plane'} kept", b[0].shape == fine)
    if not any(k.startswith("CTYPE") and old[k] for k in old):
        found.say("field of view", f"no sky; {shape[-1]} x {shape[-2]} to {fine[-1]} x {fine[-2]}", b[0].shape == fine)
        found.say("pixel size", "none stated, none invented", "CDELT1" not in new, "CD1_1" not in new)
        found.say("orientation", "none stated", "CTYPE1" not in new)
        return
    layers = [h.header for h in b if h.name in ("UNCERT", "MASK")]
    errors = [same_sky(old, layer, shape, {1: s, 2: s}, a, b) for layer in (new, *layers)]
    found.error("field of view", max(errors), WCS_ERROR, "deg", f", also of {len(layers)} layers")
    w0, w1 = WCS(old, fobj=a), WCS(new, fobj=b)
    m0, m1 = w0.pixel_scale_matrix[:, :2], w1.pixel_scale_matrix[:, :2]
    scale = np.sqrt((m0[:, 0] ** 2).sum()) * 3600
    found.say("pixel size", f"{scale:.6g} to {scale / s:.6g} arcsec", np.allclose(m1 * s, m0, rtol=1e-12, atol=0))
    turn = np.degrees(np.arctan2(m0[0, 1], m0[1, 1]))
    types = [str(t) for t in w0.wcs.ctype]
    found.say(
        "orientation",
        f"{' '.join(t for t in types if t)}, turned by {turn + 0.0:.2f} deg",
        types == [str(t) for t in w1.wcs.ctype],
        bool(np.sign(np.linalg.det(m0[:2])) == np.sign(np.linalg.det(m1[:2]))),
        w0.wcs.radesys == w1.wcs.radesys,
    )


def _values(found: Findings, a: Any, b: Any, index: int, s: int, flux: bool) -> None:
    before, after = np.asarray(a[index].data, np.float64), np.asarray(b[0].data, np.float64)
    with fits.open(a.filename(), do_not_scale_image_data=True) as stored:
        kept = -64 if stored[index].header["BITPIX"] in (32, 64, -64) else -32  # what float32 would round
    found.say(
        "dtype",
        f"{a[index].data.dtype.name} to float{-kept}",
        b[0].header["BITPIX"] == kept,
        b["UNCERT"].header["BITPIX"] == kept,
        not LOST & {"BSCALE", "BZERO", "BLANK"} & set(b[0].header),
    )
    invalid = ~np.isfinite(before)
    if "DQ" in [h.name for h in a]:
        # HST WFC3: bits that make a pixel unusable for good (fill, bad, dead, unstable, hot, saturated in all reads).
        invalid |= (a["DQ"].data & (1 + 2 + 4 + 8 + 16 + 4096 + 8192)) > 0
    fine = invalid.repeat(s, -2).repeat(s, -1)
    found.say(
        "nodata, mask",
        f"{int(invalid.sum())} NaN, refined; MASK, UNCERT agree",
        np.array_equal(np.isnan(after), fine),
        np.array_equal(b["MASK"].data == 1, fine),
        np.array_equal(np.isnan(b["UNCERT"].data), fine),
    )
    per = s * s if flux else 1
    old, new = str(a[index].header.get("BUNIT", "")).strip(), str(b[0].header.get("BUNIT", "")).strip()
    rule = f"shared by {per}" if flux else "kept"
    good = ~invalid
    close = not good.any() or bool(
        abs(after[~fine].mean() * per - before[good].mean())
        # A wrong unit is off by far more; a prior may move the level by a few per cent of the noise.
        <= 0.04 * before[good].std() + 1e-6 * abs(before[good].mean())
    )
    found.say("units", f"{old or 'no BUNIT'}, values {rule}", close, _same_unit(old, new))


def _same_unit(old: str, new: str) -> bool:
    """The same unit, as astropy can parse it; case and plural of the input may be mended."""
    if not old or not new:
        return old == new
    letters = [
        w.lower().replace(" ", "").replace("electrons", "electron").replace("counts", "count") for w in (old, new)
    ]
    return letters[0] == letters[1] and u.Unit(new, parse_strict="silent") is not None


def _cards(found: Findings, a: Any, b: Any, index: int, s: int, flux: bool) -> None:
    old = {k: v for k, v in a[index].header.items() if not k.startswith((*GRID, *LOOKUP))}
    changed = differing(old, dict(b[0].header.items()), OTHERS)
    changed = [k for k in changed if not _equal(old[k], b[0].header.get(k))]
    kept = len(set(old) - OTHERS)
    full = a[index].header
    halved = [float(b[0].header.get(k, 0)) * s == float(full[k]) for k in HALVED & set(full)]
    area = s * s if flux else 1
    shared = [_equal(full[k], b[0].header[k] * area) for k in PER_PIXEL & set(full) if not isinstance(full[k], str)]
    extensions = b[0].header.get("NEXTEND", len(b) - 1)
    history = "".join(line.ljust(72) for line in b[0].header["HISTORY"])
    sums = all(h.verify_checksum() == 1 and h.verify_datasum() == 1 for h in b)
    found.say(
        "tags",
        f"{kept} cards kept; checksums right; marked" + (f"; CHANGED {few(changed)}" if changed else ""),
        not changed,
        all(halved),
        all(shared),
        not NOISE & set(b[0].header),
        extensions == len(b) - 1,
        sums,
        "Contains generated detail" in history,
        b[0].header["GENERATD"] is True,
        "PROVENANCE" in [h.name for h in b],
    )


def _equal(old: Any, new: Any) -> bool:
    numbers = (int, float)
    if isinstance(old, numbers) and isinstance(new, numbers):
        return bool(np.isclose(old, new, rtol=1e-14, atol=0))
    return bool(old == new)
