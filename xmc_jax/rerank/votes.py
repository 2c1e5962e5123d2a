"""What a document's neighbours say about its labels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int

from xmc_jax.ops import concatenate_ranges
from xmc_jax.types import PAD

NEAR, SHARP = 20, 0.1
"""Neighbours of the first vote and its temperature."""
WIDE = 0.05
"""Temperature of the second vote, of all neighbours."""


class Votes(NamedTuple):
    """Labels of the neighbours, by document and then by label, Q in all.

    Attributes:
        key: document · L + label, ascending.
        near: Σ_j w_j over the nearest 20 neighbours with the label, w = softmax(cosine / 0.1).
        wide: the same over all neighbours, w = softmax(cosine / 0.05).
        best: the largest cosine of a neighbour with the label.
        voters: number of neighbours with the label.
        n_labels: L.
    """

    key: Int[np.ndarray, "Q"]
    near: Float[np.ndarray, "Q"]
    wide: Float[np.ndarray, "Q"]
    best: Float[np.ndarray, "Q"]
    voters: Int[np.ndarray, "Q"]
    n_labels: int


def soften(cosine: Float[np.ndarray, "B b"], there: np.ndarray, tau: float) -> np.ndarray:
    """Returns the weights softmax(cosine / τ) of the neighbours; 0 in unused slots."""
    weight = np.exp((cosine - cosine[:, :1]) / tau) * there
    return weight / np.maximum(weight.sum(axis=1, keepdims=True), 1e-12)


def count_votes(
    neighbours: Int[np.ndarray, "B b"], cosine: Float[np.ndarray, "B b"], labels: sp.csr_matrix
) -> Votes:
    """Sums the votes of neighbours for their labels.

    Args:
        neighbours: training documents by number, nearest first; PAD in unused slots.
        cosine: their cosines.
        labels: labels of the training documents [N, L].
    """
    there = neighbours != PAD
    near = np.zeros(cosine.shape)
    near[:, :NEAR] = soften(cosine[:, :NEAR], there[:, :NEAR], SHARP)
    wide = soften(cosine, there, WIDE)
    row, slot = np.nonzero(there)
    first = labels.indptr[neighbours[row, slot]]
    sizes = labels.indptr[neighbours[row, slot] + 1] - first
    owner = np.repeat(np.arange(there.size)[there.ravel()], sizes)
    label = labels.indices[concatenate_ranges(first, sizes)]
    ends = np.append(0, np.cumsum(np.bincount(row, sizes, len(there)).astype(np.int64)))
    by_row = sp.csr_matrix((owner, label, ends), (len(there), labels.shape[1]))
    # There and back sorts labels within rows by counting, which is quicker than comparing, and keeps ties in order.
    votes = by_row.tocsc().tocsr()
    owner = votes.data
    document = np.repeat(np.arange(len(there)), np.diff(ends))
    key = document * np.int64(labels.shape[1]) + votes.indices
    begin = np.flatnonzero(np.append(True, key[1:] != key[:-1])[: len(key)])
    return Votes(
        key[begin],
        np.add.reduceat(near.ravel()[owner], begin),
        np.add.reduceat(wide.ravel()[owner], begin),
        np.maximum.reduceat(cosine.ravel()[owner], begin),
        np.diff(np.append(begin, len(key))),
        labels.shape[1],
    )


def find_votes(votes: Votes, ids: Int[np.ndarray, "B M"]) -> Int[np.ndarray, "B M"]:
    """Returns where the votes for labels stand, -1 for labels without any."""
    key = np.arange(len(ids))[:, None] * np.int64(votes.n_labels) + ids
    if not len(votes.key):
        return np.full(ids.shape, -1)
    at = np.minimum(np.searchsorted(votes.key, key), len(votes.key) - 1)
    return np.where((votes.key[at] == key) & (ids != PAD), at, -1)


def top_votes(
    votes: Votes, values: Float[np.ndarray, "Q"], n_rows: int, k: int
) -> Int[np.ndarray, "B k"]:
    """Returns the labels with the k largest values of each document, PAD if there are fewer."""
    row = votes.key // max(votes.n_labels, 1)
    ends = np.searchsorted(row, np.arange(n_rows + 1))
    sizes = np.diff(ends)[:, None]
    # The smallest of the maxima of k parts of a row is at most its k-th largest value; only what reaches it is sorted.
    parts = ends[:-1, None] + sizes * np.arange(k + 1) // max(k, 1)
    tops = np.maximum.reduceat(np.append(values, -np.inf), parts.ravel()).reshape(parts.shape)
    least = np.where(sizes < k, -np.inf, tops[:, :k]).min(axis=1, initial=np.inf)
    order = np.flatnonzero(values >= least[row])
    order = order[np.lexsort((order, -values[order], row[order]))]
    row = row[order]
    rank = np.arange(len(order)) - np.searchsorted(row, row)
    kept = rank < k
    out = np.full((n_rows, k), PAD, np.int32)
    out[row[kept], rank[kept]] = votes.key[order[kept]] % votes.n_labels
    return out
