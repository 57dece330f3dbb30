"""Every sample file through ``gensr upsample``, then read by libraries that know nothing of gensr.

The rows make ``docs/headers.md``; set GENSR_WRITE_DOCS=1 to write it anew. Without the samples the same checks run on
small files made here.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from gensr.cli.main import main

sys.path.insert(0, str(Path(__file__).parent))
from headers import body, cube, micro, ngff, raster, safe, sky
from headers.findings import COLUMNS, Findings

FACTOR = 2
TABLE = Path(__file__).parents[1] / "docs" / "headers.md"
DOMAINS = ("satellite", "astronomy", "microscopy", "medical")
FLUX = {  # astronomy: BUNIT says flux per pixel
    "acs_distortion_lookup.fits.gz",
    "bok_90prime_tpv_rice.fits",
    "hst_acs_cosmos_f814w.fits",
    "hst_wfc3_a2744_group_f105w.fits.gz",
    "hst_wfc3_ima_sci_err_dq.fits",
    "sip_uint16.fits",
}
BY_NAME = {"eurosat_no_georef.jpg": "satellite"}  # nothing in the file says what it shows
REFUSED = {"table_only.fits", "south_up_epsg4326.tif", "blank_integer.fits"}
NO_INPUT = (".md", ".json", ".txt", ".msk")
rows: dict[tuple[str, str], str] = {}


def _samples() -> Path | None:
    given = os.environ.get("GENSR_SHARED")
    places = [Path(given)] if given else [p / "shared" for p in Path(__file__).resolve().parents]
    return next((p / "samples" for p in places if (p / "samples" / "satellite").is_dir()), None)


SAMPLES = _samples()
BITS = ("landsat8_cog_antimeridian.tif",)
"""Quality bits of Landsat 8, which are refused unless the user says that they are an image."""
FILES = (
    [(d, p.name) for d in DOMAINS for p in sorted((SAMPLES / d).iterdir()) if p.suffix not in NO_INPUT]
    if SAMPLES
    else []
)


def upsampled(path: Path, output: Path, *words: str) -> tuple[int, str, list[Path]]:
    """Run the command; returns its code, what it said, and the files of the mean, then the others."""
    said = io.StringIO()
    arguments = ["upsample", str(path), f"factor={FACTOR}", "search=fast", "samples=0", f"output={output}", *words]
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = main(arguments)
    files = [p for p in output.iterdir()] if output.is_dir() else []
    return (
        code,
        said.getvalue(),
        sorted(files, key=lambda p: ("_std" in p.name, "_report" in p.name, "_preview" in p.name)),
    )


def checked(domain: str, path: Path, files: list[Path], flux: bool) -> Findings:
    files = [p for p in files if not p.name.endswith(("_report.json", "_preview.png", "_run.yaml"))]
    if domain == "satellite" and path.suffix == ".nc":
        return cube.check(path, files, FACTOR, "tb")
    if domain == "satellite" and path.is_dir():
        return safe.check(path, files, FACTOR)
    if domain == "satellite":
        return raster.check(path, files, FACTOR)
    if domain == "astronomy":
        return sky.check(path, files, FACTOR, flux)
    if domain == "microscopy" and path.name.endswith(".zarr"):
        return ngff.check(path, files, FACTOR)
    if domain == "microscopy":
        return micro.check(path, files, FACTOR)
    if ".nii" in path.name:
        volumes = sorted(files, key=lambda p: (not p.name.endswith((".nii", ".nii.gz")), "_std" in p.name))
        return body.check_nifti(path, volumes, FACTOR, slices=4)
    return body.check_dicom(path, files, FACTOR)


@pytest.mark.slow
@pytest.mark.skipif(not FILES, reason="the samples are not beside this checkout; set GENSR_SHARED to their folder")
@pytest.mark.parametrize(("domain", "name"), FILES or [("", "")], ids=[n for _, n in FILES] or ["none"])
def test_sample(domain, name, tmp_path):
    assert SAMPLES is not None
    path = SAMPLES / domain / name
    words = [f"domain={BY_NAME[name]}"] if name in BY_NAME else []
    words += ["labels=image"] if name in BITS else []
    code, said, files = upsampled(path, tmp_path / "out", *words)
    if name in REFUSED:
        line = next(line for line in said.splitlines() if name in line)
        reason = line.split(f"{name}: ", 1)[-1]
        rows[domain, name] = f"| {name} | none | " + " | ".join("-" for _ in COLUMNS) + f" | refused: {reason} |"
        assert code != 0
        assert not files
        return
    assert code == 0, said
    found = checked(domain, path, files, name in FLUX)
    rows[domain, name] = found.line()
    assert not found.problems
    assert set(found.cells) == set(COLUMNS)


def _page() -> str:
    lines = [
        "# Headers of outputs, read by others",
        "",
        "Every sample file went through `gensr upsample FILE factor=2 search=fast samples=0`; input and output were",
        "then compared by a library that knows nothing of gensr, with geometry computed by the test. A row says what",
        "was found; its verdict is `ok` only if everything in it is as it must be: the same field of view (1e-6 pixel,",
        "1e-3 mm in DICOM and NIfTI, 1e-9 degree on the sky), pixels half as long, and the rest kept. Errors are",
        "bounds.",
        "Volumes whose slices are far apart are refined across slices too, so that their outer faces stay.",
        "",
        "`tests/test_headers.py` makes this page: `GENSR_WRITE_DOCS=1 pytest tests/test_headers.py`.",
    ]
    for domain in DOMAINS:
        head = ["file", "reader", *COLUMNS, "verdict"]
        lines += ["", f"## {domain.capitalize()}", "", "| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
        lines += [rows[key] for key in FILES if key[0] == domain]
    return "\n".join(lines) + "\n"


@pytest.mark.slow
def test_the_committed_table_is_what_the_readers_find():
    if not FILES or len(rows) < len(FILES):
        pytest.skip("needs a row of every sample: run the whole file, with the samples")
    page = _page()
    if os.environ.get("GENSR_WRITE_DOCS"):
        TABLE.parent.mkdir(exist_ok=True)
        TABLE.write_text(page, "utf-8")
    committed = TABLE.read_text("utf-8") if TABLE.exists() else ""
    assert committed == page, "docs/headers.md is stale: GENSR_WRITE_DOCS=1 pytest tests/test_headers.py writes it anew"


def geotiff(folder: Path) -> Path:
    import rasterio
    from rasterio.transform import Affine

    data = np.random.default_rng(0).integers(100, 3000, (2, 24, 30)).astype(np.uint16)
    data[:, :4, :5] = 0
    cosine, sine = np.cos(np.radians(17)), np.sin(np.radians(17))
    place = Affine(10 * cosine, 10 * sine, 500000, 10 * sine, -10 * cosine, 4000000)
    profile = {"driver": "GTiff", "width": 30, "height": 24, "count": 2, "dtype": "uint16", "nodata": 0}
    with rasterio.open(folder / "a.tif", "w", crs="EPSG:32633", transform=place, **profile) as target:
        target.write(data)
        target.descriptions = ("red", "nir")
        target.scales, target.offsets = (1e-4, 1e-4), (-0.1, -0.1)
        target.update_tags(MISSION="test")
    return folder / "a.tif"


def sentinel_2(folder: Path) -> Path:
    import rasterio

    root = folder / "S2A_MSIL2A_20260102T030405_N0511_R065_T32TQM_20260102T050607.SAFE"
    place = root / "GRANULE" / "L2A_T32TQM_A012345_20260102T030405" / "IMG_DATA" / "R10m"
    place.mkdir(parents=True)
    how = {"driver": "JP2OpenJPEG", "width": 24, "height": 24, "count": 1, "dtype": "uint16", "crs": "EPSG:32632"}
    how |= {"transform": rasterio.Affine(10, 0, 600000, 0, -10, 5100000), "QUALITY": 100, "REVERSIBLE": "YES"}
    for seed, band in enumerate(("B02", "B03", "B04", "B08")):
        data = np.random.default_rng(seed).integers(1100, 3000, (24, 24)).astype(np.uint16)
        data[:3, :2] = 0
        with rasterio.open(place / f"T32TQM_20260102T030405_{band}_10m.jp2", "w", **how) as target:
            target.write(data, 1)
    offsets = "".join(f'<BOA_ADD_OFFSET band_id="{i}">-1000</BOA_ADD_OFFSET>' for i in range(13))
    (root / "MTD_MSIL2A.xml").write_text(
        "<P><PROCESSING_BASELINE>05.11</PROCESSING_BASELINE>"
        f"<BOA_QUANTIFICATION_VALUE unit='none'>10000</BOA_QUANTIFICATION_VALUE>{offsets}</P>"
    )
    return root


def netcdf(folder: Path) -> Path:
    import xarray as xr
    from rasterio.crs import CRS

    pytest.importorskip("h5netcdf", reason="the extra netcdf is not installed")
    pytest.importorskip("dask", reason="the extra netcdf is not installed")
    codes = np.random.default_rng(0).integers(100, 3000, (2, 24, 26)).astype(np.int16)
    codes[:, :3, :2] = -999
    said = {"_FillValue": np.int16(-999), "scale_factor": 0.1, "add_offset": 5.0, "units": "K", "grid_mapping": "crs"}
    coords = {"y": 4e6 - 30 * (np.arange(24) + 0.5), "x": 5e5 + 30 * (np.arange(26) + 0.5), "time": [0.0, 6.0]}
    data = {"tb": (("time", "y", "x"), codes, said)}
    data["crs"] = ((), np.int32(0), {"crs_wkt": CRS.from_epsg(32633).to_wkt()})
    xr.Dataset(data, coords, {"title": "a scene"}).to_netcdf(folder / "a.nc", engine="h5netcdf")
    return folder / "a.nc"


def fits_image(folder: Path) -> Path:
    from astropy.io import fits

    data = np.random.default_rng(0).normal(100, 5, (20, 26)).astype(np.float32)
    data[3, 4] = np.nan
    hdu = fits.PrimaryHDU(data)
    cards = {"BUNIT": "electron", "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 10.0, "CRVAL2": -30.0}
    cards |= {
        "CRPIX1": 5.5,
        "CRPIX2": 7.25,
        "CD1_1": -1e-4,
        "CD1_2": 2e-5,
        "CD2_1": 2e-5,
        "CD2_2": 1e-4,
        "OBSERVER": "A",
    }
    hdu.header.update(cards)
    hdu.writeto(folder / "a.fits")
    return folder / "a.fits"


def ome_tiff(folder: Path) -> Path:
    import tifffile

    data = np.random.default_rng(0).integers(100, 3000, (2, 3, 20, 24)).astype(np.uint16)
    meta = {"axes": "ZCYX", "PhysicalSizeX": 0.2, "PhysicalSizeY": 0.2, "PhysicalSizeZ": 1.0}
    meta |= {"Channel": {"Name": ["DAPI", "GFP", "Cy5"]}}
    tifffile.imwrite(folder / "a.ome.tif", data, ome=True, photometric="minisblack", metadata=meta)
    return folder / "a.ome.tif"


def ome_zarr(folder: Path) -> Path:
    zarr = pytest.importorskip("zarr", reason="the extra zarr is not installed")
    data = np.random.default_rng(0).integers(100, 3000, (2, 280, 24)).astype(np.uint16)
    axes = [{"name": "c", "type": "channel"}, *({"name": n, "type": "space", "unit": "micrometer"} for n in "yx")]
    steps = [{"type": "scale", "scale": [1.0, 0.2, 0.3]}, {"type": "translation", "translation": [0.0, 5.0, 7.0]}]
    entry = {"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": steps}]}
    window = {"min": 0, "max": 4095, "start": 0, "end": 3000}
    omero = {"channels": [{"label": n, "color": "00FF00", "window": window} for n in ("DAPI", "GFP")]}
    ome = {"version": "0.5", "multiscales": [entry], "omero": omero}
    group = zarr.create_group(str(folder / "a.ome.zarr"), zarr_format=3, attributes={"ome": ome})
    group.create_array("0", data=data, chunks=(1, 16, 16))
    return folder / "a.ome.zarr"


def nifti(folder: Path) -> Path:
    import nibabel as nib

    turn = nib.eulerangles.euler2mat(0.1, 0.05, 0.2)
    affine = nib.affines.from_matvec(turn @ np.diag([-1.0, 1.0, 4.0]), [10, -20, 30])
    data = np.random.default_rng(0).integers(0, 900, (20, 18, 6)).astype(np.int16)
    image = nib.Nifti1Image(data, affine)
    image.set_qform(affine, 2)
    image.set_sform(affine, 1)
    image.header.set_xyzt_units("mm", "sec")
    nib.save(image, folder / "a.nii.gz")
    return folder / "a.nii.gz"


def dicom(folder: Path) -> Path:
    from pydicom.data import get_testdata_file

    path = get_testdata_file("CT_small.dcm")
    assert isinstance(path, str)
    return Path(path)


@pytest.mark.parametrize(
    ("domain", "make"),
    [
        ("satellite", geotiff),
        ("satellite", sentinel_2),
        ("satellite", netcdf),
        ("astronomy", fits_image),
        ("microscopy", ome_tiff),
        ("microscopy", ome_zarr),
        ("medical", nifti),
        ("medical", dicom),
    ],
    ids=["GeoTIFF", "SAFE", "NetCDF", "FITS", "OME-TIFF", "OME-Zarr", "NIfTI", "DICOM"],
)
def test_made_file(domain, make, tmp_path):
    path = make(tmp_path)
    code, said, files = upsampled(path, tmp_path / "out")
    assert code == 0, said
    found = checked(domain, path, files, flux=True)
    assert not found.problems
    assert set(found.cells) == set(COLUMNS)
