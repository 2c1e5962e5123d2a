"""One level laid out for search: a dense table where the level is small, else rows behind a look-up."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from xmc_jax.ops import RowTable, build_row_table, concatenate_ranges
from xmc_jax.types import AnyArray

SLOTS = 8
"""Entries (child, value) that are read together. Rows that queries hit have about a dozen entries."""

_TABLE_NODES = 512
_TABLE_BYTES = 128 * 2**20


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class SearchLevel:
    """The weights of one level on the device; either `table`, or `rows` with `slots` and `row_parts`.

    A stored row (cluster, feature) has ceil(entries / SLOTS) consecutive parts; `rows` gives its first.
    """

    child_offsets: AnyArray
    """int32 [C + 1]: nodes of cluster c are `child_offsets[c] : child_offsets[c + 1]`."""
    bias: AnyArray
    """float32 [nodes + K], -inf: silenced node. The last K are never read as scores."""
    dense: AnyArray
    """float32 [nodes + K, H], likewise."""
    table: AnyArray
    """float32 [D + 1, nodes]; row D, which unused slots of a query point to, is zero."""
    rows: AnyArray
    slots: AnyArray
    """int32 [parts, 2 · SLOTS]: children (K where unused), then the bits of their float32 values."""
    row_parts: AnyArray
    """int32 [parts]: how many parts the row has that begins here."""
    max_children: int = field(metadata={"static": True})
    """K."""

    @property
    def n_clusters(self) -> int:
        return self.child_offsets.shape[0] - 1

    @property
    def n_nodes(self) -> int:
        return self.bias.shape[0] - self.max_children


def choose_layout(n_nodes: int, n_sparse: int) -> Literal["table", "rows"]:
    """Chooses how a level is stored: all of it as a dense table if it has few nodes and fits 128 MiB."""
    n_bytes = (n_sparse + 1) * n_nodes * 4
    return "table" if n_nodes <= _TABLE_NODES and n_bytes <= _TABLE_BYTES else "rows"


def build_level(
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
    layout: Literal["table", "rows"] | None = None,
) -> SearchLevel:
    """Lays out a level that is stored as sparse rows of its clusters, and puts it on the device.

    Args:
        child_offsets: [C + 1], nodes of the clusters.
        row_offsets: [C + 1], stored rows of the clusters.
        row_feature: [F], feature of a row in [0, n_sparse), distinct within a cluster.
        entry_offsets: [F + 1], entries of the rows.
        entry_child, entry_value: [E], child slot and weight of the entries.
        bias: [nodes]; -inf silences a node.
        dense: [nodes, H].
        n_sparse: D.
        layout: instead of what `choose_layout` says.
    """
    widest = int(np.diff(child_offsets).max(initial=0))
    n_nodes, n_entries = len(bias), np.diff(entry_offsets)
    child = entry_child.astype(np.int32)
    table = rows = slots = row_parts = None
    if (layout or choose_layout(n_nodes, n_sparse)) == "table":
        start = np.repeat(child_offsets[:-1], np.diff(row_offsets))
        full = np.zeros((n_sparse + 1, n_nodes), np.float32)
        full[np.repeat(row_feature, n_entries), np.repeat(start, n_entries) + child] = entry_value
        table = jnp.asarray(full)
    else:
        cut, parts, first = _cut_rows(child, entry_value, n_entries, widest)
        slots, row_parts = jnp.asarray(cut), jnp.asarray(parts)
        found = build_row_table(row_feature, row_offsets)
        # A row goes by its first part, so that finding it is finding its entries.
        part = np.where(found.row >= 0, first[found.row], found.row).astype(np.int32)
        rows = RowTable(*map(jnp.asarray, (found.feature, part, first[row_offsets])))
    return SearchLevel(
        child_offsets=jnp.asarray(child_offsets, jnp.int32),
        bias=jnp.asarray(np.pad(bias, (0, widest)), jnp.float32),
        dense=jnp.asarray(np.pad(dense, ((0, widest), (0, 0))), jnp.float32),
        table=table,
        rows=rows,
        slots=slots,
        row_parts=row_parts,
        max_children=widest,
    )


def _cut_rows(
    child: np.ndarray, value: np.ndarray, n_entries: np.ndarray, unused: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns slots [parts, 2 · SLOTS], parts of the row beginning at a part [parts], first parts [F + 1]."""
    n_parts = -(-n_entries // SLOTS)
    first = np.concatenate([[0], np.cumsum(n_parts)]).astype(np.int32)
    total = max(int(first[-1]), 1)  # gathers want a part even where nothing is stored
    children = np.full((total, SLOTS), unused, np.int32)
    values = np.zeros((total, SLOTS), np.float32)
    at = concatenate_ranges(first[:-1].astype(np.int64) * SLOTS, n_entries)
    children.reshape(-1)[at] = child
    values.reshape(-1)[at] = value
    row_parts = np.zeros(total, np.int32)
    row_parts[first[:-1]] = n_parts
    return np.concatenate([children, values.view(np.int32)], axis=1), row_parts, first
