"""Weights of chunks, joined to those of a level without a sort: ten bytes per entry."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from xmc_jax.model import LevelWeights, keep_largest
from xmc_jax.ops import concatenate_ranges
from xmc_jax.ranker.problem import Chunk, LevelProblem, Penalty
from xmc_jax.ranker.settings import SolveSettings


class Part(NamedTuple):
    """Entries (feature, child) → value of a chunk's units, and biases and dense weights of its nodes."""

    cluster: np.ndarray
    """int64 [U]."""
    n_entries: np.ndarray
    """int64 [U]: entries of each unit; they are consecutive, by feature and child."""
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
    """Returns the narrowest type that holds the child slots of a level."""
    return np.uint16 if np.diff(child_offsets).max(initial=0) <= 2**16 - 1 else np.int32


def keep_weights(
    problem: LevelProblem,
    chunk: Chunk,
    weights: np.ndarray,
    penalty: Penalty,
    settings: SolveSettings,
    dense: np.ndarray | None = None,
) -> Part:
    """Drops small weights and returns the rest by (cluster, feature, child).

    Args:
        problem: the level.
        chunk: the chunk that was solved.
        weights: float32 [F + U, K], constant features last.
        penalty: its `bias` is used.
        settings: its `threshold` and `max_nonzeros` are used.
        dense: float32 [U, H, K], or None if the dense columns are slots of `weights`.
    """
    units, f = chunk.units, chunk.n_features
    n_sparse, h = problem.features.n_sparse, problem.features.n_dense
    is_child = np.arange(weights.shape[1])[None, :] < units.n_children[:, None]
    node = (units.first_child[:, None] + np.arange(weights.shape[1]))[is_child]
    if dense is None:
        dense = np.zeros((len(units), h, weights.shape[1]), np.float32)
        wide = chunk.feature_id >= n_sparse
        at = chunk.feature_unit[wide], chunk.feature_id[wide] - n_sparse
        dense[at] = weights[:f][wide]
    big = np.abs(weights[:f]) >= max(settings.threshold, np.finfo(np.float32).tiny)
    big &= is_child[chunk.feature_unit] & (chunk.feature_id < n_sparse)[:, None]
    row, column = np.nonzero(big)
    base = units.first_child - problem.child_offsets[units.cluster]
    child = base[chunk.feature_unit[row]] + column
    bias = weights[f:][is_child] * penalty.bias if penalty.bias > 0 else np.zeros(len(node))
    bias = np.where(np.abs(bias) >= settings.threshold * penalty.bias, bias, 0.0)
    part = Part(
        cluster=units.cluster,
        n_entries=np.bincount(chunk.feature_unit[row], minlength=len(units)),
        feature=chunk.feature_id[row].astype(np.int32),
        child=child.astype(choose_child_type(problem.child_offsets)),
        value=weights[row, column],
        node=node,
        bias=bias.astype(np.float32),
        dense=np.moveaxis(dense, 1, 2)[is_child],
    )
    if settings.max_nonzeros:
        return drop_smallest(part, settings.max_nonzeros, problem.child_offsets)
    return part


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
    """Joins the parts of all chunks; `parts` is emptied, so that memory holds only the weights and one part.

    Args:
        child_offsets: int32 [C + 1].
        n_dense: H.
        parts: parts with every node in exactly one of them.
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
    if n_units.max(initial=0) > 1:  # the entries of several units of a cluster interleave
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
    """Returns the first place of each unit's entries; units of one cluster follow each other from its free place."""
    order = np.argsort(part.cluster, kind="stable")
    cluster, counts = part.cluster[order], part.n_entries[order]
    before = np.cumsum(counts) - counts
    first = np.searchsorted(cluster, cluster, side="left")
    starts = np.empty(len(order), np.int64)
    starts[order] = free[cluster] + before - before[first]
    return starts
