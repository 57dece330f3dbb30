"""Many inputs: one that fails never stops the others, and small files are spread whole."""

import contextlib
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest

from gensr.errors import FormatError, GensrError, OutputError, WeightsError
from gensr.pipeline import many
from gensr.pipeline.events import Written
from gensr.pipeline.many import CARRIED, SMALL, Outcome, WholeFile, is_small, outcome, spread
from gensr.pipeline.request import Request, Runtime
from gensr.runners.base import FatalItemError
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


@pytest.fixture
def settled(monkeypatch):
    """Runs that write ``a.txt`` and a folder; ``error`` is raised instead, ``disk`` is what they would need."""
    seen = SimpleNamespace(requests=[], error=None, disk=1000, digest="here")

    class Plan(contextlib.AbstractContextManager):
        def __init__(self, request):
            seen.requests.append(request)
            self.stem = Path(request.source).stem
            self.folder, self.expected = Path(request.output), SimpleNamespace(disk=seen.disk)

        def __exit__(self, *error):
            return None

        def run(self):
            yield "an event"
            if seen.error is not None:
                raise seen.error
            warnings.warn("a remark", UserWarning, stacklevel=1)
            (self.folder / "a.txt").write_text("mean")
            series = self.folder / f"series_{self.stem}"
            series.mkdir()
            (series / "1.dcm").write_bytes(b"slice")
            report = {"generator": {"name": "white", "sha256": seen.digest}}
            yield Written(SimpleNamespace(report=report), (self.folder / "a.txt", series))

    monkeypatch.setattr(many, "settle", Plan)
    monkeypatch.setattr(many, "Plan", Plan)
    monkeypatch.setattr(many.weights, "load", lambda name: (name, SimpleNamespace(digest="here")))
    return seen


def asking(folder, name="a", **words):
    path = folder / f"{name}.tif"
    path.touch()
    return Request(source=path, factor=2, domain="microscopy", output=folder / "out", **words)


def test_a_whole_file_is_handed_back_and_nothing_is_written_where_it_ran(settled, tmp_path):
    request = asking(tmp_path, runtime=Runtime("dask", workers=3), seed=2, resume=True)
    found = WholeFile()((4, request))
    assert found.content == {"a.txt": b"mean", "series_a/1.dcm": b"slice"}
    assert (found.top, found.error, found.large) == (("a.txt", "series_a"), None, False)
    assert found.notes == ("a remark",)
    (asked,) = settled.requests
    assert (asked.runtime, asked.resume, asked.overwrite, asked.seed) == (Runtime(), False, False, 2)
    assert asked.output != request.output
    assert not (tmp_path / "out").exists()
    assert not asked.output.exists()


def test_errors_that_may_not_travel_come_back_as_text(settled, tmp_path):
    settled.error = GensrError("a.tif: strange")
    error = WholeFile()((0, asking(tmp_path))).error
    assert type(error) is GensrError
    assert str(error) == "a.tif: strange"

    class LocalError(Exception):
        pass

    settled.error = LocalError("x")
    error = WholeFile()((0, asking(tmp_path))).error
    assert type(error) is GensrError
    assert str(error) == "LocalError: x"


def test_small_is_a_file_of_a_few_megabytes_that_is_written_somewhere(tmp_path):
    path = tmp_path / "a.tif"
    with path.open("wb") as stream:
        stream.truncate(SMALL)
    ask = {"source": path, "domain": "microscopy", "factor": 2}
    assert SMALL == 8 * 1024 * 1024
    assert is_small(Request(**ask, output=tmp_path))
    assert not is_small(Request(**ask))
    assert not is_small(Request(**{**ask, "domain": None}, output=tmp_path))
    assert not is_small(Request(**{**ask, "source": tmp_path}, output=tmp_path))
    assert not is_small(Request(**{**ask, "source": tmp_path / "none.tif"}, output=tmp_path))
    (tmp_path / ".a_x2_generated.work").mkdir()  # an earlier run began it, tile by tile
    assert not is_small(Request(**ask, output=tmp_path, resume=True))
    assert is_small(Request(**ask, output=tmp_path))
    with path.open("ab") as stream:
        stream.write(b"x")
    assert not is_small(Request(**ask, output=tmp_path))


def test_files_are_spread_with_their_numbers_and_impossible_ones_come_back_first(settled, tmp_path):
    requests = [asking(tmp_path, name) for name in "abc"]
    out = tmp_path / "out"
    stale = out / ".c_x2_generated.work"
    stale.mkdir(parents=True)
    (out / "b_x2_generated.tif").touch()
    answers = list(spread(requests, LocalRunner()))
    assert [number for number, _ in answers] == [1, 0, 2]
    taken, first, third = (found for _, found in answers)
    assert isinstance(taken.error, OutputError)
    assert (taken.files, taken.report, taken.seconds) == ((), {}, 0.0)
    assert first.error is None
    assert (first.files, first.notes) == ((out / "a.txt", out / "series_a"), ("a remark",))
    assert third.report["generator"]["name"] == "white"
    assert (out / "a.txt").read_text() == "mean"
    assert (out / "series_a" / "1.dcm").read_bytes() == b"slice"
    assert sorted(path.name for path in out.iterdir()) == ["a.txt", "b_x2_generated.tif", "series_a", "series_c"]


def test_paths_say_the_same_in_the_folder_of_a_worker(settled, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.tif").touch()
    request = Request(source="a.tif", factor=2, domain="microscopy", output="out", operator="psf:k.npy")
    ((_, found),) = spread([request], LocalRunner())
    assert found.error is None
    (asked,) = settled.requests
    assert asked.source == str(tmp_path / "a.tif")
    assert asked.operator == f"psf:file={tmp_path / 'k.npy'}"


def test_large_results_are_left_to_tiles(settled, tmp_path):
    settled.disk = CARRIED + 1
    assert list(spread([asking(tmp_path)], LocalRunner())) == [(0, None)]
    settled.disk = CARRIED
    ((_, found),) = spread([asking(tmp_path)], LocalRunner())
    assert found.error is None


def test_other_weights_on_a_worker_are_refused(settled, tmp_path):
    settled.digest = "elsewhere"
    ((_, found),) = spread([asking(tmp_path)], LocalRunner())
    assert isinstance(found.error, WeightsError)
    assert "a worker has other weights of white (digest elsewhere, here here)" in str(found.error)
    assert not (tmp_path / "out" / "a.txt").exists()


def test_an_item_that_kills_its_worker_is_blamed_and_the_rest_goes_on(settled, tmp_path):
    class Fragile(LocalRunner):
        def map(self, work, items):
            for item in items:
                if item[0] == 1:
                    raise FatalItemError("it ended its worker", item)
                yield item, work(item)

    requests = [asking(tmp_path, name, overwrite=True) for name in "abc"]
    answers = dict(spread(requests, Fragile()))
    assert isinstance(answers[1].error, FatalItemError)
    assert answers[0].error is None
    assert answers[2].error is None
    assert len(settled.requests) == 2
