"""From the states of a text's tokens to one vector."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def pool_states(
    states: Float[Array, "B T H"], mask: Bool[Array, "B T"], pooling: str, cls_last: bool
) -> Float[Array, "B H"]:
    """Returns a vector for each text, float32.

    Args:
        states: of the tokens.
        mask: which tokens are real; a text without any gets a finite vector of no meaning.
        pooling: `mean` of the real tokens; `cls` or `pooler`: the state of the summary token (the pooler's
            map follows outside); `summary`: its tanh.
        cls_last: the summary token is the last real one, not the first.
    """
    if pooling == "mean":
        weights = mask.astype(jnp.float32)
        total = jnp.einsum("bth,bt->bh", states.astype(jnp.float32), weights)
        return total / jnp.maximum(weights.sum(axis=1, keepdims=True), 1.0)
    length = mask.shape[1]
    at = length - 1 - jnp.argmax(mask[:, ::-1], axis=1) if cls_last else jnp.argmax(mask, axis=1)
    state = jnp.take_along_axis(states, at[:, None, None], axis=1)[:, 0].astype(jnp.float32)
    return jax.nn.tanh(state) if pooling == "summary" else state
