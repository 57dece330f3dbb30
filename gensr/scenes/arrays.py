"""Arrays as inputs: numpy and xarray go through the same flow as files."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gensr.errors import DomainError, FormatError, UsageError
from gensr.operators import Area, Operator
from gensr.scenes.coded import Decoder, plain, saturated
from gensr.scenes.domain import ArrayWords, Domain
from gensr.scenes.forms import ROLES, Form, as_numbers, roles_of
from gensr.scenes.installed import domain as installed_domain
from gensr.scenes.installed import domains
from gensr.scenes.labelled import Labelled, labelled
from gensr.scenes.names import Names
from gensr.scenes.objects import kind_of
from gensr.scenes.product import Codes, Product
from gensr.scenes.provenance import repeated
from gensr.scenes.scene import Part, Reference, Scene
from gensr.scenes.statistics import percentile_normaliser
from gensr.values.bands import Words, choose, parse_bands
from gensr.values.coding import Coding
from gensr.values.grid import Factor, PixelGrid, Window
from gensr.values.image import Image
from gensr.values.noise import Noise
from gensr.values.normalise import Normaliser
from gensr.values.precision import Real

if TYPE_CHECKING:
    import xarray as xr

SPILLED, SPILLED_MASK = "array.npy", "array-mask.npy"
"""Names of the files that an array in memory is written to before other processes read it."""


def array_domain(name: str | None, source: object = None) -> Domain:
    """The domain that lends an array its generator.

    Args:
        name: that the user gave.
        source: the array; a DataArray may say whose it is. What says nothing goes to the domain that takes such arrays.

    Raises:
        PluginError: it is not installed.
        UsageError: no installed domain takes arrays.
        DomainError: two domains are equally sure.
    """
    if name is not None:
        return installed_domain(name)
    words = _words(source)
    scores = {domain: domain.claims(words) for domain in domains()} if words else {}
    best = max(scores.values(), default=0)
    surest = [domain for domain, score in scores.items() if score == best > 0]
    if len(surest) > 1:
        names = [domain.name for domain in surest]
        raise DomainError(f"array: {' and '.join(names)} both claim it; say which: domain={' or domain='.join(names)}")
    if surest:
        return surest[0]
    found = next((d for d in domains() if d.takes_arrays), None)
    if found is None:
        raise UsageError("no installed domain takes arrays that say nothing of themselves; name one with domain=")
    return found


def _words(source: object) -> ArrayWords:
    """Attributes of an array of xarray and of its coordinates; nothing for any other array."""
    array: Any = source.first if isinstance(source, Labelled) else source
    if kind_of(array) != "xarray.DataArray":
        return {}
    return {"": dict(array.attrs), **{str(name): dict(coord.attrs) for name, coord in array.coords.items()}}


def numbers(source: object) -> npt.NDArray[Any] | Labelled:
    """An array that a scene is made of, without a copy: of NumPy (masked or not) or torch, or one with labels.

    Raises:
        UsageError: anything else, by name.
    """
    import torch

    if isinstance(source, np.ndarray):
        return source
    if isinstance(source, torch.Tensor):
        if source.requires_grad:
            raise UsageError("gensr does not differentiate: give tensor.detach() for a tensor that requires grad")
        if source.layout != torch.strided or source.is_quantized:
            raise UsageError(f"a tensor of layout {source.layout} is not dense numbers; give tensor.to_dense()")
        plain = source.float() if source.dtype in (torch.bfloat16, torch.float16) else source
        return np.asarray(plain.cpu().numpy())
    if isinstance(source, Labelled):
        return source
    raise UsageError(
        f"a {kind_of(source)} is neither a path nor an array that gensr takes: give a NumPy array, a torch tensor, an "
        "array of xarray, or an object that a domain knows (CCDData, NDData, HDU, nibabel image, pydicom Dataset); "
        "numpy.asarray() makes an array of most others"
    )


class ArrayScene(Scene):
    """An array of numbers; NaN, infinities and what a MaskedArray masks are invalid.

    Args:
        source: numeric array, or one of xarray, see `gensr.scenes.labelled`.
        domain: lends its generator; see `array_domain`.
        bands: which bands, see `gensr.values.bands`; None for all.
        dims: what each axis is, see `gensr.scenes.forms.Form`; without it the last of (plane, band, y, x).

    Raises:
        UsageError: not numeric, empty, of another number of dimensions, or without such a band.
    """

    def __init__(
        self,
        source: npt.NDArray[Any] | xr.DataArray | xr.Dataset | Labelled,
        domain: Domain | None = None,
        bands: Words | None = None,
        dims: str | Sequence[str] | None = None,
    ) -> None:
        self.path = Path("array")
        self.unit = self.name = self.proof = ""
        self.domain = domain or array_domain(None)
        if kind_of(source) in ("xarray.DataArray", "xarray.Dataset"):
            source = labelled(source, dims)
        self.masked, self._mask = isinstance(source, np.ma.MaskedArray), None
        if isinstance(source, Labelled):
            chosen = None if bands is None else source.choose(bands)
            self.labels = source = chosen or source
            self.form, self._data = source.form, source.packed.codes
            self.coding = saturated(source.packed.coding, self.domain)
            self.bands, self.unit, self.grid = source.bands, source.unit, source.grid
            self.name, self.proof = source.name, source.proof
        else:
            array = np.asanyarray(source)
            if array.dtype == np.bool_:
                array, self.proof = array.astype(np.uint8), "truth values"
            array = as_numbers(array, "array")
            self.form = Form.of(array.shape, roles_of(array.shape, dims))
            self._mask = self.form.whole(np.ma.getmaskarray(array)) if self.masked else None
            self._data = self.form.whole(np.asarray(array))
            self.bands = tuple(str(i + 1) for i in range(self._data.shape[1]))
            if bands is not None:
                self._choose(bands)
            self.grid = PixelGrid((int(self._data.shape[2]), int(self._data.shape[3])))
            self.coding = saturated(plain(array.dtype, len(self.bands)), self.domain)
        self.planes, self.dtype, self.quantum = int(self._data.shape[0]), self.coding.dtype, self.coding.quantum
        self.precision = self.coding.precision

    def _choose(self, words: Words) -> None:
        try:
            numbers = choose(parse_bands(words), self.bands)
        except ValueError as error:
            raise UsageError(f"bands={words}: {error}") from error
        places = [n - 1 for n in numbers]
        self._data = self._data[:, places]
        self._mask = None if self._mask is None else self._mask[:, places]
        self.bands = tuple(self.bands[n - 1] for n in numbers)

    def hand(self, codes: Codes, valid: npt.NDArray[np.bool_]) -> Codes:
        """See `Scene.hand`: with the axes of the array, masked where it was."""
        if not self.masked:
            return np.asarray(self.form.back(codes))
        return np.ma.MaskedArray(self.form.back(codes), ~self.form.back(valid))

    def content(self) -> str:
        """See `Scene.content`: of the values and what is said of them."""
        said = repr((self._data.shape, self._data.dtype, self.form, self.bands, self.unit, self.grid, self.domain.name))
        found = hashlib.sha256(said.encode())
        for plane in range(self.planes):
            for part in (self._data[plane], *(() if self._mask is None else (self._mask[plane],))):
                found.update(np.ascontiguousarray(part).tobytes())
        return found.hexdigest()

    def spill(self, folder: Path) -> None:
        """Write the array to a file, so that other processes can open it; see `Scene.spill`."""
        if self.reference is None:
            path = folder / SPILLED
            np.save(path, self._data, allow_pickle=False)
            if self._mask is not None:
                np.save(path.with_name(SPILLED_MASK), self._mask, allow_pickle=False)
            self.reference = ArrayReference(
                str(path.absolute()),
                self.domain.name,
                self.bands,
                self.unit,
                self.grid,
                self.form,
                self.masked,
                self.coding,
            )

    def read(self, plane: int, window: Window) -> Image:
        """See `Scene.read`."""
        codes, valid = self.stored(plane, window)
        return self.decoder.image(codes, self.grid.crop(window), valid)

    @property
    def decoder(self) -> Decoder:
        """What makes images of stored codes, without the array."""
        return Decoder(self.coding, self.bands, self.unit)

    def crop(self, window: Window) -> Scene:
        """See `Scene.crop`."""
        part = copy(self)
        part.grid, part.origin = self.grid.crop(window), (window.row, window.col)
        row, col, rows, cols = window
        cut = np.s_[..., row : row + rows, col : col + cols]
        part._data, part._mask = self._data[cut], None if self._mask is None else self._mask[cut]
        return part

    def stored(self, plane: int, window: Window) -> tuple[Codes, npt.NDArray[np.bool_]]:
        """See `Scene.stored`."""
        row, col, rows, cols = window
        codes = np.asarray(self._data[plane, :, row : row + rows, col : col + cols])
        valid = self.coding.declared_valid(codes)
        if self._mask is not None:
            valid &= ~self._mask[plane, :, row : row + rows, col : col + cols]
        return codes, valid

    def parts(self) -> tuple[Part, ...]:
        """See `Scene.parts`: every band, with the name of the array."""
        return tuple(
            Part(f"band {name}", band, range(self.planes), (self.name, name), self.proof)
            for band, name in enumerate(self.bands)
        )

    def encode(self, plane: int, values: Real, valid: npt.NDArray[np.bool_]) -> tuple[Codes, int]:
        """See `Scene.encode`."""
        return self.coding.encode(values, valid)

    def encode_bands(
        self, plane: int, values: Real, valid: npt.NDArray[np.bool_], first: int, end: int
    ) -> tuple[Codes, int]:
        """See `Scene.encode_bands`."""
        return self.coding.select(first, end).encode(values, valid)

    def metadata(self) -> dict[str, Any]:
        """See `Scene.metadata`."""
        lengths = dict(zip(ROLES, self._data.shape, strict=True))
        shape = self.form.back(np.broadcast_to(np.uint8(0), self._data.shape)).shape
        return {
            "shape": list(shape),
            "dims": list(self.form.roles),
            **{f"{role}s": lengths[role] for role in ("plane", "band")},
            "dtype": str(self.dtype),
        }

    def operator(self, factor: Factor) -> Operator:
        """See `Scene.operator`: pixel integration."""
        return Area(factor)

    def noise(self) -> Noise | None:
        """See `Scene.noise`: unknown."""
        return None

    def generator(self) -> str:
        """See `Scene.generator`: the usual one of the domain."""
        return self.domain.prior

    def stand_in(self) -> str:
        """See `Scene.stand_in`: that of the domain."""
        return self.domain.stand_in

    def normaliser(self) -> Normaliser:
        """See `Scene.normaliser`: percentiles that the domain takes of its files."""
        return percentile_normaliser(self, *self.domain.contrast)

    def write(self, product: Product, folder: Path, names: Names) -> list[Path]:
        """Mean, std and samples as one ``.npz``."""
        whole = Window(0, 0, *self.grid.refine(product.factor).shape)
        planes = range(self.planes)
        arrays = {"mean": np.stack([product.mean(p, whole) for p in planes])}
        if not repeated(product.report):
            arrays["std"] = np.stack([product.std(p, whole) for p in planes])
        for k in range(product.samples):
            arrays[f"sample{k + 1}"] = np.stack([product.sample(k, p, whole) for p in planes])
        path = folder / names.mean(".npz")
        np.savez_compressed(path, **arrays)  # type: ignore[arg-type]
        return [path]

    def render(self, values: Real, reference: Real) -> Codes:
        """Grey between the 0.5 and 99.5 percentiles of the first band; grey where invalid."""
        known = reference[np.isfinite(reference)]
        low, high = np.percentile(known, [0.5, 99.5]) if known.size else (0.0, 1.0)
        level = np.clip((values[0] - low) / ((high - low) or 1.0), 0, 1)
        grey = np.where(np.isfinite(level), level * 255, 128).astype(np.uint8)
        return np.repeat(grey[..., None], 3, -1)


@dataclass(frozen=True)
class ArrayReference(Reference):
    """An array that was written to a file; see `ArrayScene.spill`."""

    path: str
    domain: str
    bands: tuple[str, ...]
    unit: str
    grid: PixelGrid
    form: Form
    masked: bool
    coding: Coding

    def scene(self) -> Scene:
        """See `Reference.scene`; the file is mapped, not read."""
        return _mapped(self)


@lru_cache(maxsize=8)
def _mapped(reference: ArrayReference) -> ArrayScene:
    path = Path(reference.path)
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        mask = np.load(path.with_name(SPILLED_MASK), mmap_mode="r", allow_pickle=False) if reference.masked else None
    except (OSError, ValueError) as error:
        raise FormatError(
            f"{reference.path}: the array was written there for this run and cannot be read here ({error}); on a "
            "cluster of several machines give an output= that every worker sees"
        ) from error
    scene = ArrayScene(array, installed_domain(reference.domain), dims=ROLES)
    scene.bands, scene.unit, scene.grid, scene.reference = reference.bands, reference.unit, reference.grid, reference
    scene.form, scene.masked, scene._mask, scene.coding = reference.form, reference.masked, mask, reference.coding
    scene.dtype, scene.quantum, scene.precision = scene.coding.dtype, scene.coding.quantum, scene.coding.precision
    return scene
