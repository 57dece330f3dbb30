"""Motion that nobody measured, found and undone: ``python -m gensr.benchmarks.deblur faces=FOLDER output=DIR``.

A person (a held-out face in an ellipse) moves before a background (a photograph of scikit-image or of the folder):
nobody, both alike, or each by itself, along lines, curves or shaky paths, with noise of 1 %. Where the person covers
the background, the exposure is composed as it happens, with the true background behind. Every picture goes through
``gensr deblur`` with the mask of the person. Beside: the same told that all move alike (one blind kernel), and
Richardson-Lucy and unsupervised Wiener of scikit-image, each told the true kernel of either region, and judged on that
region only. Rows are kept in ``deblur.jsonl``: cases from ``first`` to ``cases`` that are not there are made.
"""

from __future__ import annotations

import io
import json
import math
import tempfile
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy.ndimage import zoom
from scipy.signal import fftconvolve

from gensr import Request, settle
from gensr.errors import UnexplainedError
from gensr.operators.blurs import trace
from gensr.pipeline.events import Written
from gensr.search.motion.fit import Fit
from gensr.search.motion.order import HUMAN, NONE, ORDERS, UNIFORM, kernel_of
from gensr.search.motion.paths import Path as Motion
from gensr.search.motion.paths import correlation

from .scores import Row
from .script import words, write

Array = npt.NDArray[np.float64]
USUAL = {"faces": "", "split": "test", "first": "0", "cases": "100", "answers": "24", "side": "192", "output": "."}
PHOTOS = ("astronaut", "chelsea", "coffee", "camera", "rocket")
KINDS = ("line", "curve", "shake")
NOISE = 0.01
SHORTEST, LONGEST = 6.0, 18.0
"""Extent of motions, pixels."""
STILL = np.ones((1, 1))
LUCY = (10, 30)
"""Iterations of Richardson-Lucy; the better is counted, which flatters it."""
WORSE, ALIKE, ANGLE, LENGTH = 0.1, 0.7, 10.0, 0.15
"""Decibels below the input from which an answer is worse than that; correlation, degrees and share of the length that a
kernel may be off."""
PANEL = 6
"""Pictures of the panel."""


@dataclass(frozen=True, eq=False)
class Case:
    """One simulated picture; images are (rows, cols, 3), 0 to 1."""

    order: str
    kind: str
    kernels: tuple[Array, Array]
    paths: tuple[Motion | None, Motion | None]
    share: Array
    sharp: Array
    seen: Array


def case(index: int, faces: Path, split: str, side: int) -> Case:
    """A case; its order and kind follow from its number."""
    draw = np.random.default_rng((index, {"val": 0, "test": 1}[split]))
    order, kind = ORDERS[index % 3], KINDS[index // 3 % 3]
    behind, person, share = background(index, faces, side, draw), np.zeros((side, side, 3)), np.zeros((side, side))
    width = int(draw.uniform(0.52, 0.62) * side)
    row, col = (int(v) for v in draw.integers(8, side - width - 8, 2))
    place = np.s_[row : row + width, col : col + width]
    person[place], share[place] = face(index, faces, split, width), ellipse(width)
    (one, first), (other, second) = moved(kind, draw), moved(kind, draw)
    if order == NONE:
        one = other = STILL
        first = second = None
    elif order == UNIFORM:
        other, second = one, first
    elif index % 2:  # a camera that keeps still
        other, second = STILL, None
    alpha = blurred(share, one)[..., None]
    seen = blurred(share[..., None] * person, one) + (1 - alpha) * blurred(behind, other)
    seen = seen + draw.normal(0, NOISE, seen.shape)
    sharp = share[..., None] * person + (1 - share[..., None]) * behind
    return Case(order, kind, (one, other), (first, second), share, sharp, seen)


def background(index: int, faces: Path, side: int, draw: np.random.Generator) -> Array:
    """A window of a photograph."""
    from skimage import data

    own = sorted((faces / "photos").glob("*.jpg"))
    number = index % (len(PHOTOS) + len(own))
    if number < len(PHOTOS):
        photo = np.asarray(getattr(data, PHOTOS[number])())
    else:
        with Image.open(own[number - len(PHOTOS)]) as opened:
            photo = np.asarray(opened.convert("RGB"))
    photo = np.stack([photo] * 3, -1) if photo.ndim == 2 else photo
    row, col = (int(draw.integers(0, n - side)) for n in photo.shape[:2])
    return np.asarray(photo[row : row + side, col : col + side], np.float64) / 255


def face(index: int, faces: Path, split: str, side: int) -> Array:
    """A face of a split, (side, side, 3)."""
    with zipfile.ZipFile(faces / f"{split}.zip") as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".jpg"))
        with Image.open(io.BytesIO(archive.read(names[7 * index % len(names)]))) as opened:
            found = np.asarray(opened.convert("RGB"), np.float64) / 255
    larger = zoom(found, (side / len(found), side / len(found), 1), order=3, grid_mode=True, mode="nearest")
    return np.asarray(larger.clip(0, 1), np.float64)


