"""A Dask cluster: an address that is given, or processes on this machine. No scheduler of our own.

Dask runs an item again where a worker died, so nothing is lost with it. If the scheduler dies the run ends with one
line; what was finished is in the store, and ``resume=true`` goes on from there.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from gensr.errors import GensrError, PluginError
from gensr.runners.base import Item, Result, Runner

if TYPE_CHECKING:
    from distributed import Client, Future

AHEAD = 2
"""Items that wait for each thread of the cluster, so that no worker is idle while a result travels."""
CONNECT_SECONDS = 20
RETRIES = 5
"""How often an item is run again because its worker died, before it is blamed for that."""


class ClusterRunner(Runner):
    """Runs items on the workers of a Dask scheduler.

    Args:
        address: of a scheduler; "" starts one with workers on this machine.
        workers: processes to start; 0 is one per processor.

    Raises:
        PluginError: Dask is not installed.
        GensrError: nothing answers at the address.
    """

    remote = True

    def __init__(self, address: str = "", workers: int = 0) -> None:
        try:
            import dask
            from distributed import Client, LocalCluster
        except ModuleNotFoundError as error:
            raise PluginError(f"runtime=dask needs the package {error.name!r}; pip install 'gensr[cluster]'") from error
        self._cluster: LocalCluster | None = None
        self._where = address or "the cluster on this machine"
        dask.config.set({"distributed.scheduler.allowed-failures": RETRIES})
        try:
            if not address:
                count = workers or os.cpu_count() or 1
                # One thread a worker: torch has threads of its own, and a lock inside a library would serialise others.
                self._cluster = LocalCluster(
                    n_workers=count, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
                )
            self._client: Client = Client(
                self._cluster or address, timeout=CONNECT_SECONDS, set_as_default=False, direct_to_workers=False
            )
        except (OSError, TimeoutError, ValueError) as error:
            self.close()
            raise GensrError(
                f"runtime.address={address}: no Dask scheduler answers ({type(error).__name__}: {error}); start one "
                "with 'dask scheduler' and 'dask worker', or leave the address out"
            ) from error

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[tuple[Item, Result]]:
        """See `Runner.map`."""
        from concurrent.futures import CancelledError

        from distributed import as_completed
        from distributed.comm import CommClosedError
        from distributed.scheduler import KilledWorker

        waiting = iter(items)
        running: dict[Future, Item] = {}

        def submit(item: Item) -> Future:
            future = self._client.submit(function, item, pure=False)
            running[future] = item
            return future

        try:
            queue = as_completed([submit(item) for item in islice(waiting, self._places())])
            for future in queue:
                result = future.result()
                item = running.pop(future)
                future.release()
                for after in islice(waiting, 1):
                    queue.add(submit(after))
                yield item, result
        except KilledWorker as error:
            raise GensrError(
                f"{self._where}: {RETRIES} workers died of the same tile, likely out of memory; give a smaller tile= "
                "or batch=, or workers with more memory"
            ) from error
        except (CancelledError, CommClosedError, TimeoutError) as error:
            raise GensrError(
                f"{self._where}: the scheduler is gone ({type(error).__name__}); finished tiles are kept, run the same "
                "command with resume=true"
            ) from error
        finally:
            if running:
                self._cancel(list(running))

    def _places(self) -> int:
        workers: dict[str, Any] = self._client.scheduler_info(n_workers=-1)["workers"]
        return AHEAD * max(1, sum(int(worker["nthreads"]) for worker in workers.values()))

    def _cancel(self, futures: list[Future]) -> None:
        try:
            self._client.cancel(futures, force=True)
        except Exception as error:  # the scheduler may be what died; the error that ends the run says so
            del error

    def close(self) -> None:
        """See `Runner.close`; a cluster that was started ends, one that was given goes on."""
        client = getattr(self, "_client", None)
        if client is not None:
            client.close(timeout=5)
        if self._cluster is not None:
            self._cluster.close(timeout=10)
