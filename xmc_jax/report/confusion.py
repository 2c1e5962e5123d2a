"""Confusions of labels: wrong labels that were returned where a true one was missed."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Int

from xmc_jax.model import LabelTree
from xmc_jax.types import PAD

_RANKS = 5
_ROWS = 4096


class Pair(NamedTuple):
    """A true label that was missed, the label returned instead, and the number of documents."""

    true: int
    given: int
    times: int


class Confusions(NamedTuple):
    """The most frequent confusions between siblings, and the numbers of confusions between siblings and of all."""

    pairs: list[Pair]
    among_siblings: int
    all: int


def find_confusions(
    ids: Int[np.ndarray, "N R"],
    hits: Bool[np.ndarray, "N R"],
    truth: sp.csr_matrix,
    tree: LabelTree | None,
    most: int = 20,
) -> Confusions:
    """Counts pairs of a missed and a wrong label among as many results as the document has labels, 1 to 5.

    Args:
        ids, hits: ranked labels and which of them are right.
        truth: the true labels [N, L].
        tree: two labels under one of its last clusters are siblings; without a tree all are.
        most: largest number of pairs to return.
    """
    n_labels = truth.shape[1]
    ids, hits = ids[:, :_RANKS], hits[:, :_RANKS]
    kept = np.arange(ids.shape[1]) < np.clip(np.diff(truth.indptr), 1, _RANKS)[:, None]
    counts = sp.csr_matrix((n_labels, n_labels), dtype=np.int32)
    for start in range(0, len(ids), _ROWS):
        rows = slice(start, start + _ROWS)
        block, there = ids[rows], kept[rows] & (ids[rows] != PAD)
        wrong = _mark(block, there & ~hits[rows], n_labels)
        found = _mark(block, there & hits[rows], n_labels)
        missed = sp.csr_matrix(truth[rows].astype(np.int32) - found)
        missed.eliminate_zeros()
        counts = counts + missed.T @ wrong
    counts = counts.tocoo()
    order = np.lexsort((counts.col, counts.row, -counts.data))
    order = order[counts.data[order] > 0]
    true, given, times = (a[order] for a in (counts.row, counts.col, counts.data))
    near = np.ones(len(order), bool) if tree is None else _are_siblings(tree, true, given)
    first = np.flatnonzero(near)[:most]
    pairs = [
        Pair(*map(int, row)) for row in zip(true[first], given[first], times[first], strict=True)
    ]
    return Confusions(pairs, int(times[near].sum()), int(times.sum()))


def _mark(ids: np.ndarray, chosen: np.ndarray, n_labels: int) -> sp.csr_matrix:
    rows, slots = np.nonzero(chosen)
    ones = np.ones(len(rows), np.int32)
    return sp.csr_matrix((ones, (rows, ids[rows, slots])), (len(ids), n_labels))


def _are_siblings(tree: LabelTree, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Returns whether the labels of each pair share a last cluster."""
    shape = tree.n_labels, int(tree.edge_cluster.max(initial=0)) + 1
    ones = np.ones(tree.n_edges, np.float32)
    places = sp.csr_matrix((ones, (tree.edge_label, tree.edge_cluster)), shape)
    step = 1 << 18
    parts = [
        np.asarray(
            places[one[i : i + step]].multiply(places[other[i : i + step]]).sum(axis=1)
        ).ravel()
        for i in range(0, len(one), step)
    ]
    return np.concatenate(parts) > 0 if parts else np.zeros(0, bool)
