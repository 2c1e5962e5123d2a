"""Documents and labels as Python programs hold them: lists, arrays, columns and tables of any library."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

import numpy as np
import scipy.sparse as sp

from xmc_jax.data.bits import are_bits
from xmc_jax.data.cells import choose_reading, is_list
from xmc_jax.data.texts import TextStore
from xmc_jax.errors import InputError, tell
from xmc_jax.frames import Frame, stack_rows, unwrap

_SHOWN = 5


def as_documents(x: Any) -> Any:
    """Returns documents as strings (any iterable of them) or as a matrix [N, D] of numbers, sparse or dense.

    A table with one column of strings stands for that column; a table of numbers, or a column of vectors, is a matrix.

    Raises:
        InputError: one string, an array of strings with several dimensions, a table with several columns of strings or
            without columns.
    """
    if isinstance(x, TextStore):
        return x
    if isinstance(x, str):
        raise InputError("one string given; a list of texts is needed")
    _check_container(x, "documents")
    x = unwrap(x)
    if isinstance(x, Frame):
        return _documents_of_frame(x)
    if isinstance(x, np.ndarray):
        if x.dtype.kind in "OUST":
            raise InputError(
                f"an array of strings of shape {x.shape} given; texts have one column: join them, or give one"
            )
        return x
    if isinstance(x, (list, tuple)) and len(x) and not isinstance(x[0], (str, dict)):
        stacked = stack_rows(x)
        return x if stacked is None else stacked
    return x


def _check_container(x: Any, what: str) -> None:
    """Refuses open files, what holds its items in no order, and arrays some of whose numbers do not count."""
    if isinstance(x, io.IOBase):
        raise InputError(
            f"{what}: an open file given; open_dataset(path) or its lines (list(file)) needed"
        )
    if isinstance(x, (set, frozenset)):
        raise InputError(f"{what}: a set given, whose items have no order; a list needed")
    if isinstance(x, np.ma.MaskedArray) and np.ma.is_masked(x):
        raise InputError(f"{what}: an array with masked numbers given; fill them (x.filled(0))")


def _documents_of_frame(x: Frame) -> Any:
    texts = [i for i in range(len(x.names)) if not x.is_numeric(i)]
    if not texts:
        if not x.names:
            raise InputError(
                "a table without columns given; a column of texts, or columns of numbers needed"
            )
        return x.stack()
    if len(texts) > 1:
        raise InputError(
            f"a table with several columns of strings given: {_show([x.names[i] for i in texts])}; give one, such as "
            f"df[{x.names[texts[0]]!r}], or join them"
        )
    [place] = texts
    column = x.columns[place]
    if len(x.names) > 1:
        others = [name for i, name in enumerate(x.names) if i != place]
        tell(f"texts from the column {x.names[place]!r}; not used: {_show(others)}")
    stacked = stack_rows(column) if column and not isinstance(column[0], str) else None
    return column if stacked is None else stacked


def as_labels(labels: Any, what: str = "labels") -> tuple[Any, list[str] | None]:
    """Returns labels as a matrix [N, L] with the names of its columns (or None), or as rows of names and None.

    A table of zeros and ones is a matrix named by its columns; lists of zeros and ones are a matrix; a column or a list
    of strings is read like a column of a file, and a note says how; numbers are one label each.

    Raises:
        InputError: several columns that are not zeros and ones, or anything that is not labels.
    """
    if isinstance(labels, (str, bytes, dict)) or not (
        isinstance(labels, Iterable) or hasattr(labels, "shape") or hasattr(labels, "collect")
    ):
        raise InputError(
            f"{what}: {labels!r:.60} given, a list with a list of names for each document needed"
        )
    if sp.issparse(labels):
        return labels, None
    _check_container(labels, what)
    labels = unwrap(labels)
    if isinstance(labels, Frame):
        return _labels_of_frame(labels, what)
    if isinstance(labels, np.ndarray):
        return _labels_of_array(labels), None
    rows = labels if isinstance(labels, (list, tuple)) else list(labels)
    return _labels_of_rows(rows, what)


def _labels_of_frame(x: Frame, what: str) -> tuple[Any, list[str] | None]:
    cells = chain.from_iterable(
        np.unique(c).tolist() if isinstance(c, np.ndarray) else c for c in x.columns
    )
    if x.names and are_bits(cells):
        if len(set(x.names)) < len(x.names):
            raise InputError(
                f"{what}: two columns of the table have one name: {_show(x.names)}; rename one"
            )
        return np.stack([_bits(c) for c in x.columns], axis=1), list(x.names)
    if len(x.names) > 1:
        raise InputError(
            f"{what}: a table with the columns {_show(x.names)} given, which are not all zeros and ones; give one "
            f"column, such as df[{x.names[-1]!r}], or zeros and ones in a column per label"
        )
    column = x.columns[0] if x.columns else []
    return _labels_of_rows(column.tolist() if isinstance(column, np.ndarray) else column, what)


def _bits(column: Any) -> np.ndarray:
    if isinstance(column, np.ndarray):
        return np.nan_to_num(column.astype(np.float32)) > 0
    words = ["" if v is None else str(v).strip().lower() for v in column]
    return np.array(
        [w not in ("", "0", "0.0", "-1", "-1.0", "false", "f", "no", "n") for w in words]
    )


def _labels_of_array(x: np.ndarray) -> Any:
    if x.dtype.kind in "OUST":
        if x.ndim != 2:
            raise InputError(
                f"labels: an array of shape {x.shape} given; one list of names per document needed"
            )
        return [[name for name in row if name is not None and name == name] for row in x.tolist()]
    if x.ndim == 1 or (x.ndim == 2 and x.shape[1] == 1 and not are_bits(np.unique(x).tolist())):
        return [[value] for value in x.ravel().tolist()]
    return x


def _labels_of_rows(rows: Sequence[Any], what: str) -> tuple[Any, list[str] | None]:
    """Returns rows of names; strings, numbers, and zeros and ones are read like cells of a file."""
    rows = [
        unwrap(row) if hasattr(row, "__array__") or hasattr(row, "detach") else row for row in rows
    ]
    if not rows:
        return rows, None
    kinds = {
        "list" if is_list(r) else "string" if isinstance(r, str) else "other"
        for r in rows
        if r is not None
    }
    if kinds == {"list"}:
        sample = [list(r) for r in rows[:1000] if r is not None]
        reading = choose_reading(sample)
        if reading.says.startswith("zeros and ones"):
            return _stack_bits(rows, what), None
        return [[] if r is None else reading.split(r) for r in rows], None
    if kinds == {"other"} and all(isinstance(r, dict) for r in rows if r is not None):
        reading = choose_reading(rows)
        if reading.n_several:
            tell(f"{what}: {reading.says}")
            return [reading.split(row) for row in rows], None
    if kinds == {"string"}:
        reading = choose_reading(rows)
        tell(f"{what}: {reading.says}")
        return [reading.split(cell) for cell in rows], None
    if kinds <= {"other"}:
        return [
            [] if r is None else [r] if isinstance(r, (int, float, np.number)) else r for r in rows
        ], None
    return rows, None  # refused later, with the number of the row


def _stack_bits(rows: Sequence[Any], what: str) -> np.ndarray:
    width = len(next(row for row in rows if row is not None))
    matrix = np.zeros((len(rows), width), np.float32)
    for i, row in enumerate(rows):
        if row is None:
            continue
        if len(row) != width or any(v not in (0, 1) for v in row):
            raise InputError(
                f"{what}[{i}]: {row!r:.60} given; {width} zeros and ones needed as in other rows"
            )
        matrix[i] = row
    return matrix


def _show(names: Sequence[str]) -> str:
    shown = ", ".join(map(repr, names[:_SHOWN]))
    return shown + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
