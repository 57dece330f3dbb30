"""From what the user typed to files and the domain that reads each: files, folders, globs.

One input that cannot be used never hides the others: its error is returned with its name.
"""

from __future__ import annotations

import glob
import os
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from gensr.errors import DomainError, FormatError, GensrError, PluginError, UsageError, ordinary
from gensr.scenes import installed
from gensr.scenes.area import part_of
from gensr.scenes.domain import Domain
from gensr.scenes.door import admit, at_home
from gensr.scenes.names import RUN, SUMMARIES, marked
from gensr.scenes.remote import address_of, fetched
from gensr.scenes.scene import Reference, Scene
from gensr.scenes.strangers import stranger
from gensr.values.area import WHOLE, Area
from gensr.values.bands import Words

_MAGIC = re.compile(r"[*?[]")
SIDECARS = (".msk", ".ovr")
"""Endings of masks and overviews that belong to the image whose name stands before."""
CERTAIN = 3
"""See `Domain.sniff`."""
BOOKS = (*SUMMARIES, RUN)
"""What a run of many inputs writes beside its outputs."""
_NAMED = 3
"""File names that a note spells out."""


@dataclass(frozen=True)
class FileReference(Reference):
    """A file or folder, the name of the domain that reads it, the options that it was opened with, and which part."""

    domain: str
    path: str
    options: tuple[tuple[str, Any], ...]
    area: Area = WHOLE

    def scene(self) -> Scene:
        """See `Reference.scene`; an input that changed in the meantime is opened anew."""
        try:
            changed = os.stat(self.path).st_mtime_ns
        except OSError as error:
            raise FormatError(
                f"{self.path}: cannot be opened again ({error.strerror}); it was moved or removed, or this machine "
                "does not see it: every worker needs the inputs under the same path"
            ) from error
        return _opened(self, changed)

    def moved(self, folder: Path) -> FileReference:
        """See `Reference.moved`."""
        place = folder / Path(self.path).name
        if not place.exists():
            copy = shutil.copytree if Path(self.path).is_dir() else shutil.copyfile
            copy(self.path, place)
        return replace(self, path=str(place.absolute()))


@lru_cache(maxsize=8)
def _opened(reference: FileReference, changed: int) -> Scene:
    return open_scene(
        installed.domain(reference.domain), Path(reference.path), dict(reference.options), area=reference.area
    )


def open_scene(
    domain: Domain, path: Path, options: Mapping[str, Any], bands: Words | None = None, area: Area = WHOLE
) -> Scene:
    """Open a file or folder, so that other processes can open it again.

    Args:
        domain: reads it.
        path: the file or folder.
        options: of the domain; what is left out has its default.
        bands: which bands, see `gensr.values.bands`; None for all.
        area: the part of it that is asked for.

    Raises:
        FormatError: damaged, unsafe or unsupported.
        DomainError: values or options that the domain refuses.
        UsageError: bands of a domain that has no choice of bands.
    """
    admit(path)
    if bands is not None:
        if "bands" not in domain.defaults:
            raise UsageError(f"{path}: bands={bands}: {domain.name} has no choice of bands; leave the key out")
        options = {**options, "bands": bands}
    whole = domain.open(path, options)
    try:
        scene = part_of(whole, area)
    except BaseException:
        whole.close()
        raise
    plain = tuple(sorted((name, _plain(value)) for name, value in options.items()))
    again = Area(_plain(area.srcwin), _plain(area.bounds))
    scene.reference = FileReference(domain.name, str(path.absolute()), plain, again)
    return scene


def _plain(value: Any) -> Any:  # noqa: ANN401
    """Lists as tuples, so that a reference can be the key of a cache."""
    return tuple(map(_plain, value)) if isinstance(value, list | tuple) else value


@dataclass(frozen=True)
class Input:
    """A file or folder and the domain that reads it."""

    path: Path
    domain: Domain
    doubt: str = ""
    """See `guess_told`."""


