"""Fetching folders of weights from the Hugging Face hub, through its own client (the extra ``gensr[hub]``).

An id is ``hf://OWNER/NAME[@REVISION][/PATH]``. A revision is pinned to its commit, only files of data are fetched (no
code), and every file is compared with the digest that the hub states for it.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gensr.errors import FormatError, PluginError, WeightsError
from gensr.priors.fetch import sha256_of
from gensr.values.limits import within

ID = re.compile(
    r"hf://(?P<repo>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(@(?P<revision>[\w.-]+))?(/(?P<path>[^\s@]+))?", re.ASCII
)
DATA = ("*.json", "*.safetensors", "LICENSE*", "README.md")
PICKLED = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.onnx")
"""Fetched where there is no safetensors file; the readers never execute them."""
RECORD = ".gensr.json"
"""What was fetched of a revision, and under which licence."""


@dataclass(frozen=True)
class Pulled:
    """What was fetched from the hub.

    Attributes:
        path: of the file, or of the folder.
        commit: 40 hexadecimal digits.
        licence: as the model's page states it, "" if it does not.
    """

    path: Path
    commit: str
    licence: str


def is_id(text: str) -> bool:
    """Whether a text means something on the hub.

    >>> is_id("hf://google/ddpm-cifar10-32"), is_id("https://huggingface.co/google/x")
    (True, False)
    """
    return text.startswith("hf://")


def pull(text: str, folder: Path, offline: bool = False, endpoint: str | None = None) -> Pulled:
    """Fetch a repository of the hub, or one file or folder of it.

    Args:
        text: the id, see above.
        folder: where fetched files are kept.
        offline: only what was fetched before.
        endpoint: of another hub; ``$HF_ENDPOINT`` or the public one if not given.

    Raises:
        WeightsError: no such id, file or revision, or other bytes than the hub states.
        PluginError: the client is not installed.
    """
    found = ID.fullmatch(text)
    path = "" if found is None else (found["path"] or "").strip("/")
    if found is None or any(part in ("", ".", "..") for part in path.split("/") if path):
        raise WeightsError(f"{text}: expected hf://OWNER/NAME, with @REVISION and /PATH if wanted")
    kept = folder / "hub" / found["repo"].replace("/", "--")
    pinned = kept / f"{found['revision'] or 'main'}{RECORD}"
    if offline:
        if not pinned.is_file():
            raise WeightsError(f"{text}: not fetched yet, and offline=true; run it once without")
        said = json.loads(pinned.read_text("utf-8"))
        return _pulled(text, kept / said["commit"] / path, said)
    try:
        import huggingface_hub
    except ImportError as error:
        raise PluginError(f"{text}: needs the package huggingface_hub; pip install gensr[hub]") from error
    try:
        api = huggingface_hub.HfApi(endpoint=endpoint)
        info = api.model_info(found["repo"], revision=found["revision"], files_metadata=True, timeout=30)
        wanted = _wanted(text, path, info.siblings or [])
        target = kept / str(info.sha)
        for sibling in wanted:
            huggingface_hub.hf_hub_download(
                found["repo"], sibling.rfilename, revision=info.sha, local_dir=target, endpoint=endpoint
            )
    except WeightsError:
        raise
    except Exception as error:  # errors of the client and of what it connects with have no common kind
        reason = " ".join(str(error).split())[:200]
        raise WeightsError(f"{text}: cannot be fetched ({reason}); check the id and the connection") from error
    for sibling in wanted:
        _check(text, target / sibling.rfilename, sibling)
    licence = "" if info.card_data is None else str(info.card_data.get("license") or "")
    said = {"commit": str(info.sha), "licence": licence}
    pinned.write_text(json.dumps(said), "utf-8")
    return _pulled(text, target / path, said)


def _wanted(text: str, path: str, siblings: Iterable[Any]) -> list[Any]:
    """Files of data under a path, with the limits on weights."""
    under = [s for s in siblings if not path or s.rfilename == path or s.rfilename.startswith(f"{path}/")]
    plain = [s for s in under if ".." not in s.rfilename.split("/") and not s.rfilename.startswith(("/", "."))]
    found = [s for s in plain if s.rfilename == path or _named(s.rfilename, DATA)]
    if not any(s.rfilename.endswith(".safetensors") for s in found):
        found += [s for s in plain if s not in found and _named(s.rfilename, PICKLED)]
    if not any(_named(s.rfilename, ("*.safetensors", *PICKLED)) for s in found):
        raise WeightsError(f"{text}: no weights there; files: {', '.join(s.rfilename for s in under)[:200] or 'none'}")
    try:
        within("weights", sum(int(s.size or 0) for s in found), text)
    except FormatError as error:
        raise WeightsError(f"{error}; name one file or folder of it: {text}/PATH") from None
    return found


def _named(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(name.rpartition("/")[2], pattern) for pattern in patterns)


def _check(text: str, path: Path, sibling: Any) -> None:  # noqa: ANN401
    """Compare a file with what the hub states: the SHA-256 of large files, the object name in git of small ones."""
    if path.is_symlink() or not path.is_file():
        raise WeightsError(f"{text}: {sibling.rfilename} was not fetched; try again")
    if sibling.lfs is not None:
        stated, found = str(sibling.lfs.sha256), sha256_of(path)
    elif sibling.blob_id:
        stated = str(sibling.blob_id)
        found = hashlib.sha1(b"blob %d\0" % os.path.getsize(path) + path.read_bytes()).hexdigest()
    else:
        return
    if stated != found:
        path.unlink()
        raise WeightsError(f"{text}: {sibling.rfilename} has the digest {found}, the hub states {stated}; try again")


def _pulled(text: str, path: Path, said: dict[str, str]) -> Pulled:
    if not path.exists():
        raise WeightsError(f"{text}: was not fetched at commit {said['commit'][:12]}; run it without offline=true")
    return Pulled(path, said["commit"], said["licence"])
