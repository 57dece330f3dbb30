"""The numbers of EDM's U-Nets, and how names and shapes of tensors tell them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from gensr.errors import WeightsError
from gensr.priors.schema import Flag, List, Record, Text, Whole

_SIZE = Whole(1, 1 << 14)
SHAPE = Record(
    {
        **dict.fromkeys(("side", "width", "noise", "told"), _SIZE),
        **dict.fromkeys(("inward", "outward"), Whole(1, 1024)),
        "widths": List(_SIZE, 1, 10),
        "blocks": Whole(1, 64),
        "attended": List(_SIZE, 0, 10),
        "classes": Whole(0, 1 << 20),
        "taps": Whole(2, 16),
        **dict.fromkeys(("adm", "fourier"), Flag()),
        "encoder": Text(10, "standard|skip|residual"),
        "decoder": Text(10, "standard|skip"),
    }
)


LEVEL = re.compile(r"enc\.(\d{1,5})x\1_(?:conv|block\d+)\.")
"""Names that say how large a level is."""


@dataclass(frozen=True)
class Shape:
    """Numbers of a network.

    Attributes:
        side: of the pictures that it was trained on, which names its levels.
        inward: channels in.
        outward: channels out.
        width: channels after the first convolution.
        widths: channels of each level, the finest first.
        blocks: of each level on the way down; one more on the way up.
        attended: sides of levels with attention.
        noise: numbers of the embedding of the noise level.
        told: numbers that blocks are told.
        classes: that it knows, 0 for none.
        taps: of the filters that change sizes.
        adm: whether it is that of ADM.
        fourier: whether noise levels are embedded by random frequencies, which lie in the file.
        encoder: ``skip`` and ``residual`` also give each level the picture, as it is or as the level before made it.
        decoder: ``skip`` sums pictures of all levels.
    """

    side: int
    inward: int
    outward: int
    width: int
    widths: tuple[int, ...]
    blocks: int
    attended: tuple[int, ...]
    noise: int
    told: int
    classes: int
    taps: int
    adm: bool
    fourier: bool
    encoder: str
    decoder: str

    @property
    def multiple(self) -> int:
        """Sides of images are multiples of this."""
        return 1 << (len(self.widths) - 1)

    @property
    def sides(self) -> list[int]:
        """Pixels of each level, the finest first."""
        return [self.side >> i for i in range(len(self.widths))]

    @property
    def levels(self) -> Iterator[tuple[int, str, int]]:
        """Number, name and channels of each level, the finest first."""
        for i, width in enumerate(self.widths):
            yield i, name_of(self.side >> i), width

    def attends(self, level: int) -> bool:
        """Whether blocks of a level have attention."""
        return self.side >> level in self.attended

    def to_config(self) -> dict[str, Any]:
        """As JSON-able dictionary."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @staticmethod
    def from_config(config: object, place: str) -> Shape:
        """Inverse of `to_config`.

        Raises:
            WeightsError: numbers that no network can have.
        """
        SHAPE.check(config, place)
        assert isinstance(config, Mapping)
        said: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in config.items()}
        found = Shape(**{k: said[k] for k in SHAPE.needed})
        if found.side % found.multiple or found.noise % 2:
            raise WeightsError(f"{place}: {found.side} pixels and {found.noise} numbers of noise for {found.multiple}")
        if found.adm and (found.fourier or (found.encoder, found.decoder) != ("standard", "standard")):
            raise WeightsError(f"{place}: parts of DDPM++ or NCSN++ in a network of ADM")
        return found


def name_of(side: int) -> str:
    """Of a level, in the names of its tensors."""
    return f"{side}x{side}"


def told_by(tensors: Mapping[str, Sequence[int]], place: str) -> Shape:
    """The numbers of a network by the shapes of its tensors.

    Args:
        tensors: shapes by NVIDIA's names.
        place: of the file, for messages.

    Raises:
        WeightsError: a tensor is missing or has other axes.
    """

    def shape(name: str, axes: int) -> Sequence[int]:
        found = tensors.get(name, ())
        if len(found) != axes:
            reason = f"is of shape {tuple(found)}" if found else "is missing"
            raise WeightsError(f"{place}: tensor {name!r} {reason}")
        return found

    sides = sorted({int(m[1]) for name in tensors if (m := LEVEL.match(name))}, reverse=True)
    if not sides or sides != [sides[0] >> i for i in range(len(sides))]:
        raise WeightsError(
            f"{place}: levels of {', '.join(map(str, sides)) or 'no'} pixels, each half of the one before"
        )
    names = [name_of(s) for s in sides]
    first = shape(f"enc.{names[0]}_conv.weight", 4)
    adm = "out_conv.weight" in tensors
    last = shape("out_conv.weight" if adm else f"dec.{names[0]}_aux_conv.weight", 4)
    filters = [tuple(s) for name, s in tensors.items() if name.endswith("resample_filter")]
    layer = shape("map_layer0.weight", 2)
    kinds = {kind for kind in ("skip", "residual") if any(f"_aux_{kind}." in name for name in tensors)}
    found = Shape(
        side=sides[0],
        inward=first[1],
        outward=last[0],
        width=first[0],
        widths=tuple(shape(f"enc.{name}_block0.conv0.weight", 4)[0] for name in names),
        blocks=sum(bool(re.fullmatch(rf"enc\.{names[0]}_block\d+\.conv0\.weight", name)) for name in tensors),
        attended=tuple(s for s, name in zip(sides, names, strict=True) if f"enc.{name}_block0.qkv.weight" in tensors),
        noise=layer[1],
        told=layer[0],
        classes=shape("map_label.weight", 2)[1] if "map_label.weight" in tensors else 0,
        taps=filters[0][-1] if filters and filters[0] else 2,
        adm=adm,
        fourier="map_noise.freqs" in tensors,
        encoder=min(kinds, default="standard"),
        decoder="skip" if len(names) > 1 and f"dec.{names[-1]}_aux_conv.weight" in tensors else "standard",
    )
    return Shape.from_config(found.to_config(), place)
