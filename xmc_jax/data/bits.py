"""Zeros and ones as tables write them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from xmc_jax.data.cells import is_list, is_missing

_TRUE = {"1", "1.0", "true", "t", "yes", "y", "x"}
_FALSE = {"0", "0.0", "false", "f", "no", "n", ""}
_PAIRS = (
    {"0", "1", "0.0", "1.0", "-1", "-1.0"},
    {"true", "false"},
    {"yes", "no"},
    {"y", "n"},
    {"t", "f"},
    {"x"},
)


def read_bit(value: Any, name: str, minus: bool) -> bool:
    """Returns whether a cell means yes; with `minus`, -1 means no.

    Raises:
        ValueError: the cell holds anything else.
    """
    if isinstance(value, str):
        word = value.strip().lower()
        if word in _TRUE:
            return True
        if word in _FALSE or (minus and word in ("-1", "-1.0")):
            return False
    elif is_missing(value) or value == 0 or (minus and value == -1):
        return False
    elif value == 1:
        return True
    raise ValueError(f"column {name!r} holds {value!r:.40}; 0 or 1 needed as in other rows")


def are_bits(cells: Iterable[Any]) -> bool:
    """Returns whether all cells may be zeros and ones (-1 for no included), written in one way."""
    words = set()
    for cell in cells:
        if is_missing(cell):
            continue
        if (
            is_list(cell)
            or isinstance(cell, dict)
            or (not isinstance(cell, str) and cell not in (0, 1, -1))
        ):
            return False
        words.add(cell.strip().lower() if isinstance(cell, str) else str(int(cell)))
    return any(words <= pair for pair in _PAIRS)
