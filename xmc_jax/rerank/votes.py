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
    owner = np.repeat(np.arange(len(row)), sizes)
    label = labels.indices[concatenate_ranges(first, sizes)]
    key = row[owner] * np.int64(labels.shape[1]) + label
    order = np.argsort(key, kind="stable")
    key, owner = key[order], owner[order]
    begin = np.flatnonzero(np.append(True, key[1:] != key[:-1])[: len(key)])
    row, slot = row[owner], slot[owner]
    if not len(key):
        none = np.zeros(0)
        return Votes(key, none, none, none, np.zeros(0, np.int64), labels.shape[1])
    return Votes(
        key[begin],
        np.add.reduceat(near[row, slot], begin),
        np.add.reduceat(wide[row, slot], begin),
        np.maximum.reduceat(cosine[row, slot], begin),
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
    order = np.lexsort((votes.key, -values, row))
    rank = np.arange(len(order)) - np.searchsorted(row, row)
    kept = rank < k
    out = np.full((n_rows, k), PAD, np.int32)
    out[row[kept], rank[kept]] = votes.key[order[kept]] % votes.n_labels
    return out
