"""Turns counts of terms into TF-IDF weights (Salton & Buckley 1988), with scikit-learn's formulas.

weight(t, d) = tf(t, d) · idf(t), rows then divided by their l1 or l2 norm, with
tf = count, 1 + ln(count) (sublinear) or 1 (binary) and
idf = ln((1 + N) / (1 + df)) + 1, or ln(N / df) + 1 where it is not smoothed.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from xmc_jax.config import FeaturesConfig
from xmc_jax.errors import InputError
from xmc_jax.features.tokens import Block
from xmc_jax.features.vectors import scale_rows


def count_terms(block: Block, columns: np.ndarray, n_columns: int) -> sp.csr_matrix:
    """Returns how often each term occurs in each document.

    Args:
        block: terms of some documents.
        columns: int32 [U], the column of each of the block's terms, -1 for a term that is left out.
        n_columns: width of the result.

    Returns:
        float32 CSR [documents, n_columns] with sorted indices.
    """
    found = columns[block.ids]
    documents = block.documents
    if (columns < 0).any():
        kept = found >= 0
        found, documents = found[kept], documents[kept]
    ones = np.ones(len(found), np.float32)
    shape = (block.n_documents, n_columns)
    if (documents[1:] >= documents[:-1]).all():
        indptr = np.searchsorted(documents, np.arange(block.n_documents + 1, dtype=np.int32))
        counts = sp.csr_matrix((ones, found, indptr.astype(found.dtype)), shape=shape)
        counts.sum_duplicates()
        return counts
    return sp.coo_matrix((ones, (documents, found)), shape=shape).tocsr()


def weigh_counts(counts: sp.csr_matrix, config: FeaturesConfig) -> sp.csr_matrix:
    """Replaces each count by its tf, in place, and returns the matrix."""
    if config.binary:
        counts.data = np.ones_like(counts.data)
    elif config.sublinear_tf:
        counts.data = (1.0 + np.log(counts.data, dtype=np.float64)).astype(np.float32)
    return counts


def weigh_columns(tf: sp.csr_matrix, weights: np.ndarray, config: FeaturesConfig) -> sp.csr_matrix:
    """Multiplies the columns by their weights [D] (0 drops one) and normalises the rows, in place."""
    tf.data *= weights[tf.indices]
    if config.kind == "hashing":
        tf.eliminate_zeros()
    if config.norm != "none":
        tf.data *= scale_rows(tf, config.norm)
    return tf


def compute_idf(frequencies: np.ndarray, n_documents: int, config: FeaturesConfig) -> np.ndarray:
    """Returns float32 [D] for document frequencies [D] of 1 or more; ones without `use_idf`."""
    if not config.use_idf:
        return np.ones(len(frequencies), np.float32)
    # Smoothed as if one more document held every term, so that a term in all documents keeps a weight.
    idf = np.log((n_documents + 1.0) / (frequencies + 1.0)) + 1.0
    return idf.astype(np.float32)


def choose_columns(
    frequencies: np.ndarray,
    totals: np.ndarray,
    n_documents: int,
    n_terms: int,
    config: FeaturesConfig,
) -> np.ndarray:
    """Returns which columns `min_count`, `max_share` and `max_features` leave.

    Args:
        frequencies: int [D], documents that hold the term.
        totals: [D], occurrences (with `binary` or hashing, documents); among equal ones, smaller columns are kept.
        n_documents: N.
        n_terms: number of distinct terms seen, including those too rare to have a column.
        config: the limits.

    Returns:
        bool [D].

    Raises:
        InputError: no column is left.
    """
    rare = frequencies < bound_min_count(config, n_documents)
    common = frequencies > config.max_share * n_documents
    chosen = ~rare & ~common
    if not chosen.any():
        raise _explain_none(bool(rare.all()), n_documents, n_terms, config)
    if config.max_features and chosen.sum() > config.max_features:
        rows = np.flatnonzero(chosen)
        order = np.argsort(-totals[rows], kind="stable")
        chosen = np.zeros_like(chosen)
        chosen[rows[order[: config.max_features]]] = True
    return chosen


def bound_min_count(config: FeaturesConfig, n_documents: int) -> int:
    """Returns the smallest number of documents of a feature, which is at most the number of documents."""
    return min(config.min_count, n_documents)


def _explain_none(
    all_rare: bool, n_documents: int, n_terms: int, config: FeaturesConfig
) -> InputError:
    if not n_terms:
        return InputError(
            f"no term in the {n_documents} documents given (analyzer={config.analyzer}, "
            f"token_pattern={config.token_pattern}); give documents with words in them "
            "(unicode wants two letters or more, whitespace does not)"
        )
    if all_rare:
        return InputError(
            f"min_count={config.min_count} leaves no feature: each of the {n_terms} terms is in "
            f"fewer of the {n_documents} documents; lower min_count"
        )
    return InputError(
        f"min_count={config.min_count} and max_share={config.max_share} leave none of the "
        f"{n_terms} terms of {n_documents} documents; lower min_count or raise max_share"
    )
