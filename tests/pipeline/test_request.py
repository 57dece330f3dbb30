"""One request, made by every way in: its defaults and limits."""

from pathlib import Path

import pytest

from gensr.errors import UsageError
from gensr.pipeline.request import FACTORS, Request, Runtime


def test_what_is_not_said_is_left_to_the_scene():
    request = Request(source="a.tif")
    assert (request.factor, request.samples, request.seed, request.search, request.device) == (
        4,
        1,
        0,
        "balanced",
        "auto",
    )
    for name in ("domain", "generator", "operator", "noise", "output", "tile", "batch"):
        assert getattr(request, name) is None
    assert (request.overwrite, request.resume, request.options, request.runtime) == (False, False, {}, Runtime())
    assert (request.runtime.name, request.runtime.address, request.runtime.workers) == ("local", "", 0)
    assert FACTORS == "a whole number from 2 to 64, or rows x columns such as 2x4"


@pytest.mark.parametrize(
    "words",
    [{"factor": 2}, {"factor": 64}, {"samples": 0}, {"samples": 99}, {"tile": 1, "batch": 1}, {"noise": 0},
     {"noise": "1%"}, {"resume": True, "output": Path("o")}, {"seed": 3}],
)  # fmt: skip
def test_limits_are_inside(words):
    request = Request(source="a.tif", **words)
    assert {name: getattr(request, name) for name in words} == words


@pytest.mark.parametrize(
    "words",
    [{"factor": 1}, {"factor": 65}, {"factor": 4.0}, {"factor": True}, {"factor": None}, {"samples": -1},
     {"samples": None}, {"tile": 0}, {"batch": 0}, {"tile": 1.5}, {"batch": True}, {"noise": "-1"}, {"noise": "x"},
     {"resume": True}, {"seed": -3}, {"seed": 1.5}],
)  # fmt: skip
def test_what_is_outside_is_refused(words):
    with pytest.raises(UsageError, match=next(iter(words))):
        Request(source="a.tif", **words)


def test_runtimes():
    assert Runtime("dask", workers=0).workers == 0
    assert Runtime("dask", "tcp://a:1").address == "tcp://a:1"
    with pytest.raises(UsageError, match=r"runtime\.workers=3: the cluster at tcp://a:1 has workers of its own"):
        Runtime("dask", "tcp://a:1", 3)
    for impossible in ({"workers": True}, {"workers": 1.0}, {"workers": -1}):
        with pytest.raises(UsageError, match="expected a whole number from 0"):
            Runtime("dask", **impossible)
    with pytest.raises(UsageError, match=r"runtime.workers=2 is for runtime=dask"):
        Runtime(workers=2)
    with pytest.raises(UsageError, match=r"runtime.address=a:1 is for runtime=dask"):
        Runtime(address="a:1")
