"""Reads predictions and true labels, in any of their usual forms, into arrays, and compares them.

- A row of `ids` is ranked, best first, in the order in which it was given. Where scores are ranked
  here (a CSR matrix), the smaller id comes first among equal scores.
- A label is true where the matrix [N, L] holds a value above 0: counts are read as 1, and stored
  zeros are not true.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Float, Int

from xmc_jax.errors import InputError
from xmc_jax.frames import Frame, unwrap
from xmc_jax.types import PAD

Ids = Int[np.ndarray, "N R"]
Hits = Bool[np.ndarray, "N R"]

BLOCK = 1 << 20
"""Slots of `ids` looked up at once, which keeps the work space at tens of megabytes."""


@dataclass(frozen=True)
class Reading:
    """Predictions and truth as arrays.

    Attributes:
        ids: [N, R], best first, PAD for none.
        confidence: [N, R] in [0, 1], the probabilities if the predictions have them, else the scores if all of them are
            in [0, 1], else None.
        calibrated: whether the confidences are probabilities.
        truth: the true labels [N, L], as `as_truth` gives them.
        n_unknown: number of true labels left out because the predictions do not know their names.
    """

    ids: Ids
    confidence: Float[np.ndarray, "N R"] | None
    calibrated: bool
    truth: sp.csr_matrix
    n_unknown: int


class RankedRows(NamedTuple):
    """A CSR matrix's stored entries by row, value (largest first), column (smallest first)."""

    rows: np.ndarray
    columns: np.ndarray
    values: np.ndarray
    ranks: np.ndarray  # in the row, from 0


