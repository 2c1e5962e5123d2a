"""One level laid out for search: a dense table for a small level, else rows found by a look-up."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from xmc_jax.ops import BITS, build_row_table, check_positions, concatenate_ranges, pack_bits
from xmc_jax.parallel import Target
from xmc_jax.types import AnyArray

Layout = Literal["table", "bitmaps", "rows", "slots"]

SLOTS = 8
"""Number of entries (child, value) in the layout `slots` that are read together."""

_TABLE_NODES = 512
_TABLE_BYTES = 128 * 2**20
_BITMAP_CHILDREN = 512
_MARKED_ENTRIES = 2**20
"""Entries whose bits are set at once."""
_ROW_LANES = 128  # lanes of a row as a TPU stores it


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class SearchLevel:
    """The weights of one level on the device, in one of four layouts; the fields of the others are None.

    `table` is the whole level, dense. The others store a row for each (cluster, feature), found through `rows`. In
    `rows`, a row has a weight for every child and is gathered at once, which takes a TPU as long as one number. In
    `bitmaps`, a row has a bit per child for the weights that follow, and every child of a pair is scored by gathers
    alone. For wide clusters with nearly empty rows, `slots` lists the weights with their children, in ceil(entries /
    SLOTS) parts per row.
    """

    child_offsets: AnyArray
    """int32 [C + 1]: nodes of cluster c are `child_offsets[c] : child_offsets[c + 1]`."""
    bias: AnyArray
    """float32 [nodes + K], -inf for silenced nodes. The last K are never read as scores."""
    dense: AnyArray
    """float32 [nodes + K, H], padded likewise."""
    table: AnyArray
    """float32 [D + 1, nodes]; row D, which unused slots of a query point to, is zero."""
    cluster: AnyArray
    """int32 [nodes]: cluster of each node, with `table`."""
    rows: AnyArray
    child_words: AnyArray
    """int32 [(F + 1) · 2 · words], a bitmap of the children that have weights, with ceil(K / 32) words per row; row F
    has
    none."""
    weights: AnyArray
    """float32 [E + 1], the last one 0: weights by row, then by child."""
    slots: AnyArray
    """int32 [parts, 2 · SLOTS]: children (K in unused slots), then the bits of their float32 values."""
    first_parts: AnyArray
    """int32 [F + 1]: parts of row r are `first_parts[r] : first_parts[r + 1]`."""
    max_children: int = field(metadata={"static": True})
    """K."""
    shard: AnyArray = None
    """int32 [3]: the first cluster, the one after the last, and the first node, if rows and dense columns of only these
    are
    stored; None if all are."""
    row_weights: AnyArray = None
    """float32 [F + 1, K rounded up to 128], the last row 0: weights by row, for every child."""

    @property
    def n_clusters(self) -> int:
        return self.child_offsets.shape[0] - 1

    @property
    def n_rows(self) -> int:
        """Number F of stored rows, with `row_weights` or `child_words`."""
        if self.row_weights is not None:
            return self.row_weights.shape[0] - 1
        assert self.child_words is not None
        return self.child_words.shape[0] // (2 * self.n_words) - 1

    def count_candidates(self, width: int) -> int:
        """Returns the number of nodes that are scored for a query, given the width of the beam above."""
        return self.n_nodes if self.table is not None else width * self.max_children

    @property
    def n_words(self) -> int:
        """Number of words of a row's bitmap of children."""
        return count_words(self.max_children)

    @property
    def n_nodes(self) -> int:
        return self.bias.shape[0] - self.max_children


def choose_layout(
    n_nodes: int, n_sparse: int, max_children: int, n_rows: int = 0, target: Target | None = None
) -> Layout:
    """Returns how a level is stored.

    It is a dense table if it has few nodes and fits into 128 MiB. Otherwise it is bitmaps, whose work grows with all
    children of the beam, unless clusters are so wide that listing the weights met is less work. On a TPU, which gathers
    a row in the time of one number, it is dense rows if these fit into a quarter of its memory.

    Args:
        n_nodes, n_sparse, max_children: sizes of the level; n_sparse is D.
        n_rows: number of rows F that a device stores.
        target: the device that searches it; None for a CPU.

    Example:
        >>> choose_layout(100, 1000, 10), choose_layout(10**6, 10**5, 32), choose_layout(10**6, 10**5, 4096)
        ('table', 'bitmaps', 'slots')
    """
    n_bytes = (n_sparse + 1) * n_nodes * 4
    if n_nodes <= _TABLE_NODES and n_bytes <= _TABLE_BYTES:
        return "table"
    if max_children > _BITMAP_CHILDREN:
        return "slots"
    row_bytes = 4 * fill_lanes(max_children)
    if target is not None and target.platform == "tpu" and n_rows * row_bytes <= target.memory // 4:
        return "rows"
    return "bitmaps"


