"""Which copies of a label a document reaches, and which of them it is a positive of."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from xmc_jax.errors import InputError
from xmc_jax.model import LabelTree, labels_at


class Reached(NamedTuple):
    """Pairs (document, edge) of positives [Z], in the order that `positives` stores them.

    Attributes:
        positives: float32 CSR [N, E], a document's labels with all their copies.
        in_beam: bool [Z], the copy's cluster is in the document's beam.
        with_sibling: bool [Z], some copy of the same label is in the document's beam.
        share: of the positives (document, label), those with a copy in the beam; 0 if there are no positives.
    """

    positives: sp.csr_matrix
    in_beam: np.ndarray
    with_sibling: np.ndarray
    share: float


def find_reached(labels: sp.spmatrix, matched: sp.spmatrix, tree: LabelTree) -> Reached:
    """Looks up each copy of each positive in its document's beam.

    Args:
        labels: Y [N, L]; what is not zero is a positive.
        matched: M [N, C], C clusters of the last inner level; what is stored is in the beam.
        tree: of L labels.

    Raises:
        InputError: matrices of other shapes, or a tree of one level, which has no clusters.
    """
    check_shapes(labels, matched, tree)
    y = sp.csr_matrix(labels, dtype=np.float32, copy=True)
    y.sum_duplicates()
    y.eliminate_zeros()
    positives = labels_at(tree, -1, y)
    in_beam = find_pairs(positives, tree.edge_cluster, matched)
    pair = _list_rows(positives) * tree.n_labels + tree.edge_label[positives.indices]
    reached = np.unique(pair[in_beam])
    return Reached(positives, in_beam, _is_in(pair, reached), len(reached) / max(y.nnz, 1))


def route_positives(labels: sp.spmatrix, matched: sp.spmatrix, tree: LabelTree) -> sp.csr_matrix:
    """Returns the copies that each document is a positive of: those in its beam, all if none is.

    Args:
        labels, matched, tree: as for `find_reached`.

    Returns:
        float32 CSR [N, E] of ones with sorted indices; a part of `labels_at(tree, -1, labels)`.
    """
    found = find_reached(labels, matched, tree)
    return keep_entries(found.positives, found.in_beam | ~found.with_sibling)


def keep_entries(matrix: sp.csr_matrix, kept: np.ndarray) -> sp.csr_matrix:
    """Returns a matrix of ones where an entry is kept, float32 CSR; `kept` is bool [Z]."""
    ends = np.append(0, np.cumsum(kept))[matrix.indptr]
    ones = np.ones(int(ends[-1]), np.float32)
    return sp.csr_matrix((ones, matrix.indices[kept], ends), matrix.shape)


def find_pairs(nodes: sp.csr_matrix, parent: np.ndarray, pairs: sp.spmatrix) -> np.ndarray:
    """Tells for what is stored in a matrix of nodes whether the node's cluster is stored in the row of another.

    Args:
        nodes: CSR [N, nodes], Z stored.
        parent: int [nodes].
        pairs: [N, C].

    Returns:
        bool [Z].
    """
    clusters = sp.csr_matrix(pairs)
    held = np.sort(_list_rows(clusters) * clusters.shape[1] + clusters.indices)
    return _is_in(_list_rows(nodes) * clusters.shape[1] + parent[nodes.indices], held)


def check_shapes(labels: sp.spmatrix, matched: sp.spmatrix, tree: LabelTree) -> None:
    """Raises InputError for a tree without clusters or for matrices that do not fit it."""
    if tree.n_levels < 2:
        raise InputError(
            "disentangling a tree of one level asked for, which has no clusters; give a tree of "
            "two levels or more (a smaller tree.max_leaf_size), or set disentangle.copies=1"
        )
    need = (labels.shape[0], tree.n_parents(-1))
    if labels.shape[1] != tree.n_labels or matched.shape != need:
        raise InputError(
            f"labels {labels.shape} and beams {matched.shape} given, "
            f"({need[0]}, {tree.n_labels}) and {need} needed"
        )


def _list_rows(matrix: sp.csr_matrix) -> np.ndarray:
    return np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))


def _is_in(keys: np.ndarray, held: np.ndarray) -> np.ndarray:
    """Tells which keys stand in the ascending `held`."""
    if len(held) == 0:
        return np.zeros(len(keys), bool)
    return held[np.minimum(np.searchsorted(held, keys), len(held) - 1)] == keys
