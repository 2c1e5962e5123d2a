"""The user's own vectors, checked and brought into the form that the levels score."""

from __future__ import annotations

import os
import zipfile
import zlib
from typing import Any

import numpy as np
import scipy.sparse as sp

from xmc_jax.errors import InputError
from xmc_jax.types import Features

_NEAR_ONE = 1e-3
"""Rows that deviate less from length 1 are not scaled: rows of TF-IDF have length 1 up to rounding."""


def as_features(x: Any) -> Features:
    """Returns sparse input as `Features.sparse`, a dense array as `Features.dense`.

    Args:
        x: SciPy sparse matrix or array of any format, or numbers [N, D] that NumPy understands; Features are returned
            as they are.

    Raises:
        InputError: not two-dimensional, not numbers, or a value that is NaN or infinite, with its row.

    Example:
        >>> as_features([[1.0, 0.0], [0.5, 2.0]]).dense.shape
        (2, 2)
    """
    if isinstance(x, Features):
        return x
    if sp.issparse(x):
        return Features.of_sparse(to_csr(x))
    dense = to_dense(x)
    return Features(sp.csr_matrix((len(dense), 0), dtype=np.float32), dense)


def to_csr(x: Any, what: str = "features") -> sp.csr_matrix:
    """Returns `x` as float32 CSR, with sorted indices, duplicates added up and no explicit zeros."""
    if x.ndim != 2:
        raise InputError(f"{what} of shape {x.shape} given, a matrix (two dimensions) needed")
    _check_numbers(x.dtype, what)
    if x.format in ("csr", "csc", "bsr"):
        try:
            x.check_format(full_check=True)
        except ValueError as error:
            raise InputError(
                f"damaged {x.format} matrix of {what} given ({error}); make it again"
            ) from error
    csr = sp.csr_matrix(x, dtype=np.float64 if x.dtype.itemsize > 4 else np.float32)
    if not csr.has_canonical_format:
        csr = csr.copy()
        csr.sum_duplicates()
    data = _round_to_float32(csr.data)
    bad = np.flatnonzero(~np.isfinite(data))
    if len(bad):
        row = int(np.searchsorted(csr.indptr, bad[0], side="right")) - 1
        raise _not_finite(what, row, int(csr.indices[bad[0]]), csr.data[bad[0]])
    return drop_zeros(sp.csr_matrix((data, csr.indices, csr.indptr), shape=csr.shape))


def drop_zeros(rows: sp.csr_matrix) -> sp.csr_matrix:
    """Returns rows without stored zeros: the same matrix if there are none.

    >>> drop_zeros(sp.csr_matrix(([0.0, 2.0], [0, 1], [0, 2]))).nnz
    1
    """
    if not rows.data.all():
        rows = rows.copy()
        rows.eliminate_zeros()
    return rows


def to_dense(x: Any, what: str = "features") -> np.ndarray:
    """Returns a C-contiguous float32 array [N, H]."""
    try:
        array = np.asarray(x)
    except ValueError as error:
        raise InputError(f"{what} with rows of different lengths given, a matrix needed") from error
    if array.ndim != 2:
        raise InputError(
            f"{what} of shape {array.shape} given, a matrix (two dimensions) needed"
            + ("; for one row use x[None, :]" if array.ndim == 1 else "")
        )
    _check_numbers(array.dtype, what)
    dense = _round_to_float32(array)
    finite = np.isfinite(dense)
    if not finite.all():
        row, column = np.argwhere(~finite)[0].tolist()
        raise _not_finite(what, row, column, array[row, column])
    return np.ascontiguousarray(dense)


def concatenate(sparse: Any, dense: Any) -> Features:
    """Returns features of sparse columns [N, D] and dense columns [N, H] side by side.

    Raises:
        InputError: as `as_features`, or different numbers of rows.

    Example:
        >>> both = concatenate(sp.csr_matrix(np.eye(2)), np.ones((2, 3)))
        >>> both.n_sparse, both.n_dense
        (2, 3)
    """
    if not sp.issparse(sparse):
        raise InputError(
            f"sparse columns given as {type(sparse).__name__}, a scipy sparse matrix needed"
        )
    left, right = to_csr(sparse), to_dense(dense)
    if left.shape[0] != len(right):
        raise InputError(
            f"{left.shape[0]} rows of sparse and {len(right)} rows of dense features given; "
            "give one row of each for every document"
        )
    return Features(left, right)


def check_width(features: Features, n_sparse: int, n_dense: int) -> None:
    """Checks that features have the columns that a model was trained on.

    Raises:
        InputError: they have another number of sparse or dense columns.

    Example:
        >>> check_width(as_features(np.ones((1, 3))), n_sparse=0, n_dense=3)
    """
    if (features.n_sparse, features.n_dense) != (n_sparse, n_dense):
        raise InputError(
            f"{features.n_sparse} sparse and {features.n_dense} dense features given, the model "
            f"was trained on {n_sparse} sparse and {n_dense} dense; make them as for training"
        )


