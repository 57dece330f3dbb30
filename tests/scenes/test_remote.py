"""Addresses are refused by name, and fetched with remote=true: from a server made here and a store in memory."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

import gensr
from gensr.cli.main import main
from gensr.errors import FormatError, OutputError, PluginError, UsageError
from gensr.scenes import remote
from gensr.scenes.remote import address_of, fetched
from gensr.values.limits import OPTION


def picture(path: Path) -> bytes:
    how: dict[str, Any] = {"driver": "GTiff", "width": 24, "height": 20, "count": 1, "dtype": "uint16"}
    how |= {"crs": "EPSG:32633", "transform": rasterio.Affine(10, 0, 5e5, 0, -10, 4e6)}
    with rasterio.open(path, "w", **how) as target:
        target.write(np.random.default_rng(1).integers(100, 4000, (1, 20, 24)).astype(np.uint16))
    content = path.read_bytes()
    path.unlink()
    return content


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """Address of a server of one picture, which breaks off, lies or redirects on demand."""
    content = picture(tmp_path / "made.tif")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            kind = self.path.split("/")[1]
            if kind in ("file", "away"):
                self.send_response(302)
                self.send_header("Location", "file:///etc/passwd" if kind == "file" else "/good/a.tif")
                self.end_headers()
                return
            self.send_response(200 if kind != "none" else 404)
            size = {"short": len(content) + 5, "huge": 1 << 60}.get(kind, len(content))
            if kind != "unsaid":
                self.send_header("Content-Length", str(size))
            self.end_headers()
            if kind != "huge":
                self.wfile.write(content)

        def log_message(self, *words: object) -> None:
            """Nothing is printed."""

    found = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=found.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{found.server_port}"
    found.shutdown()
    found.server_close()
    thread.join()


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("https://example.org/a.tif", "https://example.org/a.tif"),
        (Path("https://example.org/a.tif"), "https://example.org/a.tif"),
        ("/vsicurl/https://example.org/a.tif", "https://example.org/a.tif"),
        ("/vsis3/bucket/a.tif", "s3://bucket/a.tif"),
        ("/vsigs/bucket/a.tif", "gs://bucket/a.tif"),
        ("/vsiaz/bucket/a.tif", "az://bucket/a.tif"),
        ("/vsizip/a.zip/a.tif", ""),
        ("file:///etc/passwd", ""),
        ("simplecache::s3://bucket/a", ""),
        ("C:/a.tif", ""),
        ("a.tif", ""),
    ],
)
def test_what_is_an_address(text, address):
    assert address_of(text) == address


def test_nothing_is_fetched_without_remote(server, tmp_path, capsys):
    with pytest.raises(FormatError, match="remote=true fetches one"):
        gensr.upsample(f"{server}/good/a.tif", factor=2)
    assert main(["upsample", f"{server}/good/a.tif", f"output={tmp_path / 'out'}"]) != 0
    assert "remote=true fetches one" in capsys.readouterr().err
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").glob("*.tif"))


def test_command_and_library(server, tmp_path):
    out = tmp_path / "out"
    words = ["factor=2", "search=fast", "samples=0", "noise=2", "remote=true", f"output={out}"]
    assert main(["upsample", f"{server}/good/a.tif", *words]) == 0
    with rasterio.open(out / "a.tif") as source, rasterio.open(out / "a_x2_generated.tif") as found:
        assert (source.width * 2, source.transform.a / 2) == (found.width, found.transform.a)
        codes = found.read()
    result = gensr.upsample(f"{server}/away/a.tif", factor=2, search="fast", samples=0, noise=2, remote=True)
    assert np.array_equal(np.asarray(result.mean).squeeze(), codes[0])


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("none/a.tif", "HTTP Error 404"),
        ("file/a.tif", "cannot be fetched"),
        ("short/a.tif", "(broke off|cannot be fetched)"),
        ("huge/a.tif", "bytes of all pixels"),
        ("", "names no file"),
        ("good/%2e%2e", "names no file"),
        ("good/a%2Fb.tif", "names no file"),
    ],
)
def test_refused(path, said, server, tmp_path):
    with pytest.raises(FormatError, match=said):
        fetched(f"{server}/{path}", tmp_path / "out")
    assert not list((tmp_path / "out").glob("*")) if (tmp_path / "out").exists() else True


def test_a_stream_without_end_stops(server, tmp_path, monkeypatch):
    monkeypatch.setenv(OPTION, "1e-9")
    with pytest.raises(FormatError, match="bytes of all pixels"):
        fetched(f"{server}/unsaid/a.tif", tmp_path)
    assert list(tmp_path.glob("a*")) == []


def test_a_copy_is_used_again_and_nothing_else_is_replaced(server, tmp_path):
    path = fetched(f"{server}/good/a.tif", tmp_path)
    changed = path.stat().st_mtime_ns
    assert fetched(f"{server}/good/a.tif", tmp_path).stat().st_mtime_ns == changed
    path.write_bytes(b"mine")
    with pytest.raises(OutputError, match="exists, and is not"):
        fetched(f"{server}/good/a.tif", tmp_path)
    assert path.read_bytes() == b"mine"


def test_object_stores(tmp_path, monkeypatch):
    fsspec = pytest.importorskip("fsspec", reason="fsspec comes with the extra cluster")
    monkeypatch.setitem(remote.STORES, "memory", "fsspec")
    fsspec.filesystem("memory").pipe("/bucket/a.bin", b"content")
    assert fetched(address_of("memory://bucket/a.bin"), tmp_path).read_bytes() == b"content"
    monkeypatch.setitem(remote.STORES, "nowhere", "driver")
    with pytest.raises(PluginError, match="pip install driver"):
        fetched(address_of("nowhere://bucket/a.bin"), tmp_path)


def test_arrays_are_here_already():
    with pytest.raises(UsageError, match="remote=true is for addresses"):
        gensr.upsample(np.zeros((20, 20)), factor=2, remote=True)
