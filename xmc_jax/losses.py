"""Losses of scores against labels, of one signature: `loss(scores, labels, *, where, ...)`.

With y = +1 for a positive and -1 for a negative slot and f its score, a slot costs

    squared_hinge   max(0, 1 - y f)^2      L2-loss SVM; Fan et al. 2008, LIBLINEAR
    hinge           max(0, 1 - y f)        L1-loss SVM; Fan et al. 2008
    logistic        log(1 + exp(-y f))     logistic regression: cross-entropy of sigmoid(f)

and the `weighted_` form of each multiplies a positive slot by its label value, a count such as the
number of true labels below a cluster (Zhang et al. 2021, XR-Transformer); negatives keep weight 1.

>>> import jax.numpy as jnp
>>> float(squared_hinge(jnp.array([[0.5, -2.0]]), jnp.array([[1, 0]])))
0.125
>>> masked = dict(where=jnp.array([[True, False]]), reduce_fn=None)
>>> weighted_hinge(jnp.array([[0.5, 3.0]]), jnp.array([[4, 0]]), **masked).tolist()
[[2.0, 0.0]]

Arguments of every loss:
    scores: `[..., K]`, real values (raw margins). Narrower floats are computed in float32.
    labels: shaped as `scores`; a slot is positive where its label is above 0 (0/1, or counts).
    where: bool, as many axes as `scores`; False marks a slot that does not exist (padding). It
        costs 0, sends no gradient and is not counted by a mean.
    weights: factors of the slots' losses, as many axes as `scores`. A mean divides by the number
        of slots, not by the sum of weights.
    reduce_fn: `jnp.mean`, `jnp.sum`, or one with an axis (`partial(jnp.mean, axis=-1)`), called
        with `where=`; None: the loss of every slot. A group of which every slot is masked reduces
        to 0, with gradient 0.
Raises InputError when `scores` and `labels` differ in shape.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Num

from xmc_jax.errors import InputError

Reduce = Callable[..., jax.Array]


def squared_hinge(
    scores: Num[Array, "*batch K"],
    labels: Num[Array, "*batch K"] | Bool[Array, "*batch K"],
    *,
    where: Bool[Array, "..."] | None = None,
    weights: Num[Array, "..."] | None = None,
    reduce_fn: Reduce | None = jnp.mean,
) -> Float[Array, "..."]:
    """max(0, 1 - y f)^2 a slot; arguments: see the module."""
    return _loss(_squared_hinge_of, scores, labels, where, weights, reduce_fn)


def hinge(
    scores: Num[Array, "*batch K"],
    labels: Num[Array, "*batch K"] | Bool[Array, "*batch K"],
    *,
    where: Bool[Array, "..."] | None = None,
    weights: Num[Array, "..."] | None = None,
    reduce_fn: Reduce | None = jnp.mean,
) -> Float[Array, "..."]:
    """max(0, 1 - y f) a slot; arguments: see the module."""
    return _loss(_hinge_of, scores, labels, where, weights, reduce_fn)


def logistic(
    scores: Num[Array, "*batch K"],
    labels: Num[Array, "*batch K"] | Bool[Array, "*batch K"],
    *,
    where: Bool[Array, "..."] | None = None,
    weights: Num[Array, "..."] | None = None,
    reduce_fn: Reduce | None = jnp.mean,
) -> Float[Array, "..."]:
    """log(1 + exp(-y f)) a slot, without overflow for any f; arguments: see the module."""
    return _loss(_logistic_of, scores, labels, where, weights, reduce_fn)


def weighted_squared_hinge(
    scores: Num[Array, "*batch K"],
    labels: Num[Array, "*batch K"] | Bool[Array, "*batch K"],
    *,
    where: Bool[Array, "..."] | None = None,
    weights: Num[Array, "..."] | None = None,
    reduce_fn: Reduce | None = jnp.mean,
) -> Float[Array, "..."]:
    """c max(0, 1 - y f)^2 a slot, c = the label if positive, else 1; arguments: see the module."""
    weights = _times_counts(weights, labels)
    return _loss(_squared_hinge_of, scores, labels, where, weights, reduce_fn)


def weighted_hinge(
    scores: Num[Array, "*batch K"],
    labels: Num[Array, "*batch K"] | Bool[Array, "*batch K"],
    *,
    where: Bool[Array, "..."] | None = None,
    weights: Num[Array, "..."] | None = None,
    reduce_fn: Reduce | None = jnp.mean,
) -> Float[Array, "..."]:
    """c max(0, 1 - y f) a slot, c = the label if positive, else 1; arguments: see the module."""
    return _loss(_hinge_of, scores, labels, where, _times_counts(weights, labels), reduce_fn)


def weighted_logistic(
    scores: Num[Array, "*batch K"],
    labels: Num[Array, "*batch K"] | Bool[Array, "*batch K"],
    *,
    where: Bool[Array, "..."] | None = None,
    weights: Num[Array, "..."] | None = None,
    reduce_fn: Reduce | None = jnp.mean,
) -> Float[Array, "..."]:
    """c log(1 + exp(-y f)) a slot, c = the label if positive, else 1; arguments: see the module."""
    return _loss(_logistic_of, scores, labels, where, _times_counts(weights, labels), reduce_fn)


def _hinge_of(margins: jax.Array) -> jax.Array:
    return jnp.maximum(1 - margins, 0)


def _squared_hinge_of(margins: jax.Array) -> jax.Array:
    return jnp.square(_hinge_of(margins))


def _logistic_of(margins: jax.Array) -> jax.Array:
    return jnp.logaddexp(-margins, 0)


def _times_counts(weights: jax.Array | None, labels: jax.Array) -> jax.Array:
    labels = jnp.asarray(labels)
    counts = jnp.where(labels > 0, labels, 1).astype(jnp.float32)
    return counts if weights is None else counts * weights


def _loss(
    loss_of: Callable[[jax.Array], jax.Array],
    scores: jax.Array,
    labels: jax.Array,
    where: jax.Array | None,
    weights: jax.Array | None,
    reduce_fn: Reduce | None,
) -> jax.Array:
    scores, labels = jnp.asarray(scores), jnp.asarray(labels)
    if scores.shape != labels.shape:
        raise InputError(
            f"labels of shape {labels.shape} given, the scores' shape {scores.shape} needed"
        )
    scores = scores.astype(jnp.promote_types(scores.dtype, jnp.float32))
    # Masked before the loss and not after: what padding holds (inf, nan) stays out of the gradient.
    if where is not None:
        scores = jnp.where(where, scores, 0)
    values = loss_of(jnp.where(labels > 0, scores, -scores))
    if weights is not None:
        values = values * weights
    if where is not None:
        values = jnp.where(where, values, 0)
    return values if reduce_fn is None else _reduce(values, where, reduce_fn)


def _reduce(values: jax.Array, where: jax.Array | None, reduce_fn: Reduce) -> jax.Array:
    if where is None:
        return reduce_fn(values)
    where = jnp.broadcast_to(where, values.shape)
    # Nothing is left at all: reduce the zeros instead, so that a mean does not divide by 0.
    kept = where | ~jnp.any(where)
    # Nothing is left of one group (a row, say): the mean or sum of the mask itself is 0 there.
    any_left = reduce_fn(where.astype(values.dtype)) > 0
    return jnp.where(any_left, reduce_fn(values, where=kept), 0)
