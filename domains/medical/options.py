"""Options of the medical domain: defaults, checks, and the words every user must see."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from gensr.errors import DomainError, UsageError

NOTICE = "Research use only; not a medical device; not for diagnosis; contains generated detail"
LARGEST_FACTOR = 4

DEFAULTS: Mapping[str, Any] = MappingProxyType(
    {
        "series": "",  # SeriesInstanceUID to read from a folder that holds several
        "axis": "auto",  # NIfTI voxel axis that counts slices: "auto", 0, 1 or 2
        "modality": "auto",  # NIfTI only, whose header does not say it: "auto" (MR), "MR" or "CT"
        "through_plane": "auto",  # across slices: "auto" (steps from twice the pixel spacing on), "off", or a factor
        "aligned": False,  # a square CR or DX picture framed as the chest corpus is: use the aligned prior
        "lossy": False,  # accept pixels that are stored in a lossy compression
        "uids": "new",  # "new": fresh UIDs at every run; "hash": the same run gives the same UIDs
        "understood": False,  # the user knows what a factor above 4 means
    }
)

_CHOICES: Mapping[str, tuple[Any, ...]] = {
    "axis": ("auto", 0, 1, 2),
    "modality": ("auto", "MR", "CT"),
    "aligned": (False, True),
    "lossy": (False, True),
    "uids": ("new", "hash"),
    "understood": (False, True),
}


def complete(options: Mapping[str, Any]) -> dict[str, Any]:
    """Merge options with the defaults and check every value.

    Raises:
        UsageError: an unknown option, or a value that is not one of its choices.
    """
    unknown = sorted(set(options) - set(DEFAULTS))
    if unknown:
        raise UsageError(f"medical has no option {unknown[0]!r}; known options: {', '.join(DEFAULTS)}")
    merged = {**DEFAULTS, **options}
    for name, choices in _CHOICES.items():
        value = merged[name]
        if not any(type(value) is type(choice) and value == choice for choice in choices):
            raise UsageError(f"medical option {name}={value!r} is not one of {', '.join(map(str, choices))}")
    merged["through_plane"] = _through_plane(merged["through_plane"])
    if not isinstance(merged["series"], str):
        raise UsageError(f"medical option series={merged['series']!r} is not text; give a SeriesInstanceUID")
    return merged


def _through_plane(value: Any) -> str | int:  # noqa: ANN401
    """The option ``through_plane``; False is what YAML makes of a bare ``off``."""
    if value in ("auto", "off") or (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
        return "off" if value == 1 else value
    if value is False:
        return "off"
    raise UsageError(f"medical option through_plane={value!r} is not auto, off or a whole number from 1 on")


def check_factor(factor: tuple[int, int], options: Mapping[str, Any], slices: int = 1) -> None:
    """Refuse large factors on medical images unless the user said that they understand.

    Raises:
        DomainError: a factor above 4 without ``understood=true``.
    """
    largest = max(*factor, slices)
    if largest > LARGEST_FACTOR and not options["understood"]:
        raise DomainError(
            f"factor {largest} on a medical image: above {LARGEST_FACTOR} most detail is generated, not measured; "
            "use a smaller factor, or give the option understood=true (--i-understand) for research use"
        )
