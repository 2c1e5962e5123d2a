"""What other libraries hold data in, as NumPy arrays, lists, or columns by name: pandas, polars, Arrow, torch, JAX.

Nothing of them is imported: they are told by what they offer.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from xmc_jax.errors import InputError


@dataclass(frozen=True)
class Frame:
    """Columns with names, which may repeat, as arrays of numbers or lists."""

    names: tuple[str, ...]
    columns: tuple[Any, ...]

    def __len__(self) -> int:
        return len(self.columns[0]) if self.columns else 0

    def is_numeric(self, i: int) -> bool:
        """Returns whether a column holds numbers only."""
        return isinstance(self.columns[i], np.ndarray)

    def stack(self, dtype: Any = np.float64) -> np.ndarray:
        """Returns all columns, which are numeric, as [N, columns]."""
        return np.stack([column.astype(dtype) for column in self.columns], axis=1)


def unwrap(x: Any) -> Any:
    """Returns what an object of a table or tensor library holds.

    A table is a `Frame`; a column is an array of numbers, or a list (None where a value is missing); a tensor is an
    array. Lists, iterators, NumPy arrays of numbers, SciPy matrices and everything unknown are returned as they are;
    arrays of objects or strings with one dimension, or with one column, are lists.

    Raises:
        InputError: a tensor of a kind that NumPy does not have.
    """
    if type(x) in (list, tuple, str, bytes, dict, set) or hasattr(x, "tocsr"):
        return x
    if isinstance(x, io.IOBase):
        return x  # which has methods of the names below
    if hasattr(x, "detach"):
        return _unwrap_tensor(x)
    if isinstance(x, np.ndarray):
        return _unwrap_array(x)
    if hasattr(x, "collect") and hasattr(x, "collect_schema"):  # polars' lazy frame
        x = x.collect()
    names = name_columns(x)
    if names is not None:
        return Frame(names, tuple(_unwrap_column(c) for c in _list_columns(x, len(names))))
    if is_column(x):
        return _unwrap_column(x)
    if hasattr(x, "__array__"):
        return _unwrap_array(np.asarray(x))
    if hasattr(x, "__dlpack__"):
        return _unwrap_array(np.from_dlpack(x))
    return x


def name_columns(x: Any) -> tuple[str, ...] | None:
    """Returns the names of a table's columns; None: it is no table."""
    names = x.column_names if hasattr(x, "column_names") else getattr(x, "columns", None)
    if names is None or callable(names) or len(getattr(x, "shape", (0, 0))) != 2:
        return None
    return tuple(map(str, names))


def is_column(x: Any) -> bool:
    """Returns whether an object is a column of a table library."""
    ways = ("to_pylist", "to_list", "tolist")
    return (
        not isinstance(x, np.ndarray)
        and any(hasattr(x, w) for w in ways)
        and getattr(x, "ndim", 1) == 1
    )


def _list_columns(x: Any, n: int) -> Iterator[Any]:
    if hasattr(x, "iloc"):  # by place: names may repeat
        return (x.iloc[:, i] for i in range(n))
    if hasattr(x, "get_columns"):
        return iter(x.get_columns())
    if hasattr(x, "column"):
        return (x.column(i) for i in range(n))
    return (x[name] for name in x.column_names)


def _unwrap_tensor(x: Any) -> Any:
    x = x.detach()
    if getattr(x, "is_sparse", False) or "sparse" in str(getattr(x, "layout", "")):
        x = x.to_dense()
    if "bfloat16" in str(x.dtype):
        x = x.float()
    return np.asarray(x.cpu() if hasattr(x, "cpu") else x)


def _unwrap_array(array: np.ndarray) -> Any:
    if array.dtype.kind == "V" and array.dtype.name.startswith(("bfloat16", "float8")):
        return array.astype(np.float32)
    if array.dtype.kind not in "OUST":
        return array
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim == 2:
        return _as_numbers(array)
    if array.ndim != 1:
        return array
    values = (v.decode() if isinstance(v, bytes) else v for v in array.tolist())
    return [None if is_na(v) else v for v in values]


def _as_numbers(array: np.ndarray) -> np.ndarray:
    """Returns an array of objects that are numbers as one of numbers; others stay."""
    try:
        return (
            array.astype(np.float64)
            if array.dtype.kind == "O" and not _hold_strings(array)
            else array
        )
    except (TypeError, ValueError):
        return array


def _hold_strings(array: np.ndarray) -> bool:
    return any(isinstance(value, (str, list, tuple)) for value in array.ravel().tolist())


def _unwrap_column(x: Any) -> Any:
    """Returns a column as an array of numbers, else as a list with None for what is missing."""
    kind = getattr(getattr(x, "dtype", None), "kind", "")
    if isinstance(x, np.ndarray) or (kind in "biuf" and kind):
        array = np.asarray(x)
        return array if array.dtype.kind in "biuf" else _unwrap_array(array)
    values = next(
        (getattr(x, way)() for way in ("to_pylist", "to_list", "tolist") if hasattr(x, way)), None
    )
    values = list(x) if values is None else values
    values = [None if is_na(v) else v for v in values]
    if values and all(isinstance(v, (bool, int, float, np.number)) for v in values):
        return np.array(values)
    return values


def is_na(value: Any) -> bool:
    """Returns whether a value stands for a missing one: NaN, NA, NaT."""
    if isinstance(value, (str, list, tuple, dict, set, np.ndarray)):
        return False
    return type(value).__name__ in ("NAType", "NaTType") or (
        isinstance(value, (float, np.floating)) and value != value
    )


def stack_rows(rows: Sequence[Any]) -> np.ndarray | None:
    """Returns rows of numbers (lists, arrays, tensors) as [N, D], or None if they are something else.

    Raises:
        InputError: rows of different lengths.
    """
    if not rows or not all(_is_row(row) for row in rows):
        return None
    arrays = [np.asarray(unwrap(row)) for row in rows]
    if any(a.ndim != 1 or a.dtype.kind not in "biuf" for a in arrays):
        return None
    if len({len(a) for a in arrays}) > 1:
        shapes = sorted({len(a) for a in arrays})
        raise InputError(f"rows of {shapes[0]} and {shapes[-1]} numbers given, one length needed")
    return np.stack(arrays)


def _is_row(row: Any) -> bool:
    if isinstance(row, (list, tuple)):
        return bool(row) and all(isinstance(v, (int, float, np.number)) for v in row)
    return (hasattr(row, "__array__") and getattr(row, "ndim", 0) == 1) or hasattr(row, "detach")
