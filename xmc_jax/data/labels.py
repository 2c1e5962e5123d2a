"""Label names and label matrices: the vocabulary, its file, and rows of names as CSR."""

from __future__ import annotations

import os
import re
from array import array
from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from xmc_jax.data.lines import BOM, read_lines
from xmc_jax.data.literals import name_of
from xmc_jax.errors import InputError, tell
from xmc_jax.files import replace_file

_URI = re.compile(r"<[A-Za-z][A-Za-z0-9+.\-]*:[^<>\s]+>")


def check_name(name: object) -> str:
    """Returns a label name that a line of `labels.txt` can hold.

    Raises:
        ValueError: not a string, empty or only white space, a line break, half a surrogate pair.
    """
    if not isinstance(name, str):
        raise ValueError(
            f"the label {name!r:.60} is not a string; write names, such as {str(name)!r:.60}"
        )
    if not name.strip():
        raise ValueError(f"the label {name!r:.60} is empty; remove it or name it")
    if "\n" in name or "\r" in name:
        raise ValueError(f"the label {name!r:.60} holds a line break; a name is one line")
    try:
        name.encode()
    except UnicodeEncodeError:
        raise ValueError(
            f"the label {name!a:.60} holds half a surrogate pair; write the whole character"
        ) from None
    return str(name)


def read_labels(path: str | os.PathLike) -> list[str]:
    """Returns the names in a `labels.txt`, one per line, line i + 1 being label i; blank lines at the end are ignored.

    Raises:
        InputError: no names, a blank line between names, a repeated name (with both lines).
    """
    seen: dict[str, int] = {}
    blank = 0
    for number, name in enumerate(read_lines(path), 1):
        if not name.strip():
            blank = blank or number
            continue
        if blank:
            raise InputError(f"{path}:{blank}: the label is empty; one name per line needed")
        if name in seen:
            raise InputError(
                f"{path}:{number}: the label {name!r:.60} is already on line {seen[name]}; names must differ"
            )
        seen[name] = number
    if not seen:
        raise InputError(f"{path}: holds no labels; one name per line needed")
    return list(seen)


def write_labels(path: str | os.PathLike, names: Iterable[str]) -> None:
    """Writes a `labels.txt` that `read_labels` reads back unchanged, atomically.

    Raises:
        InputError: a name that a line cannot hold, or a repeated name.
    """
    seen: set[str] = set()
    with replace_file(path) as stream:
        for i, name in enumerate(names):
            try:
                check_name(name)
            except ValueError as error:
                raise InputError(f"{path}: label {i}: {error}") from None
            if name in seen:
                raise InputError(
                    f"{path}: label {i}: {name!r:.60} is given twice; names must differ"
                )
            seen.add(name)
            if i == 0 and name.encode().startswith(BOM):
                stream.write(BOM)  # the reader drops one mark, which must not be the name's own
            stream.write(name.encode() + b"\n")


class LabelTable(NamedTuple):
    """Labels of some documents.

    Attributes:
        labels: float32 CSR [N, L] of ones.
        names: names of the L columns.
        unknown: number of documents with each name that the vocabulary does not hold.
        n_blank: number of labels without a name (blank, null), which were left out.
        n_numbers: number of labels that were given as numbers, which are named by their digits.
    """

    labels: sp.csr_matrix
    names: list[str]
    unknown: dict[str, int]
    n_blank: int
    n_numbers: int

    @property
    def n_unknown(self) -> int:
        return sum(self.unknown.values())


