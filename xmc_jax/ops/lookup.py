"""Finds the stored row, if any, of a feature of a cluster, in two levels of bitmaps with running counts.

A bitmap marks the features that a cluster has stored, and the number of bits set before a feature's is its row: a
look-up is exact, takes two loads and never searches. The features are cut into words of 32; empty words are not stored,
and a second bitmap over the words of a cluster finds those that are (rank on bitmaps: Jacobson 1989; two levels as in
the tries of Bagwell 2001).
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from xmc_jax.errors import InputError
from xmc_jax.types import PAD, AnyArray

_SHIFT = 5
BITS = 1 << _SHIFT
"""Bits per word of a bitmap."""

MOST_POSITIONS = 2**31 - 1


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class RowTable:
    """The places of the stored rows of a level; rows are numbered by cluster and then by feature."""

    summary: AnyArray
    """int32 [C, 2 · words], a bitmap (see `pack_bits`) of the words of 32 features that are stored, by cluster."""
    words: AnyArray
    """int32 [2 · words], a bitmap of the features that are stored, by stored word."""


def build_row_table(features: np.ndarray, offsets: np.ndarray, n_features: int) -> RowTable:
    """Builds the table, of arrays on the host.

    Args:
        features: int [F] in [0, n_features), increasing within a cluster.
        offsets: int [C + 1], row ranges of the clusters.
        n_features: D.
    """
    n_clusters = len(offsets) - 1
    n_words = -(-max(n_features, 1) // BITS**2) * BITS
    check_positions(2 * max(n_clusters * n_words // BITS, len(features)))
    cluster = np.repeat(np.arange(n_clusters), np.diff(offsets))
    bit = cluster * (n_words * BITS) + features
    word = pack_bits(bit)[0]
    summary = np.zeros((n_clusters * (n_words // BITS), 2), np.int32)
    at, packed = pack_bits(word)
    summary[at] = packed
    # Gathers need a word even if nothing is stored.
    words = pack_bits(bit)[1] if len(bit) else np.zeros((1, 2), np.int32)
    return RowTable(summary.reshape(n_clusters, 2 * n_words // BITS), words.reshape(-1))


def check_positions(n: int) -> None:
    """Checks that positions of 32 bits reach the end of an array of n numbers.

    Raises:
        InputError: they do not.
    """
    if n > MOST_POSITIONS:
        raise InputError(
            f"a level whose index has {n:,} numbers given, at most {MOST_POSITIONS:,} on one device can be "
            "searched; cut it over devices with parallel.label, or drop more weights (ranker.threshold)"
        )


def pack_bits(bits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the numbers [words] of the words that are not empty, and these words, int32 [words, 2].

    A word of a bitmap is a pair: its bits, and the number of bits set before it in the whole bitmap.

    >>> pack_bits(np.array([0, 2, 33]))[1].tolist()
    [[5, 0], [2, 2]]

    Args:
        bits: int64, the positions that are set, increasing.
    """
    number = bits // BITS
    first = np.flatnonzero(np.diff(number, prepend=-1))
    ones = np.left_shift(np.uint32(1), (bits % BITS).astype(np.uint32))
    words = np.empty((len(first), 2), np.int32)
    if len(first):
        words[:, 0] = np.bitwise_or.reduceat(ones, first).view(np.int32)
    words[:, 1] = first
    return number[first], words


def find_rows(
    table: RowTable, clusters: Int[Array, "*P"], features: Int[Array, "*P"]
) -> Int[Array, "*P"]:
    """Returns the stored row of each (cluster, feature), or PAD where none is stored.

    `clusters` must be in [0, C) and `features` in [0, D); a feature of PAD is never found.

    >>> table = jax.device_put(build_row_table(np.array([1, 3, 0]), np.array([0, 2, 3]), n_features=4))
    >>> find_rows(table, jnp.array([0, 0, 1]), jnp.array([3, 0, 0])).tolist()
    [1, -1, 2]
    """
    at = jnp.maximum(features, 0)
    n_words = table.summary.shape[1] // 2
    place = clusters * n_words + (at >> 2 * _SHIFT)
    word, is_stored = count_bits(table.summary.reshape(-1), place, at >> _SHIFT)
    n_stored = table.words.shape[0] // 2
    word = keep(jnp.where(is_stored & (features != PAD), word + 1, 0), n_stored)
    row, is_set = count_bits(table.words, jnp.maximum(word - 1, 0), at)
    return jnp.where((word != 0) & is_set, row, PAD)


def keep(x: Int[Array, "*S"], most: int) -> Int[Array, "*S"]:
    """Returns x, whole numbers in [0, most], in a way that makes XLA store them.

    XLA repeats cheap expressions at every use and stores the gathers below them instead. A remainder counts as costly,
    so it is computed once, with everything below it. (CPU programs lose their optimization barriers before fusion.)
    """
    return jax.lax.rem(x, jnp.int32(most + 1))


def count_bits(
    words: Int[Array, "_"], place: Int[Array, "*S"], bit: Int[Array, "*S"]
) -> tuple[Int[Array, "*S"], Bool[Array, "*S"]]:
    """Returns the number of bits set before bit `bit % BITS` of a word in a bitmap, and whether that bit is set.

    Args:
        words: a flat bitmap, since gathers of single numbers fuse with their uses and gathers of pairs do not.
        place: number of the word.
        bit: number of the bit.
    """
    return rank_bits(get(words, 2 * place), get(words, 2 * place + 1), bit)


def rank_bits(
    bits: Int[Array, "*#S"], before: Int[Array, "*#S"], bit: Int[Array, "*#S"]
) -> tuple[Int[Array, "*#S"], Bool[Array, "*#S"]]:
    """Returns the same as `count_bits`, given the words' bits and counts."""
    word = bits.astype(jnp.uint32)
    one = jnp.left_shift(jnp.uint32(1), (bit & (BITS - 1)).astype(jnp.uint32))
    below = jax.lax.population_count(word & (one - jnp.uint32(1)))
    return before + below.astype(jnp.int32), (word & one) != 0


def get(x: Array, at: Int[Array, "*S"]) -> Array:
    """Returns `x[at]` for positions that are known to be in range."""
    return x.at[at].get(mode="promise_in_bounds", wrap_negative_indices=False)