def ellipse(side: int) -> Array:
    """Share of a person in a square."""
    at = np.arange(side) - (side - 1) / 2
    inside = (1 - np.hypot(at[:, None] / (0.47 * side), at / (0.40 * side))) * 0.4 * side + 0.5
    return np.asarray(np.clip(inside, 0, 1), np.float64)


def moved(kind: str, draw: np.random.Generator) -> tuple[Array, Motion | None]:
    """A kernel, and its path if two or three numbers describe it."""
    extent = float(draw.uniform(SHORTEST, LONGEST))
    if kind != "shake":
        turn = float(draw.uniform(1.2, 2.6)) if kind == "curve" else 0.0
        path = Motion(extent, float(draw.uniform(0, 360)), turn)
        return path.kernel(), path
    heading = np.cumsum(0.12 * (draw.normal(size=400) + 0j)) + draw.uniform(0, 2 * math.pi)
    way = np.cumsum(np.exp(1j * np.asarray(heading).real))
    way = (way - way.mean()) * extent / max(np.ptp(way.real), np.ptp(way.imag))
    return trace(way.imag, way.real), None


def blurred(x: Array, kernel: Array) -> Array:
    """Convolution of every band of the reflected picture."""
    margin = max(kernel.shape)
    wide = np.pad(x, [(margin, margin)] * 2 + [(0, 0)] * (x.ndim - 2), mode="symmetric")
    shaped = kernel.reshape(kernel.shape + (1,) * (x.ndim - 2))
    return np.asarray(fftconvolve(wide, shaped, mode="same", axes=(0, 1))[margin:-margin, margin:-margin])


def psnr(x: Array, sharp: Array, weight: Array) -> float:
    """Of a region, dB; the range is 1."""
    square = ((np.clip(x, 0, 1) - sharp) ** 2).mean(-1)
    return -10 * math.log10(float((square * weight).sum() / weight.sum()))


@dataclass(frozen=True, eq=False)
class Answer:
    """What came of a case."""

    order: str
    fits: tuple[Fit | None, Fit | None]
    picture: Array | None
    seconds: float


def answered(made: Case, order: str, folder: Path, compute: bool) -> Answer:
    """A case through the pipeline, as a PNG; with its mask unless it is told that all move alike."""
    Image.fromarray((255 * made.seen).round().clip(0, 255).astype(np.uint8)).save(folder / "a.png")
    Image.fromarray((255 * made.share).round().astype(np.uint8)).save(folder / "mask.png")
    operator = f"moving:{order}" + ("" if order == UNIFORM else f",mask={folder / 'mask.png'}")
    started = time.monotonic()
    request = Request(folder / "a.png", 1, operator=operator, noise=255 * NOISE, samples=0, check="off")
    with settle(request) as plan:
        found = plan.moved.found  # type: ignore[union-attr]
        picture: Array | None = None
        try:
            for event in plan.run() if compute else ():
                if isinstance(event, Written):
                    picture = np.moveaxis(np.asarray(event.result.mean, np.float64), 0, -1) / 255
        except UnexplainedError:
            pass  # counted with the picture that it left
    person = found.people[0] if found.people else found.background
    return Answer(found.order, (person, found.background), picture, time.monotonic() - started)


