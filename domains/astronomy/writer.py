"""Results as FITS in the CCDData layout: primary, MASK, UNCERT, PSFIMAGE, and what the source file brought along.

The mean and its uncertainty share one file; every sample is a file of its own. All codes are floating point,
because an amount per pixel divided by the number of new pixels is no integer any more.
"""

from __future__ import annotations

import gzip
import re
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from astropy.io import fits

from gensr.errors import OutputError
from gensr.scenes.names import Names
from gensr.scenes.product import Product
from gensr.scenes.provenance import as_json, mark_of, repeated, sentence
from gensr.values.grid import Window

from .container import Layer
from .crop import crop_header
from .headers import cut_comments, printable
from .lookup import refine_tables
from .opened import OpenedFits
from .pixel_cards import refine_header
from .stream import FitsStream
from .units import Values, canonical
from .wcs_cards import is_wcs_card

BLOCK_PIXELS = 1 << 21
_PIXEL_COLUMN = re.compile(r"(?i)^[xy](pix|cen|centroid|centre|center|(win|peak|psf|min|max)?_?image)?$")
_LOOKUP_CARD = re.compile(r"^(CPDIS|D2IMDIS|CPERR|D2IMERR|DP|D2IM)\d$")


def write_product(scene: OpenedFits, product: Product, folder: Path, names: Names) -> list[Path]:
    """Write mean (with mask, uncertainty and companions) and samples.

    Args:
        scene: the opened input.
        product: results on the refined grid.
        folder: staging folder.
        names: file names.
    """
    suffix = ".fits.gz" if scene.path.name.lower().endswith(".gz") else ".fits"
    writer = _Writer(scene, product)
    paths = [_finish(folder / names.mean(suffix), writer.mean)]
    paths += [_finish(folder / names.sample(k, suffix), partial(writer.sample, k)) for k in range(product.samples)]
    return paths


def rehearse(scene: OpenedFits, product: Product, folder: Path, names: Names) -> None:
    """Write the headers of mean and sample, and read them back.

    Raises:
        OutputError: a file cannot be written, or does not read back as meant.
    """
    try:
        with cut_comments():
            writer = _Writer(scene, product, empty=True)
            writer.mean(folder / names.mean(".fits"))
            if product.samples:
                writer.sample(0, folder / names.sample(0, ".fits"))
            for path in sorted(folder.iterdir()):
                with fits.open(path, memmap=True) as hdus:
                    hdus.verify("exception")
                    read = (hdus[0].shape, hdus[-1].name)
                if read != (writer.shape, "PROVENANCE"):
                    raise OutputError(f"{scene.path}: the output would read back as {read}, expected {writer.shape}")
    except (ValueError, TypeError, KeyError, OSError, fits.VerifyError) as error:
        reason = " ".join(str(error).split())[:200]
        raise OutputError(
            f"{scene.path}: the output cannot be written: {reason}; correct or remove the card"
        ) from error


def _finish(path: Path, write: Callable[[Path], None]) -> Path:
    if path.suffix != ".gz":
        write(path)
        return path
    plain = path.with_suffix(".plain")
    write(plain)
    with plain.open("rb") as source, path.open("wb") as sink, gzip.GzipFile("", "wb", 6, sink, mtime=0) as packed:
        shutil.copyfileobj(source, packed, 1 << 20)
    plain.unlink()
    return path


