"""Selection of the best candidates with a fixed rule for ties."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def select_top(
    scores: Float[Array, "*B M"], k: int
) -> tuple[Float[Array, "*B k"], Int[Array, "*B k"]]:
    """Returns the k largest scores and their positions; of equal scores the smaller position comes first.

    With fewer than k candidates the rest is filled with score -inf at position M - 1.
    """
    m = scores.shape[-1]
    values, positions = jax.lax.top_k(scores, min(k, m))
    if k > m:
        widths = [(0, 0)] * (scores.ndim - 1) + [(0, k - m)]
        values = jnp.pad(values, widths, constant_values=-jnp.inf)
        positions = jnp.pad(positions, widths, constant_values=m - 1)
    return values, positions
