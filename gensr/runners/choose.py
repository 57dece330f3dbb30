"""From the words of a request to a runner."""

from __future__ import annotations

from gensr.runners.base import Runner
from gensr.runners.local import LocalRunner


def runner(name: str, address: str = "", workers: int = 0) -> Runner:
    """A runner by name.

    Args:
        name: "local" or "dask".
        address: of a Dask scheduler; "" starts a cluster on this machine.
        workers: processes of a cluster that is started; 0 is one per processor.

    Raises:
        PluginError: Dask is not installed.
        GensrError: nothing answers at the address.
    """
    if name == "local":
        return LocalRunner()
    from gensr.runners.cluster import ClusterRunner

    return ClusterRunner(address, workers)
