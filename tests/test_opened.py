"""Under ``strace``: a hostile file opens nothing but itself, and no connection is made."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import rasterio
import tifffile
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
import fuzz_seeds

HARNESS = """
import os, sys, warnings, logging
warnings.simplefilter("ignore")
logging.disable(logging.CRITICAL)
sys.path.insert(0, {scripts!r})
import fuzz
from pathlib import Path
for name in sys.argv[2:]:
    os.access("/gensr-now/" + Path(name).name, os.F_OK)
    try:
        fuzz.attempt(Path(name), Path(sys.argv[1]), answer=False)
    except Exception as error:
        assert "bug" not in str(error)
os.access("/gensr-now/end", os.F_OK)
"""
LINE = re.compile(r"(?:open|openat|access|faccessat2?|connect|socket)\(.*")
WKT = (
    rasterio.crs.CRS.from_epsg(32633)
    .to_wkt()
    .replace("WGS 84 / UTM zone 33N", "unnamed")
    .replace(',AUTHORITY["EPSG","32633"]', "")
)
ROOT = Path(__file__).resolve().parents[1]
LIBRARIES = (
    "/usr/",
    "/lib",
    "/proc/",
    "/sys/",
    "/dev/null",
    "/etc/ld.so",
    "/etc/localtime",
    "/etc/mime",
)


def xml(domain: str, key: str, target: str) -> bytes:
    item = f'<Item name="{key}" domain="{domain}">{target}</Item>'
    return (
        f'<GDALMetadata>{item}<Item name="{key}" domain="{domain}" sample="0">{target}</Item></GDALMetadata>'.encode()
    )


def tagged(path: Path, raw: bytes, text: bytes) -> Path:
    """A little-endian TIFF with GDAL's tag of metadata, put at the end of the file."""
    (start,) = struct.unpack_from("<I", raw, 4)
    (count,) = struct.unpack_from("<H", raw, start)
    entries = raw[start + 2 : start + 2 + 12 * count]
    at = len(raw) + (len(raw) & 1)
    body = raw.ljust(at, b"\0") + text + b"\0"
    body += b"\0" * (len(body) & 1)
    entry = struct.pack("<HHII", 42112, 2, len(text) + 1, at)
    every = sorted([entries[i : i + 12] for i in range(0, len(entries), 12)] + [entry], key=lambda e: e[:2][::-1])
    directory = struct.pack("<H", count + 1) + b"".join(every) + bytes(4)
    path.write_bytes(body[:4] + struct.pack("<I", len(body)) + body[8:] + directory)
    return path


