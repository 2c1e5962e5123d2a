"""Which stored row, if any, holds a feature of a cluster: a cuckoo hash table, four slots a look-up."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from xmc_jax.types import PAD, AnyArray

_EMPTY = -2  # a feature id that no query holds (PAD is -1)
_WAYS = 2  # slots of a bucket; a key has two buckets
_MAX_EVICTIONS = 200
_MIX = (0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D, 0x27D4EB2F)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class RowTable:
    """Cuckoo hashing over (cluster, feature): every key sits in one of the 2 × 2 slots that its hash names.

    A slot keeps the feature and the row; that the row belongs to the cluster is told by the cluster's row range,
    so a cluster id need not be stored.
    """

    feature: AnyArray
    """int32 [S], S a power of two: feature of the slot."""
    row: AnyArray
    """int32 [S]: stored row of the slot."""
    offsets: AnyArray
    """int32 [C + 1]: rows of cluster c are `offsets[c] : offsets[c + 1]`."""


def build_row_table(features: np.ndarray, offsets: np.ndarray) -> RowTable:
    """Builds the table (host arrays) for rows sorted by cluster.

    Args:
        features: int32 [F], distinct within a cluster.
        offsets: int [C + 1], row ranges of the clusters.
    """
    n = len(features)
    cluster = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets)).astype(np.uint32)
    size = max(16, 1 << int(3 * n // 2).bit_length())
    slot_row = None
    while slot_row is None:
        slot_row = _place(np.stack(_hash(cluster, features.astype(np.uint32), size), axis=1), size)
        size *= 2
    slot_feature = np.where(slot_row == PAD, _EMPTY, np.append(features, 0)[slot_row])
    return RowTable(slot_feature.astype(np.int32), slot_row, np.asarray(offsets, np.int32))


def find_rows(
    table: RowTable, clusters: Int[Array, "*P"], features: Int[Array, "*P"]
) -> Int[Array, "*P"]:
    """Returns the stored row of each (cluster, feature), or PAD where none is stored.

    `clusters` must lie in [0, C); a feature of PAD is never found.
    """
    size = table.feature.shape[0]
    low, high = table.offsets[clusters], table.offsets[clusters + 1]
    found = jnp.full(jnp.broadcast_shapes(clusters.shape, features.shape), PAD, jnp.int32)
    for bucket in _hash(clusters.astype(jnp.uint32), features.astype(jnp.uint32), size):
        for way in range(_WAYS):
            slot = bucket * _WAYS + way
            row = table.row.at[slot].get(mode="promise_in_bounds")
            hit = table.feature.at[slot].get(mode="promise_in_bounds") == features
            found = jnp.where(hit & (row >= low) & (row < high), row, found)
    return found


def _place(buckets: np.ndarray, size: int) -> np.ndarray | None:
    """Returns the row of each slot, or None if the table is too small for these buckets."""
    rng = np.random.default_rng(size)
    slot_row = np.full(size, PAD, np.int32)
    left = _fill_free(slot_row, buckets, np.arange(len(buckets), dtype=np.int32))
    for _ in range(_MAX_EVICTIONS):
        if not len(left):
            return slot_row
        left = _fill_free(slot_row, buckets, _evict(slot_row, buckets, left, rng))
    return None


def _fill_free(slot_row: np.ndarray, buckets: np.ndarray, left: np.ndarray) -> np.ndarray:
    """Puts the rows into free slots of their buckets, in place; returns those that found none."""
    for choice in range(2):
        for way in range(_WAYS):
            slot = buckets[left, choice] * _WAYS + way
            free = slot_row[slot] == PAD
            # Of the rows that want the same free slot the last written wins; the others try on.
            slot_row[slot[free]] = left[free]
            left = left[slot_row[slot] != left]
    return left


def _evict(
    slot_row: np.ndarray, buckets: np.ndarray, left: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Each row takes a slot from the row that holds it, in place; returns the rows now without one."""
    choice, way = rng.integers(0, 2, len(left)), rng.integers(0, _WAYS, len(left))
    slot = buckets[left, choice] * _WAYS + way
    holders = slot_row[slot]
    slot_row[slot] = left
    won = slot_row[slot] == left
    return np.concatenate([left[~won], holders[won]])


def _hash(cluster, feature, size: int):
    """Returns the two buckets of the pair; the same on NumPy and JAX arrays."""
    kind = np.uint32 if isinstance(feature, np.ndarray) else jnp.uint32
    x = feature * kind(_MIX[0]) + cluster * kind(_MIX[1])
    x = (x ^ (x >> kind(15))) * kind(_MIX[2])
    x = x ^ (x >> kind(13))
    y = (x ^ feature) * kind(_MIX[3])
    y = (y ^ (y >> kind(16))) * kind(_MIX[0])
    y = y ^ (y >> kind(14))
    mask = kind(size // _WAYS - 1)
    return (x & mask).astype("int32"), (y & mask).astype("int32")
