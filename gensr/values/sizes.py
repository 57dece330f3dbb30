"""Sizes as people write them."""

from __future__ import annotations

BINARY = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def size_text(count: int) -> str:
    """Bytes in the unit that leaves one to three digits before the point.

    >>> size_text(700), size_text(1536), size_text((1 << 30) - 1), size_text(3 << 70)
    ('700 bytes', '1.5 KiB', '1.0 GiB', '3072 EiB')
    """
    value, power = float(count), 0
    while round(value) >= 1024 and power < len(BINARY) - 1:
        value, power = value / 1024, power + 1
    return f"{value:.{int(power > 0 and value < 100)}f} {BINARY[power]}"
