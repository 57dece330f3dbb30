"""Super-resolve one example of each domain and lay the pictures side by side.

    python scripts/demo.py FOLDER

leaves the inputs, the outputs in the format of each input, and ``contact_sheet.png`` in FOLDER.
"""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
from examples import MAKERS, Example
from PIL import Image, ImageDraw

import gensr
from gensr.metrics import psnr
from gensr.operators.resample import upsample as interpolate
from gensr.priors import weights
from gensr.values.grid import Window

CELL = 256
"""Side of one picture of the sheet, pixels."""
GAP, TITLE = 6, 32
Picture = npt.NDArray[np.uint8]
FloatArray = npt.NDArray[np.float32]


def run(kind: str, example: Example, folder: Path) -> list[tuple[str, Picture]]:
    """Super-resolve one example and return the pictures of its row with their titles."""
    started = time.monotonic()
    result = gensr.upsample(
        example.path, factor=example.factor, domain=example.domain, output=folder, overwrite=True, samples=1
    )
    scene = gensr.open(example.path, domain=example.domain)
    drawn = next(path for path in result.files if "_sample1." in path.name)
    mean, sample = (_read(path, example.domain, scene.planes // 2) for path in (result.files[0], drawn))
    window = Window(0, 0, *scene.grid.shape)
    image = scene.read(scene.planes // 2, window)
    gain = float(result.report["operator"]["gain"])  # above 1 where pixels hold flux, which is shared out
    given = np.where(image.valid, image.values, np.float32(np.nan))
    filled = np.where(image.valid, image.values, np.float32(np.median(image.values[image.valid])))
    lanczos = (interpolate(filled, example.factor, "lanczos") / gain).astype(np.float32)
    known = np.isfinite(mean)
    lanczos[~known] = np.nan

    def show(values: npt.NDArray[np.floating]) -> Picture:
        return np.asarray(scene.render((values * gain).astype(np.float32), given), np.uint8)

    deviation = np.asarray(result.std, np.float32).reshape(-1, *mean.shape)[scene.planes // 2]
    row = [
        (f"{kind}: input {scene.grid.shape[1]} x {scene.grid.shape[0]}", show(_blocks(given, example.factor) / gain)),
        (f"Lanczos{_score(lanczos, example)}", show(lanczos)),
        (f"gensr x{example.factor}, mean{_score(mean, example)}\n(generated detail)", show(mean)),
        ("one sample\n(generated detail)", show(sample)),
        ("standard deviation\n(black: sure)", _heat(deviation)),
    ]
    if example.truth is not None:
        row.append(("truth", show(np.where(known, example.truth, np.nan))))
    scene.close()
    names = ", ".join(path.name for path in result.files)
    print(f"{kind:9} {time.monotonic() - started:5.1f} s  {example.source}\n{'':9}          {names}", flush=True)
    return row


def _read(path: Path, domain: str, plane: int) -> FloatArray:
    """One plane of a written file in physical units, invalid pixels NaN: what another program would see."""
    scene = gensr.open(path, domain=domain)
    image = scene.read(plane, Window(0, 0, *scene.grid.shape))
    scene.close()
    return np.where(image.valid, image.values, np.float32(np.nan))


def _score(estimate: FloatArray, example: Example) -> str:
    if example.truth is None:
        return ""
    known = np.isfinite(estimate)
    peak = float(np.percentile(example.truth, 99.9) - np.percentile(example.truth, 0.1))
    return f": {psnr(example.truth[known], estimate[known], peak):.1f} dB"


def _blocks(values: FloatArray, factor: int) -> FloatArray:
    return values.repeat(factor, 1).repeat(factor, 2)


def _heat(deviation: FloatArray) -> Picture:
    level = deviation.mean(0)
    known = np.isfinite(level)
    t = np.nan_to_num(level) / (float(np.percentile(level[known], 99.5)) or 1.0)
    rgb = np.stack([np.clip(3 * t - k, 0, 1) for k in range(3)], -1)
    rgb[~known] = 0.5
    return np.asarray(rgb * 255, np.uint8)


def sheet(rows: list[list[tuple[str, Picture]]]) -> Image.Image:
    """Rows of titled pictures, each enlarged to a cell without smoothing."""
    columns = max(map(len, rows))
    canvas = Image.new("RGB", (columns * (CELL + GAP) + GAP, len(rows) * (CELL + TITLE + GAP) + GAP), "white")
    draw = ImageDraw.Draw(canvas)
    for i, row in enumerate(rows):
        for j, (title, picture) in enumerate(row):
            x, y = GAP + j * (CELL + GAP), GAP + i * (CELL + TITLE + GAP)
            draw.multiline_text((x, y), title, fill="black", spacing=2)
            own = Image.fromarray(np.ascontiguousarray(picture))
            scale = CELL / max(own.size)
            size = (round(own.width * scale), round(own.height * scale))
            canvas.paste(own.resize(size, Image.Resampling.NEAREST), (x, y + TITLE))
    return canvas


def main(folder: Path) -> int:
    """Run every example whose generator is installed.

    Returns:
        The exit code: 1 if an example failed.
    """
    inputs, outputs = folder / "inputs", folder / "outputs"
    for part in (inputs, outputs):
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
    rows, failed = [], 0
    for kind, make in MAKERS.items():
        example = make(inputs)
        scene = gensr.open(example.path, domain=example.domain)
        wanted = scene.generator()
        scene.close()
        if wanted not in weights.available():
            print(f"{kind:9} skipped: the generator {wanted} is not part of this checkout", flush=True)
            continue
        try:
            rows.append(run(kind, example, outputs))
        except gensr.GensrError as error:
            print(f"{kind:9} FAILED: {error}", flush=True)
            failed += 1
    picture = folder / "contact_sheet.png"
    if rows:
        sheet(rows).save(picture, optimize=True)
        print(f"\ncontact sheet: {picture}")
    print(f"results: {outputs}\nThe fine detail is generated: plausible, not measured.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "demo")))
