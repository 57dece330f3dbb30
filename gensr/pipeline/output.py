"""Where a run works, and how outputs come into place only when they are whole.

What is to come into place is written down first, so that a run that was stopped between two files knows them for its
own. The report comes last: where it lies, everything does.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import json
import os
import shutil
import tempfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from gensr.errors import GensrError, OutputError
from gensr.pipeline import record
from gensr.pipeline.folder import WorkFolder
from gensr.scenes.names import UNEXPLAINED, Names
from gensr.scenes.product import Product
from gensr.scenes.provenance import as_json
from gensr.scenes.scene import Scene

WORK = ".work"
STAGING, REPLACED, PLACING = "staging", "replaced", "placing.json"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def store_folder(target: Path, names: Names) -> Path:
    """Where the store of a run lies, beside its outputs."""
    return target / f".{names.mean('')}{WORK}"


def work_folder(target: Path, names: Names, overwrite: bool, resume: bool) -> WorkFolder:
    """The locked folder of the store beside the outputs; what a stale run left in it is removed.

    Args:
        target: folder of the outputs, made if missing.
        names: of the outputs.
        overwrite: whether they may exist.
        resume: whether an earlier run goes on.

    Raises:
        OutputError: outputs exist already, another run makes them, or nothing can be written there; known before
            anything is computed.
    """
    folder = WorkFolder(store_folder(target, names), _owner(target, names))
    try:
        if resume:
            folder.check()
        refuse_existing(target, names, overwrite, _placing(folder.path) if resume else ())
        if not resume:
            folder.clear()
    except BaseException:
        folder.close()
        raise
    return folder


def tidy(target: Path, names: Names) -> None:
    """Remove what a run left that was stopped after its outputs were in place."""
    path = store_folder(target, names)
    if path.exists():
        with contextlib.suppress(GensrError, OSError), WorkFolder(path) as folder:
            folder.remove()


def _owner(target: Path, names: Names) -> int:
    """The user that files made in a folder belong to; the folder is made if missing.

    Raises:
        OutputError: nothing can be written there.
    """
    try:
        target.mkdir(parents=True, exist_ok=True)
        probe, name = tempfile.mkstemp(prefix=f".{names.stem[:100]}-", dir=target)
        try:
            return os.fstat(probe).st_uid
        finally:
            os.close(probe)
            os.unlink(name)
    except OSError as error:
        raise OutputError(f"{target}: cannot write there ({error.strerror}); choose another output=DIR") from error


def refuse_existing(target: Path, names: Names, overwrite: bool, own: Collection[str] = ()) -> None:
    """Refuse outputs that exist and may not be replaced.

    Args:
        target: folder of the outputs.
        names: of the outputs.
        overwrite: whether they may exist.
        own: paths below ``target`` that the run itself was about to put there when it was stopped.

    Raises:
        OutputError: they exist; or a folder stands there that no run wrote.
    """
    mine = {text.partition("/")[0] for text in own}
    failed = names.mean("") + UNEXPLAINED  # what a run left that did not explain its data bars nobody
    found = [p for p in target.glob(f"{glob.escape(names.mean(''))}*") if not p.name.startswith(failed)]
    found = sorted(p for p in found if p.name not in mine)
    if found and not overwrite:
        raise OutputError(f"{found[0]}: exists already; give overwrite=true or another output=DIR")
    stems = (names.mean(""), names.std(""), names.mean("_sample"))
    known = {*own, *record.files(target, names)}
    for path in found:
        if path.name == stems[0] or path.name.startswith((f"{stems[0]}.", *stems[1:])):
            _refuse_folder(path, target, known)


def _refuse_folder(path: Path, target: Path, known: Collection[str]) -> None:
    """Refuse to replace a folder that holds anything but outputs of an earlier run.

    Raises:
        OutputError: it does.
    """
    if path.is_symlink() or not path.is_dir():
        return
    strange = [p for p in path.rglob("*") if not p.is_dir() and p.relative_to(target).as_posix() not in known]
    if strange or not any(path.iterdir()):
        what = f"holds {strange[0].name}, which" if strange else "is a folder that"
        raise OutputError(f"{path}: {what} gensr did not write; move it away, or choose another output=DIR")


def write(
    scene: Scene,
    product: Product,
    picture: bytes,
    report: Mapping[str, Any],
    folder: Path,
    target: Path,
    names: Names,
    digests: Mapping[str, str] | None = None,
    recipe: str | None = None,
    answers: bytes | None = None,
) -> list[Path]:
    """Let the scene write into a staging folder, then rename everything into place.

    Args:
        scene: writes its format.
        product: finished results.
        picture: PNG of the preview.
        report: see `gensr.pipeline.report.build`.
        folder: of the store.
        target: of the outputs.
        names: of the outputs.
        digests: of input and request, see `gensr.pipeline.record`.
        recipe: see `gensr.pipeline.recipe`; None for an input that no path leads to.
        answers: PNG of the sheet of several answers, see `gensr.pipeline.answers`; None for none.
    """
    staging = stage(folder)
    written = scene.write(product, staging, names)
    panel = staging / record.preview_name(names)
    panel.write_bytes(picture)
    pictures = [panel]
    if answers is not None:
        pictures.append(staging / record.sheet_name(names))
        pictures[-1].write_bytes(answers)
    page = staging / record.report_name(names)
    made = record.entries(digests, {name: (staging / name).stat().st_size for name in _members(staging)})
    page.write_text(as_json({**report, **made}, indent=2) + "\n", encoding="ascii")
    again = staging / record.recipe_name(names)
    if recipe is not None:
        again.write_text(recipe, encoding="utf-8")
    return into_place([*written, page, *pictures, *([] if recipe is None else [again])], staging, target, names)


def stage(folder: Path) -> Path:
    """An empty staging folder below ``folder``."""
    staging = folder / STAGING
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    return staging


def into_place(written: Sequence[Path], staging: Path, target: Path, names: Names) -> list[Path]:
    """Rename what lies in a staging folder into the folder of the outputs, which is on the same disk.

    Args:
        written: files and folders in ``staging``.
        staging: see `stage`.
        target: of the outputs.
        names: of the outputs.

    Returns:
        Where each is now.

    Raises:
        OutputError: a folder stands there that no run wrote.
    """
    folder, members = staging.parent, _members(staging)
    known = {*_placing(folder), *record.files(target, names)}
    for path in written:
        _refuse_folder(target / path.relative_to(staging), target, known)
    for name in members:
        _force(staging / name)
    # Names that an earlier attempt put into place stay known: they are this run's own.
    _write_down(folder, sorted({*_placing(folder), *members}))
    aside = folder / REPLACED
    for path in sorted(written, key=lambda path: path.name == record.report_name(names)):
        place = target / path.relative_to(staging)
        if place.is_dir() and not place.is_symlink():
            shutil.rmtree(aside, ignore_errors=True)
            place.rename(aside)
        path.replace(place)
    _force(target)
    return [target / path.relative_to(staging) for path in written]


def _members(staging: Path) -> list[str]:
    return sorted(path.relative_to(staging).as_posix() for path in staging.rglob("*") if path.is_file())


def _placing(folder: Path) -> list[str]:
    """Paths that a run was about to put into place when it was stopped; none if what it wrote down is damaged."""
    try:
        found = json.loads((folder / PLACING).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return []
    return [name for name in found if isinstance(name, str)] if isinstance(found, list) else []


def _write_down(folder: Path, members: Sequence[str]) -> None:
    new = folder / f"{PLACING}.new"
    new.write_text(json.dumps(members), encoding="ascii")
    _force(new)
    new.replace(folder / PLACING)


def _force(path: Path) -> None:
    """Force a file, or the names in a folder, to the disk."""
    opened = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def explained(error: OSError, target: Path, kept: bool) -> OSError | OutputError:
    """An error of the disk in words; any other as it is.

    Args:
        error: of a run.
        target: where it wrote.
        kept: whether what is finished can be gone on with.
    """
    on = "run the same command with resume=true to go on" if kept else "or set TMPDIR to a larger disk"
    if error.errno in _FULL:
        return OutputError(f"{target}: the disk is full ({error.strerror}); free some space, {on}")
    if error.errno == errno.EROFS:
        return OutputError(f"{target}: cannot be written any more ({error.strerror}); mount it for writing, {on}")
    return error