@dataclass
class Expansion:
    """What a list of inputs came to.

    Attributes:
        inputs: to be processed, each once, in the order in which they were named.
        failed: what was named and cannot be processed, with the reason.
        notes: what was left out on purpose.
    """

    inputs: list[Input] = field(default_factory=list)
    failed: list[tuple[str, Exception]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Guessed(str):
    """The name of a domain that nobody named.

    Attributes:
        doubt: what a user should know of the guess, see `guess_told`.
    """

    doubt: str

    def __new__(cls, name: str, doubt: str) -> Guessed:
        """A name that takes its doubt along, to other processes too."""
        made = super().__new__(cls, name)
        made.doubt = doubt
        return made

    def __reduce__(self) -> tuple[type[Guessed], tuple[str, str]]:
        return Guessed, (str(self), self.doubt)


def guess(path: Path, domains: Iterable[Domain] | None = None) -> Domain:
    """The domain that is surest of a file or folder; see `guess_told`."""
    return guess_told(path, domains)[0]


def guess_told(path: Path, domains: Iterable[Domain] | None = None) -> tuple[Domain, str]:
    """The domain that is surest of a file or folder, and what a user should know if that was a close guess.

    Args:
        path: a regular file or a folder.
        domains: to ask; all that are installed if None.

    Raises:
        FormatError: no such file, or no domain recognises it.
        DomainError: two domains are equally sure.
        PluginError: the domain for such files cannot be loaded.
    """
    admit(path)
    asked, broken = installed.usable() if domains is None else (list(domains), [])
    with ordinary(path):
        scores = {domain.name: domain.sniff(path) for domain in asked}
    best = max(scores.values(), default=0)
    surest = [domain for domain in asked if scores[domain.name] == best]
    if best > 0 and len(surest) == 1:
        others = [domain.name for domain in asked if 0 < scores[domain.name] < best] if best < CERTAIN else []
        return surest[0], f"a guess; domain={' or domain='.join(others)} reads it too" if others else ""
    if best > 0:
        names = [domain.name for domain in surest]
        raise DomainError(f"{path}: {' and '.join(names)} both read it; say which: domain={' or domain='.join(names)}")
    return _by_name(path, asked, broken), ""


def expand(
    texts: Sequence[str],
    domain: Domain | None = None,
    domains: Sequence[Domain] | None = None,
    remote: Path | None = None,
) -> Expansion:
    """Files, folders and globs (``*``, ``?``, ``[...]``, ``**`` for sub-folders) to inputs with their domains.

    Folders are not searched below themselves, except where a domain makes one input of a folder. In folders and globs,
    outputs of earlier runs and files that no domain recognises are left out with a note; so are hidden files and masks
    that lie beside their image, without one.

    Args:
        texts: what the user typed.
        domain: the domain that the user named; None lets every input be guessed.
        domains: the domains to ask; all that are installed if None.
        remote: folder that addresses are fetched into; None refuses them.
    """
    asked = [domain] if domain is not None else installed.usable()[0] if domains is None else list(domains)
    found = Expansion()
    for text in texts:
        try:
            with ordinary(text):
                address = address_of(text) if remote is not None else ""
                here = str(fetched(address, remote)) if address and remote is not None else text
                chosen, notes = _one(here, domain, asked)
        except Exception as error:  # a plug-in may raise anything; the other inputs must not suffer
            found.failed.append((text, error))
            continue
        found.notes += notes
        for path in chosen:
            try:
                chosen_one = (domain, "") if domain else guess_told(path, None if domains is None else asked)
                found.inputs.append(Input(path, *chosen_one))
            except Exception as error:
                found.failed.append((str(path), error))
    unique = {os.path.realpath(item.path): item for item in reversed(found.inputs)}
    found.inputs = list(reversed(unique.values()))
    return found


def _one(text: str, domain: Domain | None, asked: Sequence[Domain]) -> tuple[list[Path], list[str]]:
    """Paths that one argument stands for, and notes."""
    if "\0" in text or not text:
        raise FormatError(f"{text!r}: is no file name; give a file, folder or glob")
    path = at_home(text)
    if "://" in text or (path.exists() and not _MAGIC.search(text)):
        admit(path)
    if path.is_dir():
        admit(path)
        if marked(path.name):
            return [path], [f"{path}: looks like an output of gensr; its detail is generated already"]
        return _folder(path, asked)
    if path.exists() or not _MAGIC.search(text):
        own = marked(path.name)
        return [path], [f"{path}: looks like an output of gensr; its detail is generated already"] if own else []
    return _glob(str(path), domain, asked)


def _folder(folder: Path, asked: Sequence[Domain]) -> tuple[list[Path], list[str]]:
    claimed: dict[Path, None] = {}
    for domain in asked:
        claimed.update(dict.fromkeys(domain.expand(folder)))
    found = sorted(claimed, key=lambda p: (p != folder, str(p)))
    kept, notes = _without_outputs(folder, [p for p in found if p == folder or not _is_part(p)])
    inside = [p for p in folder.iterdir() if p.is_file() and not _is_part(p) and not _is_output(p)]
    strange = [] if folder in claimed else sorted(set(inside) - set(found))
    if kept:  # what is called an image and is none is an input that fails, not one that nobody asked for
        kept = sorted([*kept, *(p for p in strange if _called_image(p, asked))], key=lambda p: (p != folder, str(p)))
        strange = [p for p in strange if not _called_image(p, asked)]
    else:
        what = f"none of its {len(inside)} files is recognised" if inside else "holds no image file"
        below = f"; for sub-folders write '{folder}/**'" if any(p.is_dir() for p in folder.iterdir()) else ""
        raise FormatError(f"{folder}: {what}{below}; domains: {_list(asked)}")
    return kept, notes + _unrecognised(folder, strange)


def _glob(pattern: str, domain: Domain | None, asked: Sequence[Domain]) -> tuple[list[Path], list[str]]:
    matches = [Path(m) for m in sorted(glob.glob(pattern, recursive=True))]
    if not matches:
        raise FormatError(f"{pattern}: no file matches; check the pattern and quote it")
    whole = [p for p in matches if p.is_dir() and any(d.sniff(p) > 0 for d in asked)]
    files = [
        p for p in matches if p.is_file() and p.name not in BOOKS and not _is_part(p) and not _covered(p, whole, asked)
    ]
    unknown = [] if domain is not None else [p for p in files if not any(d.sniff(p) > 0 for d in asked)]
    strange = [p for p in unknown if len(unknown) == len(files) or not _called_image(p, asked)]
    kept, notes = _without_outputs(Path(pattern), whole + [p for p in files if p not in set(strange)])
    if not kept:
        raise FormatError(
            f"{pattern}: none of {len(matches)} matches is an image that a domain recognises: {_list(asked)}"
        )
    return sorted(kept), notes + _unrecognised(Path(pattern), strange)


def _called_image(path: Path, asked: Sequence[Domain]) -> bool:
    return any(path.name.lower().endswith(d.suffixes) for d in asked)


def _covered(path: Path, whole: Sequence[Path], asked: Sequence[Domain]) -> bool:
    """Whether a file is part of a folder that is one input, for a domain that reads that folder."""
    return path.parent in whole and any(d.sniff(path.parent) > 0 and d.sniff(path) > 0 for d in asked)


def _is_part(path: Path) -> bool:
    """Whether a file belongs to another one beside it, or is hidden."""
    sidecar = path.name.lower().endswith(SIDECARS) and path.with_suffix("").is_file()
    return sidecar or path.name.startswith(".")


def _is_output(path: Path) -> bool:
    return bool(marked(path.name)) or path.name in BOOKS


def _without_outputs(place: Path, paths: Sequence[Path]) -> tuple[list[Path], list[str]]:
    outputs = [p for p in paths if marked(p.name) or marked(p.parent.name)]
    notes = [f"{place}: left out {len(outputs)} outputs of earlier runs ({_few(outputs)})"] if outputs else []
    return [p for p in paths if p not in set(outputs)], notes


def _unrecognised(place: Path, strange: Sequence[Path]) -> list[str]:
    return [f"{place}: left out {len(strange)} files that no domain recognises ({_few(strange)})"] if strange else []


def _few(paths: Sequence[Path]) -> str:
    more = "" if len(paths) <= _NAMED else ", ..."
    return ", ".join(p.name for p in paths[:_NAMED]) + more


def _list(domains: Sequence[Domain]) -> str:
    return "; ".join(f"{d.name} ({' '.join(d.suffixes)})" for d in domains) or "none is installed"


def _by_name(path: Path, asked: Sequence[Domain], broken: Sequence[GensrError]) -> Domain:
    """Whom a file that nobody recognises belongs to by its name, so that its reader can say what is wrong with it.

    Raises:
        FormatError: the name says nothing, or several domains use it.
        PluginError: a domain that might read it cannot be loaded.
    """
    if path.is_file() and not path.stat().st_size:
        raise FormatError(f"{path}: the file is empty; fetch it again")
    strange = stranger(path) if path.is_file() else ""
    if strange:
        raise FormatError(f"{path}: is {strange}")
    named = [d for d in asked if path.is_file() and path.name.lower().endswith(d.suffixes)]
    if len(named) == 1 and not broken:
        return named[0]
    if broken:
        raise PluginError(f"{path}: no domain that can be loaded reads it; {broken[0]}")
    if named:
        names = " and ".join(d.name for d in named)
        raise FormatError(
            f"{path}: damaged, or not what its name says: {names} read such names but do not recognise the content; "
            "check the file, or force a domain with domain="
        )
    raise FormatError(f"{path}: no domain recognises it; domains: {_list(asked)}")
