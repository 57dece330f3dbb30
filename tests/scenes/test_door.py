"""What may be opened at all, and how much a file may claim."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from gensr.errors import FormatError, UsageError
from gensr.scenes import installed
from gensr.scenes.directories import check_directories
from gensr.scenes.door import admit, at_home, neighbours
from gensr.scenes.inputs import expand, guess, open_scene
from gensr.scenes.markup import parsed
from gensr.values.limits import LIMITS, OPTION, expands, limit, within

DOMAINS = ("satellite", "microscopy", "astronomy", "medical", "faces")


@pytest.mark.parametrize("name", ["/vsicurl/http://localhost/x.tif", "/vsimem/x", "//vsizip/a.zip/b.tif", "/vsizip"])
def test_virtual_paths_of_gdal(name):
    with pytest.raises(FormatError, match="virtual paths"):
        admit(Path(name))


def test_what_is_no_data(tmp_path):
    os.mkfifo(tmp_path / "pipe.tif")
    for path, words in (
        (tmp_path / "pipe.tif", "is a device or pipe"),
        (Path("/dev/zero"), "is a device or pipe"),
        (tmp_path / "none.tif", "no such file"),
        (Path("https://example.org/a.tif"), "URLs are not opened"),
        (tmp_path / ("x" * 5000), "cannot be read"),
    ):
        with pytest.raises(FormatError, match=words):
            admit(path)
    admit(tmp_path)


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="no /proc on this system")
def test_folders_of_the_system(tmp_path):
    (tmp_path / "link").symlink_to("/proc")
    for path in (Path("/proc"), Path("/proc/self/maps"), Path("/sys"), tmp_path / "link"):
        with pytest.raises(FormatError, match="belongs to the system"):
            admit(path)
        ((text, error),) = expand([str(path)]).failed
        assert text == str(path)
        assert "belongs to the system" in str(error)


@pytest.mark.parametrize("name", DOMAINS)
def test_a_pipe_with_a_named_domain_does_not_wait(tmp_path, name):
    for suffix in (".tif", ".fits", ".dcm", ".png"):
        path = tmp_path / f"{name}{suffix}"
        os.mkfifo(path)
        with pytest.raises(FormatError, match="is a device or pipe"):
            open_scene(installed.domain(name), path, {})
        with pytest.raises(FormatError, match="is a device or pipe"):
            guess(path)
        assert "is a device or pipe" in str(expand([str(path)], installed.domain(name)).failed[0][1])


def test_nobodys_home_is_a_name(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert at_home("~/a.tif") == tmp_path / "a.tif"
    assert at_home("~nobody-of-that-name/a.tif") == Path("~nobody-of-that-name/a.tif")
    assert "no such file" in str(expand(["~nobody-of-that-name/a.tif"]).failed[0][1])


def test_one_option_raises_every_limit(monkeypatch):
    within("bands", LIMITS["bands"].most, "a.tif")
    with pytest.raises(FormatError, match=rf"a.tif: claims 4097 bands of a raster, at most 4096 .*{OPTION}=2\)"):
        within("bands", 4097, "a.tif")
    monkeypatch.setenv(OPTION, "2")
    assert {name: limit(name) for name in LIMITS} == {name: 2 * found.most for name, found in LIMITS.items()}
    within("bands", 8192, "a.tif")
    for text in ("0", "-1", "nan", "inf", "many", "1e9"):
        monkeypatch.setenv(OPTION, text)
        with pytest.raises(UsageError, match=f"{OPTION}={text}"):
            limit("bands")


def test_the_advice_in_a_message_is_enough(monkeypatch):
    for claimed in (4097, 8192, 8193, 10**9):
        monkeypatch.delenv(OPTION, raising=False)
        with pytest.raises(FormatError) as caught:
            within("bands", claimed, "a")
        monkeypatch.setenv(OPTION, str(caught.value).rpartition("=")[2].rstrip(")"))
        within("bands", claimed, "a")


def test_what_no_codec_reaches():
    expands("a tile", 10, LIMITS["believed"].most, "a")
    expands("a tile", 1 << 20, LIMITS["ratio"].most << 20, "a")
    with pytest.raises(FormatError, match="decompression bomb"):
        expands("a tile", 1 << 20, (LIMITS["ratio"].most << 20) + 1, "a")


def test_every_limit_is_in_the_documentation():
    page = (Path(__file__).parents[2] / "docs" / "formats.md").read_text()
    for name, found in LIMITS.items():
        assert f"| {name} | {found.most:,} | {found.what} |" in page, name
    assert OPTION in page


def test_neighbours_in_any_case(tmp_path):
    for name in ("a.tif", "a.tif.MSK", "a.TFW", "a.tfw", "b.tif.msk"):
        (tmp_path / name).touch()
    found = neighbours(tmp_path / "a.tif", ["a.tif.msk", "a.tfw", "a.wld"])
    assert found == {"a.tif.msk": tmp_path / "a.tif.MSK", "a.tfw": tmp_path / "a.tfw"}


def test_linked_neighbours_belong_to_linked_images(tmp_path):
    store, shown = tmp_path / "store", tmp_path / "shown"
    for folder in (store, shown):
        folder.mkdir()
    for name in ("a.tif", "a.tfw"):
        (store / name).touch()
        (shown / name).symlink_to(store / name)
    assert neighbours(shown / "a.tif", ["a.tfw"]) == {"a.tfw": shown / "a.tfw"}
    (shown / "a.tif").unlink()
    (shown / "a.tif").touch()
    with pytest.raises(FormatError, match="is a link"):
        neighbours(shown / "a.tif", ["a.tfw"])


def tiff(order: str, big: bool, links: list[int]) -> bytes:
    """Directories with one entry each; ``links`` says which directory follows, -1 for none."""
    head = 16 if big else 8
    size = 8 + 20 + 8 if big else 2 + 12 + 4
    places = [head + i * size for i in range(len(links))]
    mark = b"II" if order == "<" else b"MM"
    raw = mark + struct.pack(order + "HHHQ", 43, 8, 0, head) if big else mark + struct.pack(order + "HI", 42, head)
    for link in links:
        count, pointer = (order + "Q", order + "Q") if big else (order + "H", order + "I")
        raw += struct.pack(count, 1) + bytes(20 if big else 12) + struct.pack(pointer, places[link] if link >= 0 else 0)
    return raw


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("big", [False, True])
def test_directories_of_a_tiff(tmp_path, monkeypatch, order, big):
    path = tmp_path / "a.tif"
    for links, count in (([-1], 1), ([1, 2, -1], 3), ([2, -1, 1], 3)):
        path.write_bytes(tiff(order, big, links))
        assert check_directories(path) == count
    for links in ([0], [1, 0], [1, 2, 1]):
        path.write_bytes(tiff(order, big, links))
        with pytest.raises(FormatError, match="run in a loop"):
            check_directories(path)
    path.write_bytes(tiff(order, big, [1, 2, -1])[:-9])
    with pytest.raises(FormatError, match=r"directory 3 .* is cut off"):
        check_directories(path)
    monkeypatch.setitem(LIMITS, "pages", type(LIMITS["pages"])(2, "directories of a TIFF"))
    path.write_bytes(tiff(order, big, [1, 2, -1]))
    with pytest.raises(FormatError, match="claims 3 directories of a TIFF"):
        check_directories(path)
    path.write_bytes(b"no tiff")
    assert check_directories(path) == 0


def test_xml_of_unknown_origin(monkeypatch):
    file = Path("a.xml")
    assert [e.tag for e in parsed(b"<a><b/><c>text</c></a>", file)] == ["b", "c"]
    for text, words in (
        (b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "document type"),
        (b"<a><b></a>", "damaged XML"),
        (b"", "damaged XML"),
        (b"<a>" * 101 + b"</a>" * 101, "101 levels"),
        (b"<a>" + b"<b/>" * 20 + b"</a>", "elements of XML"),
    ):
        most = 20 if b"<b/>" in text else 1000
        monkeypatch.setitem(LIMITS, "elements", type(LIMITS["pages"])(most, "elements of XML"))
        with pytest.raises(FormatError, match=words):
            parsed(text, file)
