"""What belongs to one visitor: a private folder with their upload and its answer, gone when they are.

A session ends when its page is closed, after some time without a sign of life, and with the server.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from gensr.app.crew import Crew, Job
from gensr.errors import UsageError

MOST = 64
"""Sessions at once."""
UPLOADED, ANSWER, SHOWN = "upload", "answer", "shown"
"""Folders of a session."""
UNTAKEN = 60.0
"""Seconds after which what was uploaded and not taken by a session is removed."""
SILENT = 120.0
"""Seconds without a sign of life after which what a session computes is cancelled."""
_LONGEST_NAME = 120


@dataclass
class Session:
    """One visitor.

    Attributes:
        token: nobody else knows it; names the folder in addresses of results.
        folder: private.
        path: what was uploaded.
        domain: of the upload.
        size: rows and columns of the upload.
        job: the newest order.
        pictures: by name; see `gensr.app.pictures`.
        files: outputs by name.
        boxes: number, x, y, width and height of every face that was found in it, pixels.
        used: last sign of life, seconds of `time.monotonic`.
    """

    token: str
    folder: Path
    path: Path | None = None
    domain: str = ""
    size: tuple[int, int] = (0, 0)
    job: Job | None = None
    pictures: list[str] = field(default_factory=list)
    files: dict[str, Path] = field(default_factory=dict)
    answers: list[str] = field(default_factory=list)
    boxes: list[tuple[float, ...]] = field(default_factory=list)
    version: int = 0
    used: float = field(default_factory=time.monotonic)

    @property
    def busy(self) -> bool:
        """Whether something is computed for it."""
        return self.job is not None and not self.job.over

    def cancel(self) -> None:
        """Stop what is computed."""
        if self.job is not None:
            self.job.stop()

    def forget(self) -> None:
        """Forget what was answered; a new answer or upload takes its place."""
        self.files, self.answers, self.pictures = {}, [], []
        self.version += 1

    def take(self, uploaded: Path) -> Path:
        """Copy an upload into the session, under a harmless name; the one before is removed.

        Args:
            uploaded: where the server put it.
        """
        place = self.folder / UPLOADED
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        target = place / harmless(uploaded.name)
        shutil.copyfile(uploaded, target)
        self.forget()
        self.path, self.domain, self.boxes = target, "", []
        return target

    def found(self, kind: str, name: str) -> Path | None:
        """A file that may be handed out: a picture that is shown, or an output; None for anything else."""
        if kind == SHOWN and name.removesuffix(".png") in self.pictures:
            return self.folder / SHOWN / name
        return self.files.get(name) if kind == ANSWER else None


def harmless(name: str) -> str:
    """A file name that nothing can mistake for a path, a switch, or a hidden file; its ending stays.

    >>> harmless("../../x y.tif"), harmless("-rf.png"), harmless("a.nii.gz")
    ('x_y.tif', 'rf.png', 'a.nii.gz')
    """
    last = name.replace("\\", "/").rpartition("/")[2]
    plain = re.sub(r"[^\w.()+-]", "_", last).lstrip(".-_") or "upload"
    stem, dot, ending = plain.partition(".")
    return (stem[: max(_LONGEST_NAME - len(ending) - 1, 20)] + dot + ending)[-_LONGEST_NAME:]


class Sessions:
    """All visitors.

    Args:
        crew: carries out their orders.
        minutes: without a sign of life after which a session ends.
    """

    def __init__(self, crew: Crew, minutes: float) -> None:
        self.crew, self._seconds = crew, 60 * minutes
        self.root = Path(tempfile.mkdtemp(prefix="gensr-serve-"))
        self.inbox = self.root / "inbox"
        self.inbox.mkdir()
        self._lock = threading.Lock()
        self._found: dict[str, Session] = {}
        self._end = threading.Event()
        threading.Thread(target=self._sweep, daemon=True).start()

    def of(self, visitor: str | None) -> Session:
        """The session of a visitor, begun if there is none.

        Args:
            visitor: what tells one open page from another.

        Raises:
            UsageError: no name, or too many visitors.
        """
        if not visitor:
            raise UsageError("the page has no session; load it again")
        key = hashlib.sha256(visitor.encode(errors="replace")).hexdigest()
        with self._lock:
            session = self._found.get(key)
            if session is None:
                if len(self._found) >= MOST:
                    raise UsageError(f"{MOST} visitors are here already; try again later")
                token = secrets.token_urlsafe(24)
                folder = self.root / token
                folder.mkdir(mode=0o700)
                session = self._found[key] = Session(token, folder)
            session.used = time.monotonic()
            return session

    def by_token(self, token: str) -> Session | None:
        """The session that a result belongs to."""
        with self._lock:
            wanted = token.encode(errors="replace")
            return next((s for s in self._found.values() if secrets.compare_digest(s.token.encode(), wanted)), None)

    def end(self, visitor: str | None) -> None:
        """End a session: what it computes is cancelled, its folder removed."""
        key = hashlib.sha256((visitor or "").encode(errors="replace")).hexdigest()
        with self._lock:
            session = self._found.pop(key, None)
        if session is not None:
            self._remove(session)

    def close(self) -> None:
        """End all sessions and remove everything."""
        self._end.set()
        with self._lock:
            every, self._found = list(self._found.values()), {}
        for session in every:
            session.cancel()
        self.crew.close()
        shutil.rmtree(self.root, ignore_errors=True)

    def _remove(self, session: Session) -> None:
        """Remove a folder once nobody writes into it."""
        session.cancel()
        shutil.rmtree(session.folder, ignore_errors=True)
        if session.job is not None and not session.job.over:
            job = session.job

            def later() -> None:
                job.wait()
                shutil.rmtree(session.folder, ignore_errors=True)

            threading.Thread(target=later, daemon=True).start()

    def _sweep(self) -> None:
        while not self._end.wait(5):
            self.sweep(time.monotonic())

    def sweep(self, now: float) -> None:
        """End what is over: silent sessions, and uploads that no session took.

        Args:
            now: seconds of `time.monotonic`.
        """
        with self._lock:
            silent = {key: s for key, s in self._found.items() if now - s.used > self._seconds}
            idle = [s for s in self._found.values() if s.busy and now - s.used > SILENT]
            for key in silent:
                del self._found[key]
        for session in idle:
            session.cancel()
        for session in silent.values():
            self._remove(session)
        for path in self.inbox.rglob("*"):
            try:
                if path.is_file() and time.time() - path.stat().st_mtime > UNTAKEN:
                    os.unlink(path)
            except FileNotFoundError:  # somebody else removed it
                continue
