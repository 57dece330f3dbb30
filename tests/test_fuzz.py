"""A share of ``make fuzz`` with a fixed seed, what it found once, and that it sees what it must."""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
import fuzz
import fuzz_mutate
import fuzz_seeds
from fuzz_folders import SUFFIX, pack, unpack

from gensr.scenes import decoding
from gensr.values.limits import limit

ROOT = Path(__file__).parents[1]
FILES = 180
KEPT = sorted(p for p in (ROOT / "tests" / "fuzz").iterdir() if p.suffix != ".json")


@pytest.fixture(scope="module")
def seeds(tmp_path_factory) -> list[Path]:
    return [p for p in fuzz_seeds.make(tmp_path_factory.mktemp("seeds")) if p.suffix != ".wld"]


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("GENSR_HOME", str(tmp_path / "home"))


def test_spoilt_files_end_in_one_clear_line(tmp_path):
    for number, name, finding in fuzz.cases(tmp_path, seed=2026, first=0, answer=0.05):
        assert finding is None, f"{name}: {finding}"
        if number >= FILES:
            return


@pytest.mark.parametrize("path", KEPT, ids=lambda p: p.name)
def test_what_was_found_once_stays_mended(path, tmp_path, monkeypatch):
    monkeypatch.setattr(decoding, "limit", lambda name: 3 if name == "seconds" else limit(name))
    copy = tmp_path / path.name.split("-", 2)[-1]
    copy.write_bytes(path.read_bytes())
    copy = unpack(copy) if copy.name.endswith(SUFFIX) else copy
    assert fuzz.judge(copy, tmp_path, answer=True) is None


def test_good_files_are_answered_or_refused_by_name(seeds, tmp_path):
    """A fuzzer whose seeds are refused finds nothing."""
    refused = []
    for path in seeds:
        if path.suffix in (".safetensors", ".onnx", ".pt2") or path.name == "script.pt":
            continue  # our weights lack their large tensors; programs are refused, and never run
        try:
            fuzz.attempt(unpack(path) if path.suffix == SUFFIX else path, tmp_path, answer=False)
        except Exception as error:
            refused.append((path.name, str(error)))
    assert len(refused) <= 3, refused


def test_cases_depend_on_seed_and_number_alone(seeds):
    first = [fuzz.case(seeds, 5, n)[:2] for n in range(40)]
    assert first == [fuzz.case(seeds, 5, n)[:2] for n in range(40)]
    assert first != [fuzz.case(seeds, 6, n)[:2] for n in range(40)]
    assert len({name for name, _ in first}) > 10


def test_folders_are_packed_and_laid_down_again(seeds, tmp_path):
    for path in (p for p in seeds if p.suffix == SUFFIX):
        copy = tmp_path / path.name
        copy.write_bytes(path.read_bytes())
        folder = unpack(copy)
        assert pack(folder) == path.read_bytes()
        assert len(list(folder.rglob("*"))) > 2


def test_spoilt_folders_hold_links_and_pipes_and_lie_where_they_should(seeds, tmp_path):
    (path,) = (p for p in seeds if p.name == "series.folder")
    raw, rng, seen = path.read_bytes(), random.Random(2), set()
    for number in range(300):
        place = tmp_path / str(number) / path.name
        place.parent.mkdir()
        more = fuzz_mutate.mutate(rng, path.name, fuzz_mutate.mutate(rng, path.name, raw))  # spoilt again, links too
        place.write_bytes(fuzz_mutate.mutate(rng, path.name, more))
        inside = list(unpack(place).rglob("*"))
        seen |= {("link", p.is_symlink()) for p in inside} | {("pipe", p.is_fifo()) for p in inside}
        assert {p.name for p in place.parent.iterdir()} == {"series", "series.folder"}
    assert seen == {(kind, whether) for kind in ("link", "pipe") for whether in (True, False)}


def test_every_format_is_mutated_by_its_structure(seeds):
    """The mutations change every seed, mostly leave its beginning alone, and are of many kinds."""
    for path in seeds:
        raw, rng = path.read_bytes(), random.Random(1)
        spoilt = [fuzz_mutate.mutate(rng, path.name, raw) for _ in range(40)]
        assert sum(s != raw for s in spoilt) >= 30, path.name
        assert len(set(spoilt)) >= 20, path.name


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (ValueError("x"), "bug"),
        (type("PanicException", (BaseException,), {})("x"), "bug"),
        (SystemExit(3), "bug"),
        (MemoryError("two\nlines"), "lines"),
        (fuzz.GensrError("a.tif: damaged"), None),
        (MemoryError(), None),
    ],
)
def test_what_counts_as_a_finding(monkeypatch, tmp_path, raised, kind):
    def attempt(*_: object) -> None:
        raise raised

    monkeypatch.setattr(fuzz, "attempt", attempt)
    found = fuzz.judge(tmp_path / "a.tif", tmp_path, answer=False)
    assert (found and found[0]) == kind


def test_a_hang_and_memory_are_findings(monkeypatch, tmp_path):
    def hang(*_: object) -> None:
        while True:
            try:
                sum(range(1000))
            except Exception:
                continue

    monkeypatch.setattr(fuzz, "SECONDS", 0.2)
    monkeypatch.setattr(fuzz, "attempt", hang)
    assert fuzz.judge(tmp_path / "a.tif", tmp_path, answer=False)[0] == "hang"
    monkeypatch.setattr(fuzz, "attempt", lambda *_: bytes(64 << 20))
    monkeypatch.setattr(fuzz, "BYTES", fuzz._peak() or 1 << 62)
    if fuzz._peak():
        monkeypatch.setattr(fuzz, "BYTES", 1 << 20)
        assert fuzz.judge(tmp_path / "a.tif", tmp_path, answer=False)[0] == "memory"


def test_findings_are_kept_once(tmp_path):
    own = f'File "{ROOT}/gensr/a.py", line 1, in f\nFile "{ROOT}/domains/b.py", line 2, in g\n'
    text, other = "unexpected ValueError: 1", "unexpected ValueError: 2"
    key = fuzz.key_of("bug", text, own + 'File "/usr/x.py", line 3, in h')
    assert key == fuzz.key_of("bug", other, own + 'File "/usr/y.py", line 4, in h')
    assert key != fuzz.key_of("bug", text, own.replace("in g", "in k"))
    finding = fuzz.Finding(key, "bug", "text", "a.tif", 0, 1)
    assert fuzz.keep(finding, b"one", tmp_path)
    assert not fuzz.keep(finding, b"two", tmp_path)
    assert (tmp_path / f"{key}-a.tif").read_bytes() == b"one"
    assert json.loads((tmp_path / f"{key}-a.tif.json").read_text())["number"] == 1
