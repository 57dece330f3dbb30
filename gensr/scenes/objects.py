"""Objects in memory that know what they are (CCDData, a NIfTI image, a DICOM data set) go the way of their file.

The domain that knows an object writes it into a temporary folder, as the file that its own library makes of it, and
opens that: units, coordinates, masks and errors are read by the same code, and what a file is refused for, an object
is. Results come back the same way, see `gensr.pipeline.result.Result.to_ccddata`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gensr.errors import DomainError, UsageError
from gensr.scenes import installed
from gensr.scenes.domain import Domain
from gensr.scenes.inputs import open_scene
from gensr.scenes.labelled import Labelled
from gensr.scenes.scene import Folder, Scene
from gensr.scenes.stack import StackScene
from gensr.values.area import WHOLE, Area
from gensr.values.bands import Words

STEM = "array"
"""How files of objects, and so their outputs, are called."""


def kind_of(source: object) -> str:
    """Module and class of an object, for messages.

    >>> kind_of(1.5)
    'builtins.float'
    """
    return f"{type(source).__module__.split('.')[0]}.{type(source).__name__}"


def knower(source: object, name: str | None, domains: Iterable[Domain] | None = None) -> Domain | None:
    """The domain that knows an object, None if none does.

    Args:
        source: the object.
        name: domain that the user named.
        domains: to ask; all that are installed if None.

    Raises:
        DomainError: two domains are equally sure.
        UsageError: a domain is named that does not know what another one does.
    """
    scores = {domain: domain.knows(source) for domain in (installed.domains() if domains is None else domains)}
    best = max(scores.values(), default=0)
    surest = [domain for domain, score in scores.items() if score == best > 1]
    named = [domain for domain, score in scores.items() if domain.name == name and score > 0]
    if named or (len(surest) == 1 and name is None):
        return (named or surest)[0]
    words = " or ".join(f"domain={domain.name}" for domain in surest)
    if name is not None and surest:
        raise UsageError(f"domain={name} does not take a {kind_of(source)}; give {words}, or its numbers as an array")
    if surest:
        raise DomainError(f"{' and '.join(d.name for d in surest)} both take a {kind_of(source)}; give {words}")
    return None


def open_object(
    domain: Domain, source: object, options: Mapping[str, Any], bands: Words | None = None, area: Area = WHOLE
) -> Scene:
    """The scene of an object that a domain knows; its file lives as long as the scene, or what was made of it.

    Args:
        domain: knows the object.
        source: the object.
        options: of the domain.
        bands: which bands; None for all.
        area: the part of it that is asked for.

    Raises:
        UsageError: see `Domain.lay_down`.
        FormatError: see `Domain.open`.
        DomainError: see `Domain.open`.
    """
    folder, labels = Folder(), source if isinstance(source, Labelled) else None
    if labels is not None and bands is not None:
        chosen = labels.choose(bands)
        labels, bands = (labels, bands) if chosen is None else (chosen, None)
    parts = [open_scene(domain, path, options, bands, area) for path in domain.lay_down(labels or source, folder.path)]
    scene = parts[0] if len(parts) == 1 else StackScene(parts)
    scene.kept, scene.labels = folder, labels
    return scene
