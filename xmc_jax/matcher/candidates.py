"""Candidates of a batch: the nodes against which each text is scored in fine-tuning (host side)."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int

from xmc_jax.ops import concatenate_ranges
from xmc_jax.types import PAD


def count_candidates(
    mask: sp.csr_matrix,
    labels: sp.csr_matrix,
    child_offsets: Int[np.ndarray, "C1"],
    limit: int | None = None,
) -> int:
    """Returns the number of slots that the candidates of any text need, a multiple of 8.

    Args:
        mask: [N, C], the clusters of each text.
        labels: [N, nodes], counts of the positives.
        child_offsets: [C + 1], where the children of each cluster begin.
        limit: largest number of candidates per text; None for any number.

    Example:
        >>> mask, labels = sp.csr_matrix([[1, 1]]), sp.csr_matrix([[0, 1, 0]])
        >>> count_candidates(mask, labels, np.array([0, 2, 3]))
        8
    """
    sizes = np.diff(child_offsets).astype(np.int64)
    most = np.zeros(mask.shape[0], np.int64)
    np.add.at(most, np.repeat(np.arange(len(most)), np.diff(mask.indptr)), sizes[mask.indices])
    # Positives may be outside the clusters.
    most = np.minimum(most + np.diff(labels.indptr), labels.shape[1])
    width = max(1, int(most.max(initial=0)))
    return -(-(min(width, limit) if limit else width) // 8) * 8


def list_candidates(
    mask: sp.csr_matrix,
    labels: sp.csr_matrix,
    child_offsets: Int[np.ndarray, "C1"],
    width: int,
    limit: int | None,
    rng: np.random.Generator,
) -> tuple[Int[np.ndarray, "B M"], Float[np.ndarray, "B M"]]:
    """Returns the candidates of some texts and the counts of their positives.

    A text's candidates are the children of its clusters and its positives. If there are more than `limit`, all
    positives are kept (or some, if they alone are more) and the rest is drawn from the negatives.

    Args:
        mask, labels: rows of the texts.
        child_offsets, limit: as in `count_candidates`.
        width: M, from `count_candidates`.
        rng: draws the candidates to keep.

    Returns:
        nodes int32 [B, M], ascending, PAD in unused slots; and values float32 [B, M], 0 for negatives.

    Example:
        >>> mask, labels = sp.csr_matrix([[0, 1]]), sp.csr_matrix([[0.0, 2.0, 0.0]])
        >>> nodes, values = list_candidates(
        ...     mask, labels, np.array([0, 2, 3]), 8, None, np.random.default_rng(0))
        >>> nodes[0, :3].tolist(), values[0, :3].tolist()
        ([1, 2, -1], [2.0, 0.0, 0.0])
    """
    n, n_nodes = labels.shape
    cluster, row = mask.indices, np.repeat(np.arange(n), np.diff(mask.indptr))
    sizes = np.diff(child_offsets)[cluster]
    children = concatenate_ranges(child_offsets[cluster], sizes)
    positive = np.repeat(np.arange(n, dtype=np.int64), np.diff(labels.indptr)) * n_nodes
    positive += labels.indices
    key = np.repeat(row, sizes).astype(np.int64) * n_nodes + children
    key = np.union1d(key, positive)
    value = np.zeros(len(key), np.float32)
    value[np.searchsorted(key, positive)] = labels.data
    row = key // n_nodes
    if limit and np.bincount(row, minlength=1).max(initial=0) > limit:
        order = np.lexsort((rng.random(len(key)), value <= 0, row))
        kept = np.sort(order[_rank_in_rows(row[order], n) < limit])
        key, value, row = key[kept], value[kept], row[kept]
    slot = _rank_in_rows(row, n)
    nodes = np.full((n, width), PAD, np.int32)
    values = np.zeros((n, width), np.float32)
    nodes[row, slot] = key - row * n_nodes
    values[row, slot] = value
    return nodes, values


def _rank_in_rows(row: np.ndarray, n: int) -> np.ndarray:
    """Returns the place of each entry within its row; rows ascend."""
    counts = np.bincount(row, minlength=n)
    return np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
