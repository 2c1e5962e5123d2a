"""Labels to clusters under two limits: clusters of a label, and labels of a cluster.

The greedy order takes the entries of YᵀM in descending order and accepts one if its label and its cluster
have room. It is computed in rounds instead: an entry that is, among those still open, within the room of its label
*and* within the room of its cluster is accepted by the greedy order too, whatever comes between. All such entries
are accepted at once; the limits shrink, the entries of full labels and clusters close, and the next round begins.
The result is the greedy one exactly, in a few dozen rounds of prefix sums.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jax import lax
from jaxtyping import Array, Bool, Int

from xmc_jax.types import AnyArray

_SMALLEST = 1024
"""Entries at least; their number is a power of two."""


class Entries(NamedTuple):
    """Non-zero entries [Z] by label, within a label by rank; and how they lie by cluster.

    Attributes:
        label, cluster: int32 [Z]; entries that only fill up the array belong to label L and cluster C.
        by_cluster: int32 [Z], the entries ordered by cluster, within a cluster by rank.
        place: int32 [Z], where each entry stands in `by_cluster`.
        label_start: int32 [L + 2], first entry of each label.
        cluster_start: int32 [C + 2], first place of each cluster in `by_cluster`.
    """

    label: AnyArray
    cluster: AnyArray
    by_cluster: AnyArray
    place: AnyArray
    label_start: AnyArray
    cluster_start: AnyArray


def assign_clusters(
    matches: sp.csr_matrix, label_room: np.ndarray, cluster_room: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the pairs (label, cluster) that the greedy order accepts.

    Of equal entries the one of the smaller label comes first, then of the smaller cluster.

    Args:
        matches: integers [L, C], above 0 where stored; larger is better.
        label_room: int [L], clusters that each label takes at most.
        cluster_room: int [C], labels that each cluster takes at most.

    Returns:
        label and cluster int32 [E], sorted by (label, cluster).
    """
    n_labels, n_clusters = matches.shape
    if matches.nnz == 0:
        return np.zeros(0, np.int32), np.zeros(0, np.int32)
    entries = order_entries(matches)
    # The last place of both is for the entries that fill up the arrays.
    label_rooms = np.append(np.clip(label_room, 0, n_clusters), 0).astype(np.int32)
    cluster_rooms = np.append(np.clip(cluster_room, 0, n_labels), 0).astype(np.int32)
    accepted = np.asarray(accept_entries(entries, label_rooms, cluster_rooms))
    label, cluster = np.asarray(entries.label)[accepted], np.asarray(entries.cluster)[accepted]
    order = np.lexsort((cluster, label))
    return label[order], cluster[order]


def order_entries(matches: sp.csr_matrix) -> Entries:
    """Ranks the entries by (entry descending, label, cluster) and groups them both ways (host side)."""
    n_labels, n_clusters = matches.shape
    label = np.repeat(np.arange(n_labels), np.diff(matches.indptr))
    cluster = matches.indices
    rank = np.lexsort((cluster, label, -matches.data))
    by_label = rank[np.argsort(label[rank], kind="stable")]
    size = max(_SMALLEST, 1 << (matches.nnz - 1).bit_length())  # few sizes, few compilations
    padding = size - matches.nnz
    place_in_rank = np.empty(size, np.int64)
    place_in_rank[rank] = np.arange(matches.nnz)
    place_in_rank[matches.nnz :] = np.arange(matches.nnz, size)
    by_label = np.append(by_label, np.arange(matches.nnz, size))
    label = np.append(label, np.full(padding, n_labels))[by_label]
    cluster = np.append(cluster, np.full(padding, n_clusters))[by_label]
    by_cluster = np.lexsort((place_in_rank[by_label], cluster))
    place = np.empty(size, np.int64)
    place[by_cluster] = np.arange(size)
    label_start = np.searchsorted(label, np.arange(n_labels + 2))
    cluster_start = np.searchsorted(cluster[by_cluster], np.arange(n_clusters + 2))
    arrays = (label, cluster, by_cluster, place, label_start, cluster_start)
    return Entries(*(a.astype(np.int32) for a in arrays))


@jax.jit
def accept_entries(
    entries: Entries, label_room: Int[Array, "labels"], cluster_room: Int[Array, "clusters"]
) -> Bool[Array, "Z"]:
    """Accepts entries in rounds until none is open."""
    none = jnp.zeros(entries.label.shape, bool)

    def is_open(state):
        return state[0].any()

    def play(state):
        still, accepted, label_room, cluster_room = state
        wanted = _rank_open(still, entries.label_start, entries.label) < label_room[entries.label]
        there = still[entries.by_cluster]
        at = entries.cluster[entries.by_cluster]
        taken = _rank_open(there, entries.cluster_start, at) < cluster_room[at]
        now = still & wanted & taken[entries.place]
        label_room = label_room - _count(now, entries.label_start)
        cluster_room = cluster_room - _count(now[entries.by_cluster], entries.cluster_start)
        has_room = (label_room[entries.label] > 0) & (cluster_room[entries.cluster] > 0)
        return still & ~now & has_room, accepted | now, label_room, cluster_room

    open_ = (label_room[entries.label] > 0) & (cluster_room[entries.cluster] > 0)
    return lax.while_loop(is_open, play, (open_, none, label_room, cluster_room))[1]


def _rank_open(
    still: Bool[Array, "Z"], start: Int[Array, "groups"], group: Int[Array, "Z"]
) -> Int[Array, "Z"]:
    """Returns how many open entries stand before each entry in its group."""
    before = _add_up(still) - still
    return before - before[jnp.minimum(start[group], before.shape[0] - 1)]


def _count(chosen: Bool[Array, "Z"], start: Int[Array, "borders"]) -> Int[Array, "borders-1"]:
    """Returns how many entries of each group are chosen."""
    total = jnp.append(jnp.zeros(1, jnp.int32), _add_up(chosen))
    return total[start[1:]] - total[start[:-1]]


def _add_up(flags: Bool[Array, "Z"]) -> Int[Array, "Z"]:
    """Returns how many flags are set up to each; in lines, as a TPU's compiler takes minutes for one long sum."""
    lines = jnp.cumsum(flags.reshape(-1, _SMALLEST), axis=1, dtype=jnp.int32)
    ends = jnp.cumsum(lines[:, -1])
    return (lines + (ends - lines[:, -1])[:, None]).reshape(-1)
