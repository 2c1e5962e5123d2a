"""The head of one level on top of an encoder: a weight vector and a bias for each node."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from xmc_jax.types import PAD, AnyArray

_DENSE = 32
"""Up to this many nodes per candidate, scoring all nodes in one product is faster; beyond, rows are gathered."""
_DEVIATION = 0.02


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Head:
    """f(e, node) = e · weights[node] + bias[node]."""

    weights: AnyArray
    """float32 [nodes, H]."""
    bias: AnyArray
    """float32 [nodes]."""

    @property
    def n_nodes(self) -> int:
        return self.weights.shape[0]


def init_head(n_nodes: int, hidden: int, seed: tuple[int, ...]) -> Head:
    """Returns small random weights with standard deviation 0.02 and biases of 0 (host arrays)."""
    rng = np.random.default_rng(seed)
    weights = _DEVIATION * rng.standard_normal((n_nodes, hidden), dtype=np.float32)
    return Head(weights, np.zeros(n_nodes, np.float32))


def inherit_head(above: Head, parent: Int[np.ndarray, "nodes"]) -> Head:
    """Returns the head of the level below, in which each node starts as a copy of its parent (host arrays)."""
    return Head(np.asarray(above.weights)[parent], np.asarray(above.bias)[parent])


def score_nodes(
    head: Head, vectors: Float[Array, "B H"], nodes: Int[Array, "B M"] | None
) -> Float[Array, "B M"]:
    """Returns the logits of candidates, or of all nodes; those of unused slots (PAD) are meaningless.

    Args:
        head: the head of the level.
        vectors: the vectors of the encoder.
        nodes: candidates of each text, PAD in unused slots; None: all nodes, in order.
    """
    exact = jax.lax.Precision.HIGHEST  # a TPU would round to bfloat16 otherwise
    if nodes is not None and gathers_rows(head.n_nodes, nodes.shape[1]):
        at = jnp.maximum(nodes, 0)
        rows = head.weights[at]
        return jnp.einsum("bh,bmh->bm", vectors, rows, precision=exact) + head.bias[at]
    every = jnp.matmul(vectors, head.weights.T, precision=exact) + head.bias[None]
    return every if nodes is None else jnp.take_along_axis(every, jnp.maximum(nodes, 0), axis=1)


def gathers_rows(n_nodes: int, n_candidates: int) -> bool:
    """Returns whether the rows of candidates are gathered instead of scoring all nodes in one product."""
    return n_nodes > _DENSE * n_candidates


def find_touched(nodes: Int[Array, "B M"], n_nodes: int) -> Bool[Array, "nodes"]:
    """Returns which nodes are candidates of some text."""
    at = jnp.where(nodes == PAD, n_nodes, nodes).reshape(-1)
    return jnp.zeros(n_nodes + 1, bool).at[at].set(True)[:n_nodes]
