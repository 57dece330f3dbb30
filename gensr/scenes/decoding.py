"""Decoders that are not memory-safe run in a child process, where a crash, a hang and memory are theirs.

One child serves one process for all its files; it is started when the first compressed pixels are met and started
anew after it failed. It may use a bounded amount of memory and time, opens no connection, runs no program and changes
no file (`gensr.scenes.decoder`). What it answers is bytes of an array whose shape and dtype are checked here; nothing
of it is executed or unpickled.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gensr.scenes import decoder
from gensr.values.limits import OPTION, limit

_KEPT = ("PYTHON", "LD_", "DYLD_", "LANG", "LC_", "PATH", "SYSTEMROOT", "VIRTUAL_ENV", "CONDA", "TMP", "TEMP", "HOME")
"""Beginnings of the names of environment variables that the child gets: what starts an interpreter."""
_LONGEST = 1 << 20
"""Bytes of the JSON of an answer."""


class DecodingError(Exception):
    """Pixels could not be decoded.

    Attributes:
        kind: name of the exception in the child, or "crash", "time", "memory".
        said: whether the text is from the library, which may quote the file.
    """

    def __init__(self, kind: str, text: str, said: bool = False) -> None:
        super().__init__(text)
        self.kind, self.said = kind, said


class Child:
    """One child process, started when it is first needed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0

    def call(
        self, function: Callable[..., Any], arguments: Sequence[Any], most: int, blob: bytes = b""
    ) -> tuple[npt.NDArray[Any], Any]:
        """Run a function in the child.

        Args:
            function: of a file that imports nothing of gensr; it returns an array, or an array and JSON-able values.
            arguments: JSON-able.
            most: bytes of the array that are accepted.
            blob: bytes that the function gets as its last argument.

        Returns:
            The array and the other values.

        Raises:
            DecodingError: the function raised, crashed, took too long or too much memory, or answered nonsense.
        """
        with self._lock:
            process = self._running()
            late = threading.Event()
            seconds = limit("seconds") + (most >> 24)
            timer = threading.Timer(seconds, _end, (process, late))
            timer.daemon = True
            timer.start()
            try:
                return self._answer(process, _call(function, arguments, blob), most)
            except (OSError, EOFError):
                self._stop()
                raise _failed(process, seconds if late.is_set() else 0) from None
            except DecodingError as error:
                if error.kind == "size":  # the array is still in the pipe
                    self._stop()
                raise
            except BaseException:  # an interrupted call leaves half an answer in the pipe
                self._stop()
                raise
            finally:
                timer.cancel()

    def close(self) -> None:
        """End the child."""
        with self._lock:
            self._stop()

    def _running(self) -> subprocess.Popen[bytes]:
        """The child; a fork of this process does not share it."""
        if self._process is None or self._process.poll() is not None or self._owner != os.getpid():
            if self._process is not None and self._owner == os.getpid():
                self._stop()
            environment = {k: v for k, v in os.environ.items() if k.upper().startswith(_KEPT)}
            environment |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
            environment |= {"PYTHONDONTWRITEBYTECODE": "1", "MALLOC_ARENA_MAX": "2"}  # arenas count as memory
            command = [sys.executable, "-P", str(Path(decoder.__file__)), str(limit("memory"))]
            self._owner = os.getpid()
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
            )
        return self._process

    def _answer(self, process: subprocess.Popen[bytes], message: bytes, most: int) -> tuple[npt.NDArray[Any], Any]:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(message)
        process.stdin.flush()
        size, more = decoder.LENGTH.unpack(_exactly(process.stdout, decoder.LENGTH.size))
        if size > _LONGEST:
            raise EOFError
        answer = json.loads(_exactly(process.stdout, size))
        if "error" in answer:
            kind = "memory" if answer["error"] == "MemoryError" else str(answer["error"])
            text = _memory() if kind == "memory" else f"{kind}: {answer['text']}"
            raise DecodingError(kind, text, said=kind != "memory")
        array = np.empty(_shape(answer, most), np.dtype(answer["dtype"]))
        if array.nbytes & 0xFFFFFFFF != more:
            raise EOFError
        flat, place = array.reshape(-1).view(np.uint8).data, 0
        while place < len(flat):
            count = process.stdout.readinto1(flat[place:])  # type: ignore[attr-defined]  # a buffered reader has it
            if not count:
                raise EOFError
            place += count
        return array, answer["rest"]

    def _stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            for pipe in (self._process.stdin, self._process.stdout):
                try:
                    if pipe is not None:
                        pipe.close()
                except OSError:  # what was not sent is lost with the child
                    continue
            self._process.wait()
            self._process = None


def _end(process: subprocess.Popen[bytes], late: threading.Event) -> None:
    late.set()
    process.kill()


def _failed(process: subprocess.Popen[bytes], seconds: int) -> DecodingError:
    if seconds:
        return DecodingError("time", f"decoding took longer than {seconds} s (raise it with {OPTION}=4)")
    return DecodingError("crash", f"the decoder crashed (exit code {process.returncode})")


def _memory() -> str:
    return f"decoding needs more than {limit('memory') >> 20} MiB of memory (raise it with {OPTION}=4)"


def _call(function: Callable[..., Any], arguments: Sequence[Any], blob: bytes) -> bytes:
    file = str(Path(sys.modules[function.__module__].__file__ or "").resolve())
    text = json.dumps({"file": file, "name": function.__name__, "arguments": list(arguments)}).encode()
    return decoder.LENGTH.pack(len(text), len(blob)) + text + blob


def _exactly(stream: Any, size: int) -> bytes:  # noqa: ANN401
    found: bytes = stream.read(size)
    if len(found) != size:
        raise EOFError
    return found


def _shape(answer: dict[str, Any], most: int) -> tuple[int, ...]:
    """The shape of the array of an answer.

    Raises:
        DecodingError: more bytes than are accepted, or no shape and dtype of numbers.
    """
    shape, dtype = answer.get("shape"), answer.get("dtype")
    good = isinstance(shape, list) and len(shape) <= 8 and all(type(n) is int and n >= 0 for n in shape)
    if not good or not isinstance(dtype, str) or dtype[1:2] not in tuple("biufc") or len(dtype) > 4:
        raise EOFError
    size = np.dtype(dtype).itemsize
    for n in shape or ():
        size *= n
    if size > most:
        raise DecodingError("size", f"decodes to {size} bytes where at most {most} are expected")
    return tuple(shape or ())


@cache
def child() -> Child:
    """The child of this process."""
    found = Child()
    atexit.register(found.close)
    return found


def decoded(
    function: Callable[..., Any], arguments: Sequence[Any], most: int, blob: bytes = b""
) -> tuple[npt.NDArray[Any], Any]:
    """See `Child.call`, in the child of this process."""
    return child().call(function, arguments, most, blob)