class LabelRows:
    """Collects rows of label names as ids in flat arrays.

    White space around a name is not part of it, in any format; blank names are left out and counted. With a
    vocabulary, column j of the result is its name j and other names are counted and dropped; without one, the
    columns are the names seen, sorted. Other names than those in `allowed`, if given, are refused.
    """

    def __init__(
        self, vocabulary: Sequence[str] | None = None, allowed: Collection[str] | None = None
    ) -> None:
        self._fixed = None if vocabulary is None else list(vocabulary)
        self._names = list(self._fixed or ())
        self._ids = {name: i for i, name in enumerate(self._names)}
        if len(self._ids) < len(self._names):
            raise InputError("the label vocabulary holds a name twice; names must differ")
        self._allowed = allowed
        self._columns = array("i")
        self._offsets = array("q", [0])
        self._n_blank = self._n_numbers = 0

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def add(self, names: object) -> None:
        """Appends the labels of one document; a repeated name counts once.

        Raises:
            ValueError: not a list of names, a name that `check_name` refuses or that is not allowed.
        """
        if type(names) is not list:
            names = _as_list(names)
        ids, columns = self._ids, self._columns
        for name in names:
            column = ids.get(name) if type(name) is str else None
            if column is None:
                column = self._admit(name)
            if column >= 0:
                columns.append(column)
            else:
                self._n_blank += 1
        self._offsets.append(len(columns))

    def _admit(self, name: object) -> int:
        """Returns the id of a name in a new spelling, or -1 for a blank one. With a fixed vocabulary, ids of unknown
        names lie beyond its end, where `build` finds them."""
        text = name_label(name)
        self._n_numbers += not isinstance(name, (str, dict))
        if not text:
            return -1
        if text not in self._ids:
            check_name(text)
            if self._allowed is not None and text not in self._allowed:
                raise ValueError(
                    f"the label {text!r:.60} is not in labels.txt; add it there or remove labels.txt"
                )
            self._ids[text] = len(self._names)
            self._names.append(text)
        column = self._ids[text]
        if isinstance(name, str):
            self._ids[name] = column  # so that this spelling is found next time
        return column

    def build(self) -> LabelTable:
        """Returns the labels collected so far."""
        columns = np.array(self._columns, np.int32)
        offsets = np.array(self._offsets, np.int64)
        names = self._names
        if self._fixed is None:
            order = sorted(range(len(names)), key=names.__getitem__)
            rank = np.empty(len(names), np.int32)
            rank[order] = np.arange(len(names), dtype=np.int32)
            columns = rank[columns]
            names = [names[i] for i in order]
        n_labels = len(names if self._fixed is None else self._fixed)
        shape = (len(self), max(len(names), 1))
        every = sp.csr_matrix((np.ones(len(columns), np.float32), columns, offsets), shape)
        labels, _ = keep_columns(every, n_labels)
        counts = np.bincount(every.indices, minlength=len(names))[n_labels:]
        unknown = dict(zip(names[n_labels:], counts.tolist(), strict=True))
        return LabelTable(labels, names[:n_labels], unknown, self._n_blank, self._n_numbers)


def bare_uri(name: str) -> str:
    """Returns a name without the angle brackets of a URI: `<http://a/b>` is `http://a/b`."""
    return name[1:-1] if name[:1] == "<" and _URI.fullmatch(name) else name


def name_label(value: Any) -> str:
    """Returns the name of a label as given in data, without white space around it; "" if there is none.

    A whole number is named by its digits, an object such as `{"uri": ...}` by what `name_of` finds in it.

    Raises:
        ValueError: anything else.
    """
    if isinstance(value, dict):
        value = name_of(value)
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, str):
        return bare_uri(value.strip())
    if value is None or (isinstance(value, float) and value != value):
        return ""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value == int(value):
        return str(int(value))
    raise ValueError(
        f"the label {value!r:.60} is not a string; write names, such as {str(value)!r:.60}"
    )


def keep_columns(labels: sp.csr_matrix, n_labels: int) -> tuple[sp.csr_matrix, int]:
    """Returns the first `n_labels` columns as ones without duplicates, and the number of entries dropped."""
    labels.sum_duplicates()
    known = labels.indices < n_labels
    kept_before = np.concatenate([[0], np.cumsum(known)])
    columns = labels.indices[known]
    ones = np.ones(len(columns), np.float32)
    shape = (labels.shape[0], n_labels)
    kept = sp.csr_matrix((ones, columns, kept_before[labels.indptr]), shape)
    return kept, len(known) - len(columns)


