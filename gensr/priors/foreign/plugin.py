"""What a plug-in of a foreign family brings: how it knows its checkpoints, and how it makes weights of ours of them."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from gensr import registry
from gensr.errors import PluginError, WeightsError
from gensr.priors import trust, weights
from gensr.priors.card import GeneratorCard
from gensr.priors.families import family
from gensr.priors.foreign.checkpoint import OPAQUE, Checkpoint, Part

GROUP = "foreign"
WORD = re.compile(r"[A-Za-z][A-Za-z0-9.]*")
"""An alignment that a domain may know by name, rather than a description."""
TRUST = "trust=true"
"""What a program misses that nobody has said he trusts."""


@dataclass(frozen=True)
class Match:
    """How well a checkpoint fits a foreign family.

    Attributes:
        score: share of what the family needs that is there, 0..1.
        missing: what is not, in words; empty where the checkpoint can be converted.
        part: where the generator is; None if nowhere.
        words: what it is, such as "StyleGAN2, NVIDIA names, 1024 px".
    """

    score: float
    missing: tuple[str, ...]
    part: Part | None = None
    words: str = ""

    @property
    def fits(self) -> bool:
        """Whether it can be converted."""
        return not self.missing

    @property
    def found(self) -> Part:
        """The part that it is about.

        Raises:
            WeightsError: there is none.
        """
        if self.part is None:
            raise WeightsError("no part of the checkpoint was found to be a generator")
        return self.part


@dataclass(frozen=True)
class Words:
    """What the user says about a generator that is converted: its card, as far as the file cannot know it.

    Attributes:
        name: of the new generator.
        domain: field of science that it serves.
        unit: meaning of its value range.
        pixel: pixel size or sampling of the training images.
        licence: of the weights.
        data: training data.
        bias: known bias and failure.
        bands: bands that it makes, where a choice is possible; 0 leaves it to the file.
        low: value that the network makes of black; None leaves it to the family.
        high: value that it makes of white; None leaves it to the family.
        alignment: how content must be aligned, in a word of its domain ("ffhq") or a description; "none" for fields of
            any size, "" leaves it to the family.
        label: class that it is told, of those that it knows; None for all.
        discrepancy: standard deviation of what it cannot express, generator units.
        latent: shape of its latents, such as "512" or "4x8x8", where the file does not say; "" leaves it to the file.
        distribution: of its latents: normal, uniform, truncated; "" leaves it to the file.
        trust: whether a program may be run.
    """

    name: str
    domain: str = "faces"
    unit: str = "share of the range of the image"
    pixel: str = "not stated"
    licence: str = "not stated: ask the author before use"
    data: str = "not stated"
    bias: str = "not stated: what it was trained on, and what that lacks, it shows"
    bands: int = 0
    low: float | None = None
    high: float | None = None
    alignment: str = ""
    label: int | None = None
    discrepancy: float = 0.05
    latent: str = ""
    distribution: str = ""
    trust: bool = False

    def range(self, low: float = -1.0, high: float = 1.0) -> tuple[float, float]:
        """Values that the network makes of black and white: as the user says, else as its family knows.

        Raises:
            WeightsError: both are the same.
        """
        said = (low if self.low is None else self.low, high if self.high is None else self.high)
        if said[0] == said[1]:
            raise WeightsError(f"low={said[0]:g}, high={said[1]:g}: black and white are the same; give two values")
        return said

    def card(
        self,
        family_name: str,
        bands: int,
        checkpoint: Checkpoint,
        recipe: str,
        aligned: bool = True,
        size: Sequence[int] = (),
    ) -> GeneratorCard:
        """The card of a generator in 0..1, with what is known of its source.

        Args:
            family_name: of the family that rebuilds it.
            bands: of its images.
            checkpoint: that it came from.
            recipe: what it is, in words.
            aligned: whether content must be aligned, rather than a field of any size.
            size: (rows, cols) of the pictures that it makes, where these are of one size.
        """
        side = size[0] if aligned and size and len(set(size)) == 1 else 0
        word = self.alignment.lower() if aligned and WORD.fullmatch(self.alignment) else ""
        return GeneratorCard(
            name=self.name,
            family=family_name,
            domain=self.domain,
            bands=bands,
            aligned=aligned,
            unit=self.unit,
            value_range=(0.0, 1.0),
            pixel=self.pixel,
            licence=self.licence,
            data=self.data,
            split="not stated",
            recipe=recipe if not self.alignment else f"{recipe}; alignment: {self.alignment}",
            bias=self.bias,
            audit="none: converted from another program's weights",
            discrepancy=self.discrepancy,
            alignment=word,
            side=side,
            source=f"{checkpoint.path.name} ({checkpoint.kind}), sha256 {checkpoint.sha256}",
        )


@dataclass(frozen=True)
class Converted:
    """A generator in our form, not written yet.

    Attributes:
        tensors: by the names that its family expects.
        config: for the header, JSON-able.
        card: for the header.
        notes: what was left out or assumed, in words.
    """

    tensors: Mapping[str, Tensor]
    config: Mapping[str, Any]
    card: GeneratorCard
    notes: tuple[str, ...] = field(default=())


class Foreign(ABC):
    """A family of checkpoints of other programs; registered among the entry points ``gensr.foreign``."""

    name: ClassVar[str]

    @abstractmethod
    def match(self, checkpoint: Checkpoint) -> Match | None:
        """How well a checkpoint fits; None where it has nothing to do with the family.

        Args:
            checkpoint: nothing of it is run, and only shapes and names are looked at.
        """

    @abstractmethod
    def convert(self, checkpoint: Checkpoint, match: Match, words: Words) -> Converted:
        """Make weights of ours of it.

        Args:
            checkpoint: as it was read.
            match: what `match` found, without anything missing.
            words: for the card.

        Raises:
            WeightsError: tensors that no network of the family has.
        """


def families() -> dict[str, Foreign]:
    """Every foreign family by name; a broken plug-in is left out with a warning by the registry."""
    found: dict[str, Foreign] = {}
    for name in registry.names(GROUP):
        plugin = registry.load(GROUP, name)
        if not isinstance(plugin, Foreign):
            raise PluginError(f"foreign family {name!r} is no gensr.priors.foreign.plugin.Foreign; update its package")
        found[name] = plugin
    return found


def candidates(checkpoint: Checkpoint) -> list[tuple[Foreign, Match]]:
    """Families that a checkpoint may belong to: those that fit first, then by score."""
    found = [(f, m) for f in families().values() if (m := f.match(checkpoint)) is not None]
    return sorted(found, key=lambda pair: (not pair[1].fits, -pair[1].score))


def detect(checkpoint: Checkpoint, trusted: bool = False) -> tuple[Foreign, Match]:
    """The family of a checkpoint.

    Args:
        checkpoint: as it was read.
        trusted: whether a program that is no known generator may be run as a black box.

    Raises:
        WeightsError: none fits; the message says which come nearest and what they miss.
    """
    found = candidates(checkpoint)
    if found and found[0][1].fits:
        return found[0]
    boxes = [(f, m) for f, m in found if m.missing == (TRUST,)]
    if trusted and boxes:
        return boxes[0][0], replace(boxes[0][1], missing=())
    where = f"{checkpoint.path}: "
    if checkpoint.kind in OPAQUE or boxes:
        raise WeightsError(
            f"{where}a program ({checkpoint.kind}), not weights: {trust.MEANING}. gensr runs it only as a black box "
            "that you trust (add trust=true); better get the state dict that it was made from"
        )
    if not found:
        names = ", ".join(sorted(checkpoint.tensors)[:4]) or "none"
        raise WeightsError(
            f"{where}no known generator (tensors: {names}); known families: {', '.join(families()) or 'none'}"
        )
    near = "; ".join(
        f"{f.name} misses {', '.join(m.missing[:3])}{' ...' if len(m.missing) > 3 else ''}" for f, m in found[:3]
    )
    raise WeightsError(f"{where}no known generator; nearest: {near}")


def convert(checkpoint: Checkpoint, words: Words, out: Path) -> tuple[str, Converted, Match]:
    """Write a checkpoint as a weights file of ours; what is written is rebuilt first, so that it will load.

    Args:
        checkpoint: see `gensr.priors.foreign.reading.read_foreign`.
        words: for the card.
        out: ends with ``.safetensors``.

    Returns:
        The digest, what was written, and what it was found to be.

    Raises:
        WeightsError: no known generator, or tensors that no network has.
    """
    plugin, match = detect(checkpoint, words.trust)
    made = plugin.convert(checkpoint, match, words)
    for name, tensor in made.tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise WeightsError(f"{checkpoint.path}: tensor {name!r} is not finite; get another copy, or an earlier one")
    family(made.card.family).build(made.tensors, made.config, made.card)
    return weights.save(out, made.tensors, made.config, made.card), made, match


def signature(checkpoint: Checkpoint, needed: Sequence[str], words: str = "") -> Match | None:
    """The part of a checkpoint that has most of the names that a family cannot be without.

    Args:
        checkpoint: as it was read.
        needed: regular expressions, each for one tensor or more.
        words: what a file with all of them is.

    Returns:
        None where no part has a single one.
    """
    near: Match | None = None
    for part in checkpoint.parts:
        missing = missing_of(needed, part.tensors)
        score = 1 - len(missing) / len(needed)
        if score > 0 and (near is None or score > near.score):
            near = Match(score, missing, part, words)
    return near


def best(matches: Iterable[Match | None]) -> Match | None:
    """The one that fits, or comes nearest."""
    found = [m for m in matches if m is not None]
    return max(found, key=lambda m: (m.fits, m.score), default=None)


def missing_of(needed: Sequence[str], names: Iterable[str]) -> tuple[str, ...]:
    """Which of the regular expressions fit no name, as a user reads them."""
    every = list(names)
    return tuple(readable(pattern) for pattern in needed if not _any(pattern, every))


def _any(pattern: str, names: Iterable[str]) -> bool:
    form = re.compile(pattern)
    return any(form.fullmatch(name) for name in names)


def readable(pattern: str) -> str:
    """A regular expression as a user reads it."""
    return (
        pattern.replace(r"(\.module)?", "").replace("\\.", ".").replace("\\d+", "N").replace("(", "").replace(")", "")
    )