def hostile(folder: Path, good: Path, secret: Path) -> list[Path]:
    """Files that name another one in every way that we know, each in a folder of its own where neighbours count."""
    raster, found = (good / "scene.tif").read_bytes(), []
    vrt = '<VRTDataset rasterXSize="8" rasterYSize="8"><VRTRasterBand dataType="Byte" band="1"><SimpleSource>'
    vrt += f"<SourceFilename>{secret}</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>"
    targets = (str(secret), vrt, "/vsicurl/http://127.0.0.1:9/a.tif", f"GTIFF_DIR:1:{secret}", f"/vsizip/{secret}")
    for i, target in enumerate(targets):
        escaped = target.replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
        for domain, key in (("OVERVIEWS", "OVERVIEW_FILE"), ("ProxyOverviewRequest", "FILENAME")):
            found.append(tagged(folder / f"{domain}{i}.tif", raster, xml(domain, key, escaped)))
    for domain, key in (
        ("GEOLOCATION", "X_DATASET"),
        ("SUBDATASETS", "SUBDATASET_1_NAME"),
        ("xml:VRT", "x"),
        ("", "TIFFTAG_XMP"),
    ):
        found.append(tagged(folder / f"{key}.tif", raster, xml(domain, key, str(secret))))
    (folder / "vrt.tif").write_text(vrt)
    found.append(folder / "vrt.tif")
    for end in (
        "tif.msk",
        "tif.MSK",
        "tif.ovr",
        "tif.OVR",
        "tif.aux.xml",
        "tif.AUX.XML",
        "aux",
        "rrd",
        "xml",
        "tif.vrt",
    ):
        path = folder / f"beside_{end.replace('.', '_')}.tif"
        path.write_bytes(raster)
        metadata = (
            f'<PAMDataset><Metadata domain="OVERVIEWS"><MDI key="OVERVIEW_FILE">{secret}</MDI></Metadata></PAMDataset>'
        )
        (folder / f"{path.stem}.{end}").write_text(metadata if "aux" in end.lower() else vrt)
        found.append(path)
    jp2 = (good / "raster.jp2").read_bytes()
    text = f'<GDALMultiDomainMetadata><Metadata domain="OVERVIEWS"><MDI key="OVERVIEW_FILE">{secret}</MDI></Metadata>'
    box = (text + "</GDALMultiDomainMetadata>").encode()
    at = jp2.index(b"jp2c") - 4
    (folder / "box.jp2").write_bytes(jp2[:at] + struct.pack(">I4s", len(box) + 8, b"xml ") + box + jp2[at:])
    found.append(folder / "box.jp2")
    micro = (good / "stack.ome.tif").read_bytes()
    for i, change in enumerate((
        (b"<TiffData", f'<BinData><External href="{secret}"/></BinData><TiffData'.encode()),
        (b"<Image ", b'<!DOCTYPE a SYSTEM "/etc/passwd"><Image '),
        (b"<OME ", f'<OME><BinaryOnly MetadataFile="{secret}" UUID="x"/></OME><OME '.encode()),
    )):  # fmt: skip
        with tifffile.TiffFile(good / "stack.ome.tif") as tif:
            text = (tif.ome_metadata or "").encode().replace(*change)
        path = folder / f"ome{i}.ome.tif"
        path.write_bytes(micro)
        tifffile.tiffcomment(path, text)
        found.append(path)
    fits = (good / "field.fits").read_bytes()
    for key in ("CPDIS1", "D2IMFILE", "NAXIS1", "INHERIT"):
        card = f"{key:<8}= '{secret}'".ljust(80)[:80].encode()
        (folder / f"{key}.fits").write_bytes(fits[:2880].replace(b" " * 80, card, 1) + fits[2880:])
        found.append(folder / f"{key}.fits")
    dicom = (good / "slice.dcm").read_bytes()
    for i, word in enumerate((b"http://127.0.0.1:9/a", str(secret).encode())):
        value = word + b" " * (len(word) & 1)
        for group, element, kind in (
            (0x0028, 0x7FE0, b"UR"),  # Pixel Data Provider URL
            (0x0008, 0x1190, b"UR"),  # Retrieve URL
            (0x0008, 0x010E, b"UR"),  # code system
            (0x0004, 0x1500, b"CS"),  # Referenced File ID
            (0x0009, 0x1010, b"ST"),
        ):
            head = struct.pack("<HH2sH", group, element, kind, 0 if kind == b"UR" else len(value))
            item = head + (struct.pack("<I", len(value)) if kind == b"UR" else b"") + value
            at = dicom.index(struct.pack("<HH", 0x0028, 0x0002) if group > 0x0008 else struct.pack("<HH", 8, 0x0060))
            at = dicom.index(b"\xe0\x7f\x10\x00") if group == 0x0028 else at
            (folder / f"element{group:x}{element:x}{i}.dcm").write_bytes(dicom[:at] + item + dicom[at:])
            found.append(folder / f"element{group:x}{element:x}{i}.dcm")
    return found + more_hostile(folder, good, secret)


