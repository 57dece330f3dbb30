"""Folders of a run: where it works, and how outputs come into place only when they are whole."""

from __future__ import annotations

import glob
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gensr.errors import OutputError
from gensr.pipeline.result import StoredProduct
from gensr.scenes.names import Names
from gensr.scenes.provenance import as_json
from gensr.scenes.scene import Scene

WORK = ".work"
STAGING = "staging"


def store_folder(target: Path, names: Names) -> Path:
    """Where the store of a run lies, beside its outputs."""
    return target / f".{names.mean('')}{WORK}"


def work_folder(target: Path, names: Names, overwrite: bool, resume: bool) -> Path:
    """Folder of the store beside the outputs; a stale one is removed.

    Args:
        target: folder of the outputs, made if missing.
        names: of the outputs.
        overwrite: whether they may exist.
        resume: whether an earlier run goes on.

    Raises:
        OutputError: outputs exist already, or nothing can be written there; known before anything is computed.
    """
    try:
        target.mkdir(parents=True, exist_ok=True)
        probe = target / f".gensr-probe-{names.stem}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise OutputError(f"{target}: cannot write there ({error.strerror}); choose another output=DIR") from error
    existing = sorted(p.name for p in target.glob(f"{glob.escape(names.mean(''))}*"))
    if existing and not overwrite:
        raise OutputError(f"{target / existing[0]}: exists already; give overwrite=true or another output=DIR")
    folder = store_folder(target, names)
    if folder.exists() and not resume:
        shutil.rmtree(folder)
    return folder


def write(
    scene: Scene,
    product: StoredProduct,
    picture: bytes,
    report: Mapping[str, Any],
    folder: Path,
    target: Path,
    names: Names,
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
    """
    staging = stage(folder)
    written = scene.write(product, staging, names)
    page = staging / f"{names.mean('')}_report.json"
    page.write_text(as_json(report, indent=2) + "\n", encoding="ascii")
    panel = staging / f"{names.mean('')}_preview.png"
    panel.write_bytes(picture)
    return into_place([*written, page, panel], staging, target)


def stage(folder: Path) -> Path:
    """An empty staging folder below ``folder``."""
    staging = folder / STAGING
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    return staging


def into_place(written: Sequence[Path], staging: Path, target: Path) -> list[Path]:
    """Rename what lies in a staging folder into the folder of the outputs, which is on the same disk.

    Args:
        written: files and folders in ``staging``.
        staging: see `stage`.
        target: of the outputs.

    Returns:
        Where each is now.
    """
    final = []
    for path in written:
        place = target / path.relative_to(staging)
        if place.is_dir() and not place.is_symlink():
            shutil.rmtree(place)
        path.replace(place)
        final.append(place)
    return final
