"""Builds a label tree: by balanced 2-means from label embeddings, from given levels, or flat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import scipy.sparse as sp

from xmc_jax.config import TreeConfig
from xmc_jax.errors import InputError
from xmc_jax.features.spread_embedding import LabelRows
from xmc_jax.model import LabelTree, make_tree
from xmc_jax.tree.balanced_kmeans import cluster_labels, split_depth
from xmc_jax.tree.exact_kmeans import POWER_STEPS
from xmc_jax.tree.spread_clusters import cluster_spread


def build_tree(
    embeddings: np.ndarray | sp.csr_matrix, config: TreeConfig | None = None, seed: int = 0
) -> LabelTree:
    """Returns the tree of `config` over labels with these embeddings.

    The binary tree of balanced 2-means is regrouped: consecutive clusters join in blocks of
    `config.branching` until at most `config.min_clusters` are left (Yu et al. 2022, "PECOS").

    Args:
        embeddings: finite numbers [L, D], dense or sparse; a flat tree uses only L.
        config: defaults if None.
        seed: seed of the first direction of each split.

    Raises:
        InputError: no labels, or embeddings that are not finite.

    Example:
        >>> build_tree(np.eye(6), TreeConfig(max_leaf_size=2, branching=2)).level_sizes
        (2, 4, 6)
    """
    config = config or TreeConfig()
    n_labels = embeddings.shape[0]
    depth = 0 if config.kind == "flat" else split_depth(n_labels, config.max_leaf_size)
    if depth == 0:
        return flat_tree(n_labels)
    leaf = cluster_labels(embeddings, depth, seed=seed, power_steps=_count_steps(config))
    return _group_leaves(leaf, config)


def build_spread_tree(embeddings: LabelRows, config: TreeConfig, seed: int) -> LabelTree:
    """Returns the tree of labels whose embeddings several processes hold, which call this together.

    Args:
        embeddings: embeddings of this process's labels.
        config, seed: as in `build_tree`, which gives the same tree.
    """
    n_labels = int(embeddings.bounds[-1])
    depth = 0 if config.kind == "flat" else split_depth(n_labels, config.max_leaf_size)
    if depth == 0:
        return flat_tree(n_labels)
    leaf = cluster_spread(
        embeddings.rows, embeddings.bounds, depth, seed=seed, power_steps=_count_steps(config)
    )
    return _group_leaves(leaf, config)


def _count_steps(config: TreeConfig) -> int:
    return 0 if config.start == "random" else POWER_STEPS


def _group_leaves(leaf: np.ndarray, config: TreeConfig) -> LabelTree:
    _, leaf = np.unique(leaf, return_inverse=True)  # with more leaves than labels, some are empty
    labels = np.arange(len(leaf))
    return join_levels([], labels, leaf, len(leaf), config.branching, config.min_clusters)


def flat_tree(n_labels: int) -> LabelTree:
    """Returns the tree without inner levels, with all labels below the root (one-vs-rest).

    >>> flat_tree(3).level_sizes
    (3,)
    """
    return make_tree((), np.arange(n_labels), np.zeros(n_labels, np.int32), n_labels)


def tree_from_levels(
    levels: Sequence[np.ndarray | sp.spmatrix],
    *,
    branching: int = 16,
    min_clusters: int | Literal["auto"] = "auto",
) -> LabelTree:
    """Returns the tree of given levels, completed upwards if it does not begin at the root.

    Args:
        levels: from the top to the labels; each is a matrix [children, parents] whose non-zeros are
            memberships, or (one parent each) the parent ids [children]. The last has one row per label and may give a
            label several clusters. Often only the last is given.
        branching: number of consecutive topmost clusters that are joined, repeatedly, …
        min_clusters: … until at most this many are left ("auto" is `branching`).

    Empty clusters are dropped; clusters are renumbered so that siblings are consecutive.

    Raises:
        InputError: sizes that do not match from level to level, a cluster with no or several parents, a label with
            none.

    Example:
        >>> tree_from_levels([np.array([0, 0, 1, 1])]).level_sizes
        (2, 4)
    """
    if not len(levels):
        raise InputError("no levels given, at least the clusters of the labels needed")
    if branching < 2:
        raise InputError(f"branching={branching} given, 2 or more needed")
    edges = [_read_level(level, t) for t, level in enumerate(levels)]
    last = len(levels) - 1
    for t in range(1, len(levels)):
        above, below = edges[t - 1][2][0], edges[t][2]
        is_matrix = np.ndim(levels[t]) == 2 or sp.issparse(levels[t])
        if (below[1] != above) if is_matrix else (below[1] > above):
            raise InputError(
                f"level {t} of the tree names {below[1]} clusters, but level {t - 1} has {above}; "
                "give as many rows as the next level has columns"
            )
    child, cluster, (n_labels, _) = edges[last]
    inner = []
    for t, (node, parent, (size, _)) in enumerate(edges[:-1]):
        count = np.bincount(node, minlength=size)
        if (count != 1).any():
            c = np.flatnonzero(count != 1)[0]
            raise InputError(
                f"level {t} of the tree: cluster {c} has {count[c]} parents, one needed"
            )
        inner.append(parent[np.argsort(node)])
    kept, cluster = np.unique(cluster, return_inverse=True)
    for t in reversed(
        range(last)
    ):  # clusters without labels are dropped, and so are those left empty above them
        kept, inner[t] = np.unique(inner[t][kept], return_inverse=True)
    return join_levels(inner, child, cluster, n_labels, branching, min_clusters)


def _read_level(
    level: np.ndarray | sp.spmatrix, t: int
) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
    """Returns child and parent of every membership of a level, and its shape."""
    place = f"level {t} of the tree"
    if not sp.issparse(level):
        level = np.asarray(level)
        if level.ndim == 1 and level.size and np.issubdtype(level.dtype, np.integer):
            if level.min() < 0:
                raise InputError(f"{place}: parent {level.min()} given, ids of 0 or more needed")
            return np.arange(level.size), level.astype(np.int64), (level.size, int(level.max()) + 1)
        if level.ndim != 2 or level.dtype.kind not in "biuf":
            raise InputError(
                f"{place}: {level.dtype} array of shape {level.shape} given, "
                "a matrix [children, parents] or a list of parent ids needed"
            )
    matrix = sp.coo_matrix(level)
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    if not matrix.nnz:
        raise InputError(f"{place}: matrix {matrix.shape} without members given, some needed")
    return matrix.row.astype(np.int64), matrix.col.astype(np.int64), matrix.shape


def join_levels(
    inner: Sequence[np.ndarray],
    label: np.ndarray,
    cluster: np.ndarray,
    n_labels: int,
    branching: int,
    min_clusters: int | Literal["auto"],
) -> LabelTree:
    """Completes levels up to the root and numbers siblings consecutively, in their old order.

    Args:
        inner: parent ids of each inner level, from the top; every parent has a child.
        label, cluster: the edges [E] in any order; every cluster has an edge.
        n_labels: L.
        branching, min_clusters: as in `tree_from_levels`.
    """
    levels = [np.asarray(p) for p in inner] + [np.asarray(cluster)]
    top = int(levels[0].max()) + 1
    most = branching if min_clusters == "auto" else min_clusters
    while top > most:
        levels.insert(0, np.arange(top) // branching)
        top = int(levels[0][-1]) + 1
    if top > 1:
        levels.insert(0, np.zeros(top, np.int64))
    parents = []
    number = np.zeros(1, np.int64)  # new number of each cluster of the level above
    for parent in levels[:-1]:
        order = np.argsort(number[parent], kind="stable")
        parents.append(number[parent][order])
        number = np.empty(len(order), np.int64)
        number[order] = np.arange(len(order))
    cluster = number[levels[-1]]
    order = np.lexsort((label, cluster))
    return make_tree(parents, np.asarray(label)[order], cluster[order], n_labels)
