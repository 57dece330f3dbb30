"""Small good files of every format, made by the builders of the tests and a few of their own, for `fuzz.py`."""

from __future__ import annotations

import gzip
import importlib.util
import json
import pickle
import shutil
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import astropy.io.fits
import nibabel
import numpy as np
import numpy.typing as npt
import pydicom
import rasterio
import safetensors.torch
import tifffile
import torch
import xarray
import zarr
from fuzz_folders import SUFFIX, TIME, pack
from PIL import Image
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless
from rasterio.errors import NotGeoreferencedWarning

from gensr.priors import weights

ROOT = Path(__file__).resolve().parent.parent
Pixels = npt.NDArray[Any]
WEIGHTS = ("gaussian-microscopy", "gaussian-faces", "style-faces", "engression-field", "engression-astronomy")
"""Generators whose headers are spoiled; their tensors are left out where they are large."""


def builders(place: str = "cli/hostile.py") -> ModuleType:
    """A module of the tests that writes small good files."""
    path = ROOT / "tests" / place
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise SystemExit(f"tests/{place} is missing: make fuzz runs in a checkout")
    module = sys.modules[path.stem] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def field(rows: int = 24, cols: int = 20, dtype: str = "uint16") -> Pixels:
    """A smooth field with noise, well inside the range of its type."""
    y, x = np.mgrid[:rows, :cols]
    rng = np.random.default_rng(3)
    values = 120 + 60 * np.sin(x / 4) * np.cos(y / 5) + rng.normal(0, 3, (rows, cols))
    return np.asarray(values.clip(1, 250), dtype)


def make(folder: Path) -> list[Path]:
    """Write every seed into a folder.

    Returns:
        The files, sorted by name.
    """
    hostile = builders()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, build in hostile.GOOD.items():
            build(folder / name)
        for build_more in (_tiffs, _rasters, _cubes, _fits, _dicoms, _niftis, _pictures, _weights, _checkpoints):
            build_more(folder, hostile)
        _programs(folder)
        _folders(folder, hostile)
    return sorted(folder.iterdir())


def _tiffs(folder: Path, hostile: ModuleType) -> None:
    stack = np.stack([field(), field()[::-1]])
    tifffile.imwrite(
        folder / "stack.ome.tif",
        stack[None, :, None],
        metadata={"axes": "TCZYX", "PhysicalSizeX": 0.1, "PhysicalSizeXUnit": "µm", "Channel": {"Name": ["a", "b"]}},
    )
    tifffile.imwrite(folder / "stack.tif", stack, imagej=True, metadata={"axes": "CYX", "unit": "um"})
    for codec in ("lzw", "deflate", "zstd", "jpeg", "jpeg2000", "packbits"):
        codes = field(32, 32, "uint8")
        tifffile.imwrite(folder / f"{codec}.tif", codes, tile=(16, 16), compression=codec, photometric="minisblack")
    tifffile.imwrite(folder / "big.tif", field(), bigtiff=True, byteorder=">", photometric="minisblack")


def _rasters(folder: Path, hostile: ModuleType) -> None:
    place: dict[str, Any] = {"crs": "EPSG:32632", "transform": rasterio.Affine(10, 0, 5e5, 0, -10, 5e6)}
    codes = np.stack([field(dtype="uint8")] * 4)

    def write(name: str, edit: Callable[[Any], None] | None = None, **profile: Any) -> None:  # noqa: ANN401
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            settings = {"driver": "GTiff", "width": 20, "height": 24, "count": 4, "dtype": "uint8", **place, **profile}
            with rasterio.open(folder / name, "w", **settings) as target:
                target.write(codes[: settings["count"]])
                if edit is not None:
                    edit(target)

    def tags(d: Any) -> None:  # noqa: ANN401
        d.update_tags(ns="PRODUCT", cloud="12")
        d.update_tags(1, STATISTICS_MEAN="3", key="value")
        d.descriptions = ("red", "green", "blue", "nir")
        d.scales, d.offsets = (0.1,) * 4, (1.0,) * 4
        d.write_mask(np.eye(24, 20, dtype=np.uint8) * 255)

    points = [rasterio.control.GroundControlPoint(r, c, 9 + c / 1e3, 45 - r / 1e3, 0) for r in (0, 24) for c in (0, 20)]
    write("tags.tif", tags, compress="deflate", tiled=True, blockxsize=16, blockysize=16)
    write("points.tif", gcps=points, transform=None, crs="EPSG:4326", count=1, nodata=0)
    write("raster.jp2", driver="JP2OpenJPEG", count=1, QUALITY="100", REVERSIBLE="YES")
    write("raster.png", driver="PNG", count=3, crs=None, transform=None)
    (folder / "raster.wld").write_text("10\n0\n0\n-10\n500005\n4999995\n")


