"""The folder of a run: private, locked as long as its process lives, never reached through a link."""

import json
import os
import socket
import subprocess
import sys

import pytest

from gensr.errors import OutputError
from gensr.pipeline.folder import LOCK, WorkFolder, open_file, open_private


def test_only_its_owner_may_enter(tmp_path):
    with WorkFolder(tmp_path / "a" / "work") as folder:
        assert folder.path.stat().st_mode & 0o777 == 0o700
        assert (folder.path / LOCK).stat().st_mode & 0o777 == 0o600
    old = tmp_path / "old"
    old.mkdir(mode=0o755)
    (old / "journal.jsonl").touch()
    with WorkFolder(old):
        assert old.stat().st_mode & 0o777 == 0o700


def test_a_folder_with_nothing_in_it_goes_when_it_is_closed(tmp_path):
    folder = WorkFolder(tmp_path / "work")
    folder.close()
    folder.close()
    assert not (tmp_path / "work").exists()
    with WorkFolder(tmp_path / "work") as folder:
        (folder.path / "journal.jsonl").touch()
    assert sorted(p.name for p in (tmp_path / "work").iterdir()) == ["journal.jsonl", LOCK]


def test_two_runs_at_once_fail_and_are_told_who_was_first(tmp_path):
    with WorkFolder(tmp_path / "work") as folder:
        said = json.loads((folder.path / LOCK).read_text())
        assert (said["pid"], said["host"]) == (os.getpid(), socket.gethostname())
        words = rf"work: in use by another run \(process {os.getpid()} on {said['host']}, since {said['since']}\); wait"
        with pytest.raises(OutputError, match=words):
            WorkFolder(tmp_path / "work")
        assert folder.path.is_dir()
    WorkFolder(tmp_path / "work").close()


def test_a_dead_process_holds_nothing(tmp_path):
    code = f"""
import os, signal
from pathlib import Path
from gensr.pipeline.folder import WorkFolder
folder = WorkFolder(Path({str(tmp_path / "work")!r}))
(folder.path / "journal.jsonl").touch()
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    with WorkFolder(tmp_path / "work") as folder:
        assert folder.names() == ["journal.jsonl"]


def test_a_child_that_outlives_its_parent_does_not_hold_the_lock(tmp_path):
    """What a run starts is a program of its own, so it does not inherit open files."""
    with WorkFolder(tmp_path / "work"):
        child = subprocess.Popen(["sleep", "30"])
    try:
        WorkFolder(tmp_path / "work").close()
    finally:
        child.kill()
        child.wait()


def test_removing_takes_the_folder_and_leaves_what_links_point_to(tmp_path):
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "letter").write_text("dear")
    with WorkFolder(tmp_path / "work") as folder:
        (folder.path / "staging").symlink_to(tmp_path / "private")
        (folder.path / "below").mkdir()
        (folder.path / "below" / "file").touch()
        folder.remove()
        assert not folder.path.exists()
    assert (tmp_path / "private" / "letter").read_text() == "dear"


@pytest.mark.parametrize("kind", ["link", "file", "dangling"])
def test_a_planted_folder_is_not_entered(tmp_path, kind):
    place, elsewhere = tmp_path / "work", tmp_path / "elsewhere"
    if kind == "file":
        place.touch()
    else:
        place.symlink_to(elsewhere)
        if kind == "link":
            elsewhere.mkdir()
    with pytest.raises(OutputError, match="work: is no folder of an earlier run but a link or a file; delete it"):
        WorkFolder(place)
    assert not elsewhere.exists() or list(elsewhere.iterdir()) == []


def test_a_folder_of_somebody_else_is_not_entered(tmp_path):
    (tmp_path / "work").mkdir()
    with pytest.raises(OutputError, match=rf"work: belongs to another user \(uid {os.geteuid()}\)"):
        WorkFolder(tmp_path / "work", owner=os.geteuid() + 1)


def entered(path):
    with WorkFolder(path) as folder:
        folder.check()


def plant(place, target, kind):
    if kind == "link":
        place.symlink_to(target)
    elif kind == "hard link":
        os.link(target, place)
    else:
        os.mkfifo(place)


@pytest.mark.parametrize("kind", ["link", "hard link", "pipe"])
@pytest.mark.parametrize("name", ["mean.raw", LOCK])
def test_planted_files_are_refused_and_what_they_point_to_stays(tmp_path, kind, name):
    letter = tmp_path / "letter"
    letter.write_text("dear")
    (tmp_path / "work").mkdir()
    plant(tmp_path / "work" / name, letter, kind)
    with pytest.raises(OutputError, match=f"{name}: is a link or a device, which no run leaves behind"):
        entered(tmp_path / "work")
    opened = open_private(tmp_path / "work")
    with pytest.raises(OutputError, match=f"{name}: is a link or a device"):
        open_file(opened, name, os.O_RDWR | os.O_CREAT)
    os.close(opened)
    assert letter.read_text() == "dear"
