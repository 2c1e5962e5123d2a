"""Label names and label matrices: the vocabulary, its file, and rows of names as CSR."""

from __future__ import annotations

import os
from array import array
from collections.abc import Collection, Iterable, Sequence

import numpy as np
import scipy.sparse as sp

from xmc_jax.data.lines import BOM, read_lines
from xmc_jax.errors import InputError
from xmc_jax.files import replace_file


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
    """Returns the names in a `labels.txt`, one a line, line i + 1 being label i; blank lines at the
    end are ignored.

    Raises:
        InputError: no names, a blank line between names, a name twice (with both lines).
    """
    seen: dict[str, int] = {}
    blank = 0
    for number, name in enumerate(read_lines(path), 1):
        if not name.strip():
            blank = blank or number
            continue
        if blank:
            raise InputError(f"{path}:{blank}: the label is empty; a name a line needed")
        if name in seen:
            raise InputError(
                f"{path}:{number}: the label {name!r:.60} stands on line {seen[name]} already; "
                "names must differ"
            )
        seen[name] = number
    if not seen:
        raise InputError(f"{path}: holds no labels; a name a line needed")
    return list(seen)


def write_labels(path: str | os.PathLike, names: Iterable[str]) -> None:
    """Writes a `labels.txt` that `read_labels` gives back unchanged, in one move.

    Raises:
        InputError: a name that no line can hold, or a name given twice.
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
                stream.write(BOM)  # the reader drops one: the name's own must not be it
            stream.write(name.encode() + b"\n")


class LabelRows:
    """Collects rows of label names as ids in flat arrays.

    With a vocabulary, column j of the result is its name j and other names are counted and dropped;
    without one, the columns are the names seen, sorted. `allowed`, if given, holds the names that
    may occur at all.
    """

    def __init__(
        self, vocabulary: Sequence[str] | None = None, allowed: Collection[str] | None = None
    ) -> None:
        self._fixed = None if vocabulary is None else list(vocabulary)
        self._ids = {name: i for i, name in enumerate(self._fixed or ())}
        if len(self._ids) < len(self._fixed or ()):
            raise InputError("the label vocabulary holds a name twice; names must differ")
        self._allowed = allowed
        self._columns = array("i")
        self._offsets = array("q", [0])

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def add(self, names: object) -> None:
        """Appends the labels of one document; a name given twice counts once.

        Raises:
            ValueError: not a list of strings, a name that `check_name` refuses or that is not
                allowed.
        """
        if type(names) is not list:
            names = _as_list(names)
        ids, columns = self._ids, self._columns
        for name in names:
            try:
                column = ids.get(name)
            except TypeError:  # a list or dict in the place of a name
                column = None
            columns.append(self._admit(name) if column is None else column)
        self._offsets.append(len(columns))

    def _admit(self, name: object) -> int:
        """Gives a new name the next id; with a fixed vocabulary that is beyond its end, so `build`
        can tell."""
        text = check_name(name)
        if self._allowed is not None and text not in self._allowed:
            raise ValueError(
                f"the label {text!r:.60} is not in labels.txt; add it there or remove labels.txt"
            )
        self._ids[text] = len(self._ids)
        return len(self._ids) - 1

    def build(self) -> tuple[sp.csr_matrix, list[str], int]:
        """Returns labels [N, L] (float32 CSR of ones), their L names, and the number of entries
        dropped."""
        columns = np.array(self._columns, np.int32)
        offsets = np.array(self._offsets, np.int64)
        if self._fixed is None:
            seen = list(self._ids)
            order = sorted(range(len(seen)), key=seen.__getitem__)
            rank = np.empty(len(seen), np.int32)
            rank[order] = np.arange(len(seen), dtype=np.int32)
            columns = rank[columns]
            vocabulary = [seen[i] for i in order]
        else:
            vocabulary = self._fixed
        shape = (len(self), max(len(self._ids), 1))
        every = sp.csr_matrix((np.ones(len(columns), np.float32), columns, offsets), shape)
        labels, n_unknown = keep_columns(every, len(vocabulary))
        return labels, vocabulary, n_unknown


def keep_columns(labels: sp.csr_matrix, n_labels: int) -> tuple[sp.csr_matrix, int]:
    """Returns the first `n_labels` columns as ones without duplicates, and the number of entries
    dropped."""
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
) -> tuple[sp.csr_matrix, int]:
    """Moves the columns of labels [N, L'] named `names` to where the vocabulary has them.

    Returns:
        Labels [N, L] over the vocabulary and the number of entries whose name it does not hold.
    """
    if list(names) == list(vocabulary):
        return labels, 0
    ids = {name: i for i, name in enumerate(vocabulary)}
    unknown = len(vocabulary)
    target = np.fromiter((ids.get(name, unknown) for name in names), np.int32, len(names))
    entries = labels.tocoo()
    moved = target[entries.col]
    known = moved < unknown
    shape = (labels.shape[0], unknown)
    kept = sp.csr_matrix((entries.data[known], (entries.row[known], moved[known])), shape)
    kept.sort_indices()
    return kept, int((~known).sum())


def labels_from_names(rows: Iterable[Sequence[str]]) -> tuple[sp.csr_matrix, list[str]]:
    """Returns labels [N, L] and the sorted names of the L labels, from a list of names a document.

    Raises:
        InputError: no documents, no labels at all, or a row that is not a list of names (with its
            index).
    """
    collected = _collect(rows, LabelRows())
    labels, vocabulary, _ = collected.build()
    if not vocabulary:
        raise InputError("labels: no document has a label; at least one needed to learn from")
    return labels, vocabulary


def labels_to_csr(
    rows: Iterable[Sequence[str]], vocabulary: Sequence[str]
) -> tuple[sp.csr_matrix, int]:
    """Returns labels [N, L] over the vocabulary, and the number of names dropped because it does
    not hold them.

    Raises:
        InputError: no documents, or a row that is not a list of names (with its index).
    """
    labels, _, n_unknown = _collect(rows, LabelRows(vocabulary)).build()
    return labels, n_unknown


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
    """Accepts the other containers that a Python caller may use for names; JSON gives lists
    only."""
    if isinstance(names, str):
        raise ValueError(
            f"the labels are the string {names!r:.60}, a list of strings needed: [{names!r:.60}]"
        )
    if isinstance(names, (tuple, set, frozenset)):
        return list(names)
    if isinstance(names, np.ndarray) and names.ndim == 1:
        return names.tolist()
    raise ValueError(f"the labels are {names!r:.60}, a list of strings needed")