def fill_lanes(n: int) -> int:
    """Returns n rounded up to the lanes of a TPU's rows, so that an array can be gathered from without a copy."""
    return -(-n // _ROW_LANES) * _ROW_LANES


def build_level(**stored: Any) -> SearchLevel:
    """Returns the result of `lay_out_level` for these arguments, on the device."""
    return jax.tree.map(jnp.asarray, lay_out_level(**stored))


def lay_out_level(
    *,
    child_offsets: np.ndarray,
    row_offsets: np.ndarray,
    row_feature: np.ndarray,
    entry_offsets: np.ndarray,
    entry_child: np.ndarray,
    entry_value: np.ndarray,
    bias: np.ndarray,
    dense: np.ndarray,
    n_sparse: int,
    layout: Layout | None = None,
    target: Target | None = None,
    max_children: int | None = None,
) -> SearchLevel:
    """Lays out a level that is stored as sparse rows of its clusters, in arrays on the host.

    Args:
        child_offsets: [C + 1], where the nodes of each cluster begin.
        row_offsets: [C + 1], where the stored rows of each cluster begin.
        row_feature: [F], features of the rows in [0, n_sparse), distinct within a cluster.
        entry_offsets: [F + 1], where the entries of each row begin.
        entry_child, entry_value: [E], child slots and weights of the entries.
        bias: [nodes]; -inf silences a node.
        dense: [nodes, H].
        n_sparse: D.
        layout: overrides `choose_layout`.
        target: the device that searches it; None for a CPU.
        max_children: K, if other parts of the level have wider clusters.

    Raises:
        InputError: more rows than positions of 32 bits can address.
    """
    widest = max_children or int(np.diff(child_offsets).max(initial=0))
    n_nodes, n_entries = len(bias), np.diff(entry_offsets)
    layout = layout or choose_layout(n_nodes, n_sparse, widest, len(row_feature), target)
    stored: dict[str, AnyArray] = dict.fromkeys(
        (
            "table",
            "cluster",
            "rows",
            "child_words",
            "weights",
            "slots",
            "first_parts",
            "row_weights",
        )
    )
    if layout == "table":
        start = np.repeat(child_offsets[:-1], np.diff(row_offsets))
        full = np.zeros((n_sparse + 1, n_nodes), np.float32)
        full[np.repeat(row_feature, n_entries), np.repeat(start, n_entries) + entry_child] = (
            entry_value
        )
        stored["table"] = full
        stored["cluster"] = np.repeat(
            np.arange(len(child_offsets) - 1, dtype=np.int32), np.diff(child_offsets)
        )
    else:
        stored["rows"] = build_row_table(row_feature, row_offsets, n_sparse)
    if layout == "rows":
        row = np.repeat(np.arange(len(row_feature)), n_entries)
        wide = fill_lanes(widest)
        stored["row_weights"] = np.zeros((len(row_feature) + 1, wide), np.float32)
        stored["row_weights"][row, entry_child] = entry_value
    if layout == "bitmaps":
        stored["child_words"] = _mark_children(entry_child, entry_offsets, widest)
        stored["weights"] = np.append(entry_value, np.float32(0)).astype(np.float32, copy=False)
    if layout == "slots":
        stored["slots"], stored["first_parts"] = _cut_rows(
            entry_child, entry_value, n_entries, widest
        )
    return SearchLevel(
        child_offsets=np.asarray(child_offsets, np.int32),
        bias=pad_bias(bias, widest),
        dense=np.pad(dense, ((0, widest), (0, 0))).astype(np.float32),
        max_children=widest,
        **stored,
    )


def pad_bias(bias: np.ndarray, max_children: int) -> np.ndarray:
    """Returns the biases [nodes + K], padded so that K can be read from any node.

    >>> pad_bias(np.ones(2), 1).tolist()
    [1.0, 1.0, 0.0]
    """
    return np.pad(bias, (0, max_children)).astype(np.float32)


def count_words(n_children: int) -> int:
    """Returns the number of words of a bitmap of this many children."""
    return -(-max(n_children, 1) // BITS)


def _mark_children(child: np.ndarray, entry_offsets: np.ndarray, n_children: int) -> np.ndarray:
    """Returns the bitmap of the rows' children, int32 [(F + 1) · 2 · words]."""
    n_rows, n_words = len(entry_offsets) - 1, count_words(n_children)
    check_positions(max(2 * (n_rows + 1) * n_words, len(child) + 1))
    out = np.zeros(((n_rows + 1) * n_words, 2), np.int32)
    # Some rows at once: the positions of all would take several times the memory of the weights.
    block = entry_offsets[:-1] // _MARKED_ENTRIES
    bounds = np.append(np.flatnonzero(np.diff(block, prepend=-1)), n_rows)
    for first, stop in pairwise(bounds.tolist()):
        begin, end = int(entry_offsets[first]), int(entry_offsets[stop])
        row = np.repeat(np.arange(first, stop), np.diff(entry_offsets[first : stop + 1]))
        at, words = pack_bits(row * (n_words * BITS) + child[begin:end])
        words[:, 1] += begin
        out[at] = words
    return out.reshape(-1)


def _cut_rows(
    child: np.ndarray, value: np.ndarray, n_entries: np.ndarray, unused: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns slots [parts, 2 · SLOTS] and the first parts of the rows [F + 1]."""
    n_parts = -(-n_entries // SLOTS)
    first = np.concatenate([[0], np.cumsum(n_parts)]).astype(np.int32)
    total = max(int(first[-1]), 1)  # gathers need a part even if nothing is stored
    children = np.full((total, SLOTS), unused, np.int32)
    values = np.zeros((total, SLOTS), np.float32)
    at = concatenate_ranges(first[:-1].astype(np.int64) * SLOTS, n_entries)
    children.reshape(-1)[at] = child
    values.reshape(-1)[at] = value
    return np.concatenate([children, values.view(np.int32)], axis=1), first
