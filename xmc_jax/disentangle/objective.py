"""The objective ⟨YᵀM, C⟩: how often a label's documents are routed to the clusters that it sits under.

Y [N, L] are labels, M [N, C] the clusters in each document's beam, C the 0/1 membership of labels in clusters. It
counts the positives that a beam search can reach, once for each copy that it reaches (Liu et al. 2021, "Label
disentanglement in partition-based extreme multilabel classification").
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from xmc_jax.disentangle.route import find_reached
from xmc_jax.errors import InputError
from xmc_jax.model import LabelTree


class Agreement(NamedTuple):
    """How well a tree fits where documents are routed.

    Attributes:
        objective: ⟨YᵀM, C⟩.
        gap: share by which it stays below the best of as many clusters per label without a capacity.
        reached: share of the positives that have a copy of their label in the beam.
        edges: of the last level.
        largest: edges of the fullest cluster.
    """

    objective: int
    gap: float
    reached: float
    edges: int
    largest: int


class Matches(NamedTuple):
    """How often labels and clusters meet, CSR [L, C] with sorted indices, nothing stored that is zero.

    Attributes:
        counts: int32, YᵀM.
        order: int64 with the same pattern, by counts and among equal counts by how high the cluster stands in the
            beams: larger is better. Half of the labels of a large set have one document, whose beam holds ten
            clusters once each.
    """

    counts: sp.csr_matrix
    order: sp.csr_matrix


def count_matches(labels: sp.spmatrix, matched: sp.spmatrix) -> Matches:
    """Counts for each label how many of its documents have each cluster in their beam.

    Args:
        labels: Y [N, L]; what is not zero counts once.
        matched: M [N, C], scores of the clusters; what is stored counts once, a stored zero too.

    Raises:
        InputError: matrices of different numbers of rows.
    """
    if labels.shape[0] != matched.shape[0]:
        raise InputError(
            f"labels of {labels.shape[0]} documents and beams of {matched.shape[0]} given, "
            "as many needed"
        )
    y = sp.csr_matrix(labels, copy=True)
    y.eliminate_zeros()
    y.data = np.ones(y.nnz, np.int64)
    m = sp.csr_matrix(matched)
    places = _rank_rows(m)
    width = int(places.max(initial=0)) + 1
    # One product for both: a match is worth more than all places of a label's documents together.
    unit = np.int64(width) * (int(np.bincount(y.indices, minlength=1).max()) + 1)
    order = (
        y.T.tocsr() @ sp.csr_matrix((unit + width - 1 - places, m.indices, m.indptr), m.shape)
    ).tocsr()
    order.sort_indices()
    counts = sp.csr_matrix(
        ((order.data // unit).astype(np.int32), order.indices, order.indptr), order.shape
    )
    return Matches(counts, order)


def _rank_rows(matrix: sp.csr_matrix) -> np.ndarray:
    """Returns for each entry how many of its row are larger, int64."""
    row = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    order = np.lexsort((-matrix.data, row))
    sorted_row, value = row[order], matrix.data[order]
    is_new = np.append(True, (np.diff(value) != 0) | (np.diff(sorted_row) != 0))[: len(row)]
    first = np.maximum.accumulate(np.where(is_new, np.arange(len(row)), 0))
    places = np.empty(len(row), np.int64)
    places[order] = first - matrix.indptr[sorted_row]
    return places


def measure_agreement(
    counts: sp.csr_matrix,
    labels: sp.spmatrix,
    matched: sp.spmatrix,
    tree: LabelTree,
    copies: int,
) -> Agreement:
    """Measures a tree.

    Args:
        counts: YᵀM [L, C].
        labels: Y [N, L].
        matched: M [N, C].
        tree: whose last level is measured.
        copies: P, for the optimum that the gap refers to.
    """
    at_edges = np.asarray(counts[tree.edge_label, tree.edge_cluster]).reshape(-1)
    objective, optimum = int(at_edges.sum(dtype=np.int64)), sum_best(counts, copies)
    return Agreement(
        objective,
        0.0 if optimum == 0 else 1.0 - objective / optimum,
        find_reached(labels, matched, tree).share,
        tree.n_edges,
        tree.max_children(-1),
    )


def sum_best(counts: sp.csr_matrix, copies: int) -> int:
    """Returns the largest objective with at most `copies` clusters per label and no capacity."""
    label = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
    order = np.lexsort((-counts.data, label))
    within = np.arange(counts.nnz) - counts.indptr[label]
    return int(counts.data[order][within < copies].sum(dtype=np.int64))
