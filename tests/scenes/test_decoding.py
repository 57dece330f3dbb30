"""Decoders in their child process: what it may not do, and what becomes of a crash, a hang, or memory."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from gensr.errors import FormatError, ordinary
from gensr.scenes import decoder
from gensr.scenes.decoding import Child, DecodingError
from gensr.values.limits import LIMITS, Limit

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="limits of the system that only Linux has")
FUNCTIONS = """
import ctypes, json, os, socket, subprocess, sys, time
import numpy as np

def numbers(count, dtype="<u2", blob=b""):
    print("libraries may print what they like", flush=True)
    return np.arange(count).astype(dtype), {"blob": blob.hex(), "pid": os.getpid()}

def panic():
    class PanicException(BaseException):
        pass
    raise PanicException("index out of\\nrange")

def crash():
    ctypes.string_at(0)

def sleep(seconds):
    time.sleep(seconds)
    return np.zeros(1)

def swell(size):
    return np.ones(size, np.uint8)

def connect():
    socket.socket()

def write(path):
    open(path, "w").write("x")

def append(path):
    os.open(path, os.O_RDWR)

def remove(path):
    os.unlink(path)

def run(path):
    subprocess.run([sys.executable, "-c", f"open({path!r}, 'w')"])

def kill(pid):
    os.kill(pid, 9)

def environment():
    return np.zeros(0), dict(os.environ)

def imported():
    return np.zeros(0), [name for name in sys.modules if name.partition(".")[0] in ("gensr", "torch")]

def lies(shape, dtype):
    class Array(np.ndarray):
        pass
    return np.zeros(3, dtype)
