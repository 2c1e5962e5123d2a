"""Zeros and ones as tables write them."""

from __future__ import annotations

from typing import Any

from xmc_jax.data.cells import is_list, is_missing

_TRUE = {"1", "1.0", "true", "t", "yes", "y", "x"}
_FALSE = {"0", "0.0", "false", "f", "no", "n", ""}


def read_bit(value: Any, name: str, minus: bool) -> bool:
    """Returns whether a cell says yes; `minus`: -1 says no.

    Raises:
        ValueError: something else is in the cell.
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


def is_bit(value: Any) -> bool:
    """Returns whether a cell may be a zero or a one (-1 for no included)."""
    if isinstance(value, str):
        return value.strip().lower() in _TRUE | _FALSE | {"-1", "-1.0"}
    return is_missing(value) or (
        not is_list(value) and not isinstance(value, dict) and value in (0, 1, -1)
    )
