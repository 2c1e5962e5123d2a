"""Learners to choose from, which tell right labels from wrong ones by their features."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from xmc_jax.rerank.trees import Trees, evaluate_trees, grow_trees

Arrays = Mapping[str, np.ndarray]
_STEPS, _BATCH, _RATE, _HIDDEN = 1500, 2048, 3e-3, 32


@dataclass(frozen=True)
class Learner:
    """A learner.

    Attributes:
        fit: takes features [Q, F], hits [Q] and a seed, and returns named arrays.
        score: takes named arrays and features [Q, F], and returns margins [Q], in JAX.
    """

    fit: Callable[[np.ndarray, np.ndarray, int], dict[str, np.ndarray]]
    score: Callable[[Arrays, Any], Array]


def _fit_trees(
    x: Float[np.ndarray, "Q F"], hit: Bool[np.ndarray, "Q"], seed: int
) -> dict[str, np.ndarray]:
    trees = grow_trees(x, hit)
    return {
        name: np.asarray(getattr(trees, name)) for name in ("column", "threshold", "value", "base")
    }


def _score_trees(arrays: Arrays, x: Array) -> Array:
    return evaluate_trees(Trees(**{name: jnp.asarray(a) for name, a in arrays.items()}), x)


def _fit_network(
    x: Float[np.ndarray, "Q F"], hit: Bool[np.ndarray, "Q"], seed: int, hidden: int
) -> dict[str, np.ndarray]:
    """Fits a network with one hidden layer, or none, to the logistic loss with Adam."""
    import optax  # here: a re-ranker of trees does not wait for it

    rng = np.random.default_rng(seed)
    center, scale = x.mean(axis=0), x.std(axis=0) + 1e-6
    n = x.shape[1]
    params = {"out": np.zeros(hidden + n, np.float32), "bias": np.zeros(1, np.float32)}
    if hidden:
        params["weights"] = (rng.normal(size=(n, hidden)) / np.sqrt(n)).astype(np.float32)
        params["shift"] = np.zeros(hidden, np.float32)
    optimizer = optax.adam(optax.cosine_decay_schedule(_RATE, _STEPS))
    state = optimizer.init(params)

    @partial(jax.jit, donate_argnums=(0, 1))
    def step(params, state, x, hit):
        def lose(params):
            return optax.sigmoid_binary_cross_entropy(_score_network(params, x), hit).mean()

        update, state = optimizer.update(jax.grad(lose)(params), state, params)
        return optax.apply_updates(params, update), state

    params = jax.tree.map(jnp.asarray, params)
    scaled, labels = ((x - center) / scale).astype(np.float32), hit.astype(np.float32)
    for _ in range(_STEPS):
        rows = rng.integers(0, len(x), _BATCH)
        params, state = step(params, state, scaled[rows], labels[rows])
    return {"center": center.astype(np.float32), "scale": scale.astype(np.float32)} | {
        name: np.asarray(a) for name, a in params.items()
    }


@jax.jit
def _score_network(arrays: Arrays, x: Array) -> Array:
    if "center" in arrays:
        x = (x - arrays["center"][None]) / arrays["scale"][None]
    if "weights" in arrays:
        hidden = jax.nn.relu(_multiply(x, arrays["weights"]) + arrays["shift"][None])
        x = jnp.concatenate([x, hidden], axis=1)
    return _multiply(x, arrays["out"]) + arrays["bias"]


def _multiply(x: Array, weights: Array | np.ndarray) -> Array:
    """Returns a product of float32 numbers, which a TPU would round to bfloat16."""
    return jnp.matmul(x, weights, precision=jax.lax.Precision.HIGHEST)


LEARNERS: dict[str, Learner] = {
    "trees": Learner(_fit_trees, _score_trees),
    "network": Learner(partial(_fit_network, hidden=_HIDDEN), _score_network),
    "logistic": Learner(partial(_fit_network, hidden=0), _score_network),
}
"""Name of a learner → the learner."""
