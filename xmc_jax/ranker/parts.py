"""The weights of chunks as they come, and how they become those of a level without a sort: ten bytes an entry."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from xmc_jax.ops import concatenate_ranges
from xmc_jax.ranker.weights import LevelWeights, keep_largest


class Part(NamedTuple):
    """Entries (feature, child) → value of a chunk's units, and the biases and dense weights of its nodes."""

    cluster: np.ndarray
    """int64 [U]."""
    n_entries: np.ndarray
    """int64 [U]: entries of a unit; they stand together, by feature and child."""
    feature: np.ndarray
    """int32 [E]."""
    child: np.ndarray
    """uint16 or int32 [E]: child slot of the cluster."""
    value: np.ndarray
    """float32 [E]."""
    node: np.ndarray
    """int64 [n]."""
    bias: np.ndarray
    """float32 [n]."""
    dense: np.ndarray
    """float32 [n, H]."""


def choose_child_type(child_offsets: np.ndarray) -> type:
    """Returns the narrowest type that the child slots of a level fit in."""
    return np.uint16 if np.diff(child_offsets).max(initial=0) <= 2**16 - 1 else np.int32


def drop_smallest(part: Part, max_nonzeros: int, child_offsets: np.ndarray) -> Part:
    """Keeps the largest entries of each node; all entries of a node are in one part."""
    unit = np.repeat(np.arange(len(part.cluster)), part.n_entries)
    node = child_offsets[part.cluster[unit]] + part.child
    keep = keep_largest(node, part.feature, part.value, max_nonzeros)
    return part._replace(
        n_entries=np.bincount(unit[keep], minlength=len(part.cluster)),
        feature=part.feature[keep],
        child=part.child[keep],
        value=part.value[keep],
    )


def join_parts(child_offsets: np.ndarray, n_dense: int, parts: list[Part]) -> LevelWeights:
    """Puts the parts of all chunks together; `parts` is emptied, so that memory is that of the weights and of a part.

    Args:
        child_offsets: int32 [C + 1].
        n_dense: H.
        parts: every node in one of them.
    """
    n_nodes, n_clusters = int(child_offsets[-1]), len(child_offsets) - 1
    counts = np.zeros(n_clusters, np.int64)
    n_units = np.zeros(n_clusters, np.int64)
    for part in parts:
        np.add.at(counts, part.cluster, part.n_entries)
        np.add.at(n_units, part.cluster, 1)
    offsets = np.append(0, np.cumsum(counts))
    total, free = int(offsets[-1]), offsets[:-1].copy()
    feature, value = np.empty(total, np.int32), np.empty(total, np.float32)
    child: np.ndarray = np.empty(total, choose_child_type(child_offsets))
    bias, dense = np.zeros(n_nodes, np.float32), np.zeros((n_nodes, n_dense), np.float32)
    while parts:
        part = parts.pop()
        at = concatenate_ranges(_place_units(part, free), part.n_entries)
        feature[at], child[at], value[at] = part.feature, part.child, part.value
        bias[part.node], dense[part.node] = part.bias, part.dense
        np.add.at(free, part.cluster, part.n_entries)
    if n_units.max(initial=0) > 1:  # units of one cluster: their entries interleave
        cluster = np.repeat(np.arange(n_clusters), counts)
        order = np.lexsort((child, feature, cluster))
        feature, child, value = feature[order], child[order], value[order]
    new_row = np.ones(total, bool)
    np.not_equal(feature[1:], feature[:-1], out=new_row[1:])
    new_row[offsets[:-1][counts > 0]] = True
    first = np.flatnonzero(new_row)
    return LevelWeights(
        child_offsets=np.asarray(child_offsets, np.int32),
        row_offsets=np.searchsorted(first, offsets).astype(np.int32),
        row_feature=feature[first],
        entry_offsets=np.append(first, total).astype(np.int64),
        entry_child=child,
        entry_value=value,
        bias=bias,
        dense=dense,
    )


def _place_units(part: Part, free: np.ndarray) -> np.ndarray:
    """Returns where the entries of each unit begin: those of one cluster follow each other from its free place on."""
    order = np.argsort(part.cluster, kind="stable")
    cluster, counts = part.cluster[order], part.n_entries[order]
    before = np.cumsum(counts) - counts
    first = np.searchsorted(cluster, cluster, side="left")
    starts = np.empty(len(order), np.int64)
    starts[order] = free[cluster] + before - before[first]
    return starts