def _cubes(folder: Path, hostile: ModuleType) -> None:
    said = {"_FillValue": np.int16(-1), "scale_factor": 0.1, "add_offset": 1.0, "units": "K"}
    coords = {"y": 50.0 - 0.01 * np.arange(24), "x": 9.0 + 0.01 * np.arange(20)}
    bands = np.stack([field(dtype="int16"), field(dtype="int16")[::-1]])
    cube = xarray.Dataset({"tb": (("time", "y", "x"), bands, said)}, {"time": [0, 6], **coords})
    cube.to_netcdf(folder / "classic.nc", engine="scipy")
    how = {"tb": {"zlib": True, "shuffle": True, "chunksizes": (1, 16, 16)}}
    cube.to_netcdf(folder / "four.nc", engine="h5netcdf", encoding=how)
    scales = {"type": "scale", "scale": [0.5, 0.1, 0.1]}
    axes = [{"name": "c", "type": "channel"}, *({"name": n, "type": "space", "unit": "micrometer"} for n in "yx")]
    level = {"path": "0", "coordinateTransformations": [scales]}
    for version in (2, 3):
        with zarr.storage.ZipStore(folder / f"ome{version}.zarr.zip", mode="w") as store:
            group = zarr.open_group(store, mode="w", zarr_format=version)
            image = [{"version": "0.4" if version == 2 else "0.5", "axes": axes, "datasets": [level]}]
            told: dict[str, Any] = {"multiscales": image}
            group.attrs.update(told if version == 2 else {"ome": {"version": "0.5", **told}})
            group.create_array("0", data=bands.astype(np.uint16), chunks=(1, 16, 16))
        with zarr.storage.ZipStore(folder / f"cube{version}.zarr.zip", mode="w") as store:
            cube.to_zarr(store, zarr_format=version, consolidated=False)
        for name in ("ome", "cube"):
            timeless(folder / f"{name}{version}.zarr.zip")


def _fits(folder: Path, hostile: ModuleType) -> None:
    values = field(dtype="float32") + np.float32(0.25)
    primary = astropy.io.fits.PrimaryHDU(values)
    cards: dict[str, Any] = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRPIX1": 10.0, "CRPIX2": 12.0}
    cards |= {"CRVAL1": 150.0, "CRVAL2": 2.0, "CDELT1": -1e-4, "CDELT2": 1e-4, "CUNIT1": "deg", "CUNIT2": "deg"}
    cards |= {"BUNIT": "electron/s", "GAIN": 2.0, "EXPTIME": 100.0, "LONG": "text " * 40}
    primary.header.update(cards)
    flags = astropy.io.fits.ImageHDU(np.eye(24, 20, dtype=np.int32), name="DQ")
    error = astropy.io.fits.ImageHDU(np.full((24, 20), 2, np.float32), name="ERR")
    astropy.io.fits.HDUList([primary, error, flags]).writeto(folder / "planes.fits")
    (folder / "planes.fits.gz").write_bytes(gzip.compress((folder / "planes.fits").read_bytes()))
    for codec in ("RICE_1", "GZIP_1", "PLIO_1", "HCOMPRESS_1"):
        packed = astropy.io.fits.CompImageHDU(field(dtype="int16"), compression_type=codec)
        astropy.io.fits.HDUList([astropy.io.fits.PrimaryHDU(), packed]).writeto(folder / f"{codec.lower()}.fits")


def _dicoms(folder: Path, hostile: ModuleType) -> None:
    for name, syntax in (("rle", RLELossless), ("jp2k", JPEG2000Lossless), ("jpegls", JPEGLSLossless)):
        path = hostile.dicom(folder / f"{name}.dcm", field(64, 64))
        data = pydicom.dcmread(path)
        data.compress(syntax)
        data.save_as(path)
    path = hostile.dicom(folder / "deflated.dcm", field())
    data = pydicom.dcmread(path)
    data.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    data.save_as(path)


def _niftis(folder: Path, hostile: ModuleType) -> None:
    volume = np.stack([field(dtype="int16")] * 3, -1)
    library: Any = nibabel  # it has no types
    image = library.Nifti2Image(volume, np.diag([1.0, 1.0, 3.0, 1.0]))
    image.header.set_xyzt_units("mm")
    image.to_filename(folder / "two.nii")
    single = library.Nifti1Image(volume.astype(np.float32), np.diag([2.0, 2.0, 2.0, 1.0]))
    single.set_qform(np.diag([2.0, 2.0, 2.0, 1.0]), 1)
    single.to_filename(folder / "one.nii.gz")


def _pictures(folder: Path, hostile: ModuleType) -> None:
    colour = Image.fromarray(np.stack([field(24, 24, "uint8")] * 3, -1))
    exif = Image.Exif()
    exif[274], exif[270] = 6, "portrait"
    colour.save(folder / "face.jpg", exif=exif, quality=95)
    colour.save(folder / "face.webp", lossless=True, exif=exif)
    colour.convert("RGBA").save(folder / "alpha.png", exif=exif)
    Image.fromarray(field(24, 24, "uint16")).save(folder / "grey.png")


def _weights(folder: Path, hostile: ModuleType) -> None:
    for name in WEIGHTS:
        found = weights.read(weights.find(name))
        tensors = {key: tensor for key, tensor in found.tensors.items() if tensor.numel() < 20_000}
        weights.save(folder / f"{name}.safetensors", tensors or {"a": torch.zeros(1)}, found.config, found.card)


