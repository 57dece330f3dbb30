"""Files that are refused, each in one line that names the file, and small odd ones that are read."""

from __future__ import annotations

import struct
import threading
import warnings

import numpy as np
import pytest

rasterio = pytest.importorskip("rasterio")
import tifffile  # noqa: E402

from gensr.domains.satellite.options import DEFAULTS  # noqa: E402
from gensr.errors import DomainError, FormatError, GensrError, GridError, UsageError  # noqa: E402
from gensr.values.grid import Window  # noqa: E402
from gensr.values.limits import LIMITS, Limit  # noqa: E402

BYTES = np.arange(64 * 48, dtype=np.uint32).reshape(1, 64, 48).astype(np.uint8)


def refused(domain, path, kind, words, **options):
    with pytest.raises(kind, match=words) as caught:
        domain.open(path, options)
    text = str(caught.value)
    assert "\n" not in text
    assert path.name in text


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.tif", b"", "empty"),
        ("text.tif", b"this is a letter, not an image\n", "expected GeoTIFF"),
        ("short.tif", b"II*\0", "ends inside the TIFF header"),
        ("nodir.tif", b"II*\0\xff\xff\xff\x7f", "outside the file"),
        ("nobig.tif", b"II+\0\x08\0\0\0", "ends inside"),
        ("loop.tif", b"II*\0\x08\0\0\0\xff\xff", "cut off"),
        ("null.tif", b"II*\0\x08\0\0\0\0\0\0\0\0\0", "cut off"),
        ("data.nc", b"CDF\x01" + bytes(60), "no variable has rows and columns"),
        ("data.h5", b"\x89HDF\r\n\x1a\n" + bytes(60), "HDF5"),
        ("data.zip", b"PK\x03\x04" + bytes(60), "zip"),
        ("jp2.jp2", b"\x00\x00\x00\x0cjP  \r\n\x87\n" + bytes(40), "damaged"),
        ("jpg.jpg", b"\xff\xd8\xff\xe0" + bytes(40), "damaged"),
        ("png.png", b"\x89PNG\r\n\x1a\n" + bytes(40), "truncated"),
        ("tif.tif", b"MM\0*" + bytes(range(200)), "outside the file|cut off|damaged"),
    ],
)
def test_files_that_are_no_image(domain, tmp_path, name, content, words):
    path = tmp_path / name
    path.write_bytes(content)
    refused(domain, path, FormatError, words)
    # Any netCDF or HDF5 may be a raster; which it is tells only who opens it.
    assert domain.sniff(path) <= (2 if path.suffix in (".nc", ".h5") else 1)


def test_vrt_in_a_tif_never_reads_another_file(domain, raster, tmp_path):
    secret = raster(BYTES, "secret.tif")
    vrt = tmp_path / "harmless.tif"
    vrt.write_text(
        f'<VRTDataset rasterXSize="48" rasterYSize="64"><VRTRasterBand dataType="Byte" band="1"><SimpleSource>'
        f"<SourceFilename>{secret}</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with rasterio.open(vrt) as trap:
            assert trap.read(1).any()  # GDAL alone falls for it
    refused(domain, vrt, FormatError, "VRT XML")
    mask = raster(BYTES, "masked.tif")
    mask.with_name("masked.tif.msk").write_bytes(vrt.read_bytes())
    with pytest.raises(FormatError, match=r"masked.tif.msk: is not a TIFF"):
        domain.open(mask, {})


@pytest.mark.parametrize(
    "text", ["https://example.org/a.tif", "s3://bucket/a.tif", "/vsicurl/https://x/a.tif", "/vsimem/a"]
)
def test_remote_and_virtual_paths(domain, text):
    from pathlib import Path

    with pytest.raises(FormatError, match="not opened"):
        domain.open(Path(text), {})


def test_missing_file_and_folders(domain, tmp_path):
    refused(domain, tmp_path / "nowhere.tif", FormatError, "no such file")
    bands = tmp_path / "S2A.SAFE" / "GRANULE" / "L1C" / "IMG_DATA"
    bands.mkdir(parents=True)
    (bands / "T32_B02.jp2").write_bytes(b"")
    (tmp_path / "S2A.SAFE" / "MTD_MSIL1C.xml").write_text("<x/>")
    refused(domain, tmp_path / "S2A.SAFE", FormatError, "lacks QUANTIFICATION_VALUE")
    assert domain.sniff(tmp_path / "S2A.SAFE") == 3
    assert domain.sniff(tmp_path) == 0


@pytest.mark.parametrize("keep", [0.99, 0.5, 0.1])
@pytest.mark.parametrize("compress", ["none", "deflate"])
def test_truncated_tiff_is_refused_on_opening(domain, raster, keep, compress):
    codes = np.random.default_rng(0).integers(0, 255, (3, 200, 200), np.uint8)
    path = raster(codes, compress=compress, tiled=True, blockxsize=64, blockysize=64)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])
    refused(domain, path, FormatError, "truncated")


