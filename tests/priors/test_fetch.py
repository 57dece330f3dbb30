"""Weights are fetched once, whole, and only the bytes that were asked for, whatever the server does."""

from __future__ import annotations

import hashlib
import os
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from hostile_server import serving

from gensr.errors import WeightsError
from gensr.priors import fetch, store
from gensr.priors.fetch import fetched, parse_digest
from gensr.values.limits import OPTION

CONTENT = os.urandom(300_000)
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server():
    with serving(CONTENT) as found:
        yield found


def get(server, kind, folder, digest=DIGEST, seconds=5.0, **more):
    return fetched(f"{server.address}/{kind}/net.safetensors", digest, folder, seconds, pause=0.0, **more)


@pytest.mark.parametrize("kind", ["good", "unsaid", "away", "truncates", "busy"])
def test_what_comes_in_the_end_is_whole(server, kind, tmp_path):
    seen = []
    path = get(server, kind, tmp_path, progress=lambda done, total: seen.append((done, total)))
    assert path == tmp_path / DIGEST / "net.safetensors"
    assert path.read_bytes() == CONTENT
    assert sorted(p.name for p in path.parent.iterdir()) == [".lock", "net.safetensors"]
    if kind != "unsaid":
        assert seen[-1] == (len(CONTENT), len(CONTENT))


def test_a_break_is_gone_on_with(server, tmp_path):
    get(server, "truncates", tmp_path)
    third = len(CONTENT) // 3 + 1
    assert [wanted for _, wanted in server.asked] == ["", f"bytes={third}-", f"bytes={2 * third}-"]


def test_what_an_earlier_run_left_is_gone_on_with(server, tmp_path):
    (tmp_path / DIGEST).mkdir()
    (tmp_path / DIGEST / ".part").write_bytes(CONTENT[:1000])
    assert get(server, "good", tmp_path).read_bytes() == CONTENT
    assert server.asked == [("good", "bytes=1000-")]


@pytest.mark.parametrize("kind", ["good", "forgetful", "shifted", "over"])
def test_a_beginning_of_another_file_is_given_up(server, kind, tmp_path):
    (tmp_path / DIGEST).mkdir()
    (tmp_path / DIGEST / ".part").write_bytes(b"\0" * 1000)
    assert get(server, kind, tmp_path).read_bytes() == CONTENT


def test_what_is_there_is_not_fetched_again(server, tmp_path):
    first = get(server, "good", tmp_path)
    asked = len(server.asked)
    assert get(server, "none", tmp_path) == first
    assert get(server, "none", tmp_path, offline=True) == first
    assert len(server.asked) == asked


def test_what_was_spoilt_meanwhile_is_fetched_again(server, tmp_path):
    first = get(server, "good", tmp_path)
    first.write_bytes(CONTENT[:-1] + b"!")
    assert get(server, "good", tmp_path).read_bytes() == CONTENT


def test_offline_means_offline(server, tmp_path):
    with pytest.raises(WeightsError, match="not fetched yet, and offline=true"):
        get(server, "good", tmp_path, offline=True)
    assert server.asked == []


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("wrong", "other bytes than expected"),
        ("short", "other bytes than expected"),
        ("empty", "other bytes than expected"),
        ("long", f"broke off after {len(CONTENT)} of {len(CONTENT) + 5} bytes"),
        ("huge", f"claims {1 << 60} bytes of a weights file"),
        ("circle", "cannot be fetched"),
        ("same", "cannot be fetched"),
        ("file", "cannot be fetched"),
        ("none", "404"),
        ("garbage", "cannot be fetched"),
    ],
)
def test_a_server_that_lies_is_one_line(server, kind, words, tmp_path):
    with pytest.raises(WeightsError, match=words):
        get(server, kind, tmp_path)
    assert not (tmp_path / DIGEST / "net.safetensors").exists()
    assert len(server.asked) < 40


@pytest.mark.parametrize("kind", ["stalls", "drips"])
def test_a_silent_server_is_given_up(server, kind, tmp_path):
    since = time.monotonic()
    with pytest.raises(WeightsError, match="the same command goes on after"):
        get(server, kind, tmp_path, seconds=0.2)
    assert time.monotonic() - since < 20
    assert (tmp_path / DIGEST / ".part").stat().st_size >= 10


def test_a_file_without_end_is_cut(server, tmp_path, monkeypatch):
    monkeypatch.setenv(OPTION, "0.001")
    with pytest.raises(WeightsError, match="which no weights file has"):
        get(server, "endless", tmp_path)
    assert sorted(p.name for p in (tmp_path / DIGEST).iterdir()) == [".lock"]


def test_nobody_there(tmp_path):
    with pytest.raises(WeightsError, match="check the address and the connection"):
        fetched("http://127.0.0.1:9/a.safetensors", DIGEST, tmp_path, 1.0, pause=0.0)


def test_two_at_once(server, tmp_path):
    (tmp_path / DIGEST).mkdir()
    with (
        fetch._alone(tmp_path / DIGEST / ".lock", "x"),
        pytest.raises(WeightsError, match="is being fetched by another command"),
    ):
        get(server, "good", tmp_path)


@pytest.mark.parametrize("address", ["http://a.org/", "http://a.org/..", "http://a.org/%2e%2e%2fx", "http://a.org/.x"])
def test_addresses_that_name_no_file(address, tmp_path):
    with pytest.raises(WeightsError, match="names no file"):
        fetched(address, DIGEST, tmp_path)


def test_digests():
    assert parse_digest(f" SHA256:{DIGEST.upper()} ") == DIGEST
    with pytest.raises(WeightsError, match="expected 64 hexadecimal digits"):
        parse_digest("abc")


@pytest.mark.parametrize("address", ["file:///etc/passwd", "ftp://a.org/x.safetensors", "/etc/passwd", "a.safetensors"])
def test_only_the_web(address):
    with pytest.raises(WeightsError, match="is no address"):
        store.pull(address, DIGEST, 1.0)


def test_a_digest_must_be_given():
    with pytest.raises(WeightsError, match="give sha256="):
        store.pull("https://example.org/x.safetensors", None, 1.0)
