"""The stored weights of one level: one sparse row per (cluster, feature), siblings together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import jax
import numpy as np
import scipy.sparse as sp

from xmc_jax.errors import InputError


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class LevelWeights:
    """The weights of a level (host arrays): f(x, node) = Σ_d x_d w[d, node] + dense·u[:, node] + b[node].

    A node is a child slot of a cluster: node = `child_offsets[cluster] + child`. The children of a cluster share
    the sorted list of the features that any of them uses (the chunks of Etter et al. 2022, "MSCM").
    """

    child_offsets: np.ndarray
    """int32 [C + 1]: nodes of cluster c are `child_offsets[c] : child_offsets[c + 1]`."""
    row_offsets: np.ndarray
    """int32 [C + 1]: rows of cluster c are `row_offsets[c] : row_offsets[c + 1]`."""
    row_feature: np.ndarray
    """int32 [F]: feature of a row, increasing within a cluster."""
    entry_offsets: np.ndarray
    """int64 [F + 1]: entries of a row."""
    entry_child: np.ndarray
    """uint16 or int32 [E]: child slot of an entry, increasing within a row."""
    entry_value: np.ndarray
    """float32 [E]."""
    bias: np.ndarray
    """float32 [nodes]: weight of the constant feature times its value."""
    dense: np.ndarray
    """float32 [nodes, H]: weights of the dense columns."""

    def __repr__(self) -> str:
        return f"LevelWeights({self.n_clusters:,} clusters → {self.n_nodes:,} nodes, {self.n_entries:,} weights)"

    @property
    def n_clusters(self) -> int:
        return len(self.child_offsets) - 1

    @property
    def n_nodes(self) -> int:
        return int(self.child_offsets[-1])

    @property
    def n_entries(self) -> int:
        return len(self.entry_value)

    def count_entries(self) -> np.ndarray:
        """Returns the number of entries of each cluster, int64 [C]."""
        return np.diff(self.entry_offsets[self.row_offsets])

    @property
    def max_children(self) -> int:
        return int(np.diff(self.child_offsets).max(initial=0))

    @property
    def n_bytes(self) -> int:
        return sum(np.asarray(getattr(self, f.name)).nbytes for f in fields(self))


def cut_clusters(weights: LevelWeights, first: int, stop: int) -> LevelWeights:
    """Returns the clusters `first` … `stop` - 1; they and their nodes are numbered from 0."""
    rows = slice(*weights.row_offsets[[first, stop]].tolist())
    entries = slice(*weights.entry_offsets[[rows.start, rows.stop]].tolist())
    nodes = slice(*weights.child_offsets[[first, stop]].tolist())
    return LevelWeights(
        child_offsets=weights.child_offsets[first : stop + 1] - np.int32(nodes.start),
        row_offsets=weights.row_offsets[first : stop + 1] - np.int32(rows.start),
        row_feature=weights.row_feature[rows],
        entry_offsets=weights.entry_offsets[rows.start : rows.stop + 1] - entries.start,
        entry_child=weights.entry_child[entries],
        entry_value=weights.entry_value[entries],
        bias=weights.bias[nodes],
        dense=weights.dense[nodes],
    )


def join_clusters(parts: Sequence[LevelWeights]) -> LevelWeights:
    """Returns the clusters of all parts in a row; inverts `cut_clusters`."""
    if len(parts) == 1:
        return parts[0]

    def chain(name: str) -> np.ndarray:
        arrays = [getattr(part, name) for part in parts]
        ends = np.cumsum([0, *(a[-1] for a in arrays)])
        shifted = [a[1:] + end for a, end in zip(arrays, ends, strict=False)]
        return np.concatenate([[0], *shifted]).astype(arrays[0].dtype)

    offsets = ("child_offsets", "row_offsets", "entry_offsets")
    joined = {
        f.name: chain(f.name)
        if f.name in offsets
        else np.concatenate([getattr(part, f.name) for part in parts])
        for f in fields(LevelWeights)
    }
    return LevelWeights(**joined)


def build_weights(
    child_offsets: np.ndarray,
    cluster: np.ndarray,
    feature: np.ndarray,
    child: np.ndarray,
    value: np.ndarray,
    bias: np.ndarray,
    dense: np.ndarray,
) -> LevelWeights:
    """Sorts loose entries (cluster, feature, child) → value into a level.

    Args:
        child_offsets: int [C + 1].
        cluster, feature, child, value: [E] each, no (cluster, feature, child) twice.
        bias: float32 [nodes].
        dense: float32 [nodes, H].
    """
    n_clusters = len(child_offsets) - 1
    # Chunks are sorted runs, which a stable sort only has to merge.
    key = (cluster.astype(np.int64) * (feature.max(initial=0) + 1) + feature) * (
        child.max(initial=0) + 1
    ) + child
    order = np.argsort(key, kind="stable")
    cluster, feature = cluster[order], feature[order]
    new_row = np.ones(len(order), bool)
    new_row[1:] = (cluster[1:] != cluster[:-1]) | (feature[1:] != feature[:-1])
    first = np.flatnonzero(new_row)
    narrow = np.diff(child_offsets).max(initial=0) <= np.iinfo(np.uint16).max
    return LevelWeights(
        child_offsets=np.asarray(child_offsets, np.int32),
        row_offsets=np.searchsorted(cluster[first], np.arange(n_clusters + 1)).astype(np.int32),
        row_feature=feature[first].astype(np.int32),
        entry_offsets=np.append(first, len(order)).astype(np.int64),
        entry_child=child[order].astype(np.uint16 if narrow else np.int32),
        entry_value=value[order].astype(np.float32),
        bias=np.asarray(bias, np.float32),
        dense=np.asarray(dense, np.float32),
    )


def to_matrix(weights: LevelWeights, n_features: int) -> sp.csc_matrix:
    """Returns the sparse part as a matrix [D, nodes], without bias and dense columns."""
    rows = np.repeat(weights.row_feature, np.diff(weights.entry_offsets))
    cluster_of_row = np.repeat(np.arange(weights.n_clusters), np.diff(weights.row_offsets))
    start = weights.child_offsets[:-1][cluster_of_row]
    nodes = np.repeat(start, np.diff(weights.entry_offsets)) + weights.entry_child
    return sp.csc_matrix(
        (weights.entry_value, (rows, nodes)), (n_features, weights.n_nodes), dtype=np.float32
    )


def keep_largest(
    node: np.ndarray, feature: np.ndarray, value: np.ndarray, max_nonzeros: int
) -> np.ndarray:
    """Returns, as bool [E], which entries are among the `max_nonzeros` largest |value| of their node.

    Among equal weights, the smaller feature is kept.
    """
    order = np.lexsort((feature, -np.abs(value), node))
    counts = np.unique(node[order], return_counts=True)[1]
    rank = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    keep = np.empty(len(order), bool)
    keep[order] = rank < max_nonzeros
    return keep


def select_nodes(weights: LevelWeights, keep: np.ndarray) -> LevelWeights:
    """Returns the level with the nodes outside `keep` silenced (bias -inf), to search only some of the labels.

    Args:
        keep: bool [nodes].
    """
    if keep.shape != (weights.n_nodes,):
        raise InputError(
            f"{keep.shape[0]} flags given for {weights.n_nodes} nodes, one each needed"
        )
    return replace(weights, bias=np.where(keep, weights.bias, -np.inf).astype(np.float32))


def merge_levels(
    child_offsets: np.ndarray, n_dense: int, parts: Sequence[tuple[LevelWeights, np.ndarray]]
) -> LevelWeights:
    """Returns a level whose nodes are taken from other levels, bit for bit.

    Args:
        child_offsets: int [C + 1], of the new level.
        n_dense: H.
        parts: levels, and for each of their nodes its number in the new level or -1 (left out), int [nodes]; no node
            twice. Nodes that no part has weigh nothing.
    """
    offsets = np.asarray(child_offsets, np.int64)
    n_nodes = int(offsets[-1])
    parent = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    bias, dense = np.zeros(n_nodes, np.float32), np.zeros((n_nodes, n_dense), np.float32)
    nodes, features, values = [], [], []
    for weights, target in parts:
        taken = target >= 0
        bias[target[taken]], dense[target[taken]] = weights.bias[taken], weights.dense[taken]
        row = np.repeat(np.arange(len(weights.row_feature)), np.diff(weights.entry_offsets))
        cluster = np.repeat(np.arange(weights.n_clusters), np.diff(weights.row_offsets))
        node = target[weights.child_offsets[cluster[row]] + weights.entry_child]
        kept = node >= 0
        nodes.append(node[kept])
        features.append(weights.row_feature[row[kept]])
        values.append(weights.entry_value[kept])
    node, feature = np.concatenate(nodes), np.concatenate(features)
    cluster = parent[node]
    child = node - offsets[cluster]
    return build_weights(
        child_offsets, cluster, feature, child, np.concatenate(values), bias, dense
    )
