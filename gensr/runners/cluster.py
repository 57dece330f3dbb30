"""A Dask cluster: an address that is given, or processes on this machine. No scheduler of our own.

Dask runs an item again where a worker died, so nothing is lost with it. If the scheduler dies the run ends with one
line; what was finished is in the store, and ``resume=true`` goes on from there.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import pickle
import time
import uuid
from collections.abc import Callable, Generator, Iterable, Iterator
from itertools import islice
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from gensr.errors import GensrError, PluginError
from gensr.runners.base import FatalItemError, Item, Result, Runner
from gensr.runners.travel import Parcel

if TYPE_CHECKING:
    from distributed import Client, Future, LocalCluster

AHEAD = 2
"""Items under way for each thread of the cluster, so that no worker is idle while a result travels."""
CONNECT_SECONDS = 10.0
"""How long a scheduler may take to answer."""
PULSE_SECONDS = 5.0
"""How often a run that hears nothing asks whether the scheduler and its workers are still there."""
ALONE_SECONDS = 60.0
"""How long a scheduler may be without any worker: a worker that is started again is back long before."""
MISSING_SECONDS = 20.0
"""After how long a worker of our own that is not back is replaced: Dask gives up on one that dies while it starts."""
DEATHS = 1
"""How many workers may die under an item before it is a suspect, on a cluster that is started here."""
SETTINGS = {
    "distributed.scheduler.allowed-failures": DEATHS,
    # Slabs of a volume travel inside the call, where they outlive a worker; a warning would come with each.
    "distributed.admin.large-graph-warning-threshold": "1TB",
}


class ClusterRunner(Runner):
    """Runs items on the workers of a Dask scheduler.

    Args:
        address: of a scheduler; "" starts one with workers on this machine.
        workers: processes to start; 0 is one per processor.

    Raises:
        PluginError: Dask is not installed.
        GensrError: nothing answers at the address, or no worker could be started.
    """

    remote = True

    def __init__(self, address: str = "", workers: int = 0) -> None:
        try:
            import dask
            from distributed import Client, LocalCluster
        except ModuleNotFoundError as error:
            raise PluginError(f"runtime=dask needs the package {error.name!r}; pip install 'gensr[cluster]'") from error
        if not address and getattr(multiprocessing.current_process(), "_inheriting", False):
            raise GensrError(
                "runtime=dask starts processes that import your script again; put what it does under "
                "if __name__ == '__main__':"
            )
        self._cluster: LocalCluster | None = None
        self._client: Client | None = None
        self._where = f"runtime.address={address}" if address else "runtime=dask"
        self._asked = 0 if address else workers or os.cpu_count() or 1
        self._alone_since: float | None = None
        self._missing_since: float | None = None
        self._close = contextlib.ExitStack()
        self._close.enter_context(_quiet())
        self._close.enter_context(dask.config.set(SETTINGS))
        try:
            if not address:
                # One thread a worker, because torch and the readers of files have threads or locks of their own; no
                # limit of memory, because Dask would let a worker wait for ever that is near its share of the machine.
                self._cluster = LocalCluster(
                    n_workers=self._asked,
                    threads_per_worker=1,
                    processes=True,
                    memory_limit=0,
                    dashboard_address="127.0.0.1:0",
                    silence_logs=logging.CRITICAL,
                    preload=["gensr.runners.interrupt"],
                    env={"PYTHONWARNINGS": "ignore"},  # the driver opens every input too, and says what is odd about it
                )
            self._client = Client(self._cluster or address, timeout=CONNECT_SECONDS, set_as_default=False)
        except (OSError, RuntimeError, TimeoutError, TypeError, ValueError) as error:
            self.close()
            said = f"{type(error).__name__}: {error}"
            if not address:
                raise GensrError(
                    f"{self._where}: no workers could be started here ({said}); see what they say above, or use "
                    "runtime=local"
                ) from error
            raise GensrError(
                f"{self._where}: no Dask scheduler answers ({said}); start one with 'dask scheduler' and 'dask worker "
                "ADDRESS', or leave the address out"
            ) from error
        except BaseException:
            self.close()
            raise

    def map(
        self, function: Callable[[Item], Result], items: Iterable[Item]
    ) -> Generator[tuple[Item, Result], None, None]:
        """See `Runner.map`."""
        parcel, waiting = Parcel.of(function), iter(items)
        running: dict[Any, tuple[Future[Any], Item]] = {}
        finished: SimpleQueue[Future[Any]] = SimpleQueue()
        # A worker takes with it all that waits there, so who died with it again and again is run once more, alone.
        suspects: list[Item] = []
        blamed: FatalItemError | None = None
        alone = False
        places, counted = self._places(), time.monotonic()
        try:
            while True:
                if time.monotonic() - counted > PULSE_SECONDS:
                    places, counted = self._places(), time.monotonic()
                chosen = list(islice(waiting, max(0, places - len(running))))
                if not chosen and not running and suspects:
                    chosen, alone = [suspects.pop()], True
                for item in chosen:
                    future = self._submit(parcel, item)
                    running[future.key] = future, item
                    future.add_done_callback(finished.put)
                if not running:
                    break
                try:
                    future = finished.get(timeout=PULSE_SECONDS)
                except Empty:
                    continue
                _, item = running.pop(future.key)
                try:
                    result = self._result(future)
                except FatalItemError as error:
                    if alone:
                        blamed = blamed or FatalItemError(str(error), item)
                    else:
                        suspects.append(item)
                    continue
                finally:
                    future.release()
                yield item, result
        finally:
            for future, _ in running.values():
                future.release()
        if blamed is not None:
            raise blamed

    def _submit(self, parcel: Parcel, item: object) -> Future[Any]:
        client = self._client
        if client is None or client.status != "running":
            raise self._gone(None)
        # The scheduler unpickles calls. As bytes they pass through it, so it needs neither gensr nor the input.
        return client.submit(pickle.loads, parcel.call(item), key=f"gensr-{uuid.uuid4().hex}", pure=False)

    def _result(self, future: Future[Any]) -> Any:  # noqa: ANN401
        from concurrent.futures import CancelledError

        from distributed.scheduler import KilledWorker

        if future.status == "cancelled":
            raise self._gone(None)
        error = future.exception() if future.status == "error" else None
        if isinstance(error, KilledWorker):
            raise FatalItemError(
                f"{self._where}: {error.allowed_failures + 1} workers died of the same piece of work, likely out of "
                "memory; give a smaller tile= or batch=, or workers with more memory"
            ) from error
        if isinstance(error, ModuleNotFoundError):
            raise PluginError(
                f"{self._where}: a worker has no package {error.name!r}; install the same packages everywhere"
            ) from error
        if error is not None:
            raise error
        try:
            return future.result()
        except (CancelledError, OSError, TimeoutError) as lost:
            raise self._gone(lost) from lost

    def _places(self) -> int:
        """How many items may be under way; asks the scheduler, which must answer in time and have a worker."""
        client = self._client
        if client is None or client.status != "running":
            raise self._gone(None)
        scheduler: Any = client.scheduler
        try:
            threads: dict[str, int] = client.sync(scheduler.ncores, callback_timeout=CONNECT_SECONDS)
        except (OSError, TimeoutError, AttributeError) as error:  # AttributeError: it has closed in the meantime
            raise self._gone(error) from error
        self._replace(self._asked - len(threads))
        if threads:
            self._alone_since = None
        elif self._alone_since is None:
            self._alone_since = time.monotonic()
        elif time.monotonic() - self._alone_since > ALONE_SECONDS:
            self.lost = True
            raise GensrError(
                f"{self._where}: the scheduler has had no worker for {ALONE_SECONDS:.0f} s; start one with 'dask "
                "worker ADDRESS' and run the same command with resume=true"
            )
        return AHEAD * max(1, sum(threads.values()))

    def _replace(self, missing: int) -> None:
        """Start workers of our own for those that have been missing for long."""
        now = time.monotonic()
        if missing <= 0 or self._cluster is None:
            self._missing_since = None
        elif self._missing_since is None:
            self._missing_since = now
        elif now - self._missing_since > MISSING_SECONDS:
            self._cluster.scale(len(self._cluster.worker_spec) + missing)
            self._missing_since = None

    def _gone(self, error: BaseException | None) -> GensrError:
        self.lost = True
        why = f" ({type(error).__name__})" if error is not None else ""
        return GensrError(
            f"{self._where}: the scheduler is gone{why}; what is finished is kept, run the same command with "
            "resume=true"
        )

    def close(self) -> None:
        """See `Runner.close`; a cluster that was started ends, one that was given goes on."""
        # A scheduler that is gone cannot say goodbye; the error that ended the run tells of it.
        if self._client is not None:
            with contextlib.suppress(OSError, TimeoutError):
                self._client.close(timeout=5)
            self._client = None
        if self._cluster is not None:
            with contextlib.suppress(OSError, TimeoutError):
                self._cluster.close(timeout=10)
            self._cluster = None
        self._close.close()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the log lines of Dask off standard error: what matters in them, the errors of this runner say."""
    handlers = [h for h in logging.getLogger("distributed").handlers if isinstance(h, logging.StreamHandler)]
    levels = [handler.level for handler in handlers]
    for handler in handlers:
        handler.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for handler, level in zip(handlers, levels, strict=True):
            handler.setLevel(level)
