"""Under ``strace``: a hostile file opens nothing but itself, and no connection is made."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import tifffile

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
LIBRARIES = ("/usr/", "/lib", "/proc/", "/sys/", "/dev/", "/etc/ld.so", "/etc/localtime", "/etc/mime", "/root/.pyenv")


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
        url = struct.pack("<HH2sHI", 0x0028, 0x7FE0, b"UR", 0, len(value)) + value  # Pixel Data Provider URL
        at = dicom.index(b"\xe0\x7f\x10\x00")
        (folder / f"url{i}.dcm").write_bytes(dicom[:at] + url + dicom[at:])
        found.append(folder / f"url{i}.dcm")
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
    assert len(files) - len(harmless) >= 30
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
        beside = {str(p) for p in file.parent.iterdir() if p.stem.split(".")[0] == file.stem.split(".")[0]}
        assert seen <= {str(file), str(tmp_path / "out"), str(file.parent)} | beside, (file.name, seen)
        assert not any(str(secret) in p or "passwd" in p for p in opened.get(file.name, set())), file.name
    assert len([f for f in files if str(f) in opened.get(f.name, ())]) == len(files)  # the trace sees what is opened
