"""Selects the best candidates, with a fixed rule for ties."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

_COUNTED = 128  # length of the longest rows that are sorted by counting


def select_top(
    scores: Float[Array, "*B M"], k: int
) -> tuple[Float[Array, "*B k"], Int[Array, "*B k"]]:
    """Returns the k largest scores and their positions; among equal scores, the smaller position comes first.

    With fewer than k candidates, the rest is filled with score -inf at position M - 1.

    >>> scores, positions = select_top(jnp.array([1.0, 3.0, 3.0]), 2)
    >>> positions.tolist()
    [1, 2]
    """
    m = scores.shape[-1]
    values, positions = jax.lax.top_k(scores, min(k, m))
    if k > m:
        widths = [(0, 0)] * (scores.ndim - 1) + [(0, k - m)]
        values = jnp.pad(values, widths, constant_values=-jnp.inf)
        positions = jnp.pad(positions, widths, constant_values=m - 1)
    return values, positions


def sort_rows(keys: tuple[Array, Array], n_keys: int = 1) -> tuple[Array, Array]:
    """Returns two arrays [B, S] with their rows sorted, ascending, by the first (with n_keys = 2, then by the second).

    Equal keys keep their order; there must be no NaN. Short rows are sorted by counting the smaller elements of each:
    this needs no branches, and a sort of ten numbers costs a CPU a microsecond and a GPU a kernel of its own.
    """
    first, second = keys
    n = first.shape[1]
    if n > _COUNTED:
        first, second = jax.lax.sort(keys, num_keys=n_keys)
        return first, second
    this, other = (tuple(jnp.expand_dims(x, axis) for x in keys) for axis in (1, 2))
    position = jnp.arange(n)
    is_before = (position[:, None] < position[None, :])[None]
    for mine, their in list(zip(this, other, strict=True))[n_keys - 1 :: -1]:
        is_before = (their < mine) | ((their == mine) & is_before)
    rank = jnp.sum(is_before, axis=1)
    row = jnp.arange(first.shape[0])[:, None]
    a, b = (
        jnp.zeros_like(x).at[row, rank].set(x, mode="promise_in_bounds", unique_indices=True)
        for x in keys
    )
    return a, b
