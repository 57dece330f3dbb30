"""Loaded by workers that are started here: Ctrl-C reaches them too, but only who started them answers it."""

from __future__ import annotations

import signal


def dask_setup(worker: object) -> None:
    """Leave interrupts to the process that started this one; Dask calls this when a worker starts."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
