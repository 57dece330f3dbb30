"""Processes that carry out orders, a few at once: whoever comes later waits for a place.

A process that crashes, or does not stop when it is told to, costs its own order and nobody else's.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from typing import IO, Any

PATIENCE = 30.0
"""Seconds that a process may take to stop before it is ended."""
_LONGEST = 1 << 24
"""Bytes of a line."""
ENDS = ("seen", "found", "done", "stopped", "failed")
"""Events after which an order is over."""


class Worker:
    """One process of `gensr.app.worker`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        command = [sys.executable, "-P", "-m", "gensr.app.worker"]
        self._ended = False
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input: IO[bytes] = self._process.stdin
        self._output: IO[bytes] = self._process.stdout

    @property
    def alive(self) -> bool:
        """Whether it can take an order."""
        return not self._ended and self._process.poll() is None

    def send(self, order: Mapping[str, Any]) -> None:
        """Hand over a line; one that has ended is noticed by `receive`."""
        with self._lock:
            try:
                self._input.write(json.dumps(order).encode() + b"\n")
                self._input.flush()
            except (OSError, ValueError):
                self.end()

    def receive(self) -> dict[str, Any] | None:
        """The next event; None once the process is gone."""
        line = self._output.readline(_LONGEST)
        if not line.endswith(b"\n"):
            self.end()
            return None
        found = json.loads(line)
        return found if isinstance(found, dict) else None

    def end(self) -> None:
        """End the process at once."""
        self._ended = True  # it may take the system a moment to agree
        self._process.kill()

    def close(self) -> None:
        """End the process and wait for it."""
        self.end()
        self._process.wait()
        for pipe in (self._input, self._output):
            try:
                pipe.close()
            except OSError:  # what was not sent is lost with the process
                continue


class Job:
    """One order on its way: a thread of this process listens, the page looks at `events` whenever it likes.

    Attributes:
        order: what is to be done.
        started: when it was ordered, seconds of `time.monotonic`.
    """

    def __init__(self, order: Mapping[str, Any]) -> None:
        self.order, self.started = order, time.monotonic()
        self._events: list[dict[str, Any]] = []
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._stop = threading.Event()
        self._worker: Worker | None = None

    @property
    def over(self) -> bool:
        """Whether nothing more will happen."""
        return self._over.is_set()

    @property
    def waiting(self) -> bool:
        """Whether it has no place yet."""
        with self._lock:
            return self._worker is None and not self.over

    @property
    def stopping(self) -> bool:
        """Whether it was cancelled."""
        return self._stop.is_set()

    def events(self) -> list[dict[str, Any]]:
        """What happened so far."""
        with self._lock:
            return list(self._events)

    def last(self, name: str) -> dict[str, Any] | None:
        """The newest event of a kind."""
        return next((e for e in reversed(self.events()) if e.get("event") == name), None)

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for the end; whether it came."""
        return self._over.wait(seconds)

    def stop(self) -> None:
        """Cancel: between two tiles, or by ending the process if that takes too long."""
        if self._stop.is_set():
            return
        self._stop.set()
        with self._lock:
            worker = self._worker
        if worker is not None:
            worker.send({"stop": True})
            timer = threading.Timer(PATIENCE, self._insist, (worker,))
            timer.daemon = True
            timer.start()

    def _insist(self, worker: Worker) -> None:
        if not self.over:
            worker.end()

    def run(self, worker: Worker) -> None:
        """Give the order to a process and listen until it is over."""
        with self._lock:
            self._worker = worker
        worker.send(self.order)
        if self.stopping:
            worker.send({"stop": True})
        while (event := worker.receive()) is not None:
            if event.get("event") != "ready":
                self.put(event)
            if event.get("event") in ENDS:
                return
        text = "cancelled" if self.stopping else "the process that answered it crashed; the server goes on without it"
        self.put({"event": "stopped" if self.stopping else "failed", "text": text})

    def put(self, event: dict[str, Any]) -> None:
        """Note an event."""
        with self._lock:
            self._events.append(event)

    def finish(self) -> None:
        """Nothing more will happen."""
        self._over.set()


class Crew:
    """So many processes at most, started when they are first needed and kept warm.

    Args:
        size: orders that are carried out at once.
    """

    def __init__(self, size: int) -> None:
        self._places = threading.Semaphore(size)
        self._lock = threading.Lock()
        self._idle: list[Worker] = []
        self._jobs: set[Job] = set()
        self._closed = False

    def take(self, order: Mapping[str, Any]) -> Job:
        """Accept an order; it is carried out as soon as there is a place."""
        job = Job(order)
        with self._lock:
            self._jobs.add(job)
        threading.Thread(target=self._carry, args=(job,), daemon=True).start()
        return job

    def warm(self) -> None:
        """Start a process, so that the first order need not wait for it."""
        with self._lock:
            self._idle.append(Worker())

    def close(self) -> None:
        """Cancel everything and end every process."""
        with self._lock:
            self._closed = True
            jobs, idle = list(self._jobs), self._idle
            self._idle = []
        for job in jobs:
            job.stop()
        for worker in idle:
            worker.close()
        for job in jobs:
            job.wait(2 * PATIENCE)

    def _carry(self, job: Job) -> None:
        try:
            while not self._places.acquire(timeout=0.2):
                if job.stopping:
                    job.put({"event": "stopped"})
                    return
            try:
                self._with_place(job)
            finally:
                self._places.release()
        finally:
            with self._lock:
                self._jobs.discard(job)
            job.finish()

    def _with_place(self, job: Job) -> None:
        if job.stopping:
            job.put({"event": "stopped"})
            return
        try:
            worker = self._worker()
        except OSError as error:
            job.put({"event": "failed", "text": f"no process could be started ({error.strerror}); try again later"})
            return
        job.run(worker)
        with self._lock:
            kept = worker.alive and not self._closed
            if kept:
                self._idle.append(worker)
        if not kept:
            worker.close()

    def _worker(self) -> Worker:
        with self._lock:
            while self._idle:
                worker = self._idle.pop()
                if worker.alive:
                    return worker
                worker.close()
        return Worker()
