"""What lies beside a raster, and what its metadata name: seen where it belongs to the image, else never followed."""

from __future__ import annotations

import os
import struct
import warnings

import numpy as np
import pytest
import rasterio
from rasterio.errors import NotGeoreferencedWarning

from gensr.domains.satellite.sidecars import auxiliary
from gensr.errors import FormatError

CODES = np.random.default_rng(0).integers(1, 200, (1, 40, 48)).astype(np.uint8)
MASK = np.kron(np.eye(4, dtype=np.uint8), np.ones((10, 12), np.uint8)) * 255


@pytest.fixture
def secret(raster):
    """A private raster with a pattern of zeros that must never show."""
    path = raster(MASK[None], "secret.tif")
    return path


def bare(raster, name="in.tif", **profile):
    return raster(CODES, name, crs=None, **profile)


def vrt(path, secret):
    path.write_text(
        f'<VRTDataset rasterXSize="48" rasterYSize="40"><Metadata><MDI key="INTERNAL_MASK_FLAGS_1">2</MDI></Metadata>'
        f'<VRTRasterBand dataType="Byte" band="1"><SimpleSource><SourceFilename>{secret}</SourceFilename>'
        f"</SimpleSource></VRTRasterBand></VRTDataset>"
    )


@pytest.mark.parametrize("namespace", [("OVERVIEWS", "OVERVIEW_FILE"), ("ProxyOverviewRequest", "FILENAME")])
def test_metadata_that_name_a_file_are_refused(domain, raster, secret, namespace):
    space, key = namespace
    path = raster(CODES, edit=lambda d: d.update_tags(ns=space, **{key: str(secret)}))
    with pytest.raises(FormatError, match=rf"in.tif: its metadata \({space}\) make GDAL open another file"):
        domain.open(path, {})


def test_the_same_in_jpeg_2000(domain, raster, secret):
    path = raster(CODES, "in.jp2", driver="JP2OpenJPEG", QUALITY="100", REVERSIBLE="YES")
    domain.open(path, {}).close()
    xml = f'<GDALMultiDomainMetadata><Metadata domain="OVERVIEWS"><MDI key="OVERVIEW_FILE">{secret}</MDI></Metadata>'
    text = (xml + "</GDALMultiDomainMetadata>").encode()
    box = struct.pack(">I4s", len(text) + 8, b"xml ") + text
    raw = path.read_bytes()
    at = raw.index(b"jp2c") - 4
    path.write_bytes(raw[:at] + box + raw[at:])
    with pytest.raises(FormatError, match=r"in.jp2: its metadata \(OVERVIEWS\)"):
        domain.open(path, {})
    path.write_bytes(raw[:at] + struct.pack(">I4s", len(box) + 8, b"asoc") + box + raw[at:])
    with pytest.raises(FormatError, match=r"in.jp2: its metadata \(OVERVIEWS\)"):
        domain.open(path, {})


def test_metadata_that_are_no_xml_are_refused(domain, raster):
    path = raster(CODES, edit=lambda d: d.update_tags(ns="OVERVIEWS", OVERVIEW_FILE="x"))
    path.write_bytes(path.read_bytes().replace(b"</GDALMetadata>", b"</GDALMetadatA>"))
    with pytest.raises(FormatError, match="holds damaged XML"):
        domain.open(path, {})


def test_only_namespaces_that_do_nothing_are_written(run, raster):
    def edit(d):
        d.update_tags(ns="PRODUCT", cloud="12", ns_="1")
        d.update_tags(ns="FANCY", level="3")
        d.update_tags(ns="GEOLOCATION", X_DATASET="/etc/passwd")
        d.update_tags(ns="new_vrt_sources", source="/etc/passwd")
        d.update_tags(INTERNAL_MASK_FLAGS_1="8")

    scene, (mean, std, _) = run(raster(CODES, edit=edit))
    assert {"GEOLOCATION", "new_vrt_sources", "INTERNAL_MASK_FLAGS_1"} <= set(scene.carried.dropped)
    for path in (mean, std):
        with rasterio.open(path) as written:
            spaces = {name for name in written.tag_namespaces() if name}
            assert spaces <= {"IMAGE_STRUCTURE", "DERIVED_SUBDATASETS", "PRODUCT"}
    with rasterio.open(mean) as written:
        assert written.tags(ns="PRODUCT")["cloud"] == "12"
        assert written.tags()["FANCY.level"] == "3"


