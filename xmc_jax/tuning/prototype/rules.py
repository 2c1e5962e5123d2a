"""How the rows of the prototypes are updated: a table of rules, and rounding that preserves small steps.

    adam       first and second moment of every number: 8 bytes each beside the prototype
    row-adam   one second moment per label, the mean over its row, and no first moment: 4 bytes per label
    sgd        no moments

Adam divides each number's step by its own size, `row-adam` by the size of its row, for when moments as large as the
prototypes do not fit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

_DECAY = 0.9, 0.999
Moments = tuple[Array, ...]


@dataclass(frozen=True)
class UpdateRule:
    """A rule for arrays [..., K, H] or [..., K].

    Attributes:
        name: its name in the settings.
        shape: (shape of the array, whether its last axis is H) → shapes of its moments, which start at 0.
        step: (gradient, moments, number of the update from 1, epsilon) → (direction, new moments).
    """

    name: str
    shape: Callable[[tuple[int, ...], bool], tuple[tuple[int, ...], ...]]
    step: Callable[[Array, Moments, Array, float], tuple[Array, Moments]]


def round_randomly(x: Float[Array, "*shape"], key: Array) -> Float[Array, "*shape"]:
    """Returns bfloat16 numbers whose mean over keys is `x`, so that a step below their resolution is not lost.

    Sixteen random bits are added below those that are kept. `key` should be of the generator `rbg`, whose bits do not
    depend on where an array is placed.
    """
    bits = jax.lax.bitcast_convert_type(x.astype(jnp.float32), jnp.uint32)
    noise = jax.random.bits(key, x.shape, jnp.uint16).astype(jnp.uint32)
    kept = (bits + noise) & jnp.uint32(0xFFFF0000)
    return jax.lax.bitcast_convert_type(kept, jnp.float32).astype(jnp.bfloat16)


def _step_adam(
    grad: Array, moments: Moments, count: Array, epsilon: float
) -> tuple[Array, Moments]:
    first, second = _DECAY
    mean = first * moments[0] + (1 - first) * grad
    square = second * moments[1] + (1 - second) * jnp.square(grad)
    scale = jnp.sqrt(square / (1 - second**count)) + epsilon
    return mean / (1 - first**count) / scale, (mean, square)


def _step_rows(
    grad: Array, moments: Moments, count: Array, epsilon: float
) -> tuple[Array, Moments]:
    second = _DECAY[1]
    is_matrix = grad.ndim > moments[0].ndim
    new = jnp.square(grad).mean(axis=-1) if is_matrix else jnp.square(grad)
    square = second * moments[0] + (1 - second) * new
    scale = jnp.sqrt(square / (1 - second**count)) + epsilon
    return grad / (scale[..., None] if is_matrix else scale), (square,)


def _step_plainly(
    grad: Array, moments: Moments, count: Array, epsilon: float
) -> tuple[Array, Moments]:
    del count, epsilon
    return grad, moments


RULES = {
    rule.name: rule
    for rule in (
        UpdateRule("adam", lambda shape, has_rows: (shape, shape), _step_adam),
        UpdateRule(
            "row-adam", lambda shape, has_rows: (shape[:-1] if has_rows else shape,), _step_rows
        ),
        UpdateRule("sgd", lambda shape, has_rows: (), _step_plainly),
    )
}
