"""Processes and visitors: waiting, cancelling, crashing, and that everything is gone in the end."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from gensr.app import crew
from gensr.app.crew import Crew, Job, Worker
from gensr.app.sessions import ANSWER, MOST, SHOWN, UNTAKEN, Sessions, harmless
from gensr.errors import UsageError

FAKE = """
import json, sys, time, os
def tell(**event): print(json.dumps(event), flush=True)
tell(event="ready")
for line in sys.stdin:
    order = json.loads(line)
    if order.get("do") == "crash": os._exit(3)
    if order.get("do") == "deaf": time.sleep(60)
    if order.get("do") == "slow":
        tell(event="progress", done=1, total=2)
        while not json.loads(sys.stdin.readline()).get("stop"): pass
        tell(event="stopped")
    if order.get("do") == "quick": tell(event="done", who=os.getpid())
"""


@pytest.fixture
def fake(monkeypatch, tmp_path):
    """A worker that computes nothing."""
    script = tmp_path / "fake.py"
    script.write_text(FAKE)
    real = crew.subprocess.Popen

    def started(command, **more):
        return real([command[0], str(script)], **more)

    monkeypatch.setattr(crew.subprocess, "Popen", started)


@pytest.fixture
def hands(fake):
    found = Crew(1)
    yield found
    found.close()


def until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def last(job: Job) -> str:
    assert job.wait(20)
    return str(job.events()[-1]["event"])


def test_a_process_is_kept_for_the_next_order(hands):
    jobs = [hands.take({"do": "quick"}) for _ in range(3)]
    assert [last(job) for job in jobs] == ["done"] * 3
    assert len({job.events()[-1]["who"] for job in jobs}) == 1


def test_the_second_waits_for_the_first(hands):
    first = hands.take({"do": "slow"})
    until(lambda: first.last("progress") is not None)
    second = hands.take({"do": "quick"})
    time.sleep(0.3)
    assert second.waiting
    assert not second.over
    first.stop()
    assert last(first) == "stopped"
    assert last(second) == "done"


def test_who_waits_can_go(hands):
    first = hands.take({"do": "slow"})
    until(lambda: not first.waiting)
    second = hands.take({"do": "quick"})
    second.stop()
    assert last(second) == "stopped"
    assert not first.over


def test_a_crash_costs_one_order(hands):
    crashed = hands.take({"do": "crash"})
    assert last(crashed) == "failed"
    assert "crashed" in crashed.events()[-1]["text"]
    assert last(hands.take({"do": "quick"})) == "done"


def test_who_does_not_listen_is_ended(hands, monkeypatch):
    monkeypatch.setattr(crew, "PATIENCE", 0.3)
    deaf = hands.take({"do": "deaf"})
    until(lambda: not deaf.waiting)
    deaf.stop()
    assert last(deaf) == "stopped"
    assert last(hands.take({"do": "quick"})) == "done"


def test_nothing_runs_on_when_the_crew_is_gone(fake):
    hands = Crew(2)
    slow = hands.take({"do": "slow"})
    until(lambda: slow.last("progress") is not None)
    hands.close()
    assert slow.over


def test_a_worker_that_is_gone_is_no_error(fake):
    worker = Worker()
    worker.end()
    worker.send({"do": "quick"})
    while worker.receive() is not None:
        pass
    assert not worker.alive
    worker.close()


@pytest.fixture
def visitors(hands):
    found = Sessions(hands, 1.0)
    yield found
    found.close()
    assert not found.root.exists()


def dropped(visitors, name="a.tif", text=b"x") -> Path:
    place = visitors.inbox / "0" / name
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(text)
    return place


def test_each_page_has_its_own_folder(visitors):
    one, two = visitors.of("a"), visitors.of("b")
    assert one is visitors.of("a")
    assert one.folder != two.folder
    assert one.folder.stat().st_mode & 0o077 == 0
    assert visitors.by_token(one.token) is one
    assert visitors.by_token("ü") is None
    with pytest.raises(UsageError, match="load it again"):
        visitors.of(None)


def test_only_what_was_answered_is_handed_out(visitors):
    session = visitors.of("a")
    path = session.take(dropped(visitors))
    session.pictures, session.files = ["mean"], {"a_x4.tif": session.folder / ANSWER / "a_x4.tif"}
    assert session.found(SHOWN, "mean.png") == session.folder / SHOWN / "mean.png"
    assert session.found(ANSWER, "a_x4.tif") is not None
    for kind, name in ((SHOWN, "input.png"), ("upload", path.name), (ANSWER, "../upload/a.tif"), (ANSWER, path.name)):
        assert session.found(kind, name) is None


def test_what_a_visitor_left_is_removed(visitors):
    session = visitors.of("a")
    session.take(dropped(visitors))
    session.job = visitors.crew.take({"do": "slow"})
    until(lambda: session.job.last("progress") is not None)
    visitors.end("a")
    assert last(session.job) == "stopped"
    until(lambda: not session.folder.exists())
    assert visitors.by_token(session.token) is None
    visitors.end("nobody")


def test_who_says_nothing_is_forgotten(visitors):
    session, path = visitors.of("a"), dropped(visitors)
    visitors.sweep(time.monotonic() + 59)
    assert session.folder.exists()
    os.utime(path, (time.time() - UNTAKEN - 1,) * 2)
    visitors.sweep(time.monotonic() + 61)
    assert not session.folder.exists()
    assert not path.exists()


def test_a_new_upload_takes_the_place_of_the_old(visitors):
    session = visitors.of("a")
    old = session.take(dropped(visitors, "a.tif"))
    session.files, session.pictures = {"x": old}, ["mean"]
    new = session.take(dropped(visitors, "../b.tif".rpartition("/")[2]))
    assert not old.exists()
    assert new.name == "b.tif"
    assert not session.files
    assert not session.pictures


def test_there_is_a_limit_to_visitors(visitors):
    for k in range(MOST):
        visitors.of(str(k))
    with pytest.raises(UsageError, match="try again later"):
        visitors.of("one more")


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("..", "upload"),
        ("/etc/passwd", "passwd"),
        ("..\\..\\boot.ini", "boot.ini"),
        ("<img src=x onerror=alert(1)>.png", "img_src_x_onerror_alert(1)_.png"),
        ("a\nb\0c.fits", "a_b_c.fits"),
        (".hidden.tif", "hidden.tif"),
        ("x" * 500 + ".ome.tif", "x" * 112 + ".ome.tif"),
        ("Grüße.tif", "Grüße.tif"),
    ],
)
def test_names_are_harmless(name, plain):
    assert harmless(name) == plain