def told(made: Case, kernel: Array) -> dict[str, Array]:
    """Pictures of scikit-image, which knows a kernel."""
    from skimage import restoration

    lucy: Callable[..., Array] = restoration.richardson_lucy
    wiener: Callable[..., tuple[Array, object]] = restoration.unsupervised_wiener
    margin = 2 * max(kernel.shape) + 8
    wide = np.pad(made.seen, [(margin, margin)] * 2 + [(0, 0)], mode="symmetric")
    cut = np.s_[margin:-margin, margin:-margin]
    odd = np.pad(kernel, 1) if min(kernel.shape) < 3 else kernel
    out = {}
    for count in LUCY:
        bands = [lucy(wide[..., c].clip(1e-3, 1), odd, num_iter=count)[cut] for c in range(3)]
        out[f"lucy {count}"] = np.stack(bands, -1)
    bands = [wiener(wide[..., c], odd, clip=False, rng=0)[0][cut] for c in range(3)]
    out["wiener"] = np.stack(bands, -1)
    return out


def row(index: int, made: Case, found: Answer, uniform: Answer | None) -> Row:
    """Figures of a case."""
    out: Row = {"case": index, "order": made.order, "kind": made.kind, "found": found.order, "seconds": found.seconds}
    for name, kernel, path, fit in zip(("person", "background"), made.kernels, made.paths, found.fits, strict=True):
        if kernel.size == 1:
            continue
        out[f"{name} correlation"] = correlation(kernel, kernel_of(fit))
        if made.kind == "line" and path is not None and fit is not None and fit.path is not None:
            out[f"{name} angle error"] = abs((fit.path.angle - path.angle + 90) % 180 - 90)
            out[f"{name} length error"] = abs(fit.path.length / path.length - 1)
    if found.picture is None:
        return out
    regions = {"person": made.share, "background": 1 - made.share}
    for (name, weight), kernel in zip(regions.items(), made.kernels, strict=True):
        pictures = {"blurred": made.seen, "gensr": found.picture}
        if uniform is not None and uniform.picture is not None:
            pictures["one kernel"] = uniform.picture
        if kernel.size > 1:
            known = told(made, kernel)
            pictures["lucy"] = max((known[f"lucy {n}"] for n in LUCY), key=lambda x: psnr(x, made.sharp, weight))
            pictures["wiener"] = known["wiener"]
        out |= {f"{name} {way}": psnr(x, made.sharp, weight) for way, x in pictures.items()}
    whole = np.ones(made.share.shape)
    out |= {"whole blurred": psnr(made.seen, made.sharp, whole), "whole gensr": psnr(found.picture, made.sharp, whole)}
    return out


def summary(rows: Sequence[Row]) -> list[Row]:
    """Means by order and kind."""
    out: list[Row] = []
    for order in (*ORDERS, "all"):
        for kind in (*KINDS, "all"):
            own = [r for r in rows if order in ("all", r["order"]) and kind in ("all", r["kind"])]
            if not own or (order == NONE and kind != "all") or (order == "all" and kind != "all"):
                continue
            one: Row = {"order": order, "kind": kind, "cases": len(own)}
            one["order right"] = f"{sum(r['order'] == r['found'] for r in own)}/{len(own)}"
            for name in FIGURES:
                values = [float(v) for r in own if isinstance(v := r.get(name), float)]
                if values:
                    middle = (
                        float(np.median(values)) if name.endswith(("error", "correlation")) else float(np.mean(values))
                    )
                    one[name] = middle
            one |= found_kernels(own)
            gains = [float(r["whole gensr"]) - float(r["whole blurred"]) for r in own if "whole gensr" in r]
            if gains:
                one |= {"answers": len(gains), "worse": sum(g < -WORSE for g in gains), "least gain": min(gains)}
            out.append(one)
    return out


