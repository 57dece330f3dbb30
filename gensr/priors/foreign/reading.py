"""One door for checkpoints of other programs: what a file is is told by its content, and nothing in it is run."""

from __future__ import annotations

import importlib.util
import mmap
import os
import stat
from collections.abc import Callable
from pathlib import Path

from gensr.errors import FormatError, WeightsError
from gensr.priors.foreign import onnx, safe, torch_legacy, torch_zip
from gensr.priors.foreign.budget import Budget
from gensr.priors.foreign.checkpoint import Checkpoint
from gensr.priors.foreign.folder import read_folder
from gensr.priors.foreign.machine import unpickle
from gensr.priors.foreign.rebuild import table
from gensr.priors.foreign.stack import Machine
from gensr.values.limits import within

EXPORTED = ("archive_format", "serialized_exported_program.json")
"""Entries that only zips of ``torch.export`` have."""
Reader = Callable[[Path, memoryview, Budget], Checkpoint]


def read_foreign(path: Path, *more: Path) -> Checkpoint:
    """Read a checkpoint of another program without running anything of it.

    Args:
        path: a file of any name, or a folder.
        more: files that belong to it (a mapping network beside its synthesis).

    Returns:
        What is in it; tensors are read when they are asked for.

    Raises:
        WeightsError: missing, hostile (the message names the global), damaged, or of no known kind.
    """
    if more:
        each = [read_foreign(p) for p in (path, *more)]
        names = [c.path.name.partition(".")[0] for c in each]
        if len(set(names)) != len(names):
            raise WeightsError(f"{path}: files that belong together need names of their own, not {', '.join(names)}")
        notes = dict.fromkeys(note for c in each for note in c.notes)
        files = {c.path.name: c.path for c in each}
        return Checkpoint(
            path, "several", dict(zip(names, (c.root for c in each), strict=True)), {}, tuple(notes), files
        )
    if path.is_dir():
        return read_folder(path)
    data = mapped(path)
    return _reader(data)(path, data, Budget(path, len(data)))


def read_inside(folder: Checkpoint, name: str) -> Checkpoint:
    """Read a file of a folder.

    Args:
        folder: see `gensr.priors.foreign.folder.read_folder`.
        name: its path in it.

    Raises:
        WeightsError: no such file, or see `read_foreign`.
    """
    if name not in folder.files:
        raise WeightsError(f"{folder.path}: {name} is missing; get the whole folder")
    return read_foreign(folder.files[name])


def read_module(text: str) -> Checkpoint:
    """Code of the user's own, found but not run: only the packages around it are imported.

    Args:
        text: ``module:attribute``.

    Raises:
        WeightsError: no such module.
    """
    module = text.partition(":")[0]
    try:
        found = importlib.util.find_spec(module)
    except Exception as error:  # a package around it may fail in any way
        raise WeightsError(f"{text}: cannot be found ({type(error).__name__}: {error})") from error
    if found is None or found.origin is None or not Path(found.origin).is_file():
        raise WeightsError(
            f"{text}: no module {module} that can be imported; install it, or add its folder to PYTHONPATH"
        )
    return Checkpoint(Path(text), "module", None, {}, (), {Path(found.origin).name: Path(found.origin)})


def mapped(path: Path) -> memoryview:
    """The bytes of a file, which stay on disk until they are looked at.

    Raises:
        WeightsError: no regular file, an empty one, or one beyond the limit of `gensr.values.limits`.
    """
    try:
        with open(path, "rb", opener=_regular) as stream:
            size = os.fstat(stream.fileno()).st_size
            within("weights", size, path)
            if not size:
                raise WeightsError(f"{path}: an empty file; get it again")
            return memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
    except FormatError as error:
        raise WeightsError(str(error)) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise WeightsError(f"{path}: cannot be read ({reason}); give a regular file") from None


def _regular(path: str, flags: int) -> int:
    """Open without waiting for the other end of a pipe."""
    found = os.open(path, flags | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(found).st_mode):
        os.close(found)
        raise ValueError("a device or pipe")
    return found


def _reader(data: memoryview) -> Reader:
    if safe.is_safetensors(data):
        return _safetensors
    if bytes(data[:4]) == b"PK\x03\x04":
        return _zip
    if torch_legacy.is_legacy(data):
        return _legacy
    return _onnx if onnx.is_onnx(data) else _pickle


def _safetensors(path: Path, data: memoryview, budget: Budget) -> Checkpoint:
    tensors, metadata = safe.read(data, budget)
    return Checkpoint(path, "safetensors", tensors, metadata)


def _zip(path: Path, data: memoryview, budget: Budget) -> Checkpoint:
    files = torch_zip.entries(data, budget)
    notes: dict[str, int] = {}
    if "constants.pkl" in files or any(name.startswith("code/") for name in files):
        code = [name for name in files if name.startswith("code/") and not name.endswith(".debug_pkl")]
        value = torch_zip.read(data, budget, notes, files) if "data.pkl" in files else None
        note = f"TorchScript: {len(code)} files of a program, which are not run"
        return Checkpoint(path, "torchscript", value, {}, (note, *notes))
    if any(name in EXPORTED or name.startswith("models/") for name in files):
        texts = {"tensors": str(sum("weights/" in name for name in files)), "files": str(len(files))}
        note = "torch.export: a graph of operations, which is not run"
        return Checkpoint(path, "torch-export", None, texts, (note,))
    if "data.pkl" not in files:
        raise WeightsError(f"{path}: a zip without data.pkl; unpack it and give the file of weights in it")
    return Checkpoint(path, "torch-zip", torch_zip.read(data, budget, notes, files), {}, tuple(notes))


def _onnx(path: Path, data: memoryview, budget: Budget) -> Checkpoint:
    found = onnx.inspect(data, budget)
    texts = {
        **found.texts,
        "inputs": ", ".join(found.inputs),
        "outputs": ", ".join(found.outputs),
        "constants": str(found.tensors),
        "operators": ", ".join(f"{name} {count}" for name, count in sorted(found.operators.items())),
    }
    notes = ["ONNX: a graph of operations, which is not run"]
    if found.outside:
        notes.append(f"keeps constants in other files ({', '.join(sorted(found.outside)[:3])}), which are not opened")
    return Checkpoint(path, "onnx", None, texts, tuple(notes))


def _legacy(path: Path, data: memoryview, budget: Budget) -> Checkpoint:
    notes: dict[str, int] = {}
    value, _ = torch_legacy.read(data, budget, notes)
    return Checkpoint(path, "torch-legacy", value, {}, tuple(notes))


def _pickle(path: Path, data: memoryview, budget: Budget) -> Checkpoint:
    if data[0] != 0x80 and chr(data[0]) not in "(]}cilN":
        raise WeightsError(f"{path}: no file of weights that is known (safetensors, torch.save, pickle, ONNX)")
    notes: dict[str, int] = {}
    value, _ = unpickle(Machine(data, budget, table(torch_legacy.nested), None, 0, notes))
    return Checkpoint(path, "pickle", value, {}, tuple(notes))