class _Writer:
    def __init__(self, scene: OpenedFits, product: Product, empty: bool = False) -> None:
        self.scene, self.product, self.empty = scene, product, empty
        fy, fx = product.factor
        self.scale = {scene.frame.columns: fx, scene.frame.rows: fy}
        self.shape = self._refined(scene.layer.shape)
        self.bitpix = -8 * scene.dtype.itemsize
        with cut_comments():
            edit = refine_header(scene.header, self.scale, scene.values is Values.FLUX)
        corner = {scene.frame.rows: scene.origin[0], scene.frame.columns: scene.origin[1]}
        self.tables = refine_tables(scene.container, scene.header, scene.companions.lookup, self.scale, corner)
        self.header = self._clean(edit.header)
        self.notes = [*scene.notes, *edit.notes]
        self.unit = canonical(scene.unit)
        if scene.unit and self.unit != scene.unit:
            self.header["BUNIT"] = self.unit
            self.notes.append(f"BUNIT was {scene.unit!r}; {self.unit!r} is the same unit in FITS spelling")

    def mean(self, path: Path) -> None:
        """Primary, MASK, UNCERT and everything that describes them."""
        stream = FitsStream(path, self.empty)
        if repeated(self.product.report):
            self._labels(stream)
            return
        primary = stream.image(self._marked(self.header, "posterior mean"), self.shape, self.bitpix)
        mask = stream.image(self._side("MASK", _MASK_TEXT), self.shape, 8)
        error = stream.image(self._uncertainty(), self.shape, self.bitpix)
        for plane, window in self._windows():
            index = self.scene.index(plane, window)
            values = self.product.mean(plane, window)[0]
            primary.put(index, values)
            error.put(index, self.product.std(plane, window)[0])
            mask.put(index, self._mask(plane, window, values))
        self._psf(stream)
        self._flags(stream)
        self._lookup(stream)
        for layer in self.scene.companions.kept:
            self._keep(stream, layer)
        for layer in self.scene.companions.tables:
            stream.copy_table(layer.header, self.scene.container.plain, layer.offset, layer.size)
        stream.table(self._provenance())
        stream.seal()

    def _labels(self, stream: FitsStream) -> None:
        """Codes as they are stored, with scaling and BLANK, and nothing that describes measurements."""
        header = self.header.copy()
        for key in ("BSCALE", "BZERO", "BLANK"):
            if key in self.scene.header:
                header[key] = (self.scene.header[key], self.scene.header.comments[key])
        primary = stream.image(self._marked(header, "labels, pixels repeated,"), self.shape, self.scene.layer.bitpix)
        for plane, window in self._windows():
            primary.put(self.scene.index(plane, window), self.product.mean(plane, window)[0])
        self._lookup(stream)
        stream.table(self._provenance())
        stream.seal()

    def sample(self, k: int, path: Path) -> None:
        """One posterior sample with the same coordinates."""
        stream = FitsStream(path, self.empty)
        text = f"posterior sample {k + 1} of {self.product.samples}"
        primary = stream.image(self._marked(self.header, text), self.shape, self.bitpix)
        for plane, window in self._windows():
            primary.put(self.scene.index(plane, window), self.product.sample(k, plane, window)[0])
        self._lookup(stream)
        stream.table(self._provenance())
        stream.seal()

    def _refined(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(n * self.scale.get(len(shape) - axis, 1) for axis, n in enumerate(shape))

    def _windows(self) -> Iterator[tuple[int, Window]]:
        """Refined windows of whole source rows, full width, a few megapixels each."""
        if self.empty:
            return
        rows, cols = self.scene.grid.shape
        fy, fx = self.product.factor
        step = max(1, BLOCK_PIXELS // (cols * fy * fx))
        for plane in range(self.scene.planes):
            for row in range(0, rows, step):
                yield plane, Window(row, 0, min(step, rows - row), cols).refine(self.product.factor)

    def _mask(self, plane: int, window: Window, values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        fy, fx = self.product.factor
        coarse = Window(window.row // fy, 0, window.rows // fy, window.cols // fx)
        usable = self.scene.read(plane, coarse).usable[0]
        silent = ~usable.repeat(fy, 0).repeat(fx, 1)
        return np.where(np.isnan(values), 1, np.where(silent, 2, 0)).astype(np.uint8)

    def _clean(self, header: Any) -> Any:  # noqa: ANN401
        for key in ("BSCALE", "BZERO", "BLANK", "FILENAME", "EXTLEVEL"):
            header.remove(key, ignore_missing=True)
        if header.get("EXTNAME") == "COMPRESSED_IMAGE":
            header.remove("EXTNAME")
        return header

    def _marked(self, header: Any, what: str) -> Any:  # noqa: ANN401
        marked = header.copy()
        own = repeated(self.product.report)
        if not own:
            marked["GENERATD"] = (True, "contains generated detail, see HISTORY")
        fy, fx = self.product.factor
        lines = [
            mark_of(self.product.report),
            sentence(self.product.report),
            f"{what} of {self.scene.path.name} ({self.scene.layer.label}), pixels divided {fy} (rows) x {fx} (columns)",
            *([] if own else [f"values: {self.scene.values.value}, {self.scene.values_origin}", _CORRELATED]),
            *self.notes,
            *(f"{layer.label} was not copied: {reason}" for layer, reason in self.scene.companions.left),
            *(_pixel_columns(layer) for layer in self.scene.companions.tables if _pixel_columns(layer)),
        ]
        for line in lines:
            marked.add_history(printable(line))
        return marked

    def _side(self, name: str, text: str) -> Any:  # noqa: ANN401
        """Header of a layer on the refined grid: its name and the coordinates of the primary."""
        header = fits.Header([("EXTNAME", name)])
        for card in self.header.cards:
            if is_wcs_card(card.keyword.split(".")[0]):
                header.append(card, end=True)
        header["COMMENT"] = text
        return header

    def _uncertainty(self) -> Any:  # noqa: ANN401
        header = self._side("UNCERT", _ERROR_TEXT)
        header["UTYPE"] = ("StdDevUncertainty", "posterior standard deviation")
        if self.unit:
            header["BUNIT"] = self.unit
        return header

    def _psf(self, stream: FitsStream) -> None:
        if self.scene.psf is not None:
            header = fits.Header([("EXTNAME", "PSFIMAGE")])
            header["COMMENT"] = f"Instrument PSF on refined pixels, sum 1; from {self.scene.psf.origin}"
            if self.scene.psf.undone:
                header["COMMENT"] = "It was undone: what the image still holds is a refined pixel, not this PSF."
            stream.array(header, self.scene.psf.on_grid(self.product.factor), -32)

    def _flags(self, stream: FitsStream) -> None:
        """Flag bits are repeated, never interpolated: an interpolated flag is a flag that nobody set."""
        layer = self.scene.companions.flags
        if layer is None:
            return
        pixels = self.scene.container.pixels(layer)
        with cut_comments():
            edit = refine_header(self._cut(layer.header), self.scale, flux=False)
        edit.header["EXTNAME"] = "MASK_SRC" if layer.name in ("MASK", "") else layer.name
        shape = self.scene.layer.shape[-len(layer.shape) :]
        slot = stream.image(edit.header, self._refined(shape), layer.bitpix)
        fy, fx = self.product.factor
        whole = len(layer.shape) == len(self.scene.layer.shape)
        for plane, window in self._windows():
            if not whole and plane:
                break
            coarse = Window(window.row // fy, 0, window.rows // fy, window.cols // fx)
            cut = slice(-len(layer.shape), None)
            codes = pixels.raw(self.scene.source(plane, coarse)[cut])
            slot.put(self.scene.index(plane, window)[cut], codes.repeat(fy, 0).repeat(fx, 1))

    def _lookup(self, stream: FitsStream) -> None:
        for table in self.tables:
            stream.array(table.header, table.values, -32)

    def _keep(self, stream: FitsStream, layer: Layer) -> None:
        """A map of the source on its own grid, as it was."""
        pixels = self.scene.container.pixels(layer)
        header = layer.header.copy()
        lookup = [card.keyword for card in header.cards if _LOOKUP_CARD.match(card.keyword.split(".")[0])]
        for key in dict.fromkeys(k.split(".")[0] for k in lookup):
            header.remove(key, ignore_missing=True, remove_all=True)  # the tables of this file are refined
        title = self.scene.companions.title(layer)
        header["EXTNAME"] = f"{title}_LR"
        header["COMMENT"] = f"{title} of the source on its own, coarse grid"
        if self.scene.whole:
            stream.copy_image(header, layer.shape, layer.bitpix, pixels.path, pixels.offset)
            return
        slot = stream.image(self._cut(header), self.scene.layer.shape, layer.bitpix)
        rows, cols = self.scene.grid.shape
        for plane in range(self.scene.planes):
            for row in range(0, rows, step := max(1, BLOCK_PIXELS // cols)):
                window = Window(row, 0, min(step, rows - row), cols)
                slot.put(self.scene.index(plane, window), pixels.raw(self.scene.source(plane, window)))

    def _cut(self, header: Any) -> Any:  # noqa: ANN401
        """Header of another HDU on the grid of the whole image, for the part of it that the scene is."""
        if self.scene.whole:
            return header
        frame, (row, col) = self.scene.frame, self.scene.origin
        return crop_header(header, Window(row, col, *self.scene.grid.shape), frame.rows, frame.columns)

    def _provenance(self) -> Any:  # noqa: ANN401
        text = as_json(self.product.report)
        column = fits.Column("REPORT", f"{max(1, len(text))}A", array=np.array([text]))
        return fits.BinTableHDU.from_columns([column], name="PROVENANCE")


_CORRELATED = "pixels are correlated: take errors of apertures from the samples, not from UNCERT in quadrature"
_MASK_TEXT = "0 good; 1 no value (NaN); 2 value without support from data (saturated)"
_ERROR_TEXT = "Posterior standard deviation. Pixels are correlated: no quadrature over apertures"


def _pixel_columns(layer: Layer) -> str:
    columns = [str(v) for k, v in layer.header.items() if re.match(r"^TTYPE\d+$", k) and _PIXEL_COLUMN.match(str(v))]
    return f"{layer.label}: columns {', '.join(columns)} are source pixels and were not changed" if columns else ""