def found_kernels(rows: Sequence[Row]) -> Row:
    """How many kernels, of people and backgrounds that move, are alike to the true ones, and lines as they were."""
    alike, lines = [], []
    for one in rows:
        for region in ("person", "background"):
            like = one.get(f"{region} correlation")
            if isinstance(like, float):
                alike.append(like > ALIKE)
                angle, length = (one.get(f"{region} {what} error") for what in ("angle", "length"))
                if one["kind"] == "line":
                    known = isinstance(angle, float) and isinstance(length, float)
                    lines.append(known and float(angle) <= ANGLE and float(length) <= LENGTH)  # type: ignore[arg-type]
    counts = {"alike": alike, "lines": lines}
    return {name: f"{sum(values)}/{len(values)}" for name, values in counts.items() if values}


FIGURES = tuple(
    f"{name} {what}"
    for name in ("person", "background")
    for what in ("angle error", "length error", "correlation", "blurred", "gensr", "one kernel", "lucy", "wiener")
)
TEXT = (
    "# Motion found and undone",
    "",
    "Made by `python -m gensr.benchmarks.deblur`: a held-out face moves before a photograph, along lines, curves or",
    "shaky paths of 6 to 18 pixels, noise 1 %, {side} x {side} pixels; `none`: nothing moved, `uniform`: all alike,",
    "`human`: each by itself, in half of the cases before a background that keeps still. Mask of the person given.",
    "Medians of errors (degrees, share of the length) and of correlations of kernels; means of PSNR in dB by region,",
    "of the cases with `answers`. `gensr`: `motion=auto`; `one kernel`: `motion=uniform`, blind, where motions differ;",
    "`lucy`, `wiener`: Richardson-Lucy (better of 10 and 30 iterations) and unsupervised Wiener of scikit-image with",
    "the *true* kernel of the region. `least gain`: worst case of the whole picture against the blurred one, dB;",
    "`worse`: answers more than 0.1 dB below that. `alike`: kernels of people and backgrounds whose correlation with",
    "the true one is above 0.7; `lines`: those of lines found as lines within 10 degrees and 15 % of the length.",
)


def recorded(journal: Path) -> list[Row]:
    """Rows of a journal; a line that was cut short does not count."""
    rows: list[Row] = []
    for line in journal.read_text("utf-8").splitlines() if journal.exists() else ():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return rows


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    given = words(argv, USUAL)
    faces, side, output = Path(given["faces"]), int(given["side"]), Path(given["output"])
    output.mkdir(parents=True, exist_ok=True)
    journal = output / "deblur.jsonl"
    panel: list[Array] = []
    rows = recorded(journal)
    columns = ("order", "kind", "cases", "order right", "alike", "lines", "answers", "worse", "least gain", *FIGURES)
    with tempfile.TemporaryDirectory() as folder:
        for index in range(int(given["first"]), int(given["cases"])):
            if any(r["case"] == index for r in rows):
                continue
            made = case(index, faces, given["split"], side)
            compute = index < int(given["answers"])
            found = answered(made, "auto", Path(folder), compute)
            uniform = answered(made, UNIFORM, Path(folder), True) if compute and made.order == HUMAN else None
            rows.append(row(index, made, found, uniform))
            with journal.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(rows[-1]) + "\n")
            if found.picture is not None and made.order == HUMAN and len(panel) < PANEL:
                alone = made.seen if uniform is None or uniform.picture is None else uniform.picture
                panel.append(np.concatenate([made.seen, alone, found.picture, made.sharp], 1))
                strip = 255 * np.concatenate(panel)
                Image.fromarray(strip.round().clip(0, 255).astype(np.uint8)).save(output / "deblur.png")
            write(output, "deblur", [line.format(side=side) for line in TEXT], columns, summary(rows))


if __name__ == "__main__":
    main()