def more_hostile(folder: Path, good: Path, secret: Path) -> list[Path]:
    """Further words of each format that some reader takes for the name of a file or an address."""
    raster, found = (good / "scene.tif").read_bytes(), []
    url = "http://127.0.0.1:9/a"
    targets = (
        str(secret),
        url,
        "/vsis3/a/b",
        f"NETCDF:{secret}:a",
        f"<GDAL_WMS><ServerUrl>{url}</ServerUrl></GDAL_WMS>",
    )
    spaces = (
        "OVERVIEWS",
        "xml:ESRI",
        "xml:XMP",
        "RPC",
        "COLOR_PROFILE",
        "DERIVED_SUBDATASETS",
        "VRT",
        "EXIF",
        "json:ISIS3",
    )
    for i, (space, target) in enumerate((s, t) for s in spaces for t in targets[: 2 if s != "OVERVIEWS" else 5]):
        text = target.replace("<", "&lt;").replace(">", "&gt;")
        found.append(tagged(folder / f"space{i}.tif", raster, xml(space, "OVERVIEW_FILE", text)))
    datum = 'GEOGCS["x",DATUM["d",SPHEROID["s",6378137,298],EXTENSION["PROJ4_GRIDS","{}"]],PRIMEM["g",0],'
    datum += 'UNIT["degree",0.0174]]'
    systems = (
        str(secret),
        url,
        f"+init={secret}:1",
        f"+proj=longlat +nadgrids={secret}",
        datum.format(secret),
        "/dev/stdin",
    )
    for i, system in enumerate(systems):
        path = folder / f"system{i}.tif"
        path.write_bytes(raster)
        escaped = system.replace('"', "&quot;")
        (folder / f"system{i}.tif.aux.xml").write_text(f"<PAMDataset><SRS>{escaped}</SRS></PAMDataset>")
        path = folder / f"points{i}.tif"
        path.write_bytes(raster)
        points = f'<GCPList Projection="{escaped}"><GCP Id="" Pixel="0" Line="0" X="1" Y="1"/></GCPList>'
        (folder / f"points{i}.tif.aux.xml").write_text(f"<PAMDataset>{points}</PAMDataset>")
        profile = {"driver": "GTiff", "width": 8, "height": 8, "count": 1, "dtype": "uint8"}
        crs = rasterio.crs.CRS.from_wkt(WKT.replace("unnamed", "n" * 200))
        place = rasterio.Affine(10, 0, 0, 0, -10, 0)
        with rasterio.open(folder / f"esri{i}.tif", "w", **profile, crs=crs, transform=place):
            pass
        raw = (folder / f"esri{i}.tif").read_bytes()
        name = f"ESRI PE String = {system}".encode().ljust(200, b" ")[:200]
        assert b"n" * 200 in raw
        (folder / f"esri{i}.tif").write_bytes(raw.replace(b"n" * 200, name))
        found += [folder / f"{kind}{i}.tif" for kind in ("system", "points", "esri")]
    for i, (end, text) in enumerate(
        ((".IMD", str(secret)), (".RPB", str(secret)), ("_RPC.TXT", url), (".tfw", str(secret)))
    ):
        (folder / f"side{i}.tif").write_bytes(raster)
        (folder / f"side{i}{end}").write_text(text)
        found.append(folder / f"side{i}.tif")
    jp2 = (good / "raster.jp2").read_bytes()
    at = jp2.index(b"jp2c") - 4
    boxes = [(b"url ", bytes(4) + f"{t}\0".encode()) for t in targets] + [(b"xml ", t.encode()) for t in targets]
    boxes += [
        (b"flst", secret.as_posix().encode()),
        (b"dtbl", b"\0\1" + struct.pack(">I4s", 40, b"url ") + url.encode()),
    ]
    for i, (kind, content) in enumerate(boxes):
        box = struct.pack(">I4s", len(content) + 8, kind) + content
        (folder / f"box{i}.jp2").write_bytes(jp2[:at] + box + jp2[at:])
        found.append(folder / f"box{i}.jp2")
    micro = (good / "stack.ome.tif").read_bytes()
    named = (secret.as_posix(), "../private/secret.tif", url)
    changes = [
        (b"<TiffData ", f'<TiffData><UUID FileName="{n}">urn:uuid:a</UUID></TiffData><TiffData '.encode())
        for n in named
    ]
    changes += [
        (b"<Image ", f'<xi:include href="{n}" xmlns:xi="http://www.w3.org/2001/XInclude"/><Image '.encode())
        for n in named
    ]
    changes += [(b"<OME ", f'<OME schemaLocation="{n}" '.encode()) for n in named]
    for i, change in enumerate(changes):
        with tifffile.TiffFile(good / "stack.ome.tif") as tif:
            text = (tif.ome_metadata or "").encode().replace(*change)
        (folder / f"more{i}.ome.tif").write_bytes(micro)
        tifffile.tiffcomment(folder / f"more{i}.ome.tif", text)
        found.append(folder / f"more{i}.ome.tif")
    fits = (good / "field.fits").read_bytes()
    keys = (
        "NPOLFILE",
        "IDCTAB",
        "DGEOFILE",
        "MASKFILE",
        "PSFFILE",
        "BPM",
        "PS1_0",
        "EXTFILE",
        "MEMBER",
        "FILENAME",
        "CPERR1",
    )
    for i, key in enumerate((*keys, "HIERARCH ESO FILE")):
        card = f"{key:<8}= '{secret if i % 2 else url}'".ljust(80)[:80].encode()
        (folder / f"card{i}.fits").write_bytes(fits[:2880].replace(b" " * 80, card, 1) + fits[2880:])
        found.append(folder / f"card{i}.fits")
    return found


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not here; it is a package of most systems")
def test_nothing_else_is_opened(tmp_path):
    good, bad, home = tmp_path / "good", tmp_path / "bad", tmp_path / "private"
    for folder in (good, bad, home):
        folder.mkdir()
    fuzz_seeds.make(good)
    secret = home / "secret.tif"
    shutil.copy(good / "scene.tif", secret)
    harmless = [
        good / name for name in ("scene.tif", "raster.jp2", "stack.ome.tif", "field.fits", "slice.dcm", "jpegls.dcm")
    ]
    files = [*harmless, *hostile(bad, good, secret)]
    assert len(files) - len(harmless) >= 100
    script = tmp_path / "harness.py"
    script.write_text(HARNESS.format(scripts=str(Path(__file__).parents[1] / "scripts")))
    trace = tmp_path / "trace"
    calls = "trace=open,openat,openat2,access,faccessat,faccessat2,socket,connect"
    command = [
        "strace",
        "-f",
        "-qq",
        "-o",
        str(trace),
        "-e",
        calls,
        sys.executable,
        "-P",
        str(script),
        str(tmp_path / "out"),
    ]
    done = subprocess.run([*command, *map(str, files)], capture_output=True, text=True, timeout=600)
    if "PTRACE" in done.stderr or "not permitted" in done.stderr:
        pytest.skip("this system lets nobody trace")
    assert done.returncode == 0, done.stderr[-2000:]
    now, opened, sockets = "", {}, []
    for line in trace.read_text(errors="replace").splitlines():
        if mark := re.search(r'"/gensr-now/([^"]+)"', line):
            now = mark[1]
        elif "socket(" in line and re.search(r"AF_INET6?\b", line):
            sockets.append(line)
        elif re.search(r"\bopen(at2?)?\(", line) and (path := re.search(r'"([^"]*)"', line)):
            opened.setdefault(now, set()).add(path[1])
    assert now == "end"
    assert sockets == []
    for file in files:
        seen = {p for p in opened.get(file.name, set()) if str(tmp_path) in p}
        beside = {str(p) for p in file.parent.iterdir() if p.name.startswith(file.stem.split(".")[0])}
        assert seen <= {str(file), str(tmp_path / "out"), str(file.parent)} | beside, (file.name, seen)
        assert not any(str(secret) in p or "passwd" in p for p in opened.get(file.name, set())), file.name
        # Code and tables may be read for the first time by any file; everything else is what harmless ones open.
        known = set.union(*(opened[h.name] for h in harmless)) | seen
        own = (
            *LIBRARIES,
            f"{tempfile.gettempdir()}/gensr",
            sys.prefix,
            sys.base_prefix,
            str(ROOT),
            *map(str, Path(torch.__file__).parents[:2]),
        )
        assert {p for p in opened.get(file.name, set()) - known if p.startswith("/") and not p.startswith(own)} == set()
    assert len([f for f in files if str(f) in opened.get(f.name, ())]) == len(files)  # the trace sees what is opened
