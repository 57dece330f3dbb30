"""What a spoiled input is as a scene; of a photo the faces are still looked for, in what is left of it."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

from gensr.app.spoil import Spoil
from gensr.app.spoiled import Blurred, Pixelated, Spoiled
from gensr.errors import DomainError, UsageError
from gensr.pipeline.noise import spoken_noise
from gensr.scenes.insets import Aligned, Inlaid, Insets, Subject
from gensr.scenes.scene import Scene
from gensr.values.grid import Factor, Window
from gensr.values.image import Image
from gensr.values.precision import Real


def spoiled(scene: Scene, spoil: Spoil) -> Scene:
    """The scene as it is after that; it takes over the file.

    Raises:
        DomainError: blocks do not fit into the image.
    """
    if spoil.kind == "none":
        return scene
    made: Spoiled
    if spoil.kind == "pixelate":
        made = _pixelated(scene, spoil)
    else:
        made = BlurredPhoto(scene, spoil) if isinstance(scene, Inlaid) else Blurred(scene, spoil)
    if spoil.noise:
        made.added = spoken_noise(f"{spoil.noise}%", made)
    return made


def _pixelated(scene: Scene, spoil: Spoil) -> Pixelated:
    side = int(spoil.amount)
    rows, cols = (n // side * side for n in scene.grid.shape)
    if not rows or not cols:
        raise DomainError(f"{scene.path.name}: is smaller than a block of {side} pixels; take smaller blocks")
    inside = Window(0, 0, rows, cols)
    if isinstance(scene, Inlaid):
        whole = scene if inside == Window(0, 0, *scene.grid.shape) else scene.replaced(scene.read(0, inside).values)
        return PixelatedPhoto(whole, spoil)
    return Pixelated(scene if (rows, cols) == scene.grid.shape else scene.crop(inside), spoil)


class SpoiledPhoto(Spoiled, Inlaid):
    """A photo that is spoiled: rounded as a file of it would be, so that its parts and the whole have the same data."""

    @cached_property
    def left(self) -> Inlaid:
        """What a file of it would hold, added noise included."""
        return self.replaced(super().read(0, Window(0, 0, *self.grid.shape)).values)

    def read(self, plane: int, window: Window) -> Image:
        """See `Scene.read`."""
        return replace(self.left.read(plane, window), grid=self.grid.crop(window))

    def subjects(self) -> tuple[Subject, ...] | None:
        """See `Inlaid.subjects`: those that are seen in what is left."""
        return self.left.subjects()

    def insets(self, factor: Factor, prior: Aligned) -> Insets | None:
        """See `Inlaid.insets`: of what is left."""
        return self.left.insets(factor, prior)

    def replaced(self, values: Real) -> Inlaid:
        """See `Inlaid.replaced`."""
        assert isinstance(self.inner, Inlaid)
        return self.inner.replaced(values)


class PixelatedPhoto(SpoiledPhoto, Pixelated):
    """See `Pixelated`."""


class BlurredPhoto(SpoiledPhoto, Blurred):
    """See `Blurred`; where faces are parts, they are answered as means over pixels and nothing else."""

    def insets(self, factor: Factor, prior: Aligned) -> Insets | None:
        """See `Inlaid.insets`.

        Raises:
            UsageError: the answer would be told of a blur.
        """
        found = super().insets(factor, prior)
        if found is not None and self.spoiling.told:
            raise UsageError(
                f"{self.path.name}: a whole photo is answered as means over pixels; undo its blur with factor 1, "
                "pixelate it instead, or do not tell the answer what was done"
            )
        return found
