"""One input whose codec panics, crashes or hangs never takes the others along."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import RLELossless

sys.path.insert(0, str(Path(__file__).parent))
import hostile

from gensr.errors import FormatError
from gensr.pipeline.many import WholeFile, outcome
from gensr.pipeline.request import Request
from gensr.values.limits import LIMITS, Limit

pytest.importorskip("rle")


@pytest.fixture
def panicking(tmp_path) -> Path:
    """A frame in RLE whose segment offsets run backwards: the codec in Rust panics."""
    path = hostile.dicom(tmp_path / "panic.dcm", hostile.ramp("uint16"))
    data = pydicom.dcmread(path)
    data.compress(RLELossless)
    data.save_as(path)
    raw = bytearray(path.read_bytes())
    at = raw.index(b"\xfe\xff\x00\xe0", raw.index(b"\xfe\xff\x00\xe0") + 4) + 8
    raw[at + 4 : at + 12] = (2000).to_bytes(4, "little") + (64).to_bytes(4, "little")
    path.write_bytes(raw)
    return path


def test_a_panic_is_one_line(panicking, tmp_path):
    found = outcome(Request(panicking, factor=2, domain="medical", search="fast", samples=0))
    assert isinstance(found.error, FormatError)
    assert "panic.dcm: frame 1 in RLE Lossless cannot be decoded" in str(found.error)
    assert "\n" not in str(found.error)


def test_the_others_are_answered(run, panicking, tmp_path):
    hostile.dicom(tmp_path / "good.dcm", np.tile(hostile.ramp("uint16"), (4, 4)))
    words = ["factor=2", "search=fast", "samples=0", "domain=medical", f"output={tmp_path}/out"]
    found = run("upsample", panicking, tmp_path / "good.dcm", *words)
    assert found.code == 1
    assert "1 done, 1 failed" in found.out
    assert "bug" not in found.err
    assert "Traceback" not in found.err


@pytest.mark.parametrize("kind", ["PanicException", "exit"])
def test_an_exception_that_is_none(monkeypatch, kind):
    class PanicException(BaseException):
        pass

    def drain(*_: object) -> None:
        raise PanicException("index out of range") if kind == "PanicException" else SystemExit(3)

    monkeypatch.setattr("gensr.pipeline.many.drain", drain)
    monkeypatch.setattr("gensr.pipeline.many._deliver", drain)
    request = Request("a.dcm", domain="medical")
    if kind == "exit":
        with pytest.raises(SystemExit):
            outcome(request)
        return
    assert "a.dcm: a library gave up (PanicException: index out of range)" in str(outcome(request).error)
    assert "a.dcm: a library gave up" in str(WholeFile()((0, request)).error)


def test_a_codec_that_hangs_is_one_line(panicking, tmp_path, monkeypatch):
    (tmp_path / "slow_codec.py").write_text("import time\ndef frame(*_):\n    time.sleep(60)\n")
    monkeypatch.syspath_prepend(tmp_path)
    import slow_codec

    monkeypatch.setattr("gensr.domains.medical.dicom_pixels.frame", slow_codec.frame)
    monkeypatch.setitem(LIMITS, "seconds", Limit(1, "seconds"))
    found = outcome(Request(panicking, factor=2, domain="medical", search="fast", samples=0))
    assert "cannot be decoded (decoding took longer than 1 s" in str(found.error)
