"""What becomes of labels: refused, repeated, or taken for an image, as the user says."""

from __future__ import annotations

from collections.abc import Sequence

from gensr.errors import DomainError
from gensr.scenes.labels import Survey, survey
from gensr.scenes.scene import Part, Scene
from gensr.values.bands import listed, spans


def settle_labels(scene: Scene, choice: str) -> Survey:
    """Look for labels and refuse those that would be falsified.

    Args:
        scene: the opened input.
        choice: see `gensr.values.words.LABELS`.

    Returns:
        What was found; nothing where labels are taken for an image. What is to be repeated is kept by the scene: the
        labels, or everything where nothing looks like labels and the user says "nearest".

    Raises:
        DomainError: labels, and what the user can do about them.
    """
    if choice == "image":
        _check_indices(scene)
        return Survey((), ())
    found = survey(scene)
    scene.judged = found.doubts
    if found.labels and choice == "refuse":
        raise DomainError(refusal(scene, found))
    if choice == "nearest":
        parts = [part for part, _ in found.labels] or scene.parts()
        scene.repeated = frozenset((plane, part.band) for part in parts for plane in part.planes)
    return found


def all_repeated(scene: Scene) -> bool:
    """Whether there is nothing but pixels to repeat."""
    return len(scene.repeated) == scene.planes * len(scene.bands)


def _check_indices(scene: Scene) -> None:
    indices = [part for part in scene.parts() if part.index]
    if indices:
        raise DomainError(
            f"{scene.path}: labels=image: {_names(indices)}: {indices[0].declared}, whose codes are no intensities; "
            "use labels=nearest, or expand the colours first (gdal_translate -expand rgb)"
        )


def refusal(scene: Scene, found: Survey) -> str:
    """The message for labels, with every way on."""
    parts = [part for part, _ in found.labels]
    total = len(scene.parts())
    what = "is a label image or mask" if len(parts) == total else f"{_names(parts)} of {total} is labels or a mask"
    ways = ["labels=nearest repeats its pixels exactly"]
    if not any(part.index for part in parts):
        ways.append("labels=image takes it for an image")
    if len(parts) < total and len(scene.bands) > 1:
        left = [k + 1 for k in range(len(scene.bands)) if k not in {part.band for part in parts}]
        ways.append(f"bands={spans(left)} leaves it out")
    why = found.labels[0][1]
    return f"{scene.path}: {what} ({why}), which super-resolution would falsify; {', '.join(ways)}"


def _names(parts: Sequence[Part]) -> str:
    return listed([part.name for part in parts], 4)
