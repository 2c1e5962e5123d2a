"""Margins of the children of (query, cluster) pairs: the inner loop of search.

Slots of a query are looked up a block at a time. With bitmaps, every child of a pair reads its weight in every row
found: there is no scatter, and no work that depends on what was found. For wide clusters, the entries found are instead
laid out without gaps (an expansion of counts: running sums, marks, running maxima), so that the cost follows the
weights that a query really meets. Both are the masked sparse chunk multiplication of Etter et al. 2022, "MSCM", in
fixed shapes.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from xmc_jax.matcher.level import SLOTS, SearchLevel
from xmc_jax.ops import BITS, accumulate, find_rows, get, keep, rank_bits
from xmc_jax.types import PAD

_BLOCK = 8  # slots of a query that are scored together
_FEW_PAIRS = 64  # pairs of about one query
_LOOKUPS = 2**14  # (pair, slot) look-ups made at a time
_LANES = 64
_DENSE_FLOATS = 2**20  # weights of dense columns gathered at a time
_ROW_FLOATS = 2**26  # weights of whole rows gathered at a time


def score_children(
    level: SearchLevel,
    ids: Int[Array, "B J"],
    values: Float[Array, "B J"],
    dense: Float[Array, "B H"],
    row: Int[Array, "P"],
    cluster: Int[Array, "P"],
) -> Float[Array, "P K"]:
    """Returns the margins of the children of each pair, -inf for missing and silenced children.

    Args:
        level: a level of C clusters with at most K children.
        ids: features of the queries in [0, D), PAD in unused slots, which are at the end of a row.
        values: 0 in unused slots.
        dense: the dense columns; H is that of the level.
        row: query of each pair in [0, B).
        cluster: in [0, C), or PAD for a pair without children.
    """
    at = jnp.maximum(cluster, 0)
    start, stop = level.child_offsets[at], level.child_offsets[at + 1]
    child = jnp.arange(level.max_children)[None, :]
    real = (start[:, None] + child < stop[:, None]) & (cluster != PAD)[:, None]
    if level.table is not None:
        every = score_all(level, ids, values, dense)
        node = jnp.minimum(start[:, None] + child, level.n_nodes - 1)
        return jnp.where(real, every[row[:, None], node], -jnp.inf)
    # Whatever is added to -inf, it stays -inf.
    margins = jnp.where(real, get(level.bias, start[:, None] + child), -jnp.inf)
    add = _add_slots if level.slots is not None else _add_bitmaps
    if level.row_weights is not None:
        add = _add_rows
    margins = add(level, ids, values, row, cluster, margins)
    return margins + _score_dense(level, dense, row, at) if dense.shape[1] else margins


def score_all(
    level: SearchLevel,
    ids: Int[Array, "B J"],
    values: Float[Array, "B J"],
    dense: Float[Array, "B H"],
) -> Float[Array, "B nodes"]:
    """Returns the margins of all nodes of a level that is stored as a table."""
    table = level.table
    assert table is not None
    out = jnp.broadcast_to(level.bias[: level.n_nodes], (ids.shape[0], level.n_nodes))
    if dense.shape[1]:
        weights = level.dense[: level.n_nodes]
        out = out + jnp.matmul(dense, weights.T, precision=lax.Precision.HIGHEST)

    def add_block(block, mine, value, out):
        mine = jnp.where(mine == PAD, table.shape[0] - 1, mine)
        return out + accumulate(mine, value, table)

    return _loop_slots(ids, values, _BLOCK, add_block, out)


def _loop_slots(
    ids: Int[Array, "B J"],
    values: Float[Array, "B J"],
    width: int,
    add_block: Callable[..., Array],
    out: Array,
) -> Array:
    """Returns `out` after `out = add_block(block, ids, values, out)` for each block of slots that a query uses.

    It is a loop even for a single block: its result is an array, whereas an expression would be fused into what follows
    and its loop over the lanes broken up.
    """
    ids, values = _pad_slots(ids, values, width)

    def step(block, out):
        at = (block * width, width, 1)
        mine, weight = (lax.dynamic_slice_in_dim(x, *at) for x in (ids, values))
        return add_block(block, mine, weight, out)

    return lax.fori_loop(0, _count_blocks(ids, width), step, out)


def _count_blocks(ids: Int[Array, "B J"], width: int) -> Int[Array, ""]:
    return -(-jnp.max(jnp.sum(ids != PAD, axis=1)) // width)


def _find(
    level: SearchLevel,
    ids: Int[Array, "_ _"],
    row: Int[Array, "P"],
    cluster: Int[Array, "P"],
    slots_first: bool = False,
) -> Int[Array, "P J"] | Int[Array, "J P"]:
    """Returns the stored row of each slot [P, J], or PAD, for ids [B, J]; with `slots_first`, [J, P] for ids [J, B]."""
    assert level.rows is not None
    cluster = cluster[None] if slots_first else cluster[:, None]
    mine = jnp.where(cluster == PAD, PAD, ids[:, row] if slots_first else ids[row])
    if level.shard is not None:
        cluster = cluster - level.shard[0]
    return find_rows(level.rows, jnp.broadcast_to(jnp.maximum(cluster, 0), mine.shape), mine)


def _add_rows(
    level: SearchLevel,
    ids: Int[Array, "B J"],
    values: Float[Array, "B J"],
    row: Int[Array, "P"],
    cluster: Int[Array, "P"],
    margins: Float[Array, "P K"],
) -> Float[Array, "P K"]:
    """Adds the stored rows that the pairs hit to their margins, with one gather of the whole rows of several slots."""
    stored = level.row_weights
    assert stored is not None
    at_once = max(1, min(_BLOCK, _ROW_FLOATS // (row.shape[0] * stored.shape[1])))
    spread = _pad_slots(ids, values, _BLOCK)[1][row]

    def add_block(block, mine, value, out):
        # With slots first, rows are looked up in the order in which they are read, and no array is transposed.
        found = _find(level, mine.T, row, cluster, slots_first=True)
        found = jnp.where(found == PAD, level.n_rows, found)
        # A column of weights is spread over lanes in a fifth of the time that a row of them is.
        weight = lax.dynamic_slice_in_dim(spread, block * _BLOCK, _BLOCK, 1)
        for first in range(0, found.shape[0], at_once):
            rows = get(stored, found[first : first + at_once])
            for j in range(rows.shape[0]):
                at = first + j
                out = out + weight[:, at : at + 1] * rows[j]
        return out

    unused = stored.shape[1] - level.max_children
    out = jnp.pad(margins, ((0, 0), (0, unused)))
    return _loop_slots(ids, values, _BLOCK, add_block, out)[:, : level.max_children]


def _add_bitmaps(
    level: SearchLevel,
    ids: Int[Array, "B J"],
    values: Float[Array, "B J"],
    row: Int[Array, "P"],
    cluster: Int[Array, "P"],
    margins: Float[Array, "P K"],
) -> Float[Array, "P K"]:
    """Adds the stored rows that the pairs hit to their margins, by gathers alone, all children side by side."""
    n_pairs = row.shape[0]
    unused = level.n_words * BITS - level.max_children
    out = jnp.pad(margins, ((0, 0), (0, unused))).reshape(n_pairs, level.n_words, BITS)
    if n_pairs <= _FEW_PAIRS:
        out = _add_on_one_thread(level, ids, values, row, cluster, out)
    else:

        def add_block(block, mine, value, out):
            found = keep(_find_or_empty(level, mine, row, cluster), level.n_rows)
            return _add_found(level, found, value[row], out)

        out = _loop_slots(ids, values, _BLOCK, add_block, out)
    return out.reshape(n_pairs, -1)[:, : level.max_children]


def _add_on_one_thread(
    level: SearchLevel,
    ids: Int[Array, "B J"],
    values: Float[Array, "B J"],
    row: Int[Array, "P"],
    cluster: Int[Array, "P"],
    out: Float[Array, "P _ 32"],
) -> Float[Array, "P _ 32"]:
    """Adds the rows that a few pairs hit, in programs that a CPU runs on the calling thread.

    XLA counts a gather as a read of the whole table and splits it over threads, which for one query takes longer than
    its whole search. It never splits what ends in the update of a slice, so here every step writes one.
    """
    n_blocks = -(-ids.shape[1] // _BLOCK)
    found = jnp.zeros((n_blocks + 1, row.shape[0], _BLOCK), jnp.int32)

    def find_block(block, mine, value, found):
        rows = _find_or_empty(level, mine, row, cluster)
        return lax.dynamic_update_index_in_dim(found, rows, block, 0)

    found = _loop_slots(ids, values, _BLOCK, find_block, found)

    def add_block(block, mine, value, both):
        rows, before = (
            lax.dynamic_index_in_dim(x, at, 0, keepdims=False)
            for x, at in ((found, block), (both, block % 2))
        )
        after = _add_found(level, rows, value[row], before)
        return lax.dynamic_update_index_in_dim(both, after, 1 - block % 2, 0)

    both = _loop_slots(ids, values, _BLOCK, add_block, jnp.stack([out, out]))
    return lax.dynamic_index_in_dim(both, _count_blocks(ids, _BLOCK) % 2, 0, keepdims=False)


def _find_or_empty(
    level: SearchLevel, ids: Int[Array, "B J"], row: Int[Array, "P"], cluster: Int[Array, "P"]
) -> Int[Array, "P J"]:
    """Returns the stored row of each slot of each pair, or the row without weights."""
    found = _find(level, ids, row, cluster)
    return jnp.where(found == PAD, level.n_rows, found)


def _add_found(
    level: SearchLevel,
    found: Int[Array, "P J"],
    value: Float[Array, "P J"],
    out: Float[Array, "P _ 32"],
) -> Float[Array, "P _ 32"]:
    """Adds the weights of the rows found, times `value`, to the lanes of their children."""
    child_words, weights = level.child_words, level.weights
    assert child_words is not None and weights is not None
    word = jnp.arange(level.n_words)[None, :, None]
    lane = jnp.arange(BITS, dtype=jnp.int32)[None, None]
    for j in range(found.shape[1]):
        place = 2 * (found[:, j, None, None] * level.n_words + word)
        if found.shape[0] <= _FEW_PAIRS:
            # Read by every lane, the words are not an array of their own, whose gather would be split.
            place = place + 0 * lane
        at, is_set = rank_bits(get(child_words, place), get(child_words, place + 1), lane)
        weight = jnp.where(is_set, get(weights, at), 0.0)
        out = out + weight * value[:, j, None, None]
    return out


def _add_slots(
    level: SearchLevel,
    ids: Int[Array, "B J"],
    values: Float[Array, "B J"],
    row: Int[Array, "P"],
    cluster: Int[Array, "P"],
    margins: Float[Array, "P K"],
) -> Float[Array, "P K"]:
    """Adds the stored rows that the pairs hit to their margins."""
    n_pairs = row.shape[0]
    # One more column receives what unused slots add.
    out = jnp.pad(margins, ((0, 0), (0, 1))).reshape(-1)

    def add_block(block, mine, value, out):
        return _add_hits(level, _find(level, mine, row, cluster), value[row], out)

    out = _loop_slots(ids, values, _choose_block(n_pairs, ids.shape[1]), add_block, out)
    return out.reshape(n_pairs, -1)[:, :-1]


def _add_hits(
    level: SearchLevel,
    found: Int[Array, "P J"],
    weight: Float[Array, "P J"],
    out: Float[Array, "_"],
) -> Float[Array, "_"]:
    """Adds the parts of the rows found, times `weight`, to `out` [P · (K + 1)]; PAD stands for no row."""
    slots, first_parts = level.slots, level.first_parts
    assert slots is not None and first_parts is not None
    width, columns = found.shape[1], level.max_children + 1
    at = jnp.maximum(found, 0).reshape(-1)
    first = first_parts[at]
    count = jnp.where(found.reshape(-1) == PAD, 0, first_parts[at + 1] - first)
    weight = weight.reshape(-1)
    stop = _scan(count, jnp.add, jnp.cumsum)
    start, total = stop - count, stop[-1]
    block = -(-count.shape[0] // _LANES) * _LANES

    def add_block(state):
        begin, out = state
        # Marks show where the parts of a hit begin in this block; their running maximum is the hit of each part.
        here = (count > 0) & (stop > begin) & (start < begin + block)
        mark = jnp.where(here, jnp.maximum(start - begin, 0), block)
        hit = jnp.zeros(block + 1, jnp.int32)
        hit = hit.at[mark].set(
            jnp.arange(count.shape[0], dtype=jnp.int32), mode="promise_in_bounds"
        )
        hit = _scan(hit[:block], jnp.maximum, lax.cummax)
        position = begin + jnp.arange(block)
        real = position < total
        part = jnp.where(real, first[hit] + position - start[hit], 0)
        # Fused into what follows, this would be computed again for every slot.
        part, pair, scale = lax.optimization_barrier((part, hit // width * columns, weight[hit]))
        mine = slots.at[part].get(mode="promise_in_bounds")
        child = jnp.where(real[:, None], mine[:, :SLOTS], columns - 1)
        value = lax.bitcast_convert_type(mine[:, SLOTS:], jnp.float32) * scale[:, None]
        at = pair[:, None] + child
        return begin + block, out.at[at].add(value, mode="promise_in_bounds")

    return lax.while_loop(lambda state: state[0] < total, add_block, (jnp.int32(0), out))[1]


def _scan(x: Int[Array, "S"], combine, scan) -> Int[Array, "S"]:
    """Returns the running sum (maximum) of whole numbers of 0 or more, first within lanes, then over the lanes.

    This takes a CPU a fifth of the time of one long scan.
    """
    n = x.shape[0]
    x = jnp.pad(x, (0, -n % _LANES)).reshape(-1, _LANES)
    shift = 1
    while shift < _LANES:
        x = combine(x, jnp.pad(x, ((0, 0), (shift, 0)))[:, :_LANES])
        shift *= 2
    before = jnp.pad(scan(x[:, -1]), (1, 0))[:-1]
    return combine(x, before[:, None]).reshape(-1)[:n]


def _score_dense(
    level: SearchLevel, dense: Float[Array, "B H"], row: Int[Array, "P"], cluster: Int[Array, "P"]
) -> Float[Array, "P K"]:
    """Returns the products of dense columns, by small matrix products of the pairs of a cluster with its weights.

    Sorted by cluster, pairs fill tiles of `lanes` pairs of one cluster, so that the weights of a tile are read once.
    """
    n_pairs, width = row.shape[0], level.max_children
    first_node = 0 if level.shard is None else level.shard[2]
    lanes = _choose_lanes(n_pairs, level.n_clusters)
    order = jnp.argsort(cluster)
    mine = cluster[order]
    rank = jnp.arange(n_pairs) - jnp.searchsorted(mine, mine)
    tile = jnp.cumsum(rank % lanes == 0) - 1
    at_once = max(1, min(n_pairs, _DENSE_FLOATS // max(1, width * dense.shape[1])))
    most = -(-min(n_pairs, n_pairs // lanes + level.n_clusters) // at_once) * at_once
    # Unused lanes score query 0 and write to a row after the pairs.
    pair = jnp.full((most, lanes), n_pairs).at[tile, rank % lanes].set(order)
    tile_cluster = jnp.zeros(most, cluster.dtype).at[tile].set(mine)
    query = jnp.pad(row, (0, 1))[pair]

    def add_tiles(block, out):
        where, which, whose = (
            lax.dynamic_slice_in_dim(x, block * at_once, at_once)
            for x in (pair, query, tile_cluster)
        )
        weights = _slice_rows(level.dense, level.child_offsets[whose] - first_node, width)
        product = jnp.einsum("tgh,tkh->tgk", dense[which], weights, precision=lax.Precision.HIGHEST)
        return out.at[where].set(product)

    out = jnp.zeros((n_pairs + 1, width), dense.dtype)
    n_blocks = tile[-1] // at_once + 1
    return lax.fori_loop(0, n_blocks, add_tiles, out)[:n_pairs]


def _slice_rows(
    table: Float[Array, "S *T"], start: Int[Array, "P"], n: int
) -> Float[Array, "P n *T"]:
    """Returns the n rows of the table that begin at each start."""
    return jax.vmap(lambda s: lax.dynamic_slice_in_dim(table, s, n))(start)


def _choose_block(n_pairs: int, n_slots: int) -> int:
    """Returns the number of slots of a query to look up at once: 16 for one query, 8 for a large batch."""
    return min(n_slots, max(8, min(16, _LOOKUPS // n_pairs)))


def _choose_lanes(n_pairs: int, n_clusters: int) -> int:
    """Returns the number of pairs of a cluster that share a tile: about as many as a cluster has, at most 16."""
    return min(16, 1 << (n_pairs // n_clusters).bit_length() - 1) if n_pairs >= n_clusters else 1


def _pad_slots(
    ids: Int[Array, "B J"], values: Float[Array, "B J"], multiple: int
) -> tuple[Int[Array, "B J2"], Float[Array, "B J2"]]:
    widths = ((0, 0), (0, -ids.shape[1] % multiple))
    return jnp.pad(ids, widths, constant_values=PAD), jnp.pad(values, widths)
