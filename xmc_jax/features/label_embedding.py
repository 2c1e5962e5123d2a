"""Vectors of labels for clustering, made from the instances that carry them or from the instances' features.

With Ȳ the label matrix, each *row* divided by its l2 norm:
PIFA  Z = ȲᵀX, rows of Z divided by their l2 norm (Yu et al. 2022);
PII   Z = Yᵀ, rows divided by their l2 norm;
PIFA-LF concat [PIFA | F] and PIFA-LF convex ½·PIFA + ½·F, with the label features F [L, D'] as given.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp

from xmc_jax.config import TreeConfig
from xmc_jax.errors import InputError
from xmc_jax.features.projection import make_projection
from xmc_jax.features.vectors import normalize_rows, to_csr, to_dense
from xmc_jax.threads import map_threads
from xmc_jax.types import Features

SKETCH = 512
"""Columns of a sketch chosen by `choose_sketch`."""

_MUCH_WORK = 1_000_000_000
"""Number of multiplications beyond which an embedding is sketched."""
_BLOCK_WORK = 8_000_000
"""Multiplications per block of labels, which bound the memory of the products under way."""


def embed_labels(
    features: Features,
    labels: sp.csr_matrix,
    *,
    config: TreeConfig,
    seed: int,
    label_features: Any = None,
    threads: int = 0,
) -> sp.csr_matrix | np.ndarray:
    """Returns `config.embedding` of each label; a label without instances has a row of zeros.

    Args:
        features: features of N instances.
        labels: [N, L], weights of the labels or ones.
        config: a number as `sketch` replaces sparse columns by that many sketched ones, "auto" asks `choose_sketch`.
        seed: seed of the sketch.
        label_features: [L, D'], sparse or dense, for the two `pifa_lf` embeddings. A sketched embedding sketches them
            too if they are sparse and wider than the sketch, or combined convexly.
        threads: number of threads, or 0 for one per core; the result does not depend on it.

    Returns:
        float32 [L, D']: an array if sketched or made only of dense columns, otherwise CSR.

    Raises:
        InputError: numbers of rows, labels or columns that do not match, or missing label features.

    Example:
        >>> features = Features(sp.csr_matrix(np.eye(2, dtype=np.float32)), np.zeros((2, 0), np.float32))
        >>> both = sp.csr_matrix(np.array([[1, 1], [0, 1]], np.float32))
        >>> embed_labels(features, both, config=TreeConfig(), seed=0).toarray().round(2)
        array([[1.  , 0.  ],
               [0.58, 0.82]], dtype=float32)
    """
    labels = to_csr(labels, "labels")
    if labels.shape[0] != features.n_rows:
        raise InputError(
            f"features of {features.n_rows} and labels of {labels.shape[0]} documents given; "
            "give one row of each for every document"
        )
    if config.embedding == "pii":
        return _embed_pii(labels, config.sketch, seed)
    extra = None
    if config.embedding != "pifa":
        extra = _check_label_features(label_features, labels, features, config)
    width = config.sketch or 0
    if width == "auto":
        work = int(np.diff(labels.indptr) @ np.diff(features.sparse.indptr).astype(np.int64))
        width = choose_sketch(work, labels.shape[1], features.n_sparse)
    width = width if features.n_sparse else 0
    matrix = make_projection(features.n_sparse, width, seed) if width else None
    pifa = _embed_pifa(features, labels, matrix, threads)
    if extra is None:
        return pifa
    if config.embedding == "pifa_lf_concat":
        return _join(pifa, _sketch_wide(extra, width, seed))
    if matrix is not None:
        extra = _sketch_like(extra, matrix, features.n_dense)
    return _average(pifa, extra)


def choose_sketch(work: int, n_labels: int, n_features: int) -> int:
    """Returns the number of columns of the sketch, or 0 if the exact embedding is affordable.

    Clusters of the exact embedding are tighter: on 519,317 library records with 24,831 subjects, the sketch cost half a
    point of P@1. So the exact one is used up to a few gigabytes and minutes.

    Args:
        work: multiplications of the exact product, Σ_i nnz(x_i)·nnz(y_i); it is taken as at most twice its size.
        n_labels, n_features: shape of the product.

    Example:
        >>> choose_sketch(10**6, 1000, 50_000), choose_sketch(10**12, 10**6, 500_000)
        (0, 512)
    """
    work = min(work, 2 * n_labels * n_features)
    return SKETCH if n_features > SKETCH and work > _MUCH_WORK else 0


def _embed_pii(
    labels: sp.csr_matrix, sketch: int | Literal["auto"] | None, seed: int
) -> sp.csr_matrix | np.ndarray:
    by_label = labels.T.tocsr()
    n_labels, n_instances = by_label.shape
    width = sketch or 0
    if width == "auto":
        width = choose_sketch(by_label.nnz, n_labels, n_instances)
    if not width:
        return normalize_rows(by_label)
    sketched = by_label @ make_projection(n_instances, width, seed)
    return normalize_rows(sketched.toarray())


def _embed_pifa(
    features: Features, labels: sp.csr_matrix, projection: sp.csr_matrix | None, threads: int
) -> sp.csr_matrix | np.ndarray:
    by_label = normalize_rows(labels).T.tocsr()
    columns = features.sparse if projection is None else features.sparse @ projection
    is_dense = projection is not None or not features.n_sparse
    multiply = partial(_multiply_block, by_label, columns, features.dense, is_dense)
    blocks = _cut_labels(by_label, columns, features.n_dense)
    parts = list(map_threads(multiply, blocks, threads))
    return np.concatenate(parts) if is_dense else sp.vstack(parts, format="csr")


def _multiply_block(
    by_label: sp.csr_matrix,
    columns: sp.csr_matrix,
    dense: np.ndarray,
    is_dense: bool,
    block: tuple[int, int],
) -> sp.csr_matrix | np.ndarray:
    """Returns the normalised rows block[0] to block[1] - 1 of the embedding."""
    return multiply_rows(by_label[block[0] : block[1]], columns, dense, is_dense)


def multiply_rows(
    rows: sp.csr_matrix, columns: sp.csr_matrix, dense: np.ndarray, is_dense: bool
) -> sp.csr_matrix | np.ndarray:
    """Returns the embeddings of some labels.

    Args:
        rows: [labels, N], shares of the documents in each label.
        columns: [N, D], sparse columns of the documents.
        dense: [N, H].
        is_dense: whether the result is an array instead of a matrix.
    """
    left = rows @ columns
    if is_dense:
        return normalize_rows(np.concatenate([left.toarray(), rows @ dense], axis=1))
    if dense.shape[1]:
        left = sp.hstack([left, sp.csr_matrix(rows @ dense)], format="csr")
    left.sort_indices()
    return normalize_rows(left)


def _cut_labels(
    by_label: sp.csr_matrix, columns: sp.csr_matrix, n_dense: int
) -> list[tuple[int, int]]:
    """Returns (first, end) of blocks of labels of about equal work."""
    n_labels = by_label.shape[0]
    entry_work = np.diff(columns.indptr).astype(np.int64)[by_label.indices] + n_dense
    before = np.concatenate([[0], np.cumsum(entry_work)])[by_label.indptr]
    before = before + np.arange(n_labels + 1) * (columns.shape[1] // 16 + n_dense)
    part = before[:-1] // _BLOCK_WORK
    borders = [0, *(np.flatnonzero(np.diff(part)) + 1).tolist(), n_labels]
    return list(pairwise(borders))


def _check_label_features(
    given: Any, labels: sp.csr_matrix, features: Features, config: TreeConfig
) -> sp.csr_matrix | np.ndarray:
    if given is None:
        raise InputError(
            f"embedding={config.embedding} needs label features [labels, columns]; none given"
        )
    what = "label features"
    extra = to_csr(given, what) if sp.issparse(given) else to_dense(given, what)
    if extra.shape[0] != labels.shape[1]:
        raise InputError(
            f"label features of {extra.shape[0]} labels given, {labels.shape[1]} labels in the "
            "data; give a row for every label"
        )
    width = features.n_sparse + features.n_dense
    if config.embedding == "pifa_lf_convex" and extra.shape[1] != width:
        raise InputError(
            f"label features of {extra.shape[1]} columns given, embedding=pifa_lf_convex needs the "
            f"{width} of the features; use pifa_lf_concat for other widths"
        )
    return extra


def _sketch_wide(extra: Any, width: int, seed: int) -> Any:
    """Makes sparse label features dense beside a sketched embedding (`width` > 0)."""
    if not width or not sp.issparse(extra):
        return extra
    if extra.shape[1] > width:
        extra = extra @ make_projection(extra.shape[1], width, seed)
    return extra.toarray()


def _sketch_like(extra: Any, projection: sp.csr_matrix, n_dense: int) -> np.ndarray:
    """Sketches label features as the features: sparse columns first, dense ones kept."""
    n_sparse = projection.shape[0]
    wide = sp.csr_matrix(extra)
    sketched = (wide[:, :n_sparse] @ projection).toarray()
    return np.concatenate([sketched, wide[:, n_sparse : n_sparse + n_dense].toarray()], axis=1)


def _join(pifa: Any, extra: Any) -> sp.csr_matrix | np.ndarray:
    if sp.issparse(pifa) or sp.issparse(extra):
        parts = [sp.csr_matrix(pifa), sp.csr_matrix(extra)]
        return sp.hstack(parts, format="csr", dtype=np.float32)
    return np.concatenate([pifa, extra], axis=1)


def _average(pifa: Any, extra: Any) -> sp.csr_matrix | np.ndarray:
    half = np.float32(0.5)
    if sp.issparse(pifa) or sp.issparse(extra):
        mixed = sp.csr_matrix(pifa) * half + sp.csr_matrix(extra) * half
        mixed.sort_indices()
        return mixed
    return half * pifa + half * extra
