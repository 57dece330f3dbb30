"""Programs that the user trusts: remembered by their digest on this machine, so that no file can ask for itself.

A generator that is a program (TorchScript, torch.export, ONNX, code of the user's own) can do whatever its author likes
when it runs. So it runs only where somebody said ``trust=true`` of exactly these bytes.
"""

from __future__ import annotations

from gensr.errors import WeightsError
from gensr.priors.weights import user_folder

KEY = "program"
"""Entry of a configuration that holds the digest of a program."""
MEANING = "it is a program and can do whatever its author likes: read, write and send your files"


def trust(digest: str, what: str) -> None:
    """Remember that a program may run here.

    Args:
        digest: its SHA-256.
        what: it is, in words for whoever looks into the folder.
    """
    place = user_folder() / "trusted" / digest
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(f"{what}\n", "utf-8")


def check(digest: str, name: str) -> None:
    """Refuse a program that nobody trusts here.

    Raises:
        WeightsError: says what trust means, and how to give it.
    """
    if not (user_folder() / "trusted" / digest).is_file():
        raise WeightsError(
            f"{name}: {MEANING}. Not trusted here; if you trust who made it: gensr models add FILE trust=true "
            "existing=overwrite"
        )
