"""How a margin becomes the score of a node, and how that meets the score of its parent.

| name | transform of the margin z | with the parent's score |
| --- | --- | --- |
| `noop` | z | own value only |
| `sigmoid` | 1 / (1 + e^−z) | × |
| `log-sigmoid` | −ln(1 + e^−z) | + |
| `lp-hinge`, p = 1 … 4 | exp(−max(0, 1 − z)^p) | × |
| `log-lp-hinge` | −max(0, 1 − z)^p | + |

Yu et al. 2022, "PECOS", section 3; children of the root stand for themselves.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from xmc_jax.config import PostProcessor


def transform_margin(margin: Float[Array, "*S"], kind: PostProcessor) -> Float[Array, "*S"]:
    """Returns the score of a node before it meets its parent's; margins must not be nan."""
    if kind == "noop":
        return margin
    if kind == "sigmoid":
        return jax.nn.sigmoid(margin)
    if kind == "log-sigmoid":
        return jax.nn.log_sigmoid(margin)
    power = int(kind.removeprefix("log-")[1])
    loss = jnp.maximum(0.0, 1.0 - margin) ** power
    return -loss if kind.startswith("log-") else jnp.exp(-loss)


def combine_scores(own: Any, parent: Any, kind: PostProcessor) -> Any:
    """Returns the score of a node below the first level; arrays of NumPy or JAX that broadcast."""
    if kind == "noop":
        return own
    return own + parent if kind.startswith("log-") else own * parent
