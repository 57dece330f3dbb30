"""The folder that a run works in: for its owner alone, locked while the run lasts, reached without following a link.

The lock is one of the operating system on an open file, so it ends with the process that holds it, however that ended.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
import socket
import stat
import time
from pathlib import Path
from types import TracebackType

from gensr.errors import OutputError

LOCK = "lock"
"""Name of the file that is locked; it says who holds it."""
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_UNLOCKABLE = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
"""What file systems say that have no locks."""


def open_private(path: Path, owner: int | None = None) -> int:
    """Descriptor of a folder that only its owner may enter.

    Args:
        path: made if missing.
        owner: user that files made here belong to; the user of this process if None.

    Raises:
        OutputError: a link, a file, or a folder of somebody else.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, 0o700)
    try:
        folder = os.open(path, _FOLDER)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENOTDIR):
            raise
        raise OutputError(f"{path}: is no folder of an earlier run but a link or a file; delete it") from error
    found = os.fstat(folder)
    if found.st_uid != (os.geteuid() if owner is None else owner):
        os.close(folder)
        raise OutputError(f"{path}: belongs to another user (uid {found.st_uid}); delete it or choose another output=")
    if found.st_mode & 0o077:
        with contextlib.suppress(PermissionError):  # file systems without permissions refuse to change any
            os.fchmod(folder, 0o700)
    return folder


def open_file(folder: int, name: str, flags: int) -> int:
    """Descriptor of a regular file in an opened folder, with permissions for its owner alone.

    Args:
        folder: see `open_private`.
        name: of the file.
        flags: of `os.open`; links are never followed.

    Raises:
        OutputError: a link, a pipe, or a file with a second name elsewhere.
        FileNotFoundError: no such file, and the flags do not make it.
    """
    try:
        opened = os.open(name, flags | _FILE, 0o600, dir_fd=folder)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENXIO, errno.EISDIR):
            raise
        raise OutputError(_planted(name)) from error
    found = os.fstat(opened)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
        os.close(opened)
        raise OutputError(_planted(name))
    return opened


def _planted(name: str) -> str:
    return f"{name}: is a link or a device, which no run leaves behind; run without resume or delete the hidden folder"


class WorkFolder:
    """A private folder, locked until it is closed.

    Args:
        path: of the folder, made if missing.
        owner: see `open_private`.

    Raises:
        OutputError: another run holds it, or it is not what a run would leave.
    """

    def __init__(self, path: Path, owner: int | None = None) -> None:
        self.path, self.unlocked = path, False
        """``unlocked``: whether the file system has no locks."""
        while True:
            self._folder = open_private(path, owner)
            try:
                self._lock = self._locked()
                break
            except FileNotFoundError:  # the run that held it has just removed it
                os.close(self._folder)
            except BaseException:
                os.close(self._folder)
                raise

    def _locked(self) -> int:
        lock = open_file(self._folder, LOCK, os.O_RDWR | os.O_CREAT)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                held = f"in use by another run{_holder(lock)}"
                raise OutputError(f"{self.path}: {held}; wait for it or end it") from error
            except OSError as error:
                if error.errno not in _UNLOCKABLE:
                    raise
                self.unlocked = True
            if os.stat(LOCK, dir_fd=self._folder, follow_symlinks=False).st_ino != os.fstat(lock).st_ino:
                raise FileNotFoundError
            if os.stat(self.path, follow_symlinks=False).st_ino != os.fstat(self._folder).st_ino:
                raise FileNotFoundError
        except BaseException:
            os.close(lock)
            raise
        os.ftruncate(lock, 0)
        os.pwrite(lock, json.dumps(_me()).encode(), 0)
        return lock

    def check(self) -> None:
        """Refuse what no run leaves behind.

        Raises:
            OutputError: a link, a device, or something of another user lies in the folder.
        """
        owner = os.fstat(self._folder).st_uid
        for name in self.names():
            found = os.stat(name, dir_fd=self._folder, follow_symlinks=False)
            plain = stat.S_ISDIR(found.st_mode) or (stat.S_ISREG(found.st_mode) and found.st_nlink == 1)
            if not plain or found.st_uid != owner:
                raise OutputError(f"{self.path}: {_planted(name)}")

    def names(self) -> list[str]:
        """What lies in the folder, the lock aside."""
        return sorted(name for name in os.listdir(self._folder) if name != LOCK)

    def clear(self) -> None:
        """Remove everything but the lock; links are removed, not followed."""
        for name in self.names():
            found = os.stat(name, dir_fd=self._folder, follow_symlinks=False)
            if stat.S_ISDIR(found.st_mode):
                shutil.rmtree(name, dir_fd=self._folder)
            else:
                os.unlink(name, dir_fd=self._folder)

    def remove(self) -> None:
        """Remove the folder; the lock goes last, so that a run that waits for it finds all or nothing."""
        self.clear()
        os.unlink(LOCK, dir_fd=self._folder)
        with contextlib.suppress(OSError):  # another run has begun in it meanwhile
            os.rmdir(self.path)

    def close(self) -> None:
        """Give up the lock; a folder that holds nothing is removed, closing again does nothing."""
        if self._folder < 0:
            return
        with contextlib.suppress(OSError):  # removed already, or the disk is gone: what is left is for the next run
            if not self.names():
                self.remove()
        os.close(self._lock)
        os.close(self._folder)
        self._folder = self._lock = -1

    def __enter__(self) -> WorkFolder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _me() -> dict[str, str | int]:
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    return {"pid": os.getpid(), "host": socket.gethostname(), "since": since}


def _holder(lock: int) -> str:
    """Who holds a lock, as its file says; nothing where that cannot be read yet."""
    try:
        said = json.loads(os.pread(lock, 1000, 0))
        return f" (process {int(said['pid'])} on {said['host']}, since {said['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return ""
