"""What a training run reads: fields or aligned pictures in generator units, and the network that fits them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gensr.errors import UsageError
from gensr.making import corpus
from gensr.making.telling import Seen
from gensr.making.units import check_unit

from .network import Shape
from .options import Options
from .pictures import Fields, Pictures, Variation

FloatArray = npt.NDArray[np.float32]
MOST_IMAGES = 60_000
FEWEST = 10
HELD = 16
"""Windows of each domain that are validated."""
LUMINANCE = (0.299, 0.587, 0.114)
"""Of red, green and blue, ITU-R BT.601."""
PLAIN = Variation(0, 0, 0, 0, 0, 0)
OF_PICTURES = Variation(0.08, 0.02, 0.08, 0, 0, 0)
"""Aligned pictures vary less: a face has one sign, one size, and light that belongs to it."""
OF_JOINT = Variation(bands=0.08)
"""Of fields whose bands stay together, the light of each varies a little by itself."""
OF_FLUXES = Variation(0.5, 0, 0, 0, 0, 0)
"""Of fluxes only the brightness varies: their zero is the sky."""
FIELD, LARGEST_FINE = (48, 72, 112), 64
"""Widths for fields; aligned pictures up to this side are seen in blocks of 2 x 2 pixels, larger ones of 4 x 4."""


@dataclass(frozen=True)
class Corpora:
    """All corpora of a run.

    Attributes:
        sources: one for every domain.
        side: of what they give, pixels.
        bands: modelled jointly.
        scaling: how values became generator units, for the weights file; empty where domains differ.
        unit: the value of full scale, for aligned pictures.
    """

    sources: tuple[Fields | Pictures, ...]
    side: int
    bands: int
    scaling: Mapping[str, float]
    unit: float = 1.0


def corpora(chosen: Options, seen: Seen) -> Corpora:
    """Read what a run trains on.

    Args:
        chosen: options.
        seen: counts what was read.

    Raises:
        UsageError: unsuitable images.
    """
    if chosen.aligned:
        return _pictures(chosen, seen)
    found = {chosen.percentiles(domain) for domain in chosen.domains}
    low, high = next(iter(found))
    varied = OF_FLUXES if chosen.unit is not None else OF_JOINT if chosen.joint else Variation()
    sources = tuple(_fields(chosen, chosen.data, i, varied, seen, FEWEST) for i in range(len(chosen.domains)))
    if chosen.unit is not None:
        return Corpora(sources, _side(chosen), 1, {"unit": chosen.unit})
    bands = {source.bands for source in sources}
    if len(bands) > 1:
        numbers = ", ".join(str(number) for number in sorted(bands))
        raise UsageError(f"joint=true: images of {numbers} bands share no network; give images of one number")
    return Corpora(sources, _side(chosen), bands.pop(), {"low": low, "high": high} if len(found) == 1 else {})


def held(chosen: Options, trained: Corpora, seen: Seen) -> dict[str, Tensor]:
    """The windows or pictures that all validations of a run show, as they are, by domain."""
    if not chosen.held:
        return {}
    draw = torch.Generator()
    if chosen.aligned:
        images = [*islice(seen.watch(_read(chosen, chosen.held, 0)), HELD)]
        _checked(images, chosen.held[0], chosen.side or images[0].shape[-1])
        return {chosen.domains[0]: Pictures.of(images, trained.unit, PLAIN, (1.0,)).stack.float()}
    fields = (_fields(chosen, chosen.held, i, PLAIN, seen, 1) for i in range(len(chosen.domains)))
    return {
        name: one.batch(HELD, draw.manual_seed(i))
        for i, (name, one) in enumerate(zip(chosen.domains, fields, strict=True))
    }


def shape_for(chosen: Options, found: Corpora) -> Shape:
    """The network of a run that starts from nothing."""
    if not chosen.aligned:
        return Shape(found.bands, chosen.patch or 2, chosen.widths or FIELD)
    large = found.side > LARGEST_FINE
    widths = chosen.widths or ((72, 104, 136) if large else (48, 72, 96))
    patch, embedding, fine = (4, 96, 24) if large else (2, 64, 16)
    return Shape(found.bands, chosen.patch or patch, widths, 2, embedding, True, fine)


def _side(chosen: Options) -> int:
    return chosen.side or 64


def names(paths: tuple[Path, ...]) -> str:
    """The first files of a corpus, for messages and cards."""
    return ", ".join(path.name for path in paths[:3]) + (" ..." if len(paths) > 3 else "")


def _read(chosen: Options, groups: tuple[tuple[Path, ...], ...], index: int) -> Iterator[FloatArray]:
    found = chain.from_iterable(corpus.read(path, chosen.domains[index]) for path in groups[index])
    for image in islice(found, MOST_IMAGES):
        if not np.isfinite(image).all():
            raise UsageError(f"an image of {names(groups[index])} holds NaN or infinity; fill or remove it")
        grey = chosen.grey and image.shape[0] == len(LUMINANCE)
        yield np.tensordot(np.array(LUMINANCE, np.float32), image, 1)[None] if grey else image


def _fields(
    chosen: Options,
    groups: tuple[tuple[Path, ...], ...],
    index: int,
    variation: Variation,
    seen: Seen,
    fewest: int,
) -> Fields:
    low, high = chosen.percentiles(chosen.domains[index])
    images = seen.watch(_read(chosen, groups, index))
    if chosen.joint:
        images = _of_equal_bands(images, names(groups[index]))
    fields = Fields(images, low, high, _side(chosen), variation, chosen.unit, chosen.joint)
    if chosen.unit is not None and len(fields):
        check_unit(chosen.unit, fields.largest * chosen.unit, names(groups[index]))
    if len(fields) < fewest:
        raise UsageError(
            f"{names(groups[index])}: {len(fields)} planes of {_side(chosen)} pixels or more that show something are "
            f"too few; give {fewest} or more"
        )
    return fields


def _of_equal_bands(images: Iterator[FloatArray], where: str) -> Iterator[FloatArray]:
    """The images, of which all have the bands of the first one.

    Raises:
        UsageError: one has another number.
    """
    bands = 0
    for image in images:
        bands = bands or len(image)
        if len(image) != bands:
            raise UsageError(
                f"{where}: joint=true: an image of {len(image)} band(s) beside others of {bands}; give images of one "
                "number of bands, or leave joint= out"
            )
        yield image


def _pictures(chosen: Options, seen: Seen) -> Corpora:
    images = list(seen.watch(_read(chosen, chosen.data, 0)))
    where = names(chosen.data[0])
    if len(images) < FEWEST:
        raise UsageError(f"{where}: {len(images)} images are too few; give {FEWEST} or more")
    bands, side = images[0].shape[0], chosen.side or images[0].shape[-1]
    _checked(images, chosen.data[0], side)
    largest = max(float(image.max()) for image in images)
    if largest <= 0:
        raise UsageError(f"{where}: no picture has a value above 0; give pictures that show something")
    unit = float(2 ** np.ceil(np.log2(largest + 1)) - 1)
    pictures = Pictures.of(images, unit, OF_PICTURES)
    return Corpora((pictures,), side, bands, {"unit": unit}, unit)


def _checked(images: list[FloatArray], paths: tuple[Path, ...], side: int) -> None:
    extent = (images[0].shape[0], side, side)
    for image in images:
        if image.shape != extent:
            raise UsageError(
                f"{names(paths)}: an image of {image.shape[0]} band(s) and {image.shape[2]} x {image.shape[1]} pixels "
                f"beside others of {extent[0]} and {side} x {side}; aligned training needs square pictures of one "
                "size: crop them, or give aligned=false"
            )
