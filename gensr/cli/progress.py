"""Progress of one input: a bar where a terminal looks, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, NoReturn, TextIO

from gensr.errors import one_line

if TYPE_CHECKING:
    from tqdm import tqdm

PIXELS = ((1e9, "Gpx"), (1e6, "Mpx"), (1e3, "kpx"), (1.0, "px"))
"""Units of pixels: the first of which there is one is shown."""
LONGEST = 40
"""Characters of a label that are shown."""
EVERY_PERCENT, EVERY_SECONDS, CALM_SECONDS = 10, 30.0, 1.0
_COUNTS = "{{desc}} {{percentage:3.0f}} %|{{bar}}| {{n:.{0}f}}/{{total:.{0}f}} {{unit}}"
_SHARE = "{desc} {percentage:3.0f} %|{bar}| {remaining} left{postfix}"
_SPEED = ", {rate_noinv_fmt}, {remaining} left"


class Progress:
    """Shows ``(done, total)``; use it as a context and call it.

    Args:
        label: name of the input, before the bar.
        stream: where it is shown; a bar if it is a terminal, else a line every 10 % or 30 s, at most one a second.
        unit: "px" if output pixels are counted (thousands and more are shown as kpx, Mpx, Gpx), "steps", "files", or
            "share" where the counts say nothing and `status` does.
        clock: seconds, for tests.
    """

    def __init__(
        self, label: str, stream: TextIO, unit: str = "px", clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._unit, self._scale, self._digits = unit, 1.0, 0
        self._label = label if len(label) <= LONGEST else f"{label[: LONGEST - 3]}..."
        self._stream, self._clock = stream, clock
        self._bar: tqdm[NoReturn] | None = None
        self._status = ""
        self._start: tuple[float, int] | None = None
        self._shown, self._step = 0.0, 0

    def __call__(self, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` are finished; the first call may start above 0."""
        if self._unit == "px" and total >= PIXELS[-2][0]:
            self._scale, self._unit = next((scale, name) for scale, name in PIXELS if total >= scale)
            self._digits = 1
        if self._stream.isatty():
            self._draw(done, total)
        else:
            self._line(done, total)

    def tell(self, text: str) -> None:
        """Show a line above the progress."""
        if self._bar is not None:
            self._bar.clear()
        self._stream.write(f"{self._label}: {one_line(text)}\n")
        self._stream.flush()

    def status(self, text: str) -> None:
        """Show how it goes beside the progress from now on."""
        self._status = one_line(text)
        if self._bar is not None:
            self._bar.set_postfix_str(self._status)

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def _draw(self, done: int, total: int) -> None:
        if self._bar is None:
            from tqdm import tqdm

            tqdm.monitor_interval = 0  # no watching thread for a bar that is fed often
            self._bar = tqdm(
                desc=self._label,
                total=total / self._scale,
                initial=done / self._scale,
                unit=self._unit,
                bar_format=_SHARE if self._unit == "share" else _COUNTS.format(self._digits) + _SPEED,
                file=self._stream,
                leave=False,
                dynamic_ncols=True,
                mininterval=0.2,
            )
        self._bar.update(done / self._scale - self._bar.n)

    def _line(self, done: int, total: int) -> None:
        now = self._clock()
        if self._start is None:
            self._start, self._shown, self._step = (now, done), now, _step(done, total)
            return
        quiet = now - self._shown
        if quiet < CALM_SECONDS or (_step(done, total) == self._step and quiet < EVERY_SECONDS):
            return
        self._shown, self._step = now, _step(done, total)
        rate = (done - self._start[1]) / max(now - self._start[0], 1e-9)  # per second
        clock = clock_time((total - done) / rate) if rate > 0 else "?"
        head = f"{self._label} {100 * done // max(total, 1)} %"
        if self._unit == "share":
            self._stream.write(f"{', '.join(filter(None, (head, self._status)))}, {clock} left\n")
            self._stream.flush()
            return
        counts = [f"{count / self._scale:.{self._digits}f}" for count in (done, total)]
        self._stream.write(
            f"{head} {'/'.join(counts)} {self._unit}, {rate / self._scale:.3g} {self._unit}/s, {clock} left\n"
        )
        self._stream.flush()


def clock_time(seconds: float) -> str:
    """Seconds as ``m:ss`` or ``h:mm:ss``.

    >>> clock_time(65), clock_time(3700)
    ('1:05', '1:01:40')
    """
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"


def _step(done: int, total: int) -> int:
    return 100 * done // (EVERY_PERCENT * max(total, 1))
