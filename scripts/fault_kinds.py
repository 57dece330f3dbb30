"""What machines do to runs: one function a kind, and how often each is drawn."""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fault_runs import Trial

Kind = Callable[[Trial], None]


def kill(trial: Trial) -> None:
    """Kill the process at a random moment."""
    run = trial.start()
    trial.moment()
    run.stop(signal.SIGKILL)
    trial.judge(run, killed=True)


def interrupt(trial: Trial) -> None:
    """Ctrl-C at a random moment."""
    run = trial.start()
    trial.moment()
    run.stop(signal.SIGINT)
    if trial.judge(run) not in (0, 130):
        trial.wrong.append(f"Ctrl-C ended with {run.code}: {run.said[-400:]}")


def full(trial: Trial) -> None:
    """No file can grow beyond a random size: what every library meets whose disk is full."""
    size = int(2 ** trial.draw.uniform(0, 16))

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    trial.judge(trial.start(before=limit))


def full_store(trial: Trial) -> None:
    """The disk is full at a random write of the store, and takes a part of what is written first."""
    left = trial.draw.randrange(400)

    def limit() -> None:
        count = [left]

        def failing(write: Callable[..., int]) -> Callable[..., int]:
            def act(file: int, data: Any, *place: int) -> int:  # noqa: ANN401
                count[0] -= 1
                if count[0] == 0:
                    return write(file, memoryview(data)[: len(data) // 2], *place)
                if count[0] < 0 and file > 2:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                return write(file, data, *place)

            return act

        os.write, os.pwrite = failing(os.write), failing(os.pwrite)

    trial.judge(trial.start(before=limit))


def full_sync(trial: Trial) -> None:
    """The disk breaks where data are forced to it, or where a file is renamed."""
    name = trial.draw.choice(["fsync", "fdatasync", "replace", "ftruncate", "mkdir"])
    left, number = trial.draw.randrange(6), trial.draw.choice([errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT])

    def limit() -> None:
        count, call = [left], getattr(os, name)

        def act(*words: Any, **more: Any) -> Any:  # noqa: ANN401
            count[0] -= 1
            if count[0] < 0:
                raise OSError(number, os.strerror(number))
            return call(*words, **more)

        setattr(os, name, act)

    trial.judge(trial.start(before=limit))


def read_only(trial: Trial) -> None:
    """The folder may not be written any more, from a random moment on."""
    early = trial.draw.random() < 0.3
    if early:
        trial.out.mkdir(mode=0o555)
    run = trial.start(before=without_privileges)
    try:
        if not early:
            trial.moment()
            if trial.out.exists():
                trial.out.chmod(0o555)
        trial.judge(run)
    finally:
        if trial.out.exists():
            trial.out.chmod(0o755)


def without_privileges() -> None:
    """Give up what lets root write where nobody may."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    sets = (ctypes.c_uint32 * 6)()
    if os.geteuid() == 0 and libc.capset(header, sets):
        raise OSError(ctypes.get_errno(), "cannot give up capabilities")


def memory(trial: Trial) -> None:
    """Little memory: so many bytes more than the process has when it begins."""
    more = int(2 ** trial.draw.uniform(16, 28))

    def limit() -> None:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        size = pages * resource.getpagesize() + more
        resource.setrlimit(resource.RLIMIT_AS, (size, size))

    run = trial.start(before=limit)
    if trial.judge(run) not in (0, None) and "memory" not in run.said:
        trial.wrong.append(f"does not speak of memory: {run.said[-400:]}")


def twice(trial: Trial) -> None:
    """A second run of the same command while the first one goes on."""
    first = trial.start()
    trial.moment()
    second = trial.start()
    codes = sorted(str(trial.judge(run)) for run in (first, second))
    if codes != ["0", "1"]:
        trial.wrong.append(f"two runs at once ended with {codes}: {first.said[-300:]} / {second.said[-300:]}")
    told = first.said + second.said
    if "in use by another run" not in told and "exists already" not in told:
        trial.wrong.append(f"nobody was told of the other: {told[-400:]}")
    trial.ended = "right"


def damage(trial: Trial) -> None:
    """What a killed run left is damaged: a bit, the length, a file, the journal, or a planted link."""
    run = trial.start()
    while run.alive() and not ((store := trial.store()) and tiles(store) > trial.draw.randrange(1, 6)):
        time.sleep(0.001)
    run.stop(signal.SIGKILL)
    trial.judge(run, killed=True)
    store = trial.store()
    if store is None:
        return
    files = [path for path in sorted(store.iterdir()) if path.is_file() and path.name != "lock"]
    path = trial.draw.choice(files) if files else store / "mean.raw"
    how = trial.draw.choice(["bit", "short", "gone", "garbage", "link", "zeros"])
    size = path.stat().st_size if path.exists() else 0
    if how == "bit" and size:
        with path.open("r+b") as stream:
            stream.seek(trial.draw.randrange(size))
            byte = stream.read(1)
            stream.seek(-1, os.SEEK_CUR)
            stream.write(bytes([byte[0] ^ (1 << trial.draw.randrange(8))]))
    elif how == "short" and size:
        os.truncate(path, trial.draw.randrange(size))
    elif how == "garbage":
        with path.open("ab" if trial.draw.random() < 0.5 else "wb") as stream:
            stream.write(trial.draw.randbytes(trial.draw.randrange(1, 300)))
    elif how == "zeros":
        path.write_bytes(bytes(size))
    else:
        path.unlink(missing_ok=True)
        if how == "link":
            plant(trial, path)
    trial.ended = "damaged"


def plant(trial: Trial, path: Path) -> None:
    """A link in the store is refused in one line, and what it points to stays as it is."""
    letter = trial.out.with_suffix(".letter")
    letter.write_text("dear")
    path.symlink_to(letter)
    run = trial.start("resume=true")
    if trial.judge(run) != 1 or "is a link or a device" not in run.said:
        trial.wrong.append(f"a planted link: {run.code} {run.said[-300:]}")
    if letter.read_text() != "dear":
        trial.wrong.append("a planted link was followed")
    path.unlink()


def tiles(store: Path) -> int:
    """Finished parts of a store."""
    try:
        return (store / "journal.jsonl").read_bytes().count(b"\n") - 1
    except OSError:
        return 0


def worker(trial: Trial) -> None:
    """A worker of a cluster on this machine is killed."""
    run = trial.start("runtime=dask", "runtime.workers=2", before=os.setsid)
    while run.alive() and not descendants(run.pid, "spawn_main"):
        time.sleep(0.05)
    time.sleep(trial.draw.random() * 10)
    found = descendants(run.pid, "spawn_main")
    if found:
        os.kill(trial.draw.choice(found), signal.SIGKILL)
    trial.judge(run)


def descendants(pid: int, word: str) -> list[int]:
    """Processes below another whose command holds a word."""
    below, found = {pid}, []
    for path in sorted(Path("/proc").glob("[0-9]*"), key=lambda path: int(path.name)):
        try:
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            words = (path / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if parent in below:
            below.add(int(path.name))
            if word in words:
                found.append(int(path.name))
    return found


KINDS: dict[str, tuple[Kind, int]] = {
    "kill": (kill, 5),
    "interrupt": (interrupt, 2),
    "full": (full, 3),
    "full store": (full_store, 3),
    "full sync": (full_sync, 3),
    "read-only": (read_only, 2),
    "memory": (memory, 3),
    "twice": (twice, 2),
    "damage": (damage, 5),
    "worker": (worker, 0),
}
"""What is done to a run, and how often it is drawn; a lost worker takes a cluster, so it comes once in fifty faults."""
RARE, EVERY = "worker", 50
