"""One small input per domain, made from what the dependencies ship or from formulas: nothing is downloaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
FACTOR = 4


@dataclass(frozen=True)
class Example:
    """An input for the demo.

    Attributes:
        domain: its field of science.
        path: the file.
        factor: refinement to ask for.
        truth: the image it was made from (band, y, x) in the unit of the output, None for an original measurement.
        source: where the picture comes from, in words.
    """

    domain: str
    path: Path
    factor: int
    truth: FloatArray | None
    source: str


def block_mean(image: FloatArray) -> FloatArray:
    """Mean of blocks of FACTOR x FACTOR pixels, (band, y, x)."""
    bands, rows, cols = image.shape
    return np.asarray(image.reshape(bands, rows // FACTOR, FACTOR, cols // FACTOR, FACTOR).mean((2, 4)))


def face(folder: Path) -> Example:
    """A portrait, cut upright so that eyes and mouth lie where the face prior expects them."""
    from PIL import Image
    from scipy.ndimage import map_coordinates
    from skimage.data import astronaut

    # Half axis of the crop along the eyes and its middle, from eyes (204, 101), (247, 103) and mouth (224, 142).
    across, centre = np.array([85.5, 3.8]), np.array([224.9, 112.8])
    down = np.array([-across[1], across[0]])
    u, v = np.meshgrid((np.arange(128) + 0.5) / 128 - 0.5, (np.arange(128) + 0.5) / 128 - 0.5)
    place = centre[:, None, None] + 1.44 * (across[:, None, None] * u + down[:, None, None] * v) - 0.5  # (x, y)
    picture = np.asarray(astronaut(), np.float64)  # type: ignore[no-untyped-call]
    truth = np.stack([map_coordinates(picture[..., c], place[::-1], order=3) for c in range(3)]).clip(0, 255)
    path = folder / "portrait.png"
    Image.fromarray(np.rint(block_mean(truth)).astype(np.uint8).transpose(1, 2, 0)).save(path)
    return Example("faces", path, FACTOR, truth, "NASA portrait of Eileen Collins, shipped with scikit-image")


def countryside(side: int = 256) -> FloatArray:
    """Fields, tracks and roofs seen from above: reflectance x 10000 of red, green and blue, (3, side, side)."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(7)
    y, x = np.mgrid[:side, :side].astype(np.float64)
    seeds = rng.uniform(0, side, (45, 2))
    field = ((y[..., None] - seeds[:, 0]) ** 2 + (x[..., None] - seeds[:, 1]) ** 2).argmin(-1)
    colours = rng.uniform(500, 2000, (45, 1)) * [1.0, 1.05, 0.7] * rng.uniform(0.75, 1.25, (45, 3))
    image = colours[field].transpose(2, 0, 1)
    angle = rng.uniform(0, np.pi, 45)[field]
    image *= 1 + 0.08 * np.sin((x * np.cos(angle) + y * np.sin(angle)) * 0.9)
    image *= 1 + 0.15 * gaussian_filter(rng.standard_normal((side, side)), 6) * 12
    image[:, np.abs(y - 0.4 * x - 60) < 2.5] = np.array([[2600], [2500], [2300]])
    image[:, np.abs(y + 1.7 * x - 330) < 2.0] = np.array([[1500], [1450], [1400]])
    for row, col, h, w in rng.integers([60, 60, 5, 5], [190, 200, 14, 18], (28, 4)):
        image[:, row + 2 : row + h + 3, col + 2 : col + w + 3] *= 0.45
        image[:, row : row + h, col : col + w] = rng.uniform(1800, 4200) * np.array([[[1.0]], [[0.85]], [[0.75]]])
    return np.asarray(np.clip(gaussian_filter(image, (0, 0.7, 0.7)), 1, 10000))


def satellite(folder: Path) -> Example:
    """GeoTIFF in UTM with 10 m pixels and a corner that the swath does not reach."""
    import rasterio
    from rasterio.transform import Affine

    truth = countryside()
    codes = np.rint(block_mean(truth)).astype(np.uint16)
    rows, cols = np.indices(codes.shape[1:])
    codes[:, rows + 2 * cols < 22] = 0
    path = folder / "fields.tif"
    place = {"crs": "EPSG:32633", "transform": Affine(10, 0, 500000, 0, -10, 5400000)}
    with rasterio.open(path, "w", "GTiff", 64, 64, 3, dtype="uint16", nodata=0, photometric="rgb", **place) as sink:
        sink.write(codes)
        sink.descriptions = ("red", "green", "blue")
    return Example("satellite", path, FACTOR, truth, "synthetic scene")


