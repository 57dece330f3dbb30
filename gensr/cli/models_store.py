"""``gensr models add``, ``pull`` and ``remove``: the user's own generators, with their licence before first use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gensr.cli.console import DONE, FAILED, Console
from gensr.cli.progress import Progress
from gensr.errors import UsageError, ordinary

if TYPE_CHECKING:
    from gensr.priors.store import Existing


def add(names: Sequence[str], pairs: Mapping[str, str], console: Console) -> int:
    """Install files of this machine.

    Args:
        names: paths.
        pairs: see `gensr.cli.models_keys.ACTIONS`.
        console: where to speak.

    Returns:
        The exit code.
    """
    if not names:
        raise UsageError("gensr models add needs a file; write gensr models add FILE.safetensors")
    if len(names) > 1 and "name" in pairs:
        raise UsageError(f"name={pairs['name']}: one name for {len(names)} files; add them one by one")
    failed = 0
    for name in names:
        try:
            with ordinary(name):
                _install(Path(name), pairs, console)
        except Exception as error:  # one damaged file never stops the others
            console.fail(error, name)
            failed += 1
    return FAILED if failed else DONE


def pull(names: Sequence[str], pairs: Mapping[str, str], console: Console) -> int:
    """Fetch from an address or the hub, once, and install what gensr wrote; see `add`."""
    if len(names) != 1:
        raise UsageError("gensr models pull takes one address: https://... with sha256=, or hf://OWNER/NAME")
    from gensr.priors import hub, store

    (address,) = names
    offline = pairs.get("offline") == "true"
    if hub.is_id(address):
        if "sha256" in pairs:
            raise UsageError("sha256: files of the hub are compared with what it states; give @COMMIT to pin them")
        pulled = hub.pull(address, store.downloads(), offline)
        path, licence = pulled.path, pulled.licence
        console.say(f"{address}: commit {pulled.commit}")
    else:
        with Progress(address.rpartition("/")[2], console.err, "bytes") as progress:
            path = store.pull(address, pairs.get("sha256"), float(pairs.get("seconds", "30")), offline, progress)
        licence = ""
    if path.is_file() and store.is_weights(path):
        return _install(path, pairs, console)
    if "name" in pairs or "existing" in pairs:
        raise UsageError(f"{path}: not a file of gensr, so it gets its name when it is converted")
    console.say(f"{path}: licence: {licence or 'not stated there; ask who made it'}")
    console.say(f"{path}: made by another program; next: gensr models convert")
    return DONE


def remove(names: Sequence[str], pairs: Mapping[str, str], console: Console) -> int:
    """Delete generators of the user, and what was fetched if asked to; see `add`."""
    everything = pairs.get("downloads") == "true"
    if not names and not everything:
        raise UsageError("gensr models remove needs a name; gensr models list shows them")
    from gensr.priors import store

    failed = 0
    for name in names:
        try:
            console.say(f"{store.remove(name)}: removed")
        except Exception as error:  # one unknown name never stops the others
            console.fail(error)
            failed += 1
    if everything:
        console.say(f"{store.downloads()}: removed, {store.forget_downloads() / 1e6:.1f} MB")
    return FAILED if failed else DONE


def _install(path: Path, pairs: Mapping[str, str], console: Console) -> int:
    from gensr.priors import store

    existing: Existing = "overwrite" if pairs.get("existing") == "overwrite" else "error"
    if pairs.get("trust") == "true":
        console.note(f"{path}: {store.trusted(path)}")
    found = store.install(path, pairs.get("name"), existing)
    console.say(f"{found.path}: whole, sha256 {found.digest}")
    console.say(f"{found.path.stem}: licence: {found.card.licence or 'not stated'}")
    return DONE