def _checkpoints(folder: Path, hostile: ModuleType) -> None:
    """Weights as other programs save them, of a family that is known: a progressive GAN of two sizes."""
    draw = torch.Generator().manual_seed(1)
    shapes = {"formatLayer": (64, 6), "groupScale0.0": (4, 4, 3, 3), "toRGBLayers.0": (3, 4, 1, 1)}
    shapes |= {"scaleLayers.0.0": (4, 4, 3, 3), "scaleLayers.0.1": (4, 4, 3, 3), "toRGBLayers.1": (3, 4, 1, 1)}
    tensors = {f"{n}.module.weight": torch.randn(shape, generator=draw) for n, shape in shapes.items()}
    tensors |= {f"{n}.module.bias": torch.zeros(shape[0]) for n, shape in shapes.items()}
    whole = {"netG": tensors, "config": {"depth": 2, "leak": 0.2, "names": ["a", None, True]}, "step": 12}
    torch.save(whole, folder / "zip.pth")
    torch.save(whole, folder / "legacy.pt", _use_new_zipfile_serialization=False)
    arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
    for protocol in (0, 2, 5):
        (folder / f"arrays{protocol}.pkl").write_bytes(pickle.dumps({"G": arrays}, protocol))
    safetensors.torch.save_file(tensors, folder / "other.ckpt", {"format": "pt"})
    files, edm = builders("foreign_files.py"), builders("generators/reference_edm.py")
    small = {**edm.SONG, "channel_mult": [1, 1], "img_resolution": 4, "num_blocks": 1, "attn_resolutions": [2]}
    files.edm(folder / "edm.pkl", edm.random_tensors(small), small)


def _programs(folder: Path) -> None:
    """Weights that are code: they are looked at, and never run."""
    made = builders("hostile_weights.py")
    known, beside = dict(made.programs()), made.message((1, b"location"), (2, b"weights.bin"))
    constant = made.message((1, 2), (2, 1), (8, b"w"), (13, beside), (14, 1))
    node = made.message((1, b"w"), (2, b"a"), (4, b"Constant"), (5, made.message((1, b"value"), (5, constant))))
    (folder / "net.onnx").write_bytes(made.onnx(constant, node))
    (folder / "script.pt").write_bytes(known["script-real"])
    (folder / "exported.pt2").write_bytes(known["export"])


def _folders(folder: Path, hostile: ModuleType) -> None:
    """Products, series, hierarchies and models that are folders, packed."""

    def packed(made: Path) -> None:
        (folder / f"{made.name}{SUFFIX}").write_bytes(pack(made))
        shutil.rmtree(made)

    series, shared = folder / "series", [pydicom.uid.generate_uid(entropy_srcs=[c]) for c in "abc"]
    series.mkdir()
    for k in range(3):
        place = {"ImagePositionPatient": [0.0, 0.0, 2.0 * k], "InstanceNumber": k + 1, "SeriesInstanceUID": shared[0]}
        hostile.dicom(series / f"{k}.dcm", field(), StudyInstanceUID=shared[1], FrameOfReferenceUID=shared[2], **place)
    packed(series)
    safe = builders("domains/satellite/test_safe.py")
    safe.SIDES.update({10: 24, 20: 12, 60: 4})
    for level in ("1C", "2A"):
        product = safe.product(folder, level)["path"]
        if level == "2A":
            timeless(Path(shutil.make_archive(str(folder / "product.SAFE"), "zip", folder, product.name)))
        packed(product)
    for name in ("ome2", "ome3", "cube2", "cube3"):
        made = folder / f"{name}.zarr"
        with zipfile.ZipFile(folder / f"{name}.zarr.zip") as archive:
            archive.extractall(made)
        packed(made)
    diffusers, monai = builders("generators/emit_diffusers.py"), builders("generators/emit_monai.py")
    packed(diffusers.latent(folder / "diffusers.weights"))
    packed(monai.latent(folder / "monai.weights"))
    packed(monai.gan(folder / "gan.weights"))


def timeless(archive: Path) -> None:
    """A zip whose entries say no time, so that the same seeds have the same bytes."""
    with zipfile.ZipFile(archive) as made:
        entries = [(info.filename, info.compress_type, made.read(info)) for info in made.infolist()]
    with zipfile.ZipFile(archive, "w") as again:
        for name, packing, content in entries:
            again.writestr(zipfile.ZipInfo(name, TIME), content, packing)


def places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:  # noqa: ANN401
    """Where values stand in nested JSON."""
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield (*place, key)
            yield from places(value[key], (*place, key))


def spoilt_json(text: str, key: tuple[Any, ...], value: Any) -> str:  # noqa: ANN401
    """JSON with one value changed."""
    whole = json.loads(text)
    inside = whole
    for step in key[:-1]:
        inside = inside[step]
    inside[key[-1]] = value
    return json.dumps(whole)
