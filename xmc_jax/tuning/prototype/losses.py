"""Losses of documents against all labels, as a table of values, in the form that chunks of labels need.

With z the logits of a document, Y its positives, N(z) = log Σ_{n ∉ Y} exp(z_n) over the other labels and σ the logistic
function, a document costs

    decoupled   mean over p ∈ Y of  log(e^{z_p} + e^{N}) − z_p     positives do not compete (Gupta et al. 2024, "DEXML")
    softmax     mean over p ∈ Y of  log(Σ_{p ∈ Y} e^{z_p} + e^{N}) − z_p
    bce         Σ_{p ∈ Y} log(1 + e^{−z_p}) + Σ_{n ∉ Y} log(1 + e^{z_n})    (Renee 2023, ELMO 2025)

and nothing if it has no positives (with `bce`, the cost of its negatives). Only `bce` needs no sum over the labels
before its gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

LOWEST = -1e30
"""Replaces −∞ where a difference of two such values is taken."""


class Compared(NamedTuple):
    """The loss of the positives of a batch, once the sums over its negatives are known."""

    loss: Float[Array, "B"]
    pull: Float[Array, "Q"]
    """Gradient of the loss with respect to the logit of each positive."""
    push: Float[Array, "B"]
    """Factor of a document's negatives; see `ContrastLoss.push`."""


@dataclass(frozen=True)
class ContrastLoss:
    """A loss in two parts.

    Attributes:
        name: its name in the settings.
        sums: whether it needs N of each document before any gradient, which takes one more pass over the labels.
        compare: (logits [Q], rows [Q], real [Q], N [B]) → `Compared`; the Q positives of a batch are a flat list,
            `rows` gives their documents, and those that are not `real` are padding.
        push: (logits [B, K] of labels, −∞ for positives; N [B]; factor [B]) → their loss [B], and its gradient [B, K].
        normalize: (logits, log Σ_l exp(z_l)) → scores in [0, 1].
    """

    name: str
    sums: bool
    compare: Callable[..., Compared]
    push: Callable[..., tuple[Array, Array]]
    normalize: Callable[[Array, Array], Array]


def add_rows(values: Float[Array, "Q"], rows: Int[Array, "Q"], n_rows: int) -> Float[Array, "B"]:
    """Returns the sums of the values of each document."""
    return jnp.zeros(n_rows, values.dtype).at[rows].add(values)


def _compare_decoupled(z: Array, rows: Array, real: Array, negatives: Array) -> Compared:
    n_rows = len(negatives)
    share = _find_share(rows, real, n_rows)
    against = negatives[rows]
    missed = share * jax.nn.sigmoid(against - z)
    loss = add_rows(share * jax.nn.softplus(against - z), rows, n_rows)
    return Compared(loss, -missed, add_rows(missed, rows, n_rows))


def _compare_softmax(z: Array, rows: Array, real: Array, negatives: Array) -> Compared:
    n_rows = len(negatives)
    share = _find_share(rows, real, n_rows)
    z = jnp.where(real, z, LOWEST)
    top = negatives.at[rows].max(z)
    total = jnp.exp(negatives - top) + add_rows(jnp.exp(z - top[rows]), rows, n_rows)
    every = top + jnp.log(total)
    used = add_rows(share, rows, n_rows)  # 1, or 0 without positives
    loss = used * every - add_rows(share * z, rows, n_rows)
    pull = jnp.where(real, jnp.exp(z - every[rows]), 0) - share
    return Compared(loss, pull, used * jnp.exp(negatives - every))


def _compare_each(z: Array, rows: Array, real: Array, negatives: Array) -> Compared:
    loss = add_rows(jnp.where(real, jax.nn.softplus(-z), 0), rows, len(negatives))
    pull = jnp.where(real, jax.nn.sigmoid(z) - 1, 0)
    return Compared(loss, pull, jnp.ones_like(negatives))


def _find_share(rows: Array, real: Bool[Array, "Q"], n_rows: int) -> Float[Array, "Q"]:
    """Returns 1 over the number of positives of a positive's document; 0 for padding."""
    count = add_rows(real.astype(jnp.float32), rows, n_rows)
    return jnp.where(real, 1 / jnp.maximum(count, 1)[rows], 0)


def _push_share(z: Array, negatives: Array, push: Array) -> tuple[Array, Array]:
    return jnp.zeros(len(z)), push[:, None] * jnp.exp(z - negatives[:, None])


def _push_each(z: Array, negatives: Array, push: Array) -> tuple[Array, Array]:
    del negatives
    loss = push * jax.nn.softplus(z).sum(axis=1)
    return loss, push[:, None] * jax.nn.sigmoid(z)


def _divide(z: Array, log_sum: Array) -> Array:
    return jnp.exp(z - log_sum)


def _squash(z: Array, log_sum: Array) -> Array:
    del log_sum
    return jax.nn.sigmoid(z)


LOSSES = {
    loss.name: loss
    for loss in (
        ContrastLoss("decoupled", True, _compare_decoupled, _push_share, _divide),
        ContrastLoss("softmax", True, _compare_softmax, _push_share, _divide),
        ContrastLoss("bce", False, _compare_each, _push_each, _squash),
    )
}