def find_hits(ids: Ids, labels: sp.csr_matrix) -> Hits:
    """Returns which predicted ids, in [0, L) or PAD, are true labels [N, L] of their row, bool [N, R].

    Raises:
        InputError: an id out of range, an id twice in a row (which would count twice), or different numbers of rows.

    Example:
        >>> find_hits(np.array([[1, 0]]), sp.csr_matrix([[0, 1]])).tolist()
        [[True, False]]
    """
    ids, truth = _check_ids(ids), as_truth(labels)
    n_rows, n_labels = truth.shape
    check_equal("documents", len(ids), n_rows)
    hits = np.zeros(ids.shape, bool)
    step = max(1, BLOCK // max(1, ids.shape[1]))
    for start in range(0, n_rows, step):
        block = ids[start : start + step].astype(np.int64)
        _check_block(block, n_labels, start)
        starts = truth.indptr[start : start + step + 1]
        rows = np.arange(len(block))
        # (row, label) as one number; the true pairs ascend. The -1 after them equals none.
        pairs = np.repeat(rows, np.diff(starts)) * n_labels
        pairs += truth.indices[starts[0] : starts[-1]]
        wanted = rows[:, None] * n_labels + block
        found = np.append(pairs, -1)[np.searchsorted(pairs, wanted)] == wanted
        hits[start : start + step] = found & (block != PAD)
    return hits


def read(predictions: Any, labels: Any, n_results: int | None = None) -> Reading:
    """Reads predictions and labels in any form that `evaluate` takes.

    Args:
        predictions, labels: see `evaluate`.
        n_results: number of best results to keep per document; None for all of them.

    Raises:
        InputError: another form, or different numbers of documents or labels.
    """
    scores: np.ndarray | None
    probabilities: np.ndarray | None = None
    if sp.issparse(predictions):
        ids, scores = top_entries(predictions, n_results)
        n_labels = predictions.shape[1]
    else:
        ids = _check_ids(getattr(predictions, "ids", predictions))[:, :n_results]
        names = getattr(predictions, "label_names", None)
        n_labels = getattr(predictions, "n_labels", None if names is None else len(names))
        scores, probabilities = (
            None if values is None else np.asarray(values)[:, :n_results]
            for values in (getattr(predictions, name, None) for name in ("scores", "probabilities"))
        )
    truth, unknown = read_labels(labels, predictions, n_labels)
    check_equal("documents", len(ids), truth.shape[0])
    check_equal("labels", truth.shape[1] if n_labels is None else n_labels, truth.shape[1])
    calibrated = probabilities is not None
    confidence = _find_confidence(ids, probabilities if calibrated else scores)
    return Reading(ids, confidence, calibrated, truth, unknown)


def _find_confidence(ids: Ids, values: np.ndarray | None) -> np.ndarray | None:
    if values is None or values.shape != ids.shape:
        return None
    return values if ((values >= 0) & (values <= 1) | (ids == PAD)).all() else None


def as_truth(labels: Any) -> sp.csr_matrix:
    """Returns a label matrix as CSR of True, with sorted, unique indices; `labels` is not changed."""
    matrix = sp.csr_matrix(labels)
    if not (matrix.data >= 0).all():  # nan fails too
        raise InputError("a label matrix with negative values or nan given, 1 (or a count) needed")
    if not (matrix.has_canonical_format and matrix.data.all()):
        matrix = matrix.copy()
        matrix.sum_duplicates()
        matrix.eliminate_zeros()
    return sp.csr_matrix((np.ones(matrix.nnz, bool), matrix.indices, matrix.indptr), matrix.shape)


def label_matrix(
    rows: Iterable[Iterable[str | int]], label_names: Sequence[str] | None, n_labels: int
) -> tuple[sp.csr_matrix, int]:
    """Returns a matrix of true labels [N, L] from lists of label names, or of ids, and the number of labels left out.

    Labels that `label_names` does not hold are left out. A label given twice for a document counts once.
    """
    known = {name: i for i, name in enumerate(() if label_names is None else label_names)}
    columns, ends, unknown = [], [0], 0
    for i, row in enumerate(rows):
        if isinstance(row, str) or not isinstance(row, Iterable):
            raise InputError(f"labels of document {i} are {row!r}, a list needed: [{row!r}]")
        for label in set(row):
            if isinstance(label, str) and label_names is not None:
                columns += [known[label]] if label in known else []
                unknown += label not in known
            elif isinstance(label, (int, np.integer)) and 0 <= label < n_labels:
                columns.append(int(label))
            else:
                need = f"an id below {n_labels}" + (" or a name" if known else "")
                raise InputError(f"label {label!r} given for document {i}, {need} needed")
        ends.append(len(columns))
    matrix = sp.csr_matrix((np.ones(len(columns)), columns, ends), (len(ends) - 1, n_labels))
    return as_truth(matrix), unknown


def top_entries(
    scores: sp.csr_matrix, n_results: int | None
) -> tuple[Ids, Float[np.ndarray, "N R"]]:
    """Returns ids and scores of the `n_results` best stored entries of each row (None for all), with PAD and 0 after
    them.

    Stored zeros and negative scores are predictions like others; entries that are not stored are none.

    Raises:
        InputError: a score that is NaN.

    Example:
        >>> ids, scores = top_entries(sp.csr_matrix([[0.1, 0.0, 0.7]]), 2)
        >>> ids.tolist()
        [[2, 0]]
    """
    matrix = sp.csr_matrix(scores)
    if np.isnan(matrix.data).any():
        raise InputError("a score of the predictions is nan, a number needed")
    ranked = rank_rows(matrix)
    widest = int(np.diff(matrix.indptr).max(initial=0))
    width = widest if n_results is None else min(n_results, widest)
    kept = ranked.ranks < width
    ids = np.full((matrix.shape[0], width), PAD, np.int32)
    values = np.zeros(ids.shape, np.float32)
    ids[ranked.rows[kept], ranked.ranks[kept]] = ranked.columns[kept]
    values[ranked.rows[kept], ranked.ranks[kept]] = ranked.values[kept]
    return ids, values


def rank_rows(matrix: sp.csr_matrix) -> RankedRows:
    """Sorts the stored entries of every row, largest first, equal values by column."""
    sizes = np.diff(matrix.indptr)
    rows = np.repeat(np.arange(len(sizes)), sizes)
    order = np.lexsort((matrix.indices, -matrix.data.astype(np.float64), rows))
    ranks = np.arange(len(rows)) - np.repeat(matrix.indptr[:-1], sizes)
    return RankedRows(rows, matrix.indices[order], matrix.data[order], ranks)


def read_labels(labels: Any, predictions: Any, n_labels: int | None) -> tuple[sp.csr_matrix, int]:
    labels = unwrap(labels)
    if isinstance(labels, Frame):
        labels = _list_names(labels)
    if sp.issparse(labels) or (isinstance(labels, np.ndarray) and labels.ndim == 2):
        return as_truth(labels), 0
    if n_labels is None:
        raise InputError("lists of labels and bare ids given, a label matrix or Predictions needed")
    return label_matrix(labels, getattr(predictions, "label_names", None), n_labels)


def _list_names(table: Frame) -> list[list[str]]:
    """Returns the names in a table of zeros and ones with a column per label, or in its only column."""
    if len(table.names) == 1 and not table.is_numeric(0):
        return table.columns[0]
    if not all(table.is_numeric(i) for i in range(len(table.names))):
        raise InputError(
            "a table of labels with columns other than zeros and ones given; give one column of lists"
        )
    return [
        [n for n, value in zip(table.names, row, strict=True) if value > 0]
        for row in table.stack().tolist()
    ]


def check_cuts(k: int | Sequence[int]) -> tuple[int, ...]:
    """Returns the ranks to cut at as a tuple.

    Raises:
        InputError: anything but whole numbers of 1 or more.
    """
    cuts = tuple(k) if isinstance(k, Iterable) and not isinstance(k, str) else (k,)
    whole = (isinstance(c, (int, np.integer)) and not isinstance(c, bool) for c in cuts)
    if not cuts or not all(whole) or min(cuts) < 1:
        raise InputError(f"k={k!r} given, a whole number of 1 or more, or a tuple of such, needed")
    return tuple(int(c) for c in cuts)


def check_equal(what: str, predicted: int, labelled: int) -> None:
    if predicted != labelled:
        raise InputError(f"{predicted} {what} predicted, {labelled} labelled; the same set needed")


def _check_ids(ids: Any) -> np.ndarray:
    ids = np.asarray(ids)
    if ids.ndim != 2 or not np.issubdtype(ids.dtype, np.integer):
        given = f"predictions of type {ids.dtype} and shape {ids.shape}"
        raise InputError(f"{given} given, integer ids [N, R] or a CSR of scores [N, L] needed")
    return ids


def _check_block(ids: np.ndarray, n_labels: int, first_row: int) -> None:
    ordered = np.sort(ids, axis=1)
    outside = (ordered < PAD) | (ordered >= n_labels)
    twice = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] != PAD)
    for bad, need in ((outside, f"ids from 0 to {n_labels - 1} (or {PAD})"), (twice, "it once")):
        if bad.any():
            row, slot = np.argwhere(bad)[0]
            given = f"id {ordered[row, slot]}{' twice' if bad is twice else ''}"
            raise InputError(f"{given} in row {first_row + row} of the predictions, {need} needed")
