"""Many inputs: one that fails never stops the others, and small files are spread whole."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from gensr.errors import FormatError, GensrError, OutputError
from gensr.pipeline import many
from gensr.pipeline.many import SMALL, Outcome, WholeFile, is_small, outcome, spread
from gensr.pipeline.request import Request, Runtime
from gensr.runners.local import LocalRunner


@pytest.fixture
def drained(monkeypatch):
    """Requests that were run; ``error`` is raised instead of running if there is one."""
    seen = SimpleNamespace(requests=[], more=[], error=None)

    def drain(request, listener=None, where=None):
        seen.requests.append(request)
        seen.more.append((listener, where))
        if seen.error is not None:
            raise seen.error
        return SimpleNamespace(files=[Path("a"), Path("b")], report={"seed": request.seed})

    clock = iter(range(10, 1000, 3))
    monkeypatch.setattr(many, "drain", drain)
    monkeypatch.setattr(many, "time", SimpleNamespace(monotonic=lambda: float(next(clock))))
    return seen


def test_what_came_of_a_request(drained):
    request = Request(source="a.tif", seed=5)
    assert outcome(request, print, LocalRunner) == Outcome((Path("a"), Path("b")), {"seed": 5}, 3.0, None)
    assert drained.more == [(print, LocalRunner)]
    drained.error = FormatError("a.tif: strange")
    assert outcome(request) == Outcome((), {}, 3.0, drained.error)


def test_a_whole_file_goes_on_where_a_worker_died(drained):
    request = Request(source="a.tif", output="out", runtime=Runtime("dask", workers=3), seed=2)
    found = WholeFile()((4, request))
    assert found.report == {"seed": 2}
    (asked,) = drained.requests
    assert (asked.runtime, asked.resume, asked.overwrite, asked.seed) == (Runtime(), True, True, 2)


def test_errors_that_may_not_travel_come_back_as_text(drained):
    drained.error = GensrError("a.tif: strange")
    assert WholeFile()((0, Request(source="a.tif", output="o"))).error is drained.error
    drained.error = KeyError("x")
    error = WholeFile()((0, Request(source="a.tif", output="o"))).error
    assert type(error) is GensrError
    assert str(error) == "KeyError: 'x'"


def test_small_is_a_file_of_a_few_megabytes_that_is_written_somewhere(tmp_path):
    path = tmp_path / "a.tif"
    with path.open("wb") as stream:
        stream.truncate(SMALL)
    assert SMALL == 8 * 1024 * 1024
    assert is_small(Request(source=path, output="o"))
    assert not is_small(Request(source=path))
    assert not is_small(Request(source=tmp_path, output="o"))
    assert not is_small(Request(source=tmp_path / "none.tif", output="o"))
    with path.open("ab") as stream:
        stream.write(b"x")
    assert not is_small(Request(source=path, output="o"))


def test_requests_are_spread_with_their_numbers_and_impossible_ones_come_back_first(drained, tmp_path):
    stale = tmp_path / "out" / ".c_x2_generated.work"
    stale.mkdir(parents=True)
    (tmp_path / "out" / "b_x2_generated.tif").touch()
    ask = {"factor": 2, "domain": "microscopy", "output": tmp_path / "out"}
    requests = [Request(source=tmp_path / f"{name}.tif", seed=i, **ask) for i, name in enumerate("abc")]
    requests.append(Request(source="d.tif", factor=2, output=tmp_path))
    requests.append(Request(source="e.tif", factor=2, domain="microscopy"))
    answers = list(spread(requests, LocalRunner()))
    assert [number for number, _ in answers] == [1, 3, 4, 0, 2]
    taken, nameless, nowhere, first, third = (found for _, found in answers)
    assert isinstance(taken.error, OutputError)
    assert (taken.files, taken.report, taken.seconds) == ((), {}, 0.0)
    assert str(nameless.error) == "d.tif: name domain and output of what is spread over a cluster"
    assert str(nowhere.error).startswith("e.tif: name domain and output")
    assert (first.report, third.report) == ({"seed": 0}, {"seed": 2})
    assert not stale.exists()
