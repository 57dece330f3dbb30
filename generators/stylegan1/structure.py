"""What a StyleGAN of 2018 is made of, told from names and shapes of its tensors (names as in the files of PULSE)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor

from gensr.errors import WeightsError
from gensr.priors.schema import Number, Record, check_shapes, doubling_sides

LARGEST = 2048
CONFIG = Record({"black": Number(-1e4, 1e4), "white": Number(-1e4, 1e4), "spread": Number(0.0, 0.999)})
"""What the header of a weights file says, beside the shapes."""


@dataclass(frozen=True)
class Structure:
    """Sizes of a network.

    Attributes:
        widths: channels by side, coarsest (4 px) first.
        bands: of the image.
        style: numbers of w.
        latent: numbers of z.
        depth: layers of the mapping.
    """

    widths: dict[int, int]
    bands: int
    style: int
    latent: int
    depth: int

    @property
    def sides(self) -> tuple[int, ...]:
        """Of the levels, coarsest first."""
        return tuple(self.widths)


def structure(tensors: Mapping[str, Tensor], name: str) -> Structure:
    """Sizes of a network by its tensors, every shape checked.

    Args:
        tensors: by PULSE's names.
        name: of the generator, for messages.

    Raises:
        WeightsError: a level, a layer or a tensor is missing or of another shape.
    """
    sides = doubling_sides(tensors, r"blocks\.(\d{1,4})x\1\.", LARGEST, name)
    firsts = {side: f"blocks.{side}x{side}.{'conv' if side == 4 else 'conv1'}.weight" for side in sides}
    depth = len({key for key in tensors if re.fullmatch(r"dense\d{1,2}\.weight", key)})
    for key in (*firsts.values(), "torgb.weight", "dense0.weight", "blocks.4x4.epi1.style_mod.lin.weight"):
        if key not in tensors or tensors[key].ndim < 2:
            raise WeightsError(f"{name}: tensor {key!r} is missing, or has too few axes")
    found = Structure(
        {side: int(tensors[key].shape[0]) for side, key in firsts.items()},
        bands=int(tensors["torgb.weight"].shape[0]),
        style=int(tensors["blocks.4x4.epi1.style_mod.lin.weight"].shape[1]),
        latent=int(tensors["dense0.weight"].shape[1]),
        depth=depth,
    )
    check_shapes(tensors, dict(_shapes(found)), name)
    return found


def _shapes(s: Structure) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Name and shape of every tensor that is used."""
    inward = s.latent
    for i in range(s.depth):
        yield f"dense{i}.weight", (s.style, inward)
        yield f"dense{i}.bias", (s.style,)
        inward = s.style
    yield "blocks.4x4.const", (1, s.widths[4], 4, 4)
    yield "blocks.4x4.bias", (s.widths[4],)
    before = s.widths[4]
    for side, width in s.widths.items():
        place = f"blocks.{side}x{side}"
        layers = [("conv", width)] if side == 4 else [("conv0_up", before), ("conv1", width)]
        for layer, channels in layers:
            yield f"{place}.{layer}.weight", (width, channels, 3, 3)
            yield f"{place}.{layer}.bias", (width,)
        for end in ("epi1", "epi2"):
            yield f"{place}.{end}.top_epi.noise.weight", (width,)
            yield f"{place}.{end}.style_mod.lin.weight", (2 * width, s.style)
            yield f"{place}.{end}.style_mod.lin.bias", (2 * width,)
        before = width
    yield "torgb.weight", (s.bands, before, 1, 1)
    yield "torgb.bias", (s.bands,)