"""


@pytest.fixture
def functions(tmp_path, monkeypatch):
    """A module as the child gets it, by its file."""
    (tmp_path / "functions_of_the_child.py").write_text(FUNCTIONS)
    monkeypatch.syspath_prepend(tmp_path)
    import functions_of_the_child

    yield functions_of_the_child
    del sys.modules["functions_of_the_child"]


@pytest.fixture
def child():
    found = Child()
    yield found
    found.close()


def test_arrays_come_back_as_they_are(child, functions):
    for count, dtype in ((5, "<u2"), (0, "|u1"), (100_000, ">f8"), (7, "<i8"), (3, "|b1")):
        array, rest = child.call(functions.numbers, [count, dtype], 1 << 20, b"\1\2")
        assert array.dtype == np.dtype(dtype)
        assert np.array_equal(array, np.arange(count).astype(dtype))
        assert rest["blob"] == "0102"
    one = child.call(functions.numbers, [1], 2)[1]["pid"]
    assert one == child.call(functions.numbers, [1], 2)[1]["pid"] != os.getpid()


def test_a_panic_is_an_error_and_the_child_goes_on(child, functions):
    before = child.call(functions.numbers, [1], 2)[1]["pid"]
    with pytest.raises(DecodingError, match="PanicException: index out of range") as caught:
        child.call(functions.panic, [], 10)
    assert caught.value.said
    assert child.call(functions.numbers, [1], 2)[1]["pid"] == before


def test_a_crash_is_an_error_and_another_child_goes_on(child, functions):
    before = child.call(functions.numbers, [1], 2)[1]["pid"]
    with pytest.raises(DecodingError, match=r"the decoder crashed \(exit code -\d+\)"):
        child.call(functions.crash, [], 10)
    assert child.call(functions.numbers, [1], 2)[1]["pid"] != before


def test_a_hang_ends(child, functions, monkeypatch):
    child.call(functions.numbers, [1], 2)
    monkeypatch.setitem(LIMITS, "seconds", Limit(1, "seconds"))
    started = time.monotonic()
    with pytest.raises(DecodingError, match=r"took longer than 1 s .*GENSR_LIMIT=4"):
        child.call(functions.sleep, [60], 10)
    assert time.monotonic() - started < 10
    assert child.call(functions.numbers, [2], 4)[0].size == 2


@LINUX
def test_memory_has_a_limit(child, functions, monkeypatch):
    monkeypatch.setitem(LIMITS, "memory", Limit(1 << 30, "bytes"))
    with pytest.raises(DecodingError, match="needs more than 1024 MiB of memory"):
        child.call(functions.swell, [2 << 30], 4 << 30)
    assert child.call(functions.swell, [1 << 20], 1 << 20)[0].size == 1 << 20


def test_more_than_expected_is_not_read(child, functions):
    with pytest.raises(DecodingError, match="decodes to 2000 bytes where at most 1999 are expected"):
        child.call(functions.numbers, [1000], 1999)
    assert child.call(functions.numbers, [2], 4)[0].size == 2


@pytest.mark.parametrize("dtype", ["O", "V8", "U8", "M8[s]", "S3"])
def test_only_arrays_of_numbers_are_believed(child, functions, dtype):
    with pytest.raises(DecodingError):
        child.call(functions.lies, [[3], dtype], 1 << 20)


@LINUX
@pytest.mark.skipif(os.uname().machine not in decoder._REFUSED, reason="no filter of system calls for this processor")
def test_what_the_child_may_not_do(child, functions, tmp_path):
    kept = tmp_path / "kept"
    kept.write_text("as it was")
    for function, arguments in (
        (functions.connect, []),
        (functions.write, [str(tmp_path / "new")]),
        (functions.write, [str(kept)]),
        (functions.append, [str(kept)]),
        (functions.remove, [str(kept)]),
        (functions.run, [str(tmp_path / "new")]),
        (functions.kill, [os.getpid()]),
    ):
        with pytest.raises(DecodingError, match=r"PermissionError: .*not permitted"):
            child.call(function, arguments, 100)
    assert kept.read_text() == "as it was"
    assert not (tmp_path / "new").exists()


def test_the_child_knows_little(child, functions, monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "x")
    found = child.call(functions.environment, [], 0)[1]
    assert "SECRET_TOKEN" not in found
    assert found["OMP_NUM_THREADS"] == "1"
    assert child.call(functions.imported, [], 0)[1] == []


def test_an_interrupt_leaves_no_half_answer(child, functions, monkeypatch):
    first = child.call(functions.numbers, [1], 2)[1]["pid"]

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("gensr.scenes.decoding._shape", interrupted)
        with pytest.raises(KeyboardInterrupt):
            child.call(functions.numbers, [50_000], 1 << 20)
    array, rest = child.call(functions.numbers, [3], 6)
    assert array.tolist() == [0, 1, 2]
    assert rest["pid"] != first


def test_a_fork_has_a_child_of_its_own(child, functions, monkeypatch):
    first = child.call(functions.numbers, [1], 2)[1]["pid"]
    process = child._process
    monkeypatch.setattr(child, "_owner", os.getpid() + 1)  # as a fork sees it
    assert child.call(functions.numbers, [1], 2)[1]["pid"] != first
    assert process.poll() is None  # the other one's child lives
    process.kill()
    process.communicate()


def test_decoders_import_nothing_of_gensr():
    """So that the child starts fast, and a decoder sees no more than its arguments."""
    root = Path(__file__).parents[2]
    files = [*root.glob("domains/*/unpack.py"), root / "domains/medical/frames.py", root / "gensr/scenes/decoder.py"]
    assert len(files) >= 6
    for file in files:
        code = f"import sys; sys.argv=['x']; import runpy; runpy.run_path({str(file)!r}); "
        code += "print([m for m in sys.modules if m.partition('.')[0] in ('gensr', 'torch')])"
        done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[]", file


def test_panics_in_this_process_are_ordinary_errors():
    class PanicError(BaseException):
        pass

    with pytest.raises(FormatError, match=r"a\.dcm: a library gave up \(PanicError: index"), ordinary("a.dcm"):
        raise PanicError("index")
    for kind in (KeyboardInterrupt, SystemExit, GeneratorExit, ValueError):
        with pytest.raises(kind), ordinary("a.dcm"):
            raise kind
