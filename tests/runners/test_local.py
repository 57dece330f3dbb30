"""Runners without a cluster: order, laziness, what travels to other processes and how little it is."""

import pickle
import sys
from importlib.metadata import version

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine

from gensr.errors import FormatError, GensrError, PluginError, UsageError
from gensr.pipeline.reconstruct import TileWork
from gensr.pipeline.request import Request, Runtime
from gensr.pipeline.settle import settle
from gensr.pipeline.task import load_prior
from gensr.runners.choose import runner
from gensr.runners.local import LocalRunner
from gensr.runners.travel import Parcel


def test_items_come_back_in_order_and_are_taken_one_by_one():
    taken = []

    def items():
        for k in range(4):
            taken.append(k)
            yield k

    found = LocalRunner().map(lambda k: k**2, items())
    assert next(found) == (0, 0)
    assert taken == [0]
    assert list(found) == [(1, 1), (2, 4), (3, 9)]


def test_an_error_of_the_function_ends_the_run():
    with runner("local") as here, pytest.raises(ZeroDivisionError):
        list(here.map(lambda k: 1 // k, [1, 0]))
    assert not here.remote


def test_a_call_is_its_result_once_unpickled():
    parcel = Parcel.of(abs)
    assert pickle.loads(parcel.call(-3)) == 3
    assert Parcel.of(abs).run != parcel.run
    assert pickle.loads(pickle.dumps(parcel)).open() is parcel.open()


def test_another_version_on_a_worker_is_refused():
    packed = Parcel("run", "0.0.1", pickle.dumps(abs))
    with pytest.raises(GensrError, match=rf"a worker has gensr {version('gensr')}, the run began with 0\.0\.1"):
        pickle.loads(packed.call(1))


def test_a_missing_dask_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(PluginError, match=r"runtime=dask needs the package .*; pip install 'gensr\[cluster\]'"):
        runner("dask")


@pytest.mark.parametrize("address", ["nonsense", "http://host:80", "tcp://host", "host:port"])
def test_what_is_no_address_is_refused(address):
    with pytest.raises(UsageError, match=f"runtime.address={address}: expected that of a Dask scheduler, such as"):
        Runtime("dask", address)


@pytest.mark.parametrize("address", ["tcp://10.0.0.7:8786", "tls://a-b.c:1", "host_1:8786", "tcp://[::1]:8786"])
def test_addresses_are_taken(address):
    assert Runtime("dask", address).address == address
    with pytest.raises(UsageError, match=r"runtime\.workers=2: the cluster at .* has workers of its own"):
        Runtime("dask", address, 2)


@pytest.fixture
def settled(tmp_path):
    path = tmp_path / "in.tif"
    profile = {"driver": "GTiff", "width": 48, "height": 40, "count": 4, "dtype": "uint16", "crs": "EPSG:32633"}
    with rasterio.open(path, "w", transform=Affine(10, 0, 5e5, 0, -10, 5e6), **profile) as target:
        target.write(np.random.default_rng(0).integers(500, 4000, (4, 40, 48)).astype(np.uint16))
    with settle(Request(path, factor=2, search="fast", samples=0, noise=9, runtime=Runtime("dask"))) as plan:
        yield plan


def test_a_tile_travels_as_a_few_bytes(settled):
    work = TileWork(settled.scene, settled.task)
    assert len(pickle.dumps(work)) < 2048
    assert len(Parcel.of(work).call(settled.tiles[:1])) < 4096


def test_a_process_opens_scene_and_prior_once_and_finds_the_same(settled):
    work = TileWork(settled.scene, settled.task)
    one, other = (pickle.loads(pickle.dumps(work)) for _ in range(2))
    assert one.scene is other.scene is not settled.scene
    assert one.task.generator is other.task.generator
    (here,), (there,) = work(settled.tiles[:1]), one(settled.tiles[:1])
    assert here.mean.tobytes() == there.mean.tobytes()
    assert here.std.tobytes() == there.std.tobytes()


def test_an_input_that_a_worker_does_not_see_is_named(settled, tmp_path):
    packed = pickle.dumps(TileWork(settled.scene, settled.task))
    (tmp_path / "in.tif").rename(tmp_path / "moved.tif")
    with pytest.raises(FormatError, match=r"in\.tif: cannot be opened again .* every worker needs the inputs under"):
        pickle.loads(packed)


def test_the_device_is_chosen_where_tiles_run(settled):
    prior = settled.task.prior
    assert (prior.device, prior.elsewhere) == ("cpu", "auto")
    _, (_, word, *_) = prior.__reduce__()
    assert word == "auto"
    asked = Request(settled.scene.path, factor=2, noise=9, device="cuda:7", runtime=Runtime("dask"))
    with settle(asked) as plan, pytest.raises(UsageError, match="device=cuda:7: not usable here"):
        load_prior(*plan.task.prior.__reduce__()[1])
