"""From labels, beams and a tree to the tree whose labels sit where their documents are routed."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from xmc_jax.disentangle.assign import assign_clusters
from xmc_jax.disentangle.objective import Agreement, count_matches, measure_agreement
from xmc_jax.disentangle.route import check_shapes
from xmc_jax.errors import InputError
from xmc_jax.model import LabelTree, make_tree
from xmc_jax.ops import BITS

_EVEN = 128
"""Clusters at least so large are as large as search likes them."""


class Disentangled(NamedTuple):
    """The new tree, and how well the old and the new one fit the beams."""

    tree: LabelTree
    before: Agreement
    after: Agreement


def disentangle(
    labels: sp.spmatrix,
    matched: sp.spmatrix,
    tree: LabelTree,
    *,
    copies: int,
    capacity: float | None = 1.5,
) -> Disentangled:
    """Puts every label under the clusters, `copies` at most, that the beams of its documents hold most often.

    The inner levels stay. A label that no beam reaches keeps its clusters. No label is left without a cluster:
    one whose clusters are all full goes to its old one, or to a free place. No cluster is left without a label.

    Args:
        labels: Y [N, L], training labels.
        matched: M [N, C], clusters in the beam of each training document.
        tree: of L labels, two levels or more.
        copies: P, 1 to 6.
        capacity: labels of a cluster at most, relative to the mean P·L / C (see `choose_limit`); None: no limit, the
            optimum of the objective. Only labels that keep their cluster may exceed it.

    Raises:
        InputError: shapes that do not fit, `copies` or `capacity` out of range, a tree with more copies.
    """
    check_shapes(labels, matched, tree)
    if copies < 1:
        raise InputError(f"copies={copies} given, 1 or more needed")
    if capacity is not None and capacity < 1:
        raise InputError(f"capacity={capacity} given, None (no limit) or 1 and more needed")
    most = int(tree.copies_per_label.max())
    if most > copies:
        raise InputError(
            f"a tree with labels under {most} clusters and copies={copies} given; {most} or more needed"
        )
    counts, order = count_matches(labels, matched)
    n_labels, n_clusters = counts.shape
    limit = choose_limit(capacity, copies * n_labels / n_clusters) if capacity else n_labels
    new = _assign(tree, order, copies, limit)
    before = measure_agreement(counts, labels, matched, tree, copies)
    return Disentangled(new, before, measure_agreement(counts, labels, matched, new, copies))


def choose_limit(capacity: float, mean: float) -> int:
    """Returns the labels of a cluster at most: `capacity` times the mean, rounded up.

    From 128 labels on it is the nearest multiple of 32, or the next if that would not hold the mean: search scores 32
    children side by side, and room for 261 costs as much as room for 288.
    """
    limit = math.ceil(capacity * mean)
    if limit < _EVEN:
        return limit
    even = BITS * round(limit / BITS)
    return even if even >= mean else even + BITS


def _assign(tree: LabelTree, matches: sp.csr_matrix, copies: int, limit: int) -> LabelTree:
    """Returns the tree with the greedy assignment; a cluster that it would leave empty keeps its best label."""
    n_labels, n_clusters = matches.shape
    at_home = np.asarray(matches[tree.edge_label, tree.edge_cluster]).reshape(-1)
    best_first = np.lexsort((tree.edge_label, -at_home, tree.edge_cluster))
    anchor = tree.edge_label[best_first][tree.children_offsets(-1)[:-1]]
    stays = np.diff(matches.indptr)[tree.edge_label] == 0
    label, cluster = tree.edge_label[stays], tree.edge_cluster[stays]
    empty = np.zeros(0, np.int64)
    while True:
        label, cluster = np.append(label, anchor[empty]), np.append(cluster, empty)
        label_room = np.maximum(copies - np.bincount(label, minlength=n_labels), 0)
        room = np.maximum(limit - np.bincount(cluster, minlength=n_clusters), 0)
        fixed = sp.csr_matrix((np.ones(len(label), bool), (label, cluster)), matches.shape)
        open_matches = (matches - matches.multiply(fixed)).tocsr()
        open_matches.eliminate_zeros()
        new_label, new_cluster = assign_clusters(open_matches, label_room, room)
        labels, clusters = _place_rest(
            tree, np.append(label, new_label), np.append(cluster, new_cluster), limit
        )
        empty = np.flatnonzero(np.bincount(clusters, minlength=n_clusters) == 0)
        if not len(empty):
            order = np.lexsort((labels, clusters))
            return make_tree(tree.parents, labels[order], clusters[order], n_labels)


def _place_rest(
    tree: LabelTree, label: np.ndarray, cluster: np.ndarray, limit: int
) -> tuple[np.ndarray, np.ndarray]:
    """Adds a cluster for each label that has none: its old one if there is room, else a free place in tree order."""
    n_clusters = tree.n_parents(-1)
    first = np.full(tree.n_labels, n_clusters, np.int64)
    np.minimum.at(first, tree.edge_label, tree.edge_cluster)
    rest = np.flatnonzero(np.bincount(label, minlength=tree.n_labels) == 0)
    rest = rest[np.argsort(first[rest], kind="stable")]
    used = np.bincount(cluster, minlength=n_clusters)
    start = np.searchsorted(first[rest], np.arange(n_clusters))
    at_home = np.arange(len(rest)) - start[first[rest]] < (limit - used)[first[rest]]
    home = first[rest[at_home]]
    room = np.maximum(limit - used - np.bincount(home, minlength=n_clusters), 0)
    free = np.repeat(np.arange(n_clusters), np.minimum(room, tree.n_labels))
    moved = rest[~at_home]
    # Spread over the free places: labels that were neighbours come near each other again.
    away = free[np.arange(len(moved)) * len(free) // max(len(moved), 1)]
    return (
        np.concatenate([label, rest[at_home], moved]),
        np.concatenate([cluster, home, away]),
    )
