"""Readers of the data packs: one small function per domain, one `Case` per picture.

A pack is a folder under the root that the caller names; its README says where the pictures come from and how the splits
were made. Values are physical and untouched: grey levels 0..255, electron/s, or (brain MR) the volume divided by its
99.9th percentile.
"""

import csv
import io
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from .astronomy import KINDS, load_fields

__all__ = ["DOMAINS", "Case", "foreground", "load", "luminance"]

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Case:
    """One picture of a test or training set.

    Attributes:
        name: unique within its domain.
        image: (band, y, x) float32 in physical units.
        peak: the data range of the PSNR, in the unit of ``image`` (astronomy: 1, of the stretched value).
        group: what scores are broken down by: acquisition, class, source, kind of field, contrast.
        code: size of one stored code value in the unit of ``image``; 0 where the file holds floats.
        sources: astronomy only: catalogue (k, 4) of type, AB magnitude, x, y. Empty (0, 4) elsewhere.
    """

    name: str
    image: NDArray[np.float32]
    peak: float
    group: str
    code: float
    sources: NDArray[np.float32]


_NO_SOURCES: NDArray[np.float32] = np.zeros((0, 4), np.float32)


def _found(path: Path) -> Path:
    if not path.is_file():
        raise FileNotFoundError(f"no data pack file at {path}; give the folder that holds the packs as root")
    return path


def _spread(total: int, limit: int | None) -> list[int]:
    """Indices of at most ``limit`` of ``total`` items, evenly spaced."""
    if limit is None or limit >= total:
        return list(range(total))
    return [round(float(i)) for i in np.linspace(0, total - 1, limit)] if limit > 1 else [0][:limit]


def _rows(folder: Path, split: str, column: str = "split") -> list[dict[str, str]]:
    with _found(folder / "manifest.csv").open(newline="", encoding="utf-8") as handle:
        return [row for row in csv.DictReader(handle) if row[column] == split]


def _cropped(image: NDArray[Any], multiple: int = 8) -> NDArray[Any]:
    """The top left part of (..., y, x) whose sides are multiples of ``multiple``."""
    height, width = image.shape[-2:]
    return image[..., : height - height % multiple, : width - width % multiple]


def _zipped(folder: Path, split: str, group: str, limit: int | None) -> list[Case]:
    """8-bit pictures of ``<split>.zip`` in the order of the manifest; RGB or grey, peak 255."""
    rows = [row for row in _rows(folder, split) if row["file"].startswith(f"{split}.zip/")]
    cases = []
    with zipfile.ZipFile(_found(folder / f"{split}.zip")) as archive:
        for index in _spread(len(rows), limit):
            member = rows[index]["file"].split("/", 1)[1]
            pixels = np.asarray(Image.open(io.BytesIO(archive.read(member))), np.float32)
            bands = pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)
            image = np.ascontiguousarray(_cropped(bands))
            cases.append(Case(Path(member).stem, image, 255.0, rows[index][group], 1.0, _NO_SOURCES))
    return cases


def _microscopy(root: Path, split: str, limit: int | None) -> list[Case]:
    return _zipped(root / "microscopy", split, "acquisition", limit)


def _satellite(root: Path, split: str, limit: int | None) -> list[Case]:
    return _zipped(root / "satellite", split, "class", limit)


def _faces(root: Path, split: str, limit: int | None) -> list[Case]:
    return _zipped(root / "faces", split, "source", limit)


def landmarks(root: Path, split: str) -> dict[str, NDArray[np.float64]]:
    """Eye centres, tip of the nose, corners of the mouth (5, 2) by name of the face, (x, y) in its 128 pixels."""
    return {
        Path(row["file"]).stem: np.array([[float(row[f"{axis}{k}"]) for axis in "xy"] for k in range(1, 6)])
        for row in _rows(root / "faces", split)
    }


def _astronomy(root: Path, split: str, limit: int | None) -> list[Case]:
    """The first ``limit`` fields: their order is random, and estimators are fitted on prefixes."""
    fields = load_fields(root / "astronomy" / f"{split}.npz", limit)
    return [
        Case(f"{split}{i:04d}", flux[None], 1.0, KINDS[kind], 0.0, sources)
        for i, (flux, kind, sources) in enumerate(zip(fields.flux, fields.kind, fields.sources, strict=True))
    ]


def _chest(root: Path, split: str, limit: int | None) -> list[Case]:
    with np.load(_found(root / "medical" / "cxr64.npz")) as pack:
        stream, offset, numbers = pack["jpeg"].tobytes(), pack["offset"], pack["number"]
        members = np.flatnonzero(pack["split"] == SPLITS.index(split))
    cases = []
    for index in _spread(len(members), limit):
        i = members[index]
        pixels = np.asarray(Image.open(io.BytesIO(stream[offset[i] : offset[i + 1]])), np.float32)
        cases.append(Case(f"{int(numbers[i]):06d}", pixels[None], 255.0, "chest", 1.0, _NO_SOURCES))
    return cases