@pytest.mark.parametrize(("driver", "options"), [("JP2OpenJPEG", {}), ("JPEG", {}), ("PNG", {})])
def test_other_truncated_files_never_give_pixels(domain, raster, driver, options):
    codes = np.random.default_rng(0).integers(0, 255, (3, 200, 200), np.uint8)
    path = raster(codes, f"a.{driver.lower()}", driver=driver, crs=None, **options)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    def use():
        scene = domain.open(path, {})
        scene.read(0, Window(0, 0, 200, 200))

    with pytest.raises(FormatError, match=path.name):
        use()


def test_damaged_pixels_name_the_file(domain, raster):
    path = raster(np.random.default_rng(0).integers(0, 255, (1, 200, 200), np.uint8), compress="deflate")
    data = bytearray(path.read_bytes())
    data[2000:3000] = bytes(1000)
    path.write_bytes(data)
    scene = domain.open(path, {})
    with pytest.raises(FormatError, match=r"in\.tif: cannot be decoded"):
        scene.read(0, Window(0, 0, 200, 200))
    scene.close()


def _claim(rows, cols):
    entries = [
        (256, 4, 1, cols), (257, 4, 1, rows), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1),
        (273, 4, 1, 8), (277, 3, 1, 1), (278, 4, 1, 1), (279, 4, 1, 0),
    ]  # fmt: skip
    body = b"".join(struct.pack("<HHII", *e) for e in entries)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + body + bytes(4)


def test_huge_claims_in_tiny_files(domain, tmp_path):
    path = tmp_path / "bomb.tif"
    path.write_bytes(_claim(60_000, 60_000))
    assert path.stat().st_size < 200
    refused(domain, path, FormatError, "bomb")
    path.write_bytes(_claim(2_000_000, 2_000_000))
    refused(domain, path, FormatError, "GENSR_LIMIT|damaged")


def test_one_giant_strip_is_refused(domain, raster, tmp_path, monkeypatch):
    path = raster(np.zeros((1, 500, 500), np.uint8), blockysize=500, compress="deflate")
    monkeypatch.setitem(LIMITS, "block", Limit(100_000, "bytes"))
    refused(domain, path, FormatError, "TILED=YES")


def test_sparse_honest_files_of_usual_size_are_read(domain, raster):
    path = raster(np.zeros((1, 300, 300), np.uint8), sparse_ok=True)
    assert domain.open(path, {}).read(0, Window(0, 0, 300, 300)).values.max() == 0


def test_complex_values_are_refused(domain, raster):
    refused(domain, raster(BYTES.astype(np.complex64), "sar.tif"), DomainError, "complex")


def test_many_pages(domain, tmp_path):
    path = tmp_path / "pages.tif"
    with tifffile.TiffWriter(path) as writer:
        for _ in range(3):
            writer.write(BYTES[0], contiguous=False)
    refused(domain, path, FormatError, "3 images")


@pytest.mark.parametrize("nodata", [-(2**63), -(2**63) + 1, 2**53 + 1])
def test_nodata_that_gdal_cannot_carry(domain, tmp_path, nodata):
    path = tmp_path / "wide.tif"
    tifffile.imwrite(path, np.zeros((8, 8), np.int64), extratags=[(42113, 2, 0, f"{nodata}", True)])
    refused(domain, path, FormatError, r"beyond 2\^53")


def test_large_integers(domain, raster):
    codes = np.full((1, 40, 40), 2**31, np.uint32)
    codes[0, 39, 39] += 1
    scene = domain.open(raster(codes, "fits.tif"), {})
    assert scene.read(0, Window(0, 0, 40, 40)).values.max() == 2**31 + 1
    assert scene.precision == np.float64
    codes = np.full((1, 40, 40), 2**53, np.int64)
    codes[0, 39, 39] += 2
    scaled = raster(np.full_like(codes, 2**53), "scaled.tif", edit=lambda d: setattr(d, "scales", (0.1,)))
    for path, words in ((raster(codes, "wide.tif"), r"wide\.tif.*2\^53"), (scaled, "rounded by float64")):
        with domain.open(path, {}) as scene, pytest.raises(DomainError, match=words):
            scene.normaliser()  # what is computed first; labels are only repeated
    codes[0, 39, 39] = -9999
    assert domain.open(raster(codes - 1, "masked.tif", nodata=-10000), {}).grid.shape == (40, 40)


def test_affine_without_area(domain, raster):
    # the test writes the transformation tag itself, since no library writes a singular one
    import tifffile as tf

    path = raster(BYTES, "flat.tif").with_name("flat2.tif")
    matrix = (1.0, 1.0, 0, 5, 1.0, 1.0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 1.0)
    tf.imwrite(path, BYTES[0], extratags=[(34264, "d", 16, matrix, True)])
    refused(domain, path, FormatError, "no area")


