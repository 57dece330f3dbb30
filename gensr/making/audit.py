"""Were training images copied? Unconditional samples beside held-out images, which cannot have been copied.

All images are in generator units: (band, rows, cols) float32, of any size for fields, of one size for aligned content.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gensr.errors import UsageError
from gensr.priors.generator import Generator
from gensr.values.random import Stream

Array = npt.NDArray[np.float32]
DRAWS, COMPARED = 200, 4000
"""Samples, and training images, of the audit."""
PLACES, PIECE = 500_000, 128
"""Training windows that samples of fields are compared with, and the side of the pieces they lie in, pixels."""
HELD = 1000
"""Windows of held-out fields: several times the samples, so that chance seldom makes a sample the nearest of all."""
BATCH = 20
"""Samples that are made together."""
SEEN = 32
"""Side at which aligned pictures are compared in the audit, pixels."""
WINDOW, DRAWN = 24, 64
"""Sides of the windows that are compared in fields, and of the samples that they are cut from, pixels."""
COPY = 0.5
"""A sample is suspected to be a copy below this share of the least distance of a held-out image."""
IDENTICAL = 0.005
"""Distance below which windows or pictures look the same; rounding ends at about a tenth of it."""


@dataclass(frozen=True)
class Audit:
    """Root mean square distances to the nearest training image.

    Attributes:
        own: (samples,) of unconditional samples.
        held: (held-out images,) of images that were not trained on.
        pool: number of training windows or pictures that were compared.
        what: what was compared, in words.
        leaked: held-out images that are training images: the comparison is then worth little.
    """

    own: Array
    held: Array
    pool: int
    what: str
    leaked: int = 0

    @property
    def copies(self) -> int:
        """Samples nearer to a training image than `COPY` times the nearest held-out image is."""
        return int((self.own < COPY * float(self.held.min())).sum())

    @property
    def telling(self) -> bool:
        """Whether copies would stand out: held-out images of simple content can be as near."""
        return float(self.held.min()) >= IDENTICAL


def audit(
    generator: Generator, train: Sequence[Tensor], held: Sequence[Tensor], seed: int = 0, device: str = "cpu"
) -> Audit:
    """Are unconditional samples nearer to training images than held-out images are?

    Aligned pictures are compared at `SEEN` pixels. Of fields, windows of `WINDOW` pixels without mean and contrast are
    compared with the windows at every place of the training images, or of `PLACES` places in pieces of them.

    Args:
        generator: what was trained, on ``device``.
        train: its training images, or some of them.
        held: other images of the same kind.
        seed: of samples and windows.
        device: where the generator lives.

    Raises:
        UsageError: no image holds a window, or aligned pictures differ in size.
    """
    known = {image.numpy().tobytes() for image in train}
    leaked = sum(image.numpy().tobytes() in known for image in held)
    if generator.card.aligned:
        sizes = {tuple(image.shape) for image in (*train, *held)}
        if len(sizes) > 1:
            raise UsageError(f"aligned pictures of {len(sizes)} sizes; the audit needs all of one size")
        side = int(train[0].shape[-1])
        pictures, queries = (seen(torch.stack(list(images)).numpy()) for images in (train, held))
        own = seen(draws(generator, (side, side), DRAWS, seed, device))
        what = f"pictures at {SEEN} px"
    else:
        queries = windows_of([image.numpy() for image in held], WINDOW, HELD, seed + 1)
        own = windows_of(list(draws(generator, (DRAWN, DRAWN), DRAWS, seed, device)), WINDOW, DRAWS, seed + 2)
        pieces = _pieces(train, seed)
        found = nearest_anywhere(np.concatenate([own, queries]), pieces, WINDOW)
        pool = sum((p.shape[0] - WINDOW + 1) * (p.shape[1] - WINDOW + 1) for p in pieces)
        what = f"{WINDOW} px windows of unit contrast"
        return Audit(found[: len(own)], found[len(own) :], pool, what, leaked)
    return Audit(nearest(own, pictures), nearest(queries, pictures), len(pictures), what, leaked)


def audit_words(found: Audit) -> str:
    """The audit for a card, in words and figures."""
    own, held = found.own, found.held
    verdict = f"{found.copies or 'no'} sample(s) suspected to be copies (below {COPY:g} of the least held-out distance)"
    if not found.telling:
        verdict = "content so simple that held-out ones come as near as copies would: these could not be told"
    leak = f"; {found.leaked} held-out image(s) are in the training data, hold others out" if found.leaked else ""
    return (
        f"root mean square distance to the nearest of {found.pool} training {found.what}: {len(own)} unconditional "
        f"samples median {np.median(own):.3f}, least {own.min():.3f}; {len(held)} held-out median "
        f"{np.median(held):.3f}, least {held.min():.3f}; {verdict}{leak}"
    )


@torch.no_grad()
def draws(
    generator: Generator, shape: tuple[int, int], count: int = DRAWS, seed: int = 0, device: str = "cpu"
) -> Array:
    """Unconditional samples (count, band, rows, cols), generator units."""
    spec, found = generator.latents(shape), []
    for start in range(0, count, BATCH):
        streams = [Stream(seed).child("audit", i) for i in range(start, min(start + BATCH, count))]
        latents = {name: value.to(device) for name, value in spec.sample(streams).items()}
        found.append(generator.synthesize(latents, shape).float().cpu().numpy())
    return np.asarray(np.concatenate(found), np.float32)


def windows_of(images: Sequence[Array], side: int, count: int, seed: int) -> Array:
    """Random windows (count, side^2) without their mean, scaled to unit deviation; flat ones are left out.

    Args:
        images: (band, rows, cols) each.
        side: of the windows, pixels.
        count: how many.
        seed: of the choice.

    Raises:
        UsageError: no image holds a window that shows something.
    """
    large = [image for image in images if min(image.shape[-2:]) >= side]
    rng = np.random.default_rng(seed)
    found: list[Array] = []
    for _ in range(100 * count if large else 0):
        image = large[int(rng.integers(len(large)))]
        plane = image[rng.integers(len(image))]
        top, left = rng.integers(0, plane.shape[0] - side + 1), rng.integers(0, plane.shape[1] - side + 1)
        window = plane[top : top + side, left : left + side].ravel()
        if window.std() > 1e-3 * (abs(plane).max() + 1e-12):
            found.append((window - window.mean()) / window.std())
        if len(found) == count:
            break
    if len(found) < count:
        raise UsageError(f"{len(images)} images hold too few windows of {side} pixels that show something; give others")
    return np.stack(found).astype(np.float32)


def seen(pictures: Array) -> Array:
    """Aligned pictures (n, band, side, side) at `SEEN` pixels, flattened: (n, band * SEEN^2)."""
    small = torch.nn.functional.adaptive_avg_pool2d(torch.from_numpy(pictures), SEEN)
    return np.asarray(small.flatten(1).numpy(), np.float32)


def nearest(queries: Array, pool: Array) -> Array:
    """Root mean square distance of each query (n, d) to its nearest neighbour in the pool (m, d): (n,)."""
    # The fast form of cdist loses what distances near 0 hold, and copies are what is looked for.
    mode = "donot_use_mm_for_euclid_dist"
    distance = torch.cdist(torch.from_numpy(queries), torch.from_numpy(pool), compute_mode=mode).min(1).values
    return np.asarray(distance.numpy() / np.float32(queries.shape[1] ** 0.5), np.float32)


def _pieces(images: Sequence[Tensor], seed: int) -> list[Tensor]:
    """Planes of images in random order, cut to `PIECE` pixels, that hold about `PLACES` windows."""
    rng = np.random.default_rng(seed)
    pieces, places = [], 0
    planes = [plane for image in images for plane in image if min(plane.shape) >= WINDOW]
    for i in rng.permutation(len(planes)):
        plane = planes[int(i)]
        top, left = (int(rng.integers(0, max(0, side - PIECE) + 1)) for side in plane.shape)
        pieces.append(plane[top : top + PIECE, left : left + PIECE])
        places += (pieces[-1].shape[0] - WINDOW + 1) * (pieces[-1].shape[1] - WINDOW + 1)
        if places >= PLACES:
            break
    if not pieces:
        raise UsageError(f"{len(images)} training images hold no window of {WINDOW} pixels; give larger ones")
    return pieces


def nearest_anywhere(queries: Array, planes: Sequence[Tensor], side: int) -> Array:
    """Root mean square distance of windows to the nearest window of unit contrast at any place of any plane.

    Args:
        queries: (n, side^2) without mean, of unit deviation, see `windows_of`.
        planes: (rows, cols) each.
        side: of the windows, pixels.

    Returns:
        (n,); for windows of unit contrast with correlation ``r`` it is ``sqrt(2 - 2 r)``.
    """
    mine = torch.from_numpy(queries)
    best = torch.full((len(queries),), -1.0)
    for plane in planes:
        windows = plane.unfold(0, side, 1).unfold(1, side, 1).reshape(-1, side * side)
        windows = windows - windows.mean(1, keepdim=True)
        size = windows.norm(dim=1) * side
        correlation = (mine @ windows.T) / size.clamp(min=torch.finfo(size.dtype).tiny)
        best = torch.maximum(best, correlation.amax(1))
    return np.asarray((2 - 2 * best).clamp(min=0).sqrt().numpy(), np.float32)
