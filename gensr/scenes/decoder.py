"""What runs in the child process of `gensr.scenes.decoding`: one function after another, with little it may touch.

This file is run as a script and imports nothing of gensr, so that the child starts fast; the functions that it is
given lie in files that import nothing of gensr either. Before the first call the process gives up what it does not
need: memory beyond a limit, files longer than nothing, core dumps, and on Linux every system call that makes a
connection, starts a program or changes a file. What is refused by the system is an error of the call.
"""

from __future__ import annotations

import ctypes
import importlib.util
import json
import os
import platform
import struct
import sys
import types
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

LENGTH = struct.Struct("<II")
"""Before every message: bytes of its JSON, and of what follows it."""
_EPERM, _ALLOW, _ERRNO = 1, 0x7FFF0000, 0x00050000
_LOAD, _EQUAL, _AT_LEAST, _BITS, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_WRITING = 0o1 | 0o2 | 0o100 | 0o1000
"""O_WRONLY, O_RDWR, O_CREAT, O_TRUNC."""
_NUMBERS = """
socket 41 198; socketpair 53 199;
connect 42 203; bind 49 200; sendto 44 206; execve 59 221; execveat 322 281; fork 57 -;
vfork 58 -; kill 62 129; ptrace 101 117; process_vm_writev 311 271; io_uring_setup 425 425; openat2 437 437; creat 85 -;
unlink 87 -; unlinkat 263 35; rename 82 -; renameat 264 38; renameat2 316 276; link 86 -; linkat 265 37; symlink 88 -;
symlinkat 266 36; mkdir 83 -; mkdirat 258 34; rmdir 84 -; chmod 90 -; fchmod 91 52; fchmodat 268 53; chown 92 -;
fchown 93 55; fchownat 260 54; truncate 76 45; ftruncate 77 46
"""
"""System calls that are refused, with their numbers on x86_64 and aarch64."""
_REFUSED = {
    machine: [int(n[place]) for n in map(str.split, _NUMBERS.split(";")) if n[place] != "-"]
    for place, machine in ((1, "x86_64"), (2, "aarch64"))
}
_ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_OPENAT, _OPEN = {"x86_64": 257, "aarch64": 56}, {"x86_64": 2}


def serve(source: BinaryIO, sink: BinaryIO) -> None:
    """Answer calls until the other side closes the pipe.

    A call is JSON with the file and name of a function and its arguments, and bytes that it gets as its last argument;
    an answer is JSON with shape, dtype and what else it returned, and the array; or with the kind and text of an error.
    """
    modules: dict[str, types.ModuleType] = {}
    while len(head := source.read(LENGTH.size)) == LENGTH.size:
        size, more = LENGTH.unpack(head)
        call = json.loads(source.read(size))
        blob = source.read(more)
        array = np.zeros(0, np.uint8)
        try:
            if call["file"] not in modules:
                modules[call["file"]] = _loaded(call["file"], len(modules))
            found = getattr(modules[call["file"]], call["name"])(*call["arguments"], *([blob] if more else []))
            array, rest = found if isinstance(found, tuple) else (found, None)
            array = np.ascontiguousarray(array)
            answer: dict[str, Any] = {"shape": array.shape, "dtype": array.dtype.str, "rest": rest}
        # A codec in Rust panics with an exception of its own that is no Exception.
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                return
            array = np.zeros(0, np.uint8)
            cause = error
            while cause.__cause__ is not None and not isinstance(cause, MemoryError):
                cause = cause.__cause__
            answer = {"error": type(cause).__name__, "text": " ".join(str(cause).split())[:400]}
        text = json.dumps(answer).encode()
        sink.write(LENGTH.pack(len(text), array.nbytes & 0xFFFFFFFF) + text)
        sink.write(array.reshape(-1).view(np.uint8).data)
        sink.flush()


def _loaded(path: str, number: int) -> types.ModuleType:
    spec = importlib.util.spec_from_file_location(f"decoder_{number}", path)
    if spec is None or spec.loader is None:
        raise ImportError(path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def confine(memory: int) -> None:
    """Give up what decoding does not need; where the system has no such means, nothing happens.

    Args:
        memory: bytes of address space that are left.
    """
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return
    for name, most in (("RLIMIT_AS", memory), ("RLIMIT_FSIZE", 0), ("RLIMIT_CORE", 0)):
        kind = getattr(resource, name)
        hard = resource.getrlimit(kind)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (most, most))
    if sys.platform == "linux":
        library = ctypes.CDLL(None, use_errno=True)
        library.prctl(1, 9, 0, 0, 0)  # PR_SET_PDEATHSIG: whoever started it has gone
        _filter_calls(library)


def _filter_calls(library: Any) -> None:  # noqa: ANN401
    """A filter of system calls (seccomp, mode 2), which needs no privilege and cannot be taken back."""
    machine = platform.machine()
    if machine not in _ARCHITECTURE:
        return
    deny = (_RETURN, 0, 0, _ERRNO | _EPERM)
    # offsets in struct seccomp_data: 0 the number, 4 the architecture, 16 + 8 i the arguments
    program = [(_LOAD, 0, 0, 4), (_EQUAL, 1, 0, _ARCHITECTURE[machine]), deny, (_LOAD, 0, 0, 0)]
    if machine == "x86_64":
        program += [(_AT_LEAST, 0, 1, 0x40000000), deny]
    for number in _REFUSED[machine]:
        program += [(_EQUAL, 0, 1, number), deny]
    for table, flags in ((_OPENAT, 32), (_OPEN, 24)):
        if machine in table:
            program += [(_EQUAL, 0, 4, table[machine]), (_LOAD, 0, 0, flags), (_BITS, 0, 1, _WRITING), deny]
            program += [(_RETURN, 0, 0, _ALLOW)]
    program.append((_RETURN, 0, 0, _ALLOW))
    code = b"".join(struct.pack("HBBI", *line) for line in program)
    buffer = ctypes.create_string_buffer(code)

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("lines", ctypes.c_void_p)]

    filled = Program(len(program), ctypes.cast(buffer, ctypes.c_void_p))
    if library.prctl(38, 1, 0, 0, 0) == 0:  # PR_SET_NO_NEW_PRIVS
        library.prctl(22, 2, ctypes.byref(filled), 0, 0)  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER


def _pipes() -> tuple[BinaryIO, BinaryIO]:
    """The pipes of the caller; whatever libraries print goes nowhere."""
    source, sink = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nothing, number)
    return os.fdopen(source, "rb"), os.fdopen(sink, "wb")


def decoders() -> npt.NDArray[np.uint8]:
    """Nothing; a call that shows that the child is there."""
    return np.zeros(0, np.uint8)


if __name__ == "__main__":
    pipes = _pipes()
    confine(int(sys.argv[1]))
    serve(*pipes)
