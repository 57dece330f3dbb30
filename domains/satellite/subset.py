"""Some bands of a file, as if it held no others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gensr.errors import DomainError
from gensr.values.bands import are_numbers, choose


class Subset:
    """A rasterio dataset of which only some bands are seen; they are counted from 1 again.

    Args:
        dataset: opened.
        numbers: of the bands, in the order in which they are wanted.
        masked: a band of transparency that is left out still says which pixels are valid.
    """

    def __init__(self, dataset: Any, numbers: Sequence[int], masked: bool) -> None:  # noqa: ANN401
        self._dataset, self._numbers = dataset, tuple(numbers)
        self.count, self.indexes = len(self._numbers), tuple(range(1, len(self._numbers) + 1))
        left = {c.name for i, c in zip(dataset.indexes, dataset.colorinterp, strict=True) if i not in self._numbers}
        self._transparency_left = "alpha" in left
        self._masked = masked

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        """Whatever says nothing of single bands."""
        return getattr(self._dataset, name)

    def _of(self, values: Sequence[Any]) -> tuple[Any, ...]:
        return tuple(values[n - 1] for n in self._numbers)

    @property
    def dtypes(self) -> tuple[str, ...]:
        """Per band."""
        return self._of(self._dataset.dtypes)

    @property
    def descriptions(self) -> tuple[str | None, ...]:
        """Per band."""
        return self._of(self._dataset.descriptions)

    @property
    def units(self) -> tuple[str | None, ...]:
        """Per band."""
        return self._of(self._dataset.units)

    @property
    def scales(self) -> tuple[float, ...]:
        """Per band."""
        return self._of(self._dataset.scales)

    @property
    def offsets(self) -> tuple[float, ...]:
        """Per band."""
        return self._of(self._dataset.offsets)

    @property
    def nodatavals(self) -> tuple[float | None, ...]:
        """Per band."""
        return self._of(self._dataset.nodatavals)

    @property
    def block_shapes(self) -> list[tuple[int, int]]:
        """Per band."""
        return list(self._of(self._dataset.block_shapes))

    @property
    def colorinterp(self) -> tuple[Any, ...]:
        """Per band."""
        return self._of(self._dataset.colorinterp)

    @property
    def mask_flag_enums(self) -> tuple[Any, ...]:
        """Per band; transparency that is left out and still says what is valid is a mask of the file."""
        found = self._of(self._dataset.mask_flag_enums)
        if not self._transparency_left:
            return found
        return tuple(
            [f for f in flags if f.name != "alpha"] if self._masked or not _transparent(flags) else _none(flags)
            for flags in found
        )

    def colormap(self, band: int) -> dict[int, tuple[int, int, int, int]]:
        """See rasterio."""
        found: dict[int, tuple[int, int, int, int]] = self._dataset.colormap(self._numbers[band - 1])
        return found

    def tags(self, bidx: int = 0, ns: str | None = None) -> dict[str, str]:
        """See rasterio; 0 is the file."""
        found: dict[str, str] = self._dataset.tags(self._numbers[bidx - 1] if bidx else 0, ns=ns)
        return found

    def tag_namespaces(self, bidx: int = 0) -> list[str]:
        """See rasterio; 0 is the file."""
        found: list[str] = self._dataset.tag_namespaces(self._numbers[bidx - 1] if bidx else 0)
        return found

    def read(self, indexes: int | Sequence[int] | None = None, **how: Any) -> Any:  # noqa: ANN401
        """See rasterio."""
        return self._dataset.read(self._chosen(indexes), **how)

    def read_masks(self, indexes: int | Sequence[int] | None = None, **how: Any) -> Any:  # noqa: ANN401
        """See rasterio."""
        return self._dataset.read_masks(self._chosen(indexes), **how)

    def _chosen(self, indexes: int | Sequence[int] | None) -> int | list[int]:
        if isinstance(indexes, int):
            return self._numbers[indexes - 1]
        return [self._numbers[i - 1] for i in (self.indexes if indexes is None else indexes)]


def _transparent(flags: Sequence[Any]) -> bool:
    return any(f.name == "alpha" for f in flags)


def _none(flags: Sequence[Any]) -> list[Any]:
    """All pixels are valid."""
    return [type(flags[0]).all_valid]


def names_of(dataset: Any) -> tuple[str, ...]:  # noqa: ANN401
    """What the file calls its bands: descriptions, else colours, else their numbers."""
    names: list[str] = []
    taken: set[str] = set()
    # rasterio asks GDAL for all bands whenever one of them is looked at
    for i, color, text in zip(dataset.indexes, dataset.colorinterp, dataset.descriptions, strict=True):
        name = text or (color.name if color.name not in ("undefined", "gray", "palette") else f"band {i}")
        names.append(name if name not in taken else f"{name} ({i})")
        taken.add(names[-1])
    return tuple(names)


@dataclass(frozen=True)
class Choice:
    """What ``bands=`` means for a file.

    Attributes:
        numbers: of the bands that are wanted, None for all.
        names: that the user gives them, None for the file's own.
        alpha: whether the user says that a band called alpha is transparency.
    """

    numbers: tuple[int, ...] | None = None
    names: tuple[str, ...] | None = None
    alpha: bool = False


def resolve(path: Path, dataset: Any, words: tuple[str, ...] | None) -> Choice:  # noqa: ANN401
    """Numbers, ranges and names that the file knows choose bands; as many names as there are bands name them.

    Args:
        path: for messages.
        dataset: opened.
        words: of the user, None for none.

    Raises:
        DomainError: neither.
    """
    if words is None:
        return Choice()
    known = names_of(dataset)
    lower = {name.lower() for name in known}
    names = [word for word in words if not are_numbers([word])]
    alpha = "alpha" in [word.lower() for word in words]
    if len(names) == len(words) == dataset.count and not {word.lower() for word in words} <= lower:
        return Choice(names=words, alpha=alpha)
    try:
        numbers = choose(words, known)
    except ValueError as error:
        raise DomainError(
            f"{path}: bands={','.join(words)}: {error}; choose some of them, or name all {dataset.count} in order"
        ) from error
    return Choice(numbers, alpha=alpha)
