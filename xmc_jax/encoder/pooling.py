"""From the states of a text's tokens to one vector, as a table of functions."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def _find_summary(
    states: Float[Array, "B T H"], mask: Bool[Array, "B T"], cls_last: bool
) -> Float[Array, "B H"]:
    return (
        _take_last(states, mask, cls_last) if cls_last else _take(states, jnp.argmax(mask, axis=1))
    )


def _take_last(
    states: Float[Array, "B T H"], mask: Bool[Array, "B T"], cls_last: bool
) -> Float[Array, "B H"]:
    del cls_last
    return _take(states, mask.shape[1] - 1 - jnp.argmax(mask[:, ::-1], axis=1))


def _take(states: Float[Array, "B T H"], at: jax.Array) -> Float[Array, "B H"]:
    return jnp.take_along_axis(states, at[:, None, None], axis=1)[:, 0].astype(jnp.float32)


def _average(power: float = 1.0, rising: bool = False) -> Callable[..., jax.Array]:
    """Returns the weighted sum of the states over the `power` of the sum of weights."""

    def pool(
        states: Float[Array, "B T H"], mask: Bool[Array, "B T"], cls_last: bool
    ) -> Float[Array, "B H"]:
        del cls_last
        weights = mask.astype(jnp.float32)
        if rising:
            weights = weights * jnp.arange(1.0, mask.shape[1] + 1)[None]
        total = jnp.einsum("bth,bt->bh", states.astype(jnp.float32), weights)
        return total / jnp.maximum(weights.sum(axis=1, keepdims=True), 1.0) ** power

    return pool


def _take_max(
    states: Float[Array, "B T H"], mask: Bool[Array, "B T"], cls_last: bool
) -> Float[Array, "B H"]:
    del cls_last
    return jnp.where(mask[..., None], states.astype(jnp.float32), -1e9).max(axis=1)


POOLINGS: dict[str, Callable[..., jax.Array]] = {
    "pooler": _find_summary,
    "cls": _find_summary,
    "summary": lambda *given: jax.nn.tanh(_find_summary(*given)),
    "max": _take_max,
    "mean": _average(),
    "mean_sqrt_len": _average(power=0.5),
    "weightedmean": _average(rising=True),
    "lasttoken": _take_last,
}
"""Name → (states, mask, whether the summary token is the last real one) → vectors, float32 [B, H].

`cls`, `pooler` and `summary`: the state of the summary token, as it is, to be mapped by the pooler, or its tanh;
`mean`, `mean_sqrt_len`: the sum of the states over their number or its root; `weightedmean`: states are weighted by
their positions, from 1; `max`: per column; `lasttoken`: the last real token's state.
"""


def pool_states(
    states: Float[Array, "B T H"], mask: Bool[Array, "B T"], pooling: str, cls_last: bool
) -> Float[Array, "B P"]:
    """Returns a vector for each text, float32.

    Args:
        states: the states of the tokens.
        mask: which tokens are real; a text without any gets a finite, meaningless vector.
        pooling: keys of `POOLINGS`, joined by `+`.
        cls_last: whether the summary token is the last real one, not the first.
    """
    vectors = [POOLINGS[name](states, mask, cls_last) for name in pooling.split("+")]
    return vectors[0] if len(vectors) == 1 else jnp.concatenate(vectors, axis=1)