def test_affine_and_points_at_once(domain, raster):
    from gensr.domains.satellite.georeference import read

    class Both:
        width, height, rpcs = 48, 64, None
        crs = rasterio.CRS.from_epsg(4326)
        transform = rasterio.Affine(1, 0, 5, 0, -1, 5)
        gcps = ([rasterio.control.GroundControlPoint(0, 0, 1, 2, 0)], crs)

        def tags(self):
            return {"AREA_OR_POINT": "Area"}

    from pathlib import Path

    with pytest.raises(DomainError, match="georeference=affine or georeference=gcps"):
        read(Both(), Path("both.tif"), "auto")
    assert read(Both(), Path("both.tif"), "affine").kind == "affine"
    chosen = read(Both(), Path("both.tif"), "gcps")
    assert chosen.kind == "gcps"
    assert chosen.grid.transform == (1, 0, 0, 0, 1, 0)


def test_options_are_checked(domain, raster):
    path = raster(BYTES)
    with pytest.raises(UsageError, match=r"no option nodatta.*known options: bands"):
        domain.open(path, {"nodatta": 0})
    for bad in ({"scale": 0}, {"scale": "x"}, {"noise_floor": -1}, {"georeference": "rpc"},
                {"bands": "a,a"}, {"bands": 0}, {"offset": float("nan")}, {"saturated": "x"}):  # fmt: skip
        with pytest.raises(UsageError):
            domain.open(path, bad)
    for bad in ({"nodata": 300}, {"nodata": float("nan")}, {"saturated": 0.5}, {"bands": "a,b"}):
        with pytest.raises(DomainError, match=r"in\.tif"):
            domain.open(path, bad)
    assert set(domain.defaults) == set(DEFAULTS)


def test_windows_stay_inside(domain, raster):
    scene = domain.open(raster(BYTES), {})
    for window in (Window(-1, 0, 4, 4), Window(0, 0, 65, 48), Window(0, 40, 4, 9)):
        with pytest.raises(GridError, match="leaves the grid"):
            scene.read(0, window)
    with pytest.raises(GridError, match="plane 1"):
        scene.read(1, Window(0, 0, 4, 4))


@pytest.mark.parametrize("angle", [1, 17, 45, 90])
def test_windows_of_rotated_rasters_are_right(domain, raster, angle):
    from math import cos, radians, sin

    c, s = 10 * cos(radians(angle)), 10 * sin(radians(angle))
    codes = np.random.default_rng(1).integers(0, 255, (2, 60, 70), np.uint8)
    scene = domain.open(raster(codes, transform=rasterio.Affine(c, s, 5e5, s, -c, 4.6e6)), {})
    for window in (Window(0, 0, 60, 70), Window(13, 21, 20, 30), Window(50, 60, 10, 10)):
        image = scene.read(0, window)
        r, q, h, w = window
        assert np.array_equal(image.values, codes[:, r : r + h, q : q + w])
        assert image.grid.to_frame(0, 0) == pytest.approx((5e5 + c * q + s * r, 4.6e6 + s * q - c * r))


def test_one_handle_many_threads(domain, raster):
    codes = np.random.default_rng(2).integers(0, 2**16, (2, 300, 300), np.uint16)
    scene = domain.open(raster(codes, tiled=True, blockxsize=64, blockysize=64, compress="deflate"), {})
    wrong = []

    def work(seed):
        rng = np.random.default_rng(seed)
        for _ in range(40):
            r, c = (int(v) for v in rng.integers(0, 200, 2))
            if not np.array_equal(scene.read(0, Window(r, c, 90, 80)).values, codes[:, r : r + 90, c : c + 80]):
                wrong.append((r, c))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert wrong == []


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (9, 1)])
def test_tiny_images(run, raster, shape):
    codes = np.arange(1, 1 + 3 * shape[0] * shape[1], dtype=np.uint16).reshape(3, *shape)
    _, (mean, _, _) = run(raster(codes), 4)
    with rasterio.open(mean) as written:
        assert np.array_equal(written.read(), codes.repeat(4, 1).repeat(4, 2))


def test_every_byte_of_a_header_may_be_wrong(domain, raster, run):
    """Flipped header bytes give a scene or one of our errors, never a library's."""
    path = raster(np.random.default_rng(3).integers(0, 255, (3, 40, 40), np.uint8), nodata=0)
    good = path.read_bytes()
    rng = np.random.default_rng(4)
    outcomes = set()
    for _ in range(150):
        data = bytearray(good)
        for place in rng.integers(4, 420, 2):
            data[place] = rng.integers(0, 256)
        path.write_bytes(data)
        try:
            scene = domain.open(path, {})
            rows, cols = scene.grid.shape
            scene.read(0, Window(0, 0, min(rows, 64), min(cols, 64)))
            scene.close()
            outcomes.add("read")
        except GensrError:
            outcomes.add("refused")
    assert outcomes == {"read", "refused"}
