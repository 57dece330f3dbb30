"""Arrays whose numbers are decoded in the child process: indexing, sizes, and stores whose chunks are links."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import numpy as np
import pytest

from gensr.errors import FormatError
from gensr.scenes import distant
from gensr.scenes.chunks import ChunkReader
from gensr.scenes.distant import DistantArray
from gensr.scenes.stores import ZarrStore

BASE = np.arange(5 * 7 * 4).reshape(5, 7, 4).astype(">i4")
INDEXES = [0, -1, 3, *(slice(*ends) for ends in ((None,), (1, 3), (3, 1), (0, 7, 2), (-2, None), (10, 20)))]
BACK = [slice(None, None, -1), slice(4, None, -2), slice(3, 0, -1)]


def array(monkeypatch: pytest.MonkeyPatch, found: np.ndarray = BASE) -> tuple[DistantArray, list[int]]:
    asked: list[int] = []

    def decoded(function: object, words: list, most: int) -> tuple[np.ndarray, None]:
        part = found[tuple(slice(*ends) for ends in words[-1])]
        asked.append(most)
        return part.copy(), None

    monkeypatch.setattr(distant, "decoded", decoded)
    return DistantArray(len, ["a"], BASE.shape, BASE.dtype), asked


def test_indexing_is_that_of_numpy(monkeypatch):
    source, asked = array(monkeypatch)
    for index in [*itertools.product(INDEXES + BACK, repeat=3), ..., (..., 1), (2, ..., 1), 1, slice(1, 2), (1, 2)]:
        expected = BASE[index]
        found = source[index]
        assert found.shape == expected.shape, index
        assert np.array_equal(found, expected), index
        assert found.dtype == BASE.dtype
    del asked[:]
    assert source[1:3, 2, ::2].size == 4
    assert asked == [2 * 1 * 3 * 4]  # no more than is needed


def test_what_decodes_to_another_type_or_size_is_refused(monkeypatch):
    source, _ = array(monkeypatch, BASE.astype(np.int64))
    with pytest.raises(ValueError, match="decodes to int64"):
        source[0]
    source, _ = array(monkeypatch, BASE[:2])
    with pytest.raises(ValueError, match=r"decodes to >i4 \(0, 7, 4\)"):
        source[3]


def hierarchy(folder: Path, three: bool) -> tuple[Path, np.ndarray]:
    zarr = pytest.importorskip("zarr", reason="the extra zarr is not installed")
    codes = np.arange(32 * 24, dtype=np.uint16).reshape(32, 24)
    group = zarr.open_group(folder / "a.zarr", mode="w", zarr_format=3 if three else 2)
    target = group.create_array("0", shape=codes.shape, chunks=(16, 24), dtype=codes.dtype, compressors=None)
    target[...] = codes
    return folder / "a.zarr", codes


@pytest.mark.parametrize("three", [False, True])
def test_chunks_that_are_links_out_of_the_store_are_not_read(three, tmp_path):
    path, codes = hierarchy(tmp_path, three)
    with ZarrStore(path) as store:
        facts = store.numbers("0")
        assert np.array_equal(ChunkReader(path, store.array(facts), facts).read((), 3, 2, 20, 9), codes[3:23, 2:11])
    chunk = path / "0" / ("c/1/0" if three else "1.0")
    secret = tmp_path / "secret"
    chunk.rename(secret)
    chunk.symlink_to(secret)
    with ZarrStore(path) as store:
        facts = store.numbers("0")
        reader = ChunkReader(path, store.array(facts), facts)
        assert np.array_equal(reader.read((), 0, 0, 16, 24), codes[:16])
        with pytest.raises(FormatError, match="is a link out of the store"):
            reader.read((), 10, 0, 16, 24)
        with pytest.raises(FormatError, match="is a link out of the store"):
            store.rehearse(facts)


def test_a_pipe_among_the_chunks_is_refused_and_not_waited_for(tmp_path):
    path, _ = hierarchy(tmp_path, False)
    (path / "0" / "1.0").unlink()
    os.mkfifo(path / "0" / "1.0")
    with ZarrStore(path) as store:
        facts = store.numbers("0")
        with pytest.raises(FormatError, match="is a device or pipe"):
            store.rehearse(facts)


def test_a_pipe_among_the_metadata_is_refused_and_not_waited_for(tmp_path):
    zarr = pytest.importorskip("zarr")
    path, _ = hierarchy(tmp_path, False)
    (path / "0" / ".zattrs").unlink()
    os.mkfifo(path / "0" / ".zattrs")
    with ZarrStore(path) as store, pytest.raises(ValueError, match="is a device or pipe"):
        zarr.open_array(store.library, path="0", mode="r", zarr_format=2)


def test_metadata_that_are_links_out_of_the_store_are_refused(tmp_path):
    path, _ = hierarchy(tmp_path, True)
    (path / "0" / "zarr.json").rename(tmp_path / "elsewhere.json")
    (path / "0" / "zarr.json").symlink_to(tmp_path / "elsewhere.json")
    with ZarrStore(path) as store, pytest.raises(FormatError, match="link out of the store"):
        store.facts("0")
