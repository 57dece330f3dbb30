"""Label maps and images of many kinds, each made from a few lines: rows for tests of what tells them apart."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Codes = npt.NDArray[np.generic]
Make = Callable[[], Codes]


def rng(seed: int) -> np.random.Generator:
    """Numbers of a row."""
    return np.random.default_rng(seed)


def smooth(side: int, scale: float, seed: int) -> npt.NDArray[np.float64]:
    """A smooth random field from 0 to 1."""
    field = ndimage.gaussian_filter(rng(seed).standard_normal((side, side)), scale, mode="wrap")
    return (field - field.min()) / np.ptp(field)


def levels(field: npt.NDArray[np.float64], count: int) -> Codes:
    """A field from 0 to 1 as ``count`` codes."""
    return np.minimum((field * count).astype(np.int64), count - 1)


def voronoi(side: int, cells: int, seed: int, codes: npt.ArrayLike | None = None) -> Codes:
    """Patches around random points, numbered or with random codes."""
    points = rng(seed).random((cells, 2)) * side
    y, x = np.mgrid[:side, :side]
    nearest = ((y[..., None] - points[:, 0]) ** 2 + (x[..., None] - points[:, 1]) ** 2).argmin(-1)
    return (
        nearest
        if codes is None
        else np.asarray(codes)[rng(seed + 1).integers(0, len(np.asarray(codes)), cells)][nearest]
    )


def nuclei(side: int, count: int, seed: int) -> Codes:
    """Numbered ellipses on 0."""
    out, y, x = np.zeros((side, side), np.int64), *np.mgrid[:side, :side]
    random = rng(seed)
    for number in range(1, count + 1):
        (row, col), (high, wide) = random.random(2) * side, random.uniform(4, 9, 2)
        out[((y - row) / high) ** 2 + ((x - col) / wide) ** 2 < 1] = number
    return out


def tissues(side: int, seed: int) -> Codes:
    """Background, fluid, grey, white, and fluid inside again."""
    radius, warp = np.hypot(*(np.mgrid[:side, :side] / (side / 2) - 1)), smooth(side, 4, seed) - 0.5
    out = (radius < 0.85).astype(np.int64)
    out[radius + 0.35 * warp < 0.75] = 2
    out[radius + 0.5 * warp < 0.6] = 3
    out[radius < 0.2] = 1
    return out


def speckled(codes: Codes, share: float, seed: int) -> Codes:
    """Some pixels at random from the same codes, as classifiers of single pixels leave them."""
    out, random = codes.copy(), rng(seed)
    wrong = random.random(out.shape) < share
    out[wrong] = random.choice(np.unique(codes), int(wrong.sum()))
    return out


def stars(side: int, count: int, seed: int, scale: float, noise: float = 0.0) -> Codes:
    """Point sources behind a PSF on an empty background, as counts."""
    field, random = np.zeros((side, side)), rng(seed)
    for _ in range(count):
        field[random.integers(2, side - 2), random.integers(2, side - 2)] += random.exponential(3000)
    seen = ndimage.gaussian_filter(field, 1.3) / scale + noise * random.standard_normal(field.shape)
    return np.rint(seen).clip(0)


def enlarged(codes: Codes, times: int) -> Codes:
    """Every pixel repeated."""
    return np.kron(codes, np.ones((times, times), np.int64))


def noisy(field: npt.NDArray[np.float64], sigma: float, seed: int) -> Codes:
    """A field with noise, rounded, none below 0."""
    return np.rint(field + sigma * rng(seed).standard_normal(field.shape)).clip(0)


COVER = (10, 20, 30, 40, 50, 60, 80, 90)
LABELS: dict[str, Make] = {
    "nuclei, 36": lambda: nuclei(128, 36, 2),
    "nuclei, small file": lambda: nuclei(64, 36, 2),
    "nuclei, 400": lambda: nuclei(512, 400, 3),
    "nuclei, thin and crowded": lambda: nuclei(64, 150, 15),
    "cells that touch": lambda: voronoi(128, 12, 0),
    "superpixels in order": lambda: (np.mgrid[:256, :256][0] // 13) * 20 + (
        np.mgrid[:256, :256][1] + np.mgrid[:256, :256][0] // 13 % 2 * 6) // 13,
    "mask, 0 and 1": lambda: (smooth(128, 5, 4) > 0.55).astype(np.int64),
    "mask, 0 and 255": lambda: (smooth(128, 5, 4) > 0.55) * 255,
    "mask, truth values": lambda: smooth(128, 5, 4) > 0.55,
    "mask, enlarged": lambda: enlarged((smooth(128, 5, 4) > 0.55).astype(np.int64), 4),
    "mask of lesions": lambda: (ndimage.gaussian_filter((rng(5).random((256, 256)) > 0.9995) * 1.0, 1.2) > 0.03) * 1,
    "mask of roads": lambda: (np.abs(smooth(256, 8, 14) - 0.5) < 0.012).astype(np.int64),
    "mask of buildings": lambda: ndimage.maximum_filter((rng(6).random((256, 256)) > 0.998) * 1, (7, 11)),
    "trimap, 0 128 255": lambda: np.array([0, 128, 255])[np.digitize(smooth(128, 6, 13), [0.45, 0.55])],
    "tissues": lambda: tissues(128, 8),
    "tissues, codes of FreeSurfer": lambda: voronoi(64, 30, 9, (0, 2, 3, 4, 41)),
    "land cover": lambda: voronoi(128, 80, 1, COVER),
    "land cover, enlarged": lambda: enlarged(voronoi(128, 80, 1, COVER), 3),
    "land cover, a tenth of pixels at random": lambda: speckled(voronoi(128, 80, 1, COVER), 0.1, 2),
    "land cover, a quarter of pixels at random": lambda: speckled(voronoi(128, 80, 1, COVER), 0.25, 2),
    "land cover, classified pixel by pixel": lambda: np.stack(
        [smooth(128, 2, 50 + k) + 0.05 * rng(k).standard_normal((128, 128)) for k in range(6)]).argmax(0),
    "quality bits": lambda: voronoi(128, 50, 3, (21824, 21952, 22080, 22280, 23888, 54596)),
    "clouds, three kinds": lambda: voronoi(128, 40, 7, (0, 1, 2)),
    "labels as floats": lambda: nuclei(128, 36, 2).astype(np.float32),
}  # fmt: skip
IMAGES: dict[str, Make] = {
    "photon counts, mean 0.05": lambda: rng(1).poisson(0.05, (128, 128)),
    "photon counts, mean 0.3": lambda: rng(1).poisson(0.3, (128, 128)),
    "photon counts, mean 2": lambda: rng(1).poisson(2, (128, 128)),
    "photon counts of a structure": lambda: rng(1).poisson(smooth(128, 5, 1) ** 4 * 3),
    "photon counts of patches": lambda: rng(0).poisson(voronoi(128, 12, 0, (1, 8, 3))),
    "dark, 6 levels and noise": lambda: noisy(smooth(128, 6, 2) * 5, 0.4, 1),
    "dark, 6 levels, little noise": lambda: noisy(smooth(128, 6, 2) * 5, 0.1, 1),
    "dark, 4 levels, little noise": lambda: noisy(smooth(128, 6, 2) * 3, 0.15, 1),
    "dark, 3 levels, little noise": lambda: noisy(smooth(128, 6, 2) * 2, 0.2, 1),
    "dark, 6 levels, no noise": lambda: levels(smooth(128, 6, 2), 6),
    "dark, 3 levels, no noise": lambda: levels(smooth(128, 6, 2), 3),
    "dark, stretched": lambda: np.array([0, 3, 11, 40, 90, 160, 210, 255])[
        noisy(smooth(128, 4, 2) * 7, 0.4, 3).clip(0, 7).astype(int)],
    "4 bits": lambda: levels(smooth(128, 3, 3), 16),
    "4 bits and noise": lambda: noisy(smooth(128, 3, 3) * 15, 0.5, 4).clip(0, 15),
    "8 bits": lambda: levels(smooth(128, 3, 3), 256),
    "8 bits, very smooth": lambda: levels(smooth(128, 12, 3), 256),
    "32 bits of counts": lambda: (smooth(48, 3, 4) * 255000).astype(np.uint32),
    "saturated": lambda: (smooth(128, 4, 5) * 500 - 100).clip(0, 255).astype(np.uint8),
    "cut to zero below a threshold": lambda: (smooth(128, 4, 5) * (smooth(128, 4, 5) > 0.5) * 255).astype(np.uint8),
    "stars, bright": lambda: stars(256, 60, 1, 1),
    "stars, faint": lambda: stars(256, 60, 1, 50),
    "stars, very faint": lambda: stars(256, 60, 1, 300),
    "stars, hardly any counts": lambda: stars(256, 60, 1, 600),
    "stars, many with hardly any counts": lambda: stars(256, 200, 3, 1000),
    "noise of two codes and few others": lambda: rng(0).choice(4, (128, 128), p=(0.45, 0.05, 0.05, 0.45)),
    "stars and noise": lambda: stars(256, 60, 1, 1, 2.0),
    "heights in plateaus": lambda: levels(smooth(256, 20, 9), 12),
    "heights in plateaus of 10": lambda: levels(smooth(256, 20, 9), 12) * 10,
    "heights, two plateaus": lambda: levels(smooth(256, 20, 9), 2) + 12,
    "heights, 40 levels": lambda: levels(smooth(256, 20, 9), 40),
    "ramp": lambda: np.tile(np.arange(64), (64, 1)),
    "ramp in steps": lambda: np.tile(np.arange(64) // 4, (64, 1)),
    "board of single pixels": lambda: np.indices((64, 64)).sum(0) % 2,
    "board of 8 pixels": lambda: (np.indices((64, 64)) // 8).sum(0) % 2,
    "noise": lambda: rng(0).integers(0, 255, (64, 64)),
    "noise, enlarged": lambda: enlarged(rng(0).integers(0, 256, (32, 32)), 4),
    "noise, enlarged and cut": lambda: enlarged(rng(0).integers(0, 256, (32, 32)), 4)[1:-2, 3:-1],
    "photograph, enlarged": lambda: enlarged(levels(smooth(64, 3, 3), 256), 2),
    "photograph, enlarged by 2.5": lambda: levels(smooth(64, 2, 3), 256)[(np.arange(160) / 2.5).astype(int)][
        :, (np.arange(160) / 2.5).astype(int)],
    "constant": lambda: np.full((64, 64), 7),
    "one square": lambda: np.pad(np.full((20, 20), 100), 22),
    "one pixel": lambda: np.pad(np.ones((1, 1), np.int64), 31),
    "spot": lambda: np.rint(200 * np.exp(-((np.mgrid[:64, :64] - 32) ** 2).sum(0) / 50)),
    "fractions in areas": lambda: nuclei(128, 36, 2) / 40.0,
}  # fmt: skip
