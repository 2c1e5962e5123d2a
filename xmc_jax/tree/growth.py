"""Growth of a tree: clusters gain and lose labels, and clusters with too many labels are split.

The inner levels stay as they are, except for clusters that are split (into siblings) or left without a label (which are
dropped). A split changes nothing for the siblings: their documents are those of the common parent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from xmc_jax.model import LabelTree, make_tree
from xmc_jax.tree.balanced_kmeans import split_depth
from xmc_jax.types import PAD


class Grown(NamedTuple):
    """A tree and the origins of its nodes.

    Attributes:
        tree: tree of L' labels.
        origins: for each level, int32 [nodes], the nodes in the old tree, or PAD for new ones.
        n_split: number of clusters of the old tree that were split.
    """

    tree: LabelTree
    origins: tuple[np.ndarray, ...]
    n_split: int


def grow_tree(
    tree: LabelTree,
    label_origin: np.ndarray,
    new_label: np.ndarray,
    new_cluster: np.ndarray,
    *,
    capacity: int | None,
    split: Callable[[np.ndarray, int], np.ndarray],
) -> Grown:
    """Returns the tree after a change of its labels.

    Args:
        tree: tree of L labels.
        label_origin: int [L'], the number of each label in the old tree, or PAD for a new one; labels of the old tree
            that do not occur are retired.
        new_label, new_cluster: int [E], clusters (of the old tree) of each new label, one or more.
        capacity: largest number of labels of a cluster before it is split; None for no splits.
        split: takes the labels [n] of a cluster and a depth, and returns for each label one of 2^depth parts.
    """
    number = np.full(tree.n_labels, PAD, np.int64)
    is_old = label_origin >= 0
    number[label_origin[is_old]] = np.flatnonzero(is_old)
    moved = number[tree.edge_label]
    edge_origin = np.flatnonzero(moved >= 0)
    label = np.append(moved[edge_origin], new_label)
    cluster = np.append(tree.edge_cluster[edge_origin], new_cluster).astype(np.int64)
    edge_origin = np.append(edge_origin, np.full(len(new_label), PAD))
    part, split_up = np.zeros(len(label), np.int64), np.zeros(0, np.int64)
    if capacity is not None and tree.n_levels > 1:
        part, split_up = _split_clusters(label, cluster, tree.n_parents(-1), capacity, split)
    n_parts = int(part.max(initial=0)) + 1
    keys, place = np.unique(cluster * n_parts + part, return_inverse=True)
    order = np.lexsort((label, place))
    old = keys // n_parts
    origins = [edge_origin[order], np.where(np.isin(old, split_up), PAD, old)]
    parents = []
    for parent in reversed(tree.parents):
        kept, up = np.unique(parent[old], return_inverse=True)
        parents.append(up)
        old = kept
        origins.append(kept)
    n_levels = tree.n_levels  # the last origins would be those of the root
    found = tuple(np.asarray(o, np.int32) for o in reversed(origins[:n_levels]))
    grown = make_tree(parents[::-1], label[order], place[order], len(label_origin))
    return Grown(grown, found, len(split_up))


def _split_clusters(
    label: np.ndarray,
    cluster: np.ndarray,
    n_clusters: int,
    capacity: int,
    split: Callable[[np.ndarray, int], np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the part of its cluster that each edge goes to, and the clusters with several parts."""
    part = np.zeros(len(label), np.int64)
    full = np.flatnonzero(np.bincount(cluster, minlength=n_clusters) > capacity)
    for c in full:
        edges = np.flatnonzero(cluster == c)
        edges = edges[np.argsort(label[edges], kind="stable")]
        part[edges] = split(label[edges], split_depth(len(edges), capacity))
    return part, full
