"""The primitive of the linear core: gathers rows of a table, K wide, and adds them up with weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from xmc_jax.types import AnyArray

Gathers = Literal["unrolled", "looped", "fused"]
"""How the slots of a row are gathered, which depends on the target:

- `unrolled`: sixteen slots in one expression, compiled to one loop over the lanes. For a CPU: 20 G multiply-adds per
second, ten times as many as a loop over the slots.
- `looped`: one gather in a loop over the slots. For a TPU, which runs a gather as an operation of its own; the program
stays small.
- `fused`: one gather of all slots, summed where it is read. For a GPU: one kernel.
"""

SLOT_BLOCK = 16
"""Slots of a padded row that are unrolled in one expression."""


def accumulate(
    ids: Int[AnyArray, "*R J"],
    values: Float[AnyArray, "*R J"],
    table: Float[AnyArray, "F K"],
    gathers: Gathers = "unrolled",
) -> Float[Array, "*R K"]:
    """Returns `out[r] = Σ_j values[r, j] · table[ids[r, j]]`: the product of padded sparse rows with a dense table.

    Ids must be in [0, F); unused slots have value 0. On a CPU, [R, J, K] at once would take an order of magnitude more
    time and memory.

    >>> ids, values = jnp.array([[0, 2]]), jnp.array([[1.0, 0.5]])
    >>> accumulate(ids, values, jnp.array([[1.0], [2.0], [4.0]])).tolist()
    [[3.0]]
    """
    return _WAYS[gathers](ids, values, table)


def _accumulate_blocks(ids: Array, values: Array, table: Array) -> Array:
    width = ids.shape[-1]
    n_blocks, rest = divmod(width, SLOT_BLOCK)
    out = jnp.zeros((*ids.shape[:-1], table.shape[1]), table.dtype)
    if n_blocks <= 1:
        rest = width
    else:

        def add_block(block, out):
            at = (block * SLOT_BLOCK, SLOT_BLOCK, ids.ndim - 1)
            some_ids = lax.dynamic_slice_in_dim(ids, *at)
            return _add_slots(some_ids, lax.dynamic_slice_in_dim(values, *at), table, out)

        out = lax.fori_loop(0, n_blocks, add_block, out)
    if rest:
        out = _add_slots(ids[..., width - rest :], values[..., width - rest :], table, out)
    return out


def _add_slots(ids: Array, values: Array, table: Array, out: Array) -> Array:
    for j in range(ids.shape[-1]):
        out = out + values[..., j, None] * _gather(table, ids[..., j])
    return out


def _accumulate_slots(ids: Array, values: Array, table: Array) -> Array:
    # The axis of slots comes first, so that each step takes one.
    ids, values = (jnp.moveaxis(x, -1, 0) for x in (ids, values))

    def add_slot(j, out):
        some = lax.dynamic_index_in_dim(ids, j, keepdims=False)
        weight = lax.dynamic_index_in_dim(values, j, keepdims=False)
        return out + weight[..., None] * _gather(table, some)

    out = jnp.zeros((*ids.shape[1:], table.shape[1]), table.dtype)
    return lax.fori_loop(0, ids.shape[0], add_slot, out)


def _accumulate_all(ids: Array, values: Array, table: Array) -> Array:
    return (values[..., None] * _gather(table, ids)).sum(axis=-2)


def _gather(table: Array, ids: Array) -> Array:
    return table.at[ids].get(mode="promise_in_bounds", wrap_negative_indices=False)


_WAYS: dict[str, Callable[[Array, Array, Array], Array]] = {
    "unrolled": _accumulate_blocks,
    "looped": _accumulate_slots,
    "fused": _accumulate_all,
}


def scatter_rows(
    table: Float[Array, "F K"],
    ids: Int[Array, "*S J"],
    values: Float[Array, "*S J"],
    rows: Float[Array, "*S K"],
) -> Float[Array, "F K"]:
    """Returns the table with `values[s, j] · rows[s]` added to row `ids[s, j]`: the transpose of `accumulate`.

    >>> scatter_rows(jnp.zeros((2, 1)), jnp.array([[1]]), jnp.array([[2.0]]), jnp.array([[3.0]])).tolist()
    [[0.0], [6.0]]
    """
    added = values[..., None] * rows[..., None, :]
    return table.at[ids].add(added, mode="promise_in_bounds", wrap_negative_indices=False)