def _brain(root: Path, split: str, limit: int | None) -> list[Case]:
    """Axial slices of the 1 mm MNI volumes with brain on at least a fifth of their pixels.

    There is no test split, so ``"test"`` means the validation patient, whom nothing here is chosen on.
    """
    import nibabel

    folder = root / "medical"
    wanted = "val" if split == "test" else split
    cases = []
    for row in _rows(folder, wanted):
        if not Path(row["file"]).name.startswith("mni_"):
            continue
        stored = nibabel.load(_found(folder / row["file"]))
        volume: Any = nibabel.as_closest_canonical(stored)  # type: ignore[no-untyped-call]
        voxels = np.asarray(volume.get_fdata(dtype=np.float32))  # (x, y, z), to the right, front and top
        voxels /= np.percentile(voxels, 99.9)
        name = Path(row["file"]).name.removesuffix(".nii.gz")
        for z in np.flatnonzero((voxels > 0.05).mean((0, 1)) >= 0.2):
            slice_ = np.ascontiguousarray(_cropped(voxels[:, ::-1, z].T[None]))
            cases.append(Case(f"{name}_z{z:03d}", slice_, 1.0, name.rsplit("_", 1)[1], 0.0, _NO_SOURCES))
    return [cases[i] for i in _spread(len(cases), limit)]


DOMAINS: Mapping[str, Callable[[Path, str, int | None], list[Case]]] = {
    "microscopy": _microscopy,
    "satellite": _satellite,
    "astronomy": _astronomy,
    "faces": _faces,
    "medical_cxr": _chest,
    "medical_brain": _brain,
}


def load(root: Path, domain: str, split: str, limit: int | None = None) -> list[Case]:
    """Read one split of one data pack.

    Args:
        root: the folder that holds the packs (``microscopy``, ``satellite``, ...).
        domain: a key of ``DOMAINS``: microscopy (grey nuclei, cut to multiples of 8 pixels), satellite (RGB 64 x 64),
            astronomy (flux 128 x 128), faces (RGB 128 x 128), medical_cxr (grey 64 x 64), medical_brain (axial slices,
            cut to multiples of 8; its test split is the validation patient).
        split: train, val or test.
        limit: at most so many pictures, evenly spaced over the split (astronomy: the first ones); None for all.

    Returns:
        The pictures in the order of the pack.

    Raises:
        FileNotFoundError: a file of the pack is missing; the message names it.
        ValueError: the domain or the split does not exist.

    Example:
        ``load(Path("data"), "satellite", "test", limit=100)[0].image.shape`` is ``(3, 64, 64)``.
    """
    if domain not in DOMAINS:
        raise ValueError(f"unknown domain {domain!r}; there are {', '.join(DOMAINS)}")
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}; there are {', '.join(SPLITS)}")
    return DOMAINS[domain](root, split, limit)


def luminance(image: NDArray[np.floating]) -> NDArray[np.float64]:
    """Luminance ``Y = 0.299 R + 0.587 G + 0.114 B`` (BT.601), not rounded.

    Args:
        image: (3, y, x), red, green, blue.

    Returns:
        (1, y, x), in the unit of ``image``.
    """
    return np.asarray(np.tensordot([[0.299, 0.587, 0.114]], np.asarray(image, np.float64), 1))


def foreground(image: NDArray[np.floating], margin: int = 3) -> NDArray[np.bool_]:
    """Where the nuclei are: Otsu's threshold of the truth, widened so that edges are scored with their surroundings.

    Args:
        image: (1, y, x) or (y, x), any unit.
        margin: pixels by which the mask is dilated (city-block distance).

    Returns:
        Mask (y, x). All True for a picture of one value.

    References:
        N. Otsu, "A threshold selection method from gray-level histograms", IEEE Trans. SMC 9, 62 (1979).
        doi:10.1109/TSMC.1979.4310076
    """
    plane = np.asarray(image, np.float64).reshape(image.shape[-2:])
    if plane.min() == plane.max():
        return np.ones(plane.shape, np.bool_)
    counts, edges = np.histogram(plane, 256)
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)[:-1]
    above = plane.size - below
    first = np.cumsum(counts * centres)[:-1]
    means = first / np.maximum(below, 1), ((counts * centres).sum() - first) / np.maximum(above, 1)
    between = below * above * (means[0] - means[1]) ** 2  # Otsu (1979), eq. 18
    mask = plane > edges[1 + int(np.argmax(between))]
    return np.asarray(ndimage.binary_dilation(mask, iterations=margin)) if margin else mask
