"""The label tree: clusters of clusters, and edges from the last clusters to labels.

Inner levels hold one parent per cluster; the last level is a list of edges (cluster, label), so that a label may be in
several clusters; a tree without overlap has one edge per label. On every level the children of a node are numbered
consecutively, so that a range of numbers represents them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import jax
import numpy as np
import scipy.sparse as sp

from xmc_jax.errors import InputError


@dataclass(frozen=True, eq=False)
class LabelTree:
    """Levels 0 … n_levels − 1 below a root; made by `make_tree` and the builders, which check it.

    Attributes:
        parents: for each inner level, the parent of each cluster on the level above, int32 [C],
            ascending (level 0: zeros, the root).
        edge_label: int32 [E], the label of each edge; edges are sorted by (cluster, label).
        edge_cluster: int32 [E], the cluster of each edge on the last inner level (0 if there is
            none).
        n_labels: L.

    >>> from xmc_jax.tree import tree_from_levels
    >>> tree = tree_from_levels([[0, 0, 1, 1, 1]])  # the cluster of each of five labels
    >>> tree.level_sizes
    (2, 5)
    """

    parents: tuple[np.ndarray, ...]
    edge_label: np.ndarray
    edge_cluster: np.ndarray
    n_labels: int

    def __repr__(self) -> str:
        above = "".join(f"{size:,} → " for size in self.level_sizes[:-1])
        copies = f" under {self.n_edges:,} places" if self.has_copies else ""
        return f"LabelTree({above}{self.n_labels:,} labels{copies})"

    @property
    def n_edges(self) -> int:
        return self.edge_label.shape[0]

    @property
    def n_levels(self) -> int:
        return len(self.parents) + 1

    @property
    def level_sizes(self) -> tuple[int, ...]:
        """Number of children on each level: clusters of the inner levels, edges of the last."""
        return (*(p.shape[0] for p in self.parents), self.n_edges)

    @property
    def has_copies(self) -> bool:
        """Whether some label is in several clusters."""
        return self.n_edges > self.n_labels

    @property
    def copies_per_label(self) -> np.ndarray:
        """Number of clusters that each label is in, int32 [L], 1 or more."""
        return np.bincount(self.edge_label, minlength=self.n_labels).astype(np.int32)

    def parent(self, level: int) -> np.ndarray:
        """Returns the parent of each child of `level` on the level above, int32 [size of level]."""
        level = self._at(level)
        return self.parents[level] if level < len(self.parents) else self.edge_cluster

    def n_parents(self, level: int) -> int:
        """Returns the number of nodes above `level`: 1 (the root) for level 0."""
        level = self._at(level)
        return self.level_sizes[level - 1] if level else 1

    def children_offsets(self, level: int) -> np.ndarray:
        """Returns where the children of each node above `level` start, int32 [n_parents(level) +
        1].

        Node c owns children offsets[c] … offsets[c + 1] − 1 of `level` (edges, on the last level).
        """
        nodes = np.arange(self.n_parents(level) + 1)
        return np.searchsorted(self.parent(level), nodes).astype(np.int32)

    def max_children(self, level: int) -> int:
        """Returns the largest number of children on `level` (edges, on the last) that one node has."""
        return self._most_children[self._at(level)]

    @cached_property
    def _most_children(self) -> tuple[int, ...]:
        """`max_children` of each level: every search asks for them."""
        return tuple(int(np.diff(self.children_offsets(t)).max()) for t in range(self.n_levels))

    def assignment(self, level: int) -> sp.csr_matrix:
        """Returns the 0/1 membership of `level`'s children in the nodes above, float32 CSR
        [children, nodes].
        """
        parent = self.parent(level)
        ones = np.ones(len(parent), np.float32)
        starts = np.arange(len(parent) + 1, dtype=np.int32)
        return sp.csr_matrix((ones, parent, starts), shape=(len(parent), self.n_parents(level)))

    def edge_ancestor(self, level: int) -> np.ndarray:
        """Returns the child of `level` that each edge lies under, int32 [E] (the edge itself on the
        last).
        """
        level = self._at(level)
        if level == len(self.parents):
            return np.arange(self.n_edges, dtype=np.int32)
        ancestor = self.edge_cluster
        for parent in reversed(self.parents[level + 1 :]):
            ancestor = parent[ancestor]
        return ancestor

    def equals(self, other: LabelTree) -> bool:
        """Returns whether two trees have the same levels, edges and number of labels."""
        mine, theirs = jax.tree.leaves(self), jax.tree.leaves(other)
        same = self.n_labels == other.n_labels and len(mine) == len(theirs)
        return same and all(np.array_equal(a, b) for a, b in zip(mine, theirs, strict=True))

    def _at(self, level: int) -> int:
        if not -self.n_levels <= level < self.n_levels:
            raise InputError(
                f"level {level} asked for, the tree has levels 0 to {self.n_levels - 1}"
            )
        return level % self.n_levels


jax.tree_util.register_dataclass(
    LabelTree,
    data_fields=["parents", "edge_label", "edge_cluster"],
    meta_fields=["n_labels"],
)


def labels_at(tree: LabelTree, level: int, Y: sp.spmatrix) -> sp.csr_matrix:
    """Sums label counts up the tree.

    Args:
        tree: a tree of L labels.
        level: 0 to n_levels − 1 (or negative, from the last).
        Y: labels of instances [N, L].

    Returns:
        float32 CSR [N, size of level] with sorted indices: entry (i, c) is the sum of Y's row i
        over the edges below c. On the last level these are the columns of Y, one copy for each
        edge.

    Raises:
        InputError: Y does not have L columns.
    """
    if Y.shape[1] != tree.n_labels:
        raise InputError(
            f"label matrix with {Y.shape[1]} columns given, the tree has {tree.n_labels} labels"
        )
    node = tree.edge_ancestor(level)
    shape = (tree.n_labels, tree.level_sizes[level])
    member = sp.coo_matrix((np.ones(tree.n_edges, np.float32), (tree.edge_label, node)), shape)
    out = (sp.csr_matrix(Y, dtype=np.float32) @ member.tocsr()).tocsr()
    out.sort_indices()
    return out


def edges_at(tree: LabelTree, level: int, edges: sp.spmatrix) -> sp.csr_matrix:
    """Sums values of single edges up the tree.

    Args:
        tree: a tree of E edges.
        level: 0 to n_levels − 1 (or negative, from the last).
        edges: [N, E].

    Returns:
        float32 CSR [N, size of level] with sorted indices.

    Raises:
        InputError: the number of columns is not that of the edges.
    """
    if edges.shape[1] != tree.n_edges:
        raise InputError(
            f"matrix with {edges.shape[1]} columns given, the tree has {tree.n_edges} edges"
        )
    node = tree.edge_ancestor(level)
    starts = np.arange(tree.n_edges + 1, dtype=np.int32)
    ones = np.ones(tree.n_edges, np.float32)
    member = sp.csr_matrix((ones, node, starts), (tree.n_edges, tree.level_sizes[level]))
    out = (sp.csr_matrix(edges, dtype=np.float32) @ member).tocsr()
    out.sort_indices()
    return out


def make_tree(
    parents: Sequence[np.ndarray], edge_label: np.ndarray, edge_cluster: np.ndarray, n_labels: int
) -> LabelTree:
    """Checks and returns a tree whose arrays are already numbered as `LabelTree` requires.

    Args:
        parents: parent ids of each inner level [C], ascending, no parent without children.
        edge_label, edge_cluster: [E], sorted by (cluster, label), every label at least once.
        n_labels: L.

    Raises:
        InputError: the arrays are not such a tree; says what is wrong, with the level or the label.
    """
    if n_labels < 1:
        raise InputError("a tree of 0 labels asked for, 1 or more needed")
    above = 1
    checked = []
    for t, parent in enumerate(parents):
        checked.append(_check_parent(np.asarray(parent), above, f"level {t} of the tree"))
        above = len(parent)
    cluster = _check_parent(np.asarray(edge_cluster), above, "last level of the tree")
    label = np.asarray(edge_label).astype(np.int32)
    if label.shape != cluster.shape:
        raise InputError(
            f"{label.size} edge labels and {cluster.size} edge clusters given, as many needed"
        )
    if label.min() < 0 or label.max() >= n_labels:
        wrong = label[(label < 0) | (label >= n_labels)][0]
        raise InputError(f"label {wrong} in the tree, labels 0 to {n_labels - 1} needed")
    copies = np.bincount(label, minlength=n_labels)
    if not copies.all():
        missing = np.flatnonzero(copies == 0)
        raise InputError(
            f"label {missing[0]} ({missing.size} in all) has no cluster; put every label under one"
        )
    same = np.diff(cluster) == 0
    if (same & (np.diff(label) == 0)).any():
        e = np.flatnonzero(same & (np.diff(label) == 0))[0]
        raise InputError(f"label {label[e]} is in cluster {cluster[e]} twice; give each edge once")
    if (same & (np.diff(label) < 0)).any():
        raise InputError("edges are not sorted by (cluster, label); sort them")
    return LabelTree(tuple(checked), label, cluster, int(n_labels))


def _check_parent(parent: np.ndarray, above: int, place: str) -> np.ndarray:
    if parent.ndim != 1 or not np.issubdtype(parent.dtype, np.integer) or parent.size == 0:
        raise InputError(
            f"{place}: {parent.dtype} {parent.shape} given, a list of parent ids needed"
        )
    if (np.diff(parent) < 0).any():
        raise InputError(
            f"{place}: parents do not ascend; number the children of a node consecutively"
        )
    if parent[0] < 0 or parent[-1] >= above:
        wrong = parent[0] if parent[0] < 0 else parent[-1]
        raise InputError(f"{place}: parent {wrong} given, ids 0 to {above - 1} needed")
    used = np.bincount(parent, minlength=above)
    if not used.all():
        raise InputError(
            f"{place}: cluster {np.flatnonzero(used == 0)[0]} above it is empty; leave it out"
        )
    return parent.astype(np.int32)