def map_columns(
    labels: sp.csr_matrix, names: Sequence[str], vocabulary: Sequence[str]
) -> tuple[sp.csr_matrix, dict[str, int]]:
    """Moves the columns of labels [N, L'] named `names` to their places in the vocabulary.

    Returns:
        Labels CSR [N, L] over the vocabulary, and the number of entries of each name that it does not hold.

    Example:
        >>> labels, lost = map_columns(sp.csr_matrix([[1.0, 1.0]]), ["a", "b"], ["c", "b"])
        >>> labels.toarray().tolist(), lost
        ([[0.0, 1.0]], {'a': 1})
    """
    if list(names) == list(vocabulary):
        return labels, {}
    ids = {name: i for i, name in enumerate(vocabulary)}
    unknown = len(vocabulary)
    target = np.fromiter((ids.get(name, unknown) for name in names), np.int32, len(names))
    entries = labels.tocoo()
    moved = target[entries.col]
    known = moved < unknown
    shape = (labels.shape[0], unknown)
    kept = sp.csr_matrix((entries.data[known], (entries.row[known], moved[known])), shape)
    kept.sort_indices()
    counts = np.bincount(entries.col[~known], minlength=len(names))
    return kept, {names[i]: n for i, n in enumerate(counts.tolist()) if n}


def labels_from_names(rows: Iterable[Sequence[str]]) -> tuple[sp.csr_matrix, list[str]]:
    """Returns labels, CSR [N, L], and the sorted names of the L labels, from a list of names per document.

    Raises:
        InputError: no documents, no labels at all, or a row that is not a list of names (with its index).

    Example:
        >>> labels, names = labels_from_names([["tax", "law"], ["law"]])
        >>> names, labels.toarray().tolist()
        (['law', 'tax'], [[1.0, 1.0], [1.0, 0.0]])
    """
    collected = _collect(rows, LabelRows())
    table = collected.build()
    if not table.names:
        raise InputError("labels: no document has a label; at least one needed to learn from")
    tell_left_out(table, "labels")
    return table.labels, table.names


def labels_to_csr(
    rows: Iterable[Sequence[str]], vocabulary: Sequence[str]
) -> tuple[sp.csr_matrix, int]:
    """Returns labels, CSR [N, L], over the vocabulary, and the number of names dropped because it does not hold them.

    Raises:
        InputError: no documents, or a row that is not a list of names (with its index).
    """
    table = _collect(rows, LabelRows(vocabulary)).build()
    tell_left_out(table, "labels")
    return table.labels, table.n_unknown


def tell_left_out(table: LabelTable, source: str) -> None:
    """Reports blank labels, which are left out, and numbers, which become names."""
    if table.n_blank:
        tell(f"{source}: {table.n_blank:,} blank labels are left out")
    if table.n_numbers > table.n_blank:
        tell(
            f"{source}: labels that are numbers are named by their digits, such as {table.names[0]!r}"
        )


def _collect(rows: object, collected: LabelRows) -> LabelRows:
    if isinstance(rows, (str, bytes, dict)) or not isinstance(rows, Iterable):
        raise InputError(
            f"labels: {rows!r:.60} given, a list with a list of names for each document needed"
        )
    for i, names in enumerate(rows):
        try:
            collected.add(names)
        except ValueError as error:
            raise InputError(f"labels[{i}]: {error}") from None
    if not len(collected):
        raise InputError("labels: the list is empty; a list of names for each document needed")
    return collected


def _as_list(names: object) -> list:
    """Accepts the other containers that a Python caller may use for names; JSON has only lists."""
    if isinstance(names, str):
        raise ValueError(
            f"the labels are the string {names!r:.60}, a list of strings needed: [{names!r:.60}]"
        )
    if isinstance(names, (tuple, set, frozenset)):
        return list(names)
    if isinstance(names, np.ndarray) and names.ndim == 1:
        return names.tolist()
    raise ValueError(f"the labels are {names!r:.60}, a list of strings needed")
