"""Products with stated precision, of their computation and of the sums of their gradients.

With `float32` every product has float32 factors on every device: by default a TPU would round them to bfloat16, and a
GPU to ten bits. With `bfloat16` factors are rounded, but sums are float32, and so are the gradients of all weights,
which are added up over texts and devices before anything is rounded.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

EXACT = "highest"
"""Precision of products of float32 numbers; those of bfloat16 are exact in any."""


def multiply(x: Float[Array, "*B I"], kernel: Float[Array, "I O"]) -> Float[Array, "*B O"]:
    """Returns x · kernel in the dtype of x; the gradient of a float32 kernel is float32."""
    if x.dtype == kernel.dtype:
        return jnp.matmul(x, kernel, precision=EXACT)
    return _multiply_rounded(x, kernel)


@jax.custom_vjp
def _multiply_rounded(x: Array, kernel: Array) -> Array:
    return jnp.matmul(x, kernel.astype(x.dtype))


def _forward(x: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
    return _multiply_rounded(x, kernel), (x, kernel)


def _backward(kept: tuple[Array, Array], back: Array) -> tuple[Array, Array]:
    x, kernel = kept
    rows = (tuple(range(x.ndim - 1)),) * 2
    weights = jax.lax.dot_general(x, back, (rows, ((), ())), preferred_element_type=kernel.dtype)
    return jnp.matmul(back, kernel.astype(x.dtype).T), weights


_multiply_rounded.defvjp(_forward, _backward)


def multiply_general(x: Array, kernel: Array, dimensions: Any, **options: Any) -> Array:
    """`multiply` as `flax.linen.Dense` calls it: the last axis of x by the first of the kernel."""
    del dimensions, options
    return multiply(x, kernel)


def keep_kernel(
    *given: Array | None, dtype: Any = None, inexact: bool = True
) -> list[Array | None]:
    """Casts the inputs of a dense map (x, kernel, bias), except for its kernel, which `multiply` rounds."""
    del inexact
    return [a if a is None or i == 1 else a.astype(dtype) for i, a in enumerate(given)]
