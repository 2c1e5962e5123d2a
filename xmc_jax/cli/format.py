"""Numbers and sizes as lines for reading."""

from __future__ import annotations


def format_bytes(number: float) -> str:
    return f"{format_count(number)}B".replace(" B", " bytes")


def format_count(number: float) -> str:
    """Returns a number with three digits and a decimal prefix: 1234567 is `1.23 M`."""
    for prefix, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.3g} {prefix}"
    return f"{number:.0f} "