@pytest.mark.parametrize("key", ["ns", "bidx", "self", "a=b"])
def test_keys_that_are_arguments_of_the_library_do_no_harm(run, raster, key):
    path = raster(CODES, edit=lambda d: d.update_tags(ns="PRODUCT", QQQQQQ="1"))
    raw = path.read_bytes()
    at = raw.index(b'name="QQQQQQ"')
    path.write_bytes(raw[:at] + b'name="%s"' % key.encode() + b" " * (6 - len(key)) + raw[at + len(b'name="QQQQQQ"') :])
    scene, _ = run(path)
    assert key in scene.carried.dropped or key == "a=b"


@pytest.mark.parametrize("name", ["in.tif.msk", "in.tif.MSK", "in.TIF.Msk"])
def test_a_mask_that_is_no_tiff_is_refused_in_any_case(domain, raster, secret, name):
    path = raster(CODES)
    vrt(path.with_name(name), secret)
    with pytest.raises(FormatError, match=f"{name}: is not a TIFF"):
        domain.open(path, {})


@pytest.mark.parametrize("name", ["in.tif.msk", "in.tif.MSK"])
def test_a_mask_beside_the_image_counts_in_any_case(domain, raster, run, name):
    path = raster(CODES, mask=MASK, env={"GDAL_TIFF_INTERNAL_MASK": False})
    path.with_name("in.tif.msk").rename(path.with_name(name))
    _, (mean, *_) = run(path)
    with rasterio.open(mean) as written:
        assert (written.dataset_mask() == np.kron(MASK, np.ones((2, 2)))).all()


def test_a_mask_that_is_a_link_is_refused(domain, raster, secret):
    path = raster(CODES)
    os.symlink(secret, path.with_name("in.tif.msk"))
    with pytest.raises(FormatError, match=r"in.tif.msk: is a link"):
        domain.open(path, {})
    os.unlink(path.with_name("in.tif.msk"))
    os.mkfifo(path.with_name("in.tif.MSK"))
    with pytest.raises(FormatError, match=r"in.tif.MSK: is a device, pipe"):
        domain.open(path, {})


@pytest.mark.parametrize("end", [".ovr", ".OVR", ".rrd", ".aux", ".xml", ".tab", ".pvl"])
def test_other_neighbours_are_not_looked_at(domain, raster, end):
    path = raster(CODES)
    for name in (f"{path.name}{end}", f"{path.stem}{end}"):
        os.mkfifo(path.with_name(name))  # whoever opens it waits for ever
    scene = domain.open(path, {})
    scene.close()
    assert scene.grid.transform.c == 500000


AUX = """<PAMDataset><SRS>EPSG:32633</SRS><GeoTransform>5e5, 10, 0, 4.6e6, 0, -10</GeoTransform>{more}
<PAMRasterBand band="1"><Description>red</Description><Histograms><HistItem/></Histograms></PAMRasterBand>
</PAMDataset>"""


