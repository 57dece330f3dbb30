"""A Dask cluster: the same bytes as here, whatever dies on the way."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import psutil
import pytest
import tifffile

from gensr.errors import GensrError
from gensr.pipeline.api import drain
from gensr.pipeline.events import TileDone, Written
from gensr.pipeline.many import WholeFile, is_small, outcome, spread
from gensr.pipeline.request import Request, Runtime
from gensr.pipeline.settle import settle
from gensr.runners.base import FatalItemError

pytest.importorskip("distributed", reason="Dask is not installed; pip install 'gensr[cluster]'")

from gensr.runners import cluster as module
from gensr.runners.cluster import ClusterRunner

pytestmark = pytest.mark.slow
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}
"""Rounding depends on the number of threads, and workers have one."""
LIMIT = 120
"""Seconds after which a process counts as hanging, on a machine with much other work."""


@pytest.fixture(scope="module")
def cluster():
    with ClusterRunner(workers=2) as where:
        yield where


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def micrograph(path, side=40, seed=0):
    y, x = np.mgrid[:side, :side]
    values = (
        900 + 700 * np.sin(x / 5 + seed) * np.cos(y / 7) + 20 * np.random.default_rng(seed).standard_normal(x.shape)
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, values.clip(0).astype(np.uint16), imagej=True, resolution=(10, 10), metadata={"unit": "um"})
    return path


def asked(source, output, **more):
    fixed = {"domain": "microscopy", "factor": 2, "search": "fast", "noise": "20", "tile": 16, "seed": 3}
    return Request(source, output=output, **{**fixed, **more})


def contents(folder):
    """Bytes of all outputs; of reports what does not tell the time."""
    found = {}
    for path in sorted(folder.iterdir()):
        found[path.name] = path.read_bytes()
        if path.suffix == ".json":
            report = json.loads(path.read_text())
            found[path.name] = {k: v for k, v in report.items() if k not in ("seconds", "megapixels per second")}
            found[path.name].pop("files", None)  # sizes of what holds relative paths
        elif path.name.endswith("_run.yaml"):
            found[path.name] = [line for line in path.read_text().splitlines() if not line.startswith("inputs:")]
    return found


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """A file and its outputs with runtime=local."""
    folder = tmp_path_factory.mktemp("here")
    path = micrograph(folder / "in" / "cells.tif")
    drain(asked(path, folder / "out"))
    return path, contents(folder / "out")


@pytest.fixture(scope="module")
def long_here(tmp_path_factory):
    """The same with so many tiles that a process can be stopped in the middle."""
    folder = tmp_path_factory.mktemp("long")
    path = micrograph(folder / "in" / "cells.tif", 112)
    drain(asked(path, folder / "out"))
    return path, contents(folder / "out")


def worker_pids():
    children = psutil.Process().children(recursive=True)
    return [child.pid for child in children if any("spawn_main" in word for word in child.cmdline())]


def test_items_come_back_once_each(cluster):
    found = dict(cluster.map(eval, [f"{k}**2" for k in range(20)]))
    assert found == {f"{k}**2": k**2 for k in range(20)}
    assert list(cluster.map(abs, [])) == []


def test_an_error_of_the_function_is_raised_as_it_is(cluster):
    with pytest.raises(ZeroDivisionError):
        list(cluster.map(eval, ["1", "1//0", "2"]))


def test_closing_the_iterator_cancels_what_waits(cluster):
    taken = []

    def items():
        for k in range(1000):
            taken.append(k)
            yield "__import__('time').sleep(0.05)"

    found = cluster.map(eval, items())
    next(found)
    found.close()
    assert len(taken) < 20
    assert dict(cluster.map(eval, ["6*7"])) == {"6*7": 42}
    deadline = time.monotonic() + 20
    while cluster._client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks)):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_tiles_give_the_same_bytes(cluster, here, tmp_path):
    path, expected = here
    drain(asked(path, tmp_path / "out"), where=cluster)
    assert contents(tmp_path / "out") == expected


def test_an_array_in_memory_reaches_the_workers(cluster):
    image = np.random.default_rng(1).normal(100, 9, (2, 20, 24)).astype(np.float32)
    request = asked(image, None, noise=9.0)
    one, other = drain(request), drain(request, where=cluster)
    for name in ("mean", "std"):
        assert getattr(one, name).tobytes() == getattr(other, name).tobytes()
    assert one.samples[0].tobytes() == other.samples[0].tobytes()


def test_a_killed_worker_loses_nothing(cluster, here, tmp_path):
    path, expected = here
    killed = []
    with settle(asked(path, tmp_path / "out")) as plan:
        assert len(plan.tiles) == 9
        done = []
        for event in plan.run(cluster):
            if isinstance(event, TileDone):
                done.append(event.index)
                if not killed:
                    killed.append(worker_pids()[0])
                    os.kill(killed[0], signal.SIGKILL)
    assert isinstance(event, Written)
    assert sorted(done) == list(range(9))
    assert killed[0] not in worker_pids()
    assert contents(tmp_path / "out") == expected


def test_cancelling_leaves_what_goes_on(cluster, here, tmp_path):
    path, expected = here
    with settle(asked(path, tmp_path / "out")) as plan:
        run = plan.run(cluster)
        assert sum(isinstance(next(run), TileDone) for _ in range(3)) == 2
        run.close()
    assert [p.name for p in (tmp_path / "out").iterdir()] == [".cells_x2_generated.work"]
    counts = []
    drain(asked(path, tmp_path / "out", resume=True), lambda done, _: counts.append(done), cluster)
    assert 0 < counts[0] < counts[-1] == 80 * 80
    assert contents(tmp_path / "out") == expected


def test_an_item_that_kills_is_blamed_alone_and_last(cluster, monkeypatch):
    monkeypatch.setattr(module, "PULSE_SECONDS", 1.0)
    monkeypatch.setattr(module, "MISSING_SECONDS", 8.0)
    fatal = "__import__('os')._exit(1)"
    found = []

    def run():
        for item, _ in cluster.map(eval, ["0", "1", fatal, "2", "3", "4"]):
            found.append(item)

    with pytest.raises(FatalItemError, match="workers died of the same piece of work, likely out of memory") as caught:
        run()
    assert caught.value.item == fatal
    assert sorted(found) == list("01234")
    assert dict(cluster.map(eval, ["6*7"])) == {"6*7": 42}


def test_many_small_files_are_spread_whole(cluster, tmp_path):
    paths = [micrograph(tmp_path / "in" / f"c{k}.tif", 20, k) for k in range(3)]
    (tmp_path / "in" / "bad.tif").write_bytes(b"II*\0broken")
    for path in paths:
        assert outcome(asked(path, tmp_path / "here")).error is None
    requests = [asked(p, tmp_path / "there") for p in [*paths[:2], tmp_path / "in" / "bad.tif", *paths[2:]]]
    assert all(map(is_small, requests))
    found = dict(spread(requests, cluster))
    assert [k for k in sorted(found) if found[k].error is not None] == [2]
    assert isinstance(found[2].error, GensrError)
    assert contents(tmp_path / "there") == contents(tmp_path / "here")
    assert {p.parent for p in found[0].files} == {tmp_path / "there"}
    assert found[0].report["generator"]["name"] == "engression-field"
    # Rules of outputs that exist, and of a run that was begun.
    again = dict(spread(requests[:1], cluster))
    assert "exists already; give overwrite=true" in str(again[0].error)
    assert dict(spread([replace(requests[0], overwrite=True)], cluster))[0].error is None
    (tmp_path / "there" / ".c1_x2_generated.work").mkdir()
    assert not is_small(replace(requests[1], resume=True))


def test_large_results_are_left_to_tiles(cluster, here, tmp_path, monkeypatch):
    monkeypatch.setattr("gensr.pipeline.many.CARRIED", 10)
    assert WholeFile()((0, asked(here[0], tmp_path / "out"))).large
    assert not (tmp_path / "out").exists()


def test_errors_that_do_not_travel_come_as_text(tmp_path, monkeypatch):
    class OddError(Exception):
        def __init__(self):
            super().__init__("strange")

    def fail(request):
        raise OddError

    monkeypatch.setattr("gensr.pipeline.many.settle", fail)
    found = WholeFile()((0, asked(tmp_path / "a.tif", tmp_path)))
    assert str(found.error) == "OddError: strange"
    assert isinstance(found.error, GensrError)


def test_slabs_of_a_volume_give_the_same_bytes(cluster, tmp_path):
    import nibabel as nib

    z, y, x = np.mgrid[-1:1:6j, -1:1:20j, -1:1:20j]
    values = 500 + 400 * np.tanh(3 * np.sin(5 * np.sqrt(x**2 + y**2 + z**2)))
    nib.save(nib.Nifti1Image(np.rint(values.T).astype(np.int16), np.diag([2.0, 2, 4, 1])), tmp_path / "v.nii")
    for word, where in (("here", None), ("there", cluster)):
        drain(asked(tmp_path / "v.nii", tmp_path / word, domain="medical", noise=0, tile=None, samples=0), where=where)
    assert contents(tmp_path / "there") == contents(tmp_path / "here")


def test_nothing_at_the_address(monkeypatch):
    monkeypatch.setattr(module, "CONNECT_SECONDS", 1.0)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(GensrError, match=rf"runtime\.address={address}: no Dask scheduler answers \(.*start one"):
            ClusterRunner(address)


@contextlib.contextmanager
def scheduler(folder, workers):
    """Address of a scheduler with workers, its process and theirs, all started by command line as users do."""
    file = folder / "scheduler.json"
    dask = [sys.executable, "-m", "dask"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": ONE_THREAD, "cwd": folder}
    words = ["scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file)]
    processes = [subprocess.Popen([*dask, *words], **quiet)]
    try:
        words = ["worker", "--scheduler-file", str(file), "--nthreads", "1", "--no-nanny", "--no-dashboard"]
        processes += [subprocess.Popen([*dask, *words], **quiet) for _ in range(workers)]
        deadline = time.monotonic() + LIMIT
        address = ""
        while not address:
            assert time.monotonic() < deadline
            assert processes[0].poll() is None
            time.sleep(0.1)
            with contextlib.suppress(OSError, ValueError, KeyError):
                address = json.loads(file.read_text())["address"]
        yield address, processes
    finally:
        for process in processes:
            process.kill()
            process.wait()


def test_a_scheduler_without_workers_is_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "ALONE_SECONDS", 0.5)
    monkeypatch.setattr(module, "PULSE_SECONDS", 0.2)
    with scheduler(tmp_path, 0) as (address, _), ClusterRunner(address) as where:
        with pytest.raises(GensrError, match=r"the scheduler has had no worker for .*start one with 'dask worker"):
            list(where.map(abs, [1]))
        assert where.lost


def command(path, out, *words):
    keys = ["factor=2", "search=fast", "noise=20", "tile=16", "seed=3", f"output={out}", *words]
    return [sys.executable, "-m", "gensr", "upsample", str(path), *keys]


def started(process, journal, lines):
    """Wait until a journal has some lines."""
    deadline = time.monotonic() + LIMIT
    while not journal.exists() or journal.read_text().count("\n") < lines:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_killed_scheduler_ends_the_run_with_one_line(long_here, tmp_path):
    path, expected = long_here
    out = tmp_path / "out"
    with scheduler(tmp_path, 1) as (address, processes):
        words = command(path, out, "runtime=dask", f"runtime.address={address}")
        run = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ONE_THREAD)
        started(run, out / ".cells_x2_generated.work" / "journal.jsonl", 2)
        processes[0].kill()
        _, told = run.communicate(timeout=LIMIT)
    assert run.returncode == 1
    (line,) = (line for line in told.splitlines() if "Mpx" not in line)
    assert line.startswith(f"gensr: {path}: runtime.address={address}: the scheduler is gone")
    assert line.endswith("run the same command with resume=true")
    assert [p.name for p in out.iterdir()] == [".cells_x2_generated.work"]
    counts = []
    drain(asked(path, out, resume=True), lambda done, _: counts.append(done))
    assert counts[0] > 0
    assert contents(out) == expected


def test_an_interrupt_ends_everything_with_one_line(long_here, tmp_path):
    """As a terminal sends it: to the command and to the workers that it started."""
    (path, _), out = long_here, tmp_path / "out"
    words = command(path, out, "runtime=dask", "runtime.workers=1")
    run = subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ONE_THREAD,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a job in the background ignores it
    )
    started(run, out / ".cells_x2_generated.work" / "journal.jsonl", 2)
    os.killpg(run.pid, signal.SIGINT)
    said, told = run.communicate(timeout=LIMIT)
    assert run.returncode == 130
    assert re.fullmatch(r"0 done, 0 failed, [\d.]+ s\n", said)
    lines = [line for line in told.splitlines() if "Mpx" not in line]
    assert len(lines) == 1
    assert re.fullmatch(
        r"gensr: interrupted; what is finished .* run the same command with resume=true to go on", lines[0]
    )
    deadline = time.monotonic() + LIMIT
    while left_over(run.pid):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def left_over(group):
    """Whether processes of a group are there."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, 0)
        return True
    return False


def test_the_runtime_of_a_request_starts_a_cluster(here, tmp_path):
    path, expected = here
    drain(asked(path, tmp_path / "out", runtime=Runtime("dask", workers=1)))
    assert contents(tmp_path / "out") == expected
