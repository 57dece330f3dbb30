"""Which instrument made the pixels: what the user names, with its kernel read from a file, else what the scene says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from gensr.errors import FormatError, GensrError, UsageError
from gensr.operators import MeasuredPSF, Operator, parse_operator
from gensr.operators.psf import LARGEST_SIDE
from gensr.operators.registry import absolute
from gensr.operators.scaled import Scaled
from gensr.pipeline.moving import Moved, Sought
from gensr.pipeline.request import NOTHING, Request
from gensr.scenes.inputs import guess, open_scene
from gensr.scenes.scene import Scene
from gensr.search.motion.order import AUTO, HUMAN
from gensr.values.grid import Factor, Window

KERNEL = "psf"
"""Name of the operator whose parameter is a file with a kernel."""
BLURS = ("gaussian", "defocus", "motion")
"""Operators that are called blurs where nothing else is undone."""


def blur_words(
    blur: str | None = None, kernel: str | Path | None = None, motion: str | None = None, mask: str | Path | None = None
) -> str | None:
    """The operator that the words of ``deblur`` mean; None where none is given.

    Args:
        blur: ``gaussian:SIGMA``, ``defocus:RADIUS`` or ``motion:LENGTH,ANGLE``, pixels of the input.
        kernel: a file with the blur of a point.
        motion: ``auto``, ``none``, ``uniform`` or ``human``: motion that is found in the data.
        mask: a file that says where people are.

    Raises:
        UsageError: words that contradict each other, or no such blur.

    >>> blur_words("motion:9,30"), blur_words(motion="human"), blur_words()
    ('motion:9,30', 'moving:human', None)
    """
    given = {"blur": blur, "kernel": kernel, "motion": motion}
    said = [f"{name}={text}" for name, text in given.items() if text is not None]
    if len(said) > 1:
        raise UsageError(f"{' and '.join(said)} all say what the blur was; give one of them")
    if mask is not None and motion not in (None, AUTO, HUMAN):
        raise UsageError(f"mask={mask}: says where people are, and motion={motion} does not look at them")
    if mask is not None and said and motion is None:
        raise UsageError(f"mask={mask} is for motion that is found in the data; {said[0]} says what it was")
    if motion is not None or mask is not None:
        return Sought(motion or AUTO, "" if mask is None else str(mask)).text
    if kernel is not None:
        return absolute(f"{KERNEL}:{kernel}")
    if blur is not None and blur.partition(":")[0] not in BLURS:
        raise UsageError(f"blur={blur}: expected gaussian:SIGMA, defocus:RADIUS or motion:LENGTH,ANGLE; kernel=FILE")
    return blur


def named_operator(spec: str, factor: Factor, total: bool = False) -> Operator:
    """The operator that a text names; a kernel may lie in an image of any format that gensr reads.

    Raises:
        UsageError: see `gensr.operators.parse_operator`; or a file that holds no kernel.
    """
    if Sought.of(spec) is not None:
        raise UsageError(f"operator {spec!r}: motion is found on the grid of the input; use gensr deblur, or factor=1")
    name, _, path = absolute(spec).partition(":")
    path = path.partition("=")[2]
    if name != KERNEL or not path or Path(path).suffix.lower() == ".npy":
        return parse_operator(spec, factor, total)
    try:
        return MeasuredPSF(factor, _kernel(Path(path)), total)
    except GensrError as error:
        raise UsageError(
            f"operator {spec!r}: {error}; give an image with the blur of a point, or a .npy file with a 2-D array"
        ) from error


def _kernel(path: Path) -> npt.NDArray[np.float64]:
    """The values of a small image, bands averaged, invalid pixels 0."""
    if not path.is_file():
        raise FormatError(f"{path}: no such file")
    with open_scene(guess(path), path, {}) as scene:
        rows, cols = scene.grid.shape
        if scene.planes != 1 or max(rows, cols) > LARGEST_SIDE:
            raise FormatError(
                f"{path.name}: {scene.planes} plane(s) of {cols} x {rows} pixels are no kernel of {LARGEST_SIDE} x "
                f"{LARGEST_SIDE} at most"
            )
        image = scene.read(0, Window(0, 0, rows, cols))
        return np.asarray(np.where(image.valid, image.values, 0.0).astype(np.float64).mean(0), np.float64)


def check_operator(spec: str, factor: Factor) -> None:
    """Refuse an operator that cannot be, before any input is opened.

    Raises:
        UsageError: see `named_operator`.
    """
    if factor != (1, 1) or Sought.of(spec) is None:
        named_operator(spec, factor)


def absolute_words(spec: str) -> str:
    """The text of an operator with the file that it names, if any, as an absolute path."""
    sought = Sought.of(spec)
    return absolute(spec) if sought is None else sought.text


def settle_operator(scene: Scene, request: Request, moved: Moved | None = None) -> Operator:
    """The operator that the user names, else the scene's own; sums stay sums.

    Args:
        scene: the opened input.
        request: what is asked.
        moved: the motion that was found, where that was asked for.

    Raises:
        UsageError: an impossible operator, or nothing to undo with a factor of 1.
    """
    factor = request.factors
    own = scene.operator(factor)
    if moved is not None:
        return moved.operator if own.gain == 1.0 else Scaled(moved.operator, own.gain)
    found = own if request.operator is None else named_operator(request.operator, factor, total=own.gain != 1.0)
    if factor == (1, 1) and changes_nothing(found):
        raise UsageError(f"factor=1: {NOTHING}")
    return found


def changes_nothing(operator: Operator) -> bool:
    """Whether an operator of factor 1 hands out what it is given, so that data are the image itself."""
    side = 2 * operator.reach + 3 if operator.local else 16
    unit = torch.zeros(side, side, dtype=torch.float64)
    unit[side // 2, side // 2] = 1.0
    return bool((operator.forward(unit) / operator.gain - unit).abs().max() < 1e-6)
