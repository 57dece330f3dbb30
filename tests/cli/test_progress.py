from __future__ import annotations

import io

import pytest

from gensr.cli.progress import Progress


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock():
    return Clock()


def feed(clock, seconds_per_percent, stream, start=0):
    with Progress("a.tif", stream, clock=clock) as progress:
        for percent in range(start, 101):
            progress(percent * 1_000_000, 100_000_000)
            clock.now += seconds_per_percent
    return stream.getvalue().splitlines()


def test_plain_lines_every_ten_percent(clock):
    lines = feed(clock, 2.0, io.StringIO())
    assert lines[0] == "a.tif 10 % 10.0/100.0 Mpx, 0.5 Mpx/s, 3:00 left"
    assert [line.split()[1] for line in lines] == [str(p) for p in range(10, 101, 10)]


def test_plain_lines_every_thirty_seconds_when_slow(clock):
    lines = feed(clock, 15.0, io.StringIO())
    assert len(lines) == 50
    assert all(int(line.split()[1]) % 2 == 0 for line in lines)


def test_quick_work_is_quiet(clock):
    assert feed(clock, 0.001, io.StringIO()) == []


def test_resumed_work_does_not_flatter_the_rate(clock):
    assert feed(clock, 2.0, io.StringIO(), start=50)[0].endswith("0.5 Mpx/s, 1:20 left")


def test_a_terminal_gets_a_bar_with_rate_and_remaining_time():
    stream = Terminal()
    with Progress("a.tif", stream) as progress:
        progress(0, 4_000_000)
        progress(1_000_000, 4_000_000)
    shown = stream.getvalue()
    assert "a.tif   0 %|" in shown
    assert "/4.0 Mpx, " in shown
    assert "Mpx/s" in shown
    assert shown.endswith("\r")


def test_a_total_of_nothing_is_no_error(clock):
    stream = io.StringIO()
    with Progress("a.tif", stream, clock=clock) as progress:
        progress(0, 0)
        clock.now = 60
        progress(0, 0)
    assert "0 %" in stream.getvalue()


@pytest.mark.parametrize(
    ("total", "unit", "said"),
    [
        (256, "px", "25 % 64/256 px, 64 px/s"),
        (999, "px", "24 % 249/999 px, 249 px/s"),
        (4096, "px", "25 % 1.0/4.1 kpx, 1.02 kpx/s"),
        (8 * 10**9, "px", "25 % 2.0/8.0 Gpx, 2 Gpx/s"),
        (50, "files", "24 % 12/50 files, 12 files/s"),
        (5000, "steps", "25 % 1250/5000 steps, 1.25e+03 steps/s"),
    ],
)
def test_sizes_are_shown_in_a_unit_that_suits_them(clock, total, unit, said):
    stream = io.StringIO()
    with Progress("a.tif", stream, unit=unit, clock=clock) as progress:
        progress(0, total)
        clock.now = 1.0
        progress(total // 4, total)
    assert stream.getvalue() == f"a.tif {said}, 0:03 left\n"


def test_a_share_is_shown_with_what_is_said_of_it(clock):
    stream = io.StringIO()
    with Progress("flow", stream, unit="share", clock=clock) as progress:
        progress.tell("found 12 images\x1b[2J")
        progress(0, 1000)
        clock.now = 10.0
        progress(250, 1000)
        progress.status("step 40, loss 0.5, 16 images/s")
        clock.now = 20.0
        progress(500, 1000)
    assert stream.getvalue().splitlines() == [
        "flow: found 12 images\\x1b[2J",
        "flow 25 %, 0:30 left",
        "flow 50 %, step 40, loss 0.5, 16 images/s, 0:20 left",
    ]


def test_a_terminal_is_told_how_it_goes():
    stream = Terminal()
    with Progress("flow", stream, unit="share") as progress:
        progress(0, 1000)
        progress.status("step 40, loss 0.5")
        progress(500, 1000)
        progress.tell("a fact")
    assert "step 40, loss 0.5" in stream.getvalue()
    assert "flow: a fact\n" in stream.getvalue()
    assert "/1000" not in stream.getvalue()
