"""`balanced_kmeans` where several processes hold the label embeddings, each those of some labels.

Dense rows lie with the process that has their slots. Each has the slots of some leaves, so between depths the rows
whose slots change owner move. Sparse rows are cut by columns, see `spread_kmeans`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import jax
import numpy as np
import scipy.sparse as sp
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from xmc_jax.parallel import fetch, line_up, place, trade
from xmc_jax.tree.balanced_kmeans import (
    ITERATIONS,
    draw_bits,
    lay_out,
    name_leaves,
    size_leaves,
    split_nodes,
)
from xmc_jax.tree.exact_kmeans import POWER_STEPS
from xmc_jax.tree.spread_kmeans import order_spread


def cluster_spread(
    rows: np.ndarray | sp.csr_matrix,
    bounds: np.ndarray,
    depth: int,
    *,
    seed: int = 0,
    power_steps: int = POWER_STEPS,
) -> np.ndarray:
    """Returns the leaf of every label, int32 [L], as `cluster_labels` does; all processes call it together.

    Args:
        rows: embeddings of this process's labels, an array or canonical CSR.
        bounds: int64 [P + 1], the first label of each process, and the number of labels.
        depth, seed, power_steps: as there; depth 1 or more.
    """
    leaf_sizes, draws = size_leaves(int(bounds[-1]), depth), np.asarray(draw_bits(seed, depth))
    first = int(bounds[jax.process_index()])
    if isinstance(rows, np.ndarray):
        order = _order_rows(rows, first, leaf_sizes, draws, power_steps)
    else:
        order = order_spread(
            rows,
            first,
            leaf_sizes,
            draws,
            spherical=True,
            iterations=ITERATIONS,
            power_steps=power_steps,
        )
    return name_leaves(order, leaf_sizes)


def _order_rows(
    rows: np.ndarray, first: int, leaf_sizes: np.ndarray, draws: np.ndarray, power_steps: int
) -> np.ndarray:
    """Returns the labels in leaf order, int32 [L].

    Args:
        rows: float32 [this process's labels, D].
        first: the first of these labels.
        leaf_sizes: int32 [C].
        draws: uint32 [depth, 2, C].
        power_steps: as in `cluster_labels`.
    """
    mesh = line_up()
    n_leaves = -(-len(leaf_sizes) // mesh.size) * mesh.size  # the last may have no labels
    layout = lay_out(np.pad(leaf_sizes, (0, n_leaves - len(leaf_sizes))))
    each = n_leaves // mesh.size
    cuts = np.asarray(layout.start)[np.arange(mesh.size + 1) * each]
    mine = jax.process_index() * each
    own = np.asarray(layout.valid)[mine : mine + each]
    shared = place((layout, draws), mesh)
    spread = NamedSharding(mesh, PartitionSpec(mesh.axis_names[0]))
    order = np.arange(int(cuts[-1]), dtype=np.int32)
    labels = first + np.arange(len(rows))
    for t in range(len(draws)):
        places = np.empty(len(order), np.int64)
        places[order] = np.arange(len(order))
        rows, labels = _send_rows(rows, labels, places, cuts)
        slots = np.zeros((*own.shape, rows.shape[1]), np.float32)
        slots[own] = rows
        Z = jax.make_array_from_process_local_data(spread, slots, (n_leaves, *slots.shape[1:]))
        del slots
        before = place(order, mesh)
        order = fetch(_compile_split(mesh)(Z, before, *shared, np.int32(t), power_steps))
    return order


def _send_rows(
    rows: np.ndarray, labels: np.ndarray, places: np.ndarray, cuts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the rows and labels whose places [L] are now this process's, by place."""
    owner = np.searchsorted(cuts[1:], places[labels], side="right")
    sent = trade(
        [{"rows": rows[owner == p], "labels": labels[owner == p]} for p in range(len(cuts) - 1)]
    )
    labels = np.concatenate([part["labels"] for part in sent])
    order = np.argsort(places[labels])
    return np.concatenate([part["rows"] for part in sent])[order], labels[order]


@lru_cache(maxsize=4)
def _compile_split(mesh: Mesh) -> Callable[..., jax.Array]:
    """Returns `split_nodes` of slots that all devices of a mesh share; its order lies whole on each."""

    def split(Z, order, layout, draws, t, power_steps):
        return split_nodes(Z, order, layout, draws, t, True, ITERATIONS, power_steps)

    return jax.jit(split, out_shardings=NamedSharding(mesh, PartitionSpec()))