def microscopy(folder: Path) -> Example:
    """OME-TIFF of fluorescent nuclei with photon noise; the scale is in the OME-XML."""
    import tifffile
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(3)
    y, x = np.mgrid[:256, :256].astype(np.float64)
    truth = np.full((256, 256), 120.0)
    for _ in range(38):
        row, col, turn = rng.uniform(0, 256), rng.uniform(0, 256), rng.uniform(0, np.pi)
        long, short = rng.uniform(11, 19), rng.uniform(8, 12)
        u = (x - col) * np.cos(turn) + (y - row) * np.sin(turn)
        v = (y - row) * np.cos(turn) - (x - col) * np.sin(turn)
        inside = 1 / (1 + np.exp(8 * (np.hypot(u / long, v / short) - 1)))
        grain = 1 + 5 * gaussian_filter(rng.standard_normal(truth.shape), 2.0)
        truth = np.maximum(truth, 120 + rng.uniform(500, 1600) * inside * np.clip(grain, 0.2, 2))
    truth = gaussian_filter(truth, 0.8)[None]
    photons = rng.poisson(block_mean(truth) * 4) / 4
    path = folder / "nuclei.ome.tif"
    scale = {"axes": "YX", "PhysicalSizeX": 0.65, "PhysicalSizeY": 0.65}
    tifffile.imwrite(path, np.rint(photons[0]).astype(np.uint16), metadata=scale, photometric="minisblack")
    return Example("microscopy", path, FACTOR, truth, "synthetic nuclei, photon noise")


def astronomy(folder: Path) -> Example:
    """FITS image with sky coordinates in flux per pixel, so that super-resolution must conserve flux."""
    from astropy.io import fits
    from skimage.data import hubble_deep_field

    rng = np.random.default_rng(5)
    picture = np.asarray(hubble_deep_field(), np.float64)  # type: ignore[no-untyped-call]
    grey = picture[250:506, 230:486].mean(2) / 255
    truth = (grey**2.2 * 4.0)[None]  # linear light, electron/s per fine pixel
    flux = block_mean(truth) * FACTOR**2
    flux = flux + 0.05 * rng.standard_normal(flux.shape)
    header = fits.Header(
        {"BUNIT": "electron/s", "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRPIX1": 32.5, "CRPIX2": 32.5}
        | {"CRVAL1": 53.16, "CRVAL2": -27.79, "CDELT1": -0.12 / 3600, "CDELT2": 0.12 / 3600}
    )
    path = folder / "galaxies.fits"
    fits.writeto(path, flux[0].astype(np.float32), header)
    return Example("astronomy", path, FACTOR, truth, "Hubble extreme deep field, shipped with scikit-image, with noise")


def dicom(folder: Path) -> Example:
    """An MR slice as it came from the scanner."""
    from pydicom.data import get_testdata_file

    path = folder / "slice.dcm"
    path.write_bytes(Path(str(get_testdata_file("MR_small.dcm", download=False))).read_bytes())
    return Example("medical", path, 2, None, "MR slice, shipped with pydicom")


def nifti(folder: Path) -> Example:
    """Part of a volume as it came from the scanner: eight slices."""
    import nibabel
    from nibabel.testing import data_path

    whole = nibabel.Nifti1Image.from_filename(str(data_path / "anatomical.nii"))
    path = folder / "volume.nii.gz"
    nibabel.save(whole.slicer[:, :, 9:17], path)
    return Example("medical", path, 2, None, "MR volume, shipped with nibabel")


MAKERS: Mapping[str, Callable[[Path], Example]] = {
    "PNG": face,
    "GeoTIFF": satellite,
    "OME-TIFF": microscopy,
    "FITS": astronomy,
    "DICOM": dicom,
    "NIfTI": nifti,
}
"""Format to the function that makes its example."""