def test_georeference_beside_the_image_arrives(run, raster, secret):
    path = bare(raster)
    name = path.with_name("in.tif.aux.xml")
    more = f'<Metadata domain="OVERVIEWS"><MDI key="OVERVIEW_FILE">{secret}</MDI></Metadata>'
    name.write_text(AUX.format(more=more))
    _, (mean, *_) = run(path)
    with rasterio.open(mean) as written:
        assert written.crs.to_epsg() == 32633
        assert tuple(written.transform)[:6] == (5, 0, 5e5, 0, -5, 4.6e6)
        assert written.descriptions == ("red",)
        assert "OVERVIEWS" not in written.tag_namespaces()
    assert b"OVERVIEW" not in auxiliary(name.read_bytes(), name)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('<!DOCTYPE a [<!ENTITY b SYSTEM "/etc/passwd">]><PAMDataset>&b;</PAMDataset>', "document type"),
        ("<VRTDataset/>", "holds VRTDataset where PAMDataset is expected"),
        ("<PAMDataset>", "damaged XML"),
        ("<PAMDataset>" + "<a>" * 200 + "</a>" * 200 + "</PAMDataset>", "levels of nested"),
    ],
)
def test_an_auxiliary_file_of_another_kind_is_refused(domain, raster, text, words):
    path = bare(raster)
    path.with_name("in.tif.AUX.XML").write_text(text)
    with pytest.raises(FormatError, match=words):
        domain.open(path, {})


@pytest.mark.parametrize(
    ("image", "world"), [("in.tif", "in.tfw"), ("in.tif", "in.TFW"), ("in.png", "in.wld"), ("in.jpg", "in.jgw")]
)
def test_a_world_file_gives_the_affine(domain, raster, image, world):
    driver = {"tif": "GTiff", "png": "PNG", "jpg": "JPEG"}[image[-3:]]
    path = bare(raster, image, driver=driver)
    path.with_name(world).write_text("10\n0\n0\n-10\n500005\n4599995\n")
    assert domain.sniff(path) == 3
    scene = domain.open(path, {})
    assert tuple(scene.grid.transform) == (10, 0, 500000, 0, -10, 4600000)
    scene.close()
    path.with_name(world).write_text("10\n0\nnan\n")
    with pytest.raises(FormatError, match="is no world file"):
        domain.open(path, {})


def test_rpc_beside_the_image_are_read(domain, raster):
    path = bare(raster)
    numbers = {"LINE_OFF": 20, "SAMP_OFF": 24, "LAT_OFF": 45, "LONG_OFF": 9, "HEIGHT_OFF": 100}
    numbers |= {"LINE_SCALE": 20, "SAMP_SCALE": 24, "LAT_SCALE": 0.1, "LONG_SCALE": 0.1, "HEIGHT_SCALE": 500}
    for name in ("LINE_NUM", "LINE_DEN", "SAMP_NUM", "SAMP_DEN"):
        numbers |= {f"{name}_COEFF_{i}": float(i == 1) for i in range(1, 21)}
    text = "".join(f"{key}: {value}\n" for key, value in numbers.items())
    path.with_name("in_RPC.TXT").write_text(text)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        scene = domain.open(path, {})
    assert scene.georeference.rpcs.samp_off == 24
    scene.close()
    path.with_name("in_RPC.TXT").write_bytes(b"\0" + text.encode())
    with pytest.raises(FormatError, match="no plain text"):
        domain.open(path, {})


def test_floods_are_refused_at_once(domain, raster, tmp_path):
    path = raster(CODES)
    raw = bytearray(path.read_bytes())
    (at,) = struct.unpack_from("<I", raw, 4)
    (entries,) = struct.unpack_from("<H", raw, at)
    for i in range(entries):
        if struct.unpack_from("<H", raw, at + 2 + 12 * i)[0] == 277:
            struct.pack_into("<H", raw, at + 2 + 12 * i + 8, 60_000)
    path.write_bytes(raw)
    with pytest.raises(FormatError, match=r"claims 60000 bands of a raster, at most 4096.*GENSR_LIMIT=16"):
        domain.open(path, {})
    struct.pack_into("<I", raw, at + 2 + 12 * entries, at)
    path.write_bytes(raw)
    with pytest.raises(FormatError, match="directories run in a loop"):
        domain.open(path, {})
