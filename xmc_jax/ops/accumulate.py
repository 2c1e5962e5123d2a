"""The one primitive of the linear core: gather K-wide rows of a table and add them up, weighted."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def accumulate(
    ids: Int[Array, "R J"], values: Float[Array, "R J"], table: Float[Array, "F K"]
) -> Float[Array, "R K"]:
    """Returns `out[r] = Σ_j values[r, j] · table[ids[r, j]]`: the product of padded sparse rows with a dense table.

    A loop over the slots: gathering all [R, J, K] at once costs an order of magnitude more time and memory.
    Ids must lie in [0, F); unused slots carry value 0.
    """

    def add_slot(j, out):
        row = table.at[ids[:, j]].get(mode="promise_in_bounds")
        return out + values[:, j, None] * row

    start = jnp.zeros((ids.shape[0], table.shape[1]), table.dtype)
    return jax.lax.fori_loop(0, ids.shape[1], add_slot, start)


def scatter_rows(
    table: Float[Array, "F K"],
    ids: Int[Array, "*S J"],
    values: Float[Array, "*S J"],
    rows: Float[Array, "*S K"],
) -> Float[Array, "F K"]:
    """Returns the table with `values[s, j] · rows[s]` added to row `ids[s, j]`: the transpose of `accumulate`."""
    return table.at[ids].add(values[..., None] * rows[..., None, :], mode="promise_in_bounds")