def normalize_rows(x: Any) -> Any:
    """Returns rows divided by their Euclidean norm; a zero row stays zero.

    Args:
        x: CSR matrix or array [N, D] of float32; a matrix keeps its sparsity, and `x` is not changed.

    Example:
        >>> normalize_rows(np.array([[3.0, 4.0], [0.0, 0.0]])).tolist()
        [[0.6, 0.8], [0.0, 0.0]]
    """
    if not sp.issparse(x):
        sums = np.sqrt(np.einsum("nd,nd->n", x, x))
        return x / np.where(sums > 0, sums, 1.0)[:, None].astype(x.dtype)
    data = x.data * scale_rows(x, "l2")
    return sp.csr_matrix((data, x.indices, x.indptr), shape=x.shape)


def unit_rows(features: Features) -> Features:
    """Returns rows scaled to length 1 over sparse and dense columns together; zero rows stay as they are.

    The threshold for weights and the cost of errors assume rows of about this length.

    Example:
        >>> unit_rows(as_features([[3.0, 4.0]])).dense
        array([[0.6, 0.8]], dtype=float32)
    """
    lengths = row_lengths(features)
    scales = np.where(
        (np.abs(lengths - 1) < _NEAR_ONE) | (lengths == 0),
        1.0,
        1.0 / np.where(lengths, lengths, 1.0),
    )
    if (scales == 1).all():
        return features
    sparse, dense = features.sparse, features.dense
    data = sparse.data * np.repeat(scales, np.diff(sparse.indptr))
    scaled = sp.csr_matrix((data.astype(np.float32), sparse.indices, sparse.indptr), sparse.shape)
    return Features(scaled, (dense * scales[:, None]).astype(np.float32))


def row_lengths(features: Features) -> np.ndarray:
    """Returns the length of each row over all columns, float64 [N].

    >>> row_lengths(as_features([[3.0, 4.0], [0.0, 0.0]])).tolist()
    [5.0, 0.0]
    """
    sparse, dense = features.sparse, features.dense.astype(np.float64)
    squares = np.square(sparse.data, dtype=np.float64)
    if len(features) == 1 and len(squares):  # a query: the same sum in a fifth of the time
        sums = np.cumsum(squares)[-1:]
    else:
        rows = np.repeat(np.arange(sparse.shape[0]), np.diff(sparse.indptr))
        sums = np.bincount(rows, squares, minlength=sparse.shape[0])
    return np.sqrt(sums + np.einsum("nh,nh->n", dense, dense))


def scale_rows(x: sp.csr_matrix, norm: str) -> np.ndarray:
    """Returns the factor, float32 [nnz], by which normalising its row multiplies each stored entry."""
    counts = np.diff(x.indptr)
    filled = counts > 0
    powers = (
        np.abs(x.data, dtype=np.float64) if norm == "l1" else np.square(x.data, dtype=np.float64)
    )
    sums = np.add.reduceat(powers, x.indptr[:-1][filled]) if len(powers) else powers
    sums = sums if norm == "l1" else np.sqrt(sums)
    scales = (1.0 / np.where(sums > 0, sums, 1.0)).astype(np.float32)
    return np.repeat(scales, counts[filled])


def load_matrix(path: str | os.PathLike[str]) -> Any:
    """Reads a SciPy sparse matrix (.npz) or an array (.npy) from a file, without pickle.

    Returns:
        float32 CSR or array, checked as in `as_features`.

    Raises:
        InputError: no such file, another ending, or a file that is not a matrix of finite numbers.
    """
    name = os.fspath(path)
    if not os.path.isfile(name):
        raise InputError(
            f"{name}: no such file; an .npz (scipy.sparse.save_npz) or .npy file is needed"
        )
    if not name.endswith((".npy", ".npz")):
        raise InputError(
            f"{name}: a file that ends in .npz (scipy.sparse.save_npz) or .npy is needed"
        )
    try:
        with open(name, "rb") as file:
            is_dense = name.endswith(".npy")
            raw = np.load(file, allow_pickle=False) if is_dense else sp.load_npz(file)
    except (
        OSError,
        ValueError,
        KeyError,
        EOFError,
        TypeError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise InputError(f"{name}: not a readable matrix ({error}); write it again") from error
    try:
        return to_csr(raw) if sp.issparse(raw) else to_dense(raw)
    except InputError as error:
        raise InputError(f"{name}: {error}") from error


def _check_numbers(kind: np.dtype, what: str) -> None:
    if kind.kind not in "biuf":
        raise InputError(f"{what} of type {kind} given, numbers needed")


def _round_to_float32(values: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):  # too large a value becomes infinite, which is refused
        return values.astype(np.float32, copy=False)


def _not_finite(what: str, row: int, column: int, value: Any) -> InputError:
    return InputError(
        f"row {row}, column {column} of the {what} is {value}, a finite float32 number needed; "
        "correct or remove it"
    )
