"""Checks of matrices that come from outside: features [N, D] and labels [N, L] become clean float32 CSR."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp

from xmc_jax.errors import InputError, tell

FLOAT32_MAX = float(np.finfo(np.float32).max)


def check_features(
    matrix: Any, name: str, row_name: Callable[[int], str] | None = None
) -> sp.csr_matrix:
    """Returns features [N, D] as float32 CSR, sorted within each row, or raises an error that names the wrong row.

    A matrix that is already clean is not copied: the result may share its arrays.

    Args:
        matrix: scipy sparse matrix or a two-dimensional array of numbers.
        name: what to call it in errors.
        row_name: what to call row i in errors; by default `name, row i + 1`.

    Raises:
        InputError: not numbers, not two-dimensional, no rows, NaN or infinite values (also as float32), ids out of
            range or repeated in a row.
    """
    rows = _as_csr(matrix, name)
    place = row_name or (lambda i: f"{name}, row {i + 1}")
    if rows.nnz and not (rows.data.min() >= -FLOAT32_MAX and rows.data.max() <= FLOAT32_MAX):
        at = int((~(np.abs(rows.data) <= FLOAT32_MAX)).argmax())
        raise InputError(
            f"{place(_row_of(rows, at))}: the value of feature {rows.indices[at]} is {rows.data[at]}; "
            "finite 32-bit numbers needed"
        )
    if not rows.has_sorted_indices:
        rows = rows.sorted_indices()
    at = _find_duplicate(rows)
    if at >= 0:
        raise InputError(
            f"{place(_row_of(rows, at))}: feature {rows.indices[at]} is in the row twice; write it once"
        )
    return rows.astype(np.float32, copy=False)


def check_labels(matrix: Any, name: str) -> sp.csr_matrix:
    """Returns labels [N, L] as float32 CSR of ones, sorted within each row; any value above 0 is a label.

    A note says so where values other than 0 and 1 are given.

    Raises:
        InputError: not numbers, not two-dimensional, no rows, NaN, infinite or negative values, ids out of range.
    """
    rows = _as_csr(matrix, name)
    bad = ~((rows.data >= 0) & np.isfinite(rows.data))
    if bad.any():
        at = int(bad.argmax())
        raise InputError(
            f"{name}, row {_row_of(rows, at) + 1}: label {rows.indices[at]} has the value {rows.data[at]}; "
            "1 for a label, 0 or nothing for none needed"
        )
    other = (rows.data != 0) & (rows.data != 1)
    if other.any():
        shown = f"{rows.data[int(other.argmax())]:g}"
        tell(
            f"{name}: a matrix with values such as {shown} given: every value above 0 says that its column is a label; "
            "give rows of label numbers as lists, such as labels.tolist()"
        )
    ones = (rows.data > 0).astype(np.float32)
    rows = sp.csr_matrix((ones, rows.indices.copy(), rows.indptr.copy()), rows.shape)
    rows.eliminate_zeros()
    rows.sum_duplicates()
    rows.data[:] = 1.0
    return rows


def _as_csr(matrix: Any, name: str) -> sp.csr_matrix:
    """Returns any matrix of real numbers as CSR, its structure checked; it may share the matrix's arrays."""
    if not sp.issparse(matrix):
        matrix = np.asarray(matrix)
    if matrix.ndim != 2:
        raise InputError(
            f"{name}: has {matrix.ndim} dimension(s), a matrix with one row per document needed"
        )
    if matrix.dtype.kind not in "biuf":
        raise InputError(f"{name}: holds values of type {matrix.dtype}, real numbers needed")
    if not matrix.shape[0]:
        raise InputError(f"{name}: no documents")
    try:
        if hasattr(matrix, "check_format"):
            matrix.check_format(full_check=True)  # before a conversion that would trust the ids
        rows = matrix if type(matrix) is sp.csr_matrix else sp.csr_matrix(matrix)
        # rebuilt, so that ids become 32 bits wide and no flag about their order is trusted
        rows = sp.csr_matrix((rows.data, rows.indices, rows.indptr), rows.shape)
    except ValueError as error:
        raise InputError(
            f"{name}: is not a valid sparse matrix ({error}); write it again"
        ) from None
    return rows


def scale_rows(matrix: sp.csr_matrix, norm: str) -> sp.csr_matrix:
    """Returns the rows divided by their `l1`, `l2` or `max` norm (rows of zeros stay), unchanged for `none`.

    The published experiments do so, since the penalty of a linear level assumes rows of about equal length.
    """
    if norm == "none":
        return matrix
    matrix = matrix.astype(np.result_type(matrix.dtype, np.float32), copy=False)
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    if norm == "max":
        norms = np.zeros(matrix.shape[0], matrix.dtype)
        np.maximum.at(norms, rows, np.abs(matrix.data))
    else:
        parts = np.abs(matrix.data) if norm == "l1" else np.square(matrix.data)
        sums = np.bincount(rows, weights=parts, minlength=matrix.shape[0])  # in float64
        norms = sums if norm == "l1" else np.sqrt(sums)
    norms[norms == 0] = 1
    data = (matrix.data / norms[rows]).astype(matrix.dtype, copy=False)
    return sp.csr_matrix((data, matrix.indices.copy(), matrix.indptr.copy()), matrix.shape)


def _row_of(rows: sp.csr_matrix, entry: int) -> int:
    return int(np.searchsorted(rows.indptr, entry, side="right")) - 1


def _find_duplicate(rows: sp.csr_matrix) -> int:
    """Returns the position of the first entry that repeats the column before it in its (sorted) row, or -1."""
    same = np.zeros(rows.nnz, bool)
    same[1:] = rows.indices[1:] == rows.indices[:-1]
    starts = rows.indptr[:-1]
    same[starts[starts < rows.nnz]] = False
    return int(same.argmax()) if same.any() else -1
